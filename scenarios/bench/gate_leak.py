"""A notice that pages ask the revision of, over a side channel that does not wait for the write to be durable.

What an object sends waits for the writes that it may tell of (OG-1).  The answer that the runtime gives by itself
to "revision?" does not wait (OG-7), and here it is changed in the turn of the write.  A page is told of revision 2,
the write is lost and the object reset (OG-10), and the next text is revision 2 too: the page will never fetch it.
`FixedNotice` answers such a question like any other message, behind the output gate.

First come, first served answers the page before anything is written.

Depth 2: the commit of a revision fails; and the page's question comes after the write and before that.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import (
    DurableObject,
    Faults,
    Mesh,
    Request,
    Response,
    WebSocketPair,
    WebSocketRequestResponsePair,
    WorkerEntrypoint,
    World,
    gather,
    scenario,
)

DEPTH = 2
RATE = (27, 20_000)
RACING = {
    "object": "NOTICE/hall",
    "key": ("", "revision", "text"),
    "events": ("page", ("publish", "flush")),
    "lines": (("publish(text)", 'kv.put("revision"', "self.say(revision)", "self.ctx.set_web_socket_auto_response("),),
}
QUESTION = "revision?"
NOTICES = ("hall", "door", "yard")
faults = Faults(kinds=("slow-flush", "failed-flush", "crash", "partition"), at_most=2)


class Notice(DurableObject):
    """A text and its revision."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.say(self.ctx.storage.kv.get("revision", 0))

    def fetch(self, request: Request) -> Response:
        page, ours = WebSocketPair()
        self.ctx.accept_web_socket(ours)
        return Response(101, web_socket=page)

    async def publish(self, text: str) -> int:
        revision: int = self.ctx.storage.kv.get("revision", 0) + 1
        self.ctx.storage.kv.put("text", text)
        self.ctx.storage.kv.put("revision", revision)
        self.say(revision)
        return revision

    def say(self, revision: int) -> None:
        """What pages are told that ask."""
        self.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair(QUESTION, str(revision)))

    def web_socket_message(self, ws: Any, message: str) -> None:
        if message == QUESTION:
            ws.send(str(self.ctx.storage.kv.get("revision", 0)))


class FixedNotice(Notice):
    """Is asked, and does not have the runtime answer."""

    def say(self, revision: int) -> None:
        pass


class Draft(DurableObject):
    """What is to be written."""

    async def text(self, nth: int) -> str:
        return ("in pencil", "in ink")[nth]


class Office(WorkerEntrypoint):
    """Writes notices, first in pencil."""

    async def write(self, name: str) -> bool:
        try:
            for nth in range(2):
                text = await self.env.DRAFT.get_by_name(name).text(nth)
                await self.env.NOTICE.get_by_name(name).publish(text)
        except Exception:
            return False
        return True

    async def write_all(self) -> list[bool]:
        return await gather(*[self.write(name) for name in NOTICES])


def app_of(notice: type[Notice]) -> Mesh:
    return Mesh(bindings={"NOTICE": notice, "DRAFT": Draft, "OFFICE": Office})


async def notices(world: World) -> None:
    """A page looks at one of the notices that are being written: it hears of no revision that there is not."""
    office: Any = world.env.OFFICE
    page = await world.open_socket("NOTICE", "hall", client="page", wait=False)
    await world.settle()
    if page.ready_state == 1:
        page.send(QUESTION)
    world.sometimes("a text was lost", not all(await office.write_all()))
    await world.settle()
    revision = world.object("NOTICE", "hall").storage.kv.get("revision") or 0
    for told in map(int, page.messages):
        assert told <= revision, f"the page was told of revision {told}, and there is only {revision}"


@scenario(app_of(Notice), faults=faults)
async def gate_leak(world: World) -> None:
    """With the bug."""
    await notices(world)


@scenario(app_of(FixedNotice), faults=faults)
async def gate_leak_fixed(world: World) -> None:
    """Without it."""
    await notices(world)

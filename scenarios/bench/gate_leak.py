"""A notice that pages ask the revision of, over a side channel that does not wait for the write to be durable.

What an object sends waits for the writes that it may tell of (OG-1).  The answer that the runtime gives by itself
to "revision?" does not wait (OG-7), and here it is changed in the turn of the write.  A page is told of revision 2,
the write is lost and the object reset (OG-10), and the next text is revision 2 too: the page will never fetch it.
`FixedNotice` answers such a question like any other message, behind the output gate.

Depth 2: the commit of a new revision fails; and the page asks before it does.
"""

from __future__ import annotations

from typing import Any

import trio

from lumenize_sim import (
    DurableObject,
    Faults,
    Mesh,
    Request,
    Response,
    WebSocketPair,
    WebSocketRequestResponsePair,
    World,
    scenario,
)

DEPTH = 2
RATE = (5, 1_000)
RACING = {
    "object": "NOTICE/hall",
    "key": ("revision", "failed-flush", "crash"),
    "events": ("publish", ("failed-flush", "crash", "flush")),
    "lines": ('kv.put("revision"',),
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
        kv = self.ctx.storage.kv
        ws.send(str(kv.get("revision", 0)) if message == QUESTION else kv.get("text", ""))


class FixedNotice(Notice):
    """Is asked, and does not have the runtime answer."""

    def say(self, revision: int) -> None:
        pass


def app_of(notice: type[Notice]) -> Mesh:
    return Mesh(bindings={"NOTICE": notice})


async def notices(world: World) -> None:
    """A page looks at one of the notices that are being written: it hears of no revision that there is not."""
    objects: Any = world.env
    page = await world.open_socket("NOTICE", "hall", client="page", wait=False)
    await world.settle()

    async def write(name: str) -> None:
        try:
            for text in ("in pencil", "in ink"):
                await objects.NOTICE.get_by_name(name).publish(text)
        except Exception:
            world.sometimes("a text was lost")

    revisions: list[int] = []

    def heard(message: Any) -> None:
        if message.isdecimal():
            revisions.append(int(message))
        elif page.ready_state == 1:
            page.send(QUESTION)

    page.on_message = heard
    async with trio.open_nursery() as everybody:
        for name in NOTICES:
            everybody.start_soon(write, name)
        if page.ready_state == 1:
            page.send("text?")
    await world.settle()
    revision = world.object("NOTICE", "hall").storage.kv.get("revision") or 0
    for told in revisions:
        assert told <= revision, f"the page was told of revision {told}, and there is only {revision}"


@scenario(app_of(Notice), faults=faults)
async def gate_leak(world: World) -> None:
    """With the bug."""
    await notices(world)


@scenario(app_of(FixedNotice), faults=faults)
async def gate_leak_fixed(world: World) -> None:
    """Without it."""
    await notices(world)

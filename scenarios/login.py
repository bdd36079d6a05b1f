"""A diary that only its owner writes: log in, connect, write, whatever goes wrong on the way.

Requests of a browser fail where they are lost (LC-43), and can be made again.  A call whose
answer is lost is never settled (CL-20), so the page writes once more when it is connected again;
writing the same text twice does no harm.
"""

from __future__ import annotations

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, Mesh, UsageError, World, mesh, scenario
from lumenize_sim.auth import KeyPair, LumenizeAuth

ATTEMPTS = 8


class Diary(LumenizeDO):
    """One for each subject, under its id."""

    def on_before_call(self) -> None:
        origin = self.lmz.call_context.origin_auth
        if origin is None or origin.sub != self.lmz.instance_name:
            raise PermissionError("this is somebody else's diary")

    @mesh
    def write(self, text: str) -> int:
        self.ctx.storage.kv.put("text", text)
        return len(text)


class Page(LumenizeClient):
    """Writes until it hears that the text is there."""

    letters: int | None = None
    refused: str | None = None
    _text: tuple[str, str] | None = None

    def write(self, whose: str, text: str) -> None:
        self._text = (whose, text)
        self._send()

    def _send(self) -> None:
        if self._text is not None:
            whose, text = self._text
            self.lmz.call("DIARY", whose, self.ctn(Diary).write(text), self.ctn().on_written(RESULT))

    def on_written(self, answer: int | Exception) -> None:
        if isinstance(answer, PermissionError):
            self.refused = str(answer)
        elif isinstance(answer, Exception):
            self._send()
        else:
            self.letters, self._text = answer, None

    def on_connection_state_change(self, state: str) -> None:
        # Not `on_subscription_required`: within the grace period nobody asks for that (CL-45).
        if state == "connected":
            self._send()


app = Mesh(
    bindings={"DIARY": Diary, "LUMENIZE_AUTH": LumenizeAuth},
    vars={
        "LUMENIZE_AUTH_REDIRECT": "/",
        "LUMENIZE_AUTH_TEST_MODE": "true",
        **KeyPair.from_seed("a key for tests").vars(),
    },
)


@scenario(app, faults=Faults(at_most=3, kinds=("lost-call", "crash", "evict", "disconnect", "half-open", "partition")))
async def dear_diary(world: World) -> None:
    """One login is one subject, and what was written is there, once the owner has heard so."""
    ann = world.visitor("ann")
    for _ in range(ATTEMPTS):
        try:
            await ann.login("ann@example.com", adminApproved=True)
            break
        except (ConnectionError, UsageError):
            await world.settle()
    assert ann.sub, "nobody could log in"
    page = await world.connect(Page, visitor=ann)
    page.write(ann.sub, "Dear diary")
    await world.settle()
    await world.advance(60)
    await world.settle()
    subjects = world.object("LUMENIZE_AUTH", "default").storage.sql.exec("SELECT email FROM Subjects")
    assert [row["email"] for row in subjects] == ["ann@example.com"]
    assert page.letters == len("Dear diary")
    assert world.object("DIARY", ann.sub).storage.kv.get("text") == "Dear diary"
    eve = await world.connect(Page, sub="eve")
    eve.write(ann.sub, "Hello")
    await world.settle()
    assert eve.letters is None
    assert world.object("DIARY", ann.sub).storage.kv.get("text") == "Dear diary"

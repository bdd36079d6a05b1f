"""A notice board that reads its list of readers, waits, and then tells those it had read.

Whoever subscribes while a notice is being stamped gets the notices without it, and is
not on the list that it is sent to: an update missed for ever.  First come, first served
never shows it, because the subscription was sent before the notice.
"""

from __future__ import annotations

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"


class Stamper(LumenizeWorker):
    """Puts a stamp on a notice."""

    @mesh
    def stamp(self, text: str) -> str:
        return f"[stamped] {text}"


class Board(LumenizeDO):
    """Notices, and who wants to hear of new ones."""

    @mesh
    def subscribe(self) -> list[str]:
        kv = self.ctx.storage.kv
        kv.put("readers", [*kv.get("readers", []), self.lmz.call_context.call_chain[0].instance_name])
        notices: list[str] = kv.get("notices", [])
        return notices

    @mesh
    async def post(self, text: str) -> None:
        kv = self.ctx.storage.kv
        readers = kv.get("readers", [])
        stamped = await self.lmz.call_raw("STAMPER", None, self.ctn(Stamper).stamp(text))
        kv.put("notices", [*kv.get("notices", []), stamped])
        for reader in readers:  # those of before the wait
            self.lmz.call(GATEWAY, reader, self.ctn(Reader).hear(stamped), new_chain=True)


class Reader(LumenizeClient):
    """Knows the notices it was told of; in which order does not matter."""

    heard: tuple[str, ...] = ()

    def subscribe(self, board: str) -> None:
        self.lmz.call("BOARD", board, self.ctn(Board).subscribe(), self.ctn().hear_all(RESULT))

    def post(self, board: str, text: str) -> None:
        self.lmz.call("BOARD", board, self.ctn(Board).post(text))

    def hear_all(self, notices: list[str] | Exception) -> None:
        if isinstance(notices, Exception):
            raise notices
        for notice in notices:
            self.hear(notice)

    @mesh
    def hear(self, notice: str) -> None:
        if notice not in self.heard:
            self.heard = (*self.heard, notice)


app = Mesh(bindings={"BOARD": Board, "STAMPER": Stamper})


@scenario(app)
async def subscribe_race(world: World) -> None:
    """Bob subscribes, then Alice posts; when all is quiet Bob knows every notice on the board."""
    alice = await world.connect(Reader, sub="alice")
    bob = await world.connect(Reader, sub="bob")
    bob.subscribe("town-hall")
    alice.post("town-hall", "market on Friday")
    await world.settle()
    for notice in world.object("BOARD", "town-hall").storage.kv.get("notices", []):
        assert notice in bob.heard, f"bob has not heard {notice!r}, only {list(bob.heard)}"

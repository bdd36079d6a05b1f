"""A counter that asks a Worker for the rate between reading and writing: two clicks, one is lost.

`await` on a call opens the input gate (IG-8), so the second increment reads before the
first one writes.
"""

from __future__ import annotations

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario


class Rates(LumenizeWorker):
    """What a click is worth."""

    @mesh
    def current(self) -> int:
        return 1


class Counter(LumenizeDO):
    """Counts clicks."""

    @mesh
    async def increment(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        rate = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())  # the gate opens here
        self.ctx.storage.kv.put("n", n + rate)  # lost update
        return n + rate


class Tab(LumenizeClient):
    """A page with a button."""

    count: int | Exception | None = None

    def click(self, handle: str) -> None:
        self.lmz.call("COUNTER", handle, self.ctn(Counter).increment(), self.ctn().on_count(RESULT))

    def on_count(self, count: int | Exception) -> None:
        self.count = count


app = Mesh(bindings={"COUNTER": Counter, "RATES": Rates})


@scenario(app)
async def two_clicks(world: World) -> None:
    """Two people click once each; the counter must say two."""
    alice = await world.connect(Tab, sub="alice")
    bob = await world.connect(Tab, sub="bob")
    alice.click("c1")
    bob.click("c1")
    await world.settle()
    n = world.object("COUNTER", "c1").storage.kv.get("n")
    assert n == 2, f"two clicks, and the counter says {n}"

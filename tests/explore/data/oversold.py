"""A shop that sells one thing twice, where the audit of the first buyer takes longer than the second looks around."""

from __future__ import annotations

from typing import Any

import trio

from lumenize_sim import DurableObject, Mesh, World, scenario


class Stock(DurableObject):
    """Sells what is there, and lets people look at it."""

    async def fill(self, n: int) -> None:
        await self.ctx.storage.put("n", n)

    async def look(self) -> Any:
        return await self.ctx.storage.get("n", 0)

    async def take(self, who: str) -> bool:
        n = await self.ctx.storage.get("n", 0)
        if n:
            await self.env.AUDIT.get_by_name(who).note()
            await self.ctx.storage.put("n", n - 1)
        return bool(n)


class Audit(DurableObject):
    def note(self) -> None: ...


@scenario(Mesh(bindings={"STOCK": Stock, "AUDIT": Audit}))
async def oversold(world: World) -> None:
    """The second buyer looks around for long before it buys."""
    stock = world.env.STOCK
    await stock.get_by_name("s").fill(1)
    sold: list[str] = []

    async def buyer(who: str, looks: int) -> None:
        for _ in range(looks):
            await stock.get_by_name("s").look()
        if await stock.get_by_name("s").take(who):
            sold.append(who)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(buyer, "alice", 0)
        nursery.start_soon(buyer, "bob", 6)
    assert len(sold) == 1, f"sold to {sold}"

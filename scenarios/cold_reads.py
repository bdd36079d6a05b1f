"""Seats sold on the legacy storage backend by a class that lets others in while it reads: two buyers, one seat.

``allow_concurrency`` makes a read that is not cached wait without the input gate (IG-9), so that
the second sale reads before the first one writes.  Once the key is cached nobody gets in
between, which is why the bug shows only after the object has slept.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Faults, Mesh, World, gather, scenario


class BoxOffice(DurableObject):
    """Sells the seats of one evening."""

    storage_backend = "kv"

    async def open(self, seats: int) -> None:
        await self.ctx.storage.put("left", seats)

    async def sell(self) -> int | None:
        left: int = await self.ctx.storage.get("left", 0, allow_concurrency=True)  # the gate opens here, if it is cold
        if not left:
            return None
        self.ctx.storage.put({"left": left - 1, f"seat{left}": "sold"})
        return left


app = Mesh(bindings={"EVENING": BoxOffice})


@scenario(app, faults=Faults(kinds=("hibernate", "evict", "slow-read"), at_most=2))
async def two_buyers(world: World) -> None:
    """Two buyers for two seats; each must get one of their own."""
    evening: Any = world.env.EVENING
    await evening.get_by_name("friday").open(2)
    await world.settle()
    first, second = evening.get_by_name("friday").sell(), evening.get_by_name("friday").sell()
    seats = await gather(first, second)
    assert None not in seats, f"a seat was left, and a buyer was sent away: {seats}"
    assert seats[0] != seats[1], f"seat {seats[0]} was sold twice"

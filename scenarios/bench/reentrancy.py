"""A cart that is called back by whom it calls (A → B → A), and goes on with what it had read before.

Checking out reserves each item at its stock, which tells the cart to drop what is sold out.  That call back is let
in, because waiting for a call opens the input gate (RPC-12); the cart then orders the items that it knew before.
First come, first served reserves Ann's tea before two tills of the shop have got that far.

Depth 1: the reservation of Ann's tea waits until both tills have sold theirs.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, WorkerEntrypoint, World, gather, scenario

DEPTH = 1
RATE = (72, 20_000)
RACING = {
    "object": "CART/ann",
    "key": "items",
    "events": ("checkout", "drop"),
    "lines": ('items: list[str] = kv.get("items", [])  # before', 'kv.put("items", left)'),
}
#: What the tills scan; there are two packets of tea.
BASKETS = {"till1": ("bread", "milk", "eggs", "tea"), "till2": ("jam", "soap", "rice", "tea")}


class Stock(DurableObject):
    """What is left of one item."""

    async def fill(self, left: int) -> None:
        self.ctx.storage.kv.put("left", left)

    async def take(self) -> bool:
        left: int = self.ctx.storage.kv.get("left", 0)
        if left:
            self.ctx.storage.kv.put("left", left - 1)
        return left > 0

    async def reserve(self, cart: str) -> None:
        if not await self.take():
            self.ctx.storage.kv.put("refused", [*self.ctx.storage.kv.get("refused", []), cart])
            await self.env.CART.get_by_name(cart).drop(self.ctx.id.name)


class Till(WorkerEntrypoint):
    """Where people pay who have come to the shop."""

    async def scan(self, items: list[str]) -> None:
        for item in items:
            await self.env.STOCK.get_by_name(item).take()


class Town(WorkerEntrypoint):
    """What happens at once."""

    async def wake(self) -> None:
        tills = [self.env.TILL.scan(list(basket)) for basket in BASKETS.values()]
        await gather(self.env.CART.get_by_name("ann").checkout(), *tills)


class Cart(DurableObject):
    """What somebody wants, and in the end has ordered."""

    async def add(self, *items: str) -> None:
        self.ctx.storage.kv.put("items", list(items))

    async def drop(self, item: str) -> None:
        left = [other for other in self.ctx.storage.kv.get("items", []) if other != item]
        self.ctx.storage.kv.put("items", left)

    async def checkout(self) -> None:
        kv = self.ctx.storage.kv
        items: list[str] = kv.get("items", [])  # before the calls
        for item in items:
            await self.env.STOCK.get_by_name(item).reserve(self.ctx.id.name)
        kv.put("ordered", items)
        kv.delete("items")


class FixedCart(Cart):
    """Orders what is in the cart by then."""

    async def checkout(self) -> None:
        kv = self.ctx.storage.kv
        for item in kv.get("items", []):
            await self.env.STOCK.get_by_name(item).reserve(self.ctx.id.name)
        kv.put("ordered", kv.get("items", []))
        kv.delete("items")


def app_of(cart: type[Cart]) -> Mesh:
    return Mesh(bindings={"CART": cart, "STOCK": Stock, "TILL": Till, "TOWN": Town})


async def busy_shop(world: World) -> None:
    """Ann orders tea while the tills sell some: she orders none that there is not."""
    objects: Any = world.env
    await objects.CART.get_by_name("ann").add("tea")
    for item in [item for basket in BASKETS.values() for item in basket]:
        await objects.STOCK.get_by_name(item).fill(2)
    await objects.TOWN.wake()
    ordered = world.object("CART", "ann").storage.kv.get("ordered")
    refused = world.object("STOCK", "tea").storage.kv.get("refused", [])
    assert not ("tea" in ordered and refused == ["ann"]), f"ann was refused tea, and has ordered {ordered}"


@scenario(app_of(Cart))
async def reentrancy(world: World) -> None:
    """With the bug."""
    await busy_shop(world)


@scenario(app_of(FixedCart))
async def reentrancy_fixed(world: World) -> None:
    """Without it."""
    await busy_shop(world)

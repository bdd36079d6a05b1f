"""An order that is cancelled after it has been forgotten: the customer has the parcel and the money.

An order goes a long way: stock is reserved, it is picked, checked, wrapped, packed, weighed and so on, each station
telling the next.  Where it leaves the house the last one asks the order whether it still may, and the order, with
nothing left to do, is archived: its state is deleted, so that storage does not grow for ever.  A cancellation on the
way keeps the parcel in the house.  One that comes later finds no state at all, takes the order for one that has not
begun, and pays the money back.

The cancellation is one message and was sent at the beginning; the bug needs the whole chain to overtake it.

Depth 1: the end of the chain comes before the cancellation.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, World, scenario

DEPTH = 1
RACING = {
    "object": "ORDER/o-1",
    "key": "state",
    "events": ("leaves (STATION/load)", "cancel (CUSTOMER/carol)"),
    "lines": ('kv.delete("state")', 'kv.put("state", "cancelled")'),
}
RATE = (118, 20_000)
WAY = ("reserve", "pick", "check", "wrap", "pack", "weigh", "label", "sort", "load")


class Order(DurableObject):
    """One order, open until it is cancelled or leaves the house."""

    def place(self) -> None:
        self.ctx.storage.kv.put("state", "open")
        self.env.STATION.get_by_name(WAY[0]).process(self.ctx.id.name, 0)

    def leaves(self) -> bool:
        """The parcel is about to leave the house; False keeps it there.  Nothing is left to do then: archive it."""
        kv = self.ctx.storage.kv
        if kv.get("state") == "cancelled":
            return False
        kv.delete("state")
        return True

    def cancel(self) -> bool:
        """Whether it could still be cancelled; then the money goes back."""
        kv = self.ctx.storage.kv
        if kv.get("state", "open") != "open":
            return False
        kv.put("state", "cancelled")
        return True


class RememberingOrder(Order):
    """Leaves a mark behind: an archived order is not one that has not begun."""

    def leaves(self) -> bool:
        kv = self.ctx.storage.kv
        if kv.get("state") == "cancelled":
            return False
        kv.put("state", "archived")
        return True


class Station(DurableObject):
    """One station of the warehouse; the last one hands over."""

    async def process(self, order: str, nth: int) -> None:
        kv = self.ctx.storage.kv
        kv.put("processed", kv.get("processed", 0) + 1)
        if nth + 1 < len(WAY):
            self.env.STATION.get_by_name(WAY[nth + 1]).process(order, nth + 1)
        elif await self.env.ORDER.get_by_name(order).leaves():
            kv.put("parcels", [*kv.get("parcels", []), order])


class Customer(DurableObject):
    """Orders, and thinks better of it."""

    async def regret(self, order: str) -> None:
        await self.env.ORDER.get_by_name(order).place()
        if await self.env.ORDER.get_by_name(order).cancel():
            self.ctx.storage.kv.put("refunded", order)


def app_of(order: type[Order]) -> Mesh:
    return Mesh(bindings={"ORDER": order, "STATION": Station, "CUSTOMER": Customer})


async def parcel_or_money(world: World) -> None:
    """Either the parcel or the money, not both."""
    objects: Any = world.env
    objects.CUSTOMER.get_by_name("carol").regret("o-1")
    await world.settle()
    parcels = world.object("STATION", WAY[-1]).storage.kv.get("parcels", [])
    refunded = world.object("CUSTOMER", "carol").storage.kv.get("refunded")
    assert "o-1" not in parcels or not refunded, "carol has the parcel o-1, and her money back"


@scenario(app_of(Order))
async def late_cancel(world: World) -> None:
    """With the bug."""
    await parcel_or_money(world)


@scenario(app_of(RememberingOrder))
async def late_cancel_fixed(world: World) -> None:
    """Without it."""
    await parcel_or_money(world)

"""Two-phase commit of a trip whose coordinator forgets a participant: a late word on the abort counts for the commit.

A trip is booked with four suppliers, or with none.  The first attempt, at the sale price, is refused by the hotel and
aborted.  The second follows as soon as the regular price is known, which a desk asks of a desk of a desk: with presumed
abort nobody needs to wait until all have confirmed the first one's end.  The coordinator enlists who has voted for
the present attempt, and strikes off whoever confirms that it has ended.  Votes say which attempt they are for, and
the coordinator looks at it.  It does not at that of confirmations: one of the first attempt that arrives behind the
vote for the second strikes that supplier off, and it never hears that the trip was committed.

Depth 1: a supplier's vote for the second attempt comes before its confirmation of the first one's end.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, World, scenario

DEPTH = 1
RACING = {
    "object": "TRIP/t-1",
    "key": "enlisted",
    "events": ("vote (SUPPLIER/", "ended (SUPPLIER/"),
    "lines": ("[*enlisted, supplier]", "[s for s in enlisted if s != supplier]"),
}
RATE = (92, 20_000)
SUPPLIERS = ("flight", "hotel", "car", "insurance")
DESKS = ("agency", "wholesale", "tariffs", "exchange", "taxes")
SALE = 300


class Trip(DurableObject):
    """The coordinator of one trip."""

    async def book(self) -> None:
        self.attempt(0, SALE)

    def attempt(self, nth: int, price: int) -> None:
        """Ask everybody to prepare."""
        kv = self.ctx.storage.kv
        kv.put("attempt", nth)
        kv.put("enlisted", [])
        for supplier in SUPPLIERS:
            self.supplier(supplier).prepare(self.ctx.id.name, nth, price)

    async def vote(self, supplier: str, nth: int, yes: bool) -> None:
        """One has prepared, or cannot."""
        kv = self.ctx.storage.kv
        if nth != kv.get("attempt") or kv.get("outcome") is not None:
            return  # of an attempt that has ended
        if not yes:
            await self.abort(nth)
            return
        enlisted: list[str] = kv.get("enlisted", [])
        kv.put("enlisted", [*enlisted, supplier])
        kv.put(f"votes {nth}", kv.get(f"votes {nth}", 0) + 1)
        if kv.get(f"votes {nth}") == len(SUPPLIERS):
            self.commit(nth)

    async def abort(self, nth: int) -> None:
        """Tell everybody, and try once more at the regular price."""
        kv = self.ctx.storage.kv
        kv.put("attempt", None)
        for supplier in SUPPLIERS:
            self.supplier(supplier).abort(self.ctx.id.name, nth)
        if nth:
            kv.put("outcome", "aborted")
        else:
            self.attempt(1, await self.env.DESK.get_by_name(DESKS[0]).regular_price(0))

    def commit(self, nth: int) -> None:
        """All have voted yes: tell those that are enlisted."""
        self.ctx.storage.kv.put("outcome", "committed")
        for supplier in self.ctx.storage.kv.get("enlisted"):
            self.supplier(supplier).commit(self.ctx.id.name, nth)

    def ended(self, supplier: str, nth: int) -> None:
        """It knows that its attempt has ended: no need to tell it anything more."""
        enlisted: list[str] = self.ctx.storage.kv.get("enlisted", [])
        self.ctx.storage.kv.put("enlisted", [s for s in enlisted if s != supplier])

    def supplier(self, name: str) -> Any:
        return self.env.SUPPLIER.get_by_name(name)


class CarefulTrip(Trip):
    """Strikes off only whoever confirms the end of the present attempt."""

    def ended(self, supplier: str, nth: int) -> None:
        if nth == self.ctx.storage.kv.get("attempt"):
            super().ended(supplier, nth)


class Supplier(DurableObject):
    """One participant; the trip's state here is prepared, then booked, or nothing."""

    def prepare(self, trip: str, nth: int, price: int) -> None:
        name = self.ctx.id.name
        kv = self.ctx.storage.kv
        if nth <= kv.get("ended", -1) or nth < kv.get("attempt", -1):
            return  # aborted meanwhile, or of the past
        free = name != "hotel" or price > SALE
        if free:
            kv.put("state", "prepared")
            kv.put("attempt", nth)
        self.env.TRIP.get_by_name(trip).vote(name, nth, free)

    def abort(self, trip: str, nth: int) -> None:
        kv = self.ctx.storage.kv
        kv.put("ended", max(nth, kv.get("ended", -1)))
        if kv.get("attempt") == nth:
            kv.delete("state")
        self.env.TRIP.get_by_name(trip).ended(self.ctx.id.name, nth)

    def commit(self, trip: str, nth: int) -> None:
        self.ctx.storage.kv.put("state", "booked")
        self.env.TRIP.get_by_name(trip).ended(self.ctx.id.name, nth)


class Desk(DurableObject):
    """One of those who are asked for the price, and only the last of whom knows it."""

    async def regular_price(self, nth: int) -> int:
        if nth + 1 == len(DESKS):
            return SALE + 100
        price: int = await self.env.DESK.get_by_name(DESKS[nth + 1]).regular_price(nth + 1)
        return price


def app_of(trip: type[Trip]) -> Mesh:
    return Mesh(bindings={"TRIP": trip, "SUPPLIER": Supplier, "DESK": Desk})


async def all_or_none(world: World) -> None:
    """When all is quiet the trip is booked with all suppliers, or with none."""
    objects: Any = world.env
    objects.TRIP.get_by_name("t-1").book()
    await world.settle()
    outcome = world.object("TRIP", "t-1").storage.kv.get("outcome")
    states = {name: world.object("SUPPLIER", name).storage.kv.get("state") for name in SUPPLIERS}
    expected = "booked" if outcome == "committed" else None
    forgotten = [name for name, state in states.items() if state != expected]
    assert not forgotten, f"the trip is {outcome}, and {', '.join(forgotten)} never heard of it: {states}"


@scenario(app_of(Trip))
async def two_phase(world: World) -> None:
    """With the bug."""
    await all_or_none(world)


@scenario(app_of(CarefulTrip))
async def two_phase_fixed(world: World) -> None:
    """Without it."""
    await all_or_none(world)

"""A subscription renewed by an alarm, and charged twice where the object ends between the charge and its note of it.

An alarm runs at least once (AL-11, AL-28).  If the object is taken away while the handler waits for the bank, or
before its note of the charge is durable, the handler runs again from its beginning.  `FixedSubscription` says
which period it charges for, and the bank charges each period once.

Depth 1: one subscription ends at the boundary behind its charge.
"""

from __future__ import annotations

from typing import Any

import trio

from lumenize_sim import DurableObject, Faults, Mesh, World, scenario

DEPTH = 1
RATE = (94, 20_000)
RACING = {
    "object": "SUBSCRIPTION/s3",
    "key": ("alarm", "charge", "period"),
    "events": (("alarm", "charge"), ("crash", "evict", "deploy")),
    "lines": (("await self.charge(", ".charge(what)"),),
}
#: Name to plan; the bank hears of one of them.
SUBSCRIPTIONS = {"s1": "free", "s2": "free", "s3": "yearly", "s4": "free", "s5": "free", "s6": "free", "s7": "free"}
PERIOD_MS = 30_000
KINDS = (
    "hibernate", "evict", "slow-flush", "late-alarm", "twice-alarm", "unreached-alarm", "slow-scheduler", "deploy",
    "crash",
)  # fmt: skip
faults = Faults(kinds=KINDS, at_most=2, targets=("SUBSCRIPTION/",))


class Bank(DurableObject):
    """An account, and what was charged to it."""

    async def charge(self, what: str, reference: str | None = None) -> None:
        kv = self.ctx.storage.kv
        if reference is None or reference not in kv.get("references", []):
            kv.put("charges", [*kv.get("charges", []), what])
            kv.put("references", [*kv.get("references", []), reference])


class Subscription(DurableObject):
    """Counts what is used, and renews itself."""

    async def begin(self, plan: str) -> None:
        self.ctx.storage.kv.put("plan", plan)
        self.ctx.storage.kv.put("period", 1)
        self.ctx.storage.set_alarm(self.ctx.now() + PERIOD_MS)

    async def use(self) -> int:
        used: int = self.ctx.storage.kv.get("used", 0) + 1
        self.ctx.storage.kv.put("used", used)
        return used

    async def alarm(self, info: Any) -> None:
        period: int = self.ctx.storage.kv.get("period")
        if self.ctx.storage.kv.get("plan") != "free":
            await self.charge(f"{self.ctx.id.name} {period}")
        self.ctx.storage.kv.put("period", period + 1)

    async def charge(self, what: str) -> None:
        await self.env.BANK.get_by_name("shared").charge(what)


class FixedSubscription(Subscription):
    """Has the bank know what it is that it charges for."""

    async def charge(self, what: str) -> None:
        await self.env.BANK.get_by_name("shared").charge(what, reference=what)


def app_of(subscription: type[Subscription]) -> Mesh:
    return Mesh(bindings={"SUBSCRIPTION": subscription, "BANK": Bank})


async def one_period(world: World) -> None:
    """The first period of everybody ends: nobody is charged for it twice."""
    objects: Any = world.env

    async def used(name: str, plan: str) -> None:
        subscription = objects.SUBSCRIPTION.get_by_name(name)
        try:
            await subscription.begin(plan)
            for _ in range(5):
                await subscription.use()
        except Exception:
            world.sometimes("somebody was turned away")

    async with trio.open_nursery() as everybody:
        for name, plan in SUBSCRIPTIONS.items():
            everybody.start_soon(used, name, plan)
    await world.advance(40)
    world.quiet()
    await world.advance(400)
    charges: list[str] = world.object("BANK", "shared").storage.kv.get("charges", [])
    for what in charges:
        assert charges.count(what) == 1, f"charged {charges.count(what)} times for {what}"


@scenario(app_of(Subscription), faults=faults)
async def alarm_twice(world: World) -> None:
    """With the bug."""
    await one_period(world)


@scenario(app_of(FixedSubscription), faults=faults)
async def alarm_twice_fixed(world: World) -> None:
    """Without it."""
    await one_period(world)

"""The meters of one world: one for each object, and how long each was active (BL-4 to BL-6).

State changes only where something happens, and what happens takes no time; so an object's
life before the clock moves is what it was all the while.  Only objects that have had a
turn since they came to rest are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lumenize_sim.objects.billing import Consumption, Meter
from lumenize_sim.objects.life import Life
from lumenize_sim.world.cost import CostReport, ObjectCost

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["Metering"]

#: Idle and hibernateable time is free, the ten seconds before hibernation included (BL-4).
_BILLED = (Life.CONSTRUCTING, Life.ACTIVE, Life.IDLE_NON_HIBERNATEABLE)


class Metering:
    """See the module."""

    def __init__(self) -> None:
        self._meters: dict[ObjectMachine, Meter] = {}
        self._awake: dict[ObjectMachine, Meter] = {}
        self._since_us = 0

    def meter(self, machine: ObjectMachine) -> Meter:
        """The meter of a new object."""
        found = self._meters[machine] = Meter()
        return found

    def woke(self, machine: ObjectMachine) -> None:
        """It takes a turn."""
        if machine not in self._awake:
            self._awake[machine] = self._meters[machine]

    def time_moves(self, now_us: int) -> None:
        """The clock is about to say ``now_us``."""
        passed_us, self._since_us = now_us - self._since_us, now_us
        for machine, meter in list(self._awake.items()):
            # One that was replaced and goes on beside its successor is billed as well (LC-11).
            instances = sum(stale.busy for stale in machine.succession.stale)
            if machine.life in _BILLED:
                instances += 1
            if instances:
                meter.active_us += passed_us * instances
            else:
                del self._awake[machine]

    def report(self) -> CostReport:
        """What every object has used that anybody has sent anything to."""
        found = []
        for machine, meter in self._meters.items():
            durable = machine.durable
            used = meter.read(turns=machine.turns, sql_bytes=durable.sql_bytes, kv_bytes=durable.kv_bytes)
            if used != Consumption():
                found.append(ObjectCost(name=machine.name, class_name=machine.cls.__name__, used=used))
        return CostReport(objects=tuple(found))

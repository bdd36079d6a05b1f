"""How long objects have had nothing to do, and what becomes of them then (LC-14 to LC-19).

Watching costs an entry of a dictionary for each turn after which an object rests.  Times
at which something will become of one are not events: whether an object is idle then does
not depend on the order of anything that happens at the same time.  The kernel only stops
there when it moves the clock.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from lumenize_sim.objects.life import Life

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine
    from lumenize_sim.world.world import World

__all__ = ["EVICTION_S", "Idleness"]

#: From when, and until when at the latest, an object that cannot hibernate is evicted (LC-15).
EVICTION_S: Final = (70.0, 140.0)


class Idleness:
    """The idle objects of one world."""

    def __init__(self, world: World) -> None:
        options = world.options
        self._world = world
        self._agenda = world.kernel.agenda
        self._hibernate_us = round(options.hibernate_after_s * 1_000_000)
        self._sweeps = options.objects.runtime == "workerd"
        # In the order in which they came to rest, which is that of their times.
        self._resting: dict[ObjectMachine, int] = {}
        # Those that could not hibernate: (when to evict, order, object, since when it rests).
        self._held: list[tuple[int, int, ObjectMachine, int]] = []
        self._entries = 0

    def rests(self, machine: ObjectMachine) -> None:
        """``machine`` has nothing to do from now on; if it had nothing to do before, its time begins anew (LC-16)."""
        resting = self._resting
        resting.pop(machine, None)
        resting[machine] = self._agenda.now_us

    def stop_at(self, due_us: int) -> int:
        """``due_us``, or the time before at which something becomes of an object."""
        for since_us in self._resting.values():
            due_us = min(due_us, since_us + self._hibernate_us)
            break
        return min(due_us, self._held[0][0]) if self._held else due_us

    def time_moved(self, now_us: int) -> None:
        """Whoever's time has come hibernates, is evicted, or is watched for longer."""
        resting, held = self._resting, self._held
        for machine, since_us in list(resting.items()):
            if now_us - since_us < self._hibernate_us:
                break
            del resting[machine]
            if machine.life is Life.IDLE_NON_HIBERNATEABLE:
                self._hold(machine, since_us, self._evict_us(machine, since_us))
            else:
                machine.hibernate()
        while held and held[0][0] <= now_us:
            _, _, machine, since_us = heappop(held)
            if machine in resting or machine.life is not Life.IDLE_NON_HIBERNATEABLE:
                continue  # something has happened there since, and it has rested anew or has not
            left_us = machine.succession.protected_us()
            if left_us:
                self._hold(machine, since_us, now_us + left_us)
            else:
                machine.evict()

    def _hold(self, machine: ObjectMachine, since_us: int, due_us: int) -> None:
        heappush(self._held, (due_us, self._entries, machine, since_us))
        self._entries += 1

    def _evict_us(self, machine: ObjectMachine, since_us: int) -> int:
        options = self._world.options
        first_us, last_us = (round(s * 1_000_000) for s in EVICTION_S)
        if options.evict_after_s is not None:
            return since_us + round(options.evict_after_s * 1_000_000)
        if self._sweeps:
            # A sweep takes who was last used longer ago than the time between two of them.
            return ((since_us + first_us) // first_us + 1) * first_us
        return since_us + self._world.drawn("evict", machine.name).randint(first_us, last_us)

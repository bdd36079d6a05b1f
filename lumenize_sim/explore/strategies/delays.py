"""First come, first served, with one to three delays.

Emmi, Qadeer, Rakamaric: Delay-Bounded Scheduling, POPL 2011.

At d random steps the event that is about to happen is put behind everything that can
happen now and everything that comes of it, and goes once nothing else can.  Guarantee: a
bug that shows when d certain events are late is found with a probability of at least
1 / n^d in runs of n events, however many other orders there are.

In every fourth schedule it gives way to `SlowChain`, since a message that is late at one hop only
never misses a timer that is further away than that.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.explore.profile import Profile
from lumenize_sim.kernel.event import Event

__all__ = ["FewDelays"]


class FewDelays:
    """See the module.

    Args:
        delays: how many.
    """

    __slots__ = ("_generator", "_step", "_steps")

    def __init__(self, generator: random.Random, profile: Profile, *, delays: int) -> None:
        self._generator = generator
        events = max(2, profile.events)
        self._steps = sorted(generator.randrange(events) for _ in range(delays))
        self._step = 0

    def created(self, event: Event) -> None:
        """On time."""
        event.priority = 0.0

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The oldest that is not late, or the late one that was put off first."""
        index = self._first(enabled)
        late_only = enabled[index].priority > 0
        if late_only and time_step and self._generator.random() < 0.5:
            return len(enabled)
        while self._steps and self._steps[0] <= self._step and len(enabled) > 1:
            self._steps.pop(0)
            enabled[index].priority = 1.0 + self._step
            index = self._first(enabled)
        return index

    def happens(self, event: Event) -> None:
        """One step more."""
        self._step += 1

    @staticmethod
    def _first(enabled: Sequence[Event]) -> int:
        return min(range(len(enabled)), key=lambda index: enabled[index].priority)

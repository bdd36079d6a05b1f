"""First come, first served, with one slow chain.

From a random step on, whatever comes of the event that happens there takes its time on
each hop: as long as it may, or how long is drawn for each.  Time passes meanwhile, so that timers
which no single late message can miss are missed by several in a row.  Guarantee: where a bug shows when
everything that comes of a certain event is as late as can be, for `_MOST_S` in all, it is found with a probability
of at least 1 / 2n in runs of n events.

There is a most because an object that waits for ten seconds hibernates (LC-14), and has no memory then.  Apps that
cannot do without it are to be found by that fault, and not in a world where nothing goes wrong but that all is slow.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from lumenize_sim.explore.profile import Profile
from lumenize_sim.kernel.event import Event

__all__ = ["SlowChain"]

_MOST_S: Final = 9.5


class SlowChain:
    """See the module."""

    __slots__ = ("_generator", "_left_us", "_slow", "_step", "_wholly", "_within")

    def __init__(self, generator: random.Random, profile: Profile) -> None:
        self._generator = generator
        self._slow: dict[str, None] = {}
        self._step = generator.randrange(max(1, profile.events))
        self._wholly = generator.random() < 0.5
        self._within = False
        self._left_us = round(_MOST_S * 1_000_000)

    def created(self, event: Event) -> None:
        """Slow, where it comes of something slow."""
        if self._within:
            self._slow[event.label] = None

    def lateness_us(self, event: Event) -> int:
        """All the time that it may take, or some of it."""
        longest = min(event.delay_limit_us, self._left_us)
        if event.label not in self._slow or not longest:
            return 0
        late = longest if self._wholly else self._generator.randint(1, longest)
        self._left_us -= late
        return late

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The oldest."""
        return 0

    def happens(self, event: Event) -> None:
        """One step more; what is made from now on comes of it."""
        self._within = not self._step or event.label in self._slow
        self._step -= 1

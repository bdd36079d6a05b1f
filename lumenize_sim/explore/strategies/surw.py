"""Selectively uniform random walk: uniform over the orders of the events that matter.

Zhao, Wolff, Mathur, Roychoudhury: Selectively Uniform Concurrency Testing, ASPLOS 2025.

For each run one receiver is drawn, by how many arrivals can trade places there; its
arrivals are the interesting events.  Which of the trees that can go on brings the next
interesting event is drawn in proportion to how many interesting events each still holds,
and down the tree in the same way; until it has come, the interesting events of other
trees wait.  Everything else goes at random.  Guarantee: all orders of the interesting
events are equally likely, whatever else the run does, as far as it resembles the profile.
So a race at one object is found as fast as if nothing else happened.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.explore.profile import Profile
from lumenize_sim.explore.strategies.drawing import weighted
from lumenize_sim.kernel.event import Event

__all__ = ["SelectivelyUniformWalk"]


class SelectivelyUniformWalk:
    """See the module.

    Attributes:
        receiver: whose arrivals are interesting; ``None`` where nothing can trade places.
    """

    __slots__ = ("_children", "_generator", "_intended", "_now", "_weights", "receiver")

    def __init__(self, generator: random.Random, profile: Profile) -> None:
        self._generator = generator
        arrivals = {receiver: n for receiver, n in profile.arrivals().items() if n > 1}
        self.receiver: str | None = None
        if arrivals:
            self.receiver = list(arrivals)[weighted(generator, [float(n - 1) for n in arrivals.values()])]
        receiver = self.receiver
        self._weights = profile.weights(lambda other: other == receiver)
        self._intended: Event | None = None
        self._children: list[Event] = []
        self._now: Event | None = None

    def created(self, event: Event) -> None:
        """How many interesting events will come of it."""
        event.priority = self._weights.of(event.label, 0.0)
        if event.receiver == self.receiver:
            event.priority = max(1.0, event.priority)
        self._children.append(event)

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """Anything but the interesting events of other trees."""
        self._aim(enabled)
        allowed = [
            index
            for index, event in enumerate(enabled)
            if event is self._intended or event.receiver is None or event.receiver != self.receiver
        ]
        if not allowed:
            allowed = list(range(len(enabled)))
        drawn = self._generator.randrange(len(allowed) + time_step)
        if drawn == len(allowed):
            return len(enabled)
        return allowed[drawn]

    def happens(self, event: Event) -> None:
        """What is made now comes of it."""
        self._children.clear()
        self._now = event

    def _aim(self, enabled: Sequence[Event]) -> None:
        """Keep the intended tree: the event that was to go, or the child that it has left it to."""
        intended = self._intended
        if intended is not None and intended is self._now:
            self._intended = None
            if intended.receiver != self.receiver:
                self._intended = self._draw(self._children)
        elif intended is not None and intended.cancelled:
            self._intended = None
        if self._intended is None:
            self._intended = self._draw(enabled)

    def _draw(self, events: Sequence[Event]) -> Event | None:
        weights = [event.priority for event in events]
        return events[weighted(self._generator, weights)] if sum(weights) > 0 else None

"""Uniform random walk: every order of the run is as likely as every other.

After Zhao, Wolff, Mathur, Roychoudhury: Selectively Uniform Concurrency Testing,
ASPLOS 2025, where threads are weighed by how many events they have left.

Here events come of events.  If the same ones came in every order they would form a
forest, each event below the one during which it was made, and a run would be an order
of the forest in which parents precede children.  Picking each root with a probability
proportional to the size of its tree draws all such orders with the same probability
(the last factors of the hook-length formula).  A plain random walk is far from it: with
a chain of twenty and a lone event, the lone one comes last once in a million runs
instead of once in twenty-one.  Sizes come from a profile, so the guarantee holds as far
as runs resemble it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.explore.profile import Profile
from lumenize_sim.explore.strategies.drawing import weighted
from lumenize_sim.kernel.event import Event

__all__ = ["UniformWalk"]


class UniformWalk:
    """See the module."""

    __slots__ = ("_generator", "_weights")

    def __init__(self, generator: random.Random, profile: Profile) -> None:
        self._generator = generator
        self._weights = profile.weights()

    def created(self, event: Event) -> None:
        """What will come of it."""
        event.priority = max(1.0, self._weights.of(event.label))

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """In proportion to what is still to come of each; a step of time weighs as one event."""
        return weighted(self._generator, [event.priority for event in enabled] + [1.0] * time_step)

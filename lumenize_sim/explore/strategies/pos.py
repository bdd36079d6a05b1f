"""Partial order sampling (Yuan, Yang, Gu: Partial Order Aware Concurrency Sampling, CAV 2018).

Every event has a random priority and the highest goes first; when it does, the events
that race with it (same receiver) draw new ones.  So the order of a racing pair is a
fair coin however many unrelated events stand between them, which a random walk is not.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.kernel.event import Event

__all__ = ["PartialOrderSampling"]


class PartialOrderSampling:
    """See the module."""

    __slots__ = ("_generator",)

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def created(self, event: Event) -> None:
        """Draw its priority."""
        event.priority = self._generator.random()

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The highest priority; a step of time draws one each time it is possible."""
        best, highest = 0, -1.0
        for index, event in enumerate(enabled):
            if event.priority > highest:
                best, highest = index, event.priority
        if time_step and self._generator.random() > highest:
            return len(enabled)
        receiver = enabled[best].receiver
        for event in enabled:
            if event.receiver == receiver or receiver is None or event.receiver is None:
                event.priority = self._generator.random()
        return best

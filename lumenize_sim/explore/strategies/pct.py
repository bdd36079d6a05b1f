"""Probabilistic concurrency testing over chains (Burckhardt et al., ASPLOS 2010; for messages: PCTCP).

Each causal chain, here the events that arrive at one receiver from one source, has a
random priority; the highest enabled one always goes first, except that at d - 1 random
steps of the run the chain that is about to go falls to the bottom.  A bug of depth d is
found with a probability of at least 1 / (chains x steps^(d-1)).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.kernel.event import Event

__all__ = ["Pct"]


class Pct:
    """See the module.

    Args:
        depth: how many orderings the bug needs.
        events: the expected length of a run.
    """

    __slots__ = ("_changes", "_floor", "_generator", "_priorities", "_step")

    def __init__(self, generator: random.Random, *, depth: int, events: int) -> None:
        self._generator = generator
        self._priorities: dict[str, float] = {}
        self._changes = sorted(generator.randrange(max(1, events)) for _ in range(depth - 1))
        self._floor = 0.0
        self._step = 0

    def created(self, event: Event) -> None:
        """Give its chain a priority."""
        event.priority = self._of(event)

    def _of(self, event: Event) -> float:
        chain = f"{event.receiver}<{event.label.rpartition('#')[0] or event.label}"
        if chain not in self._priorities:
            self._priorities[chain] = 1.0 + self._generator.random()
        return self._priorities[chain]

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The highest chain, after the changes that are due."""
        self._step += 1
        best = max(range(len(enabled)), key=lambda index: (self._of(enabled[index]), -index))
        while self._changes and self._changes[0] < self._step:
            self._changes.pop(0)
            event = enabled[best]
            chain = f"{event.receiver}<{event.label.rpartition('#')[0] or event.label}"
            self._floor -= 1.0
            self._priorities[chain] = self._floor
            best = max(range(len(enabled)), key=lambda index: (self._of(enabled[index]), -index))
        if time_step and self._generator.random() < 0.05:
            return len(enabled)
        return best

"""Probabilistic concurrency testing over causal chains (PCTCP).

Ozkan, Majumdar, Niksic, Befrouei, Weissenbacher: Randomized Testing of Distributed
Systems with Probabilistic Guarantees, OOPSLA 2018, after Burckhardt et al., ASPLOS 2010.

Each causal chain has a random priority; the highest that can go on always does, except
that at d - 1 random steps of the run the chain that is about to go falls below all
others.  Guarantee: a bug of depth d, one that needs d orderings between events, is found
with a probability of at least 1 / (w^2 n^(d-1)) in a run of n events and w chains.  The
depth is not known, so it goes round 1, 2, 1, 3.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.explore.strategies.chains import Chains
from lumenize_sim.kernel.event import Event

__all__ = ["DEPTHS", "Pct"]

#: The depths, one schedule after the other: most bugs are shallow.
DEPTHS = (1, 2, 1, 3)


class Pct:
    """See the module.

    Args:
        depth: how many orderings the bug needs.
        events: the expected length of a run.
    """

    __slots__ = ("_chains", "_changes", "_generator", "_lows", "_priorities", "_step")

    def __init__(self, generator: random.Random, *, depth: int, events: int) -> None:
        self._generator = generator
        self._chains = Chains()
        self._priorities: list[float] = []
        self._changes = sorted(generator.randrange(max(1, events)) for _ in range(depth - 1))
        # Which of the fallen chains is the lower is drawn, too: a bug may need either, and the guarantee is for both.
        self._lows = [-float(low) for low in generator.sample(range(1, depth), depth - 1)]
        self._step = 0

    def created(self, event: Event) -> None:
        """Give its chain a priority, between those that there are."""
        self._priority(event)

    def _priority(self, event: Event) -> float:
        chain = self._chains.of(event)
        if chain == len(self._priorities):
            self._priorities.append(1.0 + self._generator.random())
        return self._priorities[chain]

    def _highest(self, enabled: Sequence[Event]) -> int:
        best, highest = 0, self._priority(enabled[0])
        for index in range(1, len(enabled)):
            priority = self._priority(enabled[index])
            if priority > highest:
                best, highest = index, priority
        return best

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The highest chain, after the changes that are due."""
        best = self._highest(enabled)
        while self._changes and self._changes[0] <= self._step:
            self._changes.pop(0)
            self._priorities[self._chains.of(enabled[best])] = self._lows.pop()
            best = self._highest(enabled)
        if time_step and self._generator.random() < 0.05:
            return len(enabled)
        return best

    def happens(self, event: Event) -> None:
        """One step more; what is made now comes of it."""
        self._step += 1
        self._chains.happens(event)

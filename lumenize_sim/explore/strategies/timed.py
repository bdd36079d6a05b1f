"""The timed network: each hop draws a latency, and order follows from time."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.kernel.event import Event
from lumenize_sim.world.options import Network

__all__ = ["Timed"]


class Timed:
    """First come, first served over latencies drawn per message."""

    __slots__ = ("_draw", "_generator", "_high", "_low")

    def __init__(self, generator: random.Random, network: Network) -> None:
        self._generator = generator
        self._low, self._high = (round(seconds * 1_000_000) for seconds in network.latency_s)
        self._draw = {
            "uniform": lambda: self._generator.randint(self._low, self._high),
            "exponential": self._exponential,
            "heavy-tailed": self._heavy_tailed,
        }[network.latency_is]

    def created(self, event: Event) -> None:
        """Events need no preparation."""

    def lateness_us(self, event: Event) -> int:
        """The latency of this hop."""
        return self._draw()

    def _exponential(self) -> int:
        mean = (self._high - self._low) / 5
        return min(self._high, self._low + (round(self._generator.expovariate(1 / mean)) if mean else 0))

    def _heavy_tailed(self) -> int:
        # A hop that takes its shortest time takes 1; where that is nothing, a thousandth of the longest stands for it.
        scale = self._low or self._high / 1000
        return min(self._high, round(self._low + scale * (self._generator.paretovariate(1.2) - 1)))

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The oldest."""
        return 0

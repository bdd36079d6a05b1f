"""The timed network: each hop draws a latency, and order follows from time."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.kernel.event import Event
from lumenize_sim.world.options import Network

__all__ = ["Timed"]


class Timed:
    """First come, first served over latencies drawn per message."""

    __slots__ = ("_generator", "_high", "_low")

    def __init__(self, generator: random.Random, network: Network) -> None:
        self._generator = generator
        self._low, self._high = (round(seconds * 1_000_000) for seconds in network.latency_s)

    def created(self, event: Event) -> None:
        """Events need no preparation."""

    def lateness_us(self, event: Event) -> int:
        """The latency of this hop."""
        return self._generator.randint(self._low, self._high)

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The oldest."""
        return 0

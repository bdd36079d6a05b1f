"""Random walk: every enabled event is as likely as every other.

No guarantee for rare orders, yet hard to beat where many schedules fail.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.kernel.event import Event

__all__ = ["RandomWalk"]


class RandomWalk:
    """Uniform at each step."""

    __slots__ = ("_generator",)

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def created(self, event: Event) -> None:
        """Events need no preparation."""

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """Any of them."""
        return self._generator.randrange(len(enabled) + time_step)

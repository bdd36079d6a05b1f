"""A fair phase behind an unfair strategy.

A run in which one actor never gets its turn proves nothing about liveness.  After so
many picks the strategy gives way to first come, first served, under which everything
that can happen does; what is then still missing at the end is missing for good.
"""

from __future__ import annotations

from collections.abc import Sequence

from lumenize_sim.kernel.chooser import Strategy
from lumenize_sim.kernel.event import Event

__all__ = ["FairInTheEnd"]


def _nothing(_: Event) -> None:
    pass


class FairInTheEnd:
    """``strategy`` for ``picks`` picks, then first come, first served."""

    __slots__ = ("_left", "_strategy", "happens")

    def __init__(self, strategy: Strategy, picks: int) -> None:
        self._strategy = strategy
        self.happens = getattr(strategy, "happens", _nothing)
        self._left = picks

    def created(self, event: Event) -> None:
        """As the strategy has it."""
        self._strategy.created(event)

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The strategy's, then the oldest."""
        self._left -= 1
        return self._strategy.pick(enabled, time_step) if self._left >= 0 else 0

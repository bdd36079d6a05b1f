"""Strategies: how a roaming run picks what happens next."""

from __future__ import annotations

import random

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.chooser import Strategy

__all__ = ["NAMES", "PORTFOLIO", "make_strategy"]

#: All names that `make_strategy` knows.
NAMES = ("fifo", "random", "pos", "pct")
#: The default mix, in turn, so that no prefix of a budget lacks one.
PORTFOLIO = ("random", "pos", "pct")


def make_strategy(name: str, generator: random.Random, *, events: int = 100, nth: int = 0) -> Strategy:
    """The strategy called ``name``, for one run.

    Args:
        name: one of `NAMES` but ``fifo``, which is no strategy but the guided default.
        generator: of this schedule.
        events: how long a run is, roughly.
        nth: the number of the schedule.
    """
    from lumenize_sim.explore.strategies.pct import Pct
    from lumenize_sim.explore.strategies.pos import PartialOrderSampling
    from lumenize_sim.explore.strategies.random_walk import RandomWalk

    if name == "random":
        return RandomWalk(generator)
    if name == "pos":
        return PartialOrderSampling(generator)
    if name == "pct":
        return Pct(generator, depth=(1, 2, 1, 3)[nth // len(PORTFOLIO) % 4], events=events)
    raise UsageError(f"strategy {name!r} is unknown; there is: {', '.join(NAMES)}")

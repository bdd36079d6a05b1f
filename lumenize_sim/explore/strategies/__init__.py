"""Strategies: how a roaming run picks what happens next.

Each is a module, with its guarantee and where it comes from.  The default is a portfolio
of all of them in turn: which one finds a bug first depends on the bug, and the price of
not knowing is at most their number.
"""

from __future__ import annotations

import random

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.profile import EMPTY, Profile
from lumenize_sim.explore.strategies.corpus import Corpus
from lumenize_sim.kernel.chooser import Strategy

__all__ = ["NAMES", "PORTFOLIO", "Corpus", "make_strategy", "strategy_of", "turn_of"]

#: The default mix, in turn, so that no prefix of a budget lacks one for long.  The first schedule is the world without
#: surprises instead of a random walk; what finds most bugs of few races comes right behind it.
PORTFOLIO = ("random", "reversal", "pos", "urw", "surw", "starve", "delays", "pct", "feedback")
#: All names that `make_strategy` knows, and the guided default.
NAMES = ("fifo", *PORTFOLIO)
#: After so many times the events of a plain run, an unfair strategy gives way to a fair phase.
_UNFAIR_FOR = 8
_EVENTS = 100


def strategy_of(schedule: int) -> str:
    """Which strategy the mix has for a schedule, by its number."""
    return PORTFOLIO[schedule % len(PORTFOLIO)]


def turn_of(schedule: int) -> int:
    """The number of a schedule of the mix among those of its strategy."""
    return schedule // len(PORTFOLIO)


def make_strategy(
    name: str,
    generator: random.Random,
    *,
    profile: Profile = EMPTY,
    turn: int = 0,
    corpus: Corpus | None = None,
) -> Strategy:
    """The strategy called ``name``, for one run.

    Args:
        name: one of `NAMES` but ``fifo``, which is no strategy but the guided default.
        generator: of this schedule.
        profile: of the world without surprises, where there is one.
        turn: the number of the run among those of this strategy.
        corpus: of the runs before, for ``feedback``; by default none.

    Raises:
        UsageError: there is none of that name.
    """
    from lumenize_sim.explore.strategies.delays import FewDelays
    from lumenize_sim.explore.strategies.fair import FairInTheEnd
    from lumenize_sim.explore.strategies.feedback import feedback
    from lumenize_sim.explore.strategies.pct import DEPTHS, Pct
    from lumenize_sim.explore.strategies.pos import PartialOrderSampling
    from lumenize_sim.explore.strategies.random_walk import RandomWalk
    from lumenize_sim.explore.strategies.reversal import Reversal
    from lumenize_sim.explore.strategies.slow import SlowChain
    from lumenize_sim.explore.strategies.starve import StarveOne
    from lumenize_sim.explore.strategies.surw import SelectivelyUniformWalk
    from lumenize_sim.explore.strategies.urw import UniformWalk

    events = profile.events or _EVENTS
    match name:
        case "random":
            return RandomWalk(generator)
        case "pos":
            return PartialOrderSampling(generator)
        case "pct":
            pct = Pct(generator, depth=DEPTHS[turn % len(DEPTHS)], events=events)
            return FairInTheEnd(pct, _UNFAIR_FOR * events)
        case "urw":
            return UniformWalk(generator, profile)
        case "surw":
            return SelectivelyUniformWalk(generator, profile)
        case "starve":
            return FairInTheEnd(StarveOne(generator, profile), _UNFAIR_FOR * events)
        case "delays":
            few = turn % 4
            return FewDelays(generator, profile, delays=1 + few) if few < 3 else SlowChain(generator, profile)
        case "feedback":
            return feedback(generator, corpus or Corpus())
        case "reversal":
            return Reversal(generator, profile, turn=turn, races=DEPTHS[turn % len(DEPTHS)])
        case _:
            raise UsageError(f"strategy {name!r} is unknown; there is: {', '.join(NAMES)}")

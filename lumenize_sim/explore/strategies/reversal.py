"""Reversal: a finished run again, with one to three of its races turned round.

After the way in which partial-order reduction goes from one run to the next (Flanagan,
Godefroid: Dynamic Partial-Order Reduction, POPL 2005), sampled; and after the constraints of Wolff, Shi, Duck,
Mathur, Roychoudhury: Greybox Fuzzing for Concurrency Testing, ASPLOS 2024.

A race of a run is a pair of events at one receiver of which the second neither came of the
first nor stood behind it on a link.  The strategy follows the run, but holds the first
until the second has happened, over steps of time if need be, and lets it go when that
does not come.  The first race is dealt, so that all of them are met before any is met again; half
the time each receiver gets the same number.  Guarantee: if a bug needs one of the n races of
the world without surprises to go the other way, and nothing else, it is found by the 2 n-th run of
this strategy at the latest, and if it needs d, with a probability of about 1 / n^d; events in
between do not count, since what need not wait does not.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from math import gcd

from lumenize_sim.explore.profile import Profile
from lumenize_sim.explore.sighting import Race
from lumenize_sim.kernel.event import Event

__all__ = ["Reversal", "TurnedRound", "dealt"]

#: How likely time passes over what is held when nothing else can happen; else it is let go.
_OVER_TIME = 0.75


class TurnedRound:
    """A run again, some events held until some others have happened.

    Args:
        places: label to position in the run that is followed; what is not in it keeps close to what it came of.
        held: label to that of the event for which it waits.
    """

    __slots__ = ("_at", "_generator", "_held", "_places", "_waited_for")

    def __init__(self, generator: random.Random, places: Mapping[str, int], held: Mapping[str, str]) -> None:
        self._generator = generator
        self._places = places
        self._held = dict(held)
        self._waited_for: dict[str, list[str]] = {}
        for label, other in held.items():
            self._waited_for.setdefault(other, []).append(label)
        self._at = 0.0

    def created(self, event: Event) -> None:
        """As in the run, or else right after what it came of."""
        place = self._places.get(event.label)
        event.priority = self._at + 0.5 if place is None else float(place)

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """The first in the run that is not held."""
        while True:
            best = -1
            for index, event in enumerate(enabled):
                if event.label not in self._held and (best < 0 or event.priority < enabled[best].priority):
                    best = index
            if best >= 0:
                return best
            if time_step and self._generator.random() < _OVER_TIME:
                return len(enabled)
            del self._held[enabled[0].label]

    def happens(self, event: Event) -> None:
        """Let go of what waited for it."""
        self._at = event.priority
        self._held.pop(event.label, None)
        for label in self._waited_for.pop(event.label, ()):
            self._held.pop(label, None)


class Reversal(TurnedRound):
    """See the module.

    Args:
        profile: of the run that is followed.
        turn: number of the run among those of this strategy.
        races: how many are turned round.
    """

    __slots__ = ()

    def __init__(self, generator: random.Random, profile: Profile, *, turn: int, races: int) -> None:
        run = profile.run
        held: dict[str, str] = {}
        if run.races:
            first, second = dealt(run.races, turn, profile.seed)
            held[first] = second
            for _ in range(races - 1):
                race = run.race(generator)
                if race is not None:
                    held.setdefault(*race)
        super().__init__(generator, run.places, held)


def dealt(races: Sequence[Sequence[Race]], turn: int, seed: int) -> Race:
    """The race for one turn: alternately of all of them, and of those at one receiver after the other."""
    turn, by_receiver = divmod(turn, 2)
    if by_receiver:
        turn, place = divmod(turn, len(races))
        pile: Sequence[Race] = races[place]
    else:
        pile = [race for pairs in races for race in pairs]
    # A stride that has no divisor in common with their number comes to all of them.
    draw = random.Random(f"{seed}/{by_receiver}/{len(pile)}")
    start, stride = draw.randrange(len(pile)), draw.randrange(1, max(2, len(pile)))
    while gcd(stride, len(pile)) > 1:
        stride = stride % len(pile) + 1
    return pile[(start + turn * stride) % len(pile)]

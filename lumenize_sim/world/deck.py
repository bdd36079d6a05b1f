"""A deck of faults: which goes wrong in which schedule, so that each is met before any is met again.

Drawn with replacement, one fault of n is met after 0.7 n draws in the median, but one time in twenty
only after 3 n.  Dealt from a shuffled deck it is n/2 and n.  The deck is a function of seed, census and the number
of the schedule, and of nothing that other runs did: schedules may be run in any order, by
anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.world.faults import KINDS, NO_FAULT, Faults, draw_one, with_flushes
from lumenize_sim.world.randomness import generator

__all__ = ["Deck"]

#: The share of schedules whose first fault is dealt; of the rest, what is not without fault is drawn.
_DEALT: Final = 0.55
#: Cards in a round at least, so that the shares come out with few kinds as well.
_ROUND: Final = 11

#: A place without any fault.
_EMPTY: Final = ("", -1)

Fault = tuple[str, int]
Census = Mapping[tuple[str, str], Sequence[int]]


class Deck:
    """See the module.

    A round has a place for each kind, the same number for all, and places without
    fault and for faults that are drawn.  At its places a kind deals from two piles by turns: one of all its
    boundaries and variants, and one that goes round the targets, because neither an actor with few boundaries nor
    one with many shall be left out.

    Args:
        faults: what may go wrong.
        census: where it could in the world without surprises.
        seed: shuffles.
    """

    def __init__(self, faults: Faults, census: Census, seed: int) -> None:
        self._faults = faults
        self._places = faults.places(census)
        self._seed = seed
        kinds = list(self._places)
        self._repeats = -(-_ROUND // max(1, len(kinds)))
        dealt: list[tuple[str, int] | None] = [(kind, turn) for kind in kinds for turn in range(self._repeats)]
        self._size = round(len(dealt) / _DEALT)
        self._none = round(self._size * NO_FAULT)
        self._slots = dealt + [None] * (self._size - len(dealt))
        self._round: tuple[int, list[tuple[str, int] | None]] = (-1, [])
        self._targets = {kind: _Piles(seed, kind, _by_target(kind, self._places[kind])) for kind in kinds}
        self._all = {kind: _Piles(seed, f"{kind} all", [piles.everything]) for kind, piles in self._targets.items()}

    def plan(self, nth: int, met: Census | None = None) -> dict[str, int]:
        """What goes wrong in schedule ``nth``, label to value.

        Args:
            met: boundaries that other runs came to; some plans are drawn from there.
        """
        if not self._places:
            return {}
        draw = generator(self._seed, "faults", str(nth))
        round_, place = divmod(nth, self._size)
        slot = self._slot(round_, place)
        if slot == _EMPTY:
            return {}
        if slot is None:
            places = (self._faults.places(met) if met else None) or self._places
            first = draw_one(draw, places)
        else:
            kind, turn = slot
            first = self._card(kind, round_ * self._repeats + turn)
        plan = dict([first])
        for _ in range(self._faults.how_many(draw) - 1):
            label, value = draw_one(draw, self._places)
            plan.setdefault(label, value)
        return with_flushes(plan)

    def _slot(self, round_: int, place: int) -> tuple[str, int] | None:
        if self._round[0] != round_:
            slots = list(self._slots)
            empty = 0
            for index, slot in enumerate(slots):
                if slot is None and empty < self._none:
                    slots[index] = _EMPTY
                    empty += 1
            generator(self._seed, "round", str(round_)).shuffle(slots)
            self._round = (round_, slots)
        return self._round[1][place]

    def _card(self, kind: str, nth: int) -> Fault:
        """The ``nth`` card that ``kind`` deals."""
        turn, by_target = divmod(nth, 2)
        return (self._targets if by_target else self._all)[kind].card(turn)


def _by_target(kind: str, places: Sequence[tuple[str, Sequence[int]]]) -> list[list[Fault]]:
    values = range(1, KINDS[kind][0])
    return [
        [(fault_label(kind, target, nth), value) for nth in possible for value in values] for target, possible in places
    ]


class _Piles:
    """Piles from which cards are dealt by turns, each shuffled again when all of it was dealt."""

    def __init__(self, seed: int, name: str, piles: Sequence[Sequence[Fault]]) -> None:
        self._seed = seed
        self._name = name
        self._piles = piles
        self._shuffled: dict[int, tuple[int, list[Fault]]] = {}

    @property
    def everything(self) -> list[Fault]:
        """All cards."""
        return [card for pile in self._piles for card in pile]

    def card(self, nth: int) -> Fault:
        """The ``nth`` that is dealt."""
        lap, place = divmod(nth, len(self._piles))
        pile = self._piles[place]
        shuffle, at = divmod(lap, len(pile))
        known = self._shuffled.get(place)
        if known is None or known[0] != shuffle:
            order = list(pile)
            generator(self._seed, "pile", self._name, str(place), str(shuffle)).shuffle(order)
            known = self._shuffled[place] = (shuffle, order)
        return known[1][at]

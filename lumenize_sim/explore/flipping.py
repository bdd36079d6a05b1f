"""Flipping: shrinking by the pairs of events that stand the other way round than in a plain run.

Because each choice that is left out moves the places of all others, pairs take the place of choices at first,
where many are left, and in the end again, where few are and may do with one or two pairs; see `flips`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from lumenize_sim.explore.attempts import Attempts, size_of
from lumenize_sim.explore.flips import Flip, flips_of, minimised
from lumenize_sim.explore.namesakes import namesakes
from lumenize_sim.explore.sighting import Log
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import DRIVER

__all__ = ["MANY", "by_few_flips", "by_flips", "by_flips_elsewhere"]

#: So many choices are many.
MANY = 3
#: Runs that flips may take at first, in place of choices at other receivers, and for trying one or two of the last.
_FIRST = 80
_ELSEWHERE = 24
_LAST = 16
#: How often pairs are added that stand otherwise because of others.
_ROUNDS = 3


def by_flips(attempts: Attempts) -> None:
    """The same failure by fewer pairs of events than it has choices of order."""
    if _orders(attempts.best) >= MANY:
        flipping = _Flipping(attempts, _FIRST)
        flipping.minimise((_but_at(DRIVER, flipping.flips), flipping.flips))


def by_few_flips(attempts: Attempts) -> None:
    """One pair that stands the other way round in the best run may do alone, or two."""
    orders = _orders(attempts.best)
    if orders < 2:
        return
    flipping = _Flipping(attempts, _LAST)
    size = size_of(attempts.best)
    for many in range(1, min(orders, MANY)):
        for some in combinations(flipping.flips, many):
            if flipping.fails(some) and size_of(attempts.best) < size:
                return


def by_flips_elsewhere(attempts: Attempts) -> None:
    """What was chosen at one receiver may be needed only because of the numbers that events have by it.

    A message that is never answered, say, leaves its number to the answer to the next one, and whatever is chosen about
    that means another one without it.  So pairs of all other receivers are told by the `namesakes` of a plain run.
    """
    if len(attempts.best) < MANY or not _orders(attempts.best):
        return
    flipping = _Flipping(attempts, _ELSEWHERE, renamed=True)
    if not flipping.renames:
        return
    places = dict.fromkeys(choice.place[0] for choice in attempts.best if choice.kind == "order")
    flipping.minimise([*(_but_at(receiver, flipping.flips) for receiver in (*places, DRIVER)), flipping.flips])


class _Flipping:
    """The pairs that stand the other way round in the best run, and what comes of some of them.

    Args:
        runs: that may be made.
        renamed: events have the names of the plain run.

    Attributes:
        flips: the pairs.
        renames: some event has another name there, or none.
    """

    def __init__(self, attempts: Attempts, runs: int, *, renamed: bool = False) -> None:
        rest = tuple(choice for choice in attempts.best if choice.kind != "order")
        failing, plain = (attempts.looked_at(choices) for choices in (attempts.best, rest))
        self._attempts = attempts
        self._rest = tuple(choice for choice in rest if choice.kind != "delay")
        self._late = {choice.site: choice.value for choice in rest if choice.kind == "delay"}
        self._run, self._log = failing.profile().run, failing.log
        self._happened: dict[str, None] | None = None
        self.renames = False
        if renamed:
            names = namesakes(plain, failing)
            self.renames = any(names.get(label) != label for label in failing.made)
            self._run = plain.profile().run
            self._log = [(receiver, names[label]) for receiver, label in failing.log if label in names]
            self._late = {names.get(label, label): value for label, value in self._late.items()}
            self._happened = {label: None for _, label in self._log}
        self._most = min(attempts.budget, attempts.replays + runs)
        self._known: dict[tuple[Flip, ...], tuple[Log, bool]] = {}
        self.flips = self._against(plain.log)

    def minimise(self, groups: Iterable[list[Flip]]) -> None:
        """Find the fewest of the first of ``groups`` that fails."""
        for some in groups:
            enough = self._completed(some)
            if enough:
                minimised(enough, self.fails)
                return

    def fails(self, some: Sequence[Flip]) -> bool:
        """Whether ``some`` fail; not any more when enough runs have been made."""
        key = tuple(some)
        if key not in self._known:
            if self._attempts.replays >= self._most:
                return False
            log, taken = self._attempts.flipped(some, self._run, self._late, self._rest)
            self._known[key] = log, taken is not None
            if taken is not None:
                self._attempts.take(taken)
        return self._known[key][1]

    def _completed(self, some: list[Flip]) -> list[Flip]:
        """``some`` and what stands otherwise than in the failing run by them; nothing where that does not fail.

        An event that is early now may pass others that came behind it in the plain run as in the failing one.
        """
        for _ in range(_ROUNDS):
            if not some or self.fails(some):
                return some
            log, _ = self._known.get(tuple(some), ((), False))
            known = dict.fromkeys(some)
            more = [flip for flip in self._against(log) if flip not in known]
            if not more:
                break
            some = [*some, *more]
        return []

    def _against(self, log: Log) -> list[Flip]:
        flips = flips_of(log, self._log)
        if self._happened is None:
            return flips
        # Of what is nothing like it in the failing run, nothing is known.
        return [flip for flip in flips if flip.late in self._happened]


def _orders(choices: Sequence[Choice]) -> int:
    return sum(choice.kind == "order" for choice in choices)


def _but_at(receiver: str, flips: Sequence[Flip]) -> list[Flip]:
    """Those of other receivers; but at the driver, that have to do with no event of it."""
    if receiver == DRIVER:
        return [flip for flip in flips if not any(label.startswith(DRIVER) for label in (flip.early, flip.late))]
    return [flip for flip in flips if flip.receiver != receiver]

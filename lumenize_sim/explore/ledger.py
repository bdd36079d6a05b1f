"""The ledger of an exploration: which units are open, under way, done and counted.

It does no I/O and knows no processes, so that one machine and many are the same to it.
Units may come back in any order; they are counted in order, so that a report depends on
their contents alone.  What is lost on the way is handed out again.

    open --take--> away --done--> back --in order--> counted
      ^             |
      +----lost-----+

Units that were lost together are suspects: one of them may have ended the process that
all of them were in.  Suspects are handed out one at a time, so that the next loss has
one unit to blame.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from lumenize_sim.errors import AppError, SimulatorError
from lumenize_sim.explore.strategies import Corpus
from lumenize_sim.explore.tally import Found, Tally, added
from lumenize_sim.explore.unit import Unit

__all__ = ["Counted", "Ledger"]

#: A unit that was lost so often, with nobody else to blame, is not handed out again.
_TRIES = 3


@attrs.define
class Counted:
    """The sum of all units so far, in order.

    Attributes:
        schedules: that were run.
        behaviours: fingerprints of orders per receiver.
        faults, marks: name to how often.
        found: different failures.
        corpus: what runs showed that was new.
    """

    schedules: int = 0
    behaviours: dict[str, None] = attrs.field(factory=dict)
    faults: dict[str, int] = attrs.field(factory=dict)
    marks: dict[str, int] = attrs.field(factory=dict)
    found: list[Found] = attrs.field(factory=list)
    corpus: Corpus = attrs.field(factory=Corpus)

    def add(self, tally: Tally, at_most: int, *, moved: int = 0) -> None:
        """Count one unit more, and of its failures those that are new, up to ``at_most`` in all.

        ``moved`` runs were made besides, so that the numbers of schedules are larger by as many.
        """
        self.schedules += tally.ran
        self.behaviours.update(dict.fromkeys(tally.behaviours))
        added(self.faults, tally.faults)
        added(self.marks, tally.marks)
        for run in tally.novel:
            self.corpus.take(run)
        self.corpus.meet(tally.boundaries)
        for found in tally.found:
            if len(self.found) < at_most and all(found.signature != known.signature for known in self.found):
                self.found.append(attrs.evolve(found, schedule=found.schedule + moved))


class Ledger:
    """See the module.

    Args:
        units: all of them, in order.
        max_failures: units after so many different failures are not counted.

    Attributes:
        counted: the sum.
        moved: runs made besides, which come before the schedules that are open now.
    """

    def __init__(self, units: Sequence[Unit], *, max_failures: int) -> None:
        self.counted = Counted()
        self.moved = 0
        self._units = list(units)
        self._max_failures = max_failures
        self._open = self._units[::-1]
        self._away: dict[int, Unit] = {}
        self._back: dict[int, Tally | Exception] = {}
        self._next = 0
        self._losses: dict[int, int] = {}
        self._suspects: list[Unit] = []
        self._corpus = Corpus()
        self._generation = 0

    def extend(self, units: Sequence[Unit], *, moved: int) -> None:
        """When all others are counted: ``units`` are to be run as well.

        Args:
            moved: runs that were made besides, before these schedules, and that count with them.
        """
        assert not any((self._open, self._away, self._suspects))
        self.moved = moved
        self._units += units
        self._open = list(reversed(units))
        self._turn_page()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self._next == len(self._units) or len(self.counted.found) >= self._max_failures

    @property
    def corpus(self) -> Corpus:
        """What units of the present generation begin with."""
        return self._corpus

    @property
    def schedules(self) -> int:
        """Run so far, counted or not."""
        return self.counted.schedules + sum(t.ran for t in self._back.values() if isinstance(t, Tally))

    @property
    def failures(self) -> int:
        """Found so far, counted or not; the same one may be among the latter several times."""
        return len(self.counted.found) + sum(len(t.found) for t in self._back.values() if isinstance(t, Tally))

    def take(self) -> Unit | None:
        """The next unit to run; ``None`` where the next step is to wait."""
        if self.finished:
            return None
        if self._suspects:
            if self._away:
                return None
            unit = self._suspects.pop(0)
        elif self._open and self._open[-1].generation <= self._generation and not self._alone:
            unit = self._open.pop()
        else:
            return None
        self._away[unit.index] = unit
        return unit

    def untake(self, unit: Unit) -> None:
        """``unit`` was taken, and there was nobody to give it to."""
        del self._away[unit.index]
        if unit.index in self._losses:
            self._suspects.insert(0, unit)
        else:
            self._open.append(unit)

    @property
    def _alone(self) -> bool:
        """Whether a suspect is under way."""
        return any(index in self._losses for index in self._away)

    def done(self, unit: Unit, result: Tally | Exception) -> None:
        """``unit`` came back, with what came of it, or with what it ended with.

        A unit that comes back a second time, because it was taken for lost, is not counted again.

        Raises:
            AppError, UsageError: the result of the next unit in order.
        """
        if self._away.pop(unit.index, None) is None:
            self._suspects = [suspect for suspect in self._suspects if suspect.index != unit.index]
            self._open = [other for other in self._open if other.index != unit.index]
        self._losses.pop(unit.index, None)
        if unit.index < self._next or unit.index in self._back:
            return
        self._back[unit.index] = result
        self._count()

    def lost(self, units: Sequence[Unit], reason: str) -> None:
        """``units`` will not come back: whoever had them is gone.

        Raises:
            AppError: the same unit was lost too often.
        """
        gone = [unit for unit in units if unit.index in self._away]
        for unit in gone:
            del self._away[unit.index]
            losses = self._losses.get(unit.index, 0) + (len(gone) == 1)
            self._losses[unit.index] = losses
            if losses >= _TRIES:
                raise AppError(
                    f"the process that ran schedules {unit.first + 1} to {unit.first + unit.count} ended {losses} "
                    f"times without a result ({reason}). The app ends its process or needs more memory than there is: "
                    "explore with one job to see where."
                )
        self._suspects += gone
        self._suspects.sort(key=lambda unit: unit.index)

    def _count(self) -> None:
        while not self.finished and self._next in self._back:
            result = self._back.pop(self._next)
            if isinstance(result, Exception):
                raise result
            unit = self._units[self._next]
            if not 0 < result.ran <= unit.count:
                raise SimulatorError(f"a unit of {unit.count} schedules came back with {result.ran}")
            self.counted.add(result, self._max_failures, moved=self.moved)
            self._next += 1
            self._turn_page()

    def _turn_page(self) -> None:
        if self._next < len(self._units) and self._units[self._next].generation > self._generation:
            self._generation = self._units[self._next].generation
            self._corpus = self.counted.corpus.copy()

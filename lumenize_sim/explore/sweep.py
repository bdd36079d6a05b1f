"""Sweeps: the units of an exploration, run by a crew."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.assignment import Assignment
from lumenize_sim.explore.crew import Crew
from lumenize_sim.explore.hand import HandLost, answer_of, task_of
from lumenize_sim.explore.ledger import Ledger
from lumenize_sim.explore.tally import Tally
from lumenize_sim.explore.unit import Unit

__all__ = ["sweep"]

#: Seconds after which progress is told although nothing has come back.
_PATIENCE_S = 0.5


def sweep(
    ledger: Ledger,
    crew: Crew,
    assignment: Assignment,
    *,
    note: Callable[[Unit, Tally], None],
    tick: Callable[[], None],
) -> None:
    """Have ``crew`` run units until the ledger is finished.  Whatever ends this, the crew is there still.

    Args:
        note: told of each finished unit before it counts.
        tick: told now and then.

    Raises:
        AppError, UsageError: what a unit ended with, or units that nobody can run.
        KeyboardInterrupt: Ctrl-C; what was noted is all there is.
    """
    _Sweep(ledger, crew, assignment, note).run(tick)


@attrs.define
class _Sweep:
    ledger: Ledger
    crew: Crew
    assignment: Assignment
    note: Callable[[Unit, Tally], None]
    away: dict[Future[str], Unit] = attrs.field(factory=dict)

    def run(self, tick: Callable[[], None]) -> None:
        while not self.ledger.finished:
            broken = self._hand_out()
            wait(list(self.away), timeout=_PATIENCE_S, return_when=FIRST_COMPLETED)
            gone = self._take_back([future for future in self.away if future.done()], broken)
            if broken or gone:
                # A pool is broken as a whole: what else is under way comes back broken, too, or just in time.
                gone += self._take_back(list(self.away), True)
                self.ledger.lost(gone, "a process of its pool ended")
                self.crew.renew()
            tick()

    def _hand_out(self) -> bool:
        """Give out as many units as the crew takes; returns whether it turned out to be broken."""
        while len(self.away) < self.crew.width and (unit := self.ledger.take()) is not None:
            try:
                self.away[self.crew.submit(task_of(self.assignment, unit, self.ledger.corpus))] = unit
            except BrokenExecutor:
                self.ledger.untake(unit)
                return True
        return False

    def _take_back(self, futures: list[Future[str]], broken: bool) -> list[Unit]:
        """Wait for ``futures``, and count what came of them; returns the units that went down with their pool."""
        gone = []
        for future in futures:
            unit = self.away.pop(future)
            result = _result(future, broken)
            if isinstance(result, BrokenExecutor):
                gone.append(unit)
            elif isinstance(result, HandLost):
                self.ledger.lost([unit], str(result))
            else:
                if isinstance(result, Tally):
                    self.note(unit, result)
                self.ledger.done(unit, result)
        return gone


def _result(future: Future[str], broken: bool) -> Tally | Exception:
    """What came of a unit.  Raises where that is nobody's result but a mistake."""
    try:
        return answer_of(future.result())
    except (HandLost, BrokenExecutor) as error:
        return error
    except CancelledError:
        if broken:
            return BrokenExecutor()
        raise UsageError(
            "whoever ran the schedules has dropped them: its cluster or pool was closed. "
            "Explore again elsewhere; with a journal nothing that was done is lost."
        ) from None
    except Exception as error:
        # Of a cluster that gave a unit up, because too many workers ended with it.
        if type(error).__module__.partition(".")[0] == "distributed":
            return HandLost(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        raise

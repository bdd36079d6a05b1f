"""`explore`: many schedules, the failures among them shrunk, explained and verified."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from lumenize_sim.errors import AppError, UsageError
from lumenize_sim.explore.apart import apart
from lumenize_sim.explore.assignment import Assignment
from lumenize_sim.explore.crew import Crew, crew_of
from lumenize_sim.explore.exhaustive import Search, told
from lumenize_sim.explore.fresh import verify_fresh
from lumenize_sim.explore.journal import Journal
from lumenize_sim.explore.ledger import Ledger
from lumenize_sim.explore.replaying import record
from lumenize_sim.explore.report import Failure, Progress, Report
from lumenize_sim.explore.run import adjusted, saved
from lumenize_sim.explore.shard import Shard, signature_of
from lumenize_sim.explore.shrink import BUDGET
from lumenize_sim.explore.strategies import NAMES
from lumenize_sim.explore.sweep import sweep
from lumenize_sim.explore.tally import Found, Tally
from lumenize_sim.explore.unit import Unit, units_of
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.scenario import Scenario

__all__ = ["explore"]

_wall = time.perf_counter
#: Of the schedules, what a search of all orders may take before any are drawn.
_PART = 10


def explore(
    scenario: Scenario,
    *,
    schedules: int = 1000,
    seed: int = 0,
    strategy: str | None = None,
    faults: Faults | None = None,
    options: WorldOptions | None = None,
    max_failures: int = 1,
    save: str | os.PathLike[str] | None = ".lumenize",
    verify: bool = True,
    progress: Callable[[Progress], None] | None = None,
    jobs: int = 1,
    on: Executor | str | None = None,
    journal: str | os.PathLike[str] | None = None,
    resume: bool = False,
    exhaustive: bool = False,
    max_faults: int = 0,
) -> Report:
    """Run ``scenario`` under many schedules.

    The first schedule is the world without surprises; the others take the default mix of
    strategies in turn, with faults drawn for each.  Where all orders without faults are
    no more than a tenth of the schedules, they are all run first, and the rest only for
    the sake of faults.  A failure is shrunk, recorded, and
    re-run from its tape in a fresh process before it is reported.

    Args:
        schedules: how many.
        seed: base of everything drawn.
        strategy: one instead of the mix.
        faults, options: instead of the scenario's own.
        max_failures: stop after so many distinct ones.
        save: folder for tapes; ``None`` writes none, and then nothing is verified in a fresh process.
        verify: re-run in a fresh process.
        progress: told now and then.
        jobs: processes that share the schedules; what is found does not depend on how many there are.
        on: who runs them instead: any executor of `concurrent.futures`, or ``"dask://host:port"`` for a cluster, which
            needs the extra ``dask``.
        journal: file for finished schedules, or the folder for it; removed in the end.
        resume: begin with what the journal has, if it is there.
        exhaustive: run every order instead of drawing any, ``schedules`` at most, here and in one process.
        max_faults: with ``exhaustive``, every combination of at most so many faults, too.

    Raises:
        UsageError: the scenario or an argument is wrong; with several processes, the scenario is not in a file.
        AppError: a failure does not come again in the same order, because the app keeps state between runs.
        KeyboardInterrupt: Ctrl-C.
    """
    if schedules < 1:
        raise UsageError(f"schedules={schedules}: explore at least 1")
    if strategy is not None and strategy not in NAMES:
        raise UsageError(f"strategy {strategy!r} is unknown; there is: {', '.join(NAMES)}")
    if resume and journal is None:
        raise UsageError("resume=True continues from a journal: say which, as in journal='.lumenize/sweep.journal'")
    scenario = adjusted(scenario, faults, options)
    assignment = Assignment.of(scenario, seed=seed, strategy=strategy, max_failures=max_failures)
    if exhaustive and (strategy is not None or jobs > 1 or on is not None or resume):
        raise UsageError(
            "exhaustive=True runs every order, here and from the beginning: leave out strategy, jobs, on and resume"
        )
    if max_faults and not exhaustive:
        raise UsageError(f"max_faults={max_faults} is for exhaustive=True; otherwise say Faults(at_most=...)")
    search = None
    if exhaustive:
        search = Search(scenario, limit=schedules, seed=seed, max_faults=max_faults)
    elif strategy is None and schedules >= _PART and scenario.options.network.model != "timed":
        search = Search(scenario, limit=schedules // _PART, seed=seed, small=True)
    crew = crew_of(jobs, on)
    if crew is not None:
        assignment.check_found_by_others(scenario)

    def work() -> Report:
        book = None if journal is None else Journal(_journal_in(journal, assignment), assignment, resume=resume)
        exploration = _Exploration(scenario, assignment, schedules, save, verify, progress or (lambda _: None), book)
        try:
            report = exploration.run(crew, search)
        except BaseException:
            if book is not None:
                book.close()
            raise
        finally:
            if crew is not None:  # a small world was perhaps exhausted without one
                crew.stop()
        if book is not None:
            book.remove()
        return report

    return apart(work)


def _journal_in(journal: str | os.PathLike[str], assignment: Assignment) -> Path:
    """The file itself."""
    path = Path(journal)
    return path / f"{assignment.name}-{assignment.key}.journal" if path.is_dir() else path


class _Exploration:
    def __init__(
        self,
        scenario: Scenario,
        assignment: Assignment,
        schedules: int,
        save: str | os.PathLike[str] | None,
        verify: bool,
        progress: Callable[[Progress], None],
        journal: Journal | None,
    ) -> None:
        self.scenario = scenario
        self.assignment = assignment
        self.schedules = schedules
        self.seed = assignment.seed
        self.save = save
        self.verify = verify
        self.progress = progress
        self.journal = journal
        self.units = units_of(schedules)
        self.ledger = Ledger(self.units, max_failures=assignment.max_failures)
        self.shard = Shard(scenario, seed=self.seed, strategy=assignment.strategy, max_failures=assignment.max_failures)

    def run(self, crew: Crew | None, search: Search | None) -> Report:
        began = _wall()
        exhaustive = "" if search is None else self._exhausted(search)
        if not exhaustive or (search is not None and search.small and self.scenario.faults):
            self._drawn(crew)
        counted = self.ledger.counted
        self._tick("exploring", 0)
        return Report(
            scenario=self.scenario,
            schedules=counted.schedules,
            failures=[self._failure(found) for found in counted.found],
            behaviours=len(counted.behaviours),
            faults=dict(sorted(counted.faults.items())),
            marks=dict(sorted(counted.marks.items())),
            wall_s=_wall() - began,
            seed=self.seed,
            exhaustive=exhaustive,
        )

    def _exhausted(self, search: Search) -> str:
        """Run all orders.  Returns how that ended; ``""`` where it gave up, and then nothing is counted."""
        # The schedules have not begun, so a small search is no progress.
        tally = self.shard.exhaust(search) if search.small else self.shard.exhaust(search, self._tick)
        if tally is None:
            return ""
        self.ledger.counted.add(tally, self.assignment.max_failures)
        faults = self.scenario.faults if search.small else None
        return told(len(search.seen), search.runs, search.why, without="faults" if faults else "")

    def _drawn(self, crew: Crew | None) -> None:
        """Run what was drawn, until there are failures enough."""
        known = {} if self.journal is None else self.journal.tallies
        for unit in self.units:
            if (unit.first, unit.count) in known:
                self.ledger.done(unit, known[unit.first, unit.count])
        self._tick("exploring", 0)
        if crew is not None:
            sweep(self.ledger, crew, self.assignment, note=self._note, tick=lambda: self._tick("exploring", 0))
        else:
            while (next_one := self.ledger.take()) is not None:
                tally = self.shard.run(next_one, self.ledger.corpus, self._tick)
                self._note(next_one, tally)
                self.ledger.done(next_one, tally)

    def _note(self, unit: Unit, tally: Tally) -> None:
        if self.journal is not None:
            self.journal.write(unit, tally)

    def _tick(self, phase: str, runs: int) -> None:
        failures = self.ledger.failures
        if phase == "shrinking":
            self.progress(Progress(phase, runs, BUDGET, failures))
        else:
            self.progress(Progress(phase, self.ledger.schedules + runs, self.schedules, failures))

    def _failure(self, found: Found) -> Failure:
        run = record(self.scenario, found.choices, seed=self.seed, total=found.total)
        if signature_of(run.outcome, run.explanation) != found.signature:
            raise AppError(
                f"schedule {found.schedule} (seed {self.seed}) of {self.scenario.name} failed, and the same order is "
                f"{run.outcome.kind!r} when it is run again. The app keeps state outside its nodes: keep it in the "
                f"nodes.{self.shard.leaks()}"
            )
        verified = "not re-run: no tape was written"
        if self.save is not None:
            run = saved(run, self.save)
            if self.verify and self.scenario.path is not None and Path(self.scenario.path).is_file():
                self.progress(Progress("verifying", 0, 1, len(self.ledger.counted.found)))
                assert run.path is not None
                same, words = verify_fresh(run.path, run.tape)
                verified = "fresh process" if same else f"{words}{self.shard.leaks()}"
            elif self.verify:
                verified = "not re-run in a fresh process: the scenario is not defined in a file"
        return Failure(
            run=run,
            schedule=found.schedule,
            strategy=found.strategy,
            found_with=found.found_with,
            replays=found.replays,
            verified=verified,
        )

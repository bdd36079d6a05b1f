"""`explore`: many schedules, the failures among them shrunk, explained and verified."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
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
from lumenize_sim.explore.unit import SCHEDULES, Unit, units_of
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.scenario import Scenario

__all__ = ["explore"]

_wall = time.perf_counter
#: Of the schedules, what a search of all orders may take.
_PART = 10
#: Runs of the search that looks whether the world is tiny.
_FEW = 32


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
    strategies in turn, with faults drawn for each.  In between it is tried to run all orders
    without faults: after 64 schedules if 32 runs suffice, and after half of the schedules if a
    tenth of them does.  Where that was everything, the rest is run only for the sake of faults.
    These runs count like all others, whether or not they were everything.  A failure is
    shrunk, recorded, and re-run from its tape in a fresh process before it is reported.

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
    if exhaustive:
        searches = [(0, Search(scenario, limit=schedules, seed=seed, max_faults=max_faults))]
    elif strategy is None and scenario.options.network.model != "timed":
        searches = [
            (drawn, Search(scenario, limit=limit, seed=seed, small=True)) for drawn, limit in _searches(schedules)
        ]
    else:
        searches = []
    crew = crew_of(jobs, on)
    if crew is not None:
        assignment.check_found_by_others(scenario)

    def work() -> Report:
        book = None if journal is None else Journal(_journal_in(journal, assignment), assignment, resume=resume)
        exploration = _Exploration(scenario, assignment, schedules, save, verify, progress or (lambda _: None), book)
        try:
            report = exploration.run(crew, searches)
        except BaseException:
            if book is not None:
                book.close()
            raise
        finally:
            if crew is not None:
                crew.stop()
        if book is not None:
            book.remove()
        return report

    return apart(work)


def _searches(schedules: int) -> list[tuple[int, int]]:
    """After how many schedules it is tried to run all orders, and how many runs that may take."""
    half, limit = schedules // 2, schedules // _PART
    if half > SCHEDULES:
        half -= half % SCHEDULES  # so that units are the same with other numbers of schedules
    searches = [(SCHEDULES, min(_FEW, limit)), (half, limit)] if half > SCHEDULES else [(half, limit)]
    return [(drawn, limit) for drawn, limit in searches if limit]


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
        self.units: list[Unit] = []
        self.ledger = Ledger((), max_failures=assignment.max_failures)
        self.shard = Shard(scenario, seed=self.seed, strategy=assignment.strategy, max_failures=assignment.max_failures)

    def run(self, crew: Crew | None, searches: Sequence[tuple[int, Search]]) -> Report:
        began = _wall()
        exhaustive = self._run(crew, searches)
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

    def _run(self, crew: Crew | None, searches: Sequence[tuple[int, Search]]) -> str:
        """Draw schedules, and search all orders in between.  Returns how that ended; ``""`` where it gave up."""
        searched = 0
        exhaustive = ""
        tried: Search | None = None
        for drawn, search in searches:
            if tried is not None and (exhaustive or not tried.exceeded):
                break
            self._drawn(crew, drawn, searched)
            if self._failed_enough:
                break
            exhaustive = self._exhausted(search)
            searched += search.runs
            tried = search
        if not exhaustive or (tried is not None and tried.small and self._besides(tried)):
            self._drawn(crew, self.schedules - searched, searched)
        return exhaustive

    @property
    def _failed_enough(self) -> bool:
        return len(self.ledger.counted.found) >= self.assignment.max_failures

    def _exhausted(self, search: Search) -> str:
        """Run all orders.  Returns how that ended; ``""`` where a search of a small world gave up."""
        counted = self.ledger.counted
        tally = self.shard.exhaust(search, self._tick, before=counted.schedules)
        counted.add(tally, self.assignment.max_failures)
        if search.small and search.why:
            return ""
        besides = self._besides(search)
        if not besides:
            counted.behaviours = dict.fromkeys(tally.behaviours)  # there are no others
        return told(len(search.seen), search.runs, search.why, without=besides)

    def _besides(self, search: Search) -> str:
        """What there is that the search did not go through, in words."""
        faults = "faults" if search.small and self.scenario.faults else ""
        return " and ".join(filter(None, (faults, search.without)))

    def _drawn(self, crew: Crew | None, until: int, searched: int) -> None:
        """Run what is drawn, ``until`` there are so many schedules, or failures enough."""
        if self._failed_enough:
            return
        more = units_of(until, since=self.units)
        self.units += more
        self.ledger.extend(more, moved=searched)
        known = {} if self.journal is None else self.journal.tallies
        for unit in more:
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
            else:
                verified = "not re-run in a fresh process: that was not wanted"
        return Failure(
            run=run,
            schedule=found.schedule,
            strategy=found.strategy,
            found_with=found.found_with,
            replays=found.replays,
            verified=verified,
        )

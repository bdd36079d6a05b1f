"""Trials: one exploration of a benchmark, or a stretch of runs of its twin, and what came of it."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import attrs

from lumenize_sim import AppError, explore
from lumenize_sim.explore.strategies import PORTFOLIO as STRATEGIES
from tests.quality.cases import Case, cases_in
from tests.quality.walking import walked

__all__ = ["PORTFOLIO", "STRATEGIES", "WALK", "Task", "Trial", "run"]

#: What a task's strategy says for the default mix.
PORTFOLIO: Final = "portfolio"
#: … and for a random walk that goes on behind each failure.
WALK: Final = "walk"


@attrs.frozen(kw_only=True)
class Task:
    """What one process is to do.

    Attributes:
        folder: of the benchmarks.
        case: the name of one.
        twin: run the twin instead of the bug.
        strategy: one, or `PORTFOLIO`, or `WALK`.
        seed: base of everything drawn.
        schedules: at most.
    """

    folder: str
    case: str
    twin: bool = False
    strategy: str = PORTFOLIO
    seed: int
    schedules: int

    @property
    def key(self) -> str:
        """The task in a line."""
        return f"{self.case}{'_fixed' if self.twin else ''} {self.strategy} {self.seed} {self.schedules}"


@attrs.frozen(kw_only=True)
class Trial:
    """What came of a task.

    Attributes:
        case, twin, strategy, seed: of the task.
        schedules: that were run.
        complete: these were all that there are.
        found: the number of the schedule that failed, from 1; 0 where none did.
        failures: of a walk, how many schedules failed.
        by: the strategy of that schedule.
        non_default: choices of the shrunk tape.
        replays: runs that shrinking took.
        complaints: what is wrong with the explanation.
        in_words: the shrunk tape in a sentence.
        message: of the failure.
        trouble: the exploration itself went wrong, or the failure is none of the scenario's assertions.
        seconds: of CPU time.
    """

    case: str
    twin: bool
    strategy: str
    seed: int
    schedules: int
    complete: bool = False
    found: int = 0
    failures: int = 0
    by: str = ""
    non_default: int = 0
    replays: int = 0
    complaints: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    in_words: str = ""
    message: str = ""
    trouble: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**attrs.asdict(self), "complaints": list(self.complaints)}


@lru_cache
def _cases(folder: str) -> dict[str, Case]:
    return {case.name: case for case in cases_in(Path(folder))}


def run(task: Task) -> Trial:
    """Explore with defaults, but for the strategy where the task names one."""
    case = _cases(task.folder)[task.case]
    began = time.process_time()
    trial = Trial(case=task.case, twin=task.twin, strategy=task.strategy, seed=task.seed, schedules=task.schedules)
    if task.strategy == WALK:
        failures = walked(case.bug, seed=task.seed, schedules=task.schedules)
        return attrs.evolve(trial, failures=failures, seconds=round(time.process_time() - began, 3))
    try:
        report = explore(
            case.twin if task.twin else case.bug,
            schedules=task.schedules,
            seed=task.seed,
            strategy=None if task.strategy == PORTFOLIO else task.strategy,
            save=None,
        )
    except AppError as error:
        return attrs.evolve(trial, trouble=str(error), seconds=time.process_time() - began)
    trial = attrs.evolve(trial, schedules=report.schedules, complete=report.complete)
    if report.failures:
        failure = report.failures[0]
        tape = failure.run.tape
        trial = attrs.evolve(
            trial,
            found=failure.schedule,
            by=failure.strategy,
            non_default=tape.non_default,
            replays=failure.replays,
            complaints=() if task.twin else tuple(case.complaints(failure.run)),
            in_words=tape.describe(),
            message=failure.message,
            trouble="" if failure.kind == "failed" else f"{failure.kind}: {failure.message}",
        )
    return attrs.evolve(trial, seconds=round(time.process_time() - began, 3))

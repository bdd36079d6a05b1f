"""`explore`: many schedules, the failures among them shrunk, explained and verified."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import attrs

from lumenize_sim.check.finding import Finding
from lumenize_sim.errors import AppError, UsageError
from lumenize_sim.explore.fresh import verify_fresh
from lumenize_sim.explore.leaks import leaked, remembered
from lumenize_sim.explore.run import Run, adjusted, apart, canonical, census, draw_plan, record, roam, saved
from lumenize_sim.explore.shrink import shrink
from lumenize_sim.explore.strategies import NAMES, PORTFOLIO, Corpus
from lumenize_sim.kernel.guide import orders_of
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.run import Outcome
from lumenize_sim.world.scenario import Scenario

__all__ = ["Failure", "Progress", "Report", "explore"]

_wall = time.perf_counter


@attrs.frozen(kw_only=True, eq=False)
class Failure:
    """One failure, shrunk.

    Attributes:
        run: the shrunk run; its tape is on file.
        schedule: the number of the schedule that found it, from 1.
        strategy: which strategy that was.
        found_with: choices before shrinking.
        replays: runs that shrinking took.
        verified: ``"fresh process"``, or why not.
    """

    run: Run
    schedule: int
    strategy: str
    found_with: int
    replays: int
    verified: str

    @property
    def kind(self) -> str:
        """``failed``, ``app_error``, ``deadlock``, ``step_limit`` or ``cpu_limit``."""
        return self.run.outcome.kind

    @property
    def message(self) -> str:
        """In one line."""
        return self.run.outcome.message

    @property
    def explanation(self) -> Finding | None:
        """The racing pair."""
        return self.run.explanation

    @property
    def replay_command(self) -> str:
        """What to type."""
        return f"lumenize-sim replay {self.run.path}"

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        found = self.explanation
        tape = self.run.tape
        return {
            "kind": self.kind,
            "message": self.message,
            "tape": None if self.run.path is None else str(self.run.path),
            "choices": len(tape.choices),
            "non_default": tape.non_default,
            "choice_list": [c.to_list()[:4] for c in tape.choices],
            "in_words": tape.describe(),
            "digest": tape.digest,
            "schedule": self.schedule,
            "strategy": self.strategy,
            "seed": tape.seed,
            "found_with": self.found_with,
            "replays": self.replays,
            "verified": self.verified,
            "explanation": None if found is None else found.to_json(),
        }


@attrs.frozen(kw_only=True, eq=False)
class Report:
    """What an exploration saw.

    Attributes:
        scenario: what was explored.
        schedules: how many were run.
        failures: distinct ones, in order of discovery.
        behaviours: how many different orders per receiver there were.
        faults: what went wrong, kind to count, over all schedules.
        marks: ``sometimes`` marks, name to how often.
        wall_s: real seconds.
        seed: base seed.
    """

    scenario: Scenario
    schedules: int
    failures: list[Failure]
    behaviours: int
    faults: dict[str, int]
    marks: dict[str, int]
    wall_s: float
    seed: int

    @property
    def coverage(self) -> dict[str, Any]:
        """Behaviours, faults and marks; what never happened is listed."""
        kinds = self.scenario.faults.kinds
        return {
            "behaviours": self.behaviours,
            "faults": self.faults,
            "faults_never": [k for k in kinds if not self.faults.get(k)],
            "marks": self.marks,
            "marks_never": [m for m, n in self.marks.items() if not n],
        }

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "scenario": self.scenario.name,
            "schedules": self.schedules,
            "seed": self.seed,
            "failures": [f.to_json() for f in self.failures],
            "coverage": self.coverage,
            "wall_s": round(self.wall_s, 3),
        }

    def __repr__(self) -> str:
        counts = f"{self.schedules} schedules, {self.behaviours} behaviours, {len(self.failures)} failures"
        return f"<Report on {self.scenario.name}: {counts}>"


@attrs.frozen
class Progress:
    """Where an exploration is.

    Attributes:
        phase: ``exploring``, ``shrinking`` or ``verifying``.
        done, total: of that phase.
        failures: so far.
    """

    phase: str
    done: int
    total: int
    failures: int


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
) -> Report:
    """Run ``scenario`` under many schedules.

    The first schedule is the world without surprises; the others take the default mix of
    strategies in turn, with faults drawn for each.  A failure is shrunk, recorded, and
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

    Raises:
        UsageError: the scenario or an argument is wrong.
        AppError: a failure does not come again in the same order, because the app keeps state between runs.
        KeyboardInterrupt: Ctrl-C.
    """
    if schedules < 1:
        raise UsageError(f"schedules={schedules}: explore at least 1")
    if strategy is not None and strategy not in NAMES:
        raise UsageError(f"strategy {strategy!r} is unknown; there is: {', '.join(NAMES)}")
    scenario = adjusted(scenario, faults, options)
    return apart(lambda: _Explorer(scenario, schedules, seed, strategy, max_failures, save, verify, progress).run())


class _Explorer:
    def __init__(
        self,
        scenario: Scenario,
        schedules: int,
        seed: int,
        strategy: str | None,
        max_failures: int,
        save: str | os.PathLike[str] | None,
        verify: bool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.scenario = scenario
        self.schedules = schedules
        self.seed = seed
        self.strategy = strategy
        self.max_failures = max_failures
        self.save = save
        self.verify = verify
        self.progress = progress or (lambda _: None)
        self.failures: list[Failure] = []
        self.held: dict[str, str] = {}
        self.signatures: dict[tuple[Any, ...], None] = {}
        self.orders: dict[bytes, None] = {}
        self.faults: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.corpus = Corpus()

    def run(self) -> Report:
        began = _wall()
        scenario, seed = self.scenario, self.seed
        self.held = remembered(scenario)
        done = 0
        first, boundaries, profile = census(scenario, seed=seed)
        for nth in range(self.schedules):
            if nth == 0 and scenario.options.network.model != "timed":
                outcome, plan, name = first, FaultPlan(), "fifo"
                tasks: dict[str, int] = {}
            else:
                name = self.strategy or PORTFOLIO[nth % len(PORTFOLIO)]
                planned = draw_plan(scenario, boundaries, seed=seed, schedule=nth)
                outcome, plan, tasks = roam(
                    scenario, name, seed=seed, schedule=nth, planned=planned, profile=profile, corpus=self.corpus
                )
            done += 1
            self._note(outcome)
            self.corpus.take(outcome.log)
            if not nth % 16:
                self.progress(Progress("exploring", nth, self.schedules, len(self.failures)))
            if outcome.failed:
                if name == "fifo":
                    choices: tuple[Any, ...] = ()
                else:
                    canon, choices = canonical(scenario, outcome, plan, tasks, seed=seed)
                    if not canon.failed or canon.signature != outcome.signature:
                        raise _not_reproduced(scenario, outcome, canon, nth, seed, self._leaks())
                self._report(outcome, choices, nth + 1, name)
                if len(self.failures) >= self.max_failures:
                    break
        self.progress(Progress("exploring", done, self.schedules, len(self.failures)))
        return Report(
            scenario=scenario,
            schedules=done,
            failures=self.failures,
            behaviours=len(self.orders),
            faults=dict(sorted(self.faults.items())),
            marks=dict(sorted(self.marks.items())),
            wall_s=_wall() - began,
            seed=seed,
        )

    def _leaks(self) -> str:
        """What the app's modules and classes hold now and did not when this began, in words."""
        names = leaked(self.held, remembered(self.scenario))
        return f" Changed since the first run: {', '.join(names)}." if names else ""

    def _note(self, outcome: Outcome) -> None:
        for kind, count in outcome.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count
        for mark, seen in outcome.marks.items():
            self.marks[mark] = self.marks.get(mark, 0) + seen
        hasher = blake2b(digest_size=8)
        orders = orders_of(outcome.log)
        for receiver in sorted(orders):
            hasher.update(receiver.encode())
            hasher.update("\x00".join(orders[receiver]).encode())
        self.orders[hasher.digest()] = None

    def _report(self, outcome: Outcome, choices: tuple[Any, ...], schedule: int, strategy: str) -> None:
        def tick(replays: int) -> None:
            self.progress(Progress("shrinking", replays, 400, len(self.failures)))

        total = outcome.watched
        shrunk = shrink(self.scenario, choices, outcome.signature, seed=self.seed, total=total, tick=tick)
        run = record(self.scenario, shrunk.choices, seed=self.seed, total=total)
        found = run.explanation
        signature = (*outcome.signature, *((found.kind, found.object, found.key) if found is not None else ()))
        if signature in self.signatures:
            return
        self.signatures[signature] = None
        verified = "not re-run: no tape was written"
        if self.save is not None:
            run = saved(run, self.save)
            if self.verify and self.scenario.path is not None and Path(self.scenario.path).is_file():
                self.progress(Progress("verifying", 0, 1, len(self.failures)))
                assert run.path is not None
                same, words = verify_fresh(run.path, run.tape)
                verified = "fresh process" if same else f"{words}{self._leaks()}"
            elif self.verify:
                verified = "not re-run in a fresh process: the scenario is not defined in a file"
        self.failures.append(
            Failure(
                run=run,
                schedule=schedule,
                strategy=strategy,
                found_with=len(choices),
                replays=shrunk.replays,
                verified=verified,
            )
        )


def _not_reproduced(scenario: Scenario, outcome: Outcome, canon: Outcome, nth: int, seed: int, leaks: str) -> AppError:
    return AppError(
        f"schedule {nth} (seed {seed}) of {scenario.name} failed ({outcome.message}) and did not when run again in the "
        f"same order ({canon.kind}{': ' + canon.message if canon.message else ''}). The app keeps state outside its "
        "nodes, in a module, a class or the file system, or reads something that is not virtual; keep it in the nodes "
        f"and take time, randomness and ids from self.lmz.{leaks}"
    )

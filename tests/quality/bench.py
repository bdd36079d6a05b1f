"""How well bugs are found: every benchmark of `scenarios/bench`, from many seeds, against the goals.

    python -m tests.quality.bench               40 seeds, each strategy alone beside them, twins in 100,000 schedules
    python -m tests.quality.bench --quick       the default mix alone, 5 seeds, twins in 2,000 schedules
    python -m tests.quality.bench --write       writes tests/quality/results.json and docs/quality.md anew
    python -m tests.quality.bench --only raft   some benchmarks (several times)
    python -m tests.quality.bench --resume FILE keeps what was measured in FILE, and does not measure it again

Ends with a line of counts and of what falls short; the exit code is 1 where anything does, 2 for a wrong argument, and
130 after Ctrl-C.  Everything but the seconds is the same on every machine and with every number of jobs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import blake2b
from pathlib import Path
from typing import Any, TextIO

import attrs

from lumenize_sim import UsageError
from tests.quality.cases import FOLDER, Case, cases_in
from tests.quality.page import PAGE, RESULTS, machine, rendered, table
from tests.quality.search import searched
from tests.quality.survival import survivals
from tests.quality.trials import PORTFOLIO, STRATEGIES, WALK, Task, Trial, run
from tests.quality.verdict import Goals, shortfalls, summaries

__all__ = ["Plan", "main", "tasks_of"]

ROOT = Path(__file__).parents[2]
#: Schedules of a twin, or of a walk, that one process runs in one go.
_STRETCH = 1_000


@attrs.frozen(kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        seeds: of the default mix, for each bug.
        schedules: at most, for each of them.
        pure_seeds, pure_schedules: the same for each strategy alone.
        strategies: which.
        walk: schedules of a random walk, for how often it fails.
        twin: schedules of each twin.
        programs: that are generated for the exhaustive search, and as many in which messages may be late; for brute
            force two of three are small enough.
    """

    seeds: int = 40
    schedules: int = 5_000
    pure_seeds: int = 8
    pure_schedules: int = 1_000
    strategies: tuple[str, ...] = STRATEGIES
    walk: int = 20_000
    twin: int = 100_000
    programs: int = 200

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**attrs.asdict(self), "strategies": list(self.strategies)}


_NUMBERS = [name for name in attrs.fields_dict(Plan) if name != "strategies"]
QUICK = Plan(seeds=5, pure_seeds=0, walk=0, twin=2_000, programs=20)


def tasks_of(cases: Sequence[Case], plan: Plan, folder: Path) -> list[Task]:
    """Everything that is to be run, what matters most first."""
    tasks: list[Task] = []
    for seed in range(1, plan.seeds + 1):
        tasks += [Task(folder=str(folder), case=case.name, seed=seed, schedules=plan.schedules) for case in cases]
    for nth, many in _stretches(plan.walk):
        # Seeds that no bug is looked for with.
        tasks += [
            Task(folder=str(folder), case=case.name, strategy=WALK, seed=2_000_000 + nth, schedules=many)
            for case in cases
        ]
    for nth, many in _stretches(plan.twin):
        tasks += [
            Task(folder=str(folder), case=case.name, twin=True, seed=1_000_000 + nth, schedules=many) for case in cases
        ]
    for seed in range(1, plan.pure_seeds + 1):
        tasks += [
            Task(folder=str(folder), case=case.name, strategy=name, seed=seed, schedules=plan.pure_schedules)
            for case in cases
            for name in plan.strategies
        ]
    return tasks


def _stretches(schedules: int) -> list[tuple[int, int]]:
    """Cut into pieces: the number of each, and its schedules."""
    return [(nth, min(_STRETCH, schedules - first)) for nth, first in enumerate(range(0, schedules, _STRETCH))]


def source_digests(cases: Sequence[Case]) -> dict[str, str]:
    """Of the package and the file of each case: what was measured with other sources says nothing of these."""
    package = blake2b(digest_size=8)
    for path in sorted((ROOT / "lumenize_sim").rglob("*.py")):
        package.update(path.name.encode())
        package.update(path.read_bytes())
    digests: dict[str, str] = {}
    for case in cases:
        hasher = package.copy()
        lines = case.path.read_text(encoding="utf-8").splitlines()
        hasher.update("\n".join(line for line in lines if not line.startswith("RATE =")).encode())
        digests[case.name] = hasher.hexdigest()
    return digests


class Journal:
    """What was measured already, a line for each task, in a file."""

    def __init__(self, path: Path | None, digests: Mapping[str, str]) -> None:
        self.known: dict[str, Trial] = {}
        self._digests = digests
        self._path = path
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                if not line.endswith("}"):
                    continue  # the last one of a run that was cut off
                entry = json.loads(line)
                if entry["sources"] == digests.get(entry["trial"]["case"]):
                    self.known[entry["task"]] = Trial(**entry["trial"])

    def note(self, task: Task, trial: Trial) -> None:
        """One more."""
        if self._path is not None:
            entry = {"sources": self._digests[task.case], "task": task.key, "trial": trial.to_json()}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(entry)}\n")


def trials_of(tasks: Sequence[Task], jobs: int, journal: Journal, progress: Progress) -> list[Trial]:
    """Run all that the journal does not know; in the order of the tasks, whoever was done first."""
    left = [task for task in tasks if task.key not in journal.known]
    progress.begin(len(tasks), len(tasks) - len(left))
    trials = dict(journal.known)
    for task, trial in _run(left, jobs):
        trials[task.key] = trial
        journal.note(task, trial)
        progress.step(trial)
    progress.end()
    return [trials[task.key] for task in tasks]


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Trial]]:
    if jobs == 1:
        for task in tasks:
            yield task, run(task)
        return
    with ProcessPoolExecutor(jobs) as pool:
        futures = {pool.submit(run, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Progress:
    """A line on a terminal: how much is done, and how long the rest may take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._total = self._done = self._found = self._known = 0
        self._began = time.monotonic()

    def begin(self, total: int, done: int) -> None:
        """So many there are, of which so many were done before."""
        self._total, self._done, self._known = total, done, done

    def step(self, trial: Trial) -> None:
        """One more is done."""
        self._done += 1
        self._found += trial.found > 0
        if self._shown:
            passed = time.monotonic() - self._began
            rest = passed / max(1, self._done - self._known) * (self._total - self._done)
            share = 24 * self._done // max(1, self._total)
            bar = "#" * share + "." * (24 - share)
            self._stream.write(
                f"\r[{bar}] {self._done} of {self._total} trials, {self._found} found; {rest / 60:.0f} min to go "
            )
            self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.quality.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="the default mix alone, few seeds, twins in 2,000 schedules"
    )
    parser.add_argument("--write", action="store_true", help="write results and page")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON, and nothing else")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this benchmark")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep what was measured there, and go on")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the benchmarks")
    parser.add_argument("--jobs", type=_count, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="only this one beside the default mix")
    for name in _NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=_count, help=f"instead of {getattr(Plan(), name):,}")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(text)
    return count


_count.__name__ = "number"  # what a refusal calls it


def _plan(options: argparse.Namespace) -> Plan:
    given = {name: value for name in _NUMBERS if (value := getattr(options, name)) is not None}
    if options.only:
        given.setdefault("programs", 0)
    strategies = tuple(options.strategy or STRATEGIES)
    return attrs.evolve(QUICK if options.quick else Plan(), strategies=strategies, **given)


def _goals(options: argparse.Namespace, cases: int) -> Goals:
    goals = Goals(schedules=_plan(options).schedules)
    if options.quick:
        goals = attrs.evolve(goals, seeds=QUICK.seeds, twin=QUICK.twin, programs=QUICK.programs, ratio=0)
    if options.only:
        goals = attrs.evolve(goals, cases=cases, programs=0)
    return goals


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    options = _parser().parse_args(arguments)
    say = sys.stdout.write
    folder = options.folder.resolve()
    try:
        cases = cases_in(folder, options.only)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    plan = _plan(options)
    goals = _goals(options, len(cases))
    digests = source_digests(cases)
    try:
        tasks = tasks_of(cases, plan, folder)
        trials = trials_of(tasks, options.jobs, Journal(options.resume, digests), Progress(sys.stderr))
        survived = [one for case in cases for one in survivals(case)]
        search = searched(plan.programs, options.jobs)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; with --resume FILE what was measured would have been kept\n")
        return 130
    measured = summaries(cases, trials)
    short = shortfalls(measured, survived, search, goals)
    results: dict[str, Any] = {
        "plan": plan.to_json(),
        "machine": machine(),
        "sources": digests,
        "cpu_seconds": round(sum(trial.seconds for trial in trials)),
        "benchmarks": [one.to_json() for one in measured],
        "survival": [one.to_json() for one in survived],
        "search": search.to_json(),
        "short": short,
    }
    if options.write:
        RESULTS.write_text(f"{json.dumps(results, indent=1, ensure_ascii=False)}\n", encoding="utf-8")
        PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    if options.json:
        say(f"{json.dumps(results, indent=1, ensure_ascii=False)}\n")
    else:
        say(f"{table(results)}\n\n")
        for line in short:
            say(f"short: {line}\n")
        mixed = [trial for trial in trials if not trial.twin and trial.strategy == PORTFOLIO]
        say(
            f"{len(cases)} benchmarks, found in {sum(one.found for one in measured)} of {len(mixed)} trials, "
            f"{sum(one.explained for one in measured)} explained; twins passed {sum(one.twin for one in measured):,} "
            f"schedules; {sum(one.survived for one in survived)} of {len(survived)} tapes survived an edit; "
            f"{search.programs - len(search.unequal)} of {search.programs} programs searched as by brute force; "
            f"{len(short)} short\n"
        )
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())

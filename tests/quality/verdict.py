"""What was measured, summed up for each benchmark, and what of it falls short of the goals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import attrs

from tests.quality.cases import Case
from tests.quality.search import Searched
from tests.quality.survival import Survival
from tests.quality.trials import PORTFOLIO, WALK, Trial

__all__ = ["Goals", "Summary", "shortfalls", "summaries"]


@attrs.frozen(kw_only=True)
class Goals:
    """What is good enough.

    Attributes:
        cases: benchmarks that there are at least.
        seeds: from which each bug is looked for.
        schedules: within which a bug is found.
        share: of the trials that find it.
        spare: choices that a shrunk tape may have beyond the depth of its bug.
        replays: that shrinking takes, in the median.
        unexplained: benchmarks of twelve whose explanation may be wrong.
        survival: of tapes that still lead to their bug after an edit.
        programs: on which the exhaustive search is compared with brute force.
        ratio: of the median of the default mix to that of the best pure strategy; 0 where none is asked for.
        rate: between which a random walk fails, failures per schedule.
        twin: schedules that each twin passes.
    """

    cases: int = 12
    seeds: int = 40
    schedules: int = 5_000
    share: float = 0.95
    spare: int = 1
    replays: int = 150
    unexplained: int = 1
    survival: float = 0.8
    programs: int = 200
    ratio: float = 10.0
    rate: tuple[float, float] = (0.0001, 0.01)
    twin: int = 100_000


@attrs.frozen(kw_only=True)
class Summary:
    """One benchmark, measured.

    Attributes:
        name, depth, rate: as declared.
        trials: of the default mix.
        found: how many of them found the bug.
        at: the number of the schedule that showed it, sorted; those that found nothing are not in it.
        longest: choices of the longest shrunk tape.
        replays: that shrinking took, sorted.
        explained: trials whose explanation was right.
        complaints: about the others, each once.
        pure: strategy to its median; ``None`` where fewer than half of its trials found the bug.
        pure_schedules: after how many schedules its trials gave up.
        walked: failures of the random walk, and schedules; none where it was not measured.
        twin: schedules that the twin passed.
        complete: these were all that there are.
        twin_failures: what it failed with.
        troubles: what went wrong with the trials themselves.
    """

    name: str
    depth: int
    rate: tuple[int, int]
    trials: int
    found: int
    at: tuple[int, ...]
    longest: int
    replays: tuple[int, ...]
    explained: int
    complaints: tuple[str, ...]
    pure: dict[str, int | None]
    pure_schedules: int
    walked: tuple[int, int]
    twin: int
    complete: bool
    twin_failures: tuple[str, ...]
    troubles: tuple[str, ...]

    @property
    def median(self) -> int | None:
        """Schedules until the bug is found; ``None`` where fewer than half of the trials found it."""
        return _median(self.at, self.trials)

    @property
    def best(self) -> tuple[str, int] | None:
        """The pure strategy with the lowest median."""
        known = [(at, name) for name, at in self.pure.items() if at is not None]
        return (min(known)[1], min(known)[0]) if known else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**attrs.asdict(self), "median": self.median, "best": self.best}


def _median(at: Sequence[int], trials: int) -> int | None:
    """The lower median of ``trials`` numbers, those that are not in ``at`` being larger."""
    half = (trials - 1) // 2
    return sorted(at)[half] if half < len(at) else None


def summaries(cases: Sequence[Case], trials: Sequence[Trial]) -> list[Summary]:
    """What the trials say of each case."""
    return [_summary(case, [trial for trial in trials if trial.case == case.name]) for case in cases]


def _summary(case: Case, trials: Sequence[Trial]) -> Summary:
    bugs = [trial for trial in trials if not trial.twin]
    twins = [trial for trial in trials if trial.twin]
    mixed = [trial for trial in bugs if trial.strategy == PORTFOLIO]
    found = [trial for trial in mixed if trial.found and not trial.trouble]
    pure: dict[str, list[Trial]] = {}
    for trial in bugs:
        if trial.strategy not in (PORTFOLIO, WALK):
            pure.setdefault(trial.strategy, []).append(trial)
    walks = [trial for trial in bugs if trial.strategy == WALK]
    return Summary(
        name=case.name,
        depth=case.depth,
        rate=case.rate,
        trials=len(mixed),
        found=len(found),
        at=tuple(sorted(trial.found for trial in found)),
        longest=max((trial.non_default for trial in found), default=0),
        replays=tuple(sorted(trial.replays for trial in found)),
        explained=sum(not trial.complaints for trial in found),
        complaints=tuple(dict.fromkeys("; ".join(trial.complaints) for trial in found if trial.complaints)),
        pure={name: _median([t.found for t in of if t.found], len(of)) for name, of in pure.items()},
        pure_schedules=max((trial.schedules for of in pure.values() for trial in of if not trial.found), default=0),
        walked=(sum(trial.failures for trial in walks), sum(trial.schedules for trial in walks)),
        twin=sum(trial.schedules for trial in twins if not trial.found),
        complete=any(trial.complete for trial in twins),
        twin_failures=tuple(dict.fromkeys(trial.message for trial in twins if trial.found)),
        troubles=tuple(dict.fromkeys(trial.trouble for trial in trials if trial.trouble)),
    )


def shortfalls(measured: Sequence[Summary], survived: Sequence[Survival], search: Searched, goals: Goals) -> list[str]:
    """What is not good enough, a line each."""
    short: list[str] = []
    if len(measured) < goals.cases:
        short.append(f"there are {len(measured)} benchmarks, of {goals.cases}")
    for one in measured:
        short += [f"{one.name}: {what}" for what in _shortfalls(one, goals)]
    replays = [n for one in measured for n in one.replays]
    if replays and median(replays) > goals.replays:
        short.append(f"shrinking takes {median(replays):g} replays in the median; the goal is {goals.replays}")
    kept = sum(one.survived for one in survived)
    if kept < goals.survival * len(survived):
        short.append(f"{kept} of {len(survived)} tapes survive an edit; the goal is {goals.survival:.0%}")
    short += [f"the search and brute force differ: {text}" for text in search.unequal]
    if search.programs < goals.programs:
        short.append(f"the search was compared with brute force on {search.programs} of {goals.programs} programs")
    unclear = [one for one in measured if one.explained < goals.share * one.found]
    if len(unclear) > goals.unexplained * len(measured) // 12:
        for one in unclear:
            why = one.complaints[0] if one.complaints else ""
            short.append(f"{one.name}: explained in {one.explained} of {one.found} trials; for example, {why}")
    return short


def _shortfalls(one: Summary, goals: Goals) -> list[str]:
    short = [f"a trial went wrong: {trouble}" for trouble in one.troubles]
    if one.trials < goals.seeds:
        short.append(f"looked for from {one.trials} of {goals.seeds} seeds")
    if one.found < goals.share * one.trials:
        short.append(f"found in {one.found} of {one.trials} trials of {goals.schedules:,} schedules")
    if one.longest > one.depth + goals.spare:
        short.append(f"a shrunk tape has {one.longest} choices, and the bug a depth of {one.depth}")
    best, own = one.best, one.median
    if goals.ratio and not one.pure:
        short.append("no strategy was measured alone")
    if goals.ratio and best is not None and (own is None or own > goals.ratio * best[1]):
        short.append(f"found after {own or 'too many'} schedules in the median, and by {best[0]} alone after {best[1]}")
    low, high = goals.rate
    failures, schedules = one.walked if one.walked[1] else one.rate
    if not schedules or not low <= failures / schedules <= high:
        short.append(f"a random walk fails in {failures:,} of {schedules:,} schedules, not in {low:.2%} to {high:.0%}")
    short += [f"the twin fails: {message}" for message in one.twin_failures]
    if one.twin < goals.twin and not one.complete and not one.twin_failures:
        short.append(f"the twin has passed {one.twin:,} of {goals.twin:,} schedules")
    return short

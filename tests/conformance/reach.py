"""Which outcomes a program can have: all of them where they can be enumerated, else those of many schedules."""

from __future__ import annotations

import json
from typing import Any

import attrs

from lumenize_sim.explore.exhaustive import enumerate_behaviours, kept_between
from lumenize_sim.explore.roaming import census, draw_plan, roam
from lumenize_sim.explore.strategies import Corpus, strategy_of
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.world.run import Outcome
from tests.conformance.program import Program

__all__ = ["Reached", "plain", "reachable"]


@attrs.frozen
class Reached:
    """What came out.

    Attributes:
        counts: outcome, as canonical JSON, to the number of runs it came out of.
        runs: how many there were.
        complete: there is no other outcome.
    """

    counts: dict[str, int]
    runs: int
    complete: bool


def plain(outcome: Any) -> str:
    """Canonical JSON: equal texts for equal outcomes.  Whole numbers are whole, as JavaScript has one kind only."""
    return json.dumps(_numbers(outcome), sort_keys=True, ensure_ascii=False, separators=(", ", ": "))


def _numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, (list, tuple)) else value


def reachable(
    program: Program,
    runtime: str,
    *,
    schedules: int = 2000,
    enumerate_at_most: int = 0,
    until_expected: int = 0,
) -> Reached:
    """Run ``program`` under ``runtime``.

    The first run is first come, first served; the others roam, with the default mix of strategies in turn and, where
    the program has faults, a plan of them for each.  The same arguments give the same answer, in any process.

    Args:
        schedules: runs where not everything is enumerated.
        enumerate_at_most: runs to spend on enumerating a program that asks for it; 0 does not try.
        until_expected: so many schedules while an expected outcome has not come out yet.
    """
    if program.exhaustive and enumerate_at_most and not (program.faults or program.plan or program.every):
        found = _enumerated(program, runtime, enumerate_at_most)
        if found is not None:
            return found
    schedules = min(schedules, program.at_most or schedules)
    caught: list[Any] = []
    scenario = program.scenario(runtime, caught)
    counts: dict[str, int] = {}

    def count(outcome: Outcome) -> None:
        text = plain(caught[0] if caught and not outcome.failed else _broken(outcome))
        counts[text] = counts.get(text, 0) + 1

    _, boundaries, profile = census(scenario, seed=0)
    corpus = Corpus()
    each = _each(program, boundaries)
    expected = [plain(outcome) for outcome in program.expected.get(runtime, ())]
    runs = 0
    while runs < schedules or (runs < until_expected and any(text not in counts for text in expected)):
        nth, runs = runs, runs + 1
        seed = nth if program.seeds else 0
        if each:
            drawn = each[nth % len(each)]
        else:
            drawn = draw_plan(scenario, boundaries, seed=seed, schedule=nth) if nth else {}
        # Each boundary first in order, then with the strategies in turn.
        turn = nth // len(each) if each else nth
        strategy = strategy_of(turn) if turn else "fifo"
        planned = {**drawn, **program.plan}
        outcome, _, _, seen = roam(
            scenario, strategy, seed=seed, schedule=nth, planned=planned, profile=profile, corpus=corpus
        )
        if seen is not None:
            corpus.take(seen)
        count(outcome)
    return Reached(counts, runs, complete=False)


def _each(program: Program, boundaries: dict[tuple[str, str], list[int]]) -> list[dict[str, int]]:
    """A plan for every boundary of the kinds that are to be tried everywhere, and one without any."""
    if not program.every:
        return []
    plans: list[dict[str, int]] = [{}]
    for (kind, target), possible in sorted(boundaries.items()):
        if kind in program.every and target.startswith(program.faults.targets or ("",)):
            plans += [{fault_label(kind, target, nth): 1} for nth in possible]
    return plans


def _enumerated(program: Program, runtime: str, limit: int) -> Reached | None:
    """All outcomes, or ``None`` where there are too many runs."""
    caught: list[Any] = []
    scenario = program.scenario(runtime, caught)
    counts: dict[str, int] = {}
    original = scenario.drive

    async def drive(world: Any) -> None:
        await original(world)
        world.chronicle.record("mark", "driver", "outcome", {"outcome": plain(caught[0])})

    enumeration = enumerate_behaviours(attrs.evolve(scenario, drive=drive), limit=limit)
    # Isolates are made anew for each run, so what programs keep in theirs is known to none of them.
    fresh = enumeration.kept and all(name.endswith(".ISOLATE") for name in enumeration.kept)
    if not enumeration.complete and not (fresh and enumeration.why == kept_between(enumeration.kept)):
        return None
    for behaviour in enumeration.behaviours:
        text = plain(_broken(behaviour.outcome))
        if not behaviour.outcome.failed:
            assert behaviour.outcome.trace is not None
            events = behaviour.outcome.trace.events
            text = [_noted(e.data) for e in events if (e.kind, e.label) == ("mark", "outcome")][-1]
        counts[text] = counts.get(text, 0) + 1
    return Reached(counts, enumeration.runs, complete=True)


def _noted(data: Any) -> str:
    text: str = data["outcome"]
    return text


def _broken(outcome: Outcome) -> Any:
    return {"run": outcome.kind, "message": outcome.message}

"""Brute force over raw picks, and how the exhaustive search compares with it.

It knows nothing of receivers, orders or tapes: at each step it takes every enabled event
in turn, and lets time pass wherever a roaming run may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from lumenize_sim import Scenario
from lumenize_sim.explore.exhaustive import Enumeration, enumerate_behaviours
from lumenize_sim.explore.loading import load_module
from lumenize_sim.explore.replaying import record
from lumenize_sim.kernel.chooser import FreeChooser
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guide import orders_of
from lumenize_sim.kernel.plan import FaultPlan, fault_label
from lumenize_sim.world.faults import KINDS, with_flushes
from lumenize_sim.world.run import Outcome, run_scenario

generated: Any = load_module(Path(__file__).parent / "data" / "generated_programs.py")


class Picks:
    """Follows a list of picks, then takes the first; notes how many there were to choose among."""

    def __init__(self, picks: Sequence[int]) -> None:
        self.picks = list(picks)
        self.bounds: list[int] = []

    def created(self, event: Event) -> None:
        """Nothing to prepare."""

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """As the list says."""
        nth = len(self.bounds)
        self.bounds.append(len(enabled) + time_step)
        if nth == len(self.picks):
            self.picks.append(0)
        return self.picks[nth]


@attrs.frozen
class Raw:
    """What brute force found.

    Attributes:
        found: digest and outcome of every schedule, with the first list of picks that leads there.
        orders: how many differ in the order at some receiver, or in what was late.
        runs: how many schedules there are.
        census: the boundaries at which something could have gone wrong in one of them.
    """

    found: dict[tuple[str, str], list[int]]
    orders: int
    runs: int
    census: dict[tuple[str, str], dict[int, None]]


def order_of(outcome: Outcome) -> tuple[Any, ...]:
    """Equal for runs that only differ in what is independent."""
    orders = orders_of([("*", label) for _, label in outcome.log] if outcome.watched else outcome.log)
    return tuple((r, *orders[r]) for r in sorted(orders)), tuple(sorted(outcome.late.items())), outcome.kind


def brute_force(chosen: Scenario, limit: int, planned: Mapping[str, int] | None = None) -> Raw | None:
    """Every raw schedule; ``None`` if they are more than ``limit``."""
    found: dict[tuple[str, str], list[int]] = {}
    orders: dict[tuple[Any, ...], None] = {}
    boundaries: dict[tuple[str, str], dict[int, None]] = {}
    picks: list[int] = []
    for runs in range(1, limit + 1):
        strategy = Picks(picks)
        plan = FaultPlan(planned, census=True)
        outcome = run_scenario(chosen, FreeChooser(strategy), plan=plan, trace=True)
        assert outcome.trace is not None
        picks = strategy.picks[: len(strategy.bounds)]
        fired = {choice.label for choice in plan.fired}
        # A fault that was never reached makes a run of another plan.
        if all(label in fired for label in planned or {}):
            found.setdefault((outcome.trace.digest, outcome.kind), list(picks))
            orders[order_of(outcome)] = None
            for place, possible in plan.census.items():
                boundaries.setdefault(place, {}).update(dict.fromkeys(possible))
        while picks and picks[-1] + 1 >= strategy.bounds[len(picks) - 1]:
            picks.pop()
        if not picks:
            return Raw(found, len(orders), runs, boundaries)
        picks[-1] += 1
    return None


def brute_force_with_faults(
    chosen: Scenario, limit: int, max_faults: int, planned: Mapping[str, int] | None = None
) -> dict[tuple[str, str], Any] | None:
    """What raw schedules under all plans do: a plan may add any fault that some schedule without it meets."""
    planned = dict(planned or {})
    raw = brute_force(chosen, limit, with_flushes(planned))
    if raw is None:
        return None
    found: dict[tuple[str, str], Any] = {key: (planned, picks) for key, picks in raw.found.items()}
    if max_faults:
        for (kind, target), possible in raw.census.items():
            for nth in possible if kind in chosen.faults.kinds else ():
                for value in range(1, KINDS[kind][0]):
                    label = fault_label(kind, target, nth)
                    if label not in planned:
                        more = brute_force_with_faults(chosen, limit, max_faults - 1, {**planned, label: value})
                        if more is None:
                            return None
                        found.update(more)
    return found


def behaviours(enumeration: Enumeration) -> dict[tuple[str, str], Outcome]:
    """By digest and outcome."""
    return {(b.digest, b.outcome.kind): b.outcome for b in enumeration.behaviours}


@attrs.frozen
class Compared:
    """One program, gone through in both ways.

    Attributes:
        raw: schedules of brute force.
        runs: of the search.
        orders: different ones, which is how many runs are needed.
        behaviours: different in digest or outcome.
        wrong: what is not as it should be, in words.
    """

    raw: int
    runs: int
    orders: int
    behaviours: int
    wrong: tuple[str, ...]


def compared(chosen: Scenario, limit: int, *, replayed: bool = True) -> Compared | None:
    """Compare the two on one scenario; ``None`` where it is too large for brute force."""
    raw = brute_force(chosen, limit)
    if raw is None:
        return None
    enumeration = enumerate_behaviours(chosen, limit=20 * limit)
    wrong = [] if enumeration.complete else ["the search is not complete"]
    found = behaviours(enumeration)
    missing = {key: picks for key, picks in raw.found.items() if key not in found}
    if missing:
        wrong.append(f"not found by the search: {missing}")
    invented = [outcome.log for key, outcome in found.items() if key not in raw.found]
    if invented:
        wrong.append(f"no raw schedule does: {invented}")
    if enumeration.runs != raw.orders:
        wrong.append(f"{enumeration.runs} runs for {raw.orders} orders")
    for behaviour in enumeration.behaviours if replayed else []:
        run = record(chosen, behaviour.choices, seed=0, total=behaviour.outcome.watched)
        if (run.digest, run.outcome.kind) != (behaviour.digest, behaviour.outcome.kind):
            wrong.append(f"the tape of {behaviour.digest} leads to {run.digest}")
    return Compared(raw.runs, enumeration.runs, raw.orders, len(found), tuple(wrong))


@attrs.frozen
class Tally:
    """Generated programs compared: how many, and the sums of `Compared`."""

    programs: int
    raw: int
    runs: int
    orders: int
    behaviours: int
    unequal: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.programs} programs, {self.raw} raw schedules, {self.orders} orders, {self.runs} runs, "
            f"{self.behaviours} behaviours, {len(self.unequal)} unequal"
        )


def tally(seeds: Iterable[int], limit: int, *, late: bool = False, replayed: bool = True) -> Tally:
    """Compare the search with brute force on generated programs; those with more than ``limit`` schedules are left out.

    ``replayed``: replay the tape of each behaviour, too.
    """
    each: list[Compared] = []
    unequal: list[str] = []
    for seed in seeds:
        found = compared(generated.scenario_of(generated.generate(seed, late=late)), limit, replayed=replayed)
        if found is not None:
            each.append(found)
            unequal += [f"program {seed} ({late=}): {text}" for text in found.wrong]
    return Tally(
        len(each),
        sum(one.raw for one in each),
        sum(one.runs for one in each),
        sum(one.orders for one in each),
        sum(one.behaviours for one in each),
        tuple(unequal),
    )

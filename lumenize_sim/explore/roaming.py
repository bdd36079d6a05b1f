"""The ways of running once: roaming by a strategy, and guided by an order."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lumenize_sim.explore.profile import EMPTY, Noting, Profile
from lumenize_sim.explore.sighting import Noted, Sighting
from lumenize_sim.explore.strategies import Corpus, make_strategy, turn_of
from lumenize_sim.explore.strategies.timed import Timed
from lumenize_sim.kernel.anchors import AnchoredGuide
from lumenize_sim.kernel.choice import Choice, key_of
from lumenize_sim.kernel.chooser import EVERYTHING, FreeChooser
from lumenize_sim.kernel.guide import OrderGuide, orders_of
from lumenize_sim.kernel.guided import FollowingChooser, Guide, GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.randomness import generator
from lumenize_sim.world.run import Outcome, run_scenario
from lumenize_sim.world.scenario import Scenario

__all__ = ["Roamed", "canonical", "census", "draw_plan", "fired", "guided", "roam", "tasks_of"]

#: Boundaries are counted in the first runs, and then in one of so many: counting takes some time, and little is new.
_COUNTED = 64
_COUNTED_ONE_IN = 4


class Roamed(NamedTuple):
    """A run in which a strategy roamed.

    Attributes:
        outcome: how it went.
        plan: with the faults that happened and the boundaries that were met.
        tasks: orders of tasks, by label.
        seen: what was made and what happened, for a corpus; where there is one.
    """

    outcome: Outcome
    plan: FaultPlan
    tasks: dict[str, int]
    seen: Sighting | None = None


def roam(
    scenario: Scenario,
    strategy: str,
    *,
    seed: int,
    schedule: int = 0,
    planned: Mapping[str, int] | None = None,
    profile: Profile = EMPTY,
    corpus: Corpus | None = None,
    turn: int | None = None,
    trace: bool = False,
    after: Sequence[Choice] = (),
) -> Roamed:
    """Run once, letting a strategy roam, at first where given ``after`` these choices.

    Planned faults slide to the next
    boundary where they are possible, except after given choices, which mean what they say.

    Args:
        schedule: its number, from which everything is drawn together with the seed.
        turn: the number among the runs of this strategy; by default as in the mix.
        planned: what shall go wrong, by label.
        profile: of the world without surprises.
        corpus: of earlier runs; it is not told of this one.
    """
    turn = turn_of(schedule) if turn is None else turn
    draw = generator(seed, "schedule", str(schedule))
    plan = FaultPlan(
        {**(planned or {}), **fired(tuple(after))},
        census=bool(scenario.faults) and (schedule < _COUNTED or not schedule % _COUNTED_ONE_IN),
        slide=not after,
        roam=None
        if strategy == "fifo"
        else lambda label, bound: generator(seed, "drawn", str(schedule), label).randrange(bound),
    )
    noted: Noted | None = None
    chooser: Any
    if after:
        guide = AnchoredGuide(after)
        chooser = (
            GuidedChooser(guide, total=any(c.label.startswith(f"{EVERYTHING}#") for c in after))
            if strategy == "fifo"
            else FollowingChooser(guide, make_strategy(strategy, draw, profile=profile, turn=turn, corpus=corpus))
        )
    elif scenario.options.network.model == "timed":
        chooser = FreeChooser(Timed(draw, scenario.options.network))
    elif strategy == "fifo":
        chooser = GuidedChooser()
    else:
        made = make_strategy(strategy, draw, profile=profile, turn=turn, corpus=corpus)
        noted = None if corpus is None else Noted(made)
        chooser = FreeChooser(noted or made)
    tasks: dict[str, int] = {}
    outcome = run_scenario(
        scenario,
        chooser,
        plan=plan,
        seed=seed,
        trace=trace,
        task_choice=_roaming_tasks(scenario, generator(seed, "tasks", str(schedule)), tasks),
    )
    return Roamed(outcome, plan, tasks, None if noted is None else noted.sighting(outcome.log))


def _roaming_tasks(scenario: Scenario, draw: random.Random, picked: dict[str, int]) -> Callable[[str, int], int] | None:
    if not scenario.options.explore_tasks:
        return None

    def choose(label: str, bound: int) -> int:
        value = draw.randrange(bound)
        if value:
            picked[label] = value
        return value

    return choose


def guided(
    scenario: Scenario,
    guide: Guide | None,
    *,
    seed: int,
    planned: Mapping[str, int] | None = None,
    tasks: Mapping[str, int] | None = None,
    trace: bool = False,
    faults: FaultPlan | None = None,
    total: bool = False,
    chooser: GuidedChooser | None = None,
) -> tuple[Outcome, tuple[Choice, ...]]:
    """Run once, following ``guide``.  Returns the outcome and the choices that the run turned out to need.

    Args:
        total: in total order, for runs that are watched after every turn.
        chooser: one that has the guide, instead.
    """
    chooser = GuidedChooser(guide, total=total) if chooser is None else chooser
    plan = faults if faults is not None else FaultPlan(planned)
    taken: list[Choice] = []

    def choose(label: str, bound: int) -> int:
        value = min((tasks or {}).get(label, 0), bound - 1)
        if value:
            taken.append(Choice(label, value, bound, key_of([label, str(bound)]), f"task {value}", "task 0"))
        return value

    task_choice = choose if scenario.options.explore_tasks else None
    outcome = run_scenario(scenario, chooser, plan=plan, seed=seed, trace=trace, task_choice=task_choice)
    return outcome, (*plan.fired, *chooser.choices, *taken)


def fired(choices: tuple[Choice, ...] | list[Choice]) -> dict[str, int]:
    """The faults among ``choices``, as a plan."""
    return {c.label: c.value for c in choices if c.kind == "fault" and c.value}


def tasks_of(choices: tuple[Choice, ...] | list[Choice]) -> dict[str, int]:
    """The orders of tasks among ``choices``."""
    return {c.label: c.value for c in choices if c.kind == "task"}


def census(scenario: Scenario, *, seed: int) -> tuple[Outcome, dict[tuple[str, str], list[int]], Profile]:
    """The world without surprises, the boundaries at which something could have gone wrong, and its profile."""
    plan = FaultPlan(census=True)
    noting = Noting()
    outcome = run_scenario(scenario, noting, plan=plan, seed=seed)
    return outcome, plan.census, noting.profile(seed)


def draw_plan(
    scenario: Scenario,
    boundaries: Mapping[tuple[str, str], Sequence[int]],
    *,
    seed: int,
    schedule: int = 0,
) -> dict[str, int]:
    """What shall go wrong in one run, and how it decides the options that are explored; label to value.

    By itself; where there are many, a `Deck` deals.
    """
    options = scenario.options.draw(generator(seed, "options", str(schedule)))
    return {**options, **scenario.faults.draw(generator(seed, "faults", str(schedule)), boundaries)}


def canonical(
    scenario: Scenario, found: Outcome, plan: FaultPlan, tasks: Mapping[str, int], *, seed: int, trace: bool = False
) -> tuple[Outcome, tuple[Choice, ...]]:
    """The same behaviour as ``found``, with the sparse choices that lead to it."""
    planned = {choice.label: choice.value for choice in plan.fired}
    log = [(EVERYTHING, label) for _, label in found.log] if found.watched else found.log
    guide = OrderGuide(orders_of(log), found.late)
    return guided(scenario, guide, seed=seed, planned=planned, tasks=tasks, trace=trace, total=found.watched)

"""Enumeration through tapes finds what brute force over raw picks finds, no less and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from lumenize_sim import Faults, Network, Scenario, UsageError, World, WorldOptions, replay, scenario
from lumenize_sim.explore.exhaustive import enumerate_behaviours
from lumenize_sim.explore.loading import load_scenario
from lumenize_sim.explore.replaying import record
from lumenize_sim.explore.roaming import canonical, census, roam
from lumenize_sim.kernel.guide import orders_of
from lumenize_sim.world.randomness import generator
from lumenize_sim.world.run import Outcome
from tests.explore.brute_force import compared, generated

ROOT = Path(__file__).parents[2]


def compare(program: Any, limit: int) -> int | None:
    """Behaviours of a program, found in both ways; ``None`` where it is too large for brute force."""
    found = compared(generated.scenario_of(program), limit)
    if found is None:
        return None
    assert not found.wrong, f"{program}: {found.wrong}"
    return found.behaviours


def sweep(seeds: range, limit: int, *, late: bool = False) -> list[int]:
    """Numbers of behaviours of the programs that are not too large."""
    return [n for seed in seeds if (n := compare(generated.generate(seed, late=late), limit)) is not None]


NOTE, SLEEP = [("note",)], [("sleep", 1)]
HANDMADE = {
    # A message sent directly is overtaken by one through a relay.
    "relay": {"ops": [[("tell", "C", 2), ("call", "B", 1)], [("call", "C", 3)], NOTE, NOTE]},
    # Three lost updates at once.
    "updates": {
        "ops": [[("both", ("call", "A", 1), ("call", "A", 1))], [("change", ("call", "B", 2))], NOTE],
        "roots": [("C", 0)],
    },
    # The answer calls off a timer of the same moment that is younger.
    "deadline": {"ops": [[("deadline", 1, ("call", "B", 1), ("call", "C", 2))], SLEEP, NOTE]},
    # Two answers must both be late for the deadline to pass, and either calls it off.
    "first of two": {"ops": [[("first", 1, ("call", "B", 1), ("call", "B", 1))], NOTE], "delay": 2.0},
    "first of two slow": {"ops": [[("first", 1, ("call", "B", 1), ("call", "C", 1))], SLEEP], "delay": 1.5},
    # A message late for two timers in turn.
    "twice late": {
        "ops": [[("children", ("sleep", 1), ("sleep", 2)), ("note",)], [("clock",)]],
        "roots": [("A", 0), ("B", 1)],
        "delay": 3.0,
    },
    "late change": {
        "ops": [[("change", ("call", "B", 1))], NOTE, [("sleep", 1), ("note",)]],
        "roots": [("A", 0), ("A", 2)],
        "delay": 2.0,
    },
    # A critical section between the two halves of an update.
    "section": {
        "ops": [[("change", ("call", "B", 2))], [("section", [("call", "B", 2)]), ("note",)], NOTE],
        "roots": [("A", 0), ("A", 1)],
    },
    # The driver looks while things are under way, and fails there or not.
    "looking": {
        "ops": [[("change", ("call", "B", 2))], [("tell", "A", 2), ("note",)], NOTE],
        "roots": [("A", 0), ("A", 1)],
        "awaited": True,
        "fails": True,
    },
    "leaving": {"ops": [[("tell", "B", 1)], NOTE], "roots": [("A", 0), ("B", 1)], "awaited": True, "settle": 0.0},
}


def handmade(name: str) -> Any:
    plain = {"seed": 0, "roots": [("A", 0)], "awaited": False, "fails": False, "settle": 60.0, "delay": 0.0}
    return {**plain, **HANDMADE[name]}


@pytest.mark.parametrize("name", HANDMADE)
def test_tapes_find_every_behaviour_of_a_program_made_by_hand(name: str) -> None:
    count = compare(handmade(name), 3000)
    assert count is not None
    assert count > 2


def test_tapes_find_every_behaviour_of_generated_programs() -> None:
    """Relays, timers, gates, critical sections, nurseries: as many programs as fit into a few seconds."""
    counts = sweep(range(45), 40)
    assert len(counts) >= 12
    assert max(counts) > 5


def test_tapes_find_every_behaviour_where_messages_may_be_late() -> None:
    counts = sweep(range(40), 60, late=True)
    assert len(counts) >= 20
    assert max(counts) > 5


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_tapes_find_every_behaviour_of_many_more_programs(block: int) -> None:
    assert sweep(range(1000 + 40 * block, 1040 + 40 * block), 800)
    assert sweep(range(1000 + 40 * block, 1040 + 40 * block), 800, late=True)


def test_a_run_that_held_a_receiver_for_nothing_in_particular_is_recorded_by_its_order() -> None:
    """Its own choices would let go too early, and what comes meanwhile would be among the candidates of a later one."""
    assert compare(generated.generate(1084), 800) == 8


def test_an_enumeration_that_is_cut_short_says_so() -> None:
    chosen = generated.scenario_of(handmade("updates"))
    part = enumerate_behaviours(chosen, limit=5)
    assert not part.complete
    assert part.runs == 5
    assert 1 <= len(part.behaviours) <= 5


@pytest.mark.parametrize("options", [{"step_limit": 8}, {"explore_tasks": True}])
def test_nothing_is_called_complete_where_something_lies_behind_the_end_or_within_a_turn(options: Any) -> None:
    chosen = generated.scenario_of(handmade("relay"))
    chosen = attrs.evolve(chosen, options=attrs.evolve(chosen.options, **options))
    assert not enumerate_behaviours(chosen).complete


def test_a_timed_network_has_no_behaviours_to_enumerate() -> None:
    chosen = generated.scenario_of(handmade("relay"))
    timed = attrs.evolve(chosen, options=WorldOptions(network=Network(model="timed")))
    with pytest.raises(UsageError, match="model='asynchronous'"):
        enumerate_behaviours(timed)


def test_under_a_monitor_every_order_is_a_behaviour_of_its_own() -> None:
    """It reads several actors after every turn, so actors that never meet do not commute any more."""
    app = generated.scenario_of(handmade("relay")).app

    def drive_of(*, watched: bool) -> Scenario:
        @scenario(app, options=WorldOptions(network=Network(max_delay_s=0.0)))
        async def drive(world: World) -> None:
            if watched:
                world.always("never both", lambda: True)
            env = world.env
            for name in ("A", "B"):
                env[name].get_by_name("x").call("go", 3)
            await world.settle()

        return drive

    unwatched = enumerate_behaviours(drive_of(watched=False))
    watched = enumerate_behaviours(drive_of(watched=True))
    assert unwatched.complete
    assert watched.complete
    assert watched.runs > unwatched.runs
    chosen = drive_of(watched=True)
    for behaviour in watched.behaviours:
        assert record(chosen, behaviour.choices, seed=0, total=True).digest == behaviour.digest


def test_every_lost_update_of_the_example_is_among_its_behaviours() -> None:
    found = enumerate_behaviours(load_scenario(ROOT / "scenarios" / "lost_update.py"))
    assert found.complete
    kinds = [behaviour.outcome.kind for behaviour in found.behaviours]
    assert "failed" in kinds
    assert "passed" in kinds


# -- roaming runs become tapes ------------------------------------------------------------


def same_again(chosen: Scenario, strategy: str, seed: int, planned: dict[str, int]) -> Outcome:
    """Roam, make a tape of it, replay: outcome, orders and digest must be those of the roaming run."""
    roamed, plan, tasks, _ = roam(chosen, strategy, seed=seed, planned=planned, trace=True)
    assert roamed.trace is not None
    guided, choices = canonical(chosen, roamed, plan, tasks, seed=seed)
    run = record(chosen, choices, seed=seed)
    for again in (guided, run.outcome):
        assert (again.kind, again.message) == (roamed.kind, roamed.message)
        assert orders_of(again.log) == orders_of(roamed.log)
    # Also where a fault was planned and never reached: that flushes were events for its sake is on the tape.
    assert run.digest == roamed.trace.digest
    assert replay(run.tape, scenario=chosen).outcome.kind == roamed.kind
    return roamed


@pytest.mark.parametrize("strategy", ["random", "pos", "pct"])
def test_every_roaming_run_replays_strictly_from_its_tape(strategy: str) -> None:
    for nth in range(60):
        chosen = generated.scenario_of(generated.generate(nth, late=bool(nth % 3)))
        same_again(chosen, strategy, nth, {})


@pytest.mark.parametrize("name", ["lost_update", "subscribe_race"])
def test_roaming_runs_with_clients_and_faults_replay_strictly_from_their_tapes(name: str) -> None:
    """Also where a call was lost before its callee ran: that is no doing of the callee."""
    chosen = attrs.evolve(load_scenario(ROOT / "scenarios" / f"{name}.py"), faults=Faults.all(at_most=3))
    _, boundaries, _ = census(chosen, seed=0)
    for nth in range(45):
        planned = chosen.faults.draw(generator(nth, "faults"), boundaries)
        same_again(chosen, ("random", "pos", "pct")[nth % 3], nth, planned)


@pytest.mark.parametrize("strategy", ["random", "pos", "pct"])
def test_every_roaming_run_with_faults_replays_strictly_from_its_tape(strategy: str) -> None:
    fired = 0
    for nth in range(60):
        chosen = generated.scenario_of(generated.generate(nth, late=bool(nth % 2)))
        chosen = attrs.evolve(chosen, faults=Faults.all(at_most=3))
        _, boundaries, _ = census(chosen, seed=nth)
        planned = chosen.faults.draw(generator(nth, "faults"), boundaries)
        fired += len(same_again(chosen, strategy, nth, planned).faults)
    assert fired > 20

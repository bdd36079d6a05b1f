"""An event that waits while several others go first is one choice, and replays strictly like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim import Faults, Scenario, explore, replay
from lumenize_sim.explore.attempts import run_leniently
from lumenize_sim.explore.loading import load_module, load_scenario
from lumenize_sim.explore.replaying import record
from lumenize_sim.explore.roaming import canonical, census, guided, roam
from lumenize_sim.explore.shrink import _merged
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import Diverged
from lumenize_sim.kernel.guide import TapeGuide, orders_of
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.world.randomness import generator

ROOT = Path(__file__).resolve().parents[2]
generated: Any = load_module(Path(__file__).parent / "data" / "generated_programs.py")


oversold: Scenario = load_scenario(Path(__file__).parent / "data" / "oversold.py")


@pytest.mark.parametrize("seed", range(6))
def test_a_delay_past_many_others_shrinks_to_one_choice(seed: int) -> None:
    """Depth 1: the answer of the audit comes late.  How much happens meanwhile is no depth."""
    failure = explore(oversold, schedules=400, seed=seed, save=None).failures[0]
    assert failure.run.tape.non_default == 1
    choice = failure.run.tape.choices[0]
    assert choice.spans >= 5
    assert "until driver>STOCK/s#" in choice.describe()
    again = replay(failure.run.tape, scenario=oversold)
    assert (again.outcome.kind, again.digest) == ("failed", failure.run.digest)


def test_it_is_on_file_with_what_it_spans_and_older_tapes_are_read_as_before() -> None:
    tape = explore(oversold, schedules=400, seed=0, save=None).failures[0].run.tape
    again = Tape.from_bytes(tape.to_bytes())
    assert again.choices == tape.choices
    assert again.choices[0].spans > 1
    assert Choice("D/a#3", 1, 2, 0, "x", "y").to_list() == ["D/a#3", 1, 2, 0, "x", "y"]


def waiting_of(chosen: Scenario, strategy: str, seed: int, planned: dict[str, int]) -> int:
    """Roam, make a tape, let events wait in it wherever they were passed over again and again, and replay that.

    The translation takes nothing away, so the run is the same one.  Returns how many events wait.
    """
    roamed, plan, tasks, _ = roam(chosen, strategy, seed=seed, planned=planned)
    _, choices = canonical(chosen, roamed, plan, tasks, seed=seed)
    merged = _merged(choices)
    if merged is None:
        return 0
    outcome, taken = run_leniently(chosen, merged, seed=seed)
    run = record(chosen, taken, seed=seed)  # raises where a tape does not replay strictly
    assert orders_of(run.outcome.log) == orders_of(outcome.log)
    assert (run.outcome.kind, run.outcome.message) == (outcome.kind, outcome.message)
    assert replay(Tape.from_bytes(run.tape.to_bytes()), scenario=chosen).digest == run.digest
    return sum(choice.spans > 1 for choice in taken)


@pytest.mark.parametrize("strategy", ["random", "pos", "pct"])
def test_runs_in_which_events_wait_replay_strictly(strategy: str) -> None:
    waiting = 0
    for nth in range(60):
        chosen = generated.scenario_of(generated.generate(nth, late=bool(nth % 3)))
        waiting += waiting_of(chosen, strategy, nth, {})
    assert waiting > 10


@pytest.mark.parametrize("name", ["lost_update", "subscribe_race", "collab_editor_tutorial"])
def test_so_do_runs_with_clients_and_faults(name: str) -> None:
    chosen = attrs.evolve(load_scenario(ROOT / "scenarios" / f"{name}.py"), faults=Faults.all(at_most=3))
    _, boundaries, _ = census(chosen, seed=0)
    waiting = 0
    for nth in range(30):
        planned = chosen.faults.draw(generator(nth, "faults"), boundaries)
        waiting += waiting_of(chosen, ("random", "pos", "pct")[nth % 3], nth, planned)
    assert waiting > 10


@settings(max_examples=100, deadline=None)
@given(
    waits=st.lists(
        st.tuples(
            st.integers(0, 30), st.integers(1, 12), st.integers(0, 14), st.sampled_from(["", "driver>STOCK/s#7"])
        ),
        max_size=4,
    )
)
def test_whatever_is_asked_to_wait_the_run_ends_and_says_what_it_took(waits: list[tuple[int, int, int, str]]) -> None:
    """Events that never come, come before, or are all that is left: they wait for nothing then."""
    choices = tuple(
        Choice(f"STOCK/s#{index}+{n}", 1, 2, 0, pick, f"driver>STOCK/s#{which}", spans + 1)
        for n, (index, spans, which, pick) in enumerate(waits)
    )
    outcome, taken = run_leniently(oversold, choices, seed=0)
    assert outcome.kind in ("passed", "failed")
    run = record(oversold, taken, seed=0)
    assert orders_of(run.outcome.log) == orders_of(outcome.log)


def test_a_strict_replay_stops_where_nobody_is_left_to_wait_for() -> None:
    tape = explore(oversold, schedules=400, seed=0, save=None).failures[0].run.tape
    forever = attrs.evolve(tape.choices[0], spans=1000)
    outcome, _ = guided(oversold, TapeGuide((forever,)), seed=0)
    assert outcome.kind == "diverged"
    assert isinstance(outcome.error, Diverged)
    assert f"{forever.pick} to come before {forever.over}" in outcome.message
    other = attrs.evolve(tape.choices[0], key=1)
    outcome, _ = guided(oversold, TapeGuide((other,)), seed=0)
    assert f"{forever.over} to wait among 2" in outcome.message

"""What a lenient run says it took is what leads to the same run, also where a choice was left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.explore.attempts import run_leniently
from lumenize_sim.explore.loading import load_scenario
from lumenize_sim.explore.replaying import record
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.guide import orders_of
from lumenize_sim.testing import Simulation, simulations

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
race = load_scenario(SCENARIOS / "subscribe_race.py")


def _order(receiver: str, index: int, pick: str, over: str) -> Choice:
    return Choice(f"{receiver}#{index}", 1, 2, 0, pick, over)


def test_a_choice_that_was_left_out_may_have_changed_the_order_and_that_is_recorded() -> None:
    """Bob's gateway waits for a call that never comes, and meanwhile alice's notice is first at the board."""
    gateway = "LUMENIZE_CLIENT_GATEWAY/bob.tab1"
    choices = (
        _order(gateway, 5, f"BOARD/town-hall>{gateway}#0", "bob.tab1~0^0"),
        Choice("BOARD/town-hall>STAMPER#0@delay", 1000, 2_000_001, 0, "1000 us"),
    )
    outcome, taken = run_leniently(race, choices, seed=0)
    again = record(race, taken, seed=0)
    assert outcome.failed
    assert again.outcome.signature == outcome.signature
    assert orders_of(again.outcome.log) == orders_of(outcome.log)


@pytest.mark.parametrize("name", ["subscribe_race", "collab_editor_tutorial", "hibernation_loses_reply"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_what_a_lenient_run_took_replays_as_the_same_run(name: str, data: st.DataObject) -> None:
    simulation: Simulation = data.draw(simulations(load_scenario(SCENARIOS / f"{name}.py")))
    again = record(simulation.scenario, simulation.choices, seed=0)
    assert orders_of(again.outcome.log) == orders_of(simulation.outcome.log)
    assert again.outcome.signature == simulation.outcome.signature

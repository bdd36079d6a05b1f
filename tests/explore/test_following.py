"""A tape's choices first, then a strategy: going on from a failure, or from a tape that no longer fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumenize_sim import Run, explore, replay, simulate
from lumenize_sim.explore import load_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.fixture(scope="module")
def failing() -> Run:
    report = explore(load_scenario(SCENARIOS / "subscribe_race.py"), schedules=2000, save=None, verify=False)
    return report.failures[0].run


def test_the_choices_of_the_tape_come_first(failing: Run) -> None:
    """Whatever the seed draws afterwards, the post overtakes the subscription."""
    (choice,) = failing.tape.choices
    for seed in range(12):
        run = simulate(failing.scenario, seed=seed, follow=failing.tape)
        assert choice.label in [c.label for c in run.tape.choices]
        assert replay(run.tape, scenario=run.scenario).digest == run.digest


def test_afterwards_the_seeds_differ(failing: Run) -> None:
    digests = {simulate(failing.scenario, seed=seed, follow=failing.tape).digest for seed in range(12)}
    assert len(digests) > 3


def test_without_a_strategy_the_rest_goes_by_default(failing: Run) -> None:
    run = simulate(failing.scenario, strategy="fifo", follow=failing.tape)
    assert run.tape.choices == failing.tape.choices


def test_choices_that_no_longer_apply_are_left_out(failing: Run) -> None:
    """The tape of one scenario, followed in another that has none of its actors."""
    other = load_scenario(SCENARIOS / "lost_update_fixed.py")
    assert simulate(other, strategy="fifo", follow=failing.tape).tape.choices == ()

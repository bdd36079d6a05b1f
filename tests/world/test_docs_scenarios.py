"""The example apps of the guides: each does what it says, and keeps its promise under faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumenize_sim import explore, simulate
from lumenize_sim.explore import load_scenario

DOCS = Path(__file__).parents[2] / "scenarios" / "docs"
APPS = ("alarms", "broadcast_room", "calls", "manual_persistence", "plugin")


def run(name: str) -> None:
    result = simulate(load_scenario(f"{DOCS / name}.py::{name}"))
    if result.failure is not None:
        raise result.failure


def test_alarms_are_as_the_guide_says() -> None:
    """T-D3-1: follow-up by delay, three kinds beside each other, rich arguments, cancelling, growing retries."""
    run("alarms")


def test_calls_are_as_the_guide_says() -> None:
    """T-D5 2 to 8: nesting, new chain, capability, registered error, handlers, two one-way calls for the author."""
    run("calls")


def test_a_continuation_is_kept_by_hand() -> None:
    """T-D5-9."""
    run("manual_persistence")


@pytest.mark.parametrize("name", ["broadcast_room", "plugin"])
def test_the_other_guides_hold(name: str) -> None:
    run(name)


@pytest.mark.parametrize("name", APPS)
def test_each_keeps_its_promise_under_faults(name: str, tmp_path: Path) -> None:
    chosen = load_scenario(f"{DOCS / name}.py::{name}_under_faults")
    report = explore(chosen, schedules=60, save=tmp_path, verify=False)
    assert report.failures == [], report.failures[0].message
    assert sum(report.faults.values()) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", APPS)
def test_each_keeps_its_promise_in_thousands_of_schedules(name: str, tmp_path: Path) -> None:
    chosen = load_scenario(f"{DOCS / name}.py::{name}_under_faults")
    assert explore(chosen, schedules=3000, save=tmp_path, verify=False).failures == []

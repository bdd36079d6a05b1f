"""What a planted bug is found with, shrinks to, and is explained by; and that its mended twin survives."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumenize_sim import Report, Scenario, explore, replay, simulate
from lumenize_sim.explore import load_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
#: Name, choices after shrinking at most, kind of choice, object, key, and words of both events.
BUGS = [
    ("lost_update", 0, None, "COUNTER/c1", "n", ("increment (alice)", "increment (bob)")),
    ("subscribe_race", 1, "order", "BOARD/town-hall", "readers", ("post (alice)", "subscribe (bob)")),
    ("collab_editor_tutorial", 1, "order", "bob.tab1", "attr:shown", ("handleContentUpdate", "call response")),
    ("hibernation_loses_reply", 1, "fault", "REPORT/r-1", "summarise", ("SUMMARISER", "evict")),
    ("cold_reads", 1, "fault", "EVENING/friday", "left", ("sell (driver)", "sell (driver)")),
]
TWINS = {
    "lost_update": "lost_update_fixed",
    "subscribe_race": "subscribe_race_fixed",
    "collab_editor_tutorial": "collab_editor",
    "hibernation_loses_reply": "hibernation_loses_reply_fixed",
    "double_charge": "double_charge_fixed",
    "cold_reads": "cold_reads_fixed",
}


def load(name: str) -> Scenario:
    return load_scenario(SCENARIOS / f"{name}.py")


def explored(name: str, tmp_path: Path, *, seed: int = 0, schedules: int = 2000) -> Report:
    return explore(load(name), schedules=schedules, seed=seed, save=tmp_path, verify=False)


@pytest.mark.parametrize("name, most, kind, object_, key, words", BUGS)
def test_the_bug_is_found_shrunk_and_explained(
    name: str, most: int, kind: str | None, object_: str, key: str, words: tuple[str, str], tmp_path: Path
) -> None:
    """Within 2,000 schedules of the default mix; to the fewest choices; with the right pair, object and key."""
    report = explored(name, tmp_path)
    assert len(report.failures) == 1
    failure = report.failures[0]
    tape = failure.run.tape
    assert tape.non_default <= most
    assert {choice.kind for choice in tape.choices} <= {kind}
    found = failure.explanation
    assert found is not None
    assert (found.object, found.key) == (object_, key)
    assert all(word in found.message for word in words), found.message
    assert found.first.where is not None
    assert found.first.where.startswith(f"{name}.py:")


@pytest.mark.parametrize("name", list(TWINS))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_base_seed_finds_the_bug(name: str, seed: int, tmp_path: Path) -> None:
    """Not one lucky seed."""
    assert explored(name, tmp_path, seed=seed).failures


@pytest.mark.parametrize(
    "name", ["subscribe_race", "collab_editor_tutorial", "hibernation_loses_reply", "double_charge"]
)
def test_first_come_first_served_does_not_show_the_bug(name: str) -> None:
    """These bugs need an order or a fault that a plain run never sees."""
    run = simulate(load(name))
    assert run.failure is None
    assert not run.tape.choices


def test_first_come_first_served_already_loses_an_update() -> None:
    """`lost_update` needs no unusual order at all."""
    assert simulate(load("lost_update")).outcome.kind == "failed"


@pytest.mark.parametrize("name", list(TWINS))
def test_a_shrunk_tape_replays_to_the_same_digest(name: str, tmp_path: Path) -> None:
    """From the file, strictly."""
    failure = explored(name, tmp_path).failures[0]
    assert failure.run.path is not None
    again = replay(failure.run.path)
    assert again.outcome.kind == failure.kind
    assert again.digest == failure.run.digest


@pytest.mark.parametrize("twin", list(TWINS.values()))
def test_the_mended_twin_passes(twin: str, tmp_path: Path) -> None:
    """Under the same kinds of fault as its bug; here few schedules, 20,000 under the slow mark."""
    report = explored(twin, tmp_path, schedules=400)
    assert not report.failures, report.failures[0].message


@pytest.mark.slow
@pytest.mark.parametrize("twin", list(TWINS.values()))
def test_the_mended_twin_passes_twenty_thousand_schedules(twin: str, tmp_path: Path) -> None:
    """Under the same kinds of fault as its bug."""
    report = explored(twin, tmp_path, schedules=20_000)
    assert not report.failures, report.failures[0].message


def test_the_editor_survives_every_required_kind_of_fault_often(tmp_path: Path) -> None:
    """Disconnect, partition and heal, evict, hibernate, failed flush: each many times in a thousand schedules."""
    report = explored("collab_editor", tmp_path, schedules=1000)
    assert not report.failures, report.failures[0].message
    for kind in ("disconnect", "partition", "heal", "evict", "hibernate", "failed-flush"):
        assert report.faults.get(kind, 0) >= 50, f"{kind} happened {report.faults.get(kind, 0)} times"

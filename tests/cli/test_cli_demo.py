"""The demonstration: it finds its scenarios, and passes only if everything came out as it must."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lumenize_sim.cli import main
from lumenize_sim.cli.demo import scenarios_folder

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("collab_editor", "lost_update", "subscribe_race", "collab_editor_tutorial")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a copy of the scenarios, which is the working directory; imports do not outlive the test."""
    (tmp_path / "scenarios").mkdir()
    for path in (ROOT / "scenarios").glob("*.py"):
        shutil.copy(path, tmp_path / "scenarios")
    monkeypatch.setattr("lumenize_sim.cli.demo._HUNT_SCHEDULES", 100)
    monkeypatch.setattr("lumenize_sim.cli.demo._TWIN_SCHEDULES", 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = dict(sys.modules)
    yield tmp_path
    for name in [name for name in sys.modules if name not in before]:
        if name.startswith("lumenize_scenario_"):
            del sys.modules[name]


def demo(*args: str) -> Result:
    return CliRunner().invoke(main, ["demo", "--schedules", "20", *args])


def test_everything_comes_out_as_it_must() -> None:
    result = demo()
    assert result.exit_code == 0, result.output
    assert "passed on all of 20 schedules" in result.stdout
    assert "disconnect" in result.stdout
    assert "passed first come, first served" in result.stdout
    assert result.stdout.count("replayed in a fresh process: the same failure, the same digest") == 3
    assert result.stdout.count("        replay: lumenize-sim replay ") == 3
    assert result.stdout.count("seed: 0") == 4
    assert "all four parts came out as they must" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.slow
def test_json_is_one_document() -> None:
    document = json.loads(demo("--json").stdout)
    assert document["ok"]
    assert [part["scenario"] for part in document["parts"]] == list(NAMES)
    assert document["parts"][2]["plain_outcome"] == "passed"
    assert 1 <= document["parts"][2]["non_default"] <= 2


@pytest.mark.slow
def test_a_broken_editor_a_missing_race_and_a_broken_twin_are_each_told(folder: Path) -> None:
    home = folder / "scenarios"
    shutil.copy(home / "collab_editor_tutorial.py", home / "collab_editor.py")  # no faults of its own, and it races
    shutil.copy(home / "lost_update_fixed.py", home / "subscribe_race.py")
    shutil.copy(home / "lost_update.py", home / "lost_update_fixed.py")
    result = demo()
    assert result.exit_code == 1
    last = result.stdout.splitlines()[-1]
    assert last.startswith("not as it must be: part 1 (collab_editor): a schedule failed")
    assert "part 2 (lost_update): lost_update_fixed.py, the twin with the fix, fails too" in last
    assert "part 3 (subscribe_race): the race was not found in 100 schedules" in last


@pytest.mark.slow
def test_a_race_that_plain_order_shows_is_not_what_part_3_is_about(folder: Path) -> None:
    shutil.copy(folder / "scenarios/lost_update.py", folder / "scenarios/subscribe_race.py")
    result = demo("--json")
    assert result.exit_code == 1
    assert "first come, first served already fails" in json.loads(result.stdout)["parts"][2]["wrong"][0]


def test_the_scenarios_are_found_here_above_and_next_to_the_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scenarios_folder() == folder / "scenarios"
    below = folder / "some/where"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert scenarios_folder() == folder / "scenarios"
    assert scenarios_folder(str(folder / "scenarios")) == folder / "scenarios"
    shutil.rmtree(folder / "scenarios")
    assert scenarios_folder().name == "scenarios"


def test_no_scenarios_is_said_clearly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder / "scenarios")
    monkeypatch.setattr("lumenize_sim.cli.demo.__file__", str(folder / "lib/lumenize_sim/cli/demo.py"))
    result = demo()
    assert result.exit_code == 2
    assert "run it from a checkout of the repository, or name the folder with --scenarios DIR." in result.stderr
    assert demo("--scenarios", "nowhere").exit_code == 2

"""Sweeps from the command line: processes, resuming, JUnit and annotations."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import pytest
from click.testing import CliRunner, Result

from lumenize_sim import Report, explore
from lumenize_sim.cli import main
from lumenize_sim.cli.annotations import annotated, place_of
from lumenize_sim.cli.junit import junit
from lumenize_sim.explore import load_scenario

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("cli_scenarios.py")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with the small apps in it; nothing that they import outlives the test."""
    shutil.copy(SOURCE, tmp_path / "apps.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = dict(sys.modules)
    yield tmp_path
    for name in [name for name in sys.modules if name not in before]:
        if name.startswith("lumenize_scenario_"):
            del sys.modules[name]


def cli(*args: str) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def report_on(name: str, **options: Any) -> Report:
    return explore(load_scenario("apps.py", name), schedules=100, verify=False, **options)


# -- processes and journals --------------------------------------------------------------------


def test_jobs_change_nothing_but_the_time(folder: Path) -> None:
    args = ("explore", "apps.py::last_one_wins", "--schedules", "100", "--no-verify", "--json")
    one, two = (json.loads(cli(*args, "--jobs", jobs).stdout) for jobs in ("1", "2"))
    assert {**one, "wall_s": 0} == {**two, "wall_s": 0}
    assert one["failures"]
    assert [file.suffix for file in (folder / ".lumenize").iterdir()] == [".tape"], "the journal is gone"


def test_a_cluster_that_is_not_there_is_a_matter_of_the_arguments() -> None:
    result = cli("explore", "apps.py::green", "--on", "spark://x:1")
    assert result.exit_code == 2
    assert "write dask://host:port" in result.stderr
    result = cli("explore", "apps.py::green", "--jobs", "2", "--on", "dask://x:1")
    assert result.exit_code == 2
    assert "give one" in result.stderr


@pytest.mark.slow
def test_ctrl_c_leaves_a_journal_and_no_process_and_says_how_to_go_on(folder: Path) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    args = ["explore", "apps.py::green", "--schedules", "20000", "--jobs", "2", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "lumenize_sim", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as running:  # fmt: skip
        journals: list[Path] = []
        while not journals or journals[0].read_bytes().count(b"\n") < 4:
            assert running.poll() is None
            journals = list((folder / ".lumenize").glob("green-*.journal"))
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert re.search(r"^again: lumenize-sim explore apps.py::green --schedules 20000 .*--resume$", errors, re.MULTILINE)
    units = journals[0].read_bytes().count(b"\n") - 1
    # As many schedules as the journal has: nothing is left to run.
    result = cli("explore", "apps.py::green", "--schedules", str(64 * units), "--resume", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["schedules"] == 64 * units
    assert not journals[0].exists()


# -- annotations -----------------------------------------------------------------------------------


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(SOURCE.read_text().splitlines(), 1) if text in line)


def test_a_failure_is_annotated_where_it_was_raised_and_at_its_racing_pair() -> None:
    first, *others = annotated(report_on("last_one_wins"))
    assert first.startswith(
        f"::error file=apps.py,line={line_of('alice came last')},title=last_one_wins failed::"
        "AssertionError: alice came last"
    )
    assert "%0Aracing pair: " in first
    assert "%0Areplay: lumenize-sim replay .lumenize" in first
    assert "\n" not in first
    places = [re.match(r"::notice file=apps\.py,line=(\d+),title=last_one_wins%3A racing::", line) for line in others]
    assert len(places) == 2
    assert all(place is not None and int(place[1]) == line_of('put("x", value)') for place in places)


def test_paths_are_those_of_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A job may work in a folder of it."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path.parent))
    failure = report_on("two_clicks").failures[0]
    assert place_of(failure) == (f"{tmp_path.name}/apps.py", line_of("two clicks, and the counter says"))


def test_what_github_would_read_as_its_own_is_escaped() -> None:
    report = report_on("two_clicks")
    failure = report.failures[0]
    outcome = attrs.evolve(failure.run.outcome, message="100 % sure:\r\n::warning::no")
    run = attrs.evolve(failure.run, outcome=outcome)
    line = next(annotated(attrs.evolve(report, failures=[attrs.evolve(failure, run=run)])))
    assert "::100 %25 sure:%0D%0A::warning::no%0A" in line


def test_annotations_are_printed_where_actions_run_and_never_into_json(monkeypatch: pytest.MonkeyPatch) -> None:
    args = ("explore", "apps.py::two_clicks", "--no-verify")
    assert "::error" not in cli(*args).output
    assert "::error" in cli(*args, "--github").stdout
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "::error" in cli(*args).stdout
    assert "::error" not in cli(*args, "--no-github").output
    result = cli(*args, "--json")
    json.loads(result.stdout)
    assert "::error" in result.stderr
    assert "::" not in cli("explore", "apps.py::green", "--schedules", "5").output.replace("apps.py::green", "")


# -- JUnit -------------------------------------------------------------------------------------------


def test_a_green_exploration_is_one_passed_test() -> None:
    assert cli("explore", "apps.py::green", "--schedules", "9", "--junit", "out/junit.xml").exit_code == 0
    suite = ET.parse("out/junit.xml").getroot()[0]
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "1", "0")
    [case] = suite.iter("testcase")
    assert (case.get("classname"), case.get("name"), len(case)) == ("apps", "green", 0)
    properties = {entry.get("name"): entry.get("value") for entry in suite.iter("property")}
    assert properties["schedules"] == "9"
    assert "never reached" in (properties["never happened"] or "")


def test_each_different_failure_is_a_failed_test() -> None:
    report = report_on("last_one_wins")
    other = attrs.evolve(report.failures[0], schedule=7)
    suite = ET.fromstring(junit(attrs.evolve(report, failures=[report.failures[0], other])))[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    first, second = suite.iter("testcase")
    assert (first.get("name"), second.get("name")) == ("last_one_wins", "last_one_wins (2)")
    assert (first.get("file"), first.get("line")) == ("apps.py", str(line_of("alice came last")))
    failure = first[0]
    assert failure.get("type") == "failed"
    assert (failure.get("message") or "").startswith("AssertionError: alice came last")
    assert "racing pair: " in (failure.text or "")
    assert "replay: lumenize-sim replay .lumenize" in (failure.text or "")


def test_what_xml_cannot_hold_is_replaced() -> None:
    report = report_on("two_clicks")
    failure = report.failures[0]
    run = attrs.evolve(failure.run, outcome=attrs.evolve(failure.run.outcome, message='a\x00\x1b<&">\ud800\U0001f600'))
    [case] = ET.fromstring(junit(attrs.evolve(report, failures=[attrs.evolve(failure, run=run)]))).iter("failure")
    assert case.get("message") == 'a\ufffd\ufffd<&">\ufffd\U0001f600'


def test_a_file_that_cannot_be_written_is_told() -> None:
    Path("file").touch()
    result = cli("explore", "apps.py::green", "--schedules", "1", "--junit", "file/junit.xml")
    assert result.exit_code == 2
    assert "file/junit.xml cannot be written" in result.stderr

"""What commands print, write and exit with."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from lumenize_sim import simulate
from lumenize_sim.cli import COMMANDS, main
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.trace.trace import Trace

SOURCE = Path(__file__).with_name("cli_scenarios.py")
ESCAPES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


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
    """Run a command; no traceback and no control characters, whatever happens."""
    result = CliRunner().invoke(main, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert not ESCAPES.search(result.output), result.output
    return result


def tape_of(result: Result) -> str:
    found = re.search(r"^tape: (\S+) +replay: lumenize-sim replay (\S+)$", result.stdout, re.MULTILINE)
    assert found is not None, result.stdout
    assert found[1] == found[2]
    assert Path(found[1]).is_file()
    return found[1]


def failed(scenario: str = "last_one_wins") -> str:
    """The tape of a failure with a choice in it."""
    return tape_of(cli("explore", f"apps.py::{scenario}", "--schedules", "100", "--no-verify"))


# -- help --------------------------------------------------------------------------------


def test_help_lists_every_command_and_every_exit_code() -> None:
    text = cli("--help").stdout
    for name in ("run", "explore", "replay", "show", "demo"):
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
    for line in (
        "0    passed",
        "1    the property failed",
        "2    usage",
        "3    the sim",
        "4    a replay",
        "130  inter",
    ):
        assert line in text


@pytest.mark.parametrize("name", ["run", "explore", "replay", "show", "demo"])
def test_each_command_documents_exit_codes(name: str) -> None:
    result = cli(name, "--help")
    assert result.exit_code == 0
    assert "130  interrupted" in result.stdout


def test_a_command_whose_module_is_missing_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "absent", ("lumenize_sim.cli.absent", "Not there."))
    assert "absent" not in cli("--help").stdout
    result = cli("absent")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_a_module_may_name_its_command_after_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def later() -> int:
        return 4

    module = type(sys)("lumenize_sim.cli.later")
    module.later = later  # type: ignore[attr-defined]  # a module made by hand
    module.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "lumenize_sim.cli.later", module)
    monkeypatch.setitem(COMMANDS, "later", ("lumenize_sim.cli.later", "Later."))
    assert "Later." in cli("--help").stdout
    assert cli("later").exit_code == 4


def test_no_command_is_a_matter_of_usage() -> None:
    assert cli().exit_code == 2


# -- run ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario,code,outcome",
    [("green", 0, "passed"), ("two_clicks", 1, "failed — AssertionError: two clicks, and the counter says 1")],
)
def test_run_always_prints_outcome_seed_tape_and_replay_line(scenario: str, code: int, outcome: str) -> None:
    result = cli("run", f"apps.py::{scenario}")
    assert result.exit_code == code
    assert f"{scenario}: {outcome}" in result.stdout
    assert "seed: 0 " in result.stdout
    tape = tape_of(result)
    assert tape.startswith(".lumenize/")
    assert cli("replay", tape).exit_code == code


def test_run_with_a_seed_writes_its_tape_where_it_is_told_and_says_the_seed() -> None:
    result = cli("run", "apps.py::two_clicks", "--seed", "7", "--strategy", "random", "--save", "deep/tapes")
    assert "seed: 7 " in result.stdout
    assert tape_of(result).startswith("deep/tapes/")


def test_run_calls_events_by_method_and_origin() -> None:
    result = cli("run", "apps.py::two_clicks")
    assert re.search(r"racing pair: .*#1 increment \(alice\) .* #2 increment \(bob\)", result.stdout)
    assert ">THING" not in result.stdout


def test_a_path_with_a_space_is_quoted_in_the_replay_line() -> None:
    result = cli("run", "apps.py::green", "--save", "my tapes")
    assert re.search(r"replay: lumenize-sim replay 'my tapes/green-\w+\.tape'$", result.stdout, re.MULTILINE)


def test_asking_for_faults_draws_some() -> None:
    seen: dict[str, int] = {}
    for seed in range(12):
        result = cli("run", "apps.py::green", "--seed", str(seed), "--strategy", "random", "--faults", "all", "--json")
        seen.update(json.loads(result.stdout)["faults"])
    assert seen
    assert "seed: 0 " in cli("run", "apps.py::green", "--faults", "all").stdout
    assert json.loads(cli("run", "apps.py::green", "--faults", "none", "--seed", "1", "--json").stdout)["faults"] == {}


def test_faults_on_the_command_line_keep_what_else_the_scenario_says_about_them() -> None:
    from lumenize_sim import Mesh, UsageError, World, scenario
    from lumenize_sim.cli.arguments import faults_wanted
    from lumenize_sim.world.faults import KINDS, Faults

    @scenario(Mesh(bindings={}), faults=Faults(kinds=("crash",), at_most=5, targets=("A",)))
    async def some(world: World) -> None: ...

    assert faults_wanted(some, None) is None
    assert faults_wanted(some, "none") == Faults()
    assert faults_wanted(some, "evict, crash") == Faults(kinds=("evict", "crash"), at_most=5, targets=("A",))
    everything = faults_wanted(some, "all")
    assert everything is not None
    assert everything.kinds == tuple(KINDS)
    with pytest.raises(UsageError, match="names no kind"):
        faults_wanted(some, " , ")


def test_run_writes_its_trace_also_for_people() -> None:
    result = cli("run", "apps.py::two_clicks", "--trace", "out/run.trace", "--json")
    assert Trace.read("out/run.trace").digest == json.loads(result.stdout)["digest"]
    assert "trace: run.jsonl" in cli("run", "apps.py::two_clicks", "--trace", "run.jsonl").stdout
    assert json.loads(Path("run.jsonl").read_text().splitlines()[0])["scenario"] == "two_clicks"


def test_a_call_that_fails_unheard_is_mentioned() -> None:
    result = cli("run", "apps.py::unheard_call")
    assert result.exit_code == 0
    assert "logged 2 errors: first by LUMENIZE_CLIENT_GATEWAY/alice.tab1: Call failed: " in result.stdout
    failed = cli("explore", "apps.py::unheard_and_failed", "--schedules", "10", "--no-verify")
    assert "logged 2 errors: first by LUMENIZE_CLIENT_GATEWAY/alice.tab1: Call failed: " in failed.stdout


# -- explore -----------------------------------------------------------------------------


def test_explore_finds_shrinks_explains_and_says_how_to_see_it_again() -> None:
    result = cli("explore", "apps.py::last_one_wins", "--schedules", "100")
    assert result.exit_code == 1
    assert re.search(r"^last_one_wins: failed on schedule \d+ of 100 — AssertionError: alice came last", result.stdout)
    assert re.search(r"^racing pair: .*#\d put \(bob\).*#\d put \(alice\)", result.stdout, re.MULTILINE)
    assert re.search(
        r"^shrunk to 1 non-default choice \(in order, except: .* comes before ", result.stdout, re.MULTILINE
    )
    assert "replayed in a fresh process: the same failure, the same digest" in result.stdout
    assert "seed: 0 " in result.stdout
    assert Tape.read(tape_of(result)).non_default == 1


def test_explore_says_when_first_come_first_served_already_shows_it() -> None:
    result = cli("explore", "apps.py::two_clicks", "--no-verify")
    assert result.stdout.count("two_clicks: failed on schedule 1 of 1000 — AssertionError") == 1
    assert "shrunk to 0 non-default choices (first come, first served already shows it)" in result.stdout
    assert "not re-run in a fresh process: that was not wanted" in result.stdout
    tape_of(result)


def test_a_green_exploration_prints_what_was_covered_and_what_never_happened() -> None:
    result = cli("explore", "apps.py::green", "--schedules", "60", "--seed", "5", "--faults", "hibernate,half-open")
    assert result.exit_code == 0
    assert re.search(
        r"^green: passed on all of 60 schedules \(seed 5\), \d+ different behaviours, [\d,]+ schedules/s", result.stdout
    )
    assert re.search(r"^faults: .*half-open \d+", result.stdout, re.MULTILINE)
    assert "reached: reached 60" in result.stdout
    assert re.search(r"^never happened: .*never reached", result.stdout, re.MULTILINE)
    assert "again: lumenize-sim explore apps.py::green --schedules 60 --seed 5" in result.stdout


def test_explore_in_timed_networks_and_with_one_strategy() -> None:
    assert cli("explore", "apps.py::green", "--schedules", "5", "--network", "timed").exit_code == 0
    assert cli("explore", "apps.py::green", "--schedules", "5", "--strategy", "pct").exit_code == 0


def test_explore_runs_all_orders_and_all_plans_of_faults_when_told_to() -> None:
    found = cli("explore", "apps.py::last_one_wins", "--exhaustive", "--limit", "300", "--no-verify")
    assert found.exit_code == 1
    assert re.search(r"^exhaustive: not complete: \d+ behaviours? in \d+ runs, where", found.stdout, re.MULTILINE)
    assert "again: lumenize-sim explore apps.py::last_one_wins --seed 0 --exhaustive --limit 300" in found.stdout
    assert Tape.read(tape_of(found)).non_default == 1
    options = ("--exhaustive", "--max-faults", "1", "--faults", "lost-call", "--json")
    document = json.loads(cli("explore", "apps.py::green", *options).stdout)
    assert document["exhaustive"] == f"complete: {document['coverage']['behaviours']} behaviours"
    assert document["complete"] is True
    assert document["coverage"]["faults"]
    document = json.loads(cli("explore", "apps.py::green", *options, "--limit", "9").stdout)
    assert document["exhaustive"].endswith("the limit of 9 runs was reached")
    assert document["complete"] is False
    refused = cli("explore", "apps.py::green", "--max-faults", "1")
    assert refused.exit_code == 2
    assert "exhaustive=True" in refused.output


def test_a_failure_that_differs_in_a_fresh_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = sys.modules["lumenize_sim.explore.explorer"]  # the function of that name hides the attribute
    monkeypatch.setattr(explorer, "verify_fresh", lambda *_: (False, "state of a module leaked"))
    result = cli("explore", "apps.py::two_clicks")
    assert result.exit_code == 1
    assert "state of a module leaked" in result.stdout


# -- replay ------------------------------------------------------------------------------


def test_replay_of_a_failure_fails_the_same_way_and_says_so() -> None:
    tape = failed()
    result = cli("replay", tape, "--trace", "again.trace")
    assert result.exit_code == 1
    assert "last_one_wins: failed, the same run as recorded — AssertionError: alice came last" in result.stdout
    assert Tape.read(tape).digest in result.stdout
    assert Trace.read("again.trace").digest == Tape.read(tape).digest
    assert tape_of(result) == tape


def test_replay_of_another_run_exits_with_4_and_names_both_contexts() -> None:
    Path("outside.txt").write_text("one")
    tape = tape_of(cli("run", "apps.py::from_a_file"))
    assert cli("replay", tape).exit_code == 0
    Path("outside.txt").write_text("another")
    result = cli("replay", tape)
    assert result.exit_code == 4
    first = result.stdout.splitlines()[0]
    assert first.startswith("from_a_file: diverged — replay diverged at ")
    assert "the tape expects" in first
    assert "this run has" in first
    assert f"replay: lumenize-sim replay {tape}" in result.stdout
    assert json.loads(cli("replay", tape, "--json").stdout)["outcome"] == "diverged"
    shown = cli("show", tape)
    assert shown.exit_code == 4
    assert "not the run that was recorded" in shown.stderr


def test_replay_of_an_edited_app_says_how_it_matched() -> None:
    """The driver waits a little first: every index has moved, and no event has another name."""
    tape = failed()
    source = Path("apps.py").read_text(encoding="utf-8")
    name = Tape.read(tape).scenario
    edited = re.sub(rf"(async def {name}\(world: World\) -> None:\n)", r"\1    await world.advance(0.25)\n", source)
    assert edited != source
    Path("edited.py").write_text(edited, encoding="utf-8")
    where = f"edited.py::{name}"
    strict = cli("replay", tape, "--scenario", where)
    assert strict.exit_code == 4
    assert "--lenient" in strict.stdout
    result = cli("replay", tape, "--scenario", where, "--lenient")
    assert result.exit_code == 1
    assert f"{name}: failed, not the same run as recorded, but what the tape meant" in result.stdout
    matched = len(re.findall(r"^  matched by ", result.stdout, re.MULTILINE))
    assert matched == len(Tape.read(tape).choices)
    assert len(json.loads(cli("replay", tape, "--scenario", where, "--lenient", "--json").stdout)["matches"]) == matched


def test_replay_finds_a_scenario_that_has_moved() -> None:
    tape = tape_of(cli("run", "apps.py::green"))
    Path("apps.py").rename("moved.py")
    assert cli("replay", tape).exit_code == 2
    assert cli("replay", tape, "--scenario", "moved.py::green").exit_code == 0
    assert cli("show", tape, "--scenario", "moved.py::green").exit_code == 0


# -- show --------------------------------------------------------------------------------


def test_show_marks_the_racing_pair_in_every_view() -> None:
    tape = failed()
    tree = cli("show", tape)
    assert tree.exit_code == 0
    assert "◀ 1" in tree.stdout
    assert "◀ 2" in tree.stdout
    assert "racing pair: " in tree.stdout
    assert "*1 " in cli("show", tape, "--as", "timeline").stdout
    assert "rect rgba" in cli("show", tape, "--as", "diagram").stdout
    assert cli("show", tape, "--as", "html").stdout.startswith("<!doctype html>")
    choices = cli("show", tape, "--as", "choices").stdout
    assert "1 choices, 1 of them not the default" in choices
    assert "comes before" in choices


def test_show_takes_the_view_from_the_name_of_the_file() -> None:
    tape = failed()
    assert "written: out/page.html" in cli("show", tape, "-o", "out/page.html").stdout
    assert Path("out/page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    cli("show", tape, "-o", "diagram.mmd")
    assert Path("diagram.mmd").read_text(encoding="utf-8").startswith("sequenceDiagram")
    cli("show", tape, "-o", "tree.txt")
    assert "◀ 1" in Path("tree.txt").read_text(encoding="utf-8")


def test_show_of_a_passed_run_has_no_pair_and_of_an_empty_tape_says_in_order() -> None:
    tape = tape_of(cli("run", "apps.py::green"))
    assert "◀" not in cli("show", tape).stdout
    assert "in order (first come, first served" in cli("show", tape, "--as", "choices").stdout


def test_show_reads_traces_too() -> None:
    cli("run", "apps.py::two_clicks", "--trace", "run.trace")
    result = cli("show", "run.trace")
    assert result.exit_code == 0
    assert "◀ 1" in result.stdout
    assert cli("show", "run.trace", "--as", "choices").exit_code == 2


# -- json --------------------------------------------------------------------------------


def test_json_of_run_and_replay_is_one_document_even_where_the_app_talks() -> None:
    """CLI contract: `scenario, outcome, digest, seed, tape, choices, events, virtual_s`."""
    result = cli("run", "apps.py::two_clicks", "--json")
    document = json.loads(result.stdout)
    assert "the app talks" in result.stderr
    assert {"scenario", "outcome", "digest", "seed", "tape", "choices", "events", "virtual_s"} <= document.keys()
    assert (document["scenario"], document["outcome"], document["seed"]) == ("two_clicks", "failed", 0)
    again = cli("replay", document["tape"], "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["digest"] == document["digest"]


def test_json_of_explore_is_one_document() -> None:
    """CLI contract: `scenario, schedules, failures, coverage, wall_s`."""
    result = cli("explore", "apps.py::two_clicks", "--json", "--no-verify")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert {"scenario", "schedules", "failures", "coverage", "wall_s"} <= document.keys()
    (failure,) = document["failures"]
    assert {"kind", "message", "tape", "choices", "non_default", "replays", "explanation"} <= failure.keys()
    assert {"object", "key", "first", "second"} <= failure["explanation"].keys()
    green = cli("explore", "apps.py::green", "--schedules", "3", "--json")
    assert json.loads(green.stdout)["failures"] == []
    assert green.exit_code == 0


def test_with_faults_and_no_seed_it_is_seed_0_and_not_the_world_without_surprises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int | None] = []

    def noted(*args: Any, **options: Any) -> Any:
        seeds.append(options["seed"])
        return simulate(*args, **options)

    monkeypatch.setattr("lumenize_sim.cli.run.simulate", noted)
    assert "seed: 0  " in cli("run", "apps.py::green", "--faults", "all").stdout
    assert "seed: 4  " in cli("run", "apps.py::green", "--faults", "all", "--seed", "4").stdout
    for more in ([], ["--faults", "none"]):
        assert "seed: 0 (none was given: nothing is left to chance)" in cli("run", "apps.py::green", *more).stdout
    assert seeds == [0, 4, None, None]


def test_run_tells_what_it_costs() -> None:
    """BL-1, BL-4: by class and object, and the bill of a month."""
    plain = cli("run", "apps.py::green")
    assert "a month" not in plain.stdout
    result = cli("run", "apps.py::green", "--cost", "--cost-scale", "2000000")
    assert result.stdout.startswith(plain.stdout)
    told = result.stdout[len(plain.stdout) :]
    assert told.startswith("cost of this run ")
    assert "a month of 2,000,000 such runs" in told
    assert re.search(r"total: \$\d", told)
    document = json.loads(cli("run", "apps.py::green", "--cost", "--prices", "free", "--json").stdout)
    assert document["cost"]["month"]["plan"] == "free"
    assert document["cost"]["total"]["requests"] > 0
    assert "cost" not in json.loads(cli("run", "apps.py::green", "--json").stdout)


@pytest.mark.parametrize(
    "options, says",
    [
        (("--cost-scale", "-1"), "--cost-scale -1: give a number"),
        (("--cost-turn-ms", "nan"), "--cost-turn-ms nan: give a number"),
        (("--prices", "none.toml"), "price table none.toml cannot be read"),
    ],
)
def test_a_cost_that_cannot_be_reckoned_is_refused(options: tuple[str, str], says: str) -> None:
    result = cli("run", "apps.py::green", "--cost", *options)
    assert (result.exit_code, says in result.stderr) == (2, True), result.output

"""`make quality` fails where anything falls short, and says what: on made-up measurements and made-up benchmarks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import attrs
import pytest

from lumenize_sim import UsageError
from tests.quality.bench import Plan, Progress, main, tasks_of
from tests.quality.cases import FOLDER, Case, cases_in
from tests.quality.page import BEGIN, END, PAGE, RESULTS, rendered
from tests.quality.search import Searched, searched
from tests.quality.survival import Survival
from tests.quality.trials import STRATEGIES, Trial
from tests.quality.verdict import Goals, Summary, shortfalls, summaries

CASE = Case(
    name="dummy", path=Path("dummy.py"), depth=2, object="A/a", key="n", events=("get", "put"), lines=(), rate=(1, 1000)
)
GOALS = Goals(cases=1, seeds=20, twin=100, programs=0, ratio=0)


def trials(**changes: Any) -> list[Trial]:
    """Twenty of the default mix, all of them good but for ``changes``, and one of the twin."""
    good = {"case": "dummy", "twin": False, "schedules": 30, "found": 30, "non_default": 2, "replays": 10}
    mixed = [Trial(strategy="portfolio", seed=seed, **{**good, **changes}) for seed in range(20)]
    return [*mixed, Trial(case="dummy", twin=True, strategy="portfolio", seed=0, schedules=100)]


def judged(of: list[Trial], goals: Goals = GOALS) -> list[str]:
    return shortfalls(summaries([CASE], of), (), Searched(), goals)


def test_nothing_falls_short_where_everything_is_good() -> None:
    """The dummy that the other tests spoil."""
    assert judged(trials()) == []


@pytest.mark.parametrize(
    "spoilt, said",
    [
        ({"found": 0}, "found in 0 of 20 trials"),
        ({"non_default": 4}, "a shrunk tape has 4 choices, and the bug a depth of 2"),
        ({"replays": 151}, "shrinking takes 151 replays in the median"),
        ({"complaints": ("there is none",)}, "explained in 0 of 20 trials; for example, there is none"),
        ({"trouble": "it does not come again"}, "a trial went wrong: it does not come again"),
    ],
)
def test_a_bad_value_of_every_trial_falls_short(spoilt: dict[str, Any], said: str) -> None:
    """Each goal has a value that misses it."""
    assert any(said in line for line in judged(trials(**spoilt)))


def test_one_miss_in_twenty_is_allowed_and_two_are_not() -> None:
    """95 %."""
    all_found = trials()
    missed = [attrs.evolve(all_found[n], found=0) for n in range(2)]
    assert judged([missed[0], *all_found[1:]]) == []
    assert judged([*missed, *all_found[2:]]) == ["dummy: found in 18 of 20 trials of 5,000 schedules"]


def test_too_few_seeds_fall_short() -> None:
    """What was not measured is not good."""
    assert judged(trials()[3:]) == ["dummy: looked for from 17 of 20 seeds"]


def test_one_long_tape_falls_short() -> None:
    """Depth and one more is for all, not for most."""
    of = trials()
    of[3] = attrs.evolve(of[3], non_default=4)
    assert judged(of) == ["dummy: a shrunk tape has 4 choices, and the bug a depth of 2"]


def test_a_twin_that_fails_or_has_not_run_falls_short() -> None:
    """A bug in the twin, or too few schedules to say that there is none."""
    *mixed, twin = trials()
    assert judged([*mixed, attrs.evolve(twin, found=7, message="lost")]) == ["dummy: the twin fails: lost"]
    assert judged(mixed) == ["dummy: the twin has passed 0 of 100 schedules"]
    few = attrs.evolve(twin, schedules=7)
    assert judged([*mixed, few]) == ["dummy: the twin has passed 7 of 100 schedules"]
    assert judged([*mixed, attrs.evolve(few, complete=True)]) == []  # there are no more than these


def test_a_mix_that_is_much_worse_than_one_strategy_falls_short() -> None:
    """Ten times, in the median."""
    for alone, said in ((3, []), (2, ["dummy: found after 30 schedules in the median, and by pos alone after 2"])):
        pure = [Trial(case="dummy", twin=False, strategy="pos", seed=n, schedules=alone, found=alone) for n in range(5)]
        assert judged([*trials(), *pure], attrs.evolve(GOALS, ratio=10)) == said
    assert judged(trials(), attrs.evolve(GOALS, ratio=10)) == ["dummy: no strategy was measured alone"]


@pytest.mark.parametrize("failures, good", [(0, False), (5, True), (50, True), (500, False)])
def test_a_bug_that_a_random_walk_meets_too_often_falls_short(failures: int, good: bool) -> None:
    """0.01 to 1 %, as measured; where nothing was, as declared."""
    walks = [
        Trial(case="dummy", twin=False, strategy="walk", seed=n, schedules=1000, failures=failures // 5)
        for n in range(10)
    ]
    assert (judged([*trials(), *walks]) == []) is good
    often = attrs.evolve(CASE, rate=(20, 1000))
    said = shortfalls(summaries([often], trials()), (), Searched(), GOALS)
    assert said == ["dummy: a random walk fails in 20 of 1,000 schedules, not in 0.01% to 1%"]


def test_one_benchmark_of_twelve_may_be_explained_wrongly() -> None:
    """And two may not."""

    def measured(wrong: int) -> list[Summary]:
        [one] = summaries([CASE], trials())
        return [attrs.evolve(one, explained=one.found if n >= wrong else 0) for n in range(12)]

    goals = attrs.evolve(GOALS, cases=12)
    assert shortfalls(measured(0), (), Searched(), goals) == shortfalls(measured(1), (), Searched(), goals) == []
    assert len(shortfalls(measured(2), (), Searched(), goals)) == 2
    assert shortfalls(measured(0)[1:], (), Searched(), goals) == ["there are 11 benchmarks, of 12"]


def test_tapes_that_do_not_survive_edits_fall_short() -> None:
    """Four of five must."""
    edits = [Survival(case="dummy", edit=str(n), survived=n >= 2) for n in range(10)]
    assert shortfalls(summaries([CASE], trials()), edits, Searched(), GOALS) == []
    edits[5] = Survival(case="dummy", edit="5", survived=False)
    assert shortfalls(summaries([CASE], trials()), edits, Searched(), GOALS) == [
        "7 of 10 tapes survive an edit; the goal is 80%"
    ]


def test_a_search_that_differs_from_brute_force_falls_short() -> None:
    """One behaviour is enough; and so are too few programs."""
    goals = attrs.evolve(GOALS, programs=2)
    measured = summaries([CASE], trials())
    assert shortfalls(measured, (), Searched(programs=2), goals) == []
    wrong = Searched(programs=1) + Searched(programs=1, unequal=("program 7: one missing",))
    assert shortfalls(measured, (), wrong, goals) == ["the search and brute force differ: program 7: one missing"]
    said = shortfalls(measured, (), Searched(programs=1), goals)
    assert said == ["the search was compared with brute force on 1 of 2 programs"]


@pytest.mark.slow
def test_some_generated_programs_are_searched_as_by_brute_force() -> None:
    """In one process, and in two."""
    alone = searched(2, 1)
    assert alone.programs >= 2
    assert not alone.unequal
    assert alone == searched(2, 2)


# -- the command, on benchmarks of its own -----------------------------------------------------


HARD = '''
from lumenize_sim import DurableObject, Mesh, World, scenario

DEPTH, RATE = 1, (1, 1000)
RACING = {"object": "A/a", "key": "n", "events": ("get", "put"), "lines": ("class A",)}


class A(DurableObject):
    pass


@scenario(Mesh(bindings={"A": A}))
async def hard(world: World) -> None:
    """There is no bug."""


@scenario(Mesh(bindings={"A": A}))
async def hard_fixed(world: World) -> None:
    """And this has one."""
    assert world.seed < 0, "always"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hard.py").write_text(HARD, encoding="utf-8")
    shutil.copy(FOLDER / "counter.py", tmp_path / "counter.py")
    return tmp_path


Quality = Callable[..., int]


@pytest.fixture
def quality(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Quality:
    """The command in one process, on ``folder``, with very little of everything; edits have tests of their own."""
    monkeypatch.setattr("tests.quality.bench.survivals", lambda case: [])

    def call(*arguments: str) -> int:
        few = "--folder", str(folder), "--jobs", "1", "--seeds", "5", "--schedules", "60"
        return main([*few, "--pure-seeds", "0", "--twin", "20", "--programs", "0", "--quick", *arguments])

    return call


def test_a_bug_that_cannot_be_found_and_a_twin_that_fails_fail_the_command(
    quality: Quality, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1; each shortfall has its line, and the last one counts them."""
    assert quality("--only", "hard") == 1
    *_, first, second, last = capsys.readouterr().out.splitlines()
    assert first == "short: hard: found in 0 of 5 trials of 60 schedules"
    assert second.startswith("short: hard: the twin fails: AssertionError: always")
    assert last.startswith("1 benchmarks, found in 0 of 5 trials, 0 explained; twins passed 0 schedules; ")
    assert last.endswith("; 2 short")


def test_json_says_the_same_and_nothing_else(quality: Quality, capsys: pytest.CaptureFixture[str]) -> None:
    """One document, with machine and versions."""
    assert quality("--only", "counter", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    [one] = said["benchmarks"]
    assert (one["name"], one["found"], one["trials"], one["longest"]) == ("counter", 5, 5, 1)
    assert "counter: the twin has passed 20 of 2,000 schedules" in said["short"]
    assert {"processor", "cores", "python", "trio"} <= said["machine"].keys()


def test_what_was_measured_is_not_measured_again(
    quality: Quality, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless the sources have changed: then the file says nothing of them."""
    journal = tmp_path / "journal.jsonl"
    quality("--only", "counter", "--seeds", "1", "--resume", str(journal))
    first, lines = capsys.readouterr().out, journal.read_text(encoding="utf-8").splitlines()
    quality("--only", "counter", "--seeds", "1", "--resume", str(journal))
    assert capsys.readouterr().out == first
    assert len(journal.read_text(encoding="utf-8").splitlines()) == len(lines) == 2
    (folder / "counter.py").write_text((folder / "counter.py").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    quality("--only", "counter", "--seeds", "1", "--resume", str(journal))
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 4


def test_a_journal_that_was_cut_off_is_read_as_far_as_it_goes(
    quality: Quality, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trial of its last line is run again."""
    journal = tmp_path / "journal.jsonl"
    quality("--only", "counter", "--seeds", "1", "--resume", str(journal))
    said, whole = capsys.readouterr().out, journal.read_text(encoding="utf-8")
    journal.write_text(f"{whole[:-40]}\n", encoding="utf-8")
    quality("--only", "counter", "--seeds", "1", "--resume", str(journal))
    assert capsys.readouterr().out == said
    assert len(journal.read_text(encoding="utf-8").splitlines()) == len(whole.splitlines()) + 1


@pytest.mark.parametrize("wrong", ["-1", "many"])
def test_a_number_that_is_none_is_a_wrong_argument(
    wrong: str, quality: Quality, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and which."""
    with pytest.raises(SystemExit, match="2"):
        quality(f"--twin={wrong}")
    assert f"argument --twin: invalid number value: '{wrong}'" in capsys.readouterr().err


def test_an_unknown_benchmark_is_a_wrong_argument(quality: Quality, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the names that there are."""
    assert quality("--only", "counters") == 2
    assert "there is: counter, hard" in capsys.readouterr().err


def test_a_file_that_declares_half_of_it_is_refused(tmp_path: Path) -> None:
    """A depth without a racing pair."""
    (tmp_path / "half.py").write_text("DEPTH = 1\n", encoding="utf-8")
    with pytest.raises(UsageError, match="declares DEPTH and no RACING or RATE"):
        cases_in(tmp_path)


def test_the_plan_has_every_seed_walk_twin_and_strategy() -> None:
    """And the last stretch of a twin is as long as what is left."""
    tasks = tasks_of([CASE], Plan(seeds=3, pure_seeds=2, walk=1500, twin=2500), FOLDER)
    assert [task.seed for task in tasks if not task.twin and task.strategy == "portfolio"] == [1, 2, 3]
    assert [task.schedules for task in tasks if task.twin] == [1000, 1000, 500]
    assert [task.schedules for task in tasks if task.strategy == "walk"] == [1000, 500]
    assert [task.strategy for task in tasks[8:]] == [*STRATEGIES, *STRATEGIES]
    assert len({task.key for task in tasks}) == len(tasks)


def test_only_the_strategies_asked_for_run_beside_the_mix() -> None:
    """Each with as many seeds."""
    tasks = tasks_of([CASE], Plan(seeds=1, pure_seeds=2, strategies=("random",), walk=0, twin=0), FOLDER)
    assert [task.strategy for task in tasks] == ["portfolio", "random", "random"]


class Terminal(StringIO):
    """Says that somebody is looking."""

    def isatty(self) -> bool:
        return True


def test_progress_is_told_to_a_terminal_and_to_nobody_else() -> None:
    """One line that is written over, and gone at the end; what was known before does not count for the rate."""
    terminal, file = Terminal(), StringIO()
    for stream in (terminal, file):
        progress = Progress(stream)
        progress.begin(4, 1)
        progress.step(trials()[0])
        progress.end()
    assert "2 of 4 trials, 1 found" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert not file.getvalue()


def test_ctrl_c_ends_it_with_a_word(
    quality: Quality, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """130, and how to lose nothing the next time."""

    def interrupted(_: object) -> Trial:
        raise KeyboardInterrupt

    monkeypatch.setattr("tests.quality.bench.run", interrupted)
    assert quality("--only", "counter") == 130
    assert "--resume FILE" in capsys.readouterr().err


def test_the_page_shows_the_results_on_file() -> None:
    """Both are written by `make quality WRITE=1`; neither is edited by hand."""
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page, json.loads(RESULTS.read_text(encoding="utf-8"))) == page


def test_a_page_keeps_what_is_written_by_hand(capsys: pytest.CaptureFixture[str], quality: Quality) -> None:
    """Only what stands between the marks is made anew."""
    quality(
        "--only", "counter", "--json", "--pure-seeds", "1", "--pure-schedules", "9", "--strategy", "pos", "--seeds", "1"
    )
    results = json.loads(capsys.readouterr().out)
    page = rendered(f"before\n{BEGIN}old{END}\nafter\n", results)
    assert page.startswith(f"before\n{BEGIN}\n\nMeasured on ")
    assert page.endswith(f"{END}\nafter\n")
    assert "| `counter` |" in page
    assert "the twin has passed 20 of 2,000 schedules" in page
    assert rendered(page, results) == page

"""Tapes after edits: events are matched by label and cause, and the run says how."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from lumenize_sim import Run, explore, replay
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.matcher import Matcher, shape_of
from lumenize_sim.kernel.tape import Tape

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def failing(name: str) -> Run:
    report = explore(load_scenario(SCENARIOS / f"{name}.py"), schedules=400, save=None, verify=False)
    return report.failures[0].run


@pytest.fixture(scope="module")
def tapes() -> dict[str, Tape]:
    return {
        name: failing(name).tape for name in ("subscribe_race", "collab_editor_tutorial", "hibernation_loses_reply")
    }


def after(name: str, tape: Tape, tmp_path: Path, edit: Callable[[str], str], *, lenient: bool = True) -> Run:
    source = (SCENARIOS / f"{name}.py").read_text(encoding="utf-8")
    changed = edit(source)
    assert changed != source
    path = tmp_path / f"{name}.py"
    path.write_text(changed, encoding="utf-8")
    return replay(tape, scenario=load_scenario(path), lenient=lenient)


def behind(place: str, line: str) -> Callable[[str], str]:
    """Put ``line`` behind the first line in which ``place`` stands, as deep as that or as what it begins."""

    def edit(source: str) -> str:
        lines = source.split("\n")
        at = next(n for n, text in enumerate(lines) if place in text)
        deeper = 4 if lines[at].rstrip().endswith(":") else 0
        indent = len(lines[at]) - len(lines[at].lstrip()) + deeper
        lines.insert(at + 1, " " * indent + line)
        return "\n".join(lines)

    return edit


def test_an_unedited_app_is_replayed_strictly_also_when_lenient(tapes: dict[str, Tape]) -> None:
    for name, tape in tapes.items():
        run = replay(tape, scenario=load_scenario(SCENARIOS / f"{name}.py"), lenient=True)
        assert (run.outcome.kind, run.edited, run.digest) == (tape.outcome, False, tape.digest)


def test_a_call_more_before_the_race_moves_every_number_and_the_failure_comes_again(
    tapes: dict[str, Tape], tmp_path: Path
) -> None:
    """The driver asks the board for something first: the board has another first arrival."""
    edit = behind("async def subscribe_race(world", 'await world.env.BOARD.get_by_name("town-hall").fetch("http://x/")')
    strict = after("subscribe_race", tapes["subscribe_race"], tmp_path, edit, lenient=False)
    assert strict.outcome.kind == "diverged"
    run = after("subscribe_race", tapes["subscribe_race"], tmp_path, edit)
    assert run.outcome.kind == "failed"
    assert run.edited
    assert [match.how for match in run.matches] == ["exact"]
    again = replay(run.tape, scenario=run.scenario)
    assert (again.outcome.kind, again.digest) == ("failed", run.digest)


def test_a_frame_more_on_the_socket_renumbers_those_behind_it(tapes: dict[str, Tape], tmp_path: Path) -> None:
    """A post to another board comes over the same socket first, and looks like the one on the tape."""
    tape = tapes["subscribe_race"]
    source = (SCENARIOS / "subscribe_race.py").read_text(encoding="utf-8")
    found = re.search(r"( +)alice\.post\(.*\n", source)
    assert found is not None
    line = found.group(0)

    def twice(text: str) -> str:
        return text.replace(
            line, f"{found.group(1)}alice.lmz.call('BOARD', 'elsewhere', alice.ctn().post('x'))\n{line}"
        )

    run = after("subscribe_race", tape, tmp_path, twice)
    assert run.outcome.kind == "failed"
    assert {match.how for match in run.matches} <= {"exact", "cause", "label"}


def test_a_fault_keeps_its_distance_from_the_event_that_it_followed(tapes: dict[str, Tape], tmp_path: Path) -> None:
    """More turns of the object before the eviction: its number moves, its place in the story does not."""
    tape = tapes["hibernation_loses_reply"]
    (choice,) = tape.choices
    assert tape.anchors.keys() == {choice.label}
    binding, _, name = choice.label.partition("%")[0].partition("/")
    edit = behind(
        "async def hibernation_loses_reply(world",
        f"await world.env.{binding}.get_by_name({name!r}).fetch('http://x/'); await world.advance(60)",
    )
    run = after("hibernation_loses_reply", tape, tmp_path, edit)
    assert run.outcome.kind == "failed"
    (match,) = run.matches
    assert match.how in ("cause", "exact")
    assert str(match).startswith("matched by ")


def test_a_mended_app_passes_and_a_choice_whose_events_are_gone_is_dropped(
    tapes: dict[str, Tape], tmp_path: Path
) -> None:
    tape = tapes["subscribe_race"]
    mended = load_scenario(SCENARIOS / "subscribe_race_fixed.py")
    run = replay(tape, scenario=attrs.evolve(mended, name="subscribe_race"), lenient=True)
    assert run.outcome.kind == "passed"
    gone = behind("async def subscribe_race(world", "return")
    emptied = after("subscribe_race", tape, tmp_path, gone)
    assert emptied.outcome.kind == "passed"
    assert [match.how for match in emptied.matches] == ["dropped"]
    assert str(emptied.matches[0]).startswith("dropped, nothing matches it: ")


@pytest.mark.parametrize("name", ["subscribe_race", "collab_editor_tutorial", "hibernation_loses_reply"])
def test_a_tape_without_causes_is_matched_by_labels(name: str, tapes: dict[str, Tape], tmp_path: Path) -> None:
    """Tapes of earlier releases."""
    bare = attrs.evolve(tapes[name], left=(), causes=(), about=(), anchors={})
    read = Tape.from_bytes(bare.to_bytes())
    run = after(name, read, tmp_path, behind(f"async def {name}(world", "await world.advance(0.25)"))
    assert run.outcome.kind == "failed"
    assert {match.how for match in run.matches} <= {"label", "cause", "exact", "number"}


def test_what_a_tape_keeps_of_causes_is_read_back(tapes: dict[str, Tape]) -> None:
    for tape in tapes.values():
        read = Tape.from_bytes(tape.to_bytes())
        assert (read.left, read.causes, read.about, read.anchors) == (tape.left, tape.causes, tape.about, tape.anchors)
        assert len(tape.causes) == len(tape.about) == len(tape.log) + len(tape.left)
        assert all(cause < n for n, cause in enumerate(tape.causes))
    assert "subscribe" in tapes["subscribe_race"].about


@pytest.mark.parametrize(
    "label, shape",
    [
        ("COUNTER/c1>RATES#12/r", "COUNTER/c1>RATES#*/r"),
        ("alice.tab1~0^3", "alice.tab1~*^*"),
        ("rev2.tab1~0v3", "rev2.tab1~*v*"),
        ("COUNTER/c1!timer2#0", "COUNTER/c1!timer*#*"),
        ("RATES~COUNTER/c1>RATES#0", "RATES~COUNTER/c1>RATES#*"),
    ],
)
def test_a_shape_has_no_counters_and_keeps_the_numbers_in_names(label: str, shape: str) -> None:
    assert shape_of(label) == shape


def test_an_inserted_call_of_the_same_shape_is_told_apart_by_what_it_carries() -> None:
    """The first call is new, and the second is the one that was the first."""
    tape = Tape(
        scenario="s", path=None, seed=0, choices=(), options={}, outcome="failed", message="", digest="",
        log=(("A", "in#0"), ("B", "A>B#0")), versions={}, causes=(-1, 0), about=("", "get"),
    )  # fmt: skip
    matcher = Matcher(tape)
    matcher.made("in#0", "A", "", "")
    matcher.made("A>B#0", "B", "in#0", "ping")
    matcher.made("A>B#1", "B", "in#0", "get")
    assert matcher.found("A>B#0") is None
    assert matcher.found("A>B#1") == 1
    assert matcher.name(1) == ("A>B#1", "cause")


def test_what_comes_of_something_new_is_matched_with_what_came_of_its_origin() -> None:
    """A wait was put in between: what is made after it has the wait as its cause, and had the call."""
    tape = Tape(
        scenario="s", path=None, seed=0, choices=(), options={}, outcome="failed", message="", digest="",
        log=(("A", "in#0"), ("B", "A>B#0")), versions={}, causes=(-1, 0), about=("", ""),
    )  # fmt: skip
    matcher = Matcher(tape)
    matcher.made("in#0", "A", "", "")
    matcher.made("A!timer0#0", "A", "in#0", "")
    matcher.made("A>B#0", "B", "A!timer0#0", "")
    assert matcher.name(1) == ("A>B#0", "exact")

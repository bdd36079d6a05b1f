"""Journals: whatever ends a sweep, each finished unit is read once, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumenize_sim import UsageError
from lumenize_sim.explore.assignment import Assignment
from lumenize_sim.explore.journal import Journal
from lumenize_sim.explore.tally import Found, Tally
from lumenize_sim.explore.unit import Unit
from lumenize_sim.kernel.choice import Choice

ASSIGNMENT = Assignment(
    path="a.py", absolute="/x/a.py", name="a", seed=1, strategy=None, max_failures=2, options={}, faults={},
    source="s", package="0.1",
)  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
COUNTS = st.dictionaries(TEXT, st.integers(0, 9), max_size=2)
CHOICES = st.builds(Choice, TEXT, st.integers(1, 3), st.just(4), st.integers(0, 2**32 - 1), TEXT, TEXT)
TALLIES = st.builds(
    Tally,
    ran=st.integers(1, 64),
    behaviours=st.lists(TEXT, max_size=2).map(tuple),
    faults=COUNTS,
    marks=COUNTS,
    found=st.lists(
        st.builds(
            Found,
            schedule=st.integers(1, 64),
            strategy=TEXT,
            found_with=st.integers(0, 9),
            replays=st.integers(0, 9),
            choices=st.lists(CHOICES, max_size=2).map(tuple),
            total=st.booleans(),
            signature=st.lists(TEXT, max_size=3).map(tuple),
        ),
        max_size=1,
    ).map(tuple),
)


def written(path: Path, tallies: list[Tally]) -> bytes:
    journal = Journal(path, ASSIGNMENT, resume=False)
    for n, tally in enumerate(tallies):
        journal.write(Unit(n, 64 * n, 64), tally)
    journal.close()
    return path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(tallies=st.lists(TALLIES, max_size=3), data=st.data())
def test_whatever_is_cut_off_the_units_before_it_are_read(
    tallies: list[Tally], data: st.DataObject, tmp_path: Path
) -> None:
    """Crash at any byte; and what is written afterwards is read, too."""
    path = tmp_path / "j"
    content = written(path, tallies)
    end = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:end])
    whole = max(0, content[:end].count(b"\n") - 1)
    journal = Journal(path, ASSIGNMENT, resume=True)
    assert list(journal.tallies.values()) == tallies[:whole]
    assert list(journal.tallies) == [(64 * n, 64) for n in range(whole)]
    journal.write(Unit(whole, 64 * whole, 64), Tally(ran=64))
    journal.close()
    again = Journal(path, ASSIGNMENT, resume=True)
    assert list(again.tallies.values()) == [*tallies[:whole], Tally(ran=64)]
    again.remove()
    assert not path.exists()


def test_a_line_without_its_end_is_cut_off(tmp_path: Path) -> None:
    """Whole but for the line break: the next line would be written behind it."""
    path = tmp_path / "j"
    path.write_bytes(written(path, [Tally(ran=64), Tally(ran=63)])[:-1])
    journal = Journal(path, ASSIGNMENT, resume=True)
    assert list(journal.tallies.values()) == [Tally(ran=64)]
    journal.write(Unit(1, 64, 64), Tally(ran=62))
    journal.close()
    assert list(Journal(path, ASSIGNMENT, resume=True).tallies.values()) == [Tally(ran=64), Tally(ran=62)]


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    content = written(path, [Tally(ran=64), Tally(ran=63)])
    path.write_bytes(content.replace(b'"ran": 64', b'"ran": 60'))
    with pytest.raises(UsageError, match="damaged in line 2: remove it, and explore from the beginning"):
        Journal(path, ASSIGNMENT, resume=True)
    assert not Journal(path, ASSIGNMENT, resume=False).tallies


@pytest.mark.parametrize(
    "changed, words",
    [({"source": "t"}, "the app's source"), ({"seed": 2}, "seed"), ({"package": "2"}, "the version of lumenize_sim")],
)
def test_a_journal_of_something_else_is_refused(changed: dict[str, object], words: str, tmp_path: Path) -> None:
    written(tmp_path / "j", [Tally(ran=64)])
    with pytest.raises(UsageError, match=rf"is of another exploration \({words} changed since\)"):
        Journal(tmp_path / "j", attrs.evolve(ASSIGNMENT, **changed), resume=True)  # type: ignore[arg-type]  # by name


def test_something_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"hello\nworld\n")
    with pytest.raises(UsageError, match="damaged in line 1"):
        Journal(tmp_path / "j", ASSIGNMENT, resume=True)
    assert (tmp_path / "j").read_bytes() == b"hello\nworld\n", "it may be dear to somebody"


def test_two_sweeps_do_not_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", ASSIGNMENT, resume=False)
    with pytest.raises(UsageError, match="is in use: another process explores the same"):
        Journal(tmp_path / "j", ASSIGNMENT, resume=True)
    journal.close()
    Journal(tmp_path / "j", ASSIGNMENT, resume=True).close()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        Journal(tmp_path / "file" / "j", ASSIGNMENT, resume=False)


def test_the_name_of_a_journal_does_not_change_with_the_source() -> None:
    """So that resuming after an edit says what is wrong instead of beginning silently."""
    assert attrs.evolve(ASSIGNMENT, source="t", package="9", absolute="/y/a.py").key == ASSIGNMENT.key
    assert attrs.evolve(ASSIGNMENT, seed=2).key != ASSIGNMENT.key

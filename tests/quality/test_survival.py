"""Edits of a benchmark's source, and whether its tape survives them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lumenize_sim import simulate
from tests.quality.cases import FOLDER, cases_in
from tests.quality.edits import EDITS, edited
from tests.quality.survival import survivals

[COUNTER] = cases_in(only=["counter"])


@pytest.mark.parametrize("edit", list(EDITS))
def test_an_edit_changes_the_source_and_not_what_it_does(edit: str, tmp_path: Path) -> None:
    """First come, first served passes as before, in the scenario with the bug and in its twin."""
    for name in ("counter", "counter_fixed"):
        scenario = edited(COUNTER.path, name, edit, tmp_path)
        assert simulate(scenario).failure is None
    text = (tmp_path / "counter.py").read_text(encoding="utf-8")
    original = COUNTER.path.read_text(encoding="utf-8")
    assert text != original
    assert (ast.dump(ast.parse(text)) == ast.dump(ast.parse(original))) is (edit == "comments")


def test_every_edit_can_be_made_to_every_benchmark(tmp_path: Path) -> None:
    """And the result is loaded; what it does there `make quality` measures."""
    for case in cases_in():
        for edit in EDITS:
            assert edited(case.path, case.name, edit, tmp_path / case.name / edit).path != str(case.path)


@pytest.mark.parametrize("name", ["counter", "gate_leak", "two_sockets"])
def test_these_tapes_survive_them_all(name: str) -> None:
    """Ten of ten; the goal over all benchmarks is eight."""
    [case] = cases_in(only=[name])
    assert [one.edit for one in survivals(case) if not one.survived] == []


def test_a_tape_that_is_none_of_these_is_looked_for(tmp_path: Path) -> None:
    """Benchmarks of somebody else have no tape on file."""
    (tmp_path / "counter.py").write_text((FOLDER / "counter.py").read_text(encoding="utf-8"), encoding="utf-8")
    [case] = cases_in(tmp_path)
    assert [one.edit for one in survivals(case)] == list(EDITS)

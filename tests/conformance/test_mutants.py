"""The fast half of `make mutations`: what it would change is still there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conformance.catalogue import catalogue
from tests.conformance.mutants import MUTANTS, Mutant
from tests.conformance.mutations import Copy, around

PACKAGE = Path(__file__).parents[2] / "lumenize_sim"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_the_text_that_a_mutation_replaces_stands_there_once(mutant: Mutant) -> None:
    """Where it has moved: make the same mistake in the new text, see `tests/conformance/mutants.py`."""
    source = (PACKAGE / mutant.file).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1
    ast.parse(source.replace(mutant.old, mutant.new))


def test_each_mutation_flips_a_rule_of_its_own_by_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25
    for mutant in MUTANTS:
        assert mutant.rules
        assert mutant.tests


def test_the_litmus_programs_that_are_to_notice_exist() -> None:
    programs = catalogue()
    for mutant in MUTANTS:
        for test in mutant.tests:
            if "test_nothing_comes_out_that_must_not[" in test:
                name = test.partition("[")[2].rpartition("-")[0]
                assert name in programs, f"{mutant.name}: there is no program {name!r}"


def test_a_mutation_whose_text_has_moved_is_an_error_and_runs_nothing(tmp_path: Path) -> None:
    copy = Copy.__new__(Copy)
    copy.folder = tmp_path
    (tmp_path / "lumenize_sim").mkdir()
    (tmp_path / "lumenize_sim" / "twice.py").write_text("x = 1\nx = 1\n", encoding="utf-8")
    for file, times in (("twice.py", "2 times"), ("none.py", "there is no none.py")):
        caught = copy.attempt(Mutant("m", ("IG-1",), file, "x = 1\n", "x = 2\n", ("tests",)))
        assert not caught.by
        assert times in caught.trouble


@pytest.mark.parametrize(
    "code, output, by, trouble",
    [
        (0, "1 passed", "", "nobody caught it"),
        (1, "E   came out: x\nFAILED tests/a.py::test_b[c-d] - AssertionError: x", "tests/a.py::test_b[c-d]", ""),
        (4, "ERROR: not found: tests/a.py", "", "pytest ended with 4"),
    ],
)
def test_only_a_test_that_fails_has_caught_a_mutation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, output: str, by: str, trouble: str
) -> None:
    copy = Copy.__new__(Copy)
    copy.folder = tmp_path
    path = tmp_path / "lumenize_sim" / "once.py"
    path.parent.mkdir()
    path.write_text("def f():\n    return 1\n", encoding="utf-8")
    seen: list[str] = []

    def test(_: object) -> tuple[int, str]:
        seen.append(path.read_text(encoding="utf-8"))
        return code, output

    monkeypatch.setattr(copy, "test", test)
    caught = copy.attempt(Mutant("m", ("IG-1",), "once.py", "return 1", "return 2", ("tests",)))
    assert seen == ["def f():\n    return 2\n"]
    assert path.read_text(encoding="utf-8") == "def f():\n    return 1\n"
    assert (caught.by, caught.line, caught.where) == (by, 2, "f")
    assert trouble in caught.trouble
    assert bool(caught.trouble) == bool(trouble)


def test_the_place_of_a_mutation_is_told_by_name() -> None:
    source = "X = 1\nclass A:\n    def b(self):\n        def c():\n            return 1\n        return c\n"
    assert [around(source, line) for line in (1, 2, 3, 5, 6)] == ["", "A", "A.b", "A.b.c", "A.b"]

"""The fast half of `make mutations`: what it would change is still there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conformance.catalogue import catalogue
from tests.conformance.mutants import MUTANTS, Mutant

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

"""Choices: how a pick names itself."""

from __future__ import annotations

import pytest

from lumenize_sim.kernel.choice import Choice, key_of
from lumenize_sim.kernel.plan import fault_label


def test_the_key_does_not_depend_on_the_order_of_the_alternatives() -> None:
    """The same alternatives are the same decision; 32 bits, the same in every process."""
    assert key_of(["b", "a"]) == key_of(iter(["a", "b"])) == 0xF5CCD773
    assert key_of(["ab"]) != key_of(["a", "b"])
    assert 0 <= key_of([]) < 1 << 32


@pytest.mark.parametrize(
    "label, kind, site",
    [
        ("C/a#3", "order", "C/a#3"),
        ("C/a~x@home#3", "order", "C/a~x@home#3"),
        ("x>y#1@delay", "delay", "x>y#1"),
        ("C/a#0@task", "task", "C/a#0"),
        (fault_label("failed-flush", "C/a", 2), "fault", "C/a%failed-flush#2"),
        ("C/100%#2", "order", "C/100%#2"),
        ("C/50%crash#2x#1", "order", "C/50%crash#2x#1"),
    ],
)
def test_the_label_tells_the_kind(label: str, kind: str, site: str) -> None:
    """Nothing else does; names of objects may contain any character."""
    choice = Choice(label, 1, 2, 0, "pick", "over")
    assert (choice.kind, choice.site) == (kind, site)


@pytest.mark.parametrize(
    "choice, words",
    [
        (Choice("C/a#3", 1, 2, 0, "p", "q"), "p comes before q at C/a"),
        (Choice("m#0@delay", 1500, 2001, 0, "1500 us"), "m#0 is 1.5 ms late"),
        (Choice("C/a#0@task", 2, 3, 0, "task 2"), "task 2 goes first at C/a#0"),
        (Choice("C/a%crash#4", 1, 2, 0, "crash"), "crash at C/a, boundary 4"),
        (Choice("C/a%lost-call#4", 2, 3, 0, "lost-call"), "lost-call at C/a, boundary 4, variant 2"),
    ],
)
def test_a_choice_reads_as_the_end_of_in_order_except(choice: Choice, words: str) -> None:
    assert choice.describe() == words


def test_the_form_on_file_is_a_flat_list() -> None:
    assert Choice("l", 1, 2, 3, "p", "o").to_list() == ["l", 1, 2, 3, "p", "o"]

"""Stand-ins: what a choice could be told as instead, and nothing that means the same place again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.explore.standins import Telling
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.event import Event

LIMIT_US = 500
#: A question to S, its answer back to R, what R makes of it, and something else at R before.
RUN = Sighting(("q", "x", "a", "t"), ("S", "R", "R", "R"), (-1, -1, 0, 2), (-1,) * 4, 4)
MADE = {
    label: cast(Event, SimpleNamespace(receiver=receiver, delay_limit_us=0 if label == "t" else LIMIT_US))
    for label, receiver in zip(RUN.labels, RUN.receivers, strict=True)
}
TELLING = Telling((RUN,), MADE)


def late(label: str, us: int) -> Choice:
    return Choice(f"{label}@delay", us, LIMIT_US + 1, 0, f"{us} us")


def told(choice: Choice) -> list[tuple[str, int, str]]:
    return [(other.label, other.value, other.over) for other in TELLING.stand_ins(choice)]


def test_a_late_question_is_told_as_its_late_answer() -> None:
    assert told(late("q", 300)) == [("a@delay", 300, "")]


def test_a_late_answer_is_told_as_what_comes_of_it_and_as_its_late_question() -> None:
    """What comes of it cannot be late, but can wait for what came before it."""
    assert told(late("a", 300)) == [("R#0+3", 1, "t"), ("q@delay", 300, "")]


def test_what_waits_is_told_as_late_by_the_least() -> None:
    assert ("a@delay", 1, "") in told(Choice("R#1", 1, 2, 0, "x", "a"))


def test_nothing_is_later_than_it_plausibly_can_be() -> None:
    assert [choice.value for choice in TELLING.delays("a", 10 * LIMIT_US)] == [LIMIT_US]
    assert not list(TELLING.delays("t", 1))


def test_a_fault_and_the_end_of_an_order_have_no_stand_ins() -> None:
    assert not told(Choice("R%crash#1", 1, 2, 0, "crash"))
    assert not told(Choice("R#3", 1, 2, 0, "(nothing more)", ""))

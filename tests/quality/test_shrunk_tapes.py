"""What tapes shrink to of which nothing can be left out, and that are longer than their bug is deep all the same.

Each of them is where shrinking once ended.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lumenize_sim.explore.attempts import run_leniently
from lumenize_sim.explore.shrink import shrink
from lumenize_sim.kernel.choice import Choice
from tests.quality.cases import cases_in

CASES = {case.name: case for case in cases_in()}


def late(label: str, us: int) -> Choice:
    return Choice(f"{label}@delay", us, 2_000_001, 0, f"{us} us")


def first(place: str, pick: str, over: str) -> Choice:
    return Choice(place, 1, 2, 0, pick, over)


def server(sender: int, receiver: int, nth: int = 0) -> str:
    return f"SERVER/s{sender}>SERVER/s{receiver}#{nth}"


HALF_A_SECOND = 500_000
QUESTIONS_FOR_ANSWERS = [
    *(late(server(*ways), HALF_A_SECOND) for ways in ((2, 4), (2, 5), (1, 4), (1, 5))),
    late(server(2, 6), 1),
    first("SERVER/s4#2", server(1, 4), server(2, 4)),
]
EVERYTHING_LATER = [
    late("OPERATOR/o>CLIENT/anne#0", HALF_A_SECOND),
    *(late(server(2, n), HALF_A_SECOND) for n in (1, 3, 4, 5)),
    first("SERVER/s1#2", "CLIENT/anne>SERVER/s1#0", server(2, 1)),
    late(server(2, 1, 2), HALF_A_SECOND),
    first("SERVER/s3#2", server(1, 3), server(2, 3)),
    late(server(3, 1), HALF_A_SECOND),
    first("SERVER/s4#2", server(1, 4), server(2, 4)),
    Choice("SERVER/s1#16+0", 1, 2, 0, server(3, 1, 1), server(2, 1, 2), 4),
]
ANSWERS_BY_OTHER_NUMBERS = [
    first("TRIP/t-1#3", "SUPPLIER/hotel>TRIP/t-1#0", "TRIP/t-1>SUPPLIER/flight#0/r"),
    first("SUPPLIER/insurance#2", "TRIP/t-1>SUPPLIER/insurance#1", "TRIP/t-1>SUPPLIER/insurance#0"),
    first("TRIP/t-1#6", "TRIP/t-1>DESK/agency#0/r", "TRIP/t-1>SUPPLIER/hotel#0/r"),
    first("TRIP/t-1#15", "SUPPLIER/insurance>TRIP/t-1#1", "SUPPLIER/car>TRIP/t-1#1"),
]
ONE_LATE_FOR_ALL = [
    late("driver>NODE/n1#0", 850_001),
    late("WATCHMAN/w>NODE/n1#2", 750_000),
    late("NODE/n1>WATCHMAN/w#4", HALF_A_SECOND),
]


@pytest.mark.parametrize(
    "name, choices",
    [
        pytest.param("raft", QUESTIONS_FOR_ANSWERS, id="two late questions become a late answer"),
        pytest.param("raft", EVERYTHING_LATER, id="what all were late for becomes superfluous"),
        pytest.param("two_phase", ANSWERS_BY_OTHER_NUMBERS, id="a message that is not answered renames all answers"),
        pytest.param("stale_pong", ONE_LATE_FOR_ALL, id="one late message does what three did"),
    ],
)
def test_where_nothing_can_be_left_out_choices_are_told_in_other_words(name: str, choices: Sequence[Choice]) -> None:
    """At most one choice more than the bug is deep."""
    case = CASES[name]
    outcome, taken = run_leniently(case.bug, tuple(choices), seed=0)
    assert outcome.failed, outcome.message
    assert len(taken) == len(choices) > case.depth + 1
    shrunk = shrink(case.bug, taken, outcome.signature, seed=0)
    assert len(shrunk.choices) <= case.depth + 1
    again, _ = run_leniently(case.bug, shrunk.choices, seed=0)
    assert again.signature == outcome.signature

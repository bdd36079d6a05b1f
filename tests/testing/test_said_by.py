"""What an assertion says on a tape: the author's words, and nothing that only pytest or only this process knows."""

from __future__ import annotations

import pytest

from lumenize_sim.world.run import describe_error, said_by


@pytest.mark.parametrize(
    "text, said",
    [
        ("two clicks, one counted", "two clicks, one counted"),
        ("two clicks\nassert 1 == 2", "two clicks"),
        ("two\nlines\nassert 1 == 2\n +  where 1 = f()", "two\nlines"),
        ("assert 1 == 2\n +  where 1 = <Tab object at 0x7f00>.count", ""),
        ("", ""),
    ],
)
def test_what_pytest_adds_to_an_assertion_is_cut_off(text: str, said: str) -> None:
    assert said_by(AssertionError(text)) == said


def test_a_message_in_one_line_has_no_addresses() -> None:
    assert (
        describe_error(ValueError("no room in <Tab object at 0x7fAb12>\nmore")) == "ValueError: no room in <Tab object>"
    )

"""Cron expressions as the original's library reads them (AL-8)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.mesh import MeshError
from lumenize_sim.mesh.services.cron import next_occurrence

#: A Wednesday.
NOW = datetime(2026, 1, 7, 12, 30, 15, 500_000, tzinfo=UTC)


def following(expression: str, now: datetime = NOW) -> str:
    return datetime.fromtimestamp(next_occurrence(expression, round(now.timestamp() * 1000)), UTC).strftime(
        "%Y-%m-%d %H:%M:%S"
    )


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("* * * * *", "2026-01-07 12:31:00"),
        ("*/5 * * * *", "2026-01-07 12:35:00"),
        ("* * * * * *", "2026-01-07 12:30:16"),
        ("*/10 * * * * *", "2026-01-07 12:30:20"),
        ("0 9 * * 1-5", "2026-01-08 09:00:00"),
        ("0 9 * * MON", "2026-01-12 09:00:00"),
        ("0 9 * * sun", "2026-01-11 09:00:00"),
        ("0 9 * * 0", "2026-01-11 09:00:00"),
        ("0 9 * * 7", "2026-01-11 09:00:00"),
        ("0 9 * * 7-1", "2026-01-11 09:00:00"),
        ("0 0 1 JAN,feb *", "2026-02-01 00:00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("5/10 * * * *", "2026-01-07 13:05:00"),  # the step on a single value is ignored
        ("0-30/15 12 * * *", "2026-01-08 12:00:00"),
        ("0 0 13 * 5", "2026-01-09 00:00:00"),  # both restricted: either
        ("0 0 1-31 * 5", "2026-01-09 00:00:00"),  # all days: not restricted
        ("0 0 13 * 0-6", "2026-01-13 00:00:00"),
        ("@yearly", "2027-01-01 00:00:00"),
        ("@annually", "2027-01-01 00:00:00"),
        ("@monthly", "2026-02-01 00:00:00"),
        ("@weekly", "2026-01-11 00:00:00"),
        ("@Daily", "2026-01-08 00:00:00"),
        ("@hourly", "2026-01-07 13:00:00"),
        ("@minutely", "2026-01-07 12:31:00"),
        ("  0   13  * * *  ", "2026-01-07 13:00:00"),
    ],
)
def test_the_next_time_is_strictly_later_and_in_utc(expression: str, expected: str) -> None:
    assert following(expression) == expected


@pytest.mark.parametrize(
    "expression, message",
    [
        ("", "Invalid cron expression: expected 5 or 6 elements."),
        ("* * * *", "Invalid cron expression: expected 5 or 6 elements."),
        ("* * * * * * *", "Invalid cron expression: expected 5 or 6 elements."),
        ("\u0663 * * * *", "Failed to parse \u0663: \u0663 is NaN."),
        ("60 * * * *", "Failed to parse 60: 60 is outside of constraint range of 0 - 59."),
        ("* 24 * * *", "Failed to parse 24: 24 is outside of constraint range of 0 - 23."),
        ("* * 0 * *", "Failed to parse 0: 0 is outside of constraint range of 1 - 31."),
        ("* * * 13 *", "Failed to parse 13: 13 is outside of constraint range of 1 - 12."),
        ("* * * * 8", "Failed to parse 8: 8 is outside of constraint range of 0 - 7."),
        ("frog * * * *", "Failed to parse frog: frog is NaN."),
        ("30-10 * * * *", "Failed to parse 30-10: Invalid range (start: 30, end: 10)."),
        ("*/0 * * * *", "Failed to parse step: Expected 0 to be greater than 0."),
        ("* * L * *", "Failed to parse L: L is NaN."),
        ("* * * * #2", "Failed to parse #2: #2 is NaN."),
        ("0 0 31 2 *", "No valid next date was found."),
        ("0 0 30 feb *", "No valid next date was found."),
    ],
)
def test_what_is_no_expression_is_refused_in_the_original_s_words(expression: str, message: str) -> None:
    with pytest.raises(MeshError) as refused:
        next_occurrence(expression, 0)
    assert str(refused.value) == message


def test_a_fraction_of_a_second_does_not_skip_the_next_one() -> None:
    assert following("* * * * * *", NOW.replace(microsecond=999_000)) == "2026-01-07 12:30:16"
    assert following("* * * * * *", NOW.replace(microsecond=0)) == "2026-01-07 12:30:16"


@given(st.text(alphabet="0123456789*/-,LW#?jansu @", max_size=24))
def test_no_text_does_anything_but_name_a_later_time_or_be_refused(text: str) -> None:
    try:
        found = next_occurrence(text, 1_767_225_600_000)
    except MeshError:
        return
    assert found > 1_767_225_600

"""The fast selection: every program in a few schedules."""

from __future__ import annotations

import pytest

from tests.conformance.catalogue import catalogue
from tests.conformance.program import Program
from tests.conformance.reach import reachable
from tests.conformance.verdict import judge

SCHEDULES = 12
PROGRAMS = [p for p in catalogue().values() if isinstance(p, Program)]


@pytest.mark.parametrize(
    "program, runtime", [(p, r) for p in PROGRAMS for r in p.runtimes], ids=lambda v: getattr(v, "id", v)
)
def test_nothing_comes_out_that_must_not(program: Program, runtime: str) -> None:
    """First come, first served, and a few other schedules: every outcome is expected, or a rule allows it."""
    verdict = judge(program, runtime, reachable(program, runtime, schedules=SCHEDULES))
    assert not verdict.forbidden, verdict.complaint()
    assert not verdict.unexplained, verdict.complaint()

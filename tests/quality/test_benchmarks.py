"""Each benchmark of `scenarios/bench` is what it declares: a bug of that depth, and a twin without it."""

from __future__ import annotations

import attrs
import pytest

from lumenize_sim import explore, replay, simulate
from lumenize_sim.kernel.tape import Tape
from tests.quality.cases import Case, cases_in
from tests.quality.tapes import tape_of
from tests.quality.verdict import Goals

CASES = cases_in()
each = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@each
def test_its_shortest_known_tape_still_fails(case: Case) -> None:
    """The choices of the tape on file, wherever they stand by now, and first come, first served behind them."""
    tape = Tape.read(tape_of(case))
    assert tape.non_default == case.depth
    run = replay(tape, scenario=case.bug, lenient=True)
    assert run.outcome.kind == "failed", run.outcome.message
    assert run.outcome.message.partition(" (")[0] == tape.message.partition(" (")[0]


@each
def test_its_twin_passes_the_same_choices_and_a_few_schedules(case: Case) -> None:
    """As far as they apply to it."""
    twin = attrs.evolve(case.twin, name=case.name)
    assert replay(tape_of(case), scenario=twin, lenient=True).failure is None
    report = explore(case.twin, schedules=16, save=None)
    assert not report.failures, report.failures[0].message


@each
def test_first_come_first_served_shows_neither(case: Case) -> None:
    """A bug that shows at once needs no exploring."""
    assert simulate(case.bug).failure is None
    assert simulate(case.twin).failure is None


@each
def test_its_declarations_hold_together(case: Case) -> None:
    """The lines that it names exist, and a random walk meets it rarely enough, and not never."""
    for piece in case.lines:
        for words in (piece,) if isinstance(piece, str) else piece:
            assert case.places_of(words)
    failures, schedules = case.rate
    low, high = Goals().rate
    assert low <= failures / schedules <= high

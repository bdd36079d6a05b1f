"""Units: what they find depends on scenario, seed and range, and not on who runs them, when, and after what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.errors import AppError, SimulatorError
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.ledger import Ledger
from lumenize_sim.explore.shard import Shard
from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.explore.tally import Found, Tally
from lumenize_sim.explore.unit import SCHEDULES, Unit, units_of

SCENARIOS = Path(__file__).parents[2] / "scenarios"


# -- cutting ------------------------------------------------------------------------------------


@given(st.integers(1, 100 * SCHEDULES))
def test_units_hold_each_schedule_once(schedules: int) -> None:
    units = units_of(schedules)
    assert [n for unit in units for n in range(unit.first, unit.first + unit.count)] == list(range(schedules))
    assert [unit.index for unit in units] == list(range(len(units)))


def test_a_generation_is_as_large_as_all_before_it_together() -> None:
    generations = [unit.generation for unit in units_of(SCHEDULES * 32)]
    assert [generations.count(n) for n in range(4)] == [4, 4, 8, 16]
    assert generations == sorted(generations)


def test_more_schedules_begin_with_the_same_units() -> None:
    assert units_of(1000)[:-1] == units_of(5000)[: len(units_of(1000)) - 1]


@given(st.integers(1, 20 * SCHEDULES), st.integers(0, 20 * SCHEDULES), st.integers(1, 20))
def test_units_that_are_added_later_are_the_same_but_where_the_first_ones_ended(
    schedules: int, more: int, whole: int
) -> None:
    """The journal of an exploration holds for one of more schedules."""
    units = units_of(schedules)
    assert [n for u in units_of(schedules + more, since=units) for n in range(u.first, u.first + u.count)] == list(
        range(schedules, schedules + more)
    )
    units = units_of(SCHEDULES * whole)
    assert [*units, *units_of(SCHEDULES * whole + more, since=units)] == units_of(SCHEDULES * whole + more)


# -- running them in other orders ---------------------------------------------------------------


def through_json(tally: Tally) -> Tally:
    again = Tally.from_json(json.loads(json.dumps(tally.to_json())))
    assert again == Tally.from_json(again.to_json())
    return again


def explored(name: str, *, backwards: bool, many_shards: bool, max_failures: int = 100) -> dict[str, Any]:
    """All that was counted, when units of one generation are run in one order or the other."""
    scenario = load_scenario(SCENARIOS / f"{name}.py")
    units = [Unit(n, 12 * n, 12) for n in range(7)]
    ledger = Ledger(units, max_failures=max_failures)
    shard = Shard(scenario, seed=3, max_failures=max_failures)
    while not ledger.finished:
        taken = []
        while (unit := ledger.take()) is not None:
            taken.append(unit)
        corpus = ledger.corpus
        for unit in reversed(taken) if backwards else taken:
            runner = Shard(scenario, seed=3, max_failures=max_failures) if many_shards else shard
            ledger.done(unit, through_json(runner.run(unit, corpus)))
    counted = ledger.counted
    return {**attrs.asdict(counted, recurse=False), "corpus": [counted.corpus.runs, counted.corpus.pairs]}


@pytest.mark.parametrize("name", ["subscribe_race", "collab_editor"])
def test_units_come_out_the_same_in_any_order_and_by_anybody(name: str) -> None:
    """Architecture section 7: one pool on one machine, and the same sweep across many."""
    usual = explored(name, backwards=False, many_shards=False)
    other = explored(name, backwards=True, many_shards=True)
    assert usual == other
    assert usual["schedules"] == 84


def test_failures_of_several_units_are_counted_once() -> None:
    """Deduplicated by how they ended and by their explanation."""
    found = explored("subscribe_race", backwards=True, many_shards=True)["found"]
    assert len(found) == 1
    assert found[0].signature[-2:] == ("BOARD/town-hall", "readers")


# -- the ledger ---------------------------------------------------------------------------------


def failing(schedule: int, what: str) -> Found:
    return Found(
        schedule=schedule,
        strategy="random",
        found_with=1,
        replays=1,
        choices=(),
        total=False,
        signature=("failed", what),
    )


def tally_of(unit: Unit, failures: dict[int, str]) -> Tally:
    """A made-up result that is a function of the unit."""
    range_ = range(unit.first, unit.first + unit.count)
    return Tally(
        ran=unit.count,
        behaviours=tuple(f"{n % 7}" for n in range_),
        faults={"crash": sum(n % 3 == 0 for n in range_)},
        marks={"seen": unit.index},
        found=tuple(failing(n, what) for n, what in failures.items() if n in range_),
        novel=(Sighting((f"a^{unit.index}", "b^1"), (f"R/{unit.index}", "R/b"), (-1, -1), (-1, -1), 2),),
    )


FAILURES = st.dictionaries(st.integers(0, 79), st.sampled_from(["A", "B", "C"]), max_size=6)


@settings(max_examples=200)
@given(failures=FAILURES, at_most=st.integers(1, 3), width=st.integers(1, 6), data=st.data())
def test_no_unit_is_lost_or_counted_twice_whatever_happens_to_whoever_runs_it(
    failures: dict[int, str], at_most: int, width: int, data: st.DataObject
) -> None:
    units = [Unit(n, 4 * n, 4) for n in range(20)]
    expected = Ledger(units, max_failures=at_most)
    while (unit := expected.take()) is not None:
        expected.done(unit, tally_of(unit, failures))
    assert expected.finished

    ledger = Ledger(units, max_failures=at_most)
    away: list[Unit] = []
    deaths = 0
    while not ledger.finished:
        while len(away) < width and (unit := ledger.take()) is not None:
            assert unit not in away
            away.append(unit)
        assert away, "there is always something to wait for"
        what = data.draw(st.sampled_from(["done", "one lost", "all lost", "twice"] if deaths < 5 else ["done"]))
        unit = data.draw(st.sampled_from(away))
        if what == "all lost" and len(away) > 1:
            deaths += 1
            ledger.lost(away, "killed")
            away = []
        elif what == "one lost" and not ledger._losses.get(unit.index):
            deaths += 1
            ledger.lost([unit], "killed")
            away.remove(unit)
        else:
            ledger.done(unit, tally_of(unit, failures))
            if what == "twice":
                ledger.done(unit, tally_of(unit, failures))
            away.remove(unit)
        assert all(index >= ledger._next for index in ledger._back), "what is counted is not kept for counting"
    assert attrs.asdict(ledger.counted, recurse=False, filter=attrs.filters.exclude("corpus")) == attrs.asdict(
        expected.counted, recurse=False, filter=attrs.filters.exclude("corpus")
    )
    assert ledger.counted.corpus.pairs == expected.counted.corpus.pairs


def test_a_generation_waits_for_those_before_it() -> None:
    units = [Unit(n, n, 1) for n in range(6)]
    ledger = Ledger(units, max_failures=1)
    taken = [ledger.take() for _ in range(5)]
    assert taken == [*units[:4], None]
    for unit in reversed(units[1:4]):
        ledger.done(unit, tally_of(unit, {}))
    assert ledger.take() is None, "the first one is still under way"
    assert not ledger.corpus.pairs
    ledger.done(units[0], tally_of(units[0], {}))
    assert ledger.take() == units[4]
    assert ("R/#", "", "a^#") in ledger.corpus.pairs


def test_units_that_are_added_begin_with_what_was_learnt_and_count_the_runs_made_besides() -> None:
    first, second = [Unit(n, n, 1) for n in range(4)], [Unit(n, n, 1) for n in range(4, 6)]
    ledger = Ledger(first, max_failures=1)
    for unit in first:
        ledger.done(unit, tally_of(unit, {}))
    assert ledger.finished
    ledger.extend(second, moved=30)
    assert not ledger.finished
    assert ledger.take() == second[0]
    assert ("R/#", "", "a^#") in ledger.corpus.pairs
    ledger.done(second[0], tally_of(second[0], {4: "A"}))
    assert [found.schedule for found in ledger.counted.found] == [tally_of(second[0], {4: "A"}).found[0].schedule + 30]


def test_suspects_go_alone() -> None:
    units = [Unit(n, n, 1) for n in range(4)]
    ledger = Ledger(units, max_failures=1)
    three = [ledger.take() for _ in range(3)]
    ledger.lost([unit for unit in three if unit is not None], "killed")
    assert ledger.take() == units[0]
    assert ledger.take() is None
    ledger.done(units[0], tally_of(units[0], {}))
    assert [ledger.take(), ledger.take()] == [units[1], None]


def test_a_unit_that_ends_each_process_is_named() -> None:
    units = [Unit(n, 64 * n, 64) for n in range(3)]
    ledger = Ledger(units, max_failures=1)
    both = [ledger.take(), ledger.take()]
    ledger.lost([unit for unit in both if unit is not None], "killed")
    for _ in range(2):
        assert ledger.take() == units[0]
        ledger.lost([units[0]], "signal 9")
    assert ledger.take() == units[0]
    with pytest.raises(AppError, match=r"ran schedules 1 to 64 ended 3 times without a result \(signal 9\)"):
        ledger.lost([units[0]], "signal 9")


def test_an_error_is_raised_at_its_place_and_not_where_it_comes_too_late_to_matter() -> None:
    units = [Unit(n, n, 1) for n in range(3)]
    ledger = Ledger(units, max_failures=1)
    for _ in units:
        ledger.take()
    ledger.done(units[1], AppError("leaks"))
    ledger.done(units[0], tally_of(units[0], {0: "A"}))
    assert ledger.finished, "the failure of the first ends it before the error of the second"

    ledger = Ledger(units, max_failures=1)
    ledger.done(units[1], AppError("leaks"))
    with pytest.raises(AppError, match="leaks"):
        ledger.done(units[0], tally_of(units[0], {}))


def test_a_result_that_cannot_be_is_our_own_fault() -> None:
    ledger = Ledger([Unit(0, 0, 1)], max_failures=1)
    with pytest.raises(SimulatorError, match="came back with 2"):
        ledger.done(Unit(0, 0, 1), Tally(ran=2))

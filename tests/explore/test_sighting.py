"""Races of a finished run, and that they are turned round."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.explore.loading import load_scenario
from lumenize_sim.explore.roaming import census
from lumenize_sim.explore.shard import Shard
from lumenize_sim.explore.sighting import Log, Noted, Race, Sighting
from lumenize_sim.explore.strategies import Corpus, make_strategy
from lumenize_sim.explore.strategies.random_walk import RandomWalk
from lumenize_sim.explore.strategies.reversal import dealt
from lumenize_sim.explore.tally import Tally
from lumenize_sim.explore.unit import Unit
from lumenize_sim.kernel.event import Event

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
ACTOR: Any = None
Labels = dict[str, str]


def seen(log: Log, causes: Labels | None = None, links: Labels | None = None, left: Log = ()) -> Sighting:
    return Sighting.of(log, {label: receiver for receiver, label in left}, causes or {}, links or {})


def races(sighting: Sighting) -> list[Race]:
    return sorted(race for pairs in sighting.races for race in pairs)


def test_two_arrivals_at_one_object_race_unless_one_came_of_the_other() -> None:
    """d came of c, which came of a; so only b can trade places with both."""
    log = (("R", "a"), ("R", "b"), ("S", "c"), ("R", "d"))
    assert races(seen(log, {"d": "c", "c": "a"})) == [("a", "b"), ("b", "d")]


def test_what_stands_behind_on_a_link_does_not_overtake() -> None:
    log = (("R", "a"), ("R", "b"), ("R", "c"))
    assert races(seen(log, {}, {"b": "a"})) == [("a", "c"), ("b", "c")]


def test_a_timer_that_was_called_off_could_have_come_first() -> None:
    """The pong called the timeout off; a run in which the timeout fires is one reversal away."""
    log = (("D", "ping"), ("D", "pong"))
    run = seen(log, {"timeout": "ping", "pong": "ping"}, {}, (("D", "timeout"),))
    assert races(run) == [("pong", "timeout")]


def test_nothing_is_held_over_a_quiet_moment() -> None:
    assert races(seen((("R", "a"), (None, "driver!settle#0"), ("R", "b")))) == []


def test_an_event_of_the_driver_races_with_what_is_near_it() -> None:
    log = (("R", "a"), (None, "driver!sleep#0"), ("S", "b"))
    assert set(races(seen(log))) == {("a", "driver!sleep#0"), ("driver!sleep#0", "b")}


def test_a_run_is_noted_by_what_was_made_during_what() -> None:
    noted = Noted(RandomWalk(random.Random(0)))
    link = object()
    first, second, third = (Event(label, ACTOR, lambda: None, receiver="R", link=link) for label in "abc")
    noted.created(first)
    noted.happens(first)
    noted.created(second)
    noted.created(third)
    run = noted.sighting([("R", "a"), ("R", "b")])
    assert run == Sighting(("a", "b", "c"), ("R", "R", "R"), (-1, 0, 0), (-1, 0, 1), 2)
    assert run.log == [("R", "a"), ("R", "b")]
    assert Sighting.from_json(json.loads(json.dumps(run.to_json()))) == run


def test_the_races_of_a_real_run_have_their_events_in_order() -> None:
    """And each is one of two events at one receiver, or of the driver and something near it."""
    _, _, profile = census(load_scenario(SCENARIOS / "subscribe_race.py"), seed=0)
    run = profile.run
    assert run.happened == profile.events
    assert run.log == list(zip(profile.receivers, profile.labels, strict=True))
    at = dict(zip(run.labels, run.receivers, strict=True))
    assert len(races(run)) > 10
    for first, second in races(run):
        assert run.labels.index(first) < run.labels.index(second)
        assert at[first] == at[second] or None in (at[first], at[second])


@pytest.mark.parametrize("name", ["subscribe_race", "cold_reads", "double_charge"])
def test_what_is_known_grows_and_the_same_seed_knows_the_same(name: str) -> None:
    """Run twice: the same tally after a unit of schedules, with new runs, and boundaries where faults are drawn."""

    def tally() -> Tally:
        shard = Shard(load_scenario(SCENARIOS / f"{name}.py"), seed=3, max_failures=99)
        return shard.run(Unit(0, 0, 48))

    once = tally()
    assert once.to_json() == tally().to_json()
    assert Tally.from_json(json.loads(json.dumps(once.to_json()))) == once
    assert len(once.novel) > 1
    assert bool(once.boundaries) == (name != "subscribe_race")


def test_boundaries_that_a_corpus_knows_are_not_new() -> None:
    corpus = Corpus()
    assert corpus.meet({("evict", "A"): [0, 2]}) == {("evict", "A"): [0, 2]}
    apart = corpus.copy()
    assert apart.meet({("evict", "A"): [0, 1, 2], ("crash", "A"): [0]}) == {("evict", "A"): [1], ("crash", "A"): [0]}
    assert apart.boundaries[("evict", "A")] == [0, 1, 2]
    assert corpus.boundaries == {("evict", "A"): [0, 2]}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 50))
def test_every_race_is_dealt_before_any_is_dealt_again(sizes: list[int], seed: int) -> None:
    """In even turns; odd turns go round the receivers."""
    piles = [[(f"{n}/{m}", "") for m in range(size)] for n, size in enumerate(sizes)]
    many = sum(sizes)
    everything = sorted(race for pile in piles for race in pile)
    assert sorted(dealt(piles, 2 * turn, seed) for turn in range(many)) == everything
    first = [dealt(piles, 2 * turn + 1, seed)[0].partition("/")[0] for turn in range(len(sizes))]
    assert first == [str(n) for n in range(len(sizes))]


def test_without_a_run_before_it_a_reversal_goes_in_order() -> None:
    enabled = [Event(label, ACTOR, lambda: None, receiver="R") for label in "ab"]
    assert make_strategy("reversal", random.Random(0)).pick(enabled, False) == 0

"""Flips: which pairs stand the other way round, that any subset of them means something, and that few are left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.explore.attempts import run_leniently
from lumenize_sim.explore.flips import Flip, FlipGuide, flips_of, minimised
from lumenize_sim.explore.loading import load_scenario
from lumenize_sim.explore.shard import Shard
from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.explore.unit import Unit

BENCH = Path(__file__).resolve().parents[2] / "scenarios" / "bench"


def pairs(flips: Sequence[Flip]) -> set[tuple[str, str, str]]:
    return {(flip.receiver, flip.early, flip.late) for flip in flips}


def test_flips_are_the_pairs_of_one_receiver_that_stand_the_other_way_round() -> None:
    plain = [("R", "a"), ("S", "x"), ("R", "b"), ("S", "y"), ("R", "c")]
    failing = [("R", "b"), ("R", "a"), ("S", "x"), ("S", "y"), ("R", "c")]
    assert pairs(flips_of(plain, failing)) == {("R", "b", "a")}


def test_what_did_not_happen_is_later_than_all_that_did() -> None:
    assert pairs(flips_of([("R", "a"), ("R", "b")], [("R", "b")])) == {("R", "b", "a")}


def test_an_event_of_the_driver_stands_in_every_order_and_two_of_them_in_their_own() -> None:
    plain = [(None, "d"), ("R", "a"), ("S", "x"), (None, "e")]
    failing = [("R", "a"), (None, "e"), (None, "d"), ("S", "x")]
    assert pairs(flips_of(plain, failing)) == {("R", "a", "d"), ("S", "e", "x"), ("driver", "e", "d")}


def test_the_late_one_waits_and_only_what_the_early_one_comes_of_passes() -> None:
    """b comes of x, both at R; y has nothing to do with it."""
    run = Sighting(("x", "y", "b", "a"), ("R",) * 4, (-1, -1, 0, -1), (-1,) * 4, 4)
    guide = FlipGuide([Flip("R", "b", "a")], run, {})
    assert guide.want("R", 0, lambda: ["y"]) is None
    assert guide.want("R", 0, lambda: ["a", "y"]) == ""
    assert guide.want("R", 0, lambda: ["a", "y", "x"]) == "x"
    guide.happens("x")
    assert guide.want("R", 1, lambda: ["a", "y", "b"]) == "b"
    guide.happens("b")
    assert guide.want("R", 2, lambda: ["a", "y"]) is None


@given(st.sets(st.integers(0, 60), min_size=1, max_size=3), st.integers(4, 61))
def test_few_of_many_are_found_in_few_runs(needed: set[int], many: int) -> None:
    """As many as it takes, and a number of tries that grows with the logarithm for one, and slowly for more."""
    flips = [Flip("R", f"{n}", "") for n in range(max(many, max(needed) + 1))]
    tries: list[int] = []

    def fails(some: Sequence[Flip]) -> bool:
        tries.append(len(some))
        return needed <= {int(flip.early) for flip in some}

    assert {int(flip.early) for flip in minimised(flips, fails)} == needed
    assert len(tries) <= (14 if len(needed) == 1 else 150)


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_a_late_event_of_the_driver_is_no_choice_at_every_receiver(seed: int) -> None:
    """Two-phase commit, depth 1: the driver's answer is late in most failing runs, and everything passes it over.

    Found with some fifty choices, of which twenty stayed; depth + 1 at most now.
    """
    bug = load_scenario(BENCH / "two_phase.py", "two_phase")
    (found,) = Shard(bug, seed=seed).run(Unit(0, 0, 8)).found
    assert found.found_with > 10
    assert len(found.choices) <= 2
    outcome, taken = run_leniently(bug, found.choices, seed=seed)
    assert outcome.failed
    assert taken == found.choices

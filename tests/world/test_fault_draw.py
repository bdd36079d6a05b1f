"""Plans of faults: sparse, from what is possible, and nothing twice before everything once."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim import Faults
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.world.deck import Deck
from lumenize_sim.world.faults import FLUSHES, KINDS

Census = dict[tuple[str, str], list[int]]
#: Evictions of two objects, one of them rarely idle, and one flush.
SMALL: Census = {("evict", "A/1"): [2], ("evict", "B/1"): list(range(20)), ("failed-flush", "A/1"): [0]}


def plans(faults: Faults, census: Census, many: int = 2000) -> list[dict[str, int]]:
    deck = Deck(faults, census, 5)
    drawn = [deck.plan(nth) for nth in range(many)]
    return [{label: value for label, value in plan.items() if FLUSHES not in label} for plan in drawn]


def kind_of(label: str) -> str:
    return label.rpartition("%")[2].partition("#")[0]


def test_a_share_of_plans_is_empty_and_most_others_have_one_fault() -> None:
    """What needs an unusual order alone is not masked; a few plans have as many as there may be."""
    counts = Counter(len(plan) for plan in plans(Faults.all(at_most=4), SMALL | {("crash", "B/1"): list(range(30))}))
    assert 0.2 < counts[0] / 2000 < 0.3
    assert counts[1] > 0.5 * (2000 - counts[0])
    assert counts[2] > 100
    assert counts[3] + counts[4] > 50


def test_only_kinds_that_are_possible_somewhere_are_drawn() -> None:
    """However many kinds there are, a plan with a fault has one that can happen."""
    census: Census = {("evict", "A/1"): [0, 1], ("crash", "A/1"): []}
    for plan in plans(Faults.all(), census, 300):
        assert {kind_of(label) for label in plan} <= {"evict"}


def test_a_kind_with_one_boundary_is_drawn_as_often_as_one_with_many() -> None:
    kinds = Counter(kind_of(label) for plan in plans(Faults.all(), SMALL) for label in plan)
    assert kinds["failed-flush"] > 0.4 * kinds["evict"]


def test_an_actor_with_one_boundary_is_met_and_so_is_every_boundary_of_one_with_many() -> None:
    """Of 21 evictions the lone one of A is neither drowned nor favoured beyond reason."""
    labels = Counter(label for plan in plans(Faults(kinds=("evict",), at_most=1), SMALL) for label in plan)
    assert labels[fault_label("evict", "A/1", 2)] > 100
    assert all(labels[fault_label("evict", "B/1", nth)] > 10 for nth in range(20))


def test_every_fault_is_dealt_before_any_is_dealt_again() -> None:
    """Forty variants of one kind at one target: all met in two hundred schedules, for which chance needs 500."""
    census: Census = {("partition", "a^0"): list(range(10))}
    variants = KINDS["partition"][0] - 1
    deck = Deck(Faults(kinds=("partition",), at_most=1), census, 0)
    assert {fault for nth in range(200) for fault in deck.plan(nth).items()} >= {
        (fault_label("partition", "a^0", nth), value) for nth in range(10) for value in range(1, variants + 1)
    }


def test_a_plan_is_a_function_of_seed_and_number() -> None:
    """Whoever deals, and in whatever order."""
    one, other = Deck(Faults.all(), SMALL, 3), Deck(Faults.all(), SMALL, 3)
    forwards = [one.plan(nth) for nth in range(200)]
    assert forwards == [other.plan(nth) for nth in reversed(range(200))][::-1]
    assert forwards != [Deck(Faults.all(), SMALL, 4).plan(nth) for nth in range(200)]


def test_boundaries_that_other_runs_met_are_drawn_as_well() -> None:
    deck = Deck(Faults.all(), SMALL, 0)
    met = {**SMALL, ("crash", "C/new"): [7]}
    kinds = Counter(kind_of(label) for nth in range(1000) for label in deck.plan(nth, met))
    assert 20 < kinds["crash"] < 200


def test_targets_limit_what_is_drawn() -> None:
    plan_labels = {label for plan in plans(Faults(kinds=("evict",), targets=("B/",)), SMALL, 200) for label in plan}
    assert plan_labels
    assert all(label.startswith("B/1") for label in plan_labels)


@given(st.integers(0, 10_000), st.integers(0, 5))
def test_a_plan_is_within_its_bounds(seed: int, at_most: int) -> None:
    """At most so many, each value below its bound; nothing where nothing may go wrong."""
    faults = Faults.all(at_most=at_most)
    plan = {k: v for k, v in faults.draw(random.Random(seed), SMALL).items() if FLUSHES not in k}
    assert len(plan) <= at_most
    assert all(1 <= value < KINDS[kind_of(label)][0] for label, value in plan.items())
    assert faults.draw(random.Random(seed), {}) == {}

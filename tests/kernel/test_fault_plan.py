"""Fault points: boundaries, and the sparse plan that names some of them."""

from __future__ import annotations

from lumenize_sim.kernel.choice import key_of
from lumenize_sim.kernel.plan import FaultPlan, fault_label


def test_without_a_plan_nothing_is_counted_and_nothing_happens() -> None:
    """A boundary at every turn costs nothing unless somebody planned for it."""
    plan = FaultPlan()
    assert not plan
    assert plan.at("crash", "C/a") == 0
    assert plan.census == {}


def test_a_census_lists_every_boundary_by_kind_and_target() -> None:
    plan = FaultPlan(census=True)
    assert plan
    for target in ("C/a", "C/b", "C/a"):
        assert plan.at("crash", target) == 0
    assert plan.at("evict", "C/a") == 0
    assert plan.census == {("crash", "C/a"): [0, 1], ("crash", "C/b"): [0], ("evict", "C/a"): [0]}
    assert plan.fired == []


def test_a_planned_boundary_fires_once_and_becomes_a_choice() -> None:
    label = fault_label("lost-call", "C/a", 1)
    plan = FaultPlan({label: 2})
    assert [plan.at("lost-call", "C/a", 3) for _ in range(3)] == [0, 2, 0]
    (choice,) = plan.fired
    assert (choice.label, choice.value, choice.bound, choice.kind) == (label, 2, 3, "fault")
    assert choice.key == key_of([label, "lost-call"])


def test_a_value_beyond_the_bound_becomes_the_severest() -> None:
    """A plan may come from a tape of a release with more variants."""
    plan = FaultPlan({fault_label("crash", "C/a", 0): 9})
    assert plan.at("crash", "C/a", 2) == 1


def test_an_impossible_boundary_is_counted_and_passed_and_not_in_the_census() -> None:
    """The numbering must not depend on what the object is doing; a fault drawn for it would be wasted."""
    plan = FaultPlan({fault_label("evict", "C/a", 0): 1, fault_label("evict", "C/a", 2): 1})
    assert plan.at("evict", "C/a", possible=False) == 0
    assert plan.at("evict", "C/a") == 0
    assert plan.at("evict", "C/a") == 1
    assert plan.census == {("evict", "C/a"): [1, 2]}


def test_quiet_means_no_more_faults() -> None:
    plan = FaultPlan({fault_label("crash", "C/a", 0): 1})
    plan.quiet = True
    assert plan.at("crash", "C/a") == 0
    assert plan.census == {("crash", "C/a"): [0]}


def test_a_plan_concerns_the_targets_and_kinds_it_names() -> None:
    """Names may contain the separator themselves."""
    plan = FaultPlan({fault_label("crash", "C/100%", 0): 1})
    assert plan.concerns("C/100%", ("evict", "crash"))
    assert not plan.concerns("C/100%", ("evict",))
    assert not plan.concerns("C/100", ("crash",))


def test_a_fault_that_slides_happens_at_the_next_boundary_where_it_is_possible() -> None:
    """And says where it happened, so that the tape of the run is exact."""
    plan = FaultPlan({fault_label("evict", "C/a", 1): 1, fault_label("evict", "C/a", 2): 1}, slide=True)
    assert plan.at("evict", "C/a") == 0
    assert plan.at("evict", "C/a", possible=False) == 0
    assert plan.at("evict", "C/a", possible=False) == 0
    assert [plan.at("evict", "C/a") for _ in range(3)] == [1, 1, 0]
    assert plan.at("evict", "C/b") == 0
    assert [choice.label for choice in plan.fired] == [fault_label("evict", "C/a", 3), fault_label("evict", "C/a", 4)]

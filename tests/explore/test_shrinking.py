"""Shrinking: what stays when everything is left out that a failure does not need."""

from __future__ import annotations

from pathlib import Path

from lumenize_sim.explore.loading import load_scenario
from lumenize_sim.explore.shrink import run_leniently, shrink
from lumenize_sim.kernel.choice import Choice

BENCH = Path(__file__).resolve().parents[2] / "scenarios" / "bench"


def test_a_fault_at_an_earlier_boundary_may_need_fewer_choices_beside_it() -> None:
    """A page asks behind the second write, whose commit fails; the first would have done as well.

    No choice can be left out as they are: if the page is not held over all three events it asks too early.
    One that says so of all three will do, too.
    """
    leak = load_scenario(BENCH / "gate_leak.py", "gate_leak")
    publish, page = "OFFICE~driver>OFFICE#0>NOTICE/hall", "page~0^0"

    def before_page(nth: int, pick: str) -> Choice:
        return Choice(f"NOTICE/hall#{nth}", 1, 2, 0, pick, page)

    fault = Choice("NOTICE/hall%failed-flush#1", 1, 2, 0, "failed-flush")
    first = (
        fault,
        before_page(4, f"{publish}#0"),
        before_page(5, "NOTICE/hall!flush0#1"),
        before_page(6, f"{publish}#1"),
    )
    outcome, taken = run_leniently(leak, first, seed=0)
    assert outcome.failed, outcome.message
    assert len(taken) == 4
    shrunk = shrink(leak, taken, outcome.signature, seed=0)
    # Either the first commit fails, and the page waits for one arrival, or the second, and it waits for three.
    assert [choice.kind for choice in shrunk.choices] == ["fault", "order"]
    assert shrunk.replays < 40

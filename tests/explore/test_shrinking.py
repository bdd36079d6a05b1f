"""Shrinking: what stays when everything is left out that a failure does not need."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumenize_sim.explore.attempts import run_leniently
from lumenize_sim.explore.loading import load_scenario
from lumenize_sim.explore.shard import Shard
from lumenize_sim.explore.shrink import shrink
from lumenize_sim.explore.unit import Unit
from lumenize_sim.kernel.choice import Choice

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
BENCH = SCENARIOS / "bench"


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


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_an_event_that_waited_for_several_waits_for_the_first_alone_where_that_will_do(seed: int) -> None:
    """The answer to a subscription waits until a frame has come that comes of the update; the update is enough."""
    tutorial = load_scenario(SCENARIOS / "collab_editor_tutorial.py")
    (found,) = Shard(tutorial, seed=seed).run(Unit(0, 0, 64)).found
    (choice,) = found.choices
    assert choice.spans == 1
    assert choice.pick == "DOCUMENT_DO/doc-1>LUMENIZE_CLIENT_GATEWAY/bob.tab1#0"

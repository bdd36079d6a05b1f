"""Shrinking: what stays when everything is left out that a failure does not need."""

from __future__ import annotations

from pathlib import Path

import pytest

from lumenize_sim import DurableObject, Mesh, World, gather, scenario
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


class Board(DurableObject):
    """Keeps notes in the order in which they come."""

    def note(self, what: str) -> None:
        self.ctx.storage.kv.put("notes", [*self.ctx.storage.kv.get("notes", []), what])


@scenario(Mesh(bindings={"BOARD": Board}))
async def two_properties(world: World) -> None:
    """Either may fail, the first more easily."""
    await gather(*[world.env.BOARD.get_by_name("b").note(what) for what in "abcd"])
    notes = world.object("BOARD", "b").storage.kv.get("notes")
    assert notes.index("a") < notes.index("d") or notes == ["d", "c", "b", "a"], "a is before d"
    assert notes != ["d", "c", "b", "a"], "they are not reversed"


def test_a_failure_of_one_assertion_does_not_shrink_to_one_of_another() -> None:
    """As a reader would take it for the failure that was found."""

    def waits(early: str, late: str, nth: int) -> Choice:
        return Choice(f"BOARD/b#{nth}", 1, 2, 0, f"driver>BOARD/b#{early}", f"driver>BOARD/b#{late}")

    reversed_ = (waits("3", "0", 1), waits("2", "0", 2), waits("1", "0", 3))
    outcome, taken = run_leniently(two_properties, reversed_, seed=0)
    assert "reversed" in outcome.message
    alone = shrink(two_properties, taken, outcome.signature, seed=0)
    again, _ = run_leniently(two_properties, alone.choices, seed=0)
    assert "reversed" in again.message
    easier, one = run_leniently(two_properties, reversed_[:1], seed=0)
    assert "a is before d" in easier.message
    assert len(one) < len(alone.choices), "there is a shorter one"


def test_what_a_monitor_says_is_told_apart_by_its_name() -> None:
    def failing(name: str) -> tuple[str, str, str]:
        @scenario(Mesh(bindings={"BOARD": Board}))
        async def watched(world: World) -> None:
            world.eventually(name, lambda: False)

        outcome, _ = run_leniently(watched, (), seed=0)
        return outcome.signature

    assert failing("one") != failing("other")
    assert failing("one") == failing("one")

"""Histories and liveness as a scenario writes them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from lumenize_sim import DurableObject, Mesh, World, explore, gather, scenario, simulate
from lumenize_sim.check import Counter, History, Operation, Register


class Cell(DurableObject):
    """A value that is cached in memory while the real one is on its way: reads go back in time."""

    async def write(self, value: int) -> None:
        self.ctx.storage.kv.put("value", value)

    async def read(self) -> Any:
        return self.ctx.storage.kv.get("value", 0)

    async def add(self) -> int:
        n: int = self.ctx.storage.kv.get("value", 0)
        await trio.sleep(0.01)
        self.ctx.storage.kv.put("value", n + 1)
        return n + 1


app = Mesh(bindings={"CELL": Cell})


@scenario(app)
async def registers(world: World) -> None:
    cell: Any = world.env.CELL.get_by_name("c")
    history = world.history(Register(0))
    await gather(
        history.do("alice", "write", 1, call=cell.write(1)),
        history.do("bob", "read", call=lambda: cell.read()),
        history.do("carol", "write", 2, call=cell.write(2)),
    )
    assert await history.do("bob", "read", call=cell.read()) in (1, 2)
    history.check()


@scenario(app)
async def counters(world: World) -> None:
    cell: Any = world.env.CELL.get_by_name("c")
    history = world.history(Counter())

    async def click(who: str) -> None:
        await history.do(who, "add", call=cell.add())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(click, "alice")
        nursery.start_soon(click, "bob")
    history.check()


def test_a_history_that_has_an_order_passes_in_every_schedule() -> None:
    """An object that answers from storage is linearizable."""
    report = explore(registers, schedules=60, save=None)
    assert not report.failures, report.failures[0].message


def test_two_that_were_answered_the_same_count_are_told_apart_by_nobody() -> None:
    """A lost update is no order of two additions; the message names the answer that cannot be placed."""
    run = simulate(counters)
    assert run.outcome.kind == "failed"
    text = str(run.failure)
    assert "not linearizable: " in text
    assert ": add() → 1 (test_history.py:" in text
    said = [event.get("said") for event in run.trace.events if event.kind == "mark"]
    assert said[0] == "alice: add()"
    assert len(said) == 4


def test_the_same_history_can_be_read_off_the_trace() -> None:
    """From a recorded run, without a word in the scenario."""

    def read(op: Operation) -> Operation:
        return attrs.evolve(op, op="add")

    run = simulate(counters)
    history = History.of_calls(run.trace, "CELL/c", Counter(), methods=["add"], read=read)
    assert [op.process for op in history.operations] == ["driver", "driver"]
    assert not history.verdict().holds


def test_what_failed_counts_as_unanswered_and_what_was_refused_not_at_all() -> None:
    """LC-38: an overloaded object has not run the call; any other failure may have come after the work."""

    class Overloaded(Exception):
        overloaded = True

    history = History(Counter())
    history.invoke("alice", "add")
    refused = history.invoke("bob", "add")
    history.refuse(refused)
    read = history.invoke("carol", "read")
    history.answer(read, 1)
    history.answer(read, 5)
    assert [str(op) for op in history.operations] == ["alice: add() unanswered", "carol: read() → 1"]
    assert history.check().holds

    async def overloaded() -> None:
        raise Overloaded

    async def main() -> None:
        with pytest.raises(Overloaded):
            await history.do("dave", "add", call=overloaded())

    trio.run(main)
    assert len(history.operations) == 2


class Lamp(DurableObject):
    """Asked to shine, it does after a while, unless it loses its memory before."""

    wanted = False
    shines = False

    async def ask(self, works: bool) -> None:
        self.wanted = True
        await trio.sleep(3)
        self.shines = works


def lamp_scenario(works: bool) -> Any:
    @scenario(Mesh(bindings={"LAMP": Lamp}), name="lamps")
    async def lamps(world: World) -> None:
        lamp = world.object("LAMP", "l")
        world.leads_to(
            "whoever asks for light gets it",
            lambda: lamp.instance is not None and lamp.instance.wanted,
            lambda: lamp.instance is not None and lamp.instance.shines,
        )
        stub: Any = world.env.LAMP.get_by_name("l")
        await stub.ask(works)

    return lamps


def test_what_holds_leads_to_what_must_follow() -> None:
    """Judged at the end only: liveness has no other time."""
    assert simulate(lamp_scenario(True)).failure is None
    run = simulate(lamp_scenario(False))
    assert run.outcome.kind == "failed"
    assert run.outcome.message == (
        "AssertionError: 'whoever asks for light gets it': what held after 0 ms has led to nothing"
    )

"""`simulate`, `explore` and `replay` are synchronous, also where an event loop is running already."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from lumenize_sim import LumenizeClient, LumenizeDO, Mesh, explore, mesh, replay, scenario, simulate
from lumenize_sim.testing import Simulation

THREADS: list[str] = []


class Board(LumenizeDO):
    """Keeps the last line."""

    @mesh
    def put(self, who: str) -> None:
        self.ctx.storage.kv.put("who", who)


class Tab(LumenizeClient):
    """A page."""

    def put(self) -> None:
        self.lmz.call("BOARD", "b", self.ctn(Board).put(self.lmz.instance_name))


@scenario(Mesh(bindings={"BOARD": Board}))
async def last_wins(world: Any) -> None:
    """Holds in order, and in no other."""
    THREADS.append(threading.current_thread().name)
    alice = await world.connect(Tab, sub="alice")
    bob = await world.connect(Tab, sub="bob")
    alice.put()
    bob.put()
    await world.settle()
    assert world.object("BOARD", "b").storage.kv.get("who") == "bob.tab1"


def everything(folder: Path) -> tuple[Any, ...]:
    """All three, and what they came to."""
    run = simulate(last_wins)
    report = explore(last_wins, schedules=50, save=folder, verify=False)
    [failure] = report.failures
    again = replay(failure.run.tape, scenario=last_wins)
    planned = Simulation(last_wins, (), seed=0).run
    return run.digest, report.schedules, failure.run.digest, again.digest, again.outcome.kind, planned.digest


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Any, ...]:
    """The results where no loop is running."""
    return everything(tmp_path)


def test_without_a_loop_the_work_is_done_right_here(alone: tuple[Any, ...]) -> None:
    THREADS.clear()
    simulate(last_wins)
    assert list(THREADS) == [threading.current_thread().name]


def _in_a_thread_of_its_own() -> bool:
    names = dict.fromkeys(THREADS)
    THREADS.clear()
    return list(names) == ["lumenize-sim-run"]


def test_inside_trio_the_work_is_done_in_a_fresh_thread(alone: tuple[Any, ...], tmp_path: Path) -> None:
    THREADS.clear()

    async def main() -> tuple[Any, ...]:
        before = trio.current_time()
        found = everything(tmp_path)
        await trio.lowlevel.checkpoint()
        assert trio.current_time() >= before, "the outer clock is its own"
        return found

    assert trio.run(main) == alone
    assert _in_a_thread_of_its_own()


def test_inside_asyncio_the_work_is_done_in_a_fresh_thread(alone: tuple[Any, ...], tmp_path: Path) -> None:
    THREADS.clear()

    async def main() -> tuple[Any, ...]:
        found = everything(tmp_path)
        await asyncio.sleep(0)
        return found

    assert asyncio.run(main()) == alone
    assert _in_a_thread_of_its_own()


@pytest.mark.trio
async def test_inside_a_test_of_pytest_trio(tmp_path: Path, autojump_clock: Any) -> None:
    THREADS.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 5)
        everything(tmp_path)
    assert _in_a_thread_of_its_own()


def test_errors_of_the_thread_are_raised_here() -> None:
    @scenario(Mesh(bindings={"BOARD": Board}))
    async def wrong(world: Any) -> None:
        world.object("CLOCK", "x")

    async def main() -> None:
        simulate(wrong)

    with pytest.raises(Exception, match="'CLOCK' is no binding"):
        trio.run(main)

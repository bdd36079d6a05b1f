"""How fast the simulator is: steps, calls between objects, calls of clients, whole schedules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from lumenize_sim import (
    RESULT,
    DurableObject,
    LumenizeClient,
    LumenizeDO,
    LumenizeWorker,
    Mesh,
    World,
    WorldOptions,
    explore,
    mesh,
    scenario,
)
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.roaming import roam
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.world.run import run_scenario
from lumenize_sim.world.scenario import Scenario

Rate = Callable[..., float]

STEPS = 50_000
CALLS = 3_000
SCHEDULES = 100
SCENARIOS = Path(__file__).parents[2] / "scenarios"
LONG = WorldOptions(step_limit=10_000_000)

pytestmark = pytest.mark.benchmark(group="rates")


def run(made: Scenario) -> None:
    outcome = run_scenario(made, GuidedChooser())
    assert outcome.kind == "passed", outcome.message


class Node(LumenizeDO):
    """Calls another one, over and over."""

    @mesh
    def answer(self, n: int) -> int:
        return n

    @mesh
    async def ask(self, times: int) -> int:
        for n in range(times):
            assert await self.lmz.call_raw("NODE", "b", self.ctn(Node).answer(n)) == n
        return times

    @mesh
    def count(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0) + 1
        self.ctx.storage.kv.put("n", n)
        return n


class Plain(DurableObject):
    """The same without the mesh."""

    def answer(self, n: int) -> int:
        return n

    async def ask(self, times: int) -> int:
        stub = self.env.PLAIN.get_by_name("b")
        for n in range(times):
            assert await stub.answer(n) == n
        return times

    async def spin(self, times: int) -> int:
        for _ in range(times):
            await trio.lowlevel.checkpoint()
        return times

    def count(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0) + 1
        self.ctx.storage.kv.put("n", n)
        return n

    async def ask_worker(self, times: int) -> int:
        for n in range(times):
            assert await self.env.HAND.answer(n) == n
        return times


class Hand(LumenizeWorker):
    def answer(self, n: int) -> int:
        return n


class Tab(LumenizeClient):
    """Asks again whenever it has an answer."""

    left = 0

    def ask(self) -> None:
        self.lmz.call("NODE", "b", self.ctn(Node).answer(self.left), self.ctn().heard(RESULT))

    def heard(self, result: Any) -> None:
        self.left -= 1
        if self.left:
            self.ask()


app = Mesh(bindings={"NODE": Node, "PLAIN": Plain, "HAND": Hand})


def test_steps_of_plain_trio(rate: Rate) -> None:
    """The peer: one task that yields, under Trio alone."""

    async def spin() -> None:
        for _ in range(STEPS):
            await trio.lowlevel.checkpoint()

    rate("plain trio", "steps", lambda: trio.run(spin), STEPS)


def test_steps_under_the_kernel(rate: Rate) -> None:
    """One handler that yields, under a kernel that owns every wake-up."""

    @scenario(app, options=LONG)
    async def spin(world: World) -> None:
        assert await world.env.PLAIN.get_by_name("a").spin(STEPS) == STEPS

    rate("controlled steps", "steps", lambda: run(spin), STEPS, peer="plain trio")


def test_round_trips_of_plain_trio(rate: Rate) -> None:
    """The peer: two tasks and two memory channels."""

    async def both() -> None:
        ask_in, ask_out = trio.open_memory_channel[int](0)
        answer_in, answer_out = trio.open_memory_channel[int](0)

        async def answer() -> None:
            for _ in range(CALLS):
                await answer_in.send(await ask_out.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            for n in range(CALLS):
                await ask_in.send(n)
                assert await answer_out.receive() == n

    rate("trio channels", "round trips", lambda: trio.run(both), CALLS)


def test_calls_between_plain_objects(rate: Rate) -> None:
    """A stub call and its answer: two events, two turns."""

    @scenario(app, options=LONG)
    async def ask(world: World) -> None:
        await world.env.PLAIN.get_by_name("a").ask(CALLS)

    rate("plain object calls", "round trips", lambda: run(ask), CALLS, peer="trio channels")


def test_calls_of_a_worker(rate: Rate) -> None:
    """Each on an instance of its own."""

    @scenario(app, options=LONG)
    async def ask(world: World) -> None:
        await world.env.PLAIN.get_by_name("a").ask_worker(CALLS)

    rate("worker calls", "round trips", lambda: run(ask), CALLS, peer="plain object calls")


def test_calls_between_mesh_objects(rate: Rate) -> None:
    """`call_raw` with a continuation, an envelope and a checked walk.  Target: 10,000 on an idle core."""

    @scenario(app, options=LONG)
    async def ask(world: World) -> None:
        class Asker(LumenizeClient):
            done: Any = None

            def start(self) -> None:
                self.lmz.call("NODE", "a", self.ctn(Node).ask(CALLS), self.ctn().finished(RESULT))

            def finished(self, result: Any) -> None:
                self.done = result

        asker = await world.connect(Asker, sub="alice")
        asker.start()
        await world.settle()
        assert asker.done == CALLS

    rate("mesh object calls", "round trips", lambda: run(ask), CALLS, peer="plain object calls")


def test_calls_of_a_client(rate: Rate) -> None:
    """Over its socket and the gateway, JSON both ways."""

    @scenario(app, options=LONG)
    async def ask(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        tab.left = CALLS
        tab.ask()
        await world.settle()
        assert tab.left == 0

    rate("client calls", "round trips", lambda: run(ask), CALLS, peer="mesh object calls")


def test_turns_that_write(rate: Rate) -> None:
    """A read and a write of storage, a commit and its flush in each."""

    @scenario(app, options=LONG)
    async def write(world: World) -> None:
        stub = world.env.PLAIN.get_by_name("a")
        for _ in range(CALLS):
            await stub.count()
        assert world.object("PLAIN", "a").storage.kv.get("n") == CALLS

    rate("writing turns", "calls", lambda: run(write), CALLS, peer="plain object calls")


def test_schedules_first_come_first_served(rate: Rate) -> None:
    """Whole runs of the mended counter: two clients connect and click.  Target: 500 on an idle core."""
    made = load_scenario(SCENARIOS / "lost_update_fixed.py")

    def work() -> None:
        for _ in range(SCHEDULES):
            run(made)

    rate("schedules, in order", "runs", work, SCHEDULES, rounds=3)


def test_schedules_at_random(rate: Rate) -> None:
    """The same in drawn orders."""
    made = load_scenario(SCENARIOS / "lost_update_fixed.py")

    def work() -> None:
        for nth in range(SCHEDULES):
            assert roam(made, "random", seed=0, schedule=nth)[0].kind == "passed"

    rate("schedules, at random", "runs", work, SCHEDULES, peer="schedules, in order", rounds=3)


def test_schedules_explored(rate: Rate) -> None:
    """The same with everything that a sweep does: portfolio, coverage, no failure to shrink."""
    made = load_scenario(SCENARIOS / "lost_update_fixed.py")

    def work() -> None:
        assert not explore(made, schedules=SCHEDULES, verify=False).failures

    rate("schedules, explored", "runs", work, SCHEDULES, peer="schedules, in order", rounds=3)

"""Calls between two objects while thousands of tasks of a third wait at its gate: they cost the same per call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

from lumenize_sim import LumenizeClient, LumenizeDO, Mesh, World, WorldOptions, mesh, scenario
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.world.run import run_scenario

pytestmark = pytest.mark.benchmark(group="gated")

CALLS = 3_000


class Echo(LumenizeDO):
    """Answers."""

    @mesh
    def echo(self, value: int) -> int:
        return value


class Caller(LumenizeDO):
    """Asks, one call after the other."""

    @mesh
    async def ask(self, times: int) -> None:
        for value in range(times):
            await self.lmz.call_raw("ECHO", "e", self.ctn(Echo).echo(value))


class Gated(LumenizeDO):
    """Handlers asleep in child tasks, and a critical section that holds the gate when they would wake."""

    @mesh
    async def doze(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1)

    @mesh
    async def hold(self) -> None:
        async def long() -> None:
            await trio.sleep(25)

        await self.ctx.block_concurrency_while(long)


class Tab(LumenizeClient):
    """A page."""


@pytest.mark.parametrize("waiting", [10, 5_000])
def test_calls_beside_gated_tasks(benchmark: Any, noted: Callable[..., None], waiting: int) -> None:
    """Setting the tasks up is not in the rate: it is of the calls alone, by a clock that is not virtual."""
    rates: list[float] = []

    @scenario(
        Mesh(bindings={"ECHO": Echo, "CALLER": Caller, "GATED": Gated}), options=WorldOptions(step_limit=10_000_000)
    )
    async def beside(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        for _ in range(waiting):
            tab.lmz.call("GATED", "g", tab.ctn(Gated).doze())
        await world.advance(0.5)
        tab.lmz.call("GATED", "g", tab.ctn(Gated).hold())
        await world.advance(5)
        began = time.perf_counter()
        await tab.lmz.call_raw("CALLER", "c", tab.ctn(Caller).ask(CALLS))
        rates.append(CALLS / (time.perf_counter() - began))

    def work() -> None:
        assert run_scenario(beside, GuidedChooser()).kind == "passed"

    benchmark.pedantic(work, rounds=3, iterations=1, warmup_rounds=1)
    noted(f"calls beside {waiting} gated tasks", max(rates), "calls", "calls beside 10 gated tasks")

"""Recorded programs about the clock."""

from __future__ import annotations

import time
from typing import Any

import trio

from lumenize_sim import DurableObject, World
from lumenize_sim.objects import Pending
from tests.conformance.program import ISOLATE, program


def now_ms() -> int:
    """``Date.now()``."""
    return time.time_ns() // 1_000_000


def moved(before: float, after: float) -> str:
    """How a clock has moved."""
    return ">0" if after > before else "0"


class Echo(DurableObject):
    def echo(self) -> None:
        """Takes as long as a call takes."""


class Clocked(DurableObject):
    async def go(self) -> Any:
        t1, p1 = now_ms(), time.perf_counter()
        for _ in range(200):
            now_ms()
        t2, p2 = now_ms(), time.perf_counter()
        await Pending.of(None)
        t3 = now_ms()
        await self.ctx.storage.get("k")
        t4 = now_ms()
        await trio.sleep(0.005)
        t5 = now_ms()
        await self.env.E.get_by_name("e").echo()
        t6 = now_ms()
        return {
            "busy": moved(t1, t2),
            "perf": moved(p1, p2),
            "microtask": moved(t2, t3),
            "storage": moved(t3, t4),
            "timer": moved(t4, t5),
            "rpc": moved(t5, t6),
            "integer": isinstance(t1, int),
        }


@program(
    "time-frozen",
    bindings={"D": Clocked, "E": Echo},
    rules=("TM-1", "LT-91"),
    seeds=True,
    forbidden=lambda o: None if o["busy"] == o["timer"] == ">0" else "TM-1: the clock of workerd moves, also in a turn",
    also={"TM-1: a real clock goes on between any two readings, or has not yet": lambda o: o["integer"]},
)
async def time_frozen(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class AtModuleScope(DurableObject):
    def go(self) -> str:
        return "real" if ISOLATE["loaded"] > 0 else "0"


@program(
    "time-global-scope",
    bindings={"D": AtModuleScope},
    rules=("TM-1",),
    note="Python loads a module before any run: the program reads the clock where the isolate would be made",
    exhaustive=True,
)
async def time_global_scope(world: World) -> Any:
    ISOLATE["loaded"] = now_ms()
    return await world.env.D.get_by_name("d").go()

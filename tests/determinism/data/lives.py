"""Objects that live dangerously: every way an instance ends, under the runtime whose clock moves."""

from __future__ import annotations

import time
from typing import Any

import trio

from lumenize_sim import DurableObject, Faults, Mesh, World, WorldOptions, scenario

LIVES = ("hibernate", "evict", "relocate", "deploy", "cpu-limit", "memory-limit", "overload", "crash", "slow-flush")


class Cat(DurableObject):
    """Has a last word, an interval, an alarm, and looks at the clock."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.ticks: list[int] = []
        ctx.set_timeout(lambda: self.ticks.append(ctx.now()), 0.003)

    async def pre_shutdown(self, info: Any) -> None:
        await trio.sleep(0.5)
        self.ctx.storage.kv.put("last", info.reason)

    def alarm(self, info: Any) -> None:
        self.ctx.storage.kv.put("alarmed", self.ctx.now())

    async def live(self, other: str) -> list[Any]:
        began = time.time_ns()
        self.ctx.storage.kv.put("began", began)
        await trio.sleep(0.001)
        self.ctx.storage.set_alarm(self.ctx.now() + 20)
        answer = await self.env.CAT.get_by_name(other).touch() if other else 0
        n: int = self.ctx.storage.kv.get("n", 0) + 1
        self.ctx.storage.kv.put("n", n)
        return [n, answer, time.time_ns() - began, len(self.ticks)]

    def touch(self) -> int:
        return self.ctx.now()


@scenario(
    Mesh(bindings={"CAT": Cat}),
    faults=Faults(kinds=LIVES, at_most=4),
    options=WorldOptions(runtime="workerd"),
)
async def lives(world: World) -> None:
    """Whatever is acknowledged has happened."""
    for _ in range(4):
        calls = [world.env.CAT.get_by_name(name).live(other) for name, other in (("a", "b"), ("b", "c"), ("c", ""))]
        for call in calls:
            try:
                await call
            except Exception:  # a cat may die
                pass
        await world.advance(12)
    world.deploy("CAT", within_s=5)
    await world.settle()

"""LT-91 to LT-93: the clock, and timers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from lumenize_sim import World
from tests.conformance.lt_parts import EPOCH_MS, EXACT, Logging, log, logged, lt
from tests.conformance.program import PRODUCTION, WORKERD

GROUP = "10.8 Time"
test: Callable[..., Any] = partial(lt, group=GROUP, exhaustive=True)


class Timers(Logging):
    def now(self) -> int:
        return self.ctx.now() - EPOCH_MS

    def busy(self) -> bool:
        before = self.now()
        for _ in range(50_000):
            pass
        return self.now() == before

    async def three(self) -> None:
        for delay, name in ((0.020, "b"), (0.010, "a"), (0.010, "c")):
            self.ctx.set_timeout(partial(log, name), delay)
        await trio.sleep(0.050)

    async def two(self) -> None:
        """Two timers of 0 ms; the continuation of the first awaits a quick call."""

        async def first() -> None:
            log("first")
            await self.env.OUT.f(0)
            log("reply")

        done = trio.Event()
        self.ctx.set_timeout(first, 0)
        self.ctx.set_timeout(lambda: (log("second"), done.set()), 0)
        await done.wait()
        await trio.sleep(0.010)


D = {"D": Timers}


@test(
    "LT-91",
    "TM-1",
    bindings=D,
    allowed={PRODUCTION: [True], WORKERD: [False]},
    title="the clock in a turn",
)
async def lt_91(world: World) -> Any:
    return await world.env.D.get_by_name("o").busy()


@test("LT-92", "TM-4", bindings=D, allowed=[["a", "c", "b"]], options=EXACT, title="the order of timers")
async def lt_92(world: World) -> Any:
    await world.env.D.get_by_name("o").three()
    return logged()


@test(
    "LT-92 reply",
    "TM-4",
    bindings=D,
    allowed={
        PRODUCTION: [["first", "reply", "second"], ["first", "second", "reply"]],
        WORKERD: [["first", "reply", "second"]],
    },
    also={"TM-4: it may as well come after both": [["first", "second", "reply"]]},
    options=EXACT,
    title="a reply may come between two timers",
)
async def lt_92_reply(world: World) -> Any:
    await world.env.D.get_by_name("o").two()
    return logged()

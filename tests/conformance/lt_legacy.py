"""LT-1, LT-3 and LT-8 to LT-10 on the legacy backend, whose reads really wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lumenize_sim import World, gather
from tests.conformance.lt_interleaving import ALL_OF_100, GROUP, TWICE, Counter, many
from tests.conformance.lt_parts import EPOCH_MS, EXACT, Logging, log, logged, lt
from tests.conformance.program import PRODUCTION

# Under workerd such a class is SQLite underneath, where nothing waits (section 11).
test: Callable[..., Any] = partial(lt, group=GROUP, runtime=(PRODUCTION,))


class LegacyCounter(Counter):
    storage_backend = "kv"


@test(
    "LT-1 KV",
    "IG-5",
    "IG-11",
    bindings={"D": LegacyCounter},
    allowed=[ALL_OF_100],
    never=TWICE,
    at_most=100,
    title="async counter on the legacy backend, cold",
)
async def lt_1_kv(world: World) -> Any:
    return await many(world, "inc", 100)


@test(
    "LT-1 KV warm",
    "IG-5",
    "IG-11",
    bindings={"D": LegacyCounter},
    allowed=[ALL_OF_100],
    never=TWICE,
    at_most=100,
    title="the same with the key in the cache",
)
async def lt_1_kv_warm(world: World) -> Any:
    await world.env.D.get_by_name("o").total()
    return await many(world, "inc", 100)


@test(
    "LT-3 KV",
    "IG-9",
    bindings={"D": LegacyCounter},
    allowed=[1, 2],
    exhaustive=True,
    title="allowConcurrency with a cold key",
)
async def lt_3_kv(world: World) -> Any:
    await gather(*[world.env.D.get_by_name("o").inc_concurrently() for _ in range(2)])
    return await world.env.D.get_by_name("o").total()


class Legacy(Logging):
    storage_backend = "kv"

    async def read(self, key: str) -> None:
        await self.ctx.storage.get(key)
        log(key)

    async def read_and_f(self) -> None:
        async def outside() -> None:
            await self.f()
            log("f")

        self.ctx.wait_until(outside())
        self.ctx.wait_until(self.read("g"))

    async def read_two(self) -> None:
        self.ctx.wait_until(self.read("x"))
        self.ctx.wait_until(self.read("y"))

    def note(self, what: str) -> None:
        log(what)

    async def two_timers(self) -> None:
        for delay in (0.010, 0.020):
            self.ctx.set_timeout(partial(self.fired, delay), delay)
        await self.ctx.storage.get("k")
        log("read")

    def fired(self, delay: float) -> None:
        log([delay, self.ctx.host.now_ms() - EPOCH_MS])


@test(
    "LT-8",
    "IG-5",
    bindings={"D": Legacy},
    allowed=[["g", "f"]],
    never={"the response came in": lambda o: o == ["f", "g"]},
    options=EXACT,
    exhaustive=True,
    title="a read that waits keeps a fetch response out",
)
async def lt_8(world: World) -> Any:
    world.object("D", "o").slow_next_reads(0.2)
    await world.env.D.get_by_name("o").read_and_f()
    await world.settle()
    return logged()


@test(
    "LT-9",
    "IG-7",
    bindings={"D": Legacy},
    allowed=[["x", "y", "request 2"]],
    never={"the request came before y": lambda o: o.index("request 2") < o.index("y")},
    options=EXACT,
    exhaustive=True,
    title="two reads, then an event",
)
async def lt_9(world: World) -> Any:
    world.object("D", "o").slow_next_reads(0.05, 0.15)
    await world.env.D.get_by_name("o").read_two()
    await world.advance(0.06)
    await world.env.D.get_by_name("o").note("request 2")
    await world.settle()
    return logged()


@test(
    "LT-10",
    "IG-3",
    bindings={"D": Legacy},
    allowed=[["A", "B", "C", "D"]],
    options=EXACT,
    exhaustive=True,
    title="waiters are let in first come, first served",
)
async def lt_10(world: World) -> Any:
    """B, C and D arrive one after the other while A's read waits."""
    world.object("D", "o").slow_next_reads(0.2)
    calls = [world.env.D.get_by_name("o").read("A")]
    for name in "BCD":
        await world.advance(0.01)
        calls.append(world.env.D.get_by_name("o").note(name))
    await gather(*calls)
    return logged()


@test(
    "LT-93",
    "TM-5",
    bindings={"D": Legacy},
    allowed=[["read", [0.010, 50], [0.020, 50]]],
    never={"a timer fired while the gate was held": lambda o: o[0] != "read"},
    options=EXACT,
    group="10.8 Time",
    title="timers behind a closed gate",
)
async def lt_93(world: World) -> Any:
    world.object("D", "o").slow_next_reads(0.05)
    await world.env.D.get_by_name("o").two_timers()
    await world.settle()
    return logged()

"""LT-1 to LT-12: which events interleave, and which do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

import trio

from lumenize_sim import DurableObject, World, gather
from tests.conformance.lt_parts import EXACT, Logging, log, logged, lt, outcome_of, seconds

GROUP = "10.1 Interleaving"
test: Callable[..., Any] = partial(lt, group=GROUP)

SECTION_TIMEOUT = (
    "Error: A call to blockConcurrencyWhile() in a Durable Object waited for too long. "
    "The call was canceled and the Durable Object was reset. [overloaded durableObjectReset]"
)


class Counter(Logging):
    """Reads, waits or not, and writes one more."""

    async def inc(self) -> int:
        n = (await self.ctx.storage.get("n")) or 0
        await self.ctx.storage.put("n", n + 1)
        return int(n) + 1

    async def inc_with_f(self) -> int:
        n = (await self.ctx.storage.get("n")) or 0
        await self.f()
        await self.ctx.storage.put("n", n + 1)
        return int(n) + 1

    async def inc_concurrently(self) -> int:
        n = (await self.ctx.storage.get("n", allow_concurrency=True)) or 0
        await self.ctx.storage.put("n", n + 1)
        return int(n) + 1

    async def inc_memory(self) -> int:
        n = self.m or 0
        await self.f()
        self.m = n + 1
        return int(n) + 1

    def inc_sql(self) -> int:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE IF NOT EXISTS t(n)")
        if not sql.exec("SELECT n FROM t").to_array():
            sql.exec("INSERT INTO t VALUES(0)")
        n = sql.exec("SELECT n FROM t").one()["n"]
        sql.exec("UPDATE t SET n = ?", n + 1)
        return int(n) + 1

    async def total(self) -> Any:
        return await self.ctx.storage.get("n")


async def many(world: World, method: str, calls: int) -> dict[str, Any]:
    """``calls`` concurrent calls, each on a stub of its own."""
    returned = await gather(*[world.env.D.get_by_name("o").call(method) for _ in range(calls)])
    every = sorted(returned) == list(range(1, calls + 1))
    return {"most": max(returned), "returned": "a permutation" if every else sorted(returned)}


ALL_OF_100 = {"most": 100, "returned": "a permutation"}


TWICE = {"a value was returned twice": lambda o: o["returned"] != "a permutation"}


@test(
    "LT-1",
    "IG-5",
    "IG-10",
    bindings={"D": Counter},
    allowed=[ALL_OF_100],
    never=TWICE,
    at_most=100,
    title="async counter, cold",
)
async def lt_1(world: World) -> Any:
    return await many(world, "inc", 100)


@test(
    "LT-1 warm",
    "IG-5",
    "IG-10",
    bindings={"D": Counter},
    allowed=[ALL_OF_100],
    never=TWICE,
    at_most=100,
    title="async counter, warm",
)
async def lt_1_warm(world: World) -> Any:
    await world.env.D.get_by_name("o").total()
    return await many(world, "inc", 100)


@test("LT-2", "IG-8", bindings={"D": Counter}, allowed=[1, 2], exhaustive=True, title="counter with a fetch between")
async def lt_2(world: World) -> Any:
    await gather(*[world.env.D.get_by_name("o").inc_with_f() for _ in range(2)])
    return await world.env.D.get_by_name("o").total()


@test(
    "LT-2 together",
    "IG-8",
    bindings={"D": Counter},
    allowed=[1],
    never={"both updates with simultaneous arrival and equal latency": lambda o: o == 2},
    options=EXACT,
    exhaustive=True,
    title="the same, arriving together with equal latencies",
)
async def lt_2_together(world: World) -> Any:
    return await lt_2.drive(world)


@test(
    "LT-3 SQLite",
    "IG-9",
    "IG-10",
    bindings={"D": Counter},
    allowed=[2],
    never={"an update was lost on SQLite": lambda o: o == 1},
    exhaustive=True,
    title="allowConcurrency on SQLite, where no read waits",
)
async def lt_3(world: World) -> Any:
    await gather(*[world.env.D.get_by_name("o").inc_concurrently() for _ in range(2)])
    return await world.env.D.get_by_name("o").total()


@test(
    "LT-4",
    "IG-8",
    bindings={"D": Counter},
    allowed=[1],
    options=EXACT,
    exhaustive=True,
    title="counter in memory with a fetch between",
)
async def lt_4(world: World) -> Any:
    await gather(*[world.env.D.get_by_name("o").inc_memory() for _ in range(2)])
    return await world.env.D.get_by_name("o").memory()


@test(
    "LT-5",
    "RPC-11",
    bindings={"D": Counter},
    allowed=[ALL_OF_100],
    never=TWICE,
    at_most=100,
    title="SQL read-modify-write without await",
)
async def lt_5(world: World) -> Any:
    return await many(world, "inc_sql", 100)


class Chain(DurableObject):
    async def long(self) -> None:
        for _ in range(1000):
            await trio.lowlevel.checkpoint()
            log(1)

    def short(self) -> None:
        log(2)


@test(
    "LT-6",
    "IG-4",
    "TM-10",
    bindings={"D": Chain},
    allowed=[[1, 2], [2, 1]],
    never={"a 2 between 1s": lambda o: len(o) > 2},
    exhaustive=True,
    title="a chain of microtasks is one turn",
)
async def lt_6(world: World) -> Any:
    await gather(world.env.D.get_by_name("o").long(), world.env.D.get_by_name("o").short())
    return [who for who, _ in groupby(logged())]


class Sleeper(DurableObject):
    async def sleep(self) -> None:
        log("a")
        await trio.sleep(0.010)
        log("b")

    def note(self) -> None:
        log("c")


@test(
    "LT-7",
    "IG-8",
    bindings={"D": Sleeper},
    allowed=["acb"],
    never={"the timer kept the gate closed": lambda o: o == "abc"},
    options=EXACT,
    exhaustive=True,
    title="a timer yields",
)
async def lt_7(world: World) -> Any:
    first = world.env.D.get_by_name("o").sleep()
    await world.advance(0.005)
    await world.env.D.get_by_name("o").note()
    await first
    return "".join(logged())


class HandOff(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.deferred = trio.Event()
        self.value: Any = None

    async def take(self) -> Any:
        await self.deferred.wait()
        return self.value

    def give(self, value: Any) -> None:
        self.value = value
        self.deferred.set()


@test(
    "LT-11",
    "IG-15",
    bindings={"D": HandOff},
    allowed=["handed over"],
    exhaustive=True,
    title="one event awaits what another resolves",
)
async def lt_11(world: World) -> Any:
    taken = world.env.D.get_by_name("o").take()
    await world.env.D.get_by_name("o").give("handed over")
    return await taken


class A(Logging):
    async def foo(self) -> Any:
        return await self.env.B.get_by_name("b").bar()

    async def foo_in_section(self) -> Any:
        async def section() -> Any:
            return await self.env.B.get_by_name("b").bar()

        return await self.ctx.block_concurrency_while(section)

    def baz(self) -> str:
        return "baz"


class B(DurableObject):
    async def bar(self) -> Any:
        return await self.env.A.get_by_name("a").baz()


@test("LT-12", "RPC-12", bindings={"A": A, "B": B}, allowed=["baz"], exhaustive=True, title="a cyclic call")
async def lt_12(world: World) -> Any:
    return await world.env.A.get_by_name("a").foo()


@test(
    "LT-12 section",
    "RPC-12",
    "IG-21",
    "IG-22",
    bindings={"A": A, "B": B},
    allowed=[[SECTION_TIMEOUT, 30.0, None]],
    never={"it completes": lambda o: o[0] == "baz"},
    options=EXACT,
    exhaustive=True,
    title="a cyclic call from a critical section",
)
async def lt_12_section(world: World) -> Any:
    stub = world.env.A.get_by_name("a")
    error = await outcome_of(stub.foo_in_section())
    return [error, seconds(world), await world.env.A.get_by_name("a").memory()]

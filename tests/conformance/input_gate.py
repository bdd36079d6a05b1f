"""Recorded programs about the input gate: what interleaves at which await, and what holds it closed."""

from __future__ import annotations

import hashlib
from typing import Any

import trio

from lumenize_sim import DurableObject, World, gather
from lumenize_sim.objects import Pending
from tests.conformance.errors import settled
from tests.conformance.program import ISOLATE, program

CALLS = 5


class Echo(DurableObject):
    """E, the other object."""

    def echo(self) -> str:
        return "echo"

    async def slow(self) -> str:
        await trio.sleep(0.010)
        return "slow"

    async def bounce(self, name: str) -> None:
        await self.env.D.get_by_name(name).ping()


class Counter(DurableObject):
    """Reads ``n`` from async storage, waits, and writes one more."""

    async def inc(self) -> int:
        n: int = await self.ctx.storage.get("n") or 0
        await self.wait()
        await self.ctx.storage.put("n", n + 1)
        return n + 1

    async def wait(self) -> None:
        """What lies between reading and writing."""

    def final(self) -> int:
        found: int = self.ctx.storage.kv.get("n") or 0
        return found


class MemoryCounter(DurableObject):
    """The same with a field instead of storage."""

    n = 0

    async def inc(self) -> int:
        n = self.n
        await self.wait()
        self.n = n + 1
        return n + 1

    async def wait(self) -> None:
        """What lies between reading and writing."""

    def final(self) -> int:
        return self.n


async def count(world: World) -> Any:
    """Five calls on one stub, then the final value."""
    stub = world.env.D.get_by_name("d")
    returned = await gather(*[stub.inc() for _ in range(CALLS)])
    return {"final": await stub.final(), "returned": returned}


def atomic(outcome: Any) -> str | None:
    """No await in there ends the turn, so no update can be lost."""
    return None if outcome["final"] == CALLS else "IG-10: an update was lost over an await that ends no turn"


def some_lost(outcome: Any) -> bool:
    """Between all but one update and none is lost; the last to write decides."""
    returned = outcome["returned"]
    return 1 in returned and outcome["final"] in returned and all(1 <= n <= CALLS for n in returned)


LATE = {"LT-2: a call that arrives, or goes on, after another has ended sees what that wrote": some_lost}


class StorageOnly(Counter):
    pass


@program("gate-rmw-storage", bindings={"D": StorageOnly}, rules=("IG-10", "RPC-1"), forbidden=atomic)
async def gate_rmw_storage(world: World) -> Any:
    return await count(world)


class OverTimer(Counter):
    async def wait(self) -> None:
        await trio.sleep(0.005)


@program("gate-rmw-settimeout", bindings={"D": OverTimer}, rules=("IG-8",), also=LATE)
async def gate_rmw_settimeout(world: World) -> Any:
    return await count(world)


class OverZeroTimer(Counter):
    async def wait(self) -> None:
        await trio.sleep(0)  # noqa: ASYNC115  # a timer of 0 ms, which ends the turn


@program("gate-rmw-settimeout0", bindings={"D": OverZeroTimer}, rules=("IG-8", "TM-3"), also=LATE)
async def gate_rmw_settimeout0(world: World) -> Any:
    return await count(world)


class OverSchedulerWait(Counter):
    async def wait(self) -> None:
        await trio.sleep(0.005)


@program("gate-rmw-schedulerwait", bindings={"D": OverSchedulerWait}, rules=("IG-8", "TM-3"), also=LATE)
async def gate_rmw_schedulerwait(world: World) -> Any:
    return await count(world)


class OverCall(Counter):
    async def wait(self) -> None:
        await self.env.E.get_by_name("e").echo()


@program("gate-rmw-rpc", bindings={"D": OverCall, "E": Echo}, rules=("IG-8",), also=LATE)
async def gate_rmw_rpc(world: World) -> Any:
    return await count(world)


class OverDigest(MemoryCounter):
    async def wait(self) -> None:
        # Computed at once; what is awaited is settled already.
        await Pending.of(hashlib.sha256(b"x").digest())


@program("gate-rmw-crypto", bindings={"D": OverDigest}, rules=("IG-8",), forbidden=atomic)
async def gate_rmw_crypto(world: World) -> Any:
    return await count(world)


class Concurrent(Counter):
    async def wait(self) -> None:
        await self.ctx.storage.get("other", allow_concurrency=True)


@program("gate-rmw-allowconcurrency", bindings={"D": Concurrent}, rules=("IG-9", "IG-10"), forbidden=atomic)
async def gate_rmw_allowconcurrency(world: World) -> Any:
    return await count(world)


class OverSync(MemoryCounter):
    async def wait(self) -> None:
        self.ctx.storage.put("x", 1)
        await self.ctx.storage.sync()


@program("gate-mem-over-sync", bindings={"D": OverSync}, rules=("IG-12",), also=LATE)
async def gate_mem_over_sync(world: World) -> Any:
    return await count(world)


class Held(DurableObject):
    """Holds its gate for 10 ms, and notes who comes."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []

    async def hold(self) -> None:
        async def section() -> None:
            await trio.sleep(0.010)
            self.log.append("hold")

        await self.ctx.block_concurrency_while(section)

    def note(self, i: int) -> None:
        self.log.append(i)

    def read(self) -> list[Any]:
        return self.log


def in_order(outcome: Any) -> str | None:
    """IG-3: strictly the oldest waiter first."""
    return None if outcome == ["hold", *range(1, 9)] else "IG-3: waiters were not served in order of arrival"


@program("gate-order-held-by-bcw", bindings={"D": Held}, rules=("IG-3", "IG-22", "RPC-1"), forbidden=in_order)
async def gate_order_held_by_bcw(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(stub.hold(), *[stub.note(i) for i in range(1, 9)])
    return await stub.read()


class Timed(DurableObject):
    """A timer set before a critical section."""

    timer_s = 0.001
    linger_s = 0.010

    async def inside(self) -> None:
        await self.env.E.get_by_name("e").slow()

    async def run(self) -> list[str]:
        log: list[str] = []
        self.ctx.set_timeout(lambda: log.append("timer"), self.timer_s)

        async def section() -> None:
            await self.inside()
            log.append("bcw-end")

        await self.ctx.block_concurrency_while(section)
        log.append("after")
        await trio.sleep(self.linger_s)
        return log


def timer_held(outcome: Any) -> str | None:
    """IG-22, IG-25: an outer timer waits for the section, and the continuation comes before it."""
    return None if outcome == ["bcw-end", "after", "timer"] else "IG-22, IG-25: the timer did not wait its turn"


@program(
    "gate-timer-vs-bcw-rpc-inside",
    bindings={"D": Timed, "E": Echo},
    rules=("IG-22", "IG-25"),
    forbidden=timer_held,
    exhaustive=True,
)
async def gate_timer_vs_bcw_rpc_inside(world: World) -> Any:
    return await world.env.D.get_by_name("d").run()


class TimedInside(Timed):
    async def inside(self) -> None:
        await trio.sleep(0.010)


SLOW_CALL = "RPC-1: a call may be under way for a while"


@program(
    "gate-timer-vs-bcw-timer-inside",
    bindings={"D": TimedInside},
    rules=("IG-21", "IG-22", "IG-24", "TM-4", "TM-5"),
    forbidden=lambda o: None if "err" in o["r"] and o["seconds"] >= 30 else "IG-24: the section ended, or too early",
    also={SLOW_CALL: lambda o: "err" in o["r"] and 30 <= o["seconds"] <= 34},
    exhaustive=True,
)
async def gate_timer_vs_bcw_timer_inside(world: World) -> Any:
    began = world.now()
    result = await settled(world.env.D.get_by_name("d").run())
    return {"r": result, "seconds": round(world.now() - began)}


class TimedLater(TimedInside):
    timer_s = 0.020
    linger_s = 0.030

    async def inside(self) -> None:
        await trio.sleep(0.005)


@program(
    "gate-later-timer-vs-bcw-timer-inside",
    bindings={"D": TimedLater},
    rules=("IG-22", "TM-4"),
    forbidden=timer_held,
    exhaustive=True,
)
async def gate_later_timer_vs_bcw_timer_inside(world: World) -> Any:
    return await world.env.D.get_by_name("d").run()


class Prepared(DurableObject):
    """Gets ready in its constructor, behind a critical section."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        ISOLATE["constructions"] = ISOLATE.get("constructions", 0) + 1
        self.ready = False
        self.log: list[Any] = []

        async def prepare() -> None:
            await trio.sleep(0.010)
            self.ready = True

        ctx.block_concurrency_while(prepare)

    def note(self, i: int) -> None:
        self.log.append([i, self.ready])

    def read(self) -> list[Any]:
        return self.log


def prepared(outcome: Any) -> str | None:
    """IG-16, IG-18."""
    if outcome["constructions"] != 1:
        return "IG-16: constructed more than once"
    return None if all(ready for _, ready in outcome["log"]) else "IG-18: an event came before the section"


@program("gate-ctor-bcw-first-requests", bindings={"D": Prepared}, rules=("IG-16", "IG-18"), forbidden=prepared)
async def gate_ctor_bcw_first_requests(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(*[stub.note(i) for i in range(1, 6)])
    return {"constructions": ISOLATE["constructions"], "log": await stub.read()}


class Failing(DurableObject):
    """Its first construction fails."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        failed = ISOLATE.get("n", 0)
        ISOLATE["n"] = failed + 1
        self.begin(failed < 1)

    def begin(self, fails: bool) -> None:
        raise NotImplementedError

    def hi(self) -> str:
        return f"hi {ISOLATE['n']}"


class FailingSection(Failing):
    def begin(self, fails: bool) -> None:
        async def section() -> None:
            await trio.sleep(0.002)
            if fails:
                raise Exception("ctor bcw")

        self.ctx.block_concurrency_while(section)


class FailingConstructor(Failing):
    def begin(self, fails: bool) -> None:
        if fails:
            raise Exception("ctor")


async def first_fails(world: World) -> Any:
    """Three calls at once, then one on the same stub and one on a fresh one."""
    stub = world.env.D.get_by_name("d")
    first = await gather(*[settled(stub.hi()) for _ in range(3)])
    await world.advance(0.020)
    same = await settled(stub.hi())
    return {"first": first, "sameStub": same, "freshStub": await settled(world.env.D.get_by_name("d").hi())}


def fresh_works(outcome: Any) -> str | None:
    """LC-31, RPC-8."""
    if "ok" in outcome["sameStub"]:
        return "RPC-8: a stub that was bound to the broken instance works again"
    return None if "ok" in outcome["freshStub"] else "LC-31: the constructor is not tried again for a new stub"


@program(
    "gate-ctor-bcw-throws",
    bindings={"D": FailingSection},
    rules=("IG-20", "LC-31", "RPC-8"),
    forbidden=fresh_works,
    exhaustive=True,
)
async def gate_ctor_bcw_throws(world: World) -> Any:
    return await first_fails(world)


@program(
    "gate-ctor-throws",
    bindings={"D": FailingConstructor},
    rules=("LC-31", "LC-45", "RPC-8"),
    forbidden=fresh_works,
    exhaustive=True,
)
async def gate_ctor_throws(world: World) -> Any:
    return await first_fails(world)


class Constructed(DurableObject):
    """Counts its constructions."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        key = ("constructions", str(ctx.id))
        ISOLATE[key] = ISOLATE.get(key, 0) + 1

    def constructions(self) -> int:
        found: int = ISOLATE[("constructions", str(self.ctx.id))]
        return found


class Catching(Constructed):
    async def ok(self) -> str:
        async def section() -> str:
            try:
                raise Exception("inside")
            except Exception:
                pass
            return "fine"

        return await self.ctx.block_concurrency_while(section)


@program(
    "gate-bcw-catch-inside",
    bindings={"D": Catching},
    rules=("IG-20", "LT-19"),
    forbidden=lambda o: None if o["later"] == {"ok": 1} else "LT-19: an error that was caught reset the object",
    exhaustive=True,
)
async def gate_bcw_catch_inside(world: World) -> Any:
    ok = await settled(world.env.D.get_by_name("d").ok())
    return {"ok": ok, "later": await settled(world.env.D.get_by_name("d").constructions())}


class Hanging(Constructed):
    async def hang(self) -> None:
        async def section() -> None:
            await trio.sleep(60)

        await self.ctx.block_concurrency_while(section)

    def tag(self) -> int:
        return self.constructions()


@program(
    "gate-bcw-timeout",
    bindings={"D": Hanging},
    rules=("IG-20", "IG-21", "IG-32"),
    forbidden=lambda o: None if o["seconds"] >= 30 and "err" in o["hang"] else "IG-21: not after 30 s",
    also={SLOW_CALL: lambda o: "err" in o["hang"] and "err" in o["behind"] and 30 <= o["seconds"] <= 34},
    exhaustive=True,
)
async def gate_bcw_timeout(world: World) -> Any:
    began = world.now()
    stub = world.env.D.get_by_name("d")
    hang, behind = stub.hang(), stub.tag()
    outcome = {"hang": await settled(hang), "behind": await settled(behind)}
    seconds = round(world.now() - began)
    return {**outcome, "seconds": seconds, "later": await settled(world.env.D.get_by_name("d").tag())}


class Reentered(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    async def run(self) -> list[str]:
        self.log.append("run-start")
        await self.env.E.get_by_name("e").bounce("d")
        self.log.append("run-end")
        return self.log

    def ping(self) -> None:
        self.log.append("ping")


@program(
    "gate-reentrancy-call-back",
    bindings={"D": Reentered, "E": Echo},
    rules=("RPC-12",),
    exhaustive=True,
    forbidden=lambda o: None if o == ["run-start", "ping", "run-end"] else "RPC-12: the call back was not served",
)
async def gate_reentrancy_call_back(world: World) -> Any:
    return await world.env.D.get_by_name("d").run()

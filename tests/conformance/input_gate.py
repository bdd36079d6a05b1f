"""Recorded programs about the input gate: what interleaves at which await, and what holds it closed."""

from __future__ import annotations

from typing import Any

import trio

from lumenize_sim import DurableObject, World, gather
from tests.conformance.program import program

CALLS = 5


def _final(counter: DurableObject) -> Any:
    return counter.ctx.storage.kv.get("n", 0)


class Echo(DurableObject):
    """E: the other object."""

    def echo(self) -> str:
        return "echo"

    async def slow(self) -> str:
        await trio.sleep(0.010)
        return "slow"

    async def bounce(self, name: str) -> str:
        return str(await self.env.D.get_by_name(name).ping())


class Counter(DurableObject):
    """Reads ``n`` from async storage, waits, and writes one more."""

    async def inc(self) -> int:
        n = int(await self.ctx.storage.get("n") or 0)
        await self.wait()
        await self.ctx.storage.put("n", n + 1)
        return n + 1

    async def wait(self) -> None:
        """What lies between reading and writing."""

    def final(self) -> int:
        return int(_final(self))


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


async def _count(world: World) -> Any:
    """Five calls on one stub, then the final value."""
    stub = world.env.D.get_by_name("d")
    returned = await gather(*[stub.inc() for _ in range(CALLS)])
    return {"final": await stub.final(), "returned": returned}


def _atomic(outcome: Any) -> str | None:
    """No await in there ends the turn, so no update can be lost (IG-10, RPC-11)."""
    return None if outcome["final"] == CALLS else "IG-10: an update was lost over an await that ends no turn"


def _some_lost(outcome: Any) -> bool:
    """Between one update left and none lost, each value a plausible next one."""
    returned = outcome["returned"]
    return 1 <= outcome["final"] <= CALLS and outcome["final"] == max(returned) and min(returned) == 1


LATE = {"LT-2: a call that arrives late, after others have ended, sees what they wrote": _some_lost}


class StorageOnly(Counter):
    pass


@program("gate-rmw-storage", bindings={"D": StorageOnly}, rules=("IG-10", "RPC-1"), forbidden=_atomic)
async def gate_rmw_storage(world: World) -> Any:
    return await _count(world)


class OverTimer(Counter):
    async def wait(self) -> None:
        await trio.sleep(0.005)


@program("gate-rmw-settimeout", bindings={"D": OverTimer}, rules=("IG-8",), also=LATE)
async def gate_rmw_settimeout(world: World) -> Any:
    return await _count(world)

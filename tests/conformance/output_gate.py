"""Recorded programs about what becomes durable with what, and what leaves the object."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import trio

from lumenize_sim import DurableObject, World
from lumenize_sim.objects import Pending
from tests.conformance.errors import settled
from tests.conformance.program import program


class Noted(DurableObject):
    """E: knows whether it was called."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.noted = 0

    def note(self) -> None:
        self.noted += 1

    def echo(self) -> str:
        return "echo"

    def read(self) -> int:
        return self.noted


class Aborting(DurableObject):
    """D: writes, calls, aborts."""

    async def go(self) -> Any:
        raise NotImplementedError

    def read(self) -> Any:
        return self.ctx.storage.kv.get("k")

    def keys(self) -> list[str]:
        return [key for key, _ in self.ctx.storage.kv.list()]


async def aftermath(world: World) -> Any:
    """Call ``go``; then what is stored, whether E was called, and what the caller saw."""
    caller = await settled(world.env.D.get_by_name("d").go())
    await world.advance(0.020)
    return {
        "persisted": await world.env.D.get_by_name("d").read(),
        "noted": await world.env.E.get_by_name("e").read(),
        "caller": caller,
    }


def nothing_left(outcome: Any) -> str | None:
    """LC-32: no write of the turn commits, and no call of it is made."""
    if outcome["persisted"]:
        return "LC-32: a write of the aborted turn was kept"
    return "RPC-14a: the method ran though its caller aborted in the turn of the call" if outcome["noted"] else None


class PutCallAbort(Aborting):
    async def go(self) -> None:
        self.ctx.storage.put("k", 1)
        self.env.E.get_by_name("e").note()
        self.ctx.abort("bye")


@program(
    "og-put-call-abort",
    bindings={"D": PutCallAbort, "E": Noted},
    rules=("LC-32", "OG-15", "RPC-14a"),
    forbidden=nothing_left,
    exhaustive=True,
)
async def og_put_call_abort(world: World) -> Any:
    return await aftermath(world)


class SyncPutCallAbort(Aborting):
    async def go(self) -> None:
        self.ctx.storage.kv.put("k", 1)
        self.env.E.get_by_name("e").note()
        self.ctx.abort("bye")


@program(
    "og-synckv-call-abort",
    bindings={"D": SyncPutCallAbort, "E": Noted},
    rules=("LC-32", "OG-15", "RPC-14a"),
    forbidden=nothing_left,
    exhaustive=True,
)
async def og_synckv_call_abort(world: World) -> Any:
    return await aftermath(world)


class CallSyncPutAbort(Aborting):
    async def go(self) -> None:
        self.env.E.get_by_name("e").note()
        self.ctx.storage.kv.put("k", 1)
        self.ctx.abort("bye")


@program(
    "og-call-then-synckv-abort",
    bindings={"D": CallSyncPutAbort, "E": Noted},
    rules=("LC-32", "OG-15", "RPC-14a"),
    forbidden=nothing_left,
    exhaustive=True,
)
async def og_call_then_synckv_abort(world: World) -> Any:
    return await aftermath(world)


class CallAbort(Aborting):
    async def go(self) -> None:
        self.env.E.get_by_name("e").note()
        self.ctx.abort("bye")


@program(
    "og-call-only-abort",
    bindings={"D": CallAbort, "E": Noted},
    rules=("LC-32", "RPC-14a"),
    forbidden=nothing_left,
    exhaustive=True,
)
async def og_call_only_abort(world: World) -> Any:
    return await aftermath(world)


class InsertAbort(Aborting):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (x INTEGER)")

    async def go(self) -> None:
        self.ctx.storage.sql.exec("INSERT INTO t VALUES (1)")
        self.ctx.abort("bye")

    def read(self) -> Any:
        return self.ctx.storage.sql.exec("SELECT COUNT(*) AS n FROM t").one()["n"]


@program(
    "og-sql-insert-abort",
    bindings={"D": InsertAbort, "E": Noted},
    rules=("LC-32", "OG-15"),
    forbidden=nothing_left,
    exhaustive=True,
)
async def og_sql_insert_abort(world: World) -> Any:
    return await aftermath(world)


class PutSyncAbort(Aborting):
    async def go(self) -> None:
        self.ctx.storage.kv.put("k", 1)
        await self.ctx.storage.sync()
        self.ctx.abort("bye")


@program(
    "og-put-sync-abort",
    bindings={"D": PutSyncAbort, "E": Noted},
    rules=("OG-26", "LC-32", "LT-43"),
    forbidden=lambda o: None if o["persisted"] == 1 else "LT-43: a write that was synced is gone",
    exhaustive=True,
)
async def og_put_sync_abort(world: World) -> Any:
    return await aftermath(world)


class PutReturnAbort(Aborting):
    async def go(self) -> str:
        self.ctx.storage.kv.put("k", 1)
        self.ctx.set_timeout(lambda: self.ctx.abort("bye"), 0)
        return "ok"


@program(
    "og-put-return-abort-timer",
    bindings={"D": PutReturnAbort, "E": Noted},
    rules=("OG-17", "OG-10"),
    forbidden=lambda o: (
        "OG-10: the caller was told of a write that is gone" if "ok" in o["caller"] and not o["persisted"] else None
    ),
    exhaustive=True,
)
async def og_put_return_abort_timer(world: World) -> Any:
    return await aftermath(world)


Between = Callable[[Aborting], Coroutine[Any, Any, None]]


async def kept(world: World) -> Any:
    """Call ``go``, which aborts; then which keys a later instance reads."""
    await settled(world.env.D.get_by_name("d").go())
    return await world.env.D.get_by_name("d").keys()


class AwaitedPuts(Aborting):
    async def go(self) -> None:
        await self.ctx.storage.put("a", 1)
        await self.ctx.storage.put("b", 1)
        self.ctx.abort()


def never_b(outcome: Any) -> str | None:
    """OG-20: a later write is never kept without the earlier one; here the turn of b never ends."""
    return "LC-32: a write of the aborted turn was kept" if "b" in outcome else None


@program(
    "og-coalesce-awaited-puts-abort",
    bindings={"D": AwaitedPuts},
    rules=("OG-16", "LC-32"),
    forbidden=never_b,
    exhaustive=True,
)
async def og_coalesce_awaited_puts_abort(world: World) -> Any:
    return await kept(world)


class PutSleepPut(Aborting):
    async def go(self) -> None:
        self.ctx.storage.kv.put("a", 1)
        await trio.sleep(0)  # noqa: ASYNC115  # a timer of 0 ms, which ends the turn
        self.ctx.storage.kv.put("b", 1)
        self.ctx.abort()


@program(
    "og-sleep-between-puts-abort",
    bindings={"D": PutSleepPut},
    rules=("OG-17", "LC-32"),
    forbidden=never_b,
    exhaustive=True,
)
async def og_sleep_between_puts_abort(world: World) -> Any:
    return await kept(world)


class PutCallPut(Aborting):
    async def go(self) -> None:
        self.ctx.storage.kv.put("a", 1)
        await self.env.E.get_by_name("e").echo()
        self.ctx.storage.kv.put("b", 1)
        self.ctx.abort()


@program(
    "og-rpc-between-puts-abort",
    bindings={"D": PutCallPut, "E": Noted},
    rules=("OG-17", "LC-32"),
    forbidden=never_b,
    exhaustive=True,
)
async def og_rpc_between_puts_abort(world: World) -> Any:
    return await kept(world)


class PutMicrotasksPut(Aborting):
    async def go(self) -> None:
        self.ctx.storage.kv.put("a", 1)
        for _ in range(50):
            await Pending.of(None)
        self.ctx.storage.kv.put("b", 1)
        self.ctx.abort()


@program(
    "og-microtasks-between-puts-abort",
    bindings={"D": PutMicrotasksPut},
    rules=("OG-15", "LC-32"),
    forbidden=lambda o: "OG-15: a turn was committed in part" if o else None,
    exhaustive=True,
)
async def og_microtasks_between_puts_abort(world: World) -> Any:
    return await kept(world)


class Throwing(DurableObject):
    m = 0

    def go(self) -> None:
        self.m = 1
        self.ctx.storage.kv.put("k", 1)
        raise Exception("app")

    def read(self) -> list[Any]:
        return [self.ctx.storage.kv.get("k"), self.m]


@program(
    "og-handler-throw-keeps-writes",
    bindings={"D": Throwing},
    rules=("OG-18", "LC-30", "RPC-8", "LT-37"),
    forbidden=lambda o: None if o["later"] == [1, 1] else "LT-37: a throw rolled back, or reset the object",
    exhaustive=True,
)
async def og_handler_throw_keeps_writes(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    result = await settled(stub.go())
    return {"r": result, "later": await stub.read()}

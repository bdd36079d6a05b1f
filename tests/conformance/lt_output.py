"""LT-25 to LT-44: what leaves when, and what is durable."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from lumenize_sim import EXPLORED, Faults, World, gather
from lumenize_sim.objects import Request, Response
from tests.conformance.lt_parts import EXACT, Logging, log, logged, lt, outcome_of, seconds, thrown
from tests.conformance.program import ISOLATE

GROUP = "10.3 Output gate and durability"
test: Callable[..., Any] = partial(lt, group=GROUP)

FLUSH_FAILED = (
    "Error: Internal error in Durable Object storage write caused object to be reset; reference = simulated "
    "[durableObjectReset]"
)
FLUSH_TIMEOUT = (
    "Error: Durable Object storage operation exceeded timeout which caused object to be reset. "
    "[overloaded durableObjectReset]"
)


class Writer(Logging):
    async def put(self, **options: Any) -> str:
        await self.ctx.storage.put("a", 1, **options)
        return "ok"

    async def put_unconfirmed(self) -> str:
        return await self.put(allow_unconfirmed=True)

    async def put_and_sync(self) -> str:
        await self.put(allow_unconfirmed=True)
        await self.ctx.storage.sync()
        log("synced")
        return "ok"

    async def put_and_tell(self) -> str:
        await self.ctx.storage.put("a", 1)
        await self.env.OUT.hear("a")
        return "ok"

    def put_and_call(self) -> None:
        self.ctx.storage.put("a", 1)
        self.env.OUT.hear("after the write")

    def call_and_put(self) -> None:
        self.env.OUT.hear("before the write")
        self.ctx.storage.put("a", 1)

    async def put_and_never(self) -> None:
        self.ctx.storage.put("a", 1)
        await trio.sleep_forever()

    async def get(self) -> Any:
        return await self.ctx.storage.get("a")

    def nothing(self) -> str:
        return "nothing"

    async def coalesced(self) -> None:
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t(n)")
        await self.ctx.storage.sync()
        self.ctx.storage.put("a", 1)
        self.ctx.storage.put("b", 2)
        self.ctx.storage.sql.exec("INSERT INTO t VALUES(3)")

    async def split(self) -> None:
        self.ctx.storage.put("a", 1)
        await self.f()
        self.ctx.storage.put("b", 2)

    async def awaited(self) -> None:
        await self.ctx.storage.put("a", 1)
        await self.ctx.storage.put("b", 2)

    def put_and_throw(self) -> None:
        self.m = "kept"
        self.ctx.storage.put("a", 1)
        raise ValueError("E")

    async def throw_in_transaction_sync(self) -> Any:
        def body() -> None:
            self.ctx.storage.kv.put("a", 1)
            raise ValueError("E")

        try:
            self.ctx.storage.transaction_sync(body)
        except ValueError:
            self.ctx.storage.kv.put("b", 2)
        return sorted(await self.ctx.storage.list())

    async def throw_in_transaction(self) -> None:
        self.m = "kept"

        async def body(_: Any) -> None:
            await self.ctx.storage.put("a", 1)
            await self.f()
            raise ValueError("E")

        await self.ctx.storage.transaction(body)

    async def put_and_abort(self) -> None:
        self.m = "kept"
        self.ctx.storage.put("a", 1)
        try:
            self.ctx.abort("x")
        except Exception:
            log("caught")
        log("y")

    async def put_sync_and_abort(self) -> None:
        self.ctx.storage.put("a", 1)
        await self.ctx.storage.sync()
        self.ctx.abort()

    def fetch(self, request: Request) -> Response:
        self.ctx.storage.put("a", 1)
        raise ValueError("E")


D = {"D": Writer}


@test(
    "LT-25",
    "OG-10",
    bindings=D,
    allowed=[[FLUSH_FAILED, None]],
    never={"an acknowledged write was lost": lambda o: o[0] == "ok"},
    exhaustive=True,
    title="write and reply, the flush fails",
)
async def lt_25(world: World) -> Any:
    world.object("D", "o").fail_next_flush()
    answer = await outcome_of(world.env.D.get_by_name("o").put())
    return [answer, await world.env.D.get_by_name("o").get()]


@test(
    "LT-26",
    "OG-10",
    bindings=D,
    allowed=[[FLUSH_FAILED, []]],
    never={"X was called": lambda o: o[1] != []},
    exhaustive=True,
    title="write and call out, the flush fails",
)
async def lt_26(world: World) -> Any:
    world.object("D", "o").fail_next_flush()
    answer = await outcome_of(world.env.D.get_by_name("o").put_and_tell())
    await world.settle()
    return [answer, logged()]


@test(
    "LT-28 call",
    "OG-9",
    bindings=D,
    allowed=[["before the write", []]],
    options=EXACT,
    exhaustive=True,
    title="send, then write, with a slow flush (a call)",
)
async def lt_28_call(world: World) -> Any:
    """In one turn: what was sent before the write does not wait for it, and what was sent after it does."""
    for name in ("o", "p"):
        world.object("D", name).slow_next_flush(1)
    world.env.D.get_by_name("o").call_and_put()
    await world.advance(0.5)
    first = logged()
    ISOLATE.pop("log")
    world.env.D.get_by_name("p").put_and_call()
    await world.advance(0.5)
    return [*first, logged()]


@test(
    "LT-29",
    "OG-6",
    "OG-1",
    bindings=D,
    allowed=[[1, 1.0]],
    never={"the reply left earlier": lambda o: o[1] < 1, "the write was not seen": lambda o: o[0] is None},
    options=EXACT,
    exhaustive=True,
    title="a reader of what is not durable yet",
)
async def lt_29(world: World) -> Any:
    world.object("D", "o").slow_next_flush(1)
    stub = world.env.D.get_by_name("o")
    stub.put_and_never()
    value = await stub.get()
    return [value, seconds(world)]


class Channels(Logging):
    """Replies in one turn, writes in the next."""

    def nothing(self) -> str:
        return "nothing"

    def put(self) -> str:
        self.ctx.storage.put("b", 1)
        return "ok"


@test(
    "LT-30",
    "OG-3",
    bindings={"D": Channels},
    allowed=[["ok", FLUSH_FAILED, 1.0]],
    never={"the reply that was taken before failed": lambda o: o[0] == FLUSH_FAILED},
    options=EXACT,
    exhaustive=True,
    title="the reply is taken before a write that fails",
)
async def lt_30(world: World) -> Any:
    """The first reply waits for a slow commit; the commit after it fails meanwhile or later."""
    view = world.object("D", "o")
    view.slow_next_flush(1)
    stub = world.env.D.get_by_name("o")
    first = stub.put()
    await world.advance(0.5)
    view.fail_next_flush()
    second = stub.put()
    return [await outcome_of(first), await outcome_of(second), seconds(world)]


@test(
    "LT-31",
    "OG-12",
    "OG-23",
    bindings=D,
    allowed=[["ok", 0.0, 2, None]],
    never={"the reply waited": lambda o: o[1] > 0, "it survived the failed flush": lambda o: o[2] == 1},
    options=EXACT,
    exhaustive=True,
    title="an unconfirmed write does not hold the reply; its failure resets",
)
async def lt_31(world: World) -> Any:
    view = world.object("D", "o")
    view.fail_next_flush()
    answer = await outcome_of(world.env.D.get_by_name("o").put_unconfirmed())
    at = seconds(world)
    await world.settle()
    value = await world.env.D.get_by_name("o").get()
    return [answer, at, view.incarnations, value]


@test(
    "LT-31 slow",
    "OG-23",
    bindings=D,
    allowed=[["ok", 0.0]],
    never={"the reply waited": lambda o: o[1] > 0},
    options=EXACT,
    exhaustive=True,
    title="the same while the flush takes a second",
)
async def lt_31_slow(world: World) -> Any:
    world.object("D", "o").slow_next_flush(1)
    return [await outcome_of(world.env.D.get_by_name("o").put_unconfirmed()), seconds(world)]


@test(
    "LT-32",
    "OG-26",
    bindings=D,
    allowed=[["ok", 1.0, FLUSH_FAILED, ["synced"]]],
    options=EXACT,
    exhaustive=True,
    title="sync waits for an unconfirmed write; its failure resets",
)
async def lt_32(world: World) -> Any:
    world.object("D", "o").slow_next_flush(1)
    answer = await outcome_of(world.env.D.get_by_name("o").put_and_sync())
    at = seconds(world)
    world.object("D", "p").fail_next_flush()
    return [answer, at, await outcome_of(world.env.D.get_by_name("p").put_and_sync()), logged()]


class Synced(Logging):
    async def first(self) -> None:
        self.ctx.storage.put("a", 1)
        await self.ctx.storage.sync()
        log("A")

    def second(self) -> None:
        log("B")


@test(
    "LT-33",
    "IG-12",
    bindings={"D": Synced},
    allowed=[["B", "A"]],
    options=EXACT,
    exhaustive=True,
    title="sync lets others in",
)
async def lt_33(world: World) -> Any:
    world.object("D", "o").slow_next_flush(1)
    first = world.env.D.get_by_name("o").first()
    await world.advance(0.5)
    await gather(first, world.env.D.get_by_name("o").second())
    return logged()


EVERYWHERE = ("crash", "failed-flush")


async def wreck(world: World, method: str) -> None:
    """Call ``method``; something goes wrong at the boundary that is planned."""
    await outcome_of(world.env.D.get_by_name("o").call(method))
    await world.settle()


@test(
    "LT-34",
    "OG-15",
    bindings=D,
    allowed=["", "ab3"],
    never={"some of one turn's writes": lambda o: o not in ("", "ab3")},
    every=EVERYWHERE,
    title="writes of one turn, a crash at any point",
)
async def lt_34(world: World) -> Any:
    await wreck(world, "coalesced")
    storage = world.object("D", "o").storage
    tables = storage.sql.exec("SELECT name FROM sqlite_schema WHERE name = 't'")
    rows = storage.sql.exec("SELECT n FROM t") if tables else []
    return "".join([*storage.list(), *(str(row["n"]) for row in rows)])


@test(
    "LT-35",
    "OG-17",
    "OG-20",
    bindings=D,
    allowed=["", "a", "ab"],
    never={"the later write without the earlier": lambda o: o == "b"},
    every=EVERYWHERE,
    title="writes split by a fetch, a crash at any point",
)
async def lt_35(world: World) -> Any:
    await wreck(world, "split")
    return "".join(world.object("D", "o").storage.list())


@test(
    "LT-36",
    "OG-16",
    bindings=D,
    allowed=["", "ab"],
    also={"OG-16: only documentation says that an awaited put splits": ["a"]},
    never={"the later write without the earlier": lambda o: o == "b"},
    every=EVERYWHERE,
    title="an awaited put between, a crash at any point",
)
async def lt_36(world: World) -> Any:
    await wreck(world, "awaited")
    return "".join(world.object("D", "o").storage.list())


@test(
    "LT-36 split",
    "OG-16",
    bindings=D,
    allowed=["", "a", "ab"],
    never={"the later write without the earlier": lambda o: o == "b"},
    options={"awaited_writes_split": EXPLORED},
    faults=Faults(kinds=EVERYWHERE),
    title="the same where it is open whether an await splits (open point 1)",
)
async def lt_36_split(world: World) -> Any:
    return await lt_36.drive(world)


@test(
    "LT-37",
    "OG-18",
    "LC-30",
    bindings=D,
    allowed=[["ValueError: E [remote]", 1, "kept"]],
    never={"rolled back": lambda o: o[1] is None, "reset": lambda o: o[2] is None},
    exhaustive=True,
    title="a throw after a write",
)
async def lt_37(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    return [await outcome_of(stub.put_and_throw()), await stub.get(), await stub.memory()]


@test(
    "LT-38",
    "OG-27",
    bindings=D,
    allowed=[["b"]],
    never={"the rolled back write stayed": lambda o: "a" in o},
    exhaustive=True,
    title="a throw in transactionSync",
)
async def lt_38(world: World) -> Any:
    return await world.env.D.get_by_name("o").throw_in_transaction_sync()


@test(
    "LT-39",
    "IG-30",
    "OG-28",
    bindings=D,
    allowed=[["ValueError: E [remote]", None, "kept"]],
    never={"a dirty read": lambda o: o[1] is not None, "reset": lambda o: o[2] is None},
    options=EXACT,
    exhaustive=True,
    title="an asynchronous transaction rolls back",
)
async def lt_39(world: World) -> Any:
    """A reader that arrives during the transaction comes after it."""
    first = world.env.D.get_by_name("o").throw_in_transaction()
    await world.advance(0.05)
    value = await world.env.D.get_by_name("o").get()
    return [await outcome_of(first), value, await world.env.D.get_by_name("o").memory()]


@test(
    "LT-40 fetch",
    "OG-8",
    bindings=D,
    allowed=[["ValueError: E [remote]", 1.0]],
    never={"before the flush": lambda o: o[1] < 1},
    options=EXACT,
    exhaustive=True,
    title="the error of a fetch handler waits",
)
async def lt_40_fetch(world: World) -> Any:
    world.object("D", "o").slow_next_flush(1)
    return [await outcome_of(world.env.D.get_by_name("o").fetch("https://o/")), seconds(world)]


@test(
    "LT-40 RPC",
    "OG-8",
    bindings=D,
    allowed=[["ValueError: E [remote]", 0.0]],
    options=EXACT,
    exhaustive=True,
    title="the error of a method does not",
)
async def lt_40_rpc(world: World) -> Any:
    world.object("D", "o").slow_next_flush(1)
    return [await outcome_of(world.env.D.get_by_name("o").put_and_throw()), seconds(world)]


@test(
    "LT-40 RPC waits",
    "OG-8",
    bindings=D,
    allowed=[["ValueError: E [remote]", 1.0]],
    options={**EXACT, "rpc_errors_wait": True},
    exhaustive=True,
    title="the error of a method waits, where the option says so",
)
async def lt_40_rpc_waits(world: World) -> Any:
    return await lt_40_rpc.drive(world)


@test(
    "LT-41",
    "OG-10",
    bindings=D,
    allowed=[FLUSH_FAILED.replace("[", "[remote ")],
    never={"the handler's own error": lambda o: "ValueError" in o},
    exhaustive=True,
    title="a failing gate replaces the error of a fetch handler",
)
async def lt_41(world: World) -> Any:
    world.object("D", "o").fail_next_flush()
    return await outcome_of(world.env.D.get_by_name("o").fetch("https://o/"))


@test(
    "LT-42",
    "LC-32",
    bindings=D,
    allowed=thrown(["Error: x [durableObjectReset]", None, None, []]),
    never={"stored": lambda o: o[1] is not None, "code went on": lambda o: o[3] != []},
    exhaustive=True,
    title="abort discards the turn",
)
async def lt_42(world: World) -> Any:
    answer = await outcome_of(world.env.D.get_by_name("o").put_and_abort())
    stub = world.env.D.get_by_name("o")
    return [answer, await stub.get(), await stub.memory(), logged()]


@test(
    "LT-43",
    "LC-32",
    bindings=D,
    allowed=thrown(["Error: Application called abort() to reset Durable Object. [durableObjectReset]", 1]),
    exhaustive=True,
    title="abort after the write is durable",
)
async def lt_43(world: World) -> Any:
    answer = await outcome_of(world.env.D.get_by_name("o").put_sync_and_abort())
    return [answer, await world.env.D.get_by_name("o").get()]


@test(
    "LT-44",
    "OG-5",
    bindings=D,
    allowed=[[FLUSH_TIMEOUT, 30.0, None]],
    options=EXACT,
    exhaustive=True,
    title="a flush that never ends",
)
async def lt_44(world: World) -> Any:
    world.object("D", "o").slow_next_flush(1e6)
    answer = await outcome_of(world.env.D.get_by_name("o").put())
    return [answer, seconds(world), await world.env.D.get_by_name("o").get()]

"""What the reference reports of further runs of the real runtime, about gates and storage, beside the file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from lumenize_sim import UNDEFINED, DurableObject, Pending, World, gather
from lumenize_sim.clone import BigInt
from tests.conformance.errors import attempt, settled
from tests.conformance.program import ISOLATE, program

GROUP = "seen besides"
seen: Callable[..., Any] = partial(program, group=GROUP)


class Sections(DurableObject):
    """Critical sections in every position."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []
        ISOLATE["constructions"] = ISOLATE.get("constructions", 0) + 1

    def section(self, name: str, wait_s: float = 0.005) -> Pending[Any]:
        async def run() -> str:
            self.log.append(f"{name} start")
            await trio.sleep(wait_s)
            self.log.append(f"{name} end")
            return name

        return self.ctx.block_concurrency_while(run)

    async def two(self) -> list[Any]:
        first, second = self.section("a"), self.section("b")
        self.log.append("called")
        await first
        self.log.append("after a")
        await second
        self.log.append("after b")
        return self.log

    async def nested(self) -> list[Any]:
        async def outer() -> None:
            self.log.append("outer start")
            await self.section("inner")
            self.log.append("outer end")

        await self.ctx.block_concurrency_while(outer)
        return self.log

    async def inner_fails(self) -> None:
        async def inner() -> None:
            raise Exception("inner")

        async def outer() -> str:
            try:
                await self.ctx.block_concurrency_while(inner)
            except Exception:
                self.note("rescued")
            return "outer"

        try:
            await self.ctx.block_concurrency_while(outer)
        finally:
            self.note("finally")

    def note(self, what: Any) -> None:
        ISOLATE.setdefault("notes", []).append(what)
        self.log.append(what)

    async def begun_before(self) -> str:
        await Pending("never")
        return "done"

    async def fails(self) -> None:
        async def section() -> None:
            await trio.sleep(0.005)
            raise TypeError("in the section")

        try:
            await self.ctx.block_concurrency_while(section)
        except Exception:
            self.note("caught")

    async def forever(self) -> None:
        async def section() -> None:
            await Pending("never")

        await self.ctx.block_concurrency_while(section)

    async def calls_itself(self) -> None:
        async def section() -> None:
            await self.env.D.get(self.ctx.id).constructions()

        await self.ctx.block_concurrency_while(section)

    def constructions(self) -> int:
        return int(ISOLATE["constructions"])

    async def deep(self, levels: int) -> str:
        async def level(left: int) -> str:
            if not left:
                return "bottom"

            async def inner() -> str:
                return await level(left - 1)

            return await self.ctx.block_concurrency_while(inner)

        return await level(levels)

    async def transacted(self) -> Any:
        storage = self.ctx.storage

        async def inside(txn: Any) -> str:
            await txn.put("a", 1)
            txn.rollback()
            again = await settled(txn.put("b", 1))
            return str(again.get("err", again).get("message", again))

        value = await storage.transaction(inside)
        kept: list[Any] = []

        async def keep(txn: Any) -> None:
            kept.append(txn)
            await txn.put("c", 1)

        await storage.transaction(keep)
        late = await settled(kept[0].put("d", 1))
        inside_all = await settled(storage.transaction(lambda txn: storage.delete_all()))
        return {
            "rolledBack": value,
            "late": late["err"]["message"],
            "keys": list(await storage.list()),
            "deleteAll": inside_all["err"]["message"],
        }


BUSY_RESET = (
    "A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable "
    "Object was reset."
)


@seen(
    "seen-two-sections",
    title="two sections of one turn run in order, and the caller goes on between them",
    bindings={"D": Sections},
    rules=("IG-19", "IG-25", "IG-28"),
    expected=[["called", "a start", "a end", "after a", "b start", "b end", "after b"]],
    exhaustive=True,
)
async def seen_two_sections(world: World) -> Any:
    return await world.env.D.get_by_name("d").two()


@seen(
    "seen-nested-sections",
    title="an inner section runs within the outer one",
    bindings={"D": Sections},
    rules=("IG-27",),
    expected=[["outer start", "inner start", "inner end", "outer end"]],
    exhaustive=True,
)
async def seen_nested_sections(world: World) -> Any:
    return await world.env.D.get_by_name("d").nested()


@seen(
    "seen-inner-section-fails",
    title="a failing inner section breaks the object: nothing outside of it can rescue it",
    bindings={"D": Sections},
    rules=("IG-20", "IG-29"),
    expected=[{"r": "inner", "reset": True, "notes": [], "constructions": 2}],
    exhaustive=True,
)
async def seen_inner_section_fails(world: World) -> Any:
    result = await settled(world.env.D.get_by_name("d").inner_fails())
    constructions = await world.env.D.get_by_name("d").constructions()
    return {
        "r": result["err"]["message"],
        "reset": result["err"].get("durableObjectReset"),
        "notes": ISOLATE.get("notes", []),
        "constructions": constructions,
    }


@seen(
    "seen-section-fails-for-all",
    title="a failing section fails calls begun before it and calls behind it, and no catch runs",
    bindings={"D": Sections},
    rules=("IG-20", "IG-32", "LC-45"),
    expected=[[["TypeError", "in the section", True]] * 3 + [[]]],
    also={"RPC-1: a call may be under way for a while": lambda o: o[1] == ["TypeError", "in the section", True]},
    exhaustive=True,
)
async def seen_section_fails_for_all(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    calls = [stub.begun_before(), stub.fails(), stub.constructions()]
    results = [await settled(call) for call in calls]
    errors = [r.get("err", {}) for r in results]
    told = [[e.get("name"), e.get("message"), e.get("durableObjectReset")] for e in errors]
    return [*told, ISOLATE.get("notes", [])]


@seen(
    "seen-section-never-ends",
    title="a section that awaits what never settles, or itself, is cut off after 30 s",
    bindings={"D": Sections},
    rules=("IG-21", "IG-24", "RPC-12"),
    expected=[[[BUSY_RESET, True, 30], [BUSY_RESET, True, 30]]],
    also={"RPC-1: a call may be under way for a while": lambda o: all(30 <= s <= 34 for _, _, s in o)},
    exhaustive=True,
)
async def seen_section_never_ends(world: World) -> Any:
    found = []
    for name, method in (("d1", "forever"), ("d2", "calls_itself")):
        began = world.now()
        result = await settled(getattr(world.env.D.get_by_name(name), method)())
        error = result["err"]
        found.append([error["message"], error.get("overloaded"), round(world.now() - began)])
    return found


@seen(
    "seen-section-depth",
    title="there is no limit of nesting in the recorded version",
    bindings={"D": Sections},
    rules=("IG-27",),
    expected=["bottom"],
    exhaustive=True,
)
async def seen_section_depth(world: World) -> Any:
    return await world.env.D.get_by_name("d").deep(100)


@seen(
    "seen-transaction-texts",
    title="a transaction that was rolled back or has ended refuses operations in the platform's words",
    bindings={"D": Sections},
    rules=("OG-28", "OG-29", "OG-30"),
    expected=[
        {
            "rolledBack": "Cannot put() on rolled back transaction",
            "late": "Cannot call put() on transaction that has already committed: did you move `txn` outside of the "
            "closure?",
            "keys": ["c"],
            "deleteAll": "Cannot call deleteAll() within a transaction",
        }
    ],
    exhaustive=True,
)
async def seen_transaction_texts(world: World) -> Any:
    return await world.env.D.get_by_name("d").transacted()


class Sql(DurableObject):
    """The SQL API at its edges."""

    def one(self, query: str, *bindings: Any) -> Any:
        return self.ctx.storage.sql.exec(query, *bindings).one()

    def go(self) -> Any:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE t (i INTEGER, x, s TEXT)")
        sql.exec("INSERT INTO t VALUES (?, ?, ?)", 1, 2, True)
        cursor = sql.exec("SELECT 1 AS a, 2 AS a")

        def message(act: Callable[[], Any]) -> Any:
            found = attempt(act)
            return found["err"]["message"] if "err" in found else found

        return {
            "types": self.one("SELECT typeof(?) n, typeof(?) s, typeof(?) z, typeof(?) b", 1, "s", None, b"b"),
            "bool": self.one("SELECT ? AS t, ? AS f", True, False),
            "object": self.one("SELECT ? AS o", {"a": 1}),
            "undefined": self.one("SELECT typeof(?) AS u", UNDEFINED),
            "affinity": self.one("SELECT typeof(i) AS i, typeof(x) AS x, s FROM t"),
            "large": self.one("SELECT 9007199254740993 AS n"),
            "raw": [list(row) for row in sql.exec("SELECT 1 AS a, 2 AS a").raw()],
            "names": list(cursor.column_names),
            "same": cursor.to_array(),
            "none": message(lambda: sql.exec("SELECT 1 WHERE 0").one()),
            "many": message(lambda: sql.exec("SELECT 1 UNION SELECT 2").one()),
            "bindings": message(lambda: sql.exec("SELECT ?", 1, 2)),
            "bigint": attempt(lambda: sql.exec("SELECT ?", BigInt(1)))["err"]["name"],
            "syntax": message(lambda: sql.exec("SELEC 1")),
            "table": message(lambda: sql.exec("SELECT * FROM missing")),
            "pragma": message(lambda: sql.exec("PRAGMA user_version")),
            "hidden": message(lambda: sql.exec("SELECT * FROM _cf_KV")),
            "several": sql.exec("SELECT 1 AS a; SELECT ? AS b", 5).to_array(),
        }

    def begin(self) -> Any:
        return attempt(lambda: self.ctx.storage.sql.exec("BEGIN"))["err"]["name"]

    def after_put(self) -> Any:
        self.ctx.storage.kv.put("k", 1)
        return attempt(lambda: self.ctx.storage.sql.exec("SELECT key FROM _cf_KV"))["err"]["message"]


@seen(
    "seen-sql",
    title="types, conversions and error texts of SQL",
    bindings={"D": Sql},
    rules=("ST-15", "ST-16", "ST-17", "ST-18", "ST-21", "ST-22"),
    expected=[
        {
            "types": {"n": "real", "s": "text", "z": "null", "b": "blob"},
            "bool": {"t": "true", "f": "false"},
            "object": {"o": "[object Object]"},
            "undefined": {"u": "null"},
            "affinity": {"i": "integer", "x": "real", "s": "true"},
            "large": {"n": 9007199254740992},
            "raw": [[1, 2]],
            "names": ["a", "a"],
            "same": [{"a": 2}],
            "none": "Expected exactly one result from SQL query, but got no results.",
            "many": "Expected exactly one result from SQL query, but got multiple results.",
            "bindings": "Wrong number of parameter bindings for SQL query.",
            "bigint": "TypeError",
            "syntax": 'near "SELEC": syntax error at offset 0: SQLITE_ERROR',
            "table": "no such table: missing: SQLITE_ERROR",
            "pragma": "not authorized: SQLITE_AUTH",
            "hidden": "no such table: _cf_KV: SQLITE_ERROR",
            "several": [{"b": 5}],
            "afterPut": "access to _cf_KV.key is prohibited: SQLITE_AUTH",
            "begin": "Error",
        }
    ],
    exhaustive=True,
)
async def seen_sql(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    found = await stub.go()
    return {**found, "afterPut": await stub.after_put(), "begin": await stub.begin()}


class Edges(DurableObject):
    """Key-value storage at its edges."""

    async def go(self) -> Any:
        storage, kv = self.ctx.storage, self.ctx.storage.kv
        kv.put("u", UNDEFINED)
        listed = [key for key, _ in kv.list()]
        first = kv.list()
        kv.put("a", 1)
        iterator = iter(first)
        kv.list()
        invalid = attempt(lambda: next(iterator))
        return {
            "listed": listed,
            "getUndefined": kv.get("u") is None,
            "deleteUndefined": kv.delete("u"),
            "invalidated": invalid.get("err", {}).get("message"),
            "entriesSkip": await settled(storage.put({"x": 1, "y": UNDEFINED})),
            "keys": list(await storage.list(prefix="x")) + list(await storage.list(prefix="y")),
            "both": (await settled(storage.list(start="a", start_after="a")))["err"]["message"],
            "limit": (await settled(storage.list(limit=0)))["err"]["message"],
            "emptyRange": dict(await storage.list(start="b", end="a")),
            "large": await settled(storage.put("large", "x" * (2 * 1024 * 1024 + 1))),
            "longKey": await settled(storage.put("k" * 3000, 1)),
            "many": await settled(storage.put({f"m{n:03}": n for n in range(129)})),
            "manyGet": len(await storage.get([f"m{n:03}" for n in range(129)])),
            "pitr": (await settled(storage.get_bookmark_for_time(1)))["err"]["message"],
            "bookmark": isinstance(await storage.get_current_bookmark(), str),
        }


@seen(
    "seen-storage-edges",
    title="undefined, iterators, ranges, and limits that the recorded version does not have",
    bindings={"D": Edges},
    rules=("ST-1", "ST-2", "ST-5", "ST-12", "ST-13", "ST-30"),
    expected=[
        {
            "listed": ["u"],
            "getUndefined": True,
            "deleteUndefined": True,
            "invalidated": "kv.list() iterator was invalidated because a new call to kv.list() was started. Only one "
            "kv.list() iterator can exist at a time.",
            "entriesSkip": {"ok": None},
            "keys": ["x"],
            "both": "list() cannot be called with both start and startAfter values.",
            "limit": "List limit must be positive.",
            "emptyRange": {},
            "large": {"ok": None},
            "longKey": {"ok": None},
            "many": {"ok": None},
            "manyGet": 129,
            "pitr": "This Durable Object's storage back-end does not implement point-in-time recovery.",
            "bookmark": True,
        }
    ],
    exhaustive=True,
)
async def seen_storage_edges(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class AsyncSync(DurableObject):
    """`transactionSync` with an async callback."""

    async def go(self) -> Any:
        storage = self.ctx.storage

        async def throws() -> None:
            storage.kv.put("a", 1)
            raise Exception("in the async callback")

        returned: Any = storage.transaction_sync(throws)
        failed = await settled(returned)
        nested: list[str] = []

        def outer() -> None:
            storage.kv.put("b", 1)

            def inner() -> None:
                storage.kv.put("c", 1)
                raise Exception("inner")

            try:
                storage.transaction_sync(inner)
            except Exception as error:
                nested.append(str(error))
            storage.kv.put("d", 1)

        storage.transaction_sync(outer)
        return {"failed": failed["err"]["message"], "nested": nested, "keys": [key for key, _ in storage.kv.list()]}


@seen(
    "seen-transaction-sync",
    title="an async callback is not rolled back, and an inner rollback leaves the outer transaction alive",
    bindings={"D": AsyncSync},
    rules=("OG-27",),
    expected=[{"failed": "in the async callback", "nested": ["inner"], "keys": ["a", "b", "d"]}],
    exhaustive=True,
)
async def seen_transaction_sync(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class Timers(DurableObject):
    """Two handlers that sleep for 0 ms and then call out."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    async def run(self, name: str) -> None:
        await trio.sleep(0)  # noqa: ASYNC115  # a timer of 0 ms, which ends the turn
        self.log.append(name)
        await self.env.E.get_by_name("e").echo()
        self.log.append(name)

    def read(self) -> list[str]:
        return self.log

    def fractions(self) -> Any:
        fired: Pending[Any] = Pending("fired")
        order: list[str] = []
        self.ctx.set_timeout(lambda: order.append("1.9"), 0.0019)
        self.ctx.set_timeout(lambda: order.append("1.0"), 0.001)
        self.ctx.set_timeout(lambda: order.append("nan"), float("nan"))
        self.ctx.set_timeout(lambda: order.append("-5"), -0.005)
        timer = self.ctx.set_timeout(lambda: order.append("cleared"), 0.001)
        self.ctx.clear_timeout(timer)
        self.order = order
        return fired.done

    def fired(self) -> list[str]:
        return self.order


class Echo(DurableObject):
    def echo(self) -> str:
        return "echo"


@seen(
    "seen-timers-and-calls",
    title="a quick call ends before the next timer of equal due time fires",
    bindings={"D": Timers, "E": Echo},
    rules=("TM-4",),
    expected=[["a", "a", "b", "b"]],
    also={"TM-4: other ready events may run between two timers": lambda o: sorted(o) == ["a", "a", "b", "b"]},
    exhaustive=True,
)
async def seen_timers_and_calls(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(stub.run("a"), stub.run("b"))
    return await stub.read()


@seen(
    "seen-timer-delays",
    title="a delay loses its fraction, and what is negative or no number is 0",
    bindings={"D": Timers},
    rules=("TM-3", "TM-4"),
    expected=[["nan", "-5", "1.9", "1.0"]],
    also={
        "TM-3: with a moving clock two calls of one turn may start from different milliseconds": lambda o: (
            sorted(o) == ["-5", "1.0", "1.9", "nan"]
        )
    },
    seeds=True,
)
async def seen_timer_delays(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.fractions()
    await world.advance(1)
    return await stub.fired()

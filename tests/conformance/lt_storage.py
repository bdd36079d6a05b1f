"""LT-45 to LT-51: values, keys, cursors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lumenize_sim import DurableObject, World
from tests.conformance.lt_parts import EPOCH_MS, Logging, lt, outcome_of, said

GROUP = "10.4 Storage"
test: Callable[..., Any] = partial(lt, group=GROUP, exhaustive=True)

KEYS = ("a", "B", "\u00e9", "\U0001f600", "\ufffd")
ORDER = ["B", "a", "\u00e9", "\ufffd", "\U0001f600"]
HOUR_MS = 3_600_000
INVALIDATED = (
    "Error: kv.list() iterator was invalidated because a new call to kv.list() was started. "
    "Only one kv.list() iterator can exist at a time."
)


class Values(Logging):
    async def clone(self) -> Any:
        storage, one = self.ctx.storage, {"x": 1}
        await storage.put("k", one)
        one["x"] = 2
        first, second = await storage.get("k"), await storage.get("k")
        first["y"] = 1
        return [second["x"], first is second, "y" in await storage.get("k")]

    async def keys(self) -> Any:
        storage = self.ctx.storage
        for key in KEYS:
            await storage.put(key, key)
        return {
            "list": [*await storage.list()],
            "get": [*await storage.get(list(KEYS))],
            "sync": [key for key, _ in storage.kv.list()],
            "reverse": [*await storage.list(reverse=True)],
            "start": [*await storage.list(reverse=True, start="a", end="\U0001f600", limit=2)],
            "after": [*await storage.list(start_after="a")],
            "prefix": [*await storage.list(prefix="a", end="B")],
        }

    async def oversized(self) -> Any:
        error = await outcome_of(self.ctx.storage.put({"a": 1, "b": "x" * 5_000_000, "c": 3}))
        return [error.partition(":")[0], sorted(await self.ctx.storage.list())]

    async def wipe(self) -> Any:
        await self.ctx.storage.set_alarm(EPOCH_MS + HOUR_MS)
        await self.ctx.storage.put("a", 1)
        await self.ctx.storage.delete_all()
        return [await self.ctx.storage.get_alarm(), [*await self.ctx.storage.list()]]

    def alarm(self, info: Any) -> None: ...

    def cursor(self) -> Any:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE t(n INTEGER)")
        for n in (1, 2):
            sql.exec("INSERT INTO t VALUES(?)", n)
        cursor = sql.exec("SELECT n FROM t")
        rows = [next(cursor)["n"]]
        sql.exec("INSERT INTO t VALUES(3)")
        return rows + [row["n"] for row in cursor]

    def lists(self) -> Any:
        kv = self.ctx.storage.kv
        for key in "abc":
            kv.put(key, 1)
        first = iter(kv.list())
        keys = [next(first)[0]]
        second = iter(kv.list())
        keys.append(next(second)[0])
        try:
            next(first)
        except Exception as error:
            return [*keys, said(error)]
        return [*keys, "went on"]

    def begin(self) -> Any:
        self.m = "kept"
        self.ctx.storage.kv.put("a", 1)
        try:
            self.ctx.storage.sql.exec("BEGIN")
        except Exception as error:
            return "transaction_sync" in str(error) or "transactionSync" in str(error)
        return "accepted"


D: dict[str, type[DurableObject]] = {"D": Values}


@test(
    "LT-45",
    "ST-6",
    bindings=D,
    allowed=[[1, False, False]],
    never={"a later mutation was stored": lambda o: o[0] == 2},
    title="values are copied by put and by get",
)
async def lt_45(world: World) -> Any:
    return await world.env.D.get_by_name("o").clone()


@test(
    "LT-46",
    "ST-5",
    "ST-10",
    bindings=D,
    allowed=[
        {
            "list": ORDER,
            "get": ORDER,
            "sync": ORDER,
            "reverse": ORDER[::-1],
            "start": ["\ufffd", "\u00e9"],
            "after": ORDER[2:],
            "prefix": [],
        }
    ],
    never={"UTF-16 order": lambda o: o["list"].index("\U0001f600") < o["list"].index("\ufffd")},
    title="keys are ordered by their UTF-8 bytes",
)
async def lt_46(world: World) -> Any:
    return await world.env.D.get_by_name("o").keys()


@test(
    "LT-47",
    "ST-3",
    bindings=D,
    allowed=[["Error", []]],
    never={"some were stored": lambda o: o[1] != []},
    title="put(entries) with one that is too large",
)
async def lt_47(world: World) -> Any:
    return await world.env.D.get_by_name("o").oversized()


@test(
    "LT-48",
    "ST-27",
    bindings=D,
    allowed=[[None, []]],
    title="deleteAll takes the alarm",
    options={"compatibility_date": "2026-02-24"},
)
async def lt_48(world: World) -> Any:
    return await world.env.D.get_by_name("o").wipe()


@test(
    "LT-48 before",
    "ST-27",
    bindings=D,
    allowed=[[EPOCH_MS + HOUR_MS, []]],
    title="deleteAll leaves the alarm, before 2026-02-24",
    options={"compatibility_date": "2026-02-23"},
)
async def lt_48_before(world: World) -> Any:
    return await world.env.D.get_by_name("o").wipe()


@test(
    "LT-49",
    "ST-19",
    bindings=D,
    allowed=[[1, 2, 3]],
    also={"ST-19: either result set": [[1, 2]]},
    title="a cursor across a write",
)
async def lt_49(world: World) -> Any:
    return await world.env.D.get_by_name("o").cursor()


@test(
    "LT-50",
    "ST-13",
    bindings=D,
    allowed=[
        [
            "a",
            "a",
            INVALIDATED,
        ]
    ],
    title="a live kv.list is invalidated by the next",
)
async def lt_50(world: World) -> Any:
    return await world.env.D.get_by_name("o").lists()


@test("LT-51", "ST-21", bindings=D, allowed=[[True, "kept", 1]], title="BEGIN is refused, without a reset")
async def lt_51(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    return [await stub.begin(), await stub.memory(), world.object("D", "o").storage.kv.get("a")]

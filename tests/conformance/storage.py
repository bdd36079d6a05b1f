"""Recorded programs about transactions, copies and keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import trio

from lumenize_sim import DurableObject, World
from lumenize_sim.clone import UNDEFINED, URL, BigInt, Headers, RangeError, Uint8Array
from lumenize_sim.objects import Pending
from tests.conformance.errors import attempt, settled
from tests.conformance.program import program


class SyncThrow(DurableObject):
    m = 0

    def go(self) -> Any:
        storage = self.ctx.storage
        storage.sql.exec("CREATE TABLE t (x INTEGER)")
        storage.kv.put("a", "old")

        def inside() -> None:
            self.m = 1
            storage.kv.put("a", "new")
            storage.sql.exec("INSERT INTO t VALUES (1)")
            raise Exception("rb")

        message = None
        try:
            storage.transaction_sync(inside)
        except Exception as error:
            message = str(error)
        rows = storage.sql.exec("SELECT COUNT(*) AS n FROM t").one()["n"]
        return {"msg": message, "a": storage.kv.get("a"), "rows": rows, "m": self.m}


@program(
    "tx-sync-throw",
    bindings={"D": SyncThrow},
    rules=("OG-27", "LT-38"),
    forbidden=lambda o: None if (o["a"], o["rows"]) == ("old", 0) else "LT-38: not rolled back",
    exhaustive=True,
)
async def tx_sync_throw(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class AsyncCallback(DurableObject):
    async def go(self) -> Any:
        storage = self.ctx.storage

        async def inside() -> None:
            storage.kv.put("a", 1)
            await Pending.of(None)
            storage.kv.put("b", 1)

        returned = storage.transaction_sync(inside)
        # An async function does nothing by itself here: let it run, as the platform's has begun to.
        self.ctx.wait_until(returned)
        await trio.sleep(0.005)
        name = "[object Promise]" if hasattr(returned, "__await__") else str(returned)
        return {"r": {"returned": name}, "keys": [key for key, _ in storage.kv.list()]}


@program("tx-sync-async-callback", bindings={"D": AsyncCallback}, rules=("OG-27",), exhaustive=True)
async def tx_sync_async_callback(world: World) -> Any:
    return await settled(world.env.D.get_by_name("d").go())


class AsyncThrow(DurableObject):
    async def go(self) -> Any:
        storage = self.ctx.storage
        await storage.put("a", 1)

        async def inside(txn: Any) -> None:
            await txn.put("a", 2)
            await txn.put("b", 2)
            raise Exception("rb")

        message = None
        try:
            await storage.transaction(inside)
        except Exception as error:
            message = str(error)
        return {"msg": message, "all": [[key, value] for key, value in (await storage.list()).items()]}


@program(
    "tx-async-throw",
    bindings={"D": AsyncThrow},
    rules=("OG-28", "IG-30"),
    forbidden=lambda o: None if o["all"] == [["a", 1]] else "OG-28: not rolled back",
    exhaustive=True,
)
async def tx_async_throw(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class AsyncBlocks(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    async def go(self) -> None:
        async def inside(txn: Any) -> None:
            txn.put("a", 1)
            self.log.append("t1")
            await trio.sleep(0.010)
            self.log.append("t2")

        await self.ctx.storage.transaction(inside)
        self.log.append("done")

    def note(self) -> None:
        self.log.append("note")

    def read(self) -> list[str]:
        return self.log


@program(
    "tx-async-blocks-others",
    bindings={"D": AsyncBlocks},
    rules=("IG-22", "IG-25", "OG-28", "LT-39"),
    forbidden=lambda o: None if o[:3] == ["t1", "t2", "done"] else "LT-39: another event ran inside the transaction",
    exhaustive=True,
)
async def tx_async_blocks_others(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    going, noting = stub.go(), stub.note()
    await going
    await noting
    return await stub.read()


class Copies(DurableObject):
    async def go(self) -> Any:
        kv = self.ctx.storage.kv
        o = {"x": 1}
        kv.put("k", o)
        o["x"] = 2
        g1 = kv.get("k")
        g1x = g1["x"]
        g1["x"] = 3
        g2 = kv.get("k")
        o2 = {"x": 1}
        putting = self.ctx.storage.put("j", o2)
        o2["x"] = 2
        await putting
        a1 = await self.ctx.storage.get("j")
        a1x = a1["x"]
        a1["x"] = 3
        a2 = await self.ctx.storage.get("j")
        return {"sync": [g1x, g2["x"], g1 is g2], "async": [a1x, a2["x"], a1 is a2]}


@program(
    "store-value-cloning",
    bindings={"D": Copies},
    rules=("ST-6", "LT-45"),
    forbidden=lambda o: None if o["sync"] == o["async"] == [1, 1, False] else "LT-45: a stored value is no snapshot",
    exhaustive=True,
)
async def store_value_cloning(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


def shown(key: str) -> str:
    """Beyond ASCII as a code point."""
    return key if key.isascii() else f"U+{ord(key):X}"


class Keys(DurableObject):
    async def go(self) -> Any:
        storage, kv = self.ctx.storage, self.ctx.storage.kv
        for key in ("b", "B", "a10", "a2", "\u00e9", "\ufffd", "\U0001f600", "z"):
            await storage.put(key, 1)

        async def listed(**bounds: Any) -> list[str]:
            return [shown(key) for key in await storage.list(**bounds)]

        return {
            "all": await listed(),
            "rev": await listed(reverse=True),
            "prefix": await listed(prefix="a"),
            "range": await listed(start="a10", end="b"),
            "startAfter": await listed(start_after="a2", end="z\u0000"),
            "revlimit": await listed(reverse=True, limit=2),
            "multiGetOrder": [shown(key) for key in await storage.get(["z", "b", "missing", "B"])],
            "getMissing": await storage.get("missing") is None,
            "kvGetMissing": kv.get("missing") is None,
            "del": await storage.delete("a2"),
            "delMissing": await storage.delete("a2"),
            "delMany": await storage.delete(["a10", "b", "missing"]),
            "kvDel": kv.delete("B"),
            "kvDelMissing": kv.delete("B"),
            "putUndefined": await settled(storage.put("u", UNDEFINED)),
            "kvPutUndefined": attempt(lambda: kv.put("u", UNDEFINED)),
            "emptyKey": attempt(lambda: kv.put("", 1)),
        }


@program(
    "store-list-order",
    bindings={"D": Keys},
    rules=("ST-1", "ST-2", "ST-4", "ST-5", "ST-10", "ST-12", "LT-46"),
    forbidden=lambda o: None if o["all"].index("U+FFFD") < o["all"].index("U+1F600") else "LT-46: UTF-16 order",
    exhaustive=True,
)
async def store_list_order(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class Plain:
    """A class of the app."""

    def __init__(self) -> None:
        self.a = 1


class Matrix(DurableObject):
    def go(self) -> Any:
        kv = self.ctx.storage.kv

        def through(value: Any) -> Any:
            kv.put("k", value)
            return kv.get("k")

        def refused(value: Any) -> str:
            try:
                through(value)
            except Exception as error:
                return f"ERR {type(error).__name__}: {error}"
            return "ok"

        cyclic: dict[str, Any] = {}
        cyclic["self"] = cyclic
        common = {"x": 1}
        failure = RangeError("re")
        failure.cause = "c"  # type: ignore[attr-defined]  # a property of any error
        failure.extra = 1  # type: ignore[attr-defined]  # one that is lost
        back_cyclic, shared = through(cyclic), through([common, common])
        back_error, instance = through(failure), through(Plain())
        return {
            "map": [isinstance(through({"k": 2}), dict), through({"k": 2})["k"]],
            "set": isinstance(through({1}), set),
            "date": round(through(datetime.fromtimestamp(0.007, UTC)).timestamp() * 1000),
            "u8": {bytes: "Uint8Array"}.get(type(through(Uint8Array([1, 2])))),
            "bigint": str(through(BigInt(5))),
            "cyc": back_cyclic["self"] is back_cyclic,
            "shared": shared[0] is shared[1],
            "err": [
                isinstance(back_error, Exception),
                type(back_error).__name__,
                str(back_error),
                getattr(back_error, "cause", None),
                getattr(back_error, "extra", None),
            ],
            "instance": [{"dict": "Object"}.get(type(instance).__name__, type(instance).__name__), instance["a"]],
            "undefProp": list(through({"a": UNDEFINED})),
            "nul": through(None),
            "headers": type(through(Headers({"a": "b"}))).__name__,
            "url": refused(URL("https://example.com/")),
            "stub": refused(self.env.D.get_by_name("other")),
        }


@program("clone-storage-matrix", bindings={"D": Matrix}, rules=("ST-6",), exhaustive=True)
async def clone_storage_matrix(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()

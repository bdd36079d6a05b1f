"""Storage through the context API: what resets an object, and what each runtime lets pass (OG-28 to OG-32, 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, MachineOptions, World, WorldOptions, gather


class Box(DurableObject):
    """Stores what it is told."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.memory = 0

    def put(self, key: str, value: Any) -> None:
        self.memory += 1
        self.ctx.storage.kv.put(key, value)

    def remembered(self) -> int:
        return self.memory

    def hide(self) -> str:
        """Swallows the critical error; the object has to be reset all the same."""
        try:
            self.ctx.storage.kv.put("big", "x" * 200_000)
        except Exception as error:
            return str(error)
        return "stored"

    def fill(self) -> None:
        self.ctx.storage.kv.put("big", "x" * 200_000)

    def many(self) -> int:
        self.ctx.storage.put({str(n): n for n in range(129)})
        return len(dict(self.ctx.storage.kv.list()))

    async def put_many(self, count: int) -> None:
        await self.ctx.storage.put({str(n): n for n in range(count)})

    async def violate(self) -> None:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
        sql.exec("INSERT INTO c VALUES (1)")

    async def wait_in_transaction(self, log: list[str]) -> None:
        async def body(_txn: Any) -> None:
            self.ctx.storage.kv.put("n", 1)
            await trio.sleep(1)
            log.append("transaction")

        await self.ctx.storage.transaction(body)

    def note(self, log: list[str]) -> None:
        log.append("other")


SMALL = WorldOptions(objects=MachineOptions(object_bytes=20 * 4096))


@pytest.mark.parametrize("hidden", [False, True])
def test_a_critical_error_of_sqlite_resets_the_object(passes: Callable[..., Any], hidden: bool) -> None:
    """OG-32: whether the code lets the error out or not, the caller hears of the reset, and memory is gone."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        await stub.put("a", 1)
        with pytest.raises(Exception, match="database or disk is full: SQLITE_FULL") as caught:
            await (stub.hide() if hidden else stub.fill())
        if hidden:
            assert caught.value.durable_object_reset
        stub = world.env.D.get_by_name("a")
        assert await stub.remembered() == 0
        assert dict(world.object("D", "a").storage.kv.list()) == {"a": 1}

    passes(drive, options=SMALL, D=Box)


def test_constraints_violated_at_the_end_of_the_turn_reset_the_object(passes: Callable[..., Any]) -> None:
    """OG-31."""

    async def drive(world: World) -> None:
        with pytest.raises(Exception, match="state where constraints were violated: FOREIGN KEY constraint failed"):
            await world.env.D.get_by_name("a").violate()
        assert world.object("D", "a").storage.sql.exec("SELECT name FROM sqlite_schema") == []

    passes(drive, D=Box)


def test_limits_are_those_of_the_runtime(passes: Callable[..., Any]) -> None:
    """ST-1, ST-2, section 4.4: the open-source runtime has no caps but SQLite's own, of 4 MiB."""

    async def production(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        await stub.put_many(128)
        with pytest.raises(Exception, match=r"^Maximum number of pairs is 128\.$"):
            await stub.put_many(129)
        with pytest.raises(Exception, match="SQLITE_TOOBIG"):
            await stub.put("k", "x" * (2 << 20))

    async def workerd(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        await stub.put_many(129)
        await stub.put("k", "x" * (2 << 20))
        await stub.put("k" * 3000, 1)

    passes(production, D=Box)
    passes(workerd, options=WorldOptions(runtime="workerd"), D=Box)


def test_a_transaction_holds_the_gate_over_its_awaits(passes: Callable[..., Any]) -> None:
    """OG-28, IG-13, IG-30: also where writes of the turn before it were not committed when it was asked for."""
    log: list[str] = []

    class Mover(Box):
        async def put_and_move(self) -> None:
            self.ctx.storage.kv.put("before", 1)
            await self.wait_in_transaction(log)

        def other(self) -> None:
            log.append("other")

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        await gather(stub.put_and_move(), stub.other())
        assert dict(world.object("D", "a").storage.kv.list()) == {"before": 1, "n": 1}

    passes(drive, D=Mover)
    assert sorted(log) == ["other", "transaction"]


@pytest.mark.parametrize("date, left", [("2026-02-23", True), ("2026-02-24", False)])
@pytest.mark.parametrize("backend", ["sqlite", "kv"])
def test_delete_all_takes_the_alarm_from_a_date_on(
    passes: Callable[..., Any], backend: str, date: str, left: bool
) -> None:
    """ST-27, LT-48."""

    class Wiper(Box):
        storage_backend = backend

        async def wipe(self) -> Any:
            await self.ctx.storage.set_alarm(2_000_000_000_000)
            await self.ctx.storage.delete_all()
            return await self.ctx.storage.get_alarm()

        def alarm(self) -> None: ...

    async def drive(world: World) -> None:
        alarm = await world.env.D.get_by_name("a").wipe()
        assert (alarm is not None) == left

    passes(drive, options=WorldOptions(objects=MachineOptions(compatibility_date=date)), D=Wiper)


@pytest.mark.parametrize("backend", ["sqlite", "kv"])
def test_a_transaction_may_leave_txn_out(passes: Callable[..., Any], backend: str) -> None:
    """OG-28: it is optional; on the legacy backend nothing is inside then."""

    class Mover(Box):
        storage_backend = backend

        async def move(self) -> str:
            async def body() -> str:
                await self.ctx.storage.put("n", 1)
                raise ValueError("no")

            return await self.ctx.storage.transaction(body)

    async def drive(world: World) -> None:
        with pytest.raises(ValueError, match="no"):
            await world.env.D.get_by_name("a").move()
        assert world.object("D", "a").storage.list() == ({} if backend == "sqlite" else {"n": 1})

    passes(drive, D=Mover)

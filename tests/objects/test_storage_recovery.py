"""Point-in-time recovery: bookmarks, times, and what the next instance finds (ST-30)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lumenize_sim import DurableObject, World, WorldOptions
from lumenize_sim.objects.storage import Durable, Storage, Store, StoreHooks
from lumenize_sim.objects.storage.history import History

EPOCH_MS = WorldOptions().epoch_ms
DAY_S = 24 * 3600


class Ledger(DurableObject):
    """Can go back."""

    def put(self, key: str, value: Any) -> None:
        self.ctx.storage.kv.put(key, value)

    def insert(self, value: int) -> None:
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t(v); INSERT INTO t VALUES(?)", value)

    async def remind(self, when: int) -> None:
        await self.ctx.storage.set_alarm(when)

    def alarm(self, info: Any) -> None:
        self.ctx.storage.kv.put("rang", info.scheduled_time)

    async def bookmark(self) -> str:
        return await self.ctx.storage.get_current_bookmark()

    async def put_and_bookmark(self, key: str, value: Any) -> str:
        self.ctx.storage.kv.put(key, value)
        return await self.ctx.storage.get_current_bookmark()

    async def back(self, bookmark: str) -> str:
        return await self.ctx.storage.on_next_session_restore_bookmark(bookmark)

    def stop(self) -> None:
        self.ctx.abort("restart")


class Historian(Ledger):
    """Names the method, and so keeps its history from the beginning."""

    async def back_to(self, when_ms: float) -> str:
        bookmark = await self.ctx.storage.get_bookmark_for_time(when_ms)
        return await self.ctx.storage.on_next_session_restore_bookmark(bookmark)


async def restarted(world: World) -> Any:
    with pytest.raises(Exception, match="restart"):
        await world.env.D.get_by_name("a").stop()
    return world.env.D.get_by_name("a")


def test_the_next_instance_finds_the_state_of_the_bookmark(passes: Callable[..., Any]) -> None:
    """Entries, tables and alarm; and another bookmark undoes it."""

    async def drive(world: World) -> None:
        view = world.object("D", "a")
        stub = world.env.D.get_by_name("a")
        await stub.put("k", 1)
        await stub.insert(1)
        await stub.remind(EPOCH_MS + 90_000)
        bookmark = await stub.bookmark()
        await stub.put("k", 2)
        await stub.insert(2)
        await stub.remind(EPOCH_MS + 150_000)
        undo = await stub.back(bookmark)
        assert bookmark < undo
        assert view.storage.kv.get("k") == 2  # not yet
        stub = await restarted(world)
        assert view.storage.kv.get("k") == 1
        assert [row["v"] for row in view.storage.sql.exec("SELECT v FROM t")] == [1]
        assert view.alarm_ms == EPOCH_MS + 90_000
        await stub.back(undo)
        stub = await restarted(world)
        assert view.storage.kv.get("k") == 2
        assert [row["v"] for row in view.storage.sql.exec("SELECT v FROM t")] == [1, 2]
        await stub.back(bookmark)
        await restarted(world)
        await world.advance(100)
        assert view.storage.kv.get("rang") == EPOCH_MS + 90_000  # the scheduler has heard of the older time

    passes(drive, D=Ledger)


def test_a_bookmark_shows_what_its_own_turn_wrote_and_sorts_by_time(passes: Callable[..., Any]) -> None:
    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        marks = []
        for n in range(5):
            marks.append(await stub.put_and_bookmark("n", n))
            await world.advance(0.5)
        assert marks == sorted(set(marks))
        await stub.back(marks[3])
        await restarted(world)
        assert world.object("D", "a").storage.kv.get("n") == 3

    passes(drive, D=Ledger)


def test_hibernation_is_a_restart_as_well(passes: Callable[..., Any]) -> None:
    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        bookmark = await stub.put_and_bookmark("n", 1)
        await stub.put("n", 2)
        await stub.back(bookmark)
        await world.settle()
        world.object("D", "a").hibernate()
        assert world.object("D", "a").storage.kv.get("n") == 1

    passes(drive, D=Ledger)


def test_a_time_finds_the_last_state_before_it(passes: Callable[..., Any]) -> None:
    """Kept from the beginning, as the class names ``get_bookmark_for_time``."""

    async def drive(world: World) -> None:
        view = world.object("D", "a")
        stub = world.env.D.get_by_name("a")
        for n in range(4):
            await stub.put("n", n)
            await world.advance(10)
        for when_s, expected in ((12, 1), (29, 2), (1000, 2), (5, 0)):
            await world.env.D.get_by_name("a").back_to(EPOCH_MS + when_s * 1000)
            await restarted(world)
            assert view.storage.kv.get("n") == expected, when_s

    passes(drive, D=Historian)


def test_times_before_the_beginning_and_older_than_thirty_days_are_refused(passes: Callable[..., Any]) -> None:
    async def drive(world: World) -> None:
        await world.advance(10)
        stub = world.env.D.get_by_name("a")
        await stub.put("n", 1)
        with pytest.raises(Exception, match=r"^Requested time is before this database existed\.$"):
            await stub.back_to(EPOCH_MS)
        await world.advance(40 * DAY_S)
        await world.env.D.get_by_name("a").put("n", 2)
        await world.advance(1)
        with pytest.raises(Exception, match="more than 30 days ago"):
            await world.env.D.get_by_name("a").back_to(EPOCH_MS + 20_000)
        await world.env.D.get_by_name("a").back_to(EPOCH_MS + 11 * DAY_S * 1000)
        await restarted(world)
        assert world.object("D", "a").storage.kv.get("n") == 1

    passes(drive, D=Historian)


def test_without_history_the_refusal_says_how_to_have_one(passes: Callable[..., Any]) -> None:
    class Hidden(Ledger):
        point_in_time_recovery = False

        async def ask(self) -> str:
            return await self.ctx.storage.get_bookmark_for_time(EPOCH_MS)

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        with pytest.raises(Exception, match=r"^This database has no history\. .*point_in_time_recovery = True"):
            await stub.ask()
        with pytest.raises(Exception, match="none of this object's last 30 days"):
            await stub.back("0000-0000")

    passes(drive, D=Hidden)


def test_an_object_that_never_asks_keeps_no_history(passes: Callable[..., Any]) -> None:
    async def drive(world: World) -> None:
        await world.env.D.get_by_name("a").put("n", 1)
        assert world.machines.named("D", "a").durable.history is None

    passes(drive, D=Ledger)


def test_a_crash_leaves_no_moment_that_was_not_durable(passes: Callable[..., Any]) -> None:
    """OG-20: what was lost cannot be recovered either."""

    async def drive(world: World) -> None:
        view = world.object("D", "a")
        stub = world.env.D.get_by_name("a")
        await stub.put("n", 1)
        await world.settle()
        view.fail_next_flush()
        with pytest.raises(Exception, match="storage write"):
            await stub.put("n", 2)
        await world.advance(1)
        await world.env.D.get_by_name("a").back_to(EPOCH_MS + 10**9)
        await restarted(world)
        assert view.storage.kv.get("n") == 1

    passes(drive, D=Historian)


def test_the_open_source_runtime_only_counts(passes: Callable[..., Any]) -> None:
    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        zeros = "0" * 32
        assert await stub.bookmark() == f"00000000-00000000-00000000-{zeros}"
        assert await stub.bookmark() == f"00000000-00000001-00000000-{zeros}"
        for call in (stub.back("x"), stub.back_to(EPOCH_MS)):
            with pytest.raises(Exception, match="storage back-end does not implement point-in-"):
                await call

    passes(drive, options=WorldOptions(runtime="workerd"), D=Historian)


def test_bookmarks_wait_without_holding_the_gate(passes: Callable[..., Any]) -> None:
    """IG-12."""
    order: list[str] = []

    class Asker(Ledger):
        async def ask(self) -> None:
            await self.ctx.storage.get_current_bookmark()
            order.append("bookmark")

        def other(self) -> None:
            order.append("other")

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        first, second = stub.ask(), stub.other()
        await first
        await second

    passes(drive, D=Asker)
    assert order == ["other", "bookmark"]


def test_a_history_drops_what_is_too_old_but_for_the_state_at_its_beginning() -> None:
    history = History()
    day_ms = DAY_S * 1000
    for day in range(60):
        history.add(day, day * day_ms, None, None)
    assert len(history) == 32
    assert history.at(29 * day_ms, 59 * day_ms).number == 29


def test_a_history_that_begins_between_a_flush_and_the_next_has_no_state_that_cannot_be_had() -> None:
    """The state that was flushed last is still held in SQLite's transaction, and has no image of its own."""
    store = Store(Durable(), hooks=StoreHooks(), now_ms=lambda: 5)
    storage = Storage(store, now_ms=lambda: 5)
    for n in range(1, 4):
        storage.kv.put("n", n)
        store.commit()
    store.flushed(1)
    history = store.remember()
    assert len(history) == 0
    store.flushed(3)
    assert history.latest.number == 3
    store.durable.restoring = history.latest
    storage.kv.put("n", 4)
    store.crash(0)
    again = Storage(Store(store.durable, hooks=StoreHooks()), now_ms=lambda: 5)
    assert again.kv.get("n") == 3

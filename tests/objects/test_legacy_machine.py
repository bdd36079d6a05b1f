"""Classes on the legacy backend: reads that wait hold the gate, and what is flushed goes together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeDO, MachineOptions, World, WorldOptions
from lumenize_sim.errors import AppError, UsageError
from lumenize_sim.objects.pending import gather
from lumenize_sim.objects.storage import Durable, StorageError, StoreHooks, open_store, storage_over

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class Kept(DurableObject):
    """One of the legacy backend."""

    storage_backend = "kv"

    async def increment(self, concurrent: bool = False) -> int:
        n = await self.ctx.storage.get("n", 0, allow_concurrency=concurrent)
        await self.ctx.storage.put("n", n + 1)
        return int(n) + 1

    async def fill(self, entries: dict[str, Any]) -> None:
        await self.ctx.storage.put(entries)

    async def read(self, key: str) -> Any:
        value = await self.ctx.storage.get(key)
        LOG.append(f"read {key}")
        return value

    def log(self, word: str) -> None:
        LOG.append(word)

    async def read_two(self) -> None:
        async def one(key: str) -> None:
            await self.ctx.storage.get(key)
            LOG.append(key)

        self.ctx.wait_until(one("x"))
        self.ctx.wait_until(one("y"))

    async def wait_outside_and_read(self) -> None:
        async def outside() -> None:
            await trio.sleep(0.1)
            LOG.append("f")

        async def inside() -> None:
            await self.ctx.storage.get("k")
            LOG.append("g")

        self.ctx.wait_until(outside())
        self.ctx.wait_until(inside())

    async def remove(self, *keys: str) -> int:
        return int(await self.ctx.storage.delete(list(keys)))


async def evicted(world: World, name: str = "a") -> None:
    """Nothing of the object is cached any more."""
    await world.settle()
    world.object("D", name).evict()


def test_concurrent_increments_lose_nothing_cold_or_warm(roams: Callable[..., Any]) -> None:
    """LT-1, IG-5: whoever awaits a read has the gate until it has come."""

    async def drive(world: World) -> None:
        calls = [world.env.D.get_by_name("a").increment() for _ in range(4)]
        assert sorted(await gather(*calls)) == [1, 2, 3, 4]
        assert world.object("D", "a").storage.get("n") == 4

    roams(drive, D=Kept)


def test_reads_with_allow_concurrency_may_lose_updates(roams: Callable[..., Any]) -> None:
    """LT-3, IG-9: both results are reachable on a cold key."""
    seen: set[int] = set()

    async def drive(world: World) -> None:
        await gather(*[world.env.D.get_by_name("a").increment(True) for _ in range(2)])
        seen.add(world.object("D", "a").storage.get("n"))

    roams(drive, D=Kept)
    assert seen == {1, 2}


def test_a_cached_read_lets_nobody_in(passes: Callable[..., Any]) -> None:
    """IG-11: what was read once, or written, is there in the same turn."""

    class Warm(Kept):
        async def chain(self) -> None:
            await self.ctx.storage.get("k")
            LOG.append("cold")
            for _ in range(3):
                await self.ctx.storage.get("k")
                await self.ctx.storage.put("k", 1)
                await self.ctx.storage.delete("k")
            LOG.append("warm")

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        first, second = stub.chain(), stub.log("other")
        await first
        await second

    passes(drive, D=Warm)
    assert LOG == ["cold", "warm", "other"]


def test_a_read_that_waits_delays_what_arrives_from_outside(passes: Callable[..., Any]) -> None:
    """LT-8: the read takes 200 ms, the other await 100 ms, and is resumed after it all the same."""

    async def drive(world: World) -> None:
        world.object("D", "a").slow_next_reads(0.2)
        await world.env.D.get_by_name("a").wait_outside_and_read()
        await world.settle()

    passes(drive, D=Kept)
    assert LOG == ["g", "f"]


def test_two_reads_share_the_gate_until_both_are_done(passes: Callable[..., Any]) -> None:
    """LT-9, IG-6, IG-7: 50 ms and 150 ms, and a call that arrives between them."""

    async def drive(world: World) -> None:
        world.object("D", "a").slow_next_reads(0.05, 0.15)
        await world.env.D.get_by_name("a").read_two()
        await world.advance(0.06)
        call = world.env.D.get_by_name("a").log("request")
        await world.settle()
        await call

    passes(drive, D=Kept)
    assert LOG == ["x", "y", "request"]


def test_those_who_wait_for_the_gate_come_in_their_order(roams: Callable[..., Any]) -> None:
    """LT-10, IG-3."""

    async def drive(world: World) -> None:
        LOG.clear()
        stub = world.env.D.get_by_name("a")
        calls = [stub.read("k"), stub.log("B"), stub.log("C"), stub.log("D")]
        await gather(*calls)
        assert LOG == ["read k", "B", "C", "D"]

    roams(drive, D=Kept)


def test_a_read_shows_the_moment_of_its_call(passes: Callable[..., Any]) -> None:
    """ST-7: not what is written before it completes."""

    class Reader(Kept):
        async def race(self) -> list[Any]:
            first = self.ctx.storage.get("k")
            self.ctx.storage.put("k", "new")
            second = self.ctx.storage.get("k")
            listed = self.ctx.storage.list()
            self.ctx.storage.put("k", "newer")
            return [await first, await second, await listed]

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("a").fill({"k": "old", "l": 1})
        await evicted(world)
        assert await world.env.D.get_by_name("a").race() == ["old", "new", {"k": "new", "l": 1}]
        assert world.object("D", "a").storage.get("k") == "newer"

    passes(drive, D=Reader)


def test_a_delete_of_what_is_not_cached_tells_later_whether_it_existed(passes: Callable[..., Any]) -> None:
    """ST-4, IG-11: the flush that removes the entries finds out, and the gate is held meanwhile."""

    class Remover(Kept):
        async def both(self) -> list[Any]:
            cold = self.ctx.storage.delete("k")
            warm = self.ctx.storage.delete("k")
            LOG.append(f"{cold.done} {warm.done}")
            return [await cold, await warm]

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("a").fill({"k": 1, "l": 2})
        await evicted(world)
        stub = world.env.D.get_by_name("a")
        first, second = stub.both(), stub.log("other")
        assert await first == [True, False]
        await second
        assert await stub.remove("l", "m") == 1
        assert world.object("D", "a").storage.list() == {}

    passes(drive, D=Remover)
    assert LOG == ["False True", "other"]


def test_puts_wait_above_the_limit_of_what_is_not_flushed(passes: Callable[..., Any]) -> None:
    """ST-9: back-pressure holds the gate until the flush is over."""

    class Writer(Kept):
        async def much(self) -> None:
            value = "x" * 130_000
            done = [self.ctx.storage.put(f"k{n}", value).done for n in range(70)]
            LOG.append(f"{done.index(False)}")
            await self.ctx.storage.put("last", 1)
            LOG.append("written")

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        first, second = stub.much(), stub.log("other")
        await first
        await second

    passes(drive, D=Writer)
    assert LOG == ["64", "written", "other"]


def test_a_cache_that_overflows_resets_the_object(passes: Callable[..., Any]) -> None:
    """LC-37: whoever does not wait fills the memory of the isolate."""

    class Writer(Kept):
        async def too_much(self) -> None:
            for n in range(1100):
                self.ctx.storage.put(f"k{n}", b"x" * 130_000)

    async def drive(world: World) -> None:
        with pytest.raises(Exception, match="exceeded its memory limit due to overflowing the storage cache") as caught:
            await world.env.D.get_by_name("a").too_much()
        assert caught.value.overloaded
        assert caught.value.durable_object_reset
        assert world.object("D", "a").storage.list() == {}

    passes(drive, D=Writer)


@pytest.mark.parametrize(
    "options, left",
    [
        (WorldOptions(), "o"),
        (WorldOptions(isolates="world"), ""),
        (WorldOptions(isolates="object"), "bo"),
        (WorldOptions(objects=MachineOptions(kv_overflow_resets_isolate=False)), "bo"),
    ],
)
def test_a_cache_that_overflows_takes_the_isolate_along(
    passes: Callable[..., Any], options: WorldOptions, left: str
) -> None:
    """LC-37: exceeding the memory resets every object in the isolate; an option, since the cache may count apart."""

    class Writer(Kept):
        async def too_much(self) -> None:
            for n in range(1100):
                self.ctx.storage.put(f"k{n}", b"x" * 130_000)

    async def drive(world: World) -> None:
        views = {"b": world.object("D", "b"), "o": world.object("OTHER", "o")}
        for binding, name in (("D", "b"), ("OTHER", "o")):
            await getattr(world.env, binding).get_by_name(name).fill({"k": 1})
        with pytest.raises(Exception, match="overflowing the storage cache"):
            await world.env.D.get_by_name("a").too_much()
        await world.settle()
        assert "".join(name for name, view in views.items() if view.in_memory) == left
        assert views["b"].storage.list() == {"k": 1}

    passes(drive, options=options, D=Writer, OTHER=Kept)


def test_turns_that_end_during_a_flush_share_the_next(passes: Callable[..., Any]) -> None:
    """OG-19, OG-21, OG-22: a flush takes everything that is dirty, and begins when the one before has ended."""

    async def drive(world: World) -> None:
        view = world.object("D", "a")
        view.slow_next_flush(1.0)
        calls = [world.env.D.get_by_name("a").fill({f"k{n}": n}) for n in range(4)]
        await gather(*calls)

    run = passes(drive, D=Kept)
    commits = [event.data["commit"] for event in run.trace.events if event.kind == "output-released"]
    assert commits == [1, 2, 2, 2]


def test_a_crash_loses_whole_flushes(passes: Callable[..., Any]) -> None:
    """OG-20, OG-21: the second flush has not begun, so all three turns in it are gone together."""

    async def drive(world: World) -> None:
        view = world.object("D", "a")
        stub = world.env.D.get_by_name("a")
        await stub.fill({"k0": 0})
        await world.settle()
        view.slow_next_flush(5.0)
        calls = [stub.fill({f"k{n}": n}) for n in range(1, 4)]
        await world.advance(1.0)
        view.crash()
        for call in calls:
            with pytest.raises(Exception, match="Network connection lost"):
                await call
        assert view.storage.list() == {"k0": 0}

    passes(drive, D=Kept)


@pytest.mark.parametrize("lost", [1, 4, 5])
def test_a_flush_is_tried_four_times_again(passes: Callable[..., Any], lost: int) -> None:
    """OG-11."""

    async def drive(world: World) -> None:
        call = world.env.D.get_by_name("a").fill({"k": 1})
        if lost <= 4:
            await call
            assert world.object("D", "a").storage.get("k") == 1
        else:
            with pytest.raises(Exception, match="storage write caused object to be reset"):
                await call
            assert world.object("D", "a").storage.get("k") is None

    run = passes(drive, plan={"D/a%lost-flush#0": lost}, D=Kept)
    assert run.faults == {"lost-flush": 1}


@pytest.mark.parametrize("part", [1, 2, 3])
def test_delete_all_may_fail_half_way_and_can_be_repeated(passes: Callable[..., Any], part: int) -> None:
    """ST-26."""

    class Wiper(Kept):
        async def wipe(self) -> None:
            await self.ctx.storage.delete_all()

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        await stub.fill({f"k{n}": n for n in range(8)})
        await world.settle()
        world.object("D", "a").fail_next_flush()
        with pytest.raises(Exception, match="storage write caused object to be reset"):
            await stub.wipe()
        assert list(world.object("D", "a").storage.list()) == [f"k{n}" for n in range(2 * part, 8)]
        await world.env.D.get_by_name("a").wipe()
        assert world.object("D", "a").storage.list() == {}

    passes(drive, plan={"D/a%torn-delete-all#0": part}, D=Wiper)


def test_only_what_goes_through_txn_is_in_a_transaction(passes: Callable[..., Any]) -> None:
    """OG-28: ``ctx.storage`` is outside, and is not rolled back."""

    class Mover(Kept):
        async def move(self, well: bool) -> Any:
            storage = self.ctx.storage

            async def body(txn: Any) -> Any:
                await txn.put("inside", 1)
                await storage.put("outside", 1)
                seen = [await txn.get("inside"), await storage.get("inside"), await txn.list(), await txn.delete("old")]
                if not well:
                    raise ValueError("no")
                return seen

            return await storage.transaction(body)

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        await stub.fill({"old": 0})
        await evicted(world)
        with pytest.raises(ValueError, match="no"):
            await world.env.D.get_by_name("a").move(False)
        view = world.object("D", "a")
        assert view.storage.list() == {"old": 0, "outside": 1}
        assert await world.env.D.get_by_name("a").move(True) == [
            1, None, {"inside": 1, "old": 0, "outside": 1}, True,
        ]  # fmt: skip
        assert view.storage.list() == {"inside": 1, "outside": 1}

    passes(drive, D=Mover)


def test_nobody_else_is_served_during_a_transaction(roams: Callable[..., Any]) -> None:
    """IG-30: it is a critical section; what it reads from the disk is waited for inside."""

    class Mover(Kept):
        async def move(self) -> None:
            async def body(txn: Any) -> None:
                n = await txn.get("n", 0)
                await trio.sleep(0.01)
                txn.put("n", n + 1)

            await self.ctx.storage.transaction(body)

    async def drive(world: World) -> None:
        await gather(*[world.env.D.get_by_name("a").move() for _ in range(3)])
        assert world.object("D", "a").storage.get("n") == 3

    roams(drive, D=Mover, schedules=30)


def test_sync_goes_on_at_once_where_nothing_is_pending(passes: Callable[..., Any]) -> None:
    """IG-12, OG-26: on the legacy backend; else it waits without holding the gate."""

    class Syncer(Kept):
        async def twice(self) -> None:
            await self.ctx.storage.sync()
            LOG.append("idle")
            self.ctx.storage.put("k", 1)
            await self.ctx.storage.sync()
            LOG.append("durable")

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        first, second = stub.twice(), stub.log("other")
        await first
        await second

    passes(drive, D=Syncer)
    assert LOG == ["idle", "other", "durable"]


def test_the_alarm_time_is_asked_for_once(passes: Callable[..., Any]) -> None:
    """AL-5 on the legacy backend: until an instance has been told once its questions wait, as any read does."""

    class Waker(Kept):
        async def ask(self) -> list[Any]:
            first, second = self.ctx.storage.get_alarm(), self.ctx.storage.get_alarm()
            LOG.append(f"{first.done} {second.done}")
            return [await first, await second]

        async def set(self, when: int) -> None:
            await self.ctx.storage.set_alarm(when)

        def alarm(self, info: Any) -> None:
            LOG.append("alarm")

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        assert await stub.ask() == [None, None]
        when = world.options.epoch_ms + 3_000_000
        await stub.set(when)
        assert await stub.ask() == [when, when]
        await evicted(world)
        assert await world.env.D.get_by_name("a").ask() == [when, when]

    passes(drive, D=Waker)
    assert LOG == ["False False", "True True", "False False"]


@pytest.mark.parametrize("runtime", ["production", "workerd"])
def test_sql_and_synchronous_calls_are_refused(passes: Callable[..., Any], runtime: Any) -> None:
    """ST-14, OG-27, and section 11: the open-source runtime only hides them."""

    class Asker(Kept):
        async def ask(self) -> list[str]:
            storage = self.ctx.storage
            texts = []
            for act in (
                lambda: storage.kv.get("k"),
                lambda: storage.kv.put("k", 1),
                lambda: storage.kv.delete("k"),
                lambda: storage.kv.list(),
                lambda: storage.sql.exec("SELECT 1"),
                lambda: storage.sql.database_size,
            ):
                with pytest.raises(Exception) as caught:
                    act()
                texts.append(str(caught.value))
            if runtime == "production":
                with pytest.raises(Exception, match=r"^Durable Object is not backed by SQL\.$"):
                    storage.transaction_sync(lambda: None)
                with pytest.raises(Exception, match="does not implement point-in-time recovery"):
                    await storage.get_current_bookmark()
            await storage.put("k", 1)
            assert await storage.get("k") == 1
            return texts

    async def drive(world: World) -> None:
        texts = await world.env.D.get_by_name("a").ask()
        beginning = {
            "production": "This Durable Object is not backed by SQLite storage, so the ",
            "workerd": "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to ",
        }[runtime]
        assert all(text.startswith(beginning) for text in texts), texts

    passes(drive, options=WorldOptions(runtime=runtime), D=Asker)


def test_reads_never_wait_in_the_open_source_runtime(passes: Callable[..., Any]) -> None:
    """Section 11: its classes of either kind are stored in SQLite, and a cold read is there at once."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        calls = [stub.read("k"), stub.log("B")]
        await gather(*calls)

    options = WorldOptions(runtime="workerd")
    run = passes(drive, options=options, D=Kept)
    assert not [event for event in run.trace.events if "!read" in (event.label or "")]


def test_entries_not_used_for_a_while_have_to_be_read_again(passes: Callable[..., Any]) -> None:
    """ST-31: by age, here of two seconds."""

    class Asker(Kept):
        async def ask(self) -> bool:
            pending = self.ctx.storage.get("k")
            warm = pending.done
            await pending
            return warm

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        assert [await stub.ask(), await stub.ask()] == [False, True]
        await world.advance(1.9)
        assert await stub.ask()
        await world.advance(2.0)
        assert not await stub.ask()

    passes(drive, options=WorldOptions(objects=MachineOptions(kv_cache_stale_s=2.0)), D=Asker)


def test_objects_of_an_isolate_may_drive_each_other_out_of_the_cache(passes: Callable[..., Any]) -> None:
    """ST-31: with ``kv_cache_shared``; else each has its own."""
    cold: list[bool] = []

    class Asker(Kept):
        async def ask(self) -> bool:
            pending = self.ctx.storage.get("k")
            warm = pending.done
            await pending
            return not warm

    async def drive(world: World) -> None:
        for name in ("a", "b"):
            await world.env.D.get_by_name(name).fill({"k": "x" * 600})
        cold.append(await world.env.D.get_by_name("a").ask())

    for shared in (False, True):
        options = MachineOptions(kv_cache_bytes=1000, kv_cache_shared=shared)
        passes(drive, options=WorldOptions(objects=options), D=Asker)
    assert cold == [False, True]


def test_an_unknown_backend_is_the_authors_mistake(passes: Callable[..., Any]) -> None:
    class Odd(DurableObject):
        storage_backend = "disk"

        def ping(self) -> None: ...

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("a").ping()

    with pytest.raises(Exception, match=r"Odd\.storage_backend is 'disk'; write 'sqlite', the default, or 'kv'"):
        passes(drive, D=Odd)


def test_slow_reads_are_faults_on_the_tape(passes: Callable[..., Any]) -> None:
    """IG-5: how long a read takes is an event of the world, here two seconds by the plan."""

    async def drive(world: World) -> None:
        began = world.host.now_ms()
        await world.env.D.get_by_name("a").read("k")
        assert world.host.now_ms() - began >= 2000

    run = passes(drive, plan={"D/a%slow-read#0": 3}, D=Kept)
    assert run.faults == {"slow-read": 1}


def test_the_lock_of_a_flush_that_waits_began_with_its_write(passes: Callable[..., Any]) -> None:
    """OG-5, OG-21: 20 s behind another flush and 20 s of its own are more than 30."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        first, second = stub.fill({"k": 1}), stub.fill({"l": 2})
        await first
        with pytest.raises(
            Exception, match="storage operation exceeded timeout which caused object to be reset"
        ) as late:
            await second
        assert late.value.overloaded
        assert world.object("D", "a").storage.list() == {"k": 1}

    passes(drive, plan={"D/a%slow-flush#0": 3, "D/a%slow-flush#1": 3}, D=Kept)


def test_a_host_with_files_keeps_such_a_class_in_sqlite(tmp_path: Path) -> None:
    """Section 11: the legacy backend has no files, so that SQL is hidden there as the open-source runtime hides it."""
    durable = Durable(path=str(tmp_path / "object.sqlite"))
    options = MachineOptions()
    store = open_store(Kept, options, durable, StoreHooks(), now_ms=lambda: 0)
    storage = storage_over(store, Kept, options, lambda: 0)
    assert storage.put("k", 1).done
    with pytest.raises(StorageError, match="SQL is not enabled for this Durable Object class"):
        storage.kv.get("k")
    assert store.commit() == 1
    store.close()


def test_a_class_cannot_change_its_backend() -> None:
    """The platform fixes it when the class is created."""
    durable, options = Durable(), MachineOptions()
    store = open_store(Kept, options, durable, StoreHooks(), now_ms=lambda: 0)
    store.close()
    with pytest.raises(UsageError, match="Moved has changed its storage_backend"):
        open_store(type("Moved", (), {}), options, durable, StoreHooks(), now_ms=lambda: 0)


@pytest.mark.parametrize("size, fits", [(131_072, True), (131_200, False)])
def test_limits_of_keys_and_values(passes: Callable[..., Any], size: int, fits: bool) -> None:
    """Section 4.4: a text of just the limit fits, whatever its serialised head."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        if fits:
            await stub.fill({"k" * 2048: "x" * size})
            return
        for entries, text in (
            ({"k": "x" * size}, r'^Value for key "k" is above the limit of 131072 bytes\.$'),
            ({"k" * 2049: 1}, r'^Key "k+" is larger than the limit of 2048 bytes\.$'),
            ({str(n): n for n in range(129)}, r"^Maximum number of pairs is 128\.$"),
        ):
            with pytest.raises(Exception, match=text):
                await stub.fill(entries)
        with pytest.raises(Exception, match=r"^Keys cannot be larger than 2048 bytes\.$"):
            await stub.read("k" * 2049)
        assert world.object("D", "a").storage.list() == {}

    passes(drive, D=Kept)


def test_what_it_costs_is_told_in_units(passes: Callable[..., Any]) -> None:
    """BL-8: by keys, by 4 KB, with a minimum of one; writes when they are durable."""
    counts: list[tuple[str, int]] = []

    class Counted(Kept):
        async def work(self) -> None:
            storage = self.ctx.storage
            storage._store.hooks.usage = lambda kind, amount: counts.append((kind, amount))
            await storage.put("k", b"x" * 5000)
            await storage.put({"a": 1, "b": b"x" * 9000})
            await storage.get("k")
            await storage.get("nothing")
            await storage.get(["a", "b", "nothing"])
            await storage.list()
            await storage.list(start="z")
            await storage.delete("nothing")
            await storage.delete(["a", "nothing"])
            await storage.delete_all()

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("a").work()

    passes(drive, D=Counted)
    assert counts == [
        ("read-units", 2), ("read-units", 1), ("write-units", 2 + 1 + 3), ("read-units", 5), ("read-units", 4),
        ("read-units", 1), ("deletes", 1), ("deletes", 2), ("deletes", 2),
    ]  # fmt: skip


def test_a_timer_waits_for_the_read_that_holds_the_gate(passes: Callable[..., Any]) -> None:
    """LT-93, TM-5: due after 10 and 20 ms, a read until 50 ms; both come late and in order."""
    fired: list[tuple[str, int]] = []

    class Timed(Kept):
        async def begin(self) -> None:
            start = self.ctx.now()
            self.ctx.set_timeout(lambda: fired.append(("10", self.ctx.now() - start)), 0.01)
            pending = self.ctx.storage.get("k")
            self.ctx.set_timeout(lambda: fired.append(("20", self.ctx.now() - start)), 0.02)
            await pending
            fired.append(("read", self.ctx.now() - start))

    async def drive(world: World) -> None:
        world.object("D", "a").slow_next_reads(0.05)
        await world.env.D.get_by_name("a").begin()
        await world.settle()

    run = passes(drive, D=Timed)
    assert [name for name, _ in fired] == ["read", "10", "20"]
    assert run.virtual_s >= 0.05


def test_a_read_within_a_section_holds_the_gate_of_the_section(roams: Callable[..., Any]) -> None:
    """IG-22, IG-23: what the section waits for besides comes after the read; others after the section."""

    logs: list[list[str]] = []

    class Sectioned(Kept):
        async def section(self, log: list[str]) -> None:
            async def other() -> None:
                await trio.sleep(0.001)
                log.append("timer")

            async def body() -> None:
                self.ctx.wait_until(other())
                await self.ctx.storage.get("k")
                log.append("read")
                await self.ctx.storage.get("l", allow_concurrency=True)

            await self.ctx.block_concurrency_while(body)
            log.append("after")

        def note(self, log: list[str]) -> None:
            log.append("other")

    async def drive(world: World) -> None:
        log: list[str] = []
        logs.append(log)

        view = world.object("D", "a")
        view.slow_next_reads(0.01, 0.0)
        await gather(world.env.D.get_by_name("a").run_section(), world.env.D.get_by_name("a").run_note())

    class Local(Sectioned):
        async def run_section(self) -> None:
            await self.section(logs[-1])

        def run_note(self) -> None:
            self.note(logs[-1])

    roams(drive, D=Local, schedules=30)
    for log in logs:
        assert log.index("read") < log.index("after")
        if "timer" in log:
            assert log.index("read") < log.index("timer")
        if log.index("other") > log.index("read"):
            assert log.index("other") > log.index("after")


def test_a_reset_while_a_read_is_under_way_leaves_nobody_waiting_inside(passes: Callable[..., Any]) -> None:
    """IG-32: the caller hears of the crash; the read of the dead instance completes for nobody."""

    async def drive(world: World) -> None:
        view = world.object("D", "a")
        view.slow_next_reads(1.0)
        call = world.env.D.get_by_name("a").read("k")
        await world.advance(0.5)
        view.crash()
        with pytest.raises(Exception, match="Network connection lost"):
            await call
        assert await world.env.D.get_by_name("a").read("k") is None
        await world.settle()

    passes(drive, D=Kept)
    assert LOG == ["read k"]


def test_the_time_of_reads_can_be_drawn_and_is_the_same_each_time(passes: Callable[..., Any]) -> None:
    """IG-5: from the seed of the run, and on its tape's header."""
    options = WorldOptions(objects=MachineOptions(kv_read_s=(0.01, 0.03)))
    assert WorldOptions.from_json(options.to_json()) == options
    took: list[int] = []

    class Timed(Kept):
        async def ask(self, key: str) -> int:
            start = self.ctx.now()
            await self.ctx.storage.get(key)
            return int(self.ctx.now() - start)

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("a")
        took.extend([await stub.ask(key) for key in "abcd"])

    passes(drive, options=options, D=Timed)
    assert all(10 <= one <= 30 for one in took)
    assert len(set(took)) > 1
    passes(drive, options=options, D=Timed)
    assert took[:4] == took[4:]
    for bad in ((0.2, 0.1), (-1, 0), 0.5):
        with pytest.raises(UsageError, match="no pair of seconds"):
            MachineOptions(kv_read_s=bad)  # type: ignore[arg-type]  # the mistake under test


def test_looking_from_outside_warms_no_cache(passes: Callable[..., Any]) -> None:
    """A test that looks must not change what the next read of the object does."""

    class Asker(Kept):
        async def ask(self, key: str) -> list[bool]:
            pendings = [self.ctx.storage.get(key), self.ctx.storage.get_alarm(), self.ctx.storage.list(prefix="l")]
            done = [pending.done for pending in pendings]
            await gather(*pendings)
            return done

        def ping(self) -> None: ...

    async def drive(world: World) -> None:
        view = world.object("D", "a")
        await world.env.D.get_by_name("a").fill({"k": 1, "l": 2})
        await evicted(world)
        stub = world.env.D.get_by_name("a")
        await stub.ping()
        assert view.storage.list() == {"k": 1, "l": 2}
        assert view.storage.get("k") == 1
        assert view.storage.get_alarm() is None
        assert await stub.ask("k") == [False, False, False]
        assert await stub.ask("k") == [True, True, True]

    passes(drive, D=Asker)


def test_a_transaction_waits_under_back_pressure_before_its_section_ends(passes: Callable[..., Any]) -> None:
    """ST-9, IG-30."""

    class Writer(Kept):
        async def much(self) -> None:
            async def body(txn: Any) -> None:
                for n in range(70):
                    txn.put(f"k{n}", "x" * 130_000)

            await self.ctx.storage.transaction(body)
            LOG.append(f"unflushed {self.ctx.storage._store.unflushed}")

    async def drive(world: World) -> None:
        await gather(world.env.D.get_by_name("a").much(), world.env.D.get_by_name("a").log("other"))

    passes(drive, D=Writer)
    assert LOG == ["unflushed 0", "other"]


def test_a_node_of_a_mesh_cannot_be_on_the_legacy_backend() -> None:
    """Its identity is kept by synchronous calls, which that backend refuses (ST-14)."""
    with pytest.raises(AppError, match="storage_backend is 'kv', but a LumenizeDO keeps its identity in"):
        type("Node", (LumenizeDO,), {"storage_backend": "kv"})


@pytest.mark.parametrize("blocks", [False, True])
def test_what_the_constructor_reads_is_there_before_the_first_event(roams: Callable[..., Any], blocks: bool) -> None:
    """IG-5, IG-17, IG-18: the usual way with ``block_concurrency_while``, and a read that simply holds the gate."""

    class Loaded(Kept):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.value: Any = "not yet"

            async def load() -> None:
                self.value = await ctx.storage.get("value", 0)
                if blocks:
                    await trio.sleep(0.01)
                    self.value = (self.value, await ctx.storage.get("value", 0))

            if blocks:
                ctx.block_concurrency_while(load)
            else:
                ctx.wait_until(load())

        def seen(self) -> Any:
            return self.value

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("a").fill({"value": 7})
        await evicted(world)
        expected = (7, 7) if blocks else 7
        seen = await gather(*[world.env.D.get_by_name("a").seen() for _ in range(3)])
        assert [tuple(one) if blocks else one for one in seen] == [expected] * 3

    roams(drive, D=Loaded, schedules=30)

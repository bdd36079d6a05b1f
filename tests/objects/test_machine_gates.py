"""Turns, the input gate and critical sections, through the context API (IG-*)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeWorker, MachineOptions, World, WorldOptions, gather
from lumenize_sim.objects.pending import Pending


class Remote(LumenizeWorker):
    """Something that is awaited for real."""

    def ping(self, value: Any = None) -> Any:
        return value


def error_of(result: Any) -> BaseException:
    assert result.__class__.__name__ == "Error", result
    error: BaseException = result.error
    return error


async def outcomes(*pendings: Pending[Any]) -> list[Any]:
    """How each of them ended, in the order given."""
    found: list[Any] = []
    for pending in pendings:
        with contextlib.suppress(Exception):
            await pending
        pending.when_done(found.append)
    return found


class Litmus(DurableObject):
    """One counter, with different things between reading and writing it."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.n = 0

    async def by_storage(self) -> int:
        n: int = await self.ctx.storage.get("n", 0)
        for _ in range(3):
            await self.ctx.storage.get("other")
        await self.ctx.storage.put("n", n + 1)
        return n + 1

    async def by_sql(self) -> int:
        self.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t(n)")
        rows = self.ctx.storage.sql.exec("SELECT n FROM t").to_array()
        n: int = rows[0]["n"] if rows else 0
        await self.ctx.storage.get("other")
        self.ctx.storage.sql.exec("DELETE FROM t")
        self.ctx.storage.sql.exec("INSERT INTO t VALUES(?)", n + 1)
        return n + 1

    async def by_checkpoint(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        self.ctx.storage.kv.put("n", n + 1)
        return n + 1

    async def by_settled(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        await Pending.of(None)
        await gather()
        await gather(self.ctx.storage.get("a"), self.ctx.storage.get("b"))
        self.ctx.storage.kv.put("n", n + 1)
        return n + 1

    async def by_zero(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
        self.ctx.storage.kv.put("n", n + 1)
        return n + 1

    async def by_sleep(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        await trio.sleep(0.01)
        self.ctx.storage.kv.put("n", n + 1)
        return n + 1

    async def by_call(self) -> int:
        n: int = await self.ctx.storage.get("n", 0)
        await self.env.REMOTE.ping()
        await self.ctx.storage.put("n", n + 1)
        return n + 1

    async def by_sync(self) -> int:
        n: int = await self.ctx.storage.get("n", 0)
        await self.ctx.storage.sync()
        await self.ctx.storage.put("n", n + 1)
        return n + 1

    async def by_memory(self) -> int:
        n = self.n
        await self.env.REMOTE.ping()
        self.n = n + 1
        return n + 1

    async def by_nursery(self) -> int:
        """Children wait for storage only: the turn goes on, in order of their start."""
        n: int = self.ctx.storage.kv.get("n", 0)
        order: list[int] = []

        async def child(nth: int) -> None:
            await self.ctx.storage.get("x")
            await trio.lowlevel.checkpoint()
            order.append(nth)

        async with trio.open_nursery() as nursery:
            for nth in range(3):
                nursery.start_soon(child, nth)
        assert sorted(order) == [0, 1, 2]
        self.ctx.storage.kv.put("n", n + 1)
        return n + 1

    def __repr__(self) -> str:
        return "<Litmus>"


@pytest.mark.parametrize("method", ["by_storage", "by_sql", "by_checkpoint", "by_settled", "by_nursery"])
def test_storage_awaits_and_checkpoints_never_let_another_event_in(passes: Any, roams: Any, method: str) -> None:
    """IG-4, IG-10, OG-16, TM-10, LT-1, LT-5, LT-6, LT-11: five concurrent read-modify-writes give five."""

    async def drive(world: World) -> None:
        calls = [getattr(world.env.LITMUS.get_by_name("o"), method)() for _ in range(5)]
        assert sorted(await gather(*calls)) == [1, 2, 3, 4, 5]

    passes(drive, LITMUS=Litmus, REMOTE=Remote)
    roams(drive, LITMUS=Litmus, REMOTE=Remote, schedules=12)


@pytest.mark.parametrize("method", ["by_zero", "by_sleep", "by_call", "by_sync", "by_memory"])
def test_any_other_await_lets_the_others_in_and_updates_are_lost(passes: Any, method: str) -> None:
    """IG-8, IG-12, OG-17, LT-2, LT-4, LT-7, LT-33: all read before the first of them writes."""

    async def drive(world: World) -> None:
        calls = [getattr(world.env.LITMUS.get_by_name("o"), method)() for _ in range(5)]
        assert await gather(*calls) == [1, 1, 1, 1, 1]

    passes(drive, LITMUS=Litmus, REMOTE=Remote)


def test_an_await_that_ends_the_turn_loses_updates_or_not_by_the_order(roams: Any) -> None:
    """LT-2: one or two are both seen, and nothing else."""
    seen: set[int] = set()

    async def drive(world: World) -> None:
        results = await gather(*(world.env.LITMUS.get_by_name("o").by_call() for _ in range(2)))
        n = world.object("LITMUS", "o").storage.kv.get("n")
        assert n == max(results)
        seen.add(n)

    roams(drive, LITMUS=Litmus, REMOTE=Remote)
    assert seen == {1, 2}


def test_children_of_one_handler_wait_while_another_event_has_the_gate(passes: Any) -> None:
    """IG-1, IG-3, IG-8: a resumed await in a nursery child is an event of its own."""

    class Room(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.inside = 0
            self.log: list[str] = []

        async def fan_out(self) -> list[str]:
            async def child(nth: int) -> None:
                await self.env.REMOTE.ping()
                self.inside += 1
                assert self.inside == 1, "two turns at once"
                for _ in range(3):
                    await trio.lowlevel.checkpoint()
                self.log.append(f"child {nth}")
                self.inside -= 1

            async with trio.open_nursery() as nursery:
                for nth in range(3):
                    nursery.start_soon(child, nth)
            return self.log

        async def busy(self) -> None:
            self.inside += 1
            assert self.inside == 1, "two turns at once"
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            self.log.append("busy")
            self.inside -= 1

    async def drive(world: World) -> None:
        room = world.env.ROOM.get_by_name("r")
        log, _, _ = await gather(room.fan_out(), room.busy(), room.busy())
        assert sorted(log) == ["busy", "busy", "child 0", "child 1", "child 2"]

    passes(drive, ROOM=Room, REMOTE=Remote)


def test_events_run_in_order_of_arrival(passes: Any) -> None:
    """IG-2, IG-3, LT-10: those that queue behind a section begin in the order they came."""

    class Room(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.log: list[int] = []
            ctx.block_concurrency_while(lambda: self.env.REMOTE.ping())

        def note(self, nth: int) -> list[int]:
            self.log.append(nth)
            return self.log

    async def drive(world: World) -> None:
        room = world.env.ROOM.get_by_name("r")
        assert (await gather(*(room.note(n) for n in range(20))))[-1] == list(range(20))

    passes(drive, ROOM=Room, REMOTE=Remote)


def test_one_event_may_resolve_what_another_awaits(passes: Any) -> None:
    """IG-15, LT-11: the waiter goes on within the turn of the event that woke it."""

    class Room(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.event = trio.Event()
            self.log: list[str] = []

        async def wait(self) -> list[str]:
            await self.event.wait()
            self.log.append("waited")
            return self.log

        async def wake(self) -> None:
            self.event.set()
            self.log.append("woke")
            await self.env.REMOTE.ping()
            self.log.append("after")

    async def drive(world: World) -> None:
        room = world.env.ROOM.get_by_name("r")
        waiting = room.wait()
        await world.settle()
        assert not waiting.done
        await room.wake()
        assert (await waiting)[:2] == ["woke", "waited"]

    passes(drive, ROOM=Room, REMOTE=Remote)


# ------------------------------------------------------------------------------------------- constructor


class Prepared(DurableObject):
    """Prepares itself in a critical section of its constructor."""

    constructed = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Prepared.constructed += 1
        self.log = ["new"]
        ctx.block_concurrency_while(self.prepare)
        ctx.block_concurrency_while(lambda: self.log.append("second"))
        self.log.append("constructed")

    async def prepare(self) -> None:
        self.log.append("preparing")
        await self.env.REMOTE.ping()
        await trio.sleep(0.01)
        self.log.append("ready")

    def seen(self) -> list[str]:
        return self.log


def test_the_constructor_runs_once_and_its_sections_before_the_first_event(passes: Any, roams: Any) -> None:
    """IG-16, IG-18, IG-19, IG-28, LT-13, LT-15, LT-16."""

    async def drive(world: World) -> None:
        Prepared.constructed = 0
        many = await gather(*(world.env.PREPARED.get_by_name("p").seen() for _ in range(10)))
        assert many == [["new", "constructed", "preparing", "ready", "second"]] * 10
        assert Prepared.constructed == 1

    passes(drive, PREPARED=Prepared, REMOTE=Remote)
    roams(drive, PREPARED=Prepared, REMOTE=Remote, schedules=20)


def test_without_a_section_events_overtake_the_preparation(passes: Any) -> None:
    """IG-17, LT-14: nobody awaits what the constructor leaves running."""

    class Unprepared(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.ready = False
            ctx.wait_until(self.prepare())

        async def prepare(self) -> None:
            await self.env.REMOTE.ping()
            self.ready = True

        def seen(self) -> bool:
            return self.ready

    async def drive(world: World) -> None:
        stub = world.env.O.get_by_name("o")
        assert await stub.seen() is False
        await world.settle()
        assert await stub.seen() is True

    passes(drive, O=Unprepared, REMOTE=Remote)


# ------------------------------------------------------------------------------------------- sections


class Sections(DurableObject):
    """Logs what happens around critical sections."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    def note(self, text: str) -> None:
        self.log.append(text)

    def seen(self) -> list[str]:
        return self.log

    async def part(self, name: str) -> str:
        self.log.append(f"{name} begins")
        await self.env.REMOTE.ping()
        await trio.sleep(1)
        self.log.append(f"{name} ends")
        return name

    async def one(self) -> str:
        pending = self.ctx.block_concurrency_while(lambda: self.part("a"))
        self.log.append("called")
        result: str = await pending
        self.log.append(f"after {result}")
        return result

    async def two(self) -> list[str]:
        first = self.ctx.block_concurrency_while(lambda: self.part("a"))
        second = self.ctx.block_concurrency_while(lambda: self.part("b"))
        return await gather(first, second)

    async def nested(self) -> list[str]:
        async def outer() -> None:
            self.log.append("outer begins")
            await self.ctx.block_concurrency_while(lambda: self.part("inner"))
            self.log.append("outer ends")

        await self.ctx.block_concurrency_while(outer)
        self.log.append("after")
        return self.log

    async def loose(self) -> list[str]:
        """Nobody awaits the inner ones, nor the outer one."""

        def outer() -> None:
            self.log.append("outer")
            self.ctx.block_concurrency_while(lambda: self.part("x"))
            self.ctx.block_concurrency_while(lambda: self.log.append("y"))

        self.ctx.block_concurrency_while(outer)
        self.ctx.block_concurrency_while(lambda: self.log.append("z"))
        await self.env.REMOTE.ping()
        self.log.append("handler")
        return self.log

    async def own_timer(self) -> str:
        async def callback() -> str:
            await trio.sleep(5)
            return "slept"

        return await self.ctx.block_concurrency_while(callback)

    async def caught(self) -> str:
        async def callback() -> str:
            try:
                raise ValueError("inside")
            except ValueError:
                return "caught"

        return await self.ctx.block_concurrency_while(callback)

    async def deep(self, levels: int) -> int:
        deepest = 0

        async def level(nth: int) -> None:
            nonlocal deepest
            deepest = nth
            if nth < levels:
                await self.ctx.block_concurrency_while(lambda: level(nth + 1))

        await self.ctx.block_concurrency_while(lambda: level(1))
        return deepest

    async def escaping_task(self) -> list[str]:
        """A task begun in the section goes on after it."""

        async def task() -> None:
            self.log.append("task begins")
            await self.env.REMOTE.ping()
            self.log.append("task ends")

        def callback() -> None:
            self.ctx.wait_until(task())
            self.log.append("section")

        await self.ctx.block_concurrency_while(callback)
        self.log.append("after")
        await trio.sleep(1)
        return self.log


def test_code_behind_a_section_comes_before_anything_queued(passes: Any, roams: Any) -> None:
    """IG-19, IG-22, IG-25, LT-15, LT-17: and code behind the call before the callback."""

    async def drive(world: World) -> None:
        stub = world.env.S.get_by_name("s")
        first = stub.one()
        others = [world.env.S.get_by_name("s").note(f"note {n}") for n in range(3)]
        await gather(first, *others)
        log = await world.env.S.get_by_name("s").seen()
        at = log.index("called")
        assert log[at : at + 4] == ["called", "a begins", "a ends", "after a"]

    passes(drive, S=Sections, REMOTE=Remote)
    roams(drive, S=Sections, REMOTE=Remote, schedules=30)


def test_two_sections_of_one_turn_run_in_order_with_nothing_between(passes: Any, roams: Any) -> None:
    """IG-28, LT-16."""

    async def drive(world: World) -> None:
        together = world.env.S.get_by_name("s").two()
        others = [world.env.S.get_by_name("s").note("note") for _ in range(3)]
        assert (await gather(together, *others))[0] == ["a", "b"]
        log = await world.env.S.get_by_name("s").seen()
        at = log.index("a begins")
        assert log[at : at + 4] == ["a begins", "a ends", "b begins", "b ends"]

    passes(drive, S=Sections, REMOTE=Remote)
    roams(drive, S=Sections, REMOTE=Remote, schedules=30)


def test_an_inner_section_blocks_the_outer_one(passes: Any) -> None:
    """IG-23, IG-27."""

    async def drive(world: World) -> None:
        stub = world.env.S.get_by_name("s")
        log, _ = await gather(stub.nested(), stub.note("queued"))
        assert log == ["outer begins", "inner begins", "inner ends", "outer ends", "after"]
        assert (await stub.seen())[-1] == "queued"

    passes(drive, S=Sections, REMOTE=Remote)


def test_sections_that_nobody_awaits_run_and_lose_no_event(passes: Any, roams: Any) -> None:
    """IG-22, IG-26, IG-28: inner ones that outlive the outer one are adopted, behind what waited already."""

    async def drive(world: World) -> None:
        loose = world.env.S.get_by_name("s").loose()
        notes = [world.env.S.get_by_name("s").note(f"note {n}") for n in range(4)]
        await gather(loose, *notes)
        log = await world.env.S.get_by_name("s").seen()
        assert sorted(log) == sorted(
            ["outer", "x begins", "x ends", "y", "z", "handler", "note 0", "note 1", "note 2", "note 3"]
        )
        # The inner ones were called in the outer one and are its children still; z was queued before they were adopted.
        at = log.index("x begins")
        assert log[at + 1] == "x ends"
        assert log.index("outer") < log.index("z")
        assert log.index("outer") < at < log.index("y")

    passes(drive, S=Sections, REMOTE=Remote)
    roams(drive, S=Sections, REMOTE=Remote)


def test_a_task_that_outlives_its_section_is_adopted(passes: Any) -> None:
    """IG-26."""

    async def drive(world: World) -> None:
        log = await world.env.S.get_by_name("s").escaping_task()
        assert log[0] == "section"
        assert log.index("after") < log.index("task ends")

    passes(drive, S=Sections, REMOTE=Remote)


def test_timers_of_its_own_reach_a_section(passes: Any) -> None:
    """IG-22, LT-21."""

    async def drive(world: World) -> None:
        assert await world.env.S.get_by_name("s").own_timer() == "slept"

    passes(drive, S=Sections, REMOTE=Remote)


def test_an_error_caught_inside_resets_nothing(passes: Any) -> None:
    """LT-19."""

    async def drive(world: World) -> None:
        assert await world.env.S.get_by_name("s").caught() == "caught"
        assert world.object("S", "s").incarnations == 1

    passes(drive, S=Sections, REMOTE=Remote)


def test_sections_nest_sixty_four_deep(passes: Any) -> None:
    """IG-27, LT-22: one more raises, which may be caught; uncaught in a section it resets."""

    async def drive(world: World) -> None:
        stub = world.env.S.get_by_name("s")
        assert await stub.deep(64) == 64
        with pytest.raises(Exception, match="nested too deeply"):
            await stub.deep(65)

    passes(drive, S=Sections, REMOTE=Remote)


class Failing(DurableObject):
    """Fails in sections."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.memory = 0

    async def fail(self, log: str) -> str:
        self.memory = 1
        self.ctx.storage.kv.put("before", 1)

        async def callback() -> None:
            self.ctx.storage.kv.put("inside", 1)
            raise ValueError("E")

        try:
            await self.ctx.block_concurrency_while(callback)
        except BaseException as error:
            if type(error).__name__ != "Cancelled":
                Failing.resumed.append(log)
            raise
        finally:
            await trio.lowlevel.checkpoint()
        return "went on"

    async def fail_inside(self) -> str:
        async def inner() -> None:
            raise KeyError("inner")

        async def outer() -> str:
            try:
                await self.ctx.block_concurrency_while(inner)
            except KeyError:
                Failing.resumed.append("rescued")
            return "rescued"

        return await self.ctx.block_concurrency_while(outer)

    async def fail_unawaited(self) -> str:
        async def callback() -> None:
            raise ValueError("unawaited")

        self.ctx.block_concurrency_while(callback)
        await self.env.REMOTE.ping()
        return "went on"

    async def slow(self) -> str:
        await trio.sleep(1)
        return "slow"

    def seen(self) -> int:
        return self.memory

    async def hang(self) -> None:
        await self.ctx.block_concurrency_while(lambda: trio.sleep_forever())  # noqa: ASYNC105  # the section awaits it

    async def outer_timer(self) -> None:
        """Awaits in the section what was begun outside."""
        done = trio.Event()
        self.ctx.set_timeout(done.set, 0.01)
        await self.ctx.block_concurrency_while(done.wait)

    async def blocked_timer(self) -> None:
        """A timer of outside is due during the section, and so holds up the section's own (TM-5)."""
        self.ctx.set_timeout(lambda: None, 0.01)
        await self.ctx.block_concurrency_while(lambda: trio.sleep(0.02))  # noqa: ASYNC105  # the section awaits it

    resumed: list[str] = []


def test_a_failed_section_resets_and_nobody_awaiting_resumes(passes: Any) -> None:
    """IG-20, LC-31, LC-34, LT-18: every caller hears the error; memory is gone, what was durable stays."""

    async def drive(world: World) -> None:
        Failing.resumed = []
        stub = world.env.F.get_by_name("f")
        earlier = stub.slow()
        results = await outcomes(stub.fail("1"), earlier, stub.seen())
        for result in results:
            error = error_of(result)
            assert (type(error), error.args) == (ValueError, ("E",))
            assert error.durable_object_reset is True
            assert error.remote is True  # user code threw it, and this is production (section 11)
            assert not hasattr(error, "retryable")
        assert len({id(r.error) for r in results}) == 3
        with pytest.raises(ValueError, match="E"):
            await stub.seen()
        assert await world.env.F.get_by_name("f").seen() == 0
        view = world.object("F", "f")
        assert view.storage.kv.get("before") == 1
        assert view.storage.kv.get("inside") is None
        assert view.incarnations == 2

    passes(drive, F=Failing, REMOTE=Remote)
    assert Failing.resumed == []


def test_an_inner_failure_cannot_be_rescued_by_the_outer_section(passes: Any) -> None:
    """IG-29."""

    async def drive(world: World) -> None:
        Failing.resumed = []
        with pytest.raises(KeyError, match="inner") as caught:
            await world.env.F.get_by_name("f").fail_inside()
        assert caught.value.durable_object_reset  # type: ignore[attr-defined]  # as the platform sets it

    passes(drive, F=Failing, REMOTE=Remote)
    assert Failing.resumed == []


def test_a_failed_section_resets_also_where_nobody_awaits_it(passes: Any) -> None:
    """IG-20."""

    async def drive(world: World) -> None:
        with pytest.raises(ValueError, match="unawaited"):
            await world.env.F.get_by_name("f").fail_unawaited()
        assert await world.env.F.get_by_name("f").seen() == 0

    passes(drive, F=Failing, REMOTE=Remote)


@pytest.mark.parametrize("method", ["hang", "outer_timer", "blocked_timer"])
def test_a_section_has_thirty_seconds(passes: Any, method: str) -> None:
    """IG-21, IG-24, TM-5, LT-20, LT-21."""

    async def drive(world: World) -> None:
        begun = world.now()
        with pytest.raises(Exception, match="waited for too long") as caught:
            await getattr(world.env.F.get_by_name("f"), method)()
        assert 30 <= world.now() - begun < 30.1
        assert caught.value.overloaded  # type: ignore[attr-defined]  # as the platform sets it
        assert caught.value.durable_object_reset  # type: ignore[attr-defined]  # as the platform sets it
        assert await world.env.F.get_by_name("f").seen() == 0

    passes(drive, F=Failing, REMOTE=Remote)


def test_the_thirty_seconds_begin_with_the_callback(passes: Any) -> None:
    """IG-21: two sections of twenty seconds each are fine."""

    class Slow(DurableObject):
        async def go(self) -> str:
            first = self.ctx.block_concurrency_while(lambda: trio.sleep(20))  # noqa: ASYNC105  # the section awaits it
            second = self.ctx.block_concurrency_while(lambda: trio.sleep(20))  # noqa: ASYNC105  # the section awaits it
            await gather(first, second)
            return "done"

    async def drive(world: World) -> None:
        assert await world.env.S.get_by_name("s").go() == "done"
        assert world.now() >= 40

    passes(drive, S=Slow)


def test_the_timeout_of_a_dead_instance_delays_nobody(passes: Any) -> None:
    """A section's timer is called off with its instance: a settled world does not wait for it."""

    async def drive(world: World) -> None:
        hanging = world.env.F.get_by_name("f").hang()
        await world.advance(1)
        world.object("F", "f").crash()
        await world.settle()
        assert world.now() < 2
        assert hanging.done

    passes(drive, F=Failing, REMOTE=Remote)


# ------------------------------------------------------------------------------------------- transactions


class Bank(DurableObject):
    """Moves money in transactions."""

    async def fail(self) -> str:
        try:
            await self.ctx.storage.transaction(self._halfway)
        except ValueError:
            return f"rolled back, {self.ctx.storage.kv.get('a')}"
        return "kept"

    async def _halfway(self, txn: Any) -> None:
        await txn.put("a", 1)
        self.ctx.storage.kv.put("b", 1)
        await self.env.REMOTE.ping()
        raise ValueError("no")

    async def succeed(self) -> Any:
        async def body(txn: Any) -> Any:
            await txn.put("a", 1)
            await self.env.REMOTE.ping()
            await txn.put("b", 2)
            return await txn.get("a")

        return await self.ctx.storage.transaction(body)

    async def give_up(self) -> Any:
        def body(txn: Any) -> str:
            txn.put("a", 1)
            txn.rollback()
            return "value"

        return await self.ctx.storage.transaction(body)

    async def hang(self) -> None:
        async def body(txn: Any) -> None:
            await txn.put("a", 1)
            await trio.sleep_forever()

        await self.ctx.storage.transaction(body)

    async def in_section(self) -> Any:
        """A transaction in a section, and a section in a transaction."""

        async def body(txn: Any) -> Any:
            await txn.put("a", 1)
            return await self.ctx.block_concurrency_while(lambda: self.ctx.storage.get("a"))

        return await self.ctx.block_concurrency_while(lambda: self.ctx.storage.transaction(body))

    async def after_write(self) -> Any:
        """The turn's own writes are committed before the transaction begins (IG-13)."""
        self.ctx.storage.kv.put("own", 1)

        def body(txn: Any) -> None:
            raise ValueError("no")

        try:
            await self.ctx.storage.transaction(body)
        except ValueError:
            return self.ctx.storage.kv.get("own")

    def read(self) -> Any:
        return self.ctx.storage.kv.get("a"), self.ctx.storage.kv.get("b")


def test_a_transaction_that_raises_rolls_back_and_resets_nothing(passes: Any) -> None:
    """IG-30, OG-28, LT-39: and nobody reads what it wrote meanwhile."""

    async def drive(world: World) -> None:
        stub = world.env.B.get_by_name("b")
        text, seen = await gather(stub.fail(), stub.read())
        assert (text, seen) == ("rolled back, None", [None, None])
        assert world.object("B", "b").incarnations == 1

    passes(drive, B=Bank, REMOTE=Remote)


def test_a_transaction_keeps_all_and_its_value(passes: Any) -> None:
    """OG-28."""

    async def drive(world: World) -> None:
        stub = world.env.B.get_by_name("b")
        assert await gather(stub.succeed(), stub.read()) == [1, [1, 2]]
        assert await stub.give_up() == "value"
        assert await stub.in_section() == 1
        assert await stub.after_write() == 1

    passes(drive, B=Bank, REMOTE=Remote)


def test_a_transaction_given_up_returns_its_value(passes: Any) -> None:
    """OG-29."""

    async def drive(world: World) -> None:
        stub = world.env.B.get_by_name("b")
        assert await stub.give_up() == "value"
        assert await stub.read() == [None, None]

    passes(drive, B=Bank, REMOTE=Remote)


def test_a_transaction_past_thirty_seconds_resets(passes: Any) -> None:
    """IG-30."""

    async def drive(world: World) -> None:
        with pytest.raises(Exception, match="waited for too long"):
            await world.env.B.get_by_name("b").hang()
        assert await world.env.B.get_by_name("b").read() == [None, None]
        assert world.object("B", "b").incarnations == 2

    passes(drive, B=Bank, REMOTE=Remote)


# ------------------------------------------------------------------------------------------- odd sections


class Odd(DurableObject):
    """Sections in places where one does not expect them."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    def seen(self) -> list[str]:
        return self.log

    async def never(self) -> None:
        await self.ctx.block_concurrency_while(trio.Event().wait)

    async def long(self) -> str:
        async def section() -> str:
            await trio.sleep(1)
            await self.env.REMOTE.ping()
            await self.ctx.block_concurrency_while(lambda: trio.sleep(1))  # noqa: ASYNC105  # the section awaits it
            return "done"

        return await self.ctx.block_concurrency_while(section)

    async def outer_timer(self) -> None:
        rung = trio.Event()
        self.ctx.set_timeout(rung.set, 1)
        await self.ctx.block_concurrency_while(rung.wait)

    async def in_transaction(self, fails: bool) -> str:
        async def section() -> None:
            self.log.append("section")
            await self.env.REMOTE.ping()
            self.ctx.storage.kv.put("inner", 1)
            self.log.append("section ends")

        async def body(txn: Any) -> str:
            await txn.put("outer", 1)
            pending = self.ctx.block_concurrency_while(section)
            self.log.append("body")
            await pending
            self.log.append("body ends")
            if fails:
                raise ValueError("after the section")
            return "kept"

        return await self.ctx.storage.transaction(body)

    def stored(self) -> list[Any]:
        self.log.append("stored")
        return [self.ctx.storage.kv.get("outer"), self.ctx.storage.kv.get("inner")]


@pytest.mark.parametrize("breaks", [False, True])
def test_a_section_that_awaits_what_cannot_come(passes: Any, breaks: bool) -> None:
    """IG-24: after thirty seconds, or at once where the runtime notices; a timer outside is no such case."""

    async def drive(world: World) -> None:
        stub = world.env.O.get_by_name("o")
        assert await stub.long() == "done"
        began = world.now()
        [error] = map(error_of, await outcomes(stub.never()))
        assert ("apparently will never complete" in str(error), world.now() - began < 1) == (breaks, breaks)
        assert getattr(error, "durable_object_reset", False)
        began = world.now()
        [error] = map(error_of, await outcomes(world.env.O.get_by_name("o").outer_timer()))
        assert ("waited for too long" in str(error), world.now() - began) == (True, 30)

    options = WorldOptions(objects=MachineOptions(hung_sections_break=breaks))
    passes(drive, options=options, O=Odd, REMOTE=Remote)


@pytest.mark.parametrize("fails", [False, True])
def test_a_section_inside_a_transaction_belongs_to_it(passes: Any, fails: bool) -> None:
    """IG-23, IG-27, IG-30, OG-28: it blocks the rest of the transaction, and is rolled back with it."""

    async def drive(world: World) -> None:
        stub = world.env.O.get_by_name("o")
        transaction, stored = stub.in_transaction(fails), stub.stored()
        [ended] = await outcomes(transaction)
        assert isinstance(getattr(ended, "error", None), ValueError) == fails
        assert await stored == ([None, None] if fails else [1, 1])
        assert await stub.seen() == ["body", "section", "section ends", "body ends", "stored"]

    passes(drive, O=Odd, REMOTE=Remote)


def test_a_driver_may_begin_a_section_from_outside(passes: Any) -> None:
    """IG-19: no turn of the object has the lock then."""

    async def drive(world: World) -> None:
        stub = world.env.O.get_by_name("o")
        await stub.seen()
        instance = world.object("O", "o").instance

        async def section() -> str:
            instance.log.append("section")
            return "from outside"

        pending = instance.ctx.block_concurrency_while(section)
        assert await stub.seen() == ["section"]
        assert pending.done

    passes(drive, O=Odd)

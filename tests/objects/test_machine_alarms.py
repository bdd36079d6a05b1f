"""Alarms of simulated objects, in virtual time (AL-*)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, MachineOptions, World, WorldOptions
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.objects import AlarmInfo, Pending
from lumenize_sim.objects.machine import ObjectMachine


async def error_of(pending: Pending[Any]) -> BaseException:
    try:
        value = await pending
    except Exception as error:
        return error
    raise AssertionError(f"{value!r} instead of an error")


class Clock(DurableObject):
    """Does in its alarm what `plan` says, one entry for each run."""

    plan: list[str] = []
    runs: list[tuple[float, int, bool]] = []
    shown: list[int | None] = []

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.begun = 0

    def now(self) -> int:
        return self.ctx.host.now_ms()

    async def set(self, in_ms: int) -> int | None:
        await self.ctx.storage.set_alarm(self.now() + in_ms)
        return await self.ctx.storage.get_alarm()

    async def set_at(self, when: Any) -> int | None:
        await self.ctx.storage.set_alarm(when)
        return await self.ctx.storage.get_alarm()

    async def get(self) -> int | None:
        return await self.ctx.storage.get_alarm()

    async def delete(self) -> None:
        await self.ctx.storage.delete_alarm()

    async def delete_all(self) -> int:
        await self.ctx.storage.delete_all()
        return self.ctx.storage.wipes

    async def set_and_roll_back(self) -> int | None:
        async def body(txn: Any) -> None:
            await txn.set_alarm(self.now() + 9000)
            raise ValueError("no")

        try:
            await self.ctx.storage.transaction(body)
        except ValueError:
            return await self.ctx.storage.get_alarm()
        return -1

    def abort(self, retry: bool) -> None:
        self.ctx.abort("aborted", retry_alarm=retry)

    async def block(self, seconds: float) -> None:
        await self.ctx.block_concurrency_while(lambda: trio.sleep(seconds))  # noqa: ASYNC105  # the section awaits it

    def begun_runs(self) -> int:
        return self.begun

    async def alarm(self, info: AlarmInfo) -> None:
        assert self.now() >= info.scheduled_time
        self.begun += 1
        Clock.runs.append(((self.now() - 1_767_225_600_000) / 1000, info.retry_count, info.is_retry))
        Clock.shown.append(await self.ctx.storage.get_alarm())
        todo = Clock.plan.pop(0) if Clock.plan else "return"
        self.ctx.storage.kv.put("ran", len(Clock.runs))
        if todo == "throw":
            raise ValueError("alarm failed")
        if todo.startswith("sleep"):
            await trio.sleep(float(todo[6:] or 5))
        if todo.startswith("set"):
            await self.ctx.storage.set_alarm(self.now() + 5000)
        if todo == "again":
            await self.ctx.storage.set_alarm(info.scheduled_time)
        if todo.startswith("delete"):
            await self.ctx.storage.delete_alarm()
        if todo.endswith("throw"):
            raise ValueError("alarm failed")
        if todo == "abort":
            self.ctx.abort("in the handler")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Clock.plan, Clock.runs, Clock.shown = [], [], []


def counts() -> list[int]:
    return [count for _, count, _ in Clock.runs]


def test_an_alarm_runs_once_at_its_time(passes: Any) -> None:
    """AL-5, AL-11, AL-13, AL-17, LT-52: gone inside the handler and after it."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        assert await stub.get() is None
        assert await stub.set(50) == world.host.now_ms() + 50
        await world.settle()
        assert Clock.runs == [(0.05, 0, False)]
        assert Clock.shown == [None]
        assert await stub.get() is None
        assert world.object("CLOCK", "c").alarm_ms is None
        await world.advance(4000)
        assert len(Clock.runs) == 1

    passes(drive, CLOCK=Clock)


def test_a_second_time_replaces_the_first(passes: Any) -> None:
    """AL-1, AL-8, LT-53: earlier and later."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        await stub.set(5000)
        await stub.set(9000)
        await stub.set(2000)
        await world.settle()
        assert Clock.runs == [(2.0, 0, False)]

    passes(drive, CLOCK=Clock)


def test_times_are_checked_and_past_ones_become_now(passes: Any) -> None:
    """AL-2, LT-54."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        await world.advance(3)
        assert await stub.set_at(1) == world.host.now_ms()
        assert "<= 0" in str(await error_of(stub.set_at(0)))
        when = datetime.fromtimestamp(world.host.now_ms() / 1000 + 5, UTC)
        assert await stub.set_at(when) == world.host.now_ms() + 5000
        await world.settle()
        assert [round(at) for at, _, _ in Clock.runs] == [3, 8]

    passes(drive, CLOCK=Clock)


def test_a_class_without_a_handler_cannot_set_one_but_in_its_constructor(passes: Any) -> None:
    """AL-3, AL-27: which then is dropped when it is due."""

    class Mute(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            if ctx.storage.kv.get("known") is None:
                ctx.storage.kv.put("known", True)
                ctx.storage.set_alarm(ctx.host.now_ms() + 1000)

        async def set(self) -> None:
            await self.ctx.storage.set_alarm(self.ctx.host.now_ms() + 1)

        def nothing(self) -> None: ...

    async def drive(world: World) -> None:
        stub = world.env.MUTE.get_by_name("m")
        error = await error_of(stub.set())
        assert (type(error), "must have an alarm() handler" in str(error)) == (TypeError, True)
        view = world.object("MUTE", "m")
        assert view.alarm_ms == world.host.now_ms() + 1000
        await world.settle()
        assert view.alarm_ms is None

    passes(drive, MUTE=Mute)


def test_an_alarm_is_part_of_its_transaction(passes: Any) -> None:
    """AL-4, AL-20, LT-61; and deleteAll takes it along (ST-27, LT-48)."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        assert await stub.set_and_roll_back() is None
        at = await stub.set(5000)
        assert await stub.set_and_roll_back() == at
        assert await stub.delete_all() == 1
        assert await stub.get() is None
        await world.settle()
        assert Clock.runs == []

    passes(drive, CLOCK=Clock)


def test_a_deleted_alarm_does_not_run_and_a_running_one_is_not_stopped(passes: Any) -> None:
    """AL-6, AL-14, AL-29, LT-62: requests are served meanwhile."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        await stub.set(1000)
        await stub.delete()
        await world.settle()
        assert Clock.runs == []
        Clock.plan = ["sleep 5"]
        await stub.set(1000)
        await world.advance(2)
        assert await stub.begun_runs() == 1
        await stub.delete()
        await world.settle()
        assert counts() == [0]

    passes(drive, CLOCK=Clock)


def test_the_same_time_again_is_no_write(passes: Any) -> None:
    """AL-7: nothing to hold an answer back."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        at = world.host.now_ms() + 60_000
        await stub.set_at(at)
        before = world.object("CLOCK", "c")._machine.durable.number
        await stub.set_at(at)
        assert world.object("CLOCK", "c")._machine.durable.number == before

    passes(drive, CLOCK=Clock)


@pytest.mark.parametrize("end", ["hibernate", "evict", "crash"])
def test_an_alarm_wakes_an_object_that_is_not_in_memory(passes: Any, end: str) -> None:
    """AL-12, LC 1.4, LT-63: also when nothing else does."""

    async def drive(world: World) -> None:
        await world.env.CLOCK.get_by_name("c").set(30_000)
        view = world.object("CLOCK", "c")
        getattr(view, end)()
        assert not view.in_memory
        assert view.alarm_ms is not None
        await world.advance(31)
        assert Clock.runs == [(30.0, 0, False)]
        assert view.incarnations == 2

    passes(drive, CLOCK=Clock)


def test_an_alarm_waits_for_a_section(passes: Any) -> None:
    """AL-11, AL-14."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        await stub.set(1000)
        await stub.block(5)
        await world.settle()
        assert Clock.runs == [(5.0, 0, False)]

    passes(drive, CLOCK=Clock)


def test_a_handler_that_always_throws_runs_seven_times(passes: Any) -> None:
    """AL-21, AL-22, AL-23, LT-55: on the same instance, and then the alarm is gone; writes of each run are kept."""

    async def drive(world: World) -> None:
        Clock.plan = ["throw"] * 9
        stub = world.env.CLOCK.get_by_name("c")
        at = await stub.set(1000)
        await world.advance(2)
        assert await stub.get() == at  # AL-5, LT-56: between failure and retry
        await world.advance(400)
        assert counts() == [0, 1, 2, 3, 4, 5, 6]
        assert [retry for _, _, retry in Clock.runs] == [False] + [True] * 6
        times = [at for at, _, _ in Clock.runs]
        for nominal, (before, after) in zip((2, 4, 8, 16, 32, 64), pairwise(times), strict=True):
            assert nominal <= after - before <= nominal * 1.25 + 0.001
        assert await stub.get() is None
        view = world.object("CLOCK", "c")
        assert (view.alarm_ms, view.storage.kv.get("ran")) == (None, 7)

    passes(drive, CLOCK=Clock)


def test_a_retry_can_be_deleted(passes: Any) -> None:
    """AL-30, LT-56."""

    async def drive(world: World) -> None:
        Clock.plan = ["throw"]
        stub = world.env.CLOCK.get_by_name("c")
        await stub.set(1000)
        await world.advance(1.5)
        await stub.delete()
        await world.advance(100)
        assert counts() == [0]

    passes(drive, CLOCK=Clock)


@pytest.mark.parametrize(
    "todo, expected",
    [
        ("set", [0, 0]),  # AL-17, LT-57: the new one stands
        ("set throw", [0, 0]),  # AL-21, LT-58: it replaces the retry, counters restart
        ("again", [0, 0]),  # AL-17: the very same time as well
        ("delete", [0]),
        ("delete throw", [0]),  # AL-29: the retry wakes the object and is called off
    ],
)
def test_what_the_handler_sets_stands(passes: Any, todo: str, expected: list[int]) -> None:
    """AL-17, AL-21, AL-29."""

    async def drive(world: World) -> None:
        Clock.plan = [todo]
        await world.env.CLOCK.get_by_name("c").set(1000)
        await world.advance(200)
        assert counts() == expected
        assert world.object("CLOCK", "c").alarm_ms is None
        if todo.startswith("set"):
            assert Clock.runs[1][0] == 6.0

    passes(drive, CLOCK=Clock)


def test_handlers_of_one_object_do_not_overlap(passes: Any) -> None:
    """AL-15: a time that falls due during the run waits for its end."""

    async def drive(world: World) -> None:
        Clock.plan = ["sleep 5"]
        stub = world.env.CLOCK.get_by_name("c")
        await stub.set(1000)
        await world.advance(2)
        await stub.set(100)
        await stub.set(200)
        await world.advance(2)
        assert len(Clock.runs) == 1
        await world.settle()
        assert [at for at, _, _ in Clock.runs] == [1.0, 6.0]

    passes(drive, CLOCK=Clock)


def test_a_crash_in_the_handler_runs_it_again_from_the_start(passes: Any) -> None:
    """AL-10, AL-28, LT-59: what the first run wrote is there; a lost process does not count (AL-24)."""

    async def drive(world: World) -> None:
        Clock.plan = ["sleep 5"]
        await world.env.CLOCK.get_by_name("c").set(1000)
        await world.advance(2)
        view = world.object("CLOCK", "c")
        assert view.storage.kv.get("ran") == 1
        view.crash()
        await world.settle()
        assert counts() == [0, 0]
        assert (view.alarm_ms, view.storage.kv.get("ran")) == (None, 2)

    passes(drive, CLOCK=Clock)


def test_a_success_that_does_not_become_durable_is_none(passes: Any) -> None:
    """AL-18, AL-24, LT-60: the handler runs again, uncounted."""

    async def drive(world: World) -> None:
        await world.env.CLOCK.get_by_name("c").set(1000)
        await world.advance(0.5)
        world.object("CLOCK", "c").fail_next_flush()
        await world.settle()
        assert counts() == [0, 0]
        assert 2 <= Clock.runs[1][0] - Clock.runs[0][0] <= 2.5
        assert world.object("CLOCK", "c").alarm_ms is None

    passes(drive, CLOCK=Clock)


def test_a_new_time_that_is_lost_with_its_commit_leaves_the_old_one(passes: Any) -> None:
    """AL-8, AL-10: outside the handler, and inside."""

    async def drive(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        at = await stub.set(5000)
        world.object("CLOCK", "c").fail_next_flush()
        await error_of(stub.set(60_000))
        view = world.object("CLOCK", "c")
        assert view.alarm_ms == at
        await world.advance(4.5)
        Clock.plan = ["set"]
        view.fail_next_flush()
        await world.settle()
        assert [round(at) for at, _, _ in Clock.runs] == [5, 7]
        assert counts() == [0, 0]

    passes(drive, CLOCK=Clock)


def test_success_is_reported_when_it_is_durable(passes: Any) -> None:
    """AL-17: the scheduler knows of the run until then."""

    async def drive(world: World) -> None:
        await world.env.CLOCK.get_by_name("c").set(1000)
        await world.advance(1.5)
        machine: ObjectMachine = world.object("CLOCK", "c")._machine
        assert machine.alarms.scheduler.phase.value == "running"
        await world.settle()
        assert machine.alarms.scheduler.phase.value == "idle"
        assert counts() == [0]

    passes(drive, plan={fault_label("slow-flush", "CLOCK/c", 1): 2}, CLOCK=Clock)


@pytest.mark.parametrize("retry, expected", [(True, [0, 1]), (False, [0])])
def test_an_abort_during_the_handler_retries_or_not(passes: Any, retry: bool, expected: list[int]) -> None:
    """AL-24, AL-26, LT-64."""

    async def drive(world: World) -> None:
        Clock.plan = ["sleep 5"]
        await world.env.CLOCK.get_by_name("c").set(1000)
        await world.advance(2)
        await error_of(world.env.CLOCK.get_by_name("c").abort(retry))
        await world.settle()
        assert counts() == expected
        assert world.object("CLOCK", "c").alarm_ms is None

    passes(drive, CLOCK=Clock)


def test_an_abort_in_the_handler_itself_counts(passes: Any) -> None:
    """AL-24, AL-26."""

    async def drive(world: World) -> None:
        Clock.plan = ["abort"]
        await world.env.CLOCK.get_by_name("c").set(1000)
        await world.settle()
        assert counts() == [0, 1]

    passes(drive, CLOCK=Clock)


def test_a_handler_has_fifteen_minutes(passes: Any) -> None:
    """AL-16, LT-65: it is cut, and retried."""

    async def drive(world: World) -> None:
        Clock.plan = ["sleep 2000"]
        stub = world.env.CLOCK.get_by_name("c")
        await stub.set(1000)
        await world.advance(2)
        assert await stub.begun_runs() == 1
        await world.advance(950)
        assert counts() == [0, 1]
        assert 900 <= Clock.runs[1][0] - Clock.runs[0][0] <= 904
        assert "exceeded its allowed execution time" in str(await error_of(stub.begun_runs()))

    passes(drive, CLOCK=Clock)


def test_a_constructor_that_raises_fails_the_alarm_and_it_is_retried(passes: Any) -> None:
    """AL-12, AL-24, LC-31."""

    class Fragile(DurableObject):
        broken = False
        ran: list[int] = []

        def __init__(self, ctx: Any, env: Any) -> None:
            if Fragile.broken:
                Fragile.broken = False
                raise ValueError("not now")
            super().__init__(ctx, env)

        async def set(self) -> None:
            await self.ctx.storage.set_alarm(self.ctx.host.now_ms() + 1000)

        def alarm(self, info: AlarmInfo) -> None:
            Fragile.ran.append(info.retry_count)

    async def drive(world: World) -> None:
        await world.env.F.get_by_name("f").set()
        world.object("F", "f").evict()
        Fragile.broken = True
        await world.settle()
        assert Fragile.ran == [1]

    passes(drive, F=Fragile)


@pytest.mark.parametrize("date, left", [("2026-02-23", True), ("2026-02-24", False)])
def test_the_compatibility_date_decides_whether_delete_all_deletes_the_alarm(
    passes: Any, date: str, left: bool
) -> None:
    """ST-27."""

    class Deleting(DurableObject):
        async def go(self) -> bool:
            await self.ctx.storage.set_alarm(2_000_000_000_000)
            await self.ctx.storage.delete_all()
            return await self.ctx.storage.get_alarm() is not None

        def alarm(self, info: Any) -> None:
            """There is one."""

    async def drive(world: World) -> None:
        assert await world.env.D.get_by_name("d").go() is left

    passes(drive, options=WorldOptions(objects=MachineOptions(compatibility_date=date)), D=Deleting)

"""``svc.alarms``: the original's tests (T-AL-1 … T-AL-21), and what the mesh's AL- rules add to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lumenize_sim import DurableObject, Faults, LumenizeDO, Mesh, World, explore, mesh, scenario, simulate
from lumenize_sim.mesh import NadisPlugin
from lumenize_sim.mesh.services import Schedule
from lumenize_sim.mesh.services.schedule import Ulids

#: When simulated runs begin, in epoch seconds.
EPOCH_S = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def told(schedule: Schedule | None) -> dict[str, Any] | None:
    """A schedule as it can be returned from an object."""
    if schedule is None:
        return None
    return {
        "id": schedule.id,
        "type": schedule.type,
        "time": schedule.time,
        "delay": schedule.delay_in_seconds,
        "cron": schedule.cron,
        "chain": schedule.operation_chain,
    }


class Diary(LumenizeDO):
    """Schedules notes; a note is kept in storage, so that evictions do not matter."""

    def at(self, when: Any, *values: Any) -> Any:
        return told(self.svc.alarms.schedule(when, self.ctn().note(*values)))

    def named(self, id: str, when: Any, *values: Any) -> Any:
        return told(self.svc.alarms.schedule(when, self.ctn().note(*values), id=id))

    def in_a_minute(self, *values: Any) -> Any:
        return told(self.svc.alarms.schedule(timedelta(minutes=1), self.ctn().note(*values)))

    def note(self, *values: Any) -> None:
        log = self.ctx.storage.kv.get("log") or []
        self.ctx.storage.kv.put("log", [*log, list(values)])

    def log(self) -> list[Any]:
        return self.ctx.storage.kv.get("log") or []

    def get(self, id: str) -> Any:
        return told(self.svc.alarms.get_schedule(id))

    def ids(self, conditions: dict[str, Any]) -> list[str]:
        return [schedule.id for schedule in self.svc.alarms.get_schedules(**conditions)]

    def cancel(self, id: str) -> Any:
        return told(self.svc.alarms.cancel_schedule(id))

    async def trigger(self, count: int | None = None) -> list[str]:
        return await self.svc.alarms.trigger_alarms(count)

    # -- handlers ----------------------------------------------------------------------

    def at_failing(self, when: Any, id: str) -> None:
        self.svc.alarms.schedule(when, self.ctn().failing(), id=id)

    def failing(self) -> None:
        raise ValueError("no")

    def at_again(self, when: Any, times: int) -> None:
        self.svc.alarms.schedule(when, self.ctn().again(times), id="again")

    def again(self, times: int) -> None:
        self.note("again", times)
        if times > 1:
            self.at_again(1, times - 1)

    def at_nested(self) -> None:
        self.svc.alarms.schedule(
            1, self.ctn().note(self.ctn().echo("inner"), {"since": datetime(2026, 1, 2, tzinfo=UTC)})
        )

    def echo(self, text: str) -> str:
        return text.upper()

    def at_context(self) -> None:
        self.svc.alarms.schedule(1, self.ctn().has_context())

    def has_context(self) -> None:
        try:
            self.note(str(self.lmz.call_context))
        except Exception as error:
            self.note(type(error).__name__)

    def at_slow(self, when: Any, value: Any) -> None:
        self.svc.alarms.schedule(when, self.ctn().slow(value))

    async def slow(self, value: Any) -> None:
        await self.lmz.call_raw("DIARY", "other", self.ctn(Diary).hello())
        self.note(value)

    @mesh
    def hello(self) -> str:
        return "hello"

    def wrong(self, what: str) -> None:
        if what == "when":
            self.svc.alarms.schedule([], self.ctn().note())  # type: ignore[arg-type]  # the mistake under test
        elif what == "continuation":
            self.svc.alarms.schedule(1, "note")
        elif what == "naive":
            self.svc.alarms.schedule(datetime(2026, 1, 1), self.ctn().note())  # noqa: DTZ001  # the mistake under test
        else:
            self.svc.alarms.schedule(what, self.ctn().note())


Test = Callable[[World, Any], Awaitable[None]]


def passes(test: Test, *, app: Mesh | None = None, node: type[Diary] = Diary) -> None:
    """Run ``test(world, stub of one diary)`` first come, first served."""

    @scenario(app or Mesh(bindings={"DIARY": node}))
    async def driven(world: World) -> None:
        await test(world, world.env.DIARY.get_by_name("d"))

    run = simulate(driven)
    if run.failure is not None:
        raise run.failure


def test_t_al_1_a_moment_is_cut_to_whole_seconds() -> None:
    """T-AL-1, AL-5, AL-6."""

    async def drive(world: World, diary: Any) -> None:
        made = await diary.at(datetime(2026, 1, 1, 0, 0, 5, 900_000, tzinfo=UTC), "x")
        assert (made["type"], made["time"], made["delay"], made["cron"]) == ("scheduled", EPOCH_S + 5, None, None)
        assert made["chain"] == [{"type": "get", "key": "note"}, {"type": "apply", "args": ["x"]}]

    passes(drive)


def test_t_al_2_3_a_future_one_runs_when_triggered_and_is_gone() -> None:
    """T-AL-2, T-AL-3, AL-15: due or not."""

    async def drive(world: World, diary: Any) -> None:
        made = await diary.at(3600, {"payload": 1})
        assert await diary.trigger(1) == [made["id"]]
        assert await diary.log() == [[{"payload": 1}]]
        assert await diary.get(made["id"]) is None
        assert await diary.trigger(1) == []

    passes(drive)


def test_t_al_4_5_a_delay_counts_from_now_and_the_native_alarm_runs_it() -> None:
    """T-AL-4, T-AL-5, AL-5, AL-12."""

    async def drive(world: World, diary: Any) -> None:
        made = await diary.at(2.5, "late")
        assert (made["type"], made["time"], made["delay"]) == ("delayed", EPOCH_S + 2, 2.5)
        assert world.object("DIARY", "d").alarm_ms == (EPOCH_S + 2) * 1000
        assert (await diary.in_a_minute("later"))["delay"] == 60
        await world.advance(3)
        assert await diary.log() == [["late"]]
        assert world.object("DIARY", "d").alarm_ms == (EPOCH_S + 60) * 1000

    passes(drive)


def test_t_al_6_7_cron_stays_and_moves_on() -> None:
    """T-AL-6, T-AL-7, AL-8, AL-16."""

    async def drive(world: World, diary: Any) -> None:
        made = await diary.named("beat", "*/10 * * * * *", "tick")
        assert (made["type"], made["cron"], made["time"]) == ("cron", "*/10 * * * * *", EPOCH_S + 10)
        await world.advance(35)
        assert await diary.log() == [["tick"]] * 3
        assert (await diary.get("beat"))["time"] == EPOCH_S + 40
        await diary.cancel("beat")
        await world.advance(30)
        assert len(await diary.log()) == 3

    passes(drive)


def test_t_al_8_to_12_schedules_are_found_listed_filtered_and_cancelled_once() -> None:
    """T-AL-8 to T-AL-12, AL-7, AL-9, AL-10, AL-11."""

    async def drive(world: World, diary: Any) -> None:
        await diary.named("a", 100, "a")
        await diary.named("b", datetime(2026, 1, 1, 0, 0, 50, tzinfo=UTC), "b")
        await diary.named("c", "@hourly", "c")
        assert (await diary.get("a"))["chain"][1]["args"] == ["a"]
        assert await diary.get("nobody") is None
        assert await diary.ids({}) == ["b", "a", "c"]
        assert await diary.ids({"type": "cron"}) == ["c"]
        assert await diary.ids({"start": EPOCH_S + 50, "end": EPOCH_S + 100}) == ["b", "a"]
        assert await diary.ids({"id": "a", "type": "cron"}) == []
        assert (await diary.cancel("a"))["id"] == "a"
        assert await diary.cancel("a") is None
        await diary.named("b", 7, "replaced")
        assert await diary.ids({}) == ["b", "c"]
        assert (await diary.get("b"))["type"] == "delayed"
        await diary.cancel("b")
        await diary.cancel("c")

    passes(drive)


def test_t_al_13_to_15_what_is_overdue_runs_in_order_of_time_and_as_many_as_asked_for() -> None:
    """T-AL-13 to T-AL-15, AL-16."""

    async def drive(world: World, diary: Any) -> None:
        assert await diary.trigger() == []
        for delay, id in ((30, "third"), (10, "first"), (20, "second"), (20, "second-b")):
            await diary.named(id, delay, id)
        assert await diary.trigger(2) == ["first", "second"]
        assert await diary.ids({}) == ["second-b", "third"]
        assert await diary.trigger(5) == ["second-b", "third"]
        assert [entry[0] for entry in await diary.log()] == ["first", "second", "second-b", "third"]

    passes(drive)


@pytest.mark.parametrize(
    "what, says",
    [
        ("when", "Invalid schedule type"),
        ("continuation", r"Invalid continuation: must be created with newContinuation\(\) or this.ctn\(\)"),
        ("naive", "has no time zone"),
        ("60 * * * *", "outside of constraint range"),
    ],
)
def test_t_al_16_18_what_cannot_be_scheduled_is_refused(what: str, says: str) -> None:
    """T-AL-16, T-AL-18, AL-3, AL-8."""

    async def drive(world: World, diary: Any) -> None:
        with pytest.raises(Exception, match=says):
            await diary.wrong(what)
        assert await diary.ids({}) == []

    passes(drive)


def test_t_al_17_a_handler_that_raises_is_logged_and_does_not_stop_the_next() -> None:
    """T-AL-17, AL-17: no native retry either."""

    async def drive(world: World, diary: Any) -> None:
        await diary.at_failing(1, "bad")
        await diary.named("good", 1, "good")
        await world.advance(200)
        assert await diary.log() == [["good"]]
        assert await diary.ids({}) == []
        (entry,) = world.errors_logged
        assert "Error executing alarm" in entry
        await diary.at_failing(50, "bad")
        await diary.named("good", 60, "good")
        assert await diary.trigger(2) == ["good"]

    passes(drive)


def test_t_al_19_what_is_due_at_once_runs_by_itself() -> None:
    """T-AL-19; AL-13 is mended: the original waits for the next native alarm."""

    async def drive(world: World, diary: Any) -> None:
        await diary.at(0, "now")
        await diary.at(datetime(2020, 1, 1, tzinfo=UTC), "long ago")
        await world.advance(1)
        assert await diary.log() == [["long ago"], ["now"]] or await diary.log() == [["now"], ["long ago"]]

    passes(drive)


def test_al_13_with_the_quirk_what_is_due_waits_for_a_trigger_or_the_next_start() -> None:
    """AL-13 and AL-20 as the original has them."""

    async def drive(world: World, diary: Any) -> None:
        made = await diary.named("x", 0, "now")
        assert made["time"] == EPOCH_S
        await world.advance(1)
        assert await diary.log() == []
        world.object("DIARY", "d").evict()
        await diary.log()
        await world.advance(1)
        assert await diary.log() == [["now"]]

    passes(drive, app=Mesh(bindings={"DIARY": Diary}, compat="0.26"))


@pytest.mark.parametrize("compat, kept", [(None, 3), ("0.26", 1)])
def test_al_18_a_handler_that_schedules_its_own_id_again_keeps_the_new_row(compat: str | None, kept: int) -> None:
    """AL-18: the original deletes by id when the handler is done, and the new row with it."""

    async def drive(world: World, diary: Any) -> None:
        await diary.at_again(1, 3)
        await world.advance(20)
        assert len(await diary.log()) == kept

    passes(drive, app=Mesh(bindings={"DIARY": Diary}, compat=compat))


def test_t_al_20_21_a_year_and_ten_at_once() -> None:
    """T-AL-20, T-AL-21, AL-4: ids sort in order of creation."""

    async def drive(world: World, diary: Any) -> None:
        made = await diary.at(365 * 86400, "next year")
        assert made["time"] == EPOCH_S + 365 * 86400
        pending = [diary.at(10 + n, n) for n in range(10)]
        ids = [(await one)["id"] for one in pending]
        assert ids == sorted(ids)
        assert len(set(ids)) == 10
        assert all(len(id) == 26 for id in ids)
        await diary.cancel(made["id"])

    passes(drive)


def test_al_15_a_handler_that_cancels_what_is_due_has_the_next_one_run_early() -> None:
    """AL-14, AL-15: an alarm counts what is due and runs that many, due or not; kept as it is."""

    class Canceller(Diary):
        def at_cancelling(self, when: Any, id: str, other: str) -> None:
            self.svc.alarms.schedule(when, self.ctn().cancelling(other), id=id)

        def cancelling(self, other: str) -> None:
            self.svc.alarms.cancel_schedule(other)

    async def drive(world: World, diary: Any) -> None:
        await diary.at_cancelling(1, "a", "b")
        await diary.named("b", 1, "cancelled")
        await diary.named("c", 3600, "an hour early")
        await world.advance(2)
        assert await diary.log() == [["an hour early"]]
        assert await diary.ids({}) == []

    passes(drive, node=Canceller)


def test_al_19_handlers_run_without_a_call_context_and_without_the_decorator() -> None:
    """AL-19."""

    async def drive(world: World, diary: Any) -> None:
        await diary.at_context()
        await world.advance(2)
        assert await diary.log() == [["MeshError"]]

    passes(drive)


def test_al_21_chains_keep_rich_arguments_and_nesting_across_eviction() -> None:
    """AL-2, AL-21."""

    async def drive(world: World, diary: Any) -> None:
        await diary.at_nested()
        world.object("DIARY", "d").evict()
        await world.advance(2)
        assert await diary.log() == [["INNER", {"since": datetime(2026, 1, 2, tzinfo=UTC)}]]

    passes(drive)


def test_two_handlers_of_one_alarm_never_overlap() -> None:
    """AL-16: one row at a time, each awaited."""

    async def drive(world: World, diary: Any) -> None:
        await diary.at_slow(1, "slow")
        await diary.named("zzz", 1, "quick")
        await world.advance(3)
        assert await diary.log() == [["slow"], ["quick"]]

    passes(drive)


def test_a_service_needs_the_table_only_when_it_is_used() -> None:
    """AL-1, DO-8: an object that never asks for alarms has no table and no native alarm."""

    async def drive(world: World, diary: Any) -> None:
        await diary.log()
        view = world.object("DIARY", "d")
        assert view.storage.sql.exec("SELECT name FROM sqlite_schema WHERE name LIKE '__lmz%'") == []
        await diary.ids({})
        assert view.storage.sql.exec("SELECT name FROM sqlite_schema WHERE name LIKE '__lmz%'") == [
            {"name": "__lmz_alarms"}
        ]

    passes(drive)


def test_no_schedule_is_lost_and_each_runs_at_least_once_under_faults(tmp_path: Path) -> None:
    """At least once, whatever happens to the object."""

    @scenario(Mesh(bindings={"DIARY": Diary}), faults=Faults.all(at_most=3))
    async def three(world: World) -> None:
        diary = world.env.DIARY.get_by_name("d")
        made = 0
        for n in range(3):
            try:
                await world.env.DIARY.get_by_name("d").named(str(n), 1 + n, n)
                made |= 1 << n
            except Exception:
                world.sometimes("a call was lost")
        world.quiet()
        await world.advance(300)
        diary = world.env.DIARY.get_by_name("d")
        ran = {entry[0] for entry in await diary.log()}
        assert all(n in ran for n in range(3) if made >> n & 1), (made, ran)
        assert await diary.ids({}) == []

    assert explore(three, schedules=60, save=tmp_path, verify=False).failures == []


def test_ulids_count_on_within_a_millisecond() -> None:
    """AL-4."""
    import random

    generator, ulids = random.Random(1), Ulids()
    ids = [ulids.next(now_ms, generator) for now_ms in (5, 5, 5, 4, 6)]
    assert ids == sorted(set(ids))
    assert {len(id) for id in ids} == {26}


def test_a_service_of_the_app_may_depend_on_these() -> None:
    """T-ND-8, ND-2: a plugin that touches what it needs fails early where it is missing."""

    class Needs(NadisPlugin):
        def __init__(self, do_instance: Any) -> None:
            super().__init__(do_instance)
            self.alarms = self.svc.alarms

        def remind(self, text: str) -> str:
            return self.alarms.schedule(1, self.do_instance.ctn().note(text)).id

    class Reminded(Diary):
        def remind(self, text: str) -> str:
            return str(self.svc.reminders.remind(text))

    NadisPlugin.register("reminders", Needs)

    async def drive(world: World, diary: Any) -> None:
        await diary.remind("milk")
        await world.advance(2)
        assert await diary.log() == [["milk"]]

    passes(drive, node=Reminded)


def test_svc_is_for_mesh_objects_only() -> None:
    """BC-11, WK-1."""
    assert not hasattr(DurableObject, "svc")

"""The alarm scheduler as a service that lags, fails, comes late or twice, and draws jitter (AL-8 to AL-31)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio

from lumenize_sim import (
    DurableObject,
    Faults,
    MachineOptions,
    Mesh,
    UsageError,
    World,
    WorldOptions,
    replay,
    scenario,
    simulate,
)
from lumenize_sim.explore.roaming import census
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.objects import AlarmInfo, Pending
from lumenize_sim.objects.ids import id_from_name
from lumenize_sim.objects.namespace import DurableObjectNamespace

START_MS = 1_767_225_600_000


class Bell(DurableObject):
    """Rings; what it does then says `plan`, one entry for each run."""

    plan: list[str] = []
    rung: list[tuple[float, int, int]] = []
    built: list[float] = []
    names: list[str | None] = []

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Bell.built.append((ctx.host.now_ms() - START_MS) / 1000)

    async def set(self, in_ms: int) -> None:
        await self.ctx.storage.set_alarm(self.ctx.host.now_ms() + in_ms)

    async def get(self) -> int | None:
        return await self.ctx.storage.get_alarm()

    async def delete(self) -> None:
        await self.ctx.storage.delete_alarm()

    async def alarm(self, info: AlarmInfo) -> None:
        now_ms = self.ctx.host.now_ms()
        assert now_ms >= info.scheduled_time
        Bell.rung.append(((now_ms - START_MS) / 1000, info.retry_count, info.scheduled_time - START_MS))
        Bell.names.append(self.ctx.id.name)
        todo = Bell.plan.pop(0) if Bell.plan else ""
        if todo.startswith("sleep"):
            await trio.sleep(float(todo[6:]))
        elif todo == "delete all":
            await self.ctx.storage.delete_all()
        elif todo.startswith("delete all, throw"):
            await self.ctx.storage.delete_all()
            raise ValueError("no")
        elif todo == "fail in the background":
            self.ctx.wait_until(self._fails())
        elif todo.startswith("set"):
            await self.ctx.storage.set_alarm(now_ms + int(todo.split()[1]))
        if todo.endswith("throw"):
            raise ValueError("no")

    async def _fails(self) -> None:
        await trio.sleep(1)
        raise ValueError("in the background")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Bell.plan, Bell.rung, Bell.built, Bell.names = [], [], [], []


def at(kind: str, nth: int = 0, value: int = 1) -> dict[str, int]:
    return {fault_label(kind, "BELL/b", nth): value}


async def error_of(pending: Pending[Any]) -> BaseException:
    try:
        await pending
    except Exception as error:
        return error
    raise AssertionError("no error")


def ring(world: World) -> Any:
    return world.env.BELL.get_by_name("b")


# -- telling the scheduler ---------------------------------------------------------------


def test_an_earlier_time_that_the_scheduler_cannot_be_told_resets_the_object(passes: Any) -> None:
    """AL-8, OG-10: before the commit; so the time is not set, and the object lives on with what was durable."""

    async def drive(world: World) -> None:
        error = await error_of(ring(world).set(5000))
        assert getattr(error, "durable_object_reset", False)
        assert world.object("BELL", "b").alarm_ms is None
        await ring(world).set(3000)
        await world.settle()
        assert Bell.rung == [(3.0, 0, 3000)]

    passes(drive, plan=at("failed-scheduler"), BELL=Bell)


def test_a_time_that_the_scheduler_could_not_be_told_is_told_where_another_instance_takes_over(passes: Any) -> None:
    """AL-8, LC-28: what was committed is kept then, so the alarm has to come."""

    async def drive(world: World) -> None:
        await ring(world).set(5000)
        await world.advance(60)
        assert Bell.rung == [(5.0, 0, 5000)]

    passes(drive, plan={**at("failed-scheduler"), **at("deploy", 1)}, BELL=Bell)


def test_a_later_time_that_the_scheduler_cannot_be_told_wakes_the_object_in_vain(passes: Any) -> None:
    """AL-8, AL-9, AL-10: nobody minds; the constructor runs at the old time, the handler at the new one."""

    async def drive(world: World) -> None:
        await ring(world).set(20_000)
        await ring(world).set(60_000)
        await world.advance(15)
        assert not world.object("BELL", "b").in_memory
        await world.advance(50)
        assert Bell.rung == [(60.0, 0, 60_000)]
        assert Bell.built == [0.0, 20.0, 60.0]

    passes(drive, plan=at("failed-scheduler", 1), BELL=Bell)


def test_a_deletion_that_the_scheduler_cannot_be_told_wakes_the_object_in_vain(passes: Any) -> None:
    """AL-8, AL-9."""

    async def drive(world: World) -> None:
        await ring(world).set(20_000)
        await ring(world).delete()
        await world.advance(100)
        assert (Bell.rung, Bell.built) == ([], [0.0, 20.0])

    passes(drive, plan=at("failed-scheduler", 1), BELL=Bell)


def test_a_crash_between_the_announcement_and_the_commit_wakes_the_object_in_vain(passes: Any) -> None:
    """AL-10: the scheduler has an earlier time than storage, and finds out when it comes."""

    async def drive(world: World) -> None:
        await ring(world).set(60_000)
        view = world.object("BELL", "b")
        view.slow_next_flush(5)
        pending = ring(world).set(20_000)
        await world.advance(1)
        view.crash()
        await error_of(pending)
        await world.advance(100)
        assert Bell.rung == [(60.0, 0, 60_000)]
        assert Bell.built == [0.0, 20.0, 60.0]

    passes(drive, BELL=Bell)


def test_a_first_time_that_is_lost_with_its_commit_wakes_the_object_in_vain(passes: Any) -> None:
    """AL-10: there is no alarm at all."""

    async def drive(world: World) -> None:
        view = world.object("BELL", "b")
        view.fail_next_flush()
        await error_of(ring(world).set(20_000))
        await world.advance(100)
        assert (Bell.rung, view.alarm_ms) == ([], None)
        assert Bell.built == [0.0, 20.0]

    passes(drive, BELL=Bell)


def test_a_commit_waits_for_the_scheduler_that_is_slow_and_later_ones_wait_behind_it(passes: Any) -> None:
    """AL-8, OG-20, Appendix A: the answer of the call is held meanwhile."""

    async def drive(world: World) -> None:
        first = ring(world).set(60_000)
        second = ring(world).set(70_000)
        await world.advance(0.9)
        assert not first.done
        assert not second.done
        await first
        await second
        assert world.now() == 1.0

    passes(drive, plan=at("slow-scheduler", 0, 2), BELL=Bell)


def test_a_later_time_on_its_way_to_the_scheduler_holds_nobody_and_is_overtaken_by_an_earlier_one(passes: Any) -> None:
    """AL-8: the newest time wins."""

    async def drive(world: World) -> None:
        await ring(world).set(10_000)
        await ring(world).set(60_000)  # the scheduler hears of it a second later
        assert world.now() < 1
        await ring(world).set(30_000)
        await world.advance(100)
        assert Bell.rung == [(30.0, 0, 30_000)]
        assert Bell.built == [0.0, 30.0]

    passes(drive, plan=at("slow-scheduler", 1, 2), BELL=Bell)


@pytest.mark.parametrize("kind, value", [("failed-scheduler", 1), ("slow-scheduler", 3)])
def test_an_end_that_the_scheduler_does_not_hear_of_in_time_runs_nothing_twice(
    passes: Any, kind: str, value: int
) -> None:
    """AL-9, AL-17: it tries again, and the object calls that off."""

    async def drive(world: World) -> None:
        await ring(world).set(1000)
        await world.advance(120)
        assert Bell.rung == [(1.0, 0, 1000)]
        assert world.object("BELL", "b").alarm_ms is None

    # Boundaries: the time, its deletion, the end of the run.
    passes(drive, plan=at(kind, 2, value), BELL=Bell)


def test_a_new_time_survives_whatever_the_scheduler_hears(passes: Any) -> None:
    """AL-17: also where the scheduler hears of the end of the run, and not of the time that was set in it."""

    async def drive(world: World) -> None:
        Bell.plan = ["set 5000"]
        await ring(world).set(1000)
        await world.advance(120)
        assert [scheduled for _, _, scheduled in Bell.rung] == [1000, 6000]

    for nth in range(4):
        for kind, value in (("failed-scheduler", 1), ("slow-scheduler", 2), ("slow-scheduler", 3)):
            Bell.rung, Bell.built = [], []
            if (kind, nth) != ("failed-scheduler", 0):  # which resets the object: another test
                passes(drive, plan=at(kind, nth, value), BELL=Bell)


def test_a_driver_can_have_the_scheduler_fail_and_be_late() -> None:
    """AL-8, AL-11: by hand, and on the tape."""

    @scenario(Mesh(bindings={"BELL": Bell}))
    async def by_hand(world: World) -> None:
        _reset()
        view = world.object("BELL", "b")
        view.fail_next_scheduling()
        await error_of(ring(world).set(5000))
        assert view.alarm_ms is None
        await ring(world).set(5000)
        view.fail_next_scheduling()
        await ring(world).set(20_000)
        view.delay_next_alarm(4)
        await world.advance(60)
        # Late at the old time, in vain, and in time at the new one.
        assert Bell.rung == [(20.0, 0, 20_000)]
        with pytest.raises(UsageError, match="cannot be -1 s late"):
            view.delay_next_alarm(-1)

    for seed in (None, 1, 2, 3):
        run = simulate(by_hand, seed=seed)
        assert run.failure is None, run.outcome.message
        assert replay(run.tape, scenario=by_hand).digest == run.digest


# -- delivery ----------------------------------------------------------------------------


@pytest.mark.parametrize("value, late_s", [(1, 0.5), (2, 8), (3, 60)])
def test_an_alarm_may_come_late(passes: Any, value: int, late_s: float) -> None:
    """AL-11: up to a minute; it can still be moved or deleted meanwhile."""

    async def drive(world: World) -> None:
        await ring(world).set(1000)
        await world.advance(100)
        assert Bell.rung == [(1 + late_s, 0, 1000)]

    async def deleted(world: World) -> None:
        await ring(world).set(1000)
        await world.advance(1.2)
        await ring(world).delete()
        await world.advance(100)
        assert len(Bell.rung) == 1

    passes(drive, plan=at("late-alarm", 0, value), BELL=Bell)
    passes(deleted, plan=at("late-alarm", 0, value), BELL=Bell)


def test_an_alarm_that_comes_twice_runs_once(passes: Any) -> None:
    """AL-15: the second joins the running one, or finds that it is over."""

    async def drive(world: World) -> None:
        Bell.plan = ["sleep 5"]
        await ring(world).set(1000)
        await ring(world).set(1000)
        await world.advance(100)
        assert len(Bell.rung) == 1
        assert world.object("BELL", "b").alarm_ms is None

    passes(drive, plan=at("twice-alarm"), BELL=Bell)
    Bell.rung = []
    Bell.plan = [""]
    passes(drive, plan=at("twice-alarm"), BELL=Bell)


def test_an_object_that_is_not_reached_is_tried_again_and_that_does_not_count(passes: Any) -> None:
    """AL-24."""

    async def drive(world: World) -> None:
        Bell.plan = ["throw"] * 9
        await ring(world).set(1000)
        await world.advance(500)
        assert [count for _, count, _ in Bell.rung] == [0, 1, 2, 3, 4, 5, 6]
        assert [at for at, _, _ in Bell.rung] == [3, 5, 9, 17, 33, 65, 129]  # AL-25: the backoff restarted
        assert world.object("BELL", "b").alarm_ms is None

    passes(drive, plan=at("unreached-alarm"), BELL=Bell)


def test_nothing_of_this_happens_where_the_scheduler_is_in_the_process(passes: Any) -> None:
    """Section 11: the same faults, planned at every boundary, do not change a thing."""
    plan = {
        fault_label(kind, "BELL/b", nth): 1
        for kind in ("failed-scheduler", "slow-scheduler", "late-alarm", "twice-alarm", "unreached-alarm")
        for nth in range(9)
    }

    async def drive(world: World) -> None:
        await ring(world).set(1000)
        await world.settle()
        assert Bell.rung == [(1.0, 0, 1000)]
        assert world.fault_counts == {}

    passes(drive, plan=plan, options=WorldOptions(runtime="workerd"), BELL=Bell)


@pytest.mark.parametrize("make", ["by name", "by id"])
def test_an_instance_that_the_alarm_builds_has_the_name_of_the_one_that_set_it(passes: Any, make: str) -> None:
    """LC-5: a name where that had one."""

    async def drive(world: World) -> None:
        namespace: DurableObjectNamespace = world.env.BELL
        if make == "by name":
            stub = namespace.get_by_name("b")
        else:
            stub = namespace.get(namespace.id_from_string(id_from_name("BELL", "b").hex))
        await stub.set(30_000)
        await world.advance(20)
        await world.advance(20)
        assert Bell.names == ["b" if make == "by name" else None]
        assert len(Bell.built) == 2

    passes(drive, BELL=Bell)


def test_the_name_is_that_of_whoever_set_the_alarm_and_not_of_who_came_last(passes: Any) -> None:
    """LC-5: an instance that was reached without a name came in between."""

    async def drive(world: World) -> None:
        namespace: DurableObjectNamespace = world.env.BELL
        await ring(world).set(60_000)
        await world.advance(20)
        assert not world.object("BELL", "b").in_memory
        await namespace.get(namespace.id_from_string(id_from_name("BELL", "b").hex)).get()
        await world.advance(60)
        assert (Bell.names, len(Bell.built)) == (["b"], 3)

    passes(drive, BELL=Bell)


# -- retries -----------------------------------------------------------------------------


def runs(times: list[tuple[float, int, int]]) -> list[int]:
    """Delays between the runs, in milliseconds."""
    return [round((after - before) * 1000) for (before, _, _), (after, _, _) in pairwise(times)]


def test_without_surprises_retries_have_no_jitter(passes: Any) -> None:
    """AL-22."""

    async def drive(world: World) -> None:
        Bell.plan = ["throw"] * 7
        await ring(world).set(1000)
        await world.advance(500)
        assert runs(Bell.rung) == [2000, 4000, 8000, 16000, 32000, 64000]

    passes(drive, BELL=Bell)


@pytest.mark.parametrize("nth, jitter_ms", [(0, 500), (3, 4000), (5, 16_000), (5, 1)])
def test_every_jitter_can_be_on_the_tape(passes: Any, nth: int, jitter_ms: int) -> None:
    """AL-22: up to a quarter of the delay, in milliseconds."""

    async def drive(world: World) -> None:
        Bell.plan = ["throw"] * 7
        await ring(world).set(1000)
        await world.advance(500)
        expected = [2000, 4000, 8000, 16000, 32000, 64000]
        expected[nth] += jitter_ms
        assert runs(Bell.rung) == expected

    passes(drive, plan=at("retry-jitter", nth, jitter_ms), BELL=Bell)


@scenario(Mesh(bindings={"BELL": Bell}))
async def unlucky(world: World) -> None:
    """Two alarms that both fail once; they never come again in the same second, or do they?"""
    _reset()
    Bell.plan = ["throw", "throw"]
    await world.env.BELL.get_by_name("a").set(1000)
    await world.env.BELL.get_by_name("b").set(1300)
    await world.advance(20)
    first, second = Bell.rung[2:]
    world.sometimes("jittered", runs(Bell.rung[::2]) != [2000])
    assert abs(first[0] - second[0]) > 0.05, "both at once"


def _reset() -> None:
    Bell.plan, Bell.rung, Bell.built, Bell.names = [], [], [], []


def test_jitter_is_drawn_where_a_run_roams_and_replays_from_the_tape() -> None:
    """AL-22: with the same seed the same, and with the tape alone."""
    jittered = 0
    for seed in range(6):
        run = simulate(unlucky, seed=seed)
        again = replay(run.tape, scenario=unlucky)
        assert (again.outcome.kind, again.digest) == (run.outcome.kind, run.digest)
        assert simulate(unlucky, seed=seed).digest == run.digest
        drawn = [choice for choice in run.tape.choices if "%retry-jitter#" in choice.label]
        assert all(0 < choice.value < choice.bound == 501 for choice in drawn)
        jittered += bool(drawn)
    assert jittered > 3
    assert simulate(unlucky).tape.choices == ()


def test_a_tape_that_needs_jitter_keeps_only_that(tmp_path: Any) -> None:
    """AL-22: shrunk to the one retry that matters, with the least jitter that does it."""
    from lumenize_sim import explore

    report = explore(unlucky, schedules=300, save=None)
    assert report.failures, "no schedule has drawn both retries into the same 50 ms"
    choices = report.failures[0].run.tape.choices
    assert [choice.label for choice in choices] == ["BELL/a%retry-jitter#0"]
    assert choices[0].value == 250
    assert "retry 0 of the alarms of BELL/a comes 250 ms later" in report.failures[0].run.tape.describe()


@pytest.mark.parametrize("survive, expected", [(True, [0, 1, 1, 2]), (False, [0, 1, 0, 1])])
def test_retry_counters_outlive_the_process_or_not(passes: Any, survive: bool, expected: list[int]) -> None:
    """Section 11: and where they do not, the alarm comes again at once."""

    async def drive(world: World) -> None:
        Bell.plan = ["throw", "sleep 5", "throw"]
        await ring(world).set(1000)
        await world.advance(3.5)
        world.object("BELL", "b").crash()
        await world.settle()
        assert [count for _, count, _ in Bell.rung] == expected
        assert Bell.rung[2][0] == (7.5 if survive else 3.5)
        assert world.object("BELL", "b").alarm_ms is None

    options = WorldOptions(objects=MachineOptions(alarm_retries_survive=survive))
    passes(drive, options=options, BELL=Bell)


def test_by_default_counters_outlive_the_process_in_production_and_not_in_workerd() -> None:
    """Section 11."""
    assert MachineOptions().alarm_retries_survive
    assert not MachineOptions(runtime="workerd").alarm_retries_survive
    assert MachineOptions(runtime="workerd").alarm_scheduler == "in-process"


@pytest.mark.parametrize("restarts, expected", [(True, [(1.0, 0), (1.5, 0)]), (False, [(1.0, 0), (3.0, 1)])])
def test_a_time_set_before_the_throw_takes_the_place_of_the_retry_or_is_the_retry(
    passes: Any, restarts: bool, expected: list[tuple[float, int]]
) -> None:
    """AL-21: production's own scheduler is not public."""

    async def drive(world: World) -> None:
        Bell.plan = ["set 500 throw"]
        await ring(world).set(1000)
        await world.settle()
        assert [(at, count) for at, count, _ in Bell.rung] == expected
        assert world.object("BELL", "b").alarm_ms is None

    options = WorldOptions(objects=MachineOptions(alarm_set_restarts_retries=restarts))
    passes(drive, options=options, BELL=Bell)


@pytest.mark.parametrize("waits, expected", [(False, [1.0, 1.6]), (True, [1.0, 3.0])])
def test_a_time_set_between_two_tries_takes_the_place_of_the_retry_or_waits_for_it(
    passes: Any, waits: bool, expected: list[float]
) -> None:
    """AL-22, section 11."""

    async def drive(world: World) -> None:
        Bell.plan = ["throw"]
        await ring(world).set(1000)
        await world.advance(1.5)
        await ring(world).set(100)
        await world.settle()
        assert [at for at, _, _ in Bell.rung] == expected
        assert world.object("BELL", "b").alarm_ms is None

    options = WorldOptions(objects=MachineOptions(alarm_set_waits_for_retry=waits))
    passes(drive, options=options, BELL=Bell)


def test_a_time_set_before_the_last_throw_is_not_abandoned_with_the_old_one(passes: Any) -> None:
    """AL-21, AL-23."""

    async def drive(world: World) -> None:
        Bell.plan = ["throw"] * 6 + ["set 5000 throw"]
        await ring(world).set(1000)
        await world.advance(500)
        assert [count for _, count, _ in Bell.rung] == [0, 1, 2, 3, 4, 5, 6, 0]
        assert world.object("BELL", "b").alarm_ms is None

    passes(drive, BELL=Bell)


def test_a_time_set_right_after_the_last_failure_is_not_taken_for_the_abandoned_one(passes: Any) -> None:
    """AL-23: the deletion is an event of its own, and a request may come before it."""

    async def drive(world: World) -> None:
        Bell.plan = ["throw"] * 7
        await ring(world).set(1000)
        await world.advance(127)
        await ring(world).set(5000)
        await world.settle()
        assert [at for at, _, _ in Bell.rung][6:] == [127.0, 132.0]
        assert world.object("BELL", "b").alarm_ms is None

    passes(drive, BELL=Bell)


def test_a_throw_whose_writes_do_not_become_durable_does_not_count(passes: Any) -> None:
    """AL-18, AL-24: the scheduler hears of the end only when they are."""

    async def drive(world: World) -> None:
        Bell.plan = ["set 90000 throw"]
        await ring(world).set(1000)
        await world.advance(0.5)
        world.object("BELL", "b").fail_next_flush()
        await world.settle()
        assert [(at, count) for at, count, _ in Bell.rung] == [(1.0, 0), (3.0, 0)]

    passes(drive, BELL=Bell)


def test_work_in_the_background_does_not_fail_the_alarm(passes: Any) -> None:
    """AL-19."""

    async def drive(world: World) -> None:
        Bell.plan = ["fail in the background"]
        await ring(world).set(1000)
        await world.settle()
        assert len(Bell.rung) == 1

    passes(drive, BELL=Bell)


@pytest.mark.parametrize(
    "todo, date, expected",
    [
        ("delete all", "2026-02-24", 1),
        ("delete all", "2026-02-23", 1),
        ("delete all, throw", "2026-02-24", 1),  # the alarm is gone, the retry is called off
        ("delete all, throw", "2026-02-23", 2),  # it was kept: the throw is retried
    ],
)
def test_delete_all_in_the_handler_takes_the_alarm_along_or_leaves_its_deletion_in_place(
    passes: Any, todo: str, date: str, expected: int
) -> None:
    """AL-31, ST-27."""

    async def drive(world: World) -> None:
        Bell.plan = [todo]
        await ring(world).set(1000)
        await world.settle()
        assert len(Bell.rung) == expected
        assert world.object("BELL", "b").alarm_ms is None

    options = WorldOptions(objects=MachineOptions(compatibility_date=date))
    passes(drive, options=options, BELL=Bell)


def test_an_abandoned_alarm_is_gone_for_a_new_instance_too(passes: Any) -> None:
    """AL-23, AL-26."""

    class Dying(Bell):
        async def alarm(self, info: AlarmInfo) -> None:
            Bell.rung.append((0.0, info.retry_count, 0))
            self.ctx.abort("no", retry_alarm=False)

    async def drive(world: World) -> None:
        await ring(world).set(1000)
        await world.settle()
        view = world.object("BELL", "b")
        assert not view.in_memory
        assert view.alarm_ms is None
        assert await ring(world).get() is None
        await world.advance(500)
        assert len(Bell.rung) == 1

    passes(drive, BELL=Dying)


def test_the_census_knows_the_boundaries_of_alarms() -> None:
    """Faults of the scheduler are drawn like all others."""

    @scenario(Mesh(bindings={"BELL": Bell}), faults=Faults.all())
    async def quiet(world: World) -> None:
        await world.env.BELL.get_by_name("b").set(1000)
        await world.settle()

    _, boundaries, _ = census(quiet, seed=0)
    counted = {kind: len(numbers) for (kind, target), numbers in boundaries.items() if target == "BELL/b"}
    assert {kind: counted.get(kind) for kind in ("late-alarm", "twice-alarm", "unreached-alarm")} == {
        "late-alarm": 1,
        "twice-alarm": 1,
        "unreached-alarm": 1,
    }
    assert counted["slow-scheduler"] == counted["failed-scheduler"] == 3  # the time, its deletion, the end

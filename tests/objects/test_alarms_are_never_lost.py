"""Alarms under everything that may go wrong: never lost, at least once, at most seven counted runs (AL-8 to AL-28).

Hypothesis writes the whole story: what the app does, what its handler does, where
the platform fails.  The oracle knows only what the app was told: a time whose ``set``
was answered, and which nobody has tried to change since, must come.
"""

from __future__ import annotations

import sys
from typing import Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumenize_sim import DurableObject, MachineOptions, Mesh, World, WorldOptions, scenario
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan, fault_label
from lumenize_sim.objects import AlarmInfo
from lumenize_sim.world.faults import KINDS
from lumenize_sim.world.run import run_scenario

#: What the handler does in one run.  Fewer than seven of them fail, so that nothing is ever abandoned.
HANDLED = ["", "", "throw", "sleep", "sleep", "abort", "set", "set", "set and throw", "same again", "transaction"]
STEPS = ["set", "set soon", "set later", "delete", "look", "wait", "wait long", "crash", "evict", "hibernate"]
STEPS += ["fail flush", "slow flush", "abort", "roll back"]
#: Faults that may be planned, all of them at boundaries of the one object.
PLANNED = ["late-alarm", "twice-alarm", "unreached-alarm", "slow-scheduler", "failed-scheduler", "crash"]
PLANNED += ["slow-flush", "failed-flush", "evict", "hibernate", "deploy", "relocate", "cpu-limit", "memory-limit"]


@attrs.define
class Story:
    """What one run did and saw."""

    handled: list[str]
    #: (time or None for a deletion, whether it was answered), in the order in which it was done, in handlers too.
    attempts: list[tuple[int | None, bool]] = attrs.field(factory=list)
    #: (time for which it was set, retry count, when it ran)
    runs: list[tuple[int, int, int]] = attrs.field(factory=list)
    #: how many runs had begun before each attempt
    before: list[int] = attrs.field(factory=list)
    #: where something that must hold inside the object does not: a failing handler would only be retried
    wrong: list[str] = attrs.field(factory=list)
    #: the instance in whose handler it sleeps
    inside: Any = None

    def holds(self, fact: bool) -> None:
        """Note the line of what does not hold."""
        if not fact:
            frame = sys._getframe(1)
            self.wrong.append(f"{frame.f_code.co_name}:{frame.f_lineno}")


class Bell(DurableObject):
    """Keeps a story."""

    story: Story

    async def set(self, at_ms: int) -> int:
        return await self._attempt(at_ms)

    async def delete(self) -> int:
        return await self._attempt(None)

    async def _attempt(self, at_ms: int | None) -> int:
        """Set or delete; the number of the attempt."""
        attempts, storage = Bell.story.attempts, self.ctx.storage
        attempts.append((at_ms, False))
        Bell.story.before.append(len(Bell.story.runs))
        nth = len(attempts) - 1
        await (storage.delete_alarm() if at_ms is None else storage.set_alarm(at_ms))
        shown = await storage.get_alarm()
        # AL-5; where the clock moves in a turn, a time that was now may have become a little later (AL-2).
        Bell.story.holds(shown == at_ms or (at_ms is not None and shown is not None and at_ms < shown < at_ms + 100))
        attempts[nth] = (shown, False)
        return nth

    async def get(self) -> int | None:
        return await self.ctx.storage.get_alarm()

    async def roll_back(self, at_ms: int) -> tuple[int | None, int | None]:
        before = await self.ctx.storage.get_alarm()

        async def body(txn: Any) -> None:
            await txn.set_alarm(at_ms)
            Bell.story.holds(await txn.get_alarm() is not None)
            raise LookupError

        try:
            await self.ctx.storage.transaction(body)
        except LookupError:
            return before, await self.ctx.storage.get_alarm()
        raise AssertionError

    def abort(self) -> None:
        self.ctx.abort("asked to")

    async def alarm(self, info: AlarmInfo) -> None:
        story = Bell.story
        now_ms = self.ctx.host.now_ms()
        story.holds(now_ms >= info.scheduled_time)  # AL-11
        story.holds(info.is_retry == (info.retry_count > 0))  # AL-13
        story.holds(story.inside is not self)  # AL-15
        shown = await self.ctx.storage.get_alarm()
        story.holds(shown is None or shown != info.scheduled_time)  # AL-5
        story.runs.append((info.scheduled_time, info.retry_count, now_ms))
        todo = story.handled.pop(0) if story.handled else ""
        await self.ctx.storage.put("runs", len(story.runs))
        if todo.startswith("set") or todo == "same again":
            at_ms = now_ms + 40_000 if todo.startswith("set") else max(now_ms, info.scheduled_time)
            nth = await self._attempt(at_ms)
            await self.ctx.storage.sync()
            story.attempts[nth] = (story.attempts[nth][0], True)
        elif todo == "transaction":
            await self.roll_back(now_ms + 9_000)  # AL-20: the deferred deletion is still in place
        elif todo == "sleep":
            story.inside = self
            await trio.sleep(3)
            story.inside = None
        elif todo == "abort":
            self.ctx.abort("in the handler")
        if todo.endswith("throw"):
            raise ValueError("in the handler")


class OldBell(Bell):
    """On the legacy backend, which flushes in the background and may have to read the alarm's time first."""

    storage_backend = "kv"


async def attempt(story: Story, pending: Any) -> None:
    """Wait for the answer, and note that there was one."""
    try:
        nth = await pending
    except Exception:
        return
    story.attempts[nth] = (story.attempts[nth][0], True)


async def act(world: World, story: Story, step: str) -> None:
    """One step of the driver."""
    stub = world.env.BELL.get_by_name("b")
    view = world.object("BELL", "b")
    now_ms = world.host.now_ms()
    if step.startswith("set"):
        at_ms = now_ms + {"set": 30_000, "set soon": 500, "set later": 90_000}[step]
        await attempt(story, stub.set(at_ms))
    elif step == "delete":
        await attempt(story, stub.delete())
    elif step == "look":
        with_alarm = stub.get()
        try:
            await with_alarm
        except Exception:
            return
    elif step == "roll back":
        try:
            before, after = await stub.roll_back(now_ms + 700)
        except Exception:
            return
        assert before == after  # AL-4
    elif step.startswith("wait"):
        await world.advance(1 if step == "wait" else 35)
    elif step == "crash":
        view.crash()
    elif step in ("evict", "hibernate"):
        getattr(view._machine, step)()
    elif step == "fail flush":
        view.fail_next_flush()
    elif step == "slow flush":
        view.slow_next_flush(2)
    elif step == "abort":
        try:
            await stub.abort()
        except Exception:
            return


def played(
    story: Story, steps: list[str], plan: dict[str, int], options: WorldOptions, cls: type[Bell] = Bell
) -> World:
    """Play the story to its end, which is when every retry has long been due."""
    worlds: list[World] = []

    @scenario(Mesh(bindings={"BELL": cls}), options=options)
    async def drive(world: World) -> None:
        worlds.append(world)
        for step in steps:
            await act(world, story, step)
        world.quiet()
        await world.advance(20_000)
        assert world.object("BELL", "b").alarm_ms is None

    Bell.story = story
    outcome = run_scenario(drive, GuidedChooser(), plan=FaultPlan(plan), seed=1)
    if outcome.failed:
        raise outcome.error or AssertionError(outcome.message)
    return worlds[0]


def milder(plan: dict[str, int]) -> dict[str, int]:
    """Every value within the bound of its kind."""
    return {
        label: min(value, KINDS[label.rpartition("%")[2].rpartition("#")[0]][0] - 1) for label, value in plan.items()
    }


plans = st.dictionaries(
    st.builds(lambda kind, nth: fault_label(kind, "BELL/b", nth), st.sampled_from(PLANNED), st.integers(0, 12)),
    st.integers(1, 3),
    max_size=5,
).map(milder)


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(STEPS), max_size=12),
    st.lists(st.sampled_from(HANDLED), max_size=5),
    plans,
    st.sampled_from(["production", "workerd"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([Bell, Bell, OldBell]),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_alarm_that_was_set_comes(
    steps: list[str], handled: list[str], plan: dict[str, int], runtime: Any, restarts: bool, waits: bool, cls: Any
) -> None:
    """AL-8, AL-10, AL-11, AL-18, AL-28: at least once, whatever happens; and then there is none (AL-17)."""
    story = Story(list(handled))
    objects = MachineOptions(runtime=runtime, alarm_set_restarts_retries=restarts, alarm_set_waits_for_retry=waits)
    played(story, steps, plan, WorldOptions(objects=objects), cls)
    check(story)


def check(story: Story) -> None:
    """The oracle."""
    assert not story.wrong, story
    for nth, (at_ms, answered) in enumerate(story.attempts):
        if at_ms is not None and answered and nth == len(story.attempts) - 1:
            # Or under an older time: an overdue alarm is handled by whichever wake-up comes first (AL-9).
            came = [ran_ms for _, _, ran_ms in story.runs[story.before[nth] :]]
            assert any(ran_ms >= at_ms for ran_ms in came), f"the alarm for {at_ms} was lost: {story}"
    for at_ms, count, _ in story.runs:
        # Nothing runs that nobody has set, and no run counts further than AL-23 allows.
        assert at_ms in [at for at, _ in story.attempts]
        assert 0 <= count <= 6


@pytest.mark.slow
@given(st.lists(st.sampled_from(["throw", "abort", "sleep and crash"]), min_size=9, max_size=9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_seven_counted_runs_at_most(handled: list[str], seed: int) -> None:
    """AL-22 to AL-24: whichever way they fail, the seventh counted failure is the last; lost processes do not count."""
    counted = 0
    expected = []
    for todo in handled:
        if counted == 7:
            break
        expected.append(counted)
        counted += todo != "sleep and crash"
    if counted < 7:
        expected.append(counted)
    story = Story(["sleep" if todo == "sleep and crash" else todo for todo in handled])
    Bell.story = story

    @scenario(Mesh(bindings={"BELL": Bell}))
    async def drive(world: World) -> None:
        view = world.object("BELL", "b")
        await world.env.BELL.get_by_name("b").set(world.host.now_ms() + 1000)
        seen = 0
        for _ in range(4000):
            await world.advance(0.5)
            if len(story.runs) > seen:
                seen = len(story.runs)
                if seen <= len(handled) and handled[seen - 1] == "sleep and crash":
                    view.crash()
        assert view.alarm_ms is None

    outcome = run_scenario(drive, GuidedChooser(), plan=FaultPlan(), seed=seed)
    if outcome.failed:
        raise outcome.error or AssertionError(outcome.message)
    assert [count for _, count, _ in story.runs] == expected


@pytest.mark.parametrize("kind", PLANNED)
@pytest.mark.parametrize("handled", [[], ["throw"], ["sleep"], ["set"], ["set and throw"], ["abort"]])
def test_one_fault_at_any_boundary_loses_nothing(kind: str, handled: list[str]) -> None:
    """AL-8 to AL-28: every kind, every variant, each of the first boundaries, by enumeration."""
    steps = ["set", "roll back", "set later", "set soon", "wait", "set", "wait long", "look"]
    for value in range(1, KINDS[kind][0]):
        for nth in range(8):
            story = Story(list(handled))
            played(story, steps, {fault_label(kind, "BELL/b", nth): value}, WorldOptions())
            check(story)

"""Timers and the clock of simulated objects (TM-*)."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeWorker, World, WorldOptions, gather
from lumenize_sim.objects.timers import OwnerTimers


class Remote(LumenizeWorker):
    def ping(self) -> None: ...


class Timers(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []

    def seen(self) -> list[Any]:
        return self.log

    def note(self, name: str) -> None:
        self.log.append((name, self.ctx.now() - 1_767_225_600_000))

    def clock(self) -> list[int]:
        first = self.ctx.host.now_ms()
        for _ in range(10_000):
            pass
        return [first, self.ctx.host.now_ms(), round(time.time() * 1000)]

    def three(self) -> None:
        for delay_ms, name in ((20, "b"), (10, "a"), (10, "c"), (0, "z")):
            self.ctx.set_timeout(lambda name=name: self.note(name), delay_ms / 1000)

    async def sleepers(self) -> list[Any]:
        async def sleeper(name: str, seconds: float) -> None:
            await trio.sleep(seconds)
            self.note(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeper, "slow", 0.3)
            nursery.start_soon(sleeper, "one", 0.1)
            nursery.start_soon(sleeper, "two", 0.2)
        return [name for name, _ in self.log]

    async def behind_section(self) -> None:
        self.ctx.set_timeout(lambda: self.note("first"), 0.01)
        self.ctx.set_timeout(lambda: self.note("second"), 0.02)

        async def section() -> None:
            await self.env.REMOTE.ping()
            await self.env.SLOW.get_by_name("s").wait(5)
            self.ctx.set_timeout(lambda: self.note("inside"), 0)
            self.note("section")

        await self.ctx.block_concurrency_while(section)

    async def cancelled_at_the_gate(self) -> None:
        handle = self.ctx.set_timeout(lambda: self.note("cancelled"), 0.01)

        async def section() -> None:
            await self.env.SLOW.get_by_name("s").wait(5)
            handle.cancel()
            handle.cancel()

        await self.ctx.block_concurrency_while(section)
        self.ctx.set_timeout(lambda: self.note("next"), 0.01)

    def cancelled(self) -> None:
        self.ctx.set_timeout(lambda: self.note("cancelled"), 0.01).cancel()

    def throwing(self) -> None:
        def boom() -> None:
            self.note("boom")
            raise ValueError("in a timer")

        async def late() -> None:
            await trio.sleep(1)
            self.note("late")
            raise ValueError("in an async timer")

        self.ctx.set_timeout(boom, 0.01)
        self.ctx.set_timeout(late, 0.01)
        self.ctx.set_timeout(lambda: self.note("after"), 0.02)

    def aborting(self) -> None:
        self.ctx.set_timeout(lambda: self.ctx.abort("by a timer"), 0.01)
        self.ctx.set_timeout(lambda: self.note("after"), 0.02)

    async def chain(self, name: str) -> None:
        await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
        self.log.append(f"{name}1")
        await self.env.REMOTE.ping()
        self.log.append(f"{name}2")

    async def scoped(self) -> list[Any]:
        with trio.move_on_after(1) as scope:
            await self.env.SLOW.get_by_name("s").wait(5)
        self.note("moved on")
        with trio.move_on_after(10) as second:
            await self.env.REMOTE.ping()
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(1):
                await trio.sleep_forever()
        return [scope.cancelled_caught, second.cancelled_caught, *self.log]


class Slow(DurableObject):
    async def wait(self, seconds: float) -> None:
        await trio.sleep(seconds)


def test_the_clock_stands_still_in_a_turn(passes: Any) -> None:
    """TM-1, TM-2, LT-91: and Python's own clock shows the same."""

    async def drive(world: World) -> None:
        await world.advance(12.5)
        assert await world.env.T.get_by_name("t").clock() == [1_767_225_612_500] * 3

    passes(drive, T=Timers)


def test_timers_fire_in_order_of_due_time_and_then_of_creation(passes: Any, roams: Any) -> None:
    """TM-3, TM-4, TM-9, LT-92: in every order of everything else."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.three()
        await world.settle()
        log = await stub.seen()
        assert [name for name, _ in log] == ["z", "a", "c", "b"]
        assert [at - log[0][1] for _, at in log][1:] == [10, 10, 20]

    passes(drive, T=Timers)
    roams(drive, T=Timers, schedules=30)


def test_sleeping_tasks_are_timers_too(passes: Any, roams: Any) -> None:
    """TM-4."""

    async def drive(world: World) -> None:
        assert await world.env.T.get_by_name("t").sleepers() == ["one", "two", "slow"]

    passes(drive, T=Timers)
    roams(drive, T=Timers, schedules=10)


def test_a_timer_waits_for_the_gate_and_holds_up_later_ones(passes: Any) -> None:
    """TM-2, TM-5, LT-93: even those that were set inside the section, where time has not passed the first one."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.behind_section()
        await world.settle()
        assert await stub.seen() == [["section", 10], ["first", 10], ["inside", 10], ["second", 20]]
        assert world.now() >= 5

    passes(drive, T=Timers, REMOTE=Remote, SLOW=Slow)


def test_a_timer_can_be_called_off_until_it_runs(passes: Any) -> None:
    """TM-3: before it is due, and while it waits at the gate."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.cancelled()
        await stub.cancelled_at_the_gate()
        await world.settle()
        assert [name for name, _ in await stub.seen()] == ["next"]

    passes(drive, T=Timers, SLOW=Slow)


def test_a_throwing_timer_changes_nothing(passes: Any) -> None:
    """LC-30: it is logged; the others run."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.throwing()
        await world.settle()
        assert [name for name, _ in await stub.seen()] == ["boom", "after", "late"]
        assert ["in a timer" in world.errors_logged[0], "in an async timer" in world.errors_logged[1]] == [True, True]

    passes(drive, T=Timers)


def test_a_timer_may_abort(passes: Any) -> None:
    """LC-32, TM-8: no later one fires."""

    async def drive(world: World) -> None:
        await world.env.T.get_by_name("t").aborting()
        await world.settle()
        view = world.object("T", "t")
        assert not view.in_memory
        assert await world.env.T.get_by_name("t").seen() == []

    passes(drive, T=Timers)


def test_timers_are_lost_on_reset(passes: Any) -> None:
    """TM-8."""

    async def drive(world: World) -> None:
        await world.env.T.get_by_name("t").three()
        world.object("T", "t").crash()
        await world.advance(10)
        assert await world.env.T.get_by_name("t").seen() == []

    passes(drive, T=Timers)


def test_other_events_may_come_between_two_equal_timers(passes: Any, roams: Any) -> None:
    """TM-4, LT-92: the next is armed only when the one before has run."""
    met: set[str] = set()

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await gather(stub.chain("a"), stub.chain("b"))
        log = await stub.seen()
        assert log.index("a1") < log.index("b1")
        met.add(" ".join(log))

    passes(drive, T=Timers, REMOTE=Remote)
    roams(drive, T=Timers, REMOTE=Remote)
    assert "a1 b1 a2 b2" in met
    assert "a1 a2 b1 b2" in met


def test_cancel_scopes_are_timers_of_the_object(passes: Any) -> None:
    """TM-5: trio's own deadlines run on the virtual clock."""

    async def drive(world: World) -> None:
        assert await world.env.T.get_by_name("t").scoped() == [True, False, ["moved on", 1000]]
        assert world.now() == pytest.approx(2, abs=0.01)

    passes(drive, T=Timers, REMOTE=Remote, SLOW=Slow)


def test_one_timer_is_armed_at_a_time() -> None:
    """TM-4, TM-5, on the queue itself."""
    armed: list[list[Any]] = []

    class Handle:
        def __init__(self, entry: list[Any]) -> None:
            self.entry = entry

        def cancel(self) -> None:
            armed.remove(self.entry)

    def arm(due_us: int, nth: int, fire: Any) -> Handle:
        entry = [due_us, nth, fire]
        armed.append(entry)
        return Handle(entry)

    fired: list[str] = []
    timers = OwnerTimers(arm)
    late = timers.set(20, lambda: fired.append("late"))
    timers.set(10, lambda: fired.append("early"))
    assert [entry[0] for entry in armed] == [10]
    assert len(timers) == 2
    armed.pop(0)[2]()
    assert (fired, armed, len(timers)) == (["early"], [], 2)
    timers.set(5, lambda: fired.append("other"))
    assert armed == []
    timers.passed()
    assert [entry[:2] for entry in armed] == [[5, 1]]
    late.cancel()
    assert len(timers) == 1
    fire = armed[0][2]
    timers.drop()
    assert armed == []
    fire()
    assert fired == ["early"]


shared = trio.Event()


class Sharing(DurableObject):
    """Waits for something that another object or the driver does."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    async def wait(self) -> str:
        await shared.wait()
        self.log.append("woken")
        return "woken"

    async def busy(self) -> None:
        async def section() -> None:
            shared.set()
            await trio.sleep(5)
            self.log.append("section")

        await self.ctx.block_concurrency_while(section)

    def wake(self) -> None:
        shared.set()

    def seen(self) -> list[str]:
        return self.log


def test_a_wake_up_from_elsewhere_is_an_event(passes: Any) -> None:
    """IG-8, IG-15: it arrives at the gate like any other, and waits for a section there."""

    async def drive(world: World) -> None:
        global shared
        shared = trio.Event()
        waiting = world.env.S.get_by_name("a").wait()
        await world.settle()
        blocking = world.env.S.get_by_name("a")
        section = blocking.busy()
        assert await waiting == "woken"
        await section
        shared = trio.Event()
        waiting = world.env.S.get_by_name("b").wait()
        await world.settle()
        await world.env.S.get_by_name("c").wake()
        assert await waiting == "woken"
        shared = trio.Event()
        dying = world.env.S.get_by_name("d").wait()
        await world.settle()
        shared.set()
        world.object("S", "d").crash()
        with pytest.raises(Exception, match=r"Network connection lost\."):
            await dying

    passes(drive, S=Sharing)


def test_a_timer_set_from_outside_is_the_objects_own(passes: Any) -> None:
    """TM-5: a driver that reaches into an instance has no strand there."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.clock()
        world.object("T", "t").instance.ctx.set_timeout(lambda: world.object("T", "t").instance.note("outside"), 1)
        await world.settle()
        assert await stub.seen() == [["outside", 1000]]

    passes(drive, T=Timers)


# ------------------------------------------------------------------------------------------- ctx's own timers


class Ticking(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.began = ctx.now()
        self.log: list[Any] = []
        self.handle: Any = None

    def seen(self) -> list[Any]:
        return self.log

    def note(self, name: str) -> None:
        self.log.append((name, self.ctx.now() - self.began))

    def every(self, period_s: float, times: int) -> None:
        left = [times]

        def tick() -> None:
            left[0] -= 1
            self.note("tick")
            if not left[0]:
                self.ctx.clear_interval(self.handle)
            if left[0] == 1:
                raise ValueError("a tick fails")

        self.handle = self.ctx.set_interval(tick, period_s)

    async def hold(self, seconds: float) -> None:
        async def section() -> None:
            await self.env.SLOW.get_by_name("s").wait(seconds)

        await self.ctx.block_concurrency_while(section)

    def delays(self, *delays_s: float) -> None:
        for delay_s in delays_s:
            self.ctx.set_timeout(lambda delay_s=delay_s: self.note(str(delay_s)), delay_s)

    def many(self, count: int) -> str:
        for _ in range(count):
            self.handle = self.ctx.set_timeout(lambda: None, 1000)
        try:
            self.ctx.set_interval(lambda: None, 1)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "one more"

    def one_less(self) -> str:
        self.ctx.clear_timeout(self.handle)
        self.ctx.clear_timeout(self.handle)
        self.ctx.clear_timeout(None)
        return self.many(1)

    async def waits(self, times: int, seconds: float) -> list[int]:
        """How long each of several waits for another object took, by this clock, which is read twice before it."""
        found = []
        for _ in range(times):
            self.ctx.now()
            began = self.ctx.now()
            await self.env.SLOW.get_by_name("w").wait(seconds)
            found.append(self.ctx.now() - began)
        return found

    async def readings(self) -> list[int]:
        found = [self.ctx.now(), self.ctx.now()]
        await trio.lowlevel.checkpoint()
        found.append(self.ctx.now())
        await self.ctx.storage.get("x")
        found.append(time.time_ns() // 1_000_000)
        await trio.sleep(0.005)
        found.append(self.ctx.now())
        await self.env.SLOW.get_by_name("r").wait(0)
        found.append(self.ctx.now())
        return [after - before for before, after in pairwise(found)]

    def spin(self, seconds: float) -> int:
        began, readings = time.time(), 0
        while time.time() - began < seconds:
            readings += 1
        return readings


def test_an_interval_counts_from_the_end_of_each_turn(passes: Any) -> None:
    """TM-6: an error does not stop it, and clearing it from within does."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.every(0.5, 3)
        await world.advance(8)
        assert await stub.seen() == [["tick", 500], ["tick", 1000], ["tick", 1500]]
        assert ["a tick fails" in line for line in world.errors_logged] == [True]

    passes(drive, T=Ticking, SLOW=Slow)


def test_a_late_round_shifts_all_later_ones(passes: Any) -> None:
    """TM-6: under a clock that is not held back; there is no catching up."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.every(1, 3)
        await stub.hold(2.5)
        await world.advance(8)
        ticks = [at for _, at in await stub.seen()]
        assert 2490 <= ticks[0] < 2600
        assert [1000 <= after - before < 1100 for before, after in pairwise(ticks)] == [True] * 2

    passes(drive, options=WorldOptions(runtime="workerd"), T=Ticking, SLOW=Slow)


def test_a_period_of_zero_is_one_millisecond(passes: Any) -> None:
    """TM-6: or virtual time would stand still for ever."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.every(0, 3)
        await world.advance(1)
        assert [at for _, at in await stub.seen()] == [1, 2, 3]

    passes(drive, T=Ticking, SLOW=Slow)


def test_delays_are_whole_milliseconds_from_zero_on(passes: Any) -> None:
    """TM-3: the fraction is cut off, and what is no delay is none."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        await stub.delays(0.0019, 1.001, 0.001, -5, float("nan"), 0.0009)
        await world.settle()
        assert await stub.seen() == [
            ["-5", 0], ["nan", 0], ["0.0009", 0], ["0.0019", 1], ["0.001", 1], ["1.001", 1001],
        ]  # fmt: skip
        await stub.delays(float("inf"), 1e300)
        view = world.object("T", "t")
        await world.advance(60)
        assert view.in_memory, "timers of a hundred years are pending"

    passes(drive, T=Ticking, SLOW=Slow)


def test_ten_thousand_timers_are_the_most(passes: Any) -> None:
    """TM-7: those that were called off do not count."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        assert await stub.many(10_000) == (
            "QuotaExceededError: You have exceeded the number of active timeouts you may set. max active timeouts: "
            "10000, current active timeouts: 10000, finished timeouts: 0"
        )
        assert (await stub.one_less()).startswith("QuotaExceededError")

    passes(drive, T=Ticking, SLOW=Slow)


def test_the_clock_of_the_open_source_runtime_moves_in_a_turn(passes: Any) -> None:
    """TM-1, TM-2, LT-91, appendix C: busy code always takes time, a microtask perhaps; and it stands in production."""
    seen: dict[str, set[tuple[bool, ...]]] = {"production": set(), "workerd": set()}

    for runtime, found in seen.items():

        async def drive(world: World, found: set[tuple[bool, ...]] = found) -> None:
            for nth in range(200):
                steps = await world.env.T.get_by_name(f"t{nth}").readings()
                found.add(tuple(step > 0 for step in steps))
                assert min(steps) >= 0
                assert steps[3] >= 5

        passes(drive, options=WorldOptions(runtime=runtime), trace=False, T=Ticking, SLOW=Slow)
    assert seen["production"] == {(False, False, False, True, False)}
    assert (True, False, False, True, True) in seen["workerd"], "the outcome recorded most often"
    assert (True, True, False, True, True) in seen["workerd"], "the other recorded one"
    assert {steps[0] for steps in seen["workerd"]} == {True}


def test_a_moving_clock_never_measures_less_than_a_wait_took(passes: Any) -> None:
    """TM-1, TM-2: however often it was read before; a real clock shows at least the time that somebody slept."""

    async def drive(world: World) -> None:
        for nth in range(20):
            assert min(await world.env.T.get_by_name(f"t{nth}").waits(5, 0.010)) >= 10

    passes(drive, options=WorldOptions(runtime="workerd"), trace=False, T=Ticking, SLOW=Slow)


def test_a_loop_that_waits_for_the_clock_ends_where_it_moves(passes: Any) -> None:
    """TM-1, LT-91: through Python's own clock as well."""

    async def drive(world: World) -> None:
        assert 500 < await world.env.T.get_by_name("t").spin(0.05) < 2000

    passes(drive, options=WorldOptions(runtime="workerd"), T=Ticking, SLOW=Slow)


def test_moving_clocks_replay(passes: Any) -> None:
    """TM-1: their steps are drawn from the seed of the run."""
    found: list[Any] = []

    async def drive(world: World) -> None:
        found.append([await world.env.T.get_by_name(name).readings() for name in "abc"])

    for _ in range(2):
        passes(drive, options=WorldOptions(runtime="workerd"), T=Ticking, SLOW=Slow)
    assert found[0] == found[1]


class Nesting(DurableObject):
    async def nest(self, levels: int) -> str:
        async def deeper(left: int) -> str:
            if not left:
                return "done"
            try:
                pending = self.ctx.block_concurrency_while(lambda: deeper(left - 1))
            except Exception as error:
                return str(error)
            return str(await pending)

        return await deeper(levels)


def test_sections_nest_as_deep_as_the_runtime_says(passes: Any) -> None:
    """IG-27, LT-22: 64, and without a limit in the recorded runtime."""

    async def drive(world: World) -> None:
        stub = world.env.N.get_by_name("n")
        assert await stub.nest(64) == "done"
        deep = world.options.runtime == "workerd"
        assert await stub.nest(65) == ("done" if deep else "blockConcurrencyWhile() calls are nested too deeply.")
        assert await stub.nest(2) == "done"

    passes(drive, N=Nesting)
    passes(drive, options=WorldOptions(runtime="workerd"), N=Nesting)

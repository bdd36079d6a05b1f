"""The kernel, without a mesh on top: links, quiet, limits, and what ends a run."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from lumenize_sim.errors import SimulatorError
from lumenize_sim.kernel.ending import Ending
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.kernel import Kernel
from lumenize_sim.kernel.link import Link

strand_var: ContextVar[Any] = ContextVar("strand", default=None)


class Actor:
    """An owner and the actor of its events in one."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.dead = False
        self.wakes = 0

    def end_turn(self) -> bool:
        return False

    def event(self, label: str, fire: Callable[[], Any] = lambda: None, **options: Any) -> Event:
        def begin() -> None:
            self.kernel.queue.begin_turn(self)
            fire()

        return Event(label, self, begin, receiver=self.name, **options)

    def start(self, async_fn: Any, args: tuple[Any, ...] = ()) -> None:
        context = copy_context()
        context.run(strand_var.set, SimpleNamespace(owner=self, event="e"))
        self.kernel.start(context, async_fn, args)

    def on_wake(self, task: Any) -> None:
        self.wakes += 1
        self.kernel.post(self.event(f"{self.name}!wake#{self.wakes}", lambda: self.kernel.queue.admit(task)))


def make(**options: Any) -> tuple[Kernel, GuidedChooser, Actor]:
    chooser = GuidedChooser()

    def on_deadline(due_us: int, expire: Callable[[], None]) -> Any:
        event = strand_var.get().owner.event(f"deadline@{due_us}", expire)
        kernel.post_at(event, due_us)
        return SimpleNamespace(cancel=lambda: kernel.cancel(event))

    kernel = Kernel(chooser, strand_var=strand_var, on_deadline=on_deadline, **options)
    return kernel, chooser, Actor(kernel, "a")


def go(kernel: Kernel, *events: Event) -> Ending:
    def begin() -> None:
        for event in events:
            kernel.post(event)

    return kernel.run(begin, lambda ending: None)


def labels(chooser: GuidedChooser) -> list[str]:
    return [label for _, label in chooser.log]


def test_a_link_delivers_in_order_however_its_events_are_posted() -> None:
    """Only the head of a stub or of one direction of a socket may arrive."""
    kernel, chooser, a = make()
    link = Link()

    def send() -> None:
        for nth in range(3):
            kernel.post_on(link, a.event(f"m{nth}"))

    ending = go(kernel, a.event("send", send), a.event("other"))
    assert labels(chooser) == ["send", "other", "m0", "m1", "m2"]
    assert ending.kind == "deadlock"
    assert ending.detail == "nothing can happen any more; and nobody waits"


def test_a_held_link_lets_nothing_arrive_until_it_is_released() -> None:
    kernel, chooser, a = make()
    link, empty = Link(), Link()

    def partition() -> None:
        kernel.post_on(link, a.event("m0"))
        kernel.hold(link)
        kernel.hold(link)
        kernel.hold(empty)
        kernel.post_on(link, a.event("m1"))

    def heal() -> None:
        kernel.release(link)
        kernel.release(link)
        kernel.release(empty)

    go(kernel, a.event("partition", partition), a.event("between"), a.event("heal", heal))
    assert labels(chooser) == ["partition", "between", "heal", "m0", "m1"]


def test_a_late_head_that_is_held_meanwhile_arrives_once() -> None:
    kernel, chooser, a = make()
    link = Link()

    def send() -> None:
        slow = a.event("slow")
        slow.not_before_us = 50
        kernel.post_on(link, slow)
        kernel.hold(link)

    go(kernel, a.event("send", send), a.event("heal", lambda: kernel.release(link)))
    assert labels(chooser) == ["send", "heal", "slow"]
    assert kernel.now_us == 50


def test_quiet_comes_before_timers_that_are_far_away_and_after_near_ones() -> None:
    """Settling waits for foreground timers within its horizon, and for no housekeeping."""
    kernel, chooser, a = make()

    def begin() -> None:
        kernel.post_at(a.event("near"), 10)
        kernel.post_at(a.event("far"), 1_000)
        kernel.post_at(a.event("beat", background=True), 5)
        kernel.when_quiet(a.event("quiet"), 100)

    advanced: list[int] = []
    kernel.on_advance = advanced.append
    go(kernel, a.event("begin", begin))
    assert labels(chooser) == ["begin", "beat", "near", "quiet", "far"]
    assert advanced == [5, 10, 1_000]


def test_a_timer_in_the_past_happens_now() -> None:
    kernel, chooser, a = make()
    go(kernel, a.event("begin", lambda: kernel.post_at(a.event("late"), -5)))
    assert labels(chooser) == ["begin", "late"]


def test_housekeeping_alone_does_not_keep_a_run_alive() -> None:
    """A heartbeat would beat for ever; nobody in the foreground waits, so nothing more can happen."""
    kernel, chooser, a = make()
    assert go(kernel, a.event("begin", lambda: kernel.post_at(a.event("beat", background=True), 5))).kind == "deadlock"
    assert labels(chooser) == ["begin"]


def test_too_many_events_end_the_run_by_name() -> None:
    kernel, _, a = make(step_limit=10)

    def again() -> None:
        kernel.post(a.event("again", again))

    ending = go(kernel, a.event("again", again))
    assert (ending.kind, kernel.steps) == ("step_limit", 10)


def test_the_first_ending_stays() -> None:
    kernel, _, a = make()

    def finish() -> None:
        kernel.finish(Ending("done", "first"))
        kernel.finish(Ending("done", "second"))

    assert go(kernel, a.event("finish", finish)).detail == "first"


def test_no_task_begins_outside_the_run() -> None:
    kernel, _, a = make()
    with pytest.raises(SimulatorError, match="outside the run"):
        a.start(trio.sleep_forever)
    go(kernel)
    with pytest.raises(SimulatorError, match="outside the run"):
        a.start(trio.sleep_forever)


def test_an_error_of_the_simulator_is_raised_as_it_is() -> None:
    """Not wrapped into groups, not taken for Ctrl-C; tasks that are left do not keep the run."""
    kernel, _, a = make()

    def broken() -> None:
        raise SimulatorError("an invariant does not hold")

    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    with pytest.raises(SimulatorError, match="an invariant"):
        go(kernel, a.event("start", lambda: a.start(shielded)), a.event("broken", broken))


def test_a_chooser_that_neither_picks_nor_gets_unstuck_is_our_fault() -> None:
    kernel, chooser, a = make()
    chooser.pick = lambda agenda: None  # type: ignore[method-assign]  # broken on purpose
    with pytest.raises(SimulatorError, match="none may be picked"):
        go(kernel, a.event("x"))


@pytest.mark.parametrize("where", ["inline", "task"])
def test_ctrl_c_in_code_of_the_app_ends_the_run_as_ctrl_c(where: str) -> None:
    kernel, _, a = make()

    def interrupted() -> None:
        raise KeyboardInterrupt

    async def task() -> None:
        try:
            interrupted()
        except KeyboardInterrupt as error:
            kernel.interrupt(error)
            kernel.interrupt(RuntimeError("later"))

    fire = interrupted if where == "inline" else lambda: a.start(task)
    with pytest.raises(KeyboardInterrupt):
        go(kernel, a.event("x", fire))
    assert kernel.ending is not None
    assert kernel.ending.kind == "interrupted"


def test_ctrl_c_that_escapes_from_a_task_is_ctrl_c() -> None:
    kernel, _, a = make()

    async def task() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(kernel, a.event("x", lambda: a.start(task)))


def test_an_error_that_escapes_from_a_task_is_not_swallowed() -> None:
    """Hosts guard their tasks; one that does not has broken the run."""
    kernel, _, a = make()

    async def task() -> None:
        raise ValueError("unguarded")

    with pytest.raises(BaseExceptionGroup) as caught:
        go(kernel, a.event("x", lambda: a.start(task)), a.event("y"))
    assert caught.group_contains(ValueError, match="unguarded")


def test_collection_is_off_during_a_run_and_as_before_afterwards() -> None:
    """Finalizers must not run at moments that depend on memory."""
    seen: list[bool] = []
    kernel, _, a = make()
    go(kernel, a.event("x", lambda: seen.append(gc.isenabled())))
    gc.disable()
    try:
        kernel, _, a = make()
        go(kernel, a.event("x"))
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert seen == [False]


def test_garbage_is_collected_between_turns_at_fixed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumenize_sim.kernel.kernel._COLLECT_EVERY", 5)
    collected: list[int] = []
    kernel, _, a = make(step_limit=13)
    monkeypatch.setattr(gc, "collect", lambda: collected.append(kernel.steps))

    def again() -> None:
        kernel.post(a.event("again", again))

    go(kernel, a.event("again", again))
    assert collected == [5, 10]


def test_the_order_of_tasks_is_labelled_by_owner_and_count() -> None:
    asked: list[tuple[str, int]] = []

    def choice(label: str, bound: int) -> int:
        asked.append((label, bound))
        return 0

    kernel, _, a = make(task_choice=choice)

    async def nothing() -> None:
        pass

    def two() -> None:
        a.start(nothing)
        a.start(nothing)

    go(kernel, a.event("x", two), a.event("y", two))
    assert asked == [("a#0@task", 2), ("a#1@task", 2)]


def test_a_deadlock_names_every_waiter_with_its_line() -> None:
    kernel, _, a = make()

    async def waits() -> None:
        await trio.sleep_forever()

    dead = Actor(kernel, "z")

    def die() -> None:
        dead.start(waits)
        dead.dead = True

    ending = go(kernel, a.event("x", lambda: a.start(waits)), dead.event("y", die))
    assert ending.kind == "deadlock"
    line = waits.__code__.co_firstlineno + 1
    assert ending.detail == f"nothing can happen any more; a waits at test_kernel_run.py:{line} (began with e)"


def test_a_generator_abandoned_after_its_owner_died_is_closed_at_the_end() -> None:
    """Never before the verdict, whoever lets go of it."""
    kernel, _, a = make()
    closed: list[str] = []
    kept: list[Any] = []
    verdict: list[list[str]] = []

    async def count(name: str) -> Any:
        try:
            yield 1
        finally:
            closed.append(name)

    async def iterates() -> None:
        for name in ("first", "second", "third"):
            kept.append(count(name))
            await anext(kept[-1])

    def die() -> None:
        a.dead = True
        kept.pop()
        kept.pop(0)

    other = Actor(kernel, "b")

    def begin() -> None:
        for event in (a.event("x", lambda: a.start(iterates)), other.event("y", die)):
            kernel.post(event)

    kernel.run(begin, lambda ending: verdict.append(list(closed)))
    assert verdict == [[]]
    assert closed == ["first", "second", "third"]


def test_ctrl_c_in_a_generator_that_is_closed_is_ctrl_c() -> None:
    kernel, _, a = make()

    async def count() -> Any:
        try:
            yield 1
        finally:
            raise KeyboardInterrupt

    async def iterates() -> None:
        await anext(count())
        await trio.sleep_forever()

    a.start_of_owner = a.start  # type: ignore[attr-defined]  # owners begin tasks in the current context
    a.start = lambda fn, args=(): kernel.start(copy_context(), fn, args) if args else a.start_of_owner(fn)  # type: ignore[attr-defined,method-assign]  # begins tasks as a test likes
    with pytest.raises(KeyboardInterrupt):
        go(kernel, a.event("x", lambda: a.start(iterates)))


def test_a_deadline_is_set_by_nobody_once_the_run_closes() -> None:
    kernel, chooser, a = make()
    ends: list[str] = []

    async def cleans_up() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(1, shield=True):
                ends.append("inside")
                await trio.sleep_forever()

    ending = go(kernel, a.event("x", lambda: a.start(cleans_up)))
    assert ending.kind == "deadlock"
    assert ends == ["inside"]
    assert labels(chooser) == ["x"]

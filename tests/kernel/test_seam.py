"""The seam: Trio's private parts are as expected, or their absence is named."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio._core import _run

from lumenize_sim.errors import SimulatorError
from lumenize_sim.kernel import seam


def test_the_installed_trio_is_one_that_the_kernel_knows() -> None:
    seam.check_trio()


@pytest.mark.parametrize("line", ["if runner.runq", "batch = list(runner.runq)", "runner.runq.clear()"])
def test_a_changed_run_loop_is_named(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """A Trio that takes its batch in another way must not run in a half-known order."""
    real = inspect.getsource

    def changed(thing: Any) -> str:
        return real(thing).replace(line, "pass")

    monkeypatch.setattr(inspect, "getsource", changed)
    with pytest.raises(SimulatorError, match="is not one that the kernel knows") as caught:
        seam.check_trio()
    assert f"unrolled_run no longer does `{line}`" in str(caught.value)
    assert trio.__version__ in str(caught.value)
    assert "pyproject.toml" in str(caught.value)


def test_a_reschedule_that_does_not_append_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda thing: "" if thing is _run.Runner.reschedule else real(thing))
    with pytest.raises(SimulatorError, match=r"Runner\.reschedule no longer appends to runq"):
        seam.check_trio()


def test_missing_fields_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Runner:
        __attrs_attrs__ = tuple(SimpleNamespace(name=n) for n in ("runq", "deadlines", "system_nursery", "tasks"))
        reschedule = _run.Runner.reschedule

    class Task:
        __attrs_attrs__ = tuple(SimpleNamespace(name=n) for n in ("_abort_func", "_counter", "_next_send"))

    monkeypatch.setattr(_run, "Runner", Runner)
    monkeypatch.setattr(trio.lowlevel, "Task", Task)
    with pytest.raises(SimulatorError, match="Runner has no waiting_for_idle") as caught:
        seam.check_trio()
    assert "Task has no _next_send_fn" in str(caught.value)


class Timers:
    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []
        self.cancelled = 0

    def timer(self, deadline: float, expire: Callable[[], None]) -> Any:
        self.set.append((deadline, expire))
        return SimpleNamespace(cancel=self.cancel)

    def cancel(self) -> None:
        self.cancelled += 1


def test_deadlines_become_timers_and_trio_waits_for_none() -> None:
    timers = Timers()
    deadlines = seam.Deadlines(timers.timer)
    scope = trio.CancelScope()
    deadlines.add(3.0, scope)
    assert [deadline for deadline, _ in timers.set] == [3.0]
    assert deadlines.next_deadline() == math.inf
    assert deadlines.expire(99.0) is False
    deadlines.remove(3.0, scope)
    deadlines.remove(3.0, scope)
    assert timers.cancelled == 1
    deadlines.add(5.0, scope)
    timers.set[-1][1]()
    assert scope.cancel_called
    deadlines.remove(5.0, scope)
    assert timers.cancelled == 1


def test_deadlines_in_real_time_are_the_owners_or_trios() -> None:
    """Only node code has an owner; everything else in the run keeps Trio's clock."""
    timers, calls = Timers(), []
    trios: Any = SimpleNamespace(
        add=lambda *args: calls.append("add"),
        remove=lambda *args: calls.append("remove"),
        next_deadline=lambda: 7.0,
        expire=lambda now: now > 7,
    )
    owned = [True, False]
    deadlines = seam.SharedDeadlines(trios, timers.timer, lambda: owned.pop(0))
    ours, theirs = trio.CancelScope(), trio.CancelScope()
    deadlines.add(3.0, ours)
    deadlines.add(4.0, theirs)
    assert [deadline for deadline, _ in timers.set] == [3.0]
    deadlines.remove(3.0, ours)
    deadlines.remove(4.0, theirs)
    assert timers.cancelled == 1
    assert calls == ["add", "remove"]
    assert deadlines.next_deadline() == 7.0
    assert [deadlines.expire(now) for now in (7.0, 8.0)] == [False, True]


@pytest.mark.parametrize("again, seconds", [(True, 0.0), (False, 86_400.0)])
def test_the_clock_is_read_from_the_kernel_and_never_sleeps_for_time(again: bool, seconds: float) -> None:
    clock = seam.VirtualClock(lambda: 1_500_000, lambda: again)
    clock.start_clock()
    assert clock.current_time() == 1.5
    assert clock.deadline_to_sleep_time(2.0) == seconds

"""The one place that touches Trio's private parts, and the check that they are as expected.

Four attributes of the running `Runner` are replaced for the time of one simulated run:
``runq`` (see `runqueue`), ``deadlines`` (equal deadlines would fire in the order of
object addresses; ours become timers of the kernel), ``io_manager`` (a simulated run does
no I/O, so most ticks need not ask the system for any) and the class of the runner
itself, by a subclass without fields that refuses what cannot be made deterministic.
`check_trio` looks at the installed Trio before the first run and says by name what
has changed if this module must be revised.
"""

from __future__ import annotations

import ctypes
import inspect
import math
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import attrs
import outcome
import trio
from trio._core import _run  # the private touch

from lumenize_sim.errors import AppError, SimulatorError
from lumenize_sim.kernel.runqueue import RunQueue

__all__ = [
    "Deadlines",
    "VirtualClock",
    "abandon",
    "blocked_tasks",
    "check_trio",
    "living_tasks",
    "lost_tasks",
    "take_over",
    "throw",
]


#: Trio's thread-local record of the running run; nothing declares its attributes.
_context: Any = _run.GLOBAL_RUN_CONTEXT


class _Handle(Protocol):
    def cancel(self) -> None: ...


class Deadlines:
    """What Trio's runner believes to be its heap of cancel-scope deadlines."""

    def __init__(self, set_timer: Callable[[float, Callable[[], None]], _Handle]) -> None:
        self._set_timer = set_timer
        self._handles: dict[trio.CancelScope, _Handle] = {}

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """A scope with a finite deadline was entered, or its deadline moved."""

        def expire() -> None:
            self._handles.pop(cancel_scope, None)
            cancel_scope.cancel()

        self._handles[cancel_scope] = self._set_timer(deadline, expire)

    def remove(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """The scope was left or cancelled."""
        handle = self._handles.pop(cancel_scope, None)
        if handle is not None:
            handle.cancel()

    def next_deadline(self) -> float:
        """Trio never waits for time by itself."""
        return math.inf

    def expire(self, now: float) -> bool:
        """Deadlines are events of the kernel, not Trio's."""
        return False


class SharedDeadlines(Deadlines):
    """Where real time passes: deadlines of node code are timers of its owner, all others stay with Trio.

    Args:
        trios: Trio's own.
        set_timer: makes a timer of the current owner.
        owned: whether the code that runs now has an owner.
    """

    def __init__(
        self,
        trios: _run.Deadlines,
        set_timer: Callable[[float, Callable[[], None]], _Handle],
        owned: Callable[[], bool],
    ) -> None:
        super().__init__(set_timer)
        self._trios = trios
        self._owned = owned

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """A scope with a finite deadline was entered, or its deadline moved."""
        if self._owned():
            # Cancelling unregisters the deadline, and so comes back as `remove`.
            self._handles[cancel_scope] = self._set_timer(deadline, cancel_scope.cancel)
        else:
            self._trios.add(deadline, cancel_scope)

    def remove(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """The scope was left or cancelled."""
        handle = self._handles.pop(cancel_scope, None)
        if handle is None:
            self._trios.remove(deadline, cancel_scope)
        else:
            handle.cancel()

    def next_deadline(self) -> float:
        """When Trio has to wake up."""
        return self._trios.next_deadline()

    def expire(self, now: float) -> bool:
        """Trio's own."""
        return self._trios.expire(now)


class VirtualClock(trio.abc.Clock):
    """Trio's clock, read from the kernel.  Trio asks how long to sleep only when nothing is runnable."""

    def __init__(self, now_us: Callable[[], int], on_stuck: Callable[[], bool]) -> None:
        self._now_us = now_us
        self._on_stuck = on_stuck

    def start_clock(self) -> None:
        """Nothing to start."""

    def current_time(self) -> float:
        """Virtual seconds since the run began."""
        return self._now_us() / 1_000_000

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Reached while somebody waits for all tasks to be blocked, and by a shutdown that is stuck."""
        return 0.0 if self._on_stuck() else 86_400.0


class _SeldomAsked:
    """Trio's I/O manager, asked for events only now and then while tasks are runnable.

    What still comes that way is Ctrl-C in code that Trio protects from it.
    """

    __slots__ = ("_asked", "_manager")

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._asked = 0

    def get_events(self, timeout: float) -> Any:
        self._asked += 1
        if timeout or not self._asked % 64:
            return self._manager.get_events(timeout)
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)


class _RefusingRunner(_run.Runner):
    __slots__ = ()

    def spawn_system_task(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # refuses whatever it is given
        raise AppError(
            "trio.lowlevel.spawn_system_task is not deterministic here: a system task has no owner, "
            "so no gate can hold it.  Start the task in a nursery of the handler instead."
        )

    def current_trio_token(self) -> Any:
        raise AppError(
            "a Trio token lets other threads re-enter the run, which cannot be replayed: threads "
            "(trio.to_thread, trio.from_thread) are refused in simulated code.  Do the work in the "
            "handler, or call a Worker."
        )


_RELIED_ON = ("if runner.runq", "batch = list(runner.runq)", "runner.runq.clear()", "runner.deadlines.expire(now)")


def check_trio() -> None:
    """Compare the installed Trio with what this module relies on.

    Raises:
        SimulatorError: naming the part that has changed.
    """
    fields = {a.name for a in attrs.fields(_run.Runner)}
    missing = (
        {"runq", "deadlines", "io_manager", "waiting_for_idle", "system_nursery", "tasks"}
        - fields
        - set(dir(_run.Runner))
    )
    problems = [f"Runner has no {name}" for name in sorted(missing)]
    source = inspect.getsource(_run.unrolled_run)
    problems += [f"unrolled_run no longer does `{line}`" for line in _RELIED_ON if line not in source]
    if "self.runq.append(task)" not in inspect.getsource(_run.Runner.reschedule):
        problems.append("Runner.reschedule no longer appends to runq")
    fields = {a.name for a in attrs.fields(trio.lowlevel.Task)}
    missing = {"_abort_func", "_counter", "_next_send", "_next_send_fn", "_parent_nursery"} - fields
    problems += [f"Task has no {name}" for name in sorted(missing)]
    if problems:
        raise SimulatorError(
            f"Trio {trio.__version__} is not one that the kernel knows: {'; '.join(problems)}. "
            "Install a supported release (see pyproject.toml) and report this."
        )


def take_over(queue: RunQueue, deadlines: Deadlines) -> Callable[[], None]:
    """Put ``queue`` and ``deadlines`` into the run that the caller's task belongs to.

    Returns a function that gives the runner back its own class, for Trio's shutdown.
    """
    runner = _context.runner
    for task in runner.runq:
        queue.admit(task)
    queue.idle = runner.waiting_for_idle
    runner.runq = queue
    runner.deadlines = deadlines
    manager = runner.io_manager
    runner.io_manager = _SeldomAsked(manager)
    runner.__class__ = _RefusingRunner

    def give_back() -> None:
        runner.io_manager = manager
        runner.__class__ = _run.Runner

    return give_back


def lost_tasks(queue: RunQueue) -> list[trio.lowlevel.Task]:
    """Tasks that Trio made runnable and ``queue`` does not have, oldest first.

    Their owner is dead, or they wait for the event that lets them go on.
    """
    runner = _context.runner
    queued = dict.fromkeys(queue.tasks())
    lost = [t for t in runner.tasks if t._next_send_fn is not None and not _is_trios(t) and t not in queued]
    return sorted(lost, key=lambda task: task._counter)


def blocked_tasks() -> list[trio.lowlevel.Task]:
    """Tasks that wait for something, oldest first; without Trio's own."""
    runner = _context.runner
    waiting = [t for t in runner.tasks if t._abort_func is not None and not _is_trios(t)]
    return sorted(waiting, key=lambda task: task._counter)


def _is_trios(task: trio.lowlevel.Task) -> bool:
    """The init task, its service for threads, or the main task, which is the kernel's."""
    nursery = task.parent_nursery
    return nursery is None or nursery.parent_task.parent_nursery is None


def throw(task: trio.lowlevel.Task, error: BaseException) -> None:
    """Raise ``error`` in ``task``, whatever it waits for, the next time that it runs."""
    if task._next_send_fn is None:
        trio.lowlevel.reschedule(task, outcome.Error(error))
    else:
        if inspect.getcoroutinestate(task.coro) == inspect.CORO_CREATED:
            # None of its code ever runs; nor may what it was to await be found unawaited after the run.
            _close_unbegun(task.coro)
        task._next_send_fn = task.coro.throw
        task._next_send = error


def _close_unbegun(coroutine: Any) -> None:
    """Close a coroutine that has not begun, and those among its arguments that have not either."""
    for value in list(coroutine.cr_frame.f_locals.values()):
        for item in value if type(value) is tuple else (value,):
            if inspect.iscoroutine(item) and inspect.getcoroutinestate(item) == inspect.CORO_CREATED:
                _close_unbegun(item)
    coroutine.close()


def abandon(task: trio.lowlevel.Task) -> None:
    """Have Trio believe that ``task`` has exited.

    Its frames stay as they are for good: to collect them would raise `GeneratorExit` in
    code that is known to swallow whatever is raised in it.  So one reference is leaked.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(task.coro))
    task._abort_func = None
    _context.runner.task_exited(task, outcome.Value(None))


def share(
    queue: RunQueue, set_timer: Callable[[float, Callable[[], None]], _Handle], owned: Callable[[], bool]
) -> Callable[[], None]:
    """Put ``queue`` into the caller's run, which keeps its clock and began before and goes on afterwards.

    Nothing is refused: threads and system tasks are nobody's, so no gate need hold them.

    Returns a function that gives the run its own queue and deadlines back, with all that is runnable.
    """
    runner = _context.runner
    trios_queue, trios_deadlines = runner.runq, runner.deadlines
    for task in trios_queue:
        queue.admit(task)
    trios_queue.clear()
    queue.idle = runner.waiting_for_idle
    runner.runq = queue
    runner.deadlines = SharedDeadlines(trios_deadlines, set_timer, owned)

    def give_back() -> None:
        trios_queue.extend(queue.drain())
        runner.runq = trios_queue
        runner.deadlines = trios_deadlines

    return give_back


def unwind(task: trio.lowlevel.Task, error: BaseException) -> bool:
    """Have ``error`` raised in ``task`` in place of whatever it waits for or was about to hear.

    Returns whether it was runnable already, in some queue of the caller's, which must admit it.  One
    that waits is rescheduled here; one that waits for its children goes on when they have ended.  One
    that has not begun is left to find out by itself: nothing could be caught in it yet, and what it was
    to await would be reported as never awaited.
    """
    if task._next_send_fn is not None:
        if inspect.getcoroutinestate(task.coro) == inspect.CORO_CREATED:
            return True
        task._next_send_fn = task.coro.throw
        task._next_send = error  # as Trio itself does for a task that misbehaves
        return True
    if task._abort_func is not None:

        def refuse() -> NoReturn:
            raise error

        task._attempt_abort(refuse)
    return False


def living_tasks() -> Any:
    """The tasks of the current run, for membership tests only."""
    return _context.runner.tasks

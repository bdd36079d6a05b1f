"""The run queue that replaces Trio's: one task a tick, the right one, in a known order.

Trio releases its whole queue every tick and shuffles it, wakes equal deadlines in
the order of object addresses, and walks identity-hashed sets when it cancels or
sets an event.  None of that can be seeded.  But everything it does ends in
``runq.append(task)``, and everything it runs comes out of ``list(runq)``.  So this
queue takes whatever Trio appends, decides where the task belongs, and hands out
exactly one task per tick; a shuffle of one changes nothing.

Where a task belongs is decided by its *owner*, read from the context variable that
Trio copied when it was spawned:

* The kernel's own task runs only when nothing else may: it is how the kernel waits
  for the end of a turn.
* Tasks without owner are Trio's own (the init task, nurseries at shutdown).  They run
  at once.
* A task of the owner whose turn it is continues the turn: nursery children, events
  and channels inside one instance, checkpoints.  First in, first out, where "in" for
  several tasks woken by one step means *who had waited longest*: the set that Trio
  walked has no order of its own.
* A task of any other owner was woken across a border.  It is not run; its owner's
  host is told, and answers with an event that must arrive like any other.
* A task of a dead owner never runs again.  It stays referenced by its nursery, so
  nothing collects it (which would run its ``finally``) before the verdict is fixed.

`trio.sleep(0)` is a checkpoint for Trio and a zero timer for the platform modelled
here, so it must end the turn.  The two reach us as the same append; the await chain
of the coroutine tells them apart.

Rejected: `trio.lowlevel` instruments (they observe, they cannot choose);
`_ALLOW_DETERMINISTIC_SCHEDULING` (sorts by spawn order and leaves the shuffle's
generator shared with everybody); filtering all runnable tasks every tick (from
160,000 steps a second to 440 with five thousand gated tasks).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Protocol

import trio

__all__ = ["RunQueue"]

Task = trio.lowlevel.Task
_SLEEP = trio.sleep.__code__
CLOSING_STEPS = 100


class _Owner(Protocol):
    name: str
    dead: bool
    on_wake: Callable[[Task], None]


class RunQueue:
    """What Trio's runner believes to be its deque.

    Attributes:
        current: the owner whose turn it is.
        closing: the verdict is fixed; every task may run to its end now, in `CLOSING_STEPS` steps.
        give_up: gets rid of a task that needs more.
        turn_steps: steps that tasks took in this turn.
        overrun: the turn went past ``turn_limit`` steps; only the kernel runs from here on.
        unwinds: tasks of dead owners run, because something has been raised in them that ends them.
            For the real host, which cannot keep them until the verdict.
    """

    __slots__ = (
        "_arrived",
        "_closing_steps",
        "_kernel_ready",
        "_parked",
        "_ready",
        "_seq",
        "_short",
        "_strand_var",
        "choose",
        "closing",
        "current",
        "give_up",
        "idle",
        "kernel_task",
        "overrun",
        "steps",
        "turn_limit",
        "turn_steps",
        "unwinds",
    )

    def __init__(self, strand_var: ContextVar[Any], *, turn_limit: int = 100_000) -> None:
        self._strand_var = strand_var
        self._ready: deque[Task] = deque()
        self._arrived: list[Task] = []
        self._parked: dict[Task, int] = {}
        self._seq = 0
        self._kernel_ready = False
        self._short = False
        self.kernel_task: Task | None = None
        self.current: Any = None
        self.closing = False
        self.turn_limit = turn_limit
        self.turn_steps = 0
        self.steps = 0
        self.overrun = False
        self.unwinds = False
        self.idle: Any = ()
        self.choose: Callable[[int], int] | None = None
        self.give_up: Callable[[Task], None] | None = None
        self._closing_steps: dict[Task, int] = {}

    # -- what Trio calls -----------------------------------------------------

    def append(self, task: Task) -> None:
        """Trio made ``task`` runnable."""
        if task is self.kernel_task:
            self._kernel_ready = True
            return
        strand = task.context.get(self._strand_var)
        if strand is None or self.closing:
            self._ready.append(task)
            return
        owner: _Owner = strand.owner
        if owner.dead:
            if self.unwinds:
                self._ready.append(task)
            return
        if owner is self.current and not (task is _running() and _sleeps_for_zero(task)):
            if task not in self._parked:
                self._parked[task] = self._seq
                self._seq += 1
            self._arrived.append(task)
        else:
            owner.on_wake(task)

    def __bool__(self) -> bool:
        if self._ready or self._arrived:
            return True
        # Trio wakes `wait_all_tasks_blocked` only when it believes that nothing is
        # runnable, so the kernel steps aside while somebody waits for that.
        return self._kernel_ready and (self.closing or not self.idle)

    def __len__(self) -> int:
        return len(self._ready) + len(self._arrived) + self._kernel_ready

    def __iter__(self) -> Iterator[Task]:
        arrived = self._arrived
        if arrived:
            if len(arrived) > 1:
                arrived.sort(key=self._parked.__getitem__)
            self._ready.extend(arrived)
            arrived.clear()
        ready = self._ready
        if self.closing:
            self._drop_stubborn()
        if ready and not self.overrun:
            if self.choose is not None and len(ready) > 1 and not self.closing:
                index = self.choose(len(ready))
                task = ready[index]
                del ready[index]
            else:
                task = ready.popleft()
            self._parked[task] = self._seq
            self._seq += 1
            self.steps += 1
            self.turn_steps += 1
            if self.turn_steps > self.turn_limit and not self.closing and self.current is not None:
                self.overrun = True
            elif self._short and not self.closing:
                self.turn_limit, self.overrun = self.turn_steps, True
            yield task
        elif self._kernel_ready:
            self._kernel_ready = False
            assert self.kernel_task is not None
            yield self.kernel_task

    def _drop_stubborn(self) -> None:
        """A task that swallows its cancellation again and again would keep the run from ending."""
        ready, steps = self._ready, self._closing_steps
        while ready and ready[0].context.get(self._strand_var) is not None:
            task = ready[0]
            steps[task] = taken = steps.get(task, 0) + 1
            if taken <= CLOSING_STEPS:
                return
            ready.popleft()
            if taken == CLOSING_STEPS + 1 and self.give_up is not None:
                self.give_up(task)
            self._ready.extend(self._arrived)
            self._arrived.clear()

    def clear(self) -> None:
        """Trio empties the queue after copying it; ours was emptied by the copy."""

    # -- what the kernel calls -------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the turn goes on."""
        return bool(self._ready or self._arrived)

    def begin_turn(self, owner: Any) -> None:
        """Tasks of ``owner`` may run from now on."""
        self.current = owner
        self.turn_steps = 0

    def tasks(self) -> list[Task]:
        """Those that are queued, without the kernel's."""
        return [*self._ready, *self._arrived]

    def close(self) -> None:
        """The verdict is fixed."""
        self.closing = True
        self.overrun = False

    def cut_short(self) -> None:
        """End this turn as one that went past its limit.  May be called from another thread."""
        self._short = True

    def admit(self, task: Task) -> None:
        """A task that was held back runs in the present turn of its owner."""
        self._ready.append(task)

    def drain(self) -> list[Task]:
        """Everything that is runnable, for whoever takes over from this queue."""
        tasks = [*self._ready, *self._arrived]
        self._ready.clear()
        self._arrived.clear()
        if self._kernel_ready and self.kernel_task is not None:
            self._kernel_ready = False
            tasks.append(self.kernel_task)
        return tasks

    def forget_exited(self, living: Any) -> None:
        """Drop the bookkeeping of tasks that have exited.  Called now and then between turns."""
        if len(self._parked) > 2 * len(living) + 256:
            self._parked = {task: seq for task, seq in self._parked.items() if task in living}

    def drop_ready(self) -> None:
        """Forget runnable tasks of the present turn: their owner has just died."""
        kept = [t for t in (*self._ready, *self._arrived) if not self._is_dead(t)]
        self._ready = deque(kept)
        self._arrived.clear()

    def _is_dead(self, task: Task) -> bool:
        strand = task.context.get(self._strand_var)
        return strand is not None and strand.owner.dead


def _running() -> Task | None:
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:
        return None


def _sleeps_for_zero(task: Task) -> bool:
    coro: Any = task.coro
    while coro is not None:
        if getattr(coro, "cr_code", None) is _SLEEP:
            return True
        coro = getattr(coro, "cr_await", None)
    return False

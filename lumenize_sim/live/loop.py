"""The loop: one event, one turn, one task at a time, in real time.

The same run queue that the simulator uses holds node code back here: a task runs only
in a turn of its owner, and a wake-up across a border becomes an event.  What differs is
who decides and what time is.  Events happen in the order in which they were posted,
timers when they are due, and where the simulator's kernel moves its clock this loop
sleeps.

Web sockets, listeners and threads are nobody's: their tasks carry no strand, so the
queue runs them at once, between the steps of a turn.  They touch no node; they post.

There is one loop in a Trio run, however many servers and clients live there: whoever
comes first brings it, and waits at the end for those who came later.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from heapq import heappop, heappush
from math import inf
from typing import Any, Protocol

import trio

from lumenize_sim.errors import AppError
from lumenize_sim.kernel.runqueue import RunQueue
from lumenize_sim.kernel.seam import abandon, check_trio, living_tasks, share, unwind
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.strand import strand_var

__all__ = ["NOBODY", "Actor", "Event", "Loop", "Nobody", "running_loop"]

_FORGET_EVERY = 4096
_log = logging.getLogger("lumenize_sim.live")


class Actor(Protocol):
    """Where events arrive."""

    @property
    def name(self) -> str: ...
    @property
    def gone(self) -> bool:
        """Nothing arrives here any more."""
        ...

    def end_turn(self) -> bool:
        """No task of the turn can go on.  True when the actor has begun its next turn already."""
        ...

    def break_off(self, error: Exception) -> None:
        """A turn went wrong beyond what its own code could hear: this instance ends."""


class Event:
    """Something that happens as soon as everything posted before it has: ``fire`` begins a turn of ``actor``."""

    __slots__ = ("actor", "cancelled", "fire")

    def __init__(self, actor: Actor, fire: Callable[[], None]) -> None:
        self.actor = actor
        self.fire = fire
        self.cancelled = False

    def cancel(self) -> None:
        """Call it off.  No effect once it has happened."""
        self.cancelled = True


class Loop:
    """See the module.

    Attributes:
        queue: who may run.
        turns: events that have happened.
        users: contexts besides the first that rely on the loop.
        closed: nothing happens any more.
        nursery: of all tasks that the loop has begun.
    """

    def __init__(self) -> None:
        self.queue = RunQueue(strand_var)
        self.queue.unwinds = True
        self.turns = 0
        self.users = 0
        self.closed = False
        self.left = trio.Event()
        self._due: deque[Event] = deque()
        self._timers: list[tuple[int, int, Event]] = []
        self._seq = 0
        self._began = trio.current_time()
        self._nobody = copy_context()
        self._nobody.run(strand_var.set, None)
        self.nursery: trio.Nursery | None = None
        self._parked = False
        self._turn_ms: int | None = None
        self._interrupt: BaseException | None = None

    # -- time ----------------------------------------------------------------------------

    def now_us(self) -> int:
        """Microseconds since the loop began."""
        return int((trio.current_time() - self._began) * 1_000_000)

    def now_ms(self) -> int:
        """Epoch milliseconds; stands still during a turn (TM-1)."""
        return self._turn_ms if self._turn_ms is not None else time.time_ns() // 1_000_000

    # -- events --------------------------------------------------------------------------

    def post(self, actor: Actor, fire: Callable[[], None]) -> Event:
        """Something happens next."""
        event = Event(actor, fire)
        self._due.append(event)
        self._wake_up()
        return event

    def post_at(self, actor: Actor, fire: Callable[[], None], due_us: int) -> Event:
        """Something happens at ``due_us``; equal times in the order posted."""
        event = Event(actor, fire)
        self._seq += 1
        heappush(self._timers, (due_us, self._seq, event))
        if self._timers[0][2] is event:
            self._wake_up()
        return event

    def interrupt(self, error: BaseException) -> None:
        """Something reached node code that is not for it, such as Ctrl-C: the loop ends with it."""
        if not self.closed:
            self._interrupt = self._interrupt or error
            self._wake_up()

    def _wake_up(self) -> None:
        if self._parked:
            self._parked = False
            assert self.queue.kernel_task is not None
            trio.lowlevel.reschedule(self.queue.kernel_task)

    # -- tasks ---------------------------------------------------------------------------

    def start(self, context: Context, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        """Begin a task of an owner, in ``context``.  Nothing but cancellation may escape it."""
        if self.nursery is None:
            raise AppError(
                "a node began a task when its host was gone: keep servers and clients inside their `async with`"
            )
        context.run(self.nursery.start_soon, async_fn, *args)

    def start_infrastructure(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Begin a task that is nobody's."""
        if self.nursery is not None:
            self._nobody.run(self.nursery.start_soon, async_fn, *args)

    def let_end(self, error: BaseException) -> None:
        """Raise ``error``, which ends a task of an owner, again; but not what says that the owner is gone."""
        if isinstance(error, BaseExceptionGroup):
            rest = error.split(InstanceGone)[1]
            if rest is not None:
                raise rest
        elif not isinstance(error, InstanceGone):
            raise error

    def reap(self) -> None:
        """End the tasks of owners that have died: they would wait for ever, and nothing would collect them.

        What they still do in ``finally`` has no effect, as every operation of a dead instance is refused.
        """
        self.queue.drop_ready()
        for task in sorted(living_tasks(), key=lambda task: task._counter):
            strand = task.context.get(strand_var)
            if strand is not None and strand.owner.dead and unwind(task, InstanceGone()):
                self.queue.admit(task)

    # -- the run -------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        check_trio()
        queue = self.queue
        queue.kernel_task = trio.lowlevel.current_task()
        queue.give_up = abandon
        give_back = share(queue, self._deadline, lambda: strand_var.get() is not None)
        try:
            async with trio.open_nursery() as self.nursery:
                task_status.started()
                try:
                    await self._happen()
                finally:
                    self.closed = True
                    queue.close()
                    queue.current = None
                    self._turn_ms = None
                    for task in sorted(living_tasks(), key=lambda task: task._counter):
                        # Held back by an event or a gate that will not come any more.
                        if task.context.get(strand_var) is not None and unwind(task, InstanceGone()):
                            queue.admit(task)
                    self.nursery.cancel_scope.cancel()
        finally:
            self.nursery = None
            give_back()

    async def _happen(self) -> None:
        queue = self.queue
        while True:
            if self._interrupt is not None:
                raise self._interrupt
            event = self._next()
            if event is None:
                await self._park()
                continue
            self.turns += 1
            if not self.turns % _FORGET_EVERY:
                queue.forget_exited(living_tasks())
            self._turn_ms = time.time_ns() // 1_000_000
            actor = event.actor
            try:
                event.fire()
                while True:
                    if queue.ready:
                        await trio.lowlevel.cancel_shielded_checkpoint()
                        if queue.overrun:
                            raise AppError(
                                f"a turn of {actor.name} took more than {queue.turn_limit} task steps and never "
                                f"waited: let it wait for something, or split the work"
                            )
                    if not actor.end_turn():
                        break
            except Exception as error:
                queue.overrun = False
                _log.error("%s broke off", actor.name, exc_info=error)
                actor.break_off(error)
            queue.current = None
            self._turn_ms = None

    def _next(self) -> Event | None:
        timers, due = self._timers, self._due
        if timers:
            now = self.now_us()
            while timers and timers[0][0] <= now:
                due.append(heappop(timers)[2])
        while due:
            event = due.popleft()
            if not event.cancelled and not event.actor.gone:
                return event
        return None

    async def _park(self) -> None:
        """Sleep until something is posted or due."""
        timers = self._timers
        while timers and timers[0][2].cancelled:
            heappop(timers)
        deadline = self._began + timers[0][0] / 1_000_000 if timers else inf

        def abort(_: Any) -> trio.lowlevel.Abort:
            # Runnable from now on, though somebody may post before it runs: nobody else may reschedule it.
            self._parked = False
            return trio.lowlevel.Abort.SUCCEEDED

        with trio.CancelScope(deadline=deadline):
            self._parked = True
            await trio.lowlevel.wait_task_rescheduled(abort)

    def _deadline(self, deadline: float, expire: Callable[[], None]) -> Any:
        strand = strand_var.get()
        assert strand is not None
        if self.queue.closing:
            return Event(NOBODY, expire)
        return strand.owner.seat.deadline(round((deadline - self._began) * 1_000_000), expire)


class Nobody:
    """Whose events are of the host itself."""

    name = "nobody"
    gone = False

    def end_turn(self) -> bool:
        """Nothing to do."""
        return False

    def break_off(self, error: Exception) -> None:
        """Nothing to end."""


NOBODY = Nobody()
_current: trio.lowlevel.RunVar[Loop | None] = trio.lowlevel.RunVar("lumenize_sim_live_loop", default=None)


@asynccontextmanager
async def running_loop() -> AsyncGenerator[Loop, None]:
    """The loop of this Trio run; made by whoever comes first, who at the end waits for the others to leave."""
    shared = _current.get()
    if shared is not None and not shared.closed:
        shared.users += 1
        try:
            yield shared
        finally:
            shared.users -= 1
            if not shared.users:
                shared.left.set()
        return
    loop = Loop()
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run)
            _current.set(loop)
            try:
                yield loop
                while loop.users:
                    loop.left = trio.Event()
                    await loop.left.wait()
            except BaseException as error:
                raised = error
                raise
            finally:
                _current.set(None)
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # What the caller's own block raises arrives there as it is.
        if raised is not None and group.exceptions == (raised,):
            raise raised from raised.__cause__
        raise

"""The kernel: one event, one turn, one task at a time.

The kernel is a Trio task like any other, and it is the only one that decides.  Its
loop takes an event off the agenda, begins the turn, waits until no task of that turn
can run any more, ends the turn, and starts over.  Synchronous handlers run right here,
without a task, so a run of them costs no Trio tick at all.

When nothing is enabled, time moves to the next timer.  When there is no timer either,
the run is quiet: somebody waiting for that is told, or else it is a deadlock, which is
an ending with a name and a list of everybody who waits, never a hang.

Nothing here knows what the events are.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from typing import Any

import trio

from lumenize_sim.errors import SimulatorError
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.chooser import TIME_STEP, Chooser, Diverged
from lumenize_sim.kernel.ending import Ending
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.generators import Generators
from lumenize_sim.kernel.link import Link
from lumenize_sim.kernel.runqueue import RunQueue
from lumenize_sim.kernel.seam import (
    Deadlines,
    VirtualClock,
    abandon,
    blocked_tasks,
    check_trio,
    living_tasks,
    lost_tasks,
    take_over,
    throw,
)
from lumenize_sim.kernel.waiters import describe_waiters, waiters_now
from lumenize_sim.kernel.watchdog import TurnTimeout, watching

__all__ = ["Kernel"]

_checked = False
_COLLECT_EVERY = 20_000
_LONGEST_SETTLE_US = 3_600_000_000


class _Abandoned(BaseException):
    """Thrown into a task that will not end."""


class Kernel:
    """Runs one world.

    Args:
        chooser: who decides.
        strand_var: the context variable that names a task's owner (``.owner``).
        on_deadline: makes a timer of the current owner out of a cancel-scope deadline.
        step_limit: events after which the run ends as ``step_limit``.
        turn_limit_s: wall-clock seconds after which a turn that never yields is broken off.
        explore_tasks: offer the order of tasks within a turn as choices.
        task_choice: ``task_choice(label, bound)`` picks among them.
    """

    def __init__(
        self,
        chooser: Chooser,
        *,
        strand_var: ContextVar[Any],
        on_deadline: Callable[[int, Callable[[], None]], Any],
        step_limit: int = 200_000,
        turn_limit_s: float = 10.0,
        task_choice: Callable[[str, int], int] | None = None,
    ) -> None:
        self.chooser = chooser
        self.agenda = Agenda()
        self.queue = RunQueue(strand_var)
        self.steps = 0
        self.ending: Ending | None = None
        self.on_advance: Callable[[int], None] | None = None
        self.stop_at: Callable[[int], int] | None = None
        self.after_turn: Callable[[], None] | None = None
        self._strand_var = strand_var
        self._on_deadline = on_deadline
        self._step_limit = step_limit
        self._turn_limit_s = turn_limit_s
        self._nursery: trio.Nursery | None = None
        self._quiet: list[tuple[int, int, Event]] = []
        self._interrupt: BaseException | None = None
        self._generators = Generators(strand_var, self.interrupt)
        self._broken: BaseException | None = None
        if task_choice is not None:
            counts: dict[str, int] = {}

            def choose(bound: int) -> int:
                owner = self.queue.current
                name = owner.name if owner is not None else "kernel"
                nth = counts[name] = counts.get(name, -1) + 1
                return task_choice(f"{name}#{nth}@task", bound)

            self.queue.choose = choose

    # -- what the world asks -----------------------------------------------------

    @property
    def now_us(self) -> int:
        """Virtual microseconds since the run began."""
        return self.agenda.now_us

    def post(self, event: Event) -> None:
        """``event`` may happen from now on, unless it is under way for longer."""
        self.agenda.stamp(event)
        self.chooser.created(event)
        self._enable(event)

    def post_at(self, event: Event, due_us: int) -> None:
        """``event`` may happen once the clock says ``due_us``."""
        self.agenda.stamp(event)
        self.chooser.created(event)
        if due_us <= self.agenda.now_us:
            self.agenda.enable(event)
        else:
            self.agenda.wait(event, due_us)

    def post_on(self, link: Link, event: Event) -> None:
        """``event`` goes onto ``link`` behind what is there."""
        self.agenda.stamp(event)
        event.link = link
        self.chooser.created(event)
        link.add(event)
        if len(link.queue) == 1 and not link.held:
            self._enable(event)

    def release(self, link: Link) -> None:
        """A held link lets its head go."""
        if link.held:
            link.held = False
            if link.queue:
                self._enable(link.queue[0])

    def hold(self, link: Link) -> None:
        """Nothing on ``link`` arrives until it is released."""
        if not link.held:
            link.held = True
            if link.queue:
                self.agenda.withdraw(link.queue[0])

    def cancel(self, event: Event) -> None:
        """``event`` will not happen."""
        self.agenda.cancel(event)

    def when_quiet(self, event: Event, within_us: int) -> None:
        """Let ``event`` happen once nothing is enabled and no foreground timer is due within ``within_us``.

        The horizon moves along: what happens in time keeps the world unquiet.  An app that
        sets a timer for ever is taken for quiet after a virtual hour.
        """
        self.agenda.stamp(event)
        self._quiet.append((within_us, self.agenda.now_us + _LONGEST_SETTLE_US, event))

    def start(self, context: Context, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        """Begin a task in ``context``.  The function must let nothing but cancellation escape."""
        if self._nursery is None or self.queue.closing:
            raise SimulatorError("a task was started outside the run")
        context.run(self._nursery.start_soon, async_fn, *args)

    def finish(self, ending: Ending) -> None:
        """The verdict is fixed: the loop stops after this turn."""
        if self.ending is None:
            self.ending = ending

    def interrupt(self, error: BaseException) -> None:
        """Ctrl-C or a broken-off turn reached node code: stop as soon as the kernel runs."""
        if isinstance(error, BaseExceptionGroup) and _has_interrupt(error):
            error = KeyboardInterrupt()  # the nursery of a handler has wrapped it
        if self._interrupt is None:
            self._interrupt = error

    # -- the run -----------------------------------------------------------------

    def run(self, begin: Callable[[], None], on_verdict: Callable[[Ending], None]) -> Ending:
        """Run to an ending.

        Args:
            begin: posts the first events, once tasks may be started.
            on_verdict: called when the ending is fixed, before the remaining tasks are
                cancelled; close the trace and refuse effects here.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        global _checked
        if not _checked:
            check_trio()
            _checked = True
        collecting = gc.isenabled()
        gc.disable()
        try:
            with watching(self._turn_limit_s, lambda: (self.steps, self.queue.steps), self.queue.cut_short):
                trio.run(
                    self._main,
                    begin,
                    on_verdict,
                    clock=VirtualClock(lambda: self.agenda.now_us, self._stuck_closing),
                    strict_exception_groups=True,
                )
        except trio.TrioInternalError:
            if self.ending is None or not self.queue.closing:
                raise
        except BaseExceptionGroup as group:
            if _has_interrupt(group):
                raise KeyboardInterrupt from None
            if self._broken is not None:
                raise self._broken from None
            # What else escapes after the verdict comes from tasks that were made to end.
            if self.ending is None:
                raise
        finally:
            if collecting:
                gc.enable()
        if isinstance(self._interrupt, KeyboardInterrupt):
            raise KeyboardInterrupt
        assert self.ending is not None
        return self.ending

    async def _main(self, begin: Callable[[], None], on_verdict: Callable[[Ending], None]) -> None:
        self.queue.kernel_task = trio.lowlevel.current_task()
        give_back = take_over(self.queue, Deadlines(self._deadline))
        self.queue.give_up = abandon
        self._generators.install()
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    begin()
                    await self._loop()
                except Diverged as error:
                    self.finish(Ending("diverged", str(error), error))
                except (KeyboardInterrupt, TurnTimeout) as error:
                    self.interrupt(error)
                    self._interrupted()
                except BaseException as error:
                    self._broken = error
                    raise
                finally:
                    try:
                        if self.ending is not None:
                            on_verdict(self.ending)
                    finally:
                        self._close()
            await self._generators.close_rest()
        finally:
            give_back()
            self.queue.kernel_task = None
            self.queue.closing = True

    async def _loop(self) -> None:
        agenda, chooser, queue = self.agenda, self.chooser, self.queue
        assert self._nursery is not None
        cancelled = self._nursery.cancel_scope
        while self.ending is None:
            if self._interrupted():
                return
            if not agenda.enabled:
                if not self._pass_time():
                    return
                continue
            picked = chooser.pick(agenda)
            if picked is None:
                if not chooser.stuck(agenda):
                    raise SimulatorError("events are enabled and none may be picked")
                continue
            if picked is TIME_STEP:
                self._pass_time()
                continue
            assert isinstance(picked, Event)
            link = picked.link
            if link is not None:
                link.queue.popleft()
                if link.queue and not link.held:
                    self._enable(link.queue[0])
            self.steps += 1
            if self.steps >= self._step_limit:
                self.finish(Ending("step_limit", f"{self._step_limit} events have happened and the run is not quiet"))
                return
            if not self.steps % _COLLECT_EVERY:
                gc.collect()
                queue.forget_exited(living_tasks())
            actor = picked.actor
            picked.fire()
            while True:
                if queue.ready:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                    if self._interrupted() or cancelled.cancel_called:
                        # Cancelled here only by an error that escaped from a task; the nursery raises it.
                        return
                    if queue.overrun:
                        break
                if not actor.end_turn():
                    break
            if queue.overrun:
                steps = f"more than {queue.turn_limit} task steps"
                self.finish(Ending("cpu_limit", f"a turn of {self._turn_of()} took {steps} and never waited"))
                return
            queue.current = None
            if self.after_turn is not None and self.ending is None:
                self.after_turn()

    def _enable(self, event: Event) -> None:
        agenda = self.agenda
        late = self.chooser.lateness_us(event)
        if late and event.sent_us + late > agenda.now_us:
            agenda.wait(event, event.sent_us + late, late=True)
        elif event.not_before_us > agenda.now_us:
            agenda.wait(event, event.not_before_us)
        else:
            agenda.enable(event)

    def _pass_time(self) -> bool:
        """Nothing is enabled: tell who waits for quiet, or move the clock.  False when the run has ended."""
        agenda = self.agenda
        if not agenda.enabled and self._quiet:
            due = agenda.next_due_us(foreground=True)
            for index, (within, latest, event) in enumerate(self._quiet):
                if due is None or due > min(agenda.now_us + within, latest):
                    del self._quiet[index]
                    agenda.enable(event)
                    return True
        due = agenda.next_due_us()
        if due is None or (not self._quiet and agenda.next_due_us(foreground=True) is None):
            self.finish(Ending("deadlock", describe_waiters(waiters_now(self._strand_var))))
            return False
        if self.stop_at is not None:
            due = max(agenda.now_us, self.stop_at(due))
        agenda.advance(due)
        if self.on_advance is not None:
            self.on_advance(agenda.now_us)
        return True

    def _deadline(self, deadline: float, expire: Callable[[], None]) -> Any:
        if self.queue.closing:
            return _NoHandle
        return self._on_deadline(round(deadline * 1_000_000), expire)

    def _interrupted(self) -> bool:
        """End the run if it was interrupted."""
        error = self._interrupt
        if error is None:
            return False
        if isinstance(error, TurnTimeout):
            real = f"more than {self._turn_limit_s:g} s of real time"
            self.finish(Ending("cpu_limit", f"a turn of {self._turn_of()} took {real} and never waited", error))
        else:
            self.finish(Ending("interrupted", "Ctrl-C", error))
        return True

    def _turn_of(self) -> str:
        return self.queue.current.name if self.queue.current is not None else "?"

    def _close(self) -> None:
        """Let every task end: those that wait are cancelled, those that were held back never go on."""
        self._generators.closing = True
        self.queue.close()
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
        for task in lost_tasks(self.queue):
            throw(task, _Abandoned())
            self.queue.append(task)

    def _stuck_closing(self) -> bool:
        """Trio is idle.  Once the run is closing that means that somebody shields itself, and must end all the same.

        Returns:
            Whether Trio should look again at once.
        """
        if not self.queue.closing:
            return False
        for task in blocked_tasks():
            # Costs it one of its last steps, so this comes to an end.
            throw(task, _Abandoned())
        return True


class _NoHandle:
    @staticmethod
    def cancel() -> None:
        """Nothing was set."""


def _has_interrupt(group: BaseExceptionGroup[Any]) -> bool:
    return group.subgroup(KeyboardInterrupt) is not None

"""Seats: where an owner sits in the world; what its timers, tasks and wake-ups go through."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import trio

from lumenize_sim.kernel.event import Actor, Event
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import Owner, Strand, strand_var
from lumenize_sim.objects.timers import OwnerTimers

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["FreeSeat", "ObjectSeat", "Seat"]


class FreeSeat:
    """An owner without gates: a client, a Worker's invocation, the driver.  Also its own kernel actor.

    Args:
        world: where.
        name: of the actor.
        everything: its events are ordered against everything (the driver's).
    """

    def __init__(self, world: World, name: str, *, everything: bool = False) -> None:
        self.world = world
        self.name = name
        self.receiver: str | None = None if everything else name
        self.owner = Owner(name, self.spawn, self._wake)
        self.owner.seat = self
        self.timers = OwnerTimers(self._arm)
        self.housekeeping = OwnerTimers(self._arm_background)
        self._base = world.blank
        self._calls: dict[str, int] = {}
        self.tasks = 0

    # -- the kernel's actor ----------------------------------------------------------

    def end_turn(self) -> bool:
        """Nothing to commit."""
        return False

    @property
    def actor(self) -> Actor:
        """For replies."""
        return self

    # -- turns -------------------------------------------------------------------------

    def context(self, label: str) -> Context:
        """A context in which this owner runs."""
        return Strand(self.owner, label).context(self._base)

    def run(self, label: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run ``function`` as (part of) a turn of this owner; what it raises is logged and blamed on the app."""
        world = self.world
        if self.owner.dead:
            return None
        world.kernel.queue.begin_turn(self.owner)
        try:
            return self.context(label).run(function, *args)
        except (Exception, SystemExit) as error:
            world.app_error(self.name, label, error)
            return None

    def post(self, label: str, function: Callable[..., Any], *args: Any, cause: int = -1, limit_us: int = 0) -> Event:
        """An event of this owner."""
        event = self.event(label, function, *args, cause=cause, limit_us=limit_us)
        self.world.kernel.post(event)
        return event

    def event(self, label: str, function: Callable[..., Any], *args: Any, cause: int = -1, limit_us: int = 0) -> Event:
        """An event of this owner, not posted yet."""
        world = self.world

        def fire() -> None:
            world.deliver(self.name, label, cause)
            self.run(label, function, *args)

        return Event(label, self, fire, receiver=self.receiver, delay_limit_us=limit_us)

    # -- tasks and timers ----------------------------------------------------------------

    def spawn(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Begin a task; what it raises is the app's failure."""
        self.tasks += 1
        self.world.kernel.start(copy_context(), self._guarded, (async_fn, args))

    async def _guarded(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            await async_fn(*args)
        except trio.Cancelled:
            raise
        except InstanceGone:
            return
        except (Exception, SystemExit) as error:
            self.world.app_error(self.name, getattr(async_fn, "__qualname__", str(async_fn)), error)
        except BaseException as error:
            self.world.kernel.interrupt(error)
        finally:
            self.tasks -= 1

    def _wake(self, task: Any) -> None:
        kernel = self.world.kernel
        if kernel.queue.current is self.owner:
            # Ours to wake: so it sleeps for zero seconds, in the order of all timers (TM-4).
            def due() -> None:
                if not self.owner.dead:
                    kernel.queue.begin_turn(self.owner)
                    kernel.queue.admit(task)
                self.timers.passed()

            self.timers.set(kernel.now_us, due)
            return
        label = self.world.wake_label(self.owner)
        cause = self.world.cause

        def fire() -> None:
            if not self.owner.dead:
                self.world.deliver(self.name, label, cause)
                kernel.queue.begin_turn(self.owner)
                kernel.queue.admit(task)

        kernel.post(Event(label, self, fire, receiver=self.receiver))

    def set_timer(self, due_us: int, callback: Callable[[], None], background: bool) -> TimerHandle:
        """A timer of this owner."""
        timers = self.housekeeping if background else self.timers
        context = copy_context()
        if strand_var.get() is None or strand_var.get().owner is not self.owner:  # type: ignore[union-attr]  # checked just before
            context = self.context("timer")

        def fired() -> None:
            if self.owner.dead:
                return
            self.world.kernel.queue.begin_turn(self.owner)
            try:
                context.run(callback)
            except Exception as error:
                self.world.app_error(self.name, "timer", error)
            timers.passed()

        return timers.set(due_us, fired)

    def _arm(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        return self.post_at(f"{self.name}!timer#{nth}", due_us, fire, False)

    def _arm_background(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        return self.post_at(f"{self.name}!beat#{nth}", due_us, fire, True)

    def post_at(self, label: str, due_us: int, fire: Callable[[], None], background: bool) -> TimerHandle:
        """A later event of this owner."""
        world = self.world
        cause = world.cause

        def caused() -> None:
            world.cause = cause
            fire()

        event = Event(label, self, caused, receiver=self.receiver, background=background)
        world.kernel.post_at(event, due_us)
        return _Handle(world.kernel, event)

    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle:
        """A cancel scope's deadline."""
        return self.set_timer(due_us, expire, False)

    # -- calls -----------------------------------------------------------------------------

    def wait_for(self, label: str) -> tuple[Pending[Any], Callable[[str, Outcome], None]]:
        """A `Pending` of this owner, settled as a turn of its own."""
        pending: Pending[Any] = Pending(label)

        def arrived(event: str, result: Outcome) -> None:
            if not self.owner.dead:
                self.world.kernel.queue.begin_turn(self.owner)
                if self.world.tracing:
                    self.world.record("resume", self.name, event, None, self.world.cause)
                pending.settle(result)

        return pending, arrived

    def emit(self, effect: Callable[[], None]) -> None:
        """Nothing holds it back."""
        effect()

    def next_call(self, target: str) -> int:
        """How many calls to ``target`` went before."""
        nth = self._calls.get(target, -1) + 1
        self._calls[target] = nth
        return nth

    def finish(self) -> None:
        """The owner is gone: nothing of it runs again."""
        self.owner.dead = True
        self.timers.drop()
        self.housekeeping.drop()


class ObjectSeat:
    """An incarnation's seat: everything goes through its machine."""

    def __init__(self, world: World, incarnation: Incarnation) -> None:
        self.world = world
        self.incarnation = incarnation
        self.name = incarnation.machine.name
        self.receiver: str | None = self.name
        self.owner = incarnation.owner
        self.owner.seat = self
        self._calls = incarnation.machine.calls_made

    @property
    def actor(self) -> Actor:
        """The machine's host."""
        host: Any = self.incarnation.machine.host
        actor: Actor = host
        return actor

    def wait_for(self, label: str) -> tuple[Pending[Any], Callable[[str, Outcome], None]]:
        """See `Incarnation.wait_for`."""
        return self.incarnation.wait_for(label)

    def emit(self, effect: Callable[[], None]) -> None:
        """Through the output gate."""
        if self.incarnation.dead:
            raise InstanceGone
        self.incarnation.isolate.emit(effect)

    def next_call(self, target: str) -> int:
        """Counted over all incarnations, so that labels stay apart."""
        nth = self._calls.get(target, -1) + 1
        self._calls[target] = nth
        return nth

    def spawn(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """A task of the incarnation; what it raises is logged, as an unhandled rejection is (LC-30)."""
        self.world.kernel.start(copy_context(), self._guarded, (async_fn, args))

    async def _guarded(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            await async_fn(*args)
        except trio.Cancelled:
            raise
        except InstanceGone:
            return
        except Exception as error:
            self.incarnation.machine.log("error", "unhandled", {"error": str(error)})
        except BaseException as error:
            self.world.kernel.interrupt(error)

    def set_timer(self, due_us: int, callback: Callable[[], None], background: bool) -> TimerHandle:
        """Through the input gate."""
        return self.incarnation.set_timer(due_us, callback)

    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle:
        """A cancel scope's deadline is a timer of the object."""
        return self.set_timer(due_us, expire, False)


Seat = FreeSeat | ObjectSeat


class _Handle:
    __slots__ = ("_event", "_kernel")

    def __init__(self, kernel: Any, event: Event) -> None:
        self._kernel = kernel
        self._event = event

    def cancel(self) -> None:
        """Call it off."""
        self._kernel.cancel(self._event)



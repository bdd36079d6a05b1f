"""Seats: where an owner sits in the real world; what its timers, tasks and wake-ups go through."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Protocol

import trio

from lumenize_sim.live.loop import Actor, Loop
from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import Owner, Strand, strand_var
from lumenize_sim.objects.timers import OwnerTimers

__all__ = ["FreeSeat", "ObjectSeat", "Seat"]

Arrived = Callable[[str, Outcome], None]


class Seat(Protocol):
    """What host and calls ask of either kind."""

    loop: Loop
    name: str
    owner: Owner

    @property
    def actor(self) -> Actor: ...
    def spawn(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None: ...
    def set_timer(self, due_us: int, callback: Callable[[], None]) -> TimerHandle: ...
    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle: ...
    def wait_for(self, label: str) -> tuple[Pending[Any], Arrived]: ...
    def emit(self, effect: Callable[[], None]) -> None: ...
    def next_call(self, target: str) -> int: ...


class Connected(Protocol):
    """A web socket that an owner has dialled, until it has ended."""

    ended: trio.Event

    def cut(self) -> None: ...


class FreeSeat:
    """An owner without gates: a client, or a Worker's invocation.  Also its own actor.

    Attributes:
        sockets: those that it has dialled and that have not ended.
    """

    def __init__(self, loop: Loop, host: Host, name: str) -> None:
        self.loop = loop
        self.host = host
        self.name = name
        self.owner = Owner(name, self.spawn, self._wake)
        self.owner.seat = self
        self.timers = OwnerTimers(self._arm)
        self._base = copy_context()
        self.sockets: dict[Connected, None] = {}
        self._calls: dict[str, int] = {}
        self._tasks = 0

    # -- the loop's actor ------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Nothing arrives here any more."""
        return self.owner.dead

    @property
    def actor(self) -> Actor:
        """For replies."""
        return self

    def end_turn(self) -> bool:
        """Nothing to commit."""
        return False

    def break_off(self, error: Exception) -> None:
        """What went wrong has been logged."""
        self.finish()

    # -- turns -------------------------------------------------------------------------

    def context(self, label: str) -> Context:
        """A context in which this owner runs."""
        return Strand(self.owner, label).context(self._base)

    def run(self, label: str, function: Callable[..., Any], *args: Any) -> None:
        """Run ``function`` as (part of) a turn; what it raises is logged, as a browser does."""
        if self.owner.dead:
            return
        self.loop.queue.begin_turn(self.owner)
        try:
            self.context(label).run(function, *args)
        except Exception as error:
            self.failed(label, error)

    def post(self, label: str, function: Callable[..., Any], *args: Any) -> None:
        """Run ``function`` as a turn of its own."""
        self.loop.post(self, lambda: self.run(label, function, *args))

    def failed(self, label: str, error: BaseException) -> None:
        """Code of the app raised where nobody could hear it."""
        self.host.log(
            self.owner,
            "error",
            "lumenize_sim.live.unhandled",
            f"{label}: {type(error).__name__}: {error}",
            {"error": error},
        )

    # -- tasks and timers ----------------------------------------------------------------

    def spawn(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Begin a task."""
        if not self.owner.dead:
            self._tasks += 1
            self.loop.start(self._own_context("task"), self._guarded, (async_fn, args))

    async def _guarded(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            with trio.CancelScope() as scope:
                if self.owner.dead:
                    scope.cancel()
                await async_fn(*args)
        except Exception as error:
            self.failed(getattr(async_fn, "__qualname__", "task"), error)
        except BaseException as error:
            self.loop.let_end(error)
        finally:
            self._tasks -= 1

    def _wake(self, task: Any) -> None:
        if self.loop.queue.current is self.owner:
            # Ours to wake: so it sleeps for zero seconds, in the order of all timers (TM-4).
            def due() -> None:
                self.loop.queue.begin_turn(self.owner)
                self.loop.queue.admit(task)
                self.timers.passed()

            self.timers.set(self.loop.now_us(), due)
            return

        def fire() -> None:
            if not self.owner.dead:
                self.loop.queue.begin_turn(self.owner)
                self.loop.queue.admit(task)

        self.loop.post(self, fire)

    def _own_context(self, label: str) -> Context:
        """The caller's context where this owner runs already; else, called from outside, a fresh one."""
        strand = strand_var.get()
        return copy_context() if strand is not None and strand.owner is self.owner else self.context(label)

    def set_timer(self, due_us: int, callback: Callable[[], None]) -> TimerHandle:
        """A timer of this owner."""
        context = self._own_context("timer")

        def fired() -> None:
            if self.owner.dead:
                return
            self.loop.queue.begin_turn(self.owner)
            try:
                context.run(callback)
            except Exception as error:
                self.failed("timer", error)
            self.timers.passed()

        return self.timers.set(due_us, fired)

    def _arm(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        return self.loop.post_at(self, fire, due_us)

    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle:
        """A cancel scope's deadline."""
        return self.set_timer(due_us, expire)

    # -- calls -----------------------------------------------------------------------------

    def wait_for(self, label: str) -> tuple[Pending[Any], Arrived]:
        """A `Pending` of this owner, settled as a turn of its own."""
        pending: Pending[Any] = Pending(label)

        def arrived(event: str, result: Outcome) -> None:
            if not self.owner.dead:
                self.loop.queue.begin_turn(self.owner)
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
        if not self.owner.dead:
            self.owner.dead = True
            self.timers.drop()
            for socket in list(self.sockets):
                socket.cut()
            if self._tasks:
                self.loop.reap()


class ObjectSeat:
    """An incarnation's seat: everything goes through its machine."""

    def __init__(self, loop: Loop, incarnation: Incarnation) -> None:
        self.loop = loop
        self.incarnation = incarnation
        self.name = incarnation.machine.name
        self.owner = incarnation.owner
        self.owner.seat = self
        self._calls = incarnation.machine.calls_made

    @property
    def actor(self) -> Actor:
        """The machine's host."""
        host: Any = self.incarnation.machine.host
        actor: Actor = host
        return actor

    def wait_for(self, label: str) -> tuple[Pending[Any], Arrived]:
        """See `Incarnation.wait_for`."""
        return self.incarnation.wait_for(label)

    def emit(self, effect: Callable[[], None]) -> None:
        """Through the output gate."""
        if self.incarnation.dead:
            raise InstanceGone
        self.incarnation.isolate.emit(effect)

    def next_call(self, target: str) -> int:
        """Counted over all incarnations."""
        nth = self._calls.get(target, -1) + 1
        self._calls[target] = nth
        return nth

    def spawn(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """A task of the incarnation; what it raises is logged, as an unhandled rejection is (LC-30)."""
        self.incarnation.machine.host.start(copy_context(), self._guarded, (async_fn, args))

    async def _guarded(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            await async_fn(*args)
        except Exception as error:
            self.incarnation.machine.log("error", f"unhandled {type(error).__name__}: {error}", {"error": error})

    def set_timer(self, due_us: int, callback: Callable[[], None]) -> TimerHandle:
        """Through the input gate."""
        return self.incarnation.set_timer(due_us, callback)

    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle:
        """A cancel scope's deadline is a timer of the object."""
        return self.set_timer(due_us, expire)

"""Seats: where an owner sits in the real world; what its timers, tasks and wake-ups go through."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol

import trio

from lumenize_sim.live.loop import Actor, Loop
from lumenize_sim.objects.connections import Connections
from lumenize_sim.objects.gated_seat import GatedSeat
from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.seats import Arrived, UngatedSeat
from lumenize_sim.objects.strand import Owner

__all__ = ["FreeSeat", "ObjectSeat", "Seat"]


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

    dispatcher: Any

    @property
    def connections(self) -> Connections: ...

    def wait_for(self, label: str, pending: Pending[Any] | None = None) -> tuple[Pending[Any], Arrived]: ...
    def emit(self, effect: Callable[[], None]) -> None: ...
    def emit_fetch(self, call: Any) -> None: ...
    def next_call(self, target: str) -> int: ...


class Connected(Protocol):
    """A web socket that an owner has dialled, until it has ended."""

    ended: trio.Event

    def cut(self) -> None: ...


class FreeSeat(UngatedSeat):
    """An owner without gates.  Also its own actor.

    Attributes:
        sockets: those that it has dialled and that have not ended.
    """

    def __init__(self, loop: Loop, host: Host, name: str) -> None:
        super().__init__(name, loop.queue, copy_context())
        self.loop = loop
        self.host = host
        self.sockets: dict[Connected, None] = {}
        self._tasks = 0

    # -- the loop's actor ------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Nothing arrives here any more."""
        return self.owner.dead

    def break_off(self, error: Exception) -> None:
        """What went wrong has been logged."""
        self.finish()

    # -- turns -------------------------------------------------------------------------

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

    def _now_us(self) -> int:
        return self.loop.now_us()

    def _post_wake(self, task: Any) -> None:
        self.loop.post(self, lambda: self._rouse(task))

    def set_timer(self, due_us: int, callback: Callable[[], None]) -> TimerHandle:
        """A timer of this owner."""
        return self._set(self.timers, due_us, callback)

    def post_own(self, label: str, fire: Callable[[], None]) -> None:
        """See `UngatedSeat`."""
        self.loop.post(self, fire)

    def interrupt(self, error: BaseException) -> None:
        """See `Loop.interrupt`."""
        self.loop.interrupt(error)

    def _arm(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        return self.loop.post_at(self, fire, due_us)

    def _resumed(self, event: str) -> None:
        """Nothing is traced."""

    def finish(self) -> None:
        """The owner is gone: nothing of it runs again."""
        if not self.owner.dead:
            self.owner.dead = True
            self.timers.drop()
            if self.held or self.asked:
                self.ended()
            for socket in list(self.sockets):
                socket.cut()
            if self._tasks:
                self.loop.reap()


class ObjectSeat(GatedSeat):
    """An incarnation's seat on a real host."""

    def __init__(self, loop: Loop, incarnation: Incarnation) -> None:
        super().__init__(incarnation)
        self.loop = loop

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
        return self.incarnation.timers.call_at(due_us, callback)

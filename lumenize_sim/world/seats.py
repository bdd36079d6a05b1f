"""Seats: where an owner sits in the world; what its timers, tasks and wake-ups go through."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import trio

from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.gated_seat import GatedSeat
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.http import Request
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.seats import UngatedSeat
from lumenize_sim.objects.timers import OwnerTimers
from lumenize_sim.world.seat_frames import SeatFrames

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["FreeSeat", "ObjectSeat", "Seat"]


class Asker(Protocol):
    """In whose browser an owner is a page: what that adds to its requests, and keeps of the answers."""

    def answers(self, url: httpx.URL) -> bool:
        """Whether requests for ``url`` are its business."""
        ...

    def send(self, seat: Any, request: Request) -> Pending[Any]:
        """Send a request on behalf of the owner of ``seat``."""
        ...

    def prepare_upgrade(self, request: Request) -> None:
        """Add to a request for a web socket what the browser adds."""
        ...


class FreeSeat(UngatedSeat):
    """An owner without gates.  Also its own kernel actor.

    Args:
        world: where.
        name: of the actor.
        everything: its events are ordered against everything (the driver's).

    Attributes:
        visitor: in whose browser it is a page.
        skew_us: how far its clock is fast.
    """

    visitor: Asker | None = None
    skew_us: int = 0

    def __init__(self, world: World, name: str, *, everything: bool = False) -> None:
        super().__init__(name, world.kernel.queue, world.blank, enhanced=world.enhanced_errors)
        self.world = world
        self.receiver: str | None = None if everything else name
        self._housekeeping: OwnerTimers | None = None
        self.tasks = 0
        self._frames: SeatFrames | None = None

    # -- web sockets -------------------------------------------------------------------

    @property
    def frames(self) -> SeatFrames:
        """Where frames arrive; made at first use, as most owners have no web socket."""
        if self._frames is None:
            self._frames = SeatFrames(self)
        return self._frames

    def socket_opened(self) -> None:
        """The owner has one more web socket."""

    def socket_closed(self) -> None:
        """It has one less."""

    def listener_failed(self, label: str, error: BaseException) -> None:
        """A listener of a web socket has raised: the run has failed."""
        self.failed(label, error)

    def end_turn(self) -> bool:
        """See `UngatedSeat.end_turn`."""
        if self.world.chronicle.tracing:
            self.world.chronicle.note_changes()
        return super().end_turn()

    # -- turns -------------------------------------------------------------------------

    def run(self, label: str, function: Callable[..., Any], *args: Any) -> Any:
        """Run ``function`` as (part of) a turn of this owner; what it raises is logged and blamed on the app."""
        world = self.world
        if self.owner.dead:
            return None
        world.kernel.queue.begin_turn(self.owner)
        try:
            return self.context(label).run(function, *args)
        except (Exception, SystemExit) as error:
            self.failed(label, error)
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
            world.chronicle.deliver(self.name, label, cause)
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
            self.failed(getattr(async_fn, "__qualname__", str(async_fn)), error)
        except BaseException as error:
            self.world.kernel.interrupt(error)
        finally:
            self.tasks -= 1

    def failed(self, label: str, error: BaseException) -> None:
        """The run has failed."""
        self.world.judge.app_error(self.name, label, error)

    def _now_us(self) -> int:
        return self.world.kernel.now_us

    def _post_wake(self, task: Any) -> None:
        world = self.world
        label = world.wake_label(self.owner)
        cause = world.chronicle.cause

        def fire() -> None:
            if not self.owner.dead:
                world.chronicle.deliver(self.name, label, cause)
                self._rouse(task)

        world.kernel.post(Event(label, self, fire, receiver=self.receiver))

    @property
    def housekeeping(self) -> OwnerTimers:
        """Its timers in the background; made at first use, as most owners set none."""
        if self._housekeeping is None:
            self._housekeeping = OwnerTimers(self._arm_background)
            self._housekeeping.dead = self.owner.dead
        return self._housekeeping

    def set_timer(self, due_us: int, callback: Callable[[], None], background: bool) -> TimerHandle:
        """A timer of this owner."""
        return self._set(self.housekeeping if background else self.timers, due_us, callback)

    def _arm(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        return self.post_at(f"{self.name}!timer#{nth}", due_us, fire, False)

    def _arm_background(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        return self.post_at(f"{self.name}!beat#{nth}", due_us, fire, True)

    def post_at(self, label: str, due_us: int, fire: Callable[[], None], background: bool) -> TimerHandle:
        """A later event of this owner."""
        world = self.world
        cause = world.chronicle.cause

        def caused() -> None:
            world.chronicle.cause = cause
            fire()

        event = Event(label, self, caused, receiver=self.receiver, background=background)
        world.kernel.post_at(event, due_us)
        return _Handle(world.kernel, event)

    def post_own(self, label: str, fire: Callable[[], None]) -> None:
        """See `UngatedSeat`."""
        world = self.world
        cause = world.chronicle.cause

        def arrive() -> None:
            world.chronicle.deliver(self.name, label, cause)
            fire()

        world.kernel.post(Event(label, self, arrive, receiver=self.receiver))

    def interrupt(self, error: BaseException) -> None:
        """See `Kernel.interrupt`."""
        self.world.kernel.interrupt(error)

    def _resumed(self, event: str) -> None:
        if self.world.chronicle.tracing:
            self.world.chronicle.record("resume", self.name, event, None, self.world.chronicle.cause)

    def finish(self) -> None:
        """The owner is gone: nothing of it runs again."""
        self.owner.dead = True
        self.timers.drop()
        if self._housekeeping is not None:
            self._housekeeping.drop()
        if self._frames is not None:
            self._frames.drop()
        if self.held or self.asked:
            self.ended()


class ObjectSeat(GatedSeat):
    """An incarnation's seat in a simulated world."""

    visitor = None

    def __init__(self, world: World, incarnation: Incarnation) -> None:
        super().__init__(incarnation)
        self.world = world
        self.receiver: str | None = self.name

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
        return self.incarnation.timers.call_at(due_us, callback)


Seat = FreeSeat | ObjectSeat


class _Handle:
    __slots__ = ("_event", "_kernel")

    def __init__(self, kernel: Any, event: Event) -> None:
        self._kernel = kernel
        self._event = event

    def cancel(self) -> None:
        """Call it off."""
        self._kernel.cancel(self._event)

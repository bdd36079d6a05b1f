"""Workers in a simulated world: one actor for each call (LMZ-2, RPC-24)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.mesh.invocation import Invocation
from lumenize_sim.objects.connections import Connections
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.rpc_stub import Path
from lumenize_sim.trace.event import error_data
from lumenize_sim.world.seats import FreeSeat

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["WorkerSeat", "Workers"]


class Workers:
    """Begins invocations."""

    def __init__(self, world: World) -> None:
        self._world = world

    def invocation(
        self,
        binding: str,
        label: str,
        method: str | Path,
        args: tuple[Any, ...] | None,
        reply: Callable[[Outcome], None],
        cause: int,
        limit_us: int,
    ) -> Event:
        """An event that runs ``method`` on a fresh instance.  It races with nothing: its receiver is its own."""
        world = self._world
        seat = WorkerSeat(world, f"{binding}~{label}")
        options = world.options.objects
        seat.connections = Connections(options.connection_limit)
        seat.subrequest_limit = options.subrequest_limit
        invocation = seat.invocation = Invocation(
            world.bindings.class_of(binding),
            world.host,
            seat,
            world.bindings.env_for(seat),
            label,
            reply,
            options=options,
        )

        def fire() -> None:
            world.chronicle.deliver(seat.name, label, cause)
            world.kernel.queue.begin_turn(seat.owner)
            invocation.begin(method, args)

        return Event(label, seat, fire, receiver=seat.name, delay_limit_us=limit_us)


class WorkerSeat(FreeSeat):
    """Where one invocation runs (`InvocationSeat`)."""

    invocation: Invocation

    def socket_opened(self) -> None:
        """The invocation goes on while it is open."""
        self.invocation.hold()

    def socket_closed(self) -> None:
        """Unless something else holds it, it ends."""
        self.invocation.let_go()

    def listener_failed(self, label: str, error: BaseException) -> None:
        """Logged: the run goes on."""
        self.unhandled(error)

    def handled(self, label: str, result: Outcome) -> None:
        """One line of the trace."""
        if self.world.chronicle.tracing:
            data = error_data(result.error) if type(result) is outcome.Error else {"ok": True}
            self.world.chronicle.record("end", self.name, label, data)

    def failed(self, label: str, error: BaseException) -> None:
        """Nobody hears of it but the log (LC-30)."""
        self.unhandled(error)

    def unhandled(self, error: BaseException) -> None:
        """Logged: the run goes on."""
        said = f"{type(error).__name__}: {error}"
        self.world.host.log(self.owner, "error", "lumenize_sim.world", "unhandled", {"error": said})

    def set_limit(self, after_us: int, fire: Callable[[], None]) -> TimerHandle:
        """A settled world does not wait for it."""
        return self.post_at(f"{self.name}/limit", self.world.kernel.now_us + after_us, fire, True)

    def finish(self) -> None:
        """Also for tasks that could run in the present turn."""
        super().finish()
        self.world.kernel.queue.drop_ready()

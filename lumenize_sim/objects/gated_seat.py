"""The seat of an incarnation: whatever it sends or is sent goes through the gates of its machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.connections import Connections
from lumenize_sim.objects.holdings import Holdings, Leaving, disposer
from lumenize_sim.objects.hop import Hop
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_stub import Export
from lumenize_sim.objects.seats import Arrived
from lumenize_sim.objects.strand import strand_var

if TYPE_CHECKING:
    from lumenize_sim.objects.calls import Call, CallDispatcher

__all__ = ["GatedSeat"]


class GatedSeat(Holdings):
    """An incarnation's seat: everything goes through its machine.

    Attributes:
        dispatcher: sends its calls.
        enhanced: what errors keep when they cross (RPC-19).
    """

    dispatcher: CallDispatcher

    def __init__(self, incarnation: Incarnation) -> None:
        super().__init__()
        self.incarnation = incarnation
        self.enhanced = incarnation.machine.enhanced
        self.subrequest_limit = incarnation.machine.options.subrequest_limit
        self._connections: Connections | None = None
        self.name = incarnation.machine.name
        self.owner = incarnation.owner
        self.owner.seat = self
        self._calls = incarnation.machine.calls_made

    @property
    def actor(self) -> Any:
        """The machine's host."""
        return self.incarnation.machine.host

    def _event(self) -> int:
        return self.incarnation.invoked

    @property
    def connections(self) -> Connections:
        """Those of its fetches (RPC-27)."""
        if self._connections is None:
            self._connections = Connections(self.incarnation.machine.options.connection_limit)
        return self._connections

    def wait_for(self, label: str, pending: Pending[Any] | None = None) -> tuple[Pending[Any], Arrived]:
        """See `Incarnation.wait_for`."""
        return self.incarnation.wait_for(label, pending)

    def emit(self, effect: Callable[[], None]) -> None:
        """Through the output gate."""
        if self.incarnation.dead:
            raise InstanceGone
        self.incarnation.isolate.emit(effect)

    def emit_call(self, call: Call) -> None:
        """Through the output gate; the session opens whether or not that lets it go (RPC-14a)."""
        if self.owner.dead:
            raise InstanceGone
        self.incarnation.isolate.emit(_Departure(call))

    def emit_fetch(self, call: Leaving) -> None:
        """Through the output gate, and then once more through the input gate (IG-14)."""
        if self.incarnation.dead:
            raise InstanceGone
        self.incarnation.isolate.emit(Hop(self.incarnation, call.label, call.leave))

    def next_call(self, target: str) -> int:
        """Counted over all incarnations, so that labels stay apart."""
        nth = self._calls.get(target, -1) + 1
        self._calls[target] = nth
        return nth

    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle:
        """A cancel scope's deadline is a timer of the object, and goes through the input gate."""
        return self.incarnation.timers.call_at(due_us, expire)

    # -- what it lets others call ----------------------------------------------------------

    def section(self) -> Any:
        """The critical section that runs, or the root (IG-22)."""
        strand = strand_var.get()
        incarnation = self.incarnation
        return incarnation.gate if strand is None or strand.owner is not self.owner else strand.section

    def opened(self) -> None:
        """One session more: the object is not idle (LC-22)."""
        self.incarnation.work.clients += 1

    def session_ended(self) -> None:
        """One session less."""
        incarnation = self.incarnation
        if not incarnation.dead:
            incarnation.work.clients -= 1
            incarnation.machine.rested(incarnation)

    def closed(self, export: Export) -> None:
        """See `ExportSeat`."""
        incarnation = self.incarnation
        if incarnation.dead:
            return

        def fire() -> None:
            if incarnation.dead:
                return
            dispose = disposer(export)
            if dispose is not None:
                self.serve(f"{export.label}/closed", export.section, dispose, lambda result: None)
            self.session_ended()

        incarnation.machine.host.post(f"{export.label}/closed", fire)

    def serve(
        self,
        label: str,
        section: Any,
        function: Callable[[], Any],
        reply: Callable[[Outcome], None],
        *,
        cause: int = -1,
    ) -> None:
        """An event asks for its turn; ``reply`` hears the outcome of ``function``, or that the instance died."""
        machine = self.incarnation.machine

        def run(incarnation: Incarnation) -> None:
            incarnation.invoke(label, function, (), reply, section=section)

        def fail(error: BaseException) -> None:
            reply(outcome.Error(machine.fallen(error)))

        self.incarnation.arrive(Arrival("call", label, section.live(), run, fail, cause))


class _Departure:
    """A call on its way through the output gate."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    def __call__(self) -> None:
        self.call.leave()

    def hold(self) -> None:
        """It has to wait: the session opens at once (RPC-14a)."""
        self.call.held_back(for_ever=False)

    def abandon(self) -> None:
        """It will never leave: the session opens all the same."""
        self.call.held_back(for_ever=True)

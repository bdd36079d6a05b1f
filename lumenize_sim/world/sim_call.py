"""One call in a world, and who makes it (RPC-1 to RPC-9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.link import Link
from lumenize_sim.mesh.envelope import Envelope
from lumenize_sim.objects.calls import Call, CallDispatcher
from lumenize_sim.objects.namespace import Stub
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.rpc_errors import disconnected
from lumenize_sim.objects.rpc_stub import Path, RpcStub
from lumenize_sim.world.descriptions import describe_chain, describe_outcome

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine
    from lumenize_sim.world.network import CallNetwork

__all__ = ["SimCall", "SimDispatcher", "receiver_of"]


class SimDispatcher(CallDispatcher):
    """The `Dispatcher` of one caller in a world."""

    __slots__ = ("_network",)

    def __init__(self, network: CallNetwork, caller: Any) -> None:
        super().__init__(caller)
        self._network = network

    def _name_of(self, target: Any) -> str:
        return self._network.target_name(target)

    def _make(
        self,
        target: Any,
        name: str,
        label: str,
        method: str | Path,
        args: tuple[Any, ...] | None,
        params: Sequence[RpcStub] | None,
        arrived: Callable[[str, Outcome], None],
    ) -> SimCall:
        call = SimCall(self._caller, target, label, method, args, params, arrived)
        network = call.network = self._network
        call.name = name
        call.trace_cause = network.record_send(call) if network.world.chronicle.tracing else -1
        return call


class SimCall(Call):
    """One call in a world.

    Attributes:
        name: the actor behind the target.
        trace_cause: the record of the trace that it left with.
        by: who answers, for the trace, where it is not the callee.
        lost: what the plan of faults says: 1 before, 2 after the callee ran.
        attempts: how often it has left, with automatic retries (RPC-5).
        first_us: when it left first.
        spare: its arguments once more, where its method may run twice.
        behind: calls that go through its result, in order.
    """

    network: CallNetwork
    name: str
    trace_cause: int
    _answer: Outcome
    _with_socket: bool
    _reply_cause = -1
    actor: Any = None
    by = ""
    lost = 0
    attempts = 1
    first_us = 0
    spare: tuple[Any, ...] | None = None
    behind: Link | None = None

    @property
    def cause(self) -> int:
        """See `Call`."""
        return self.network.world.chronicle.cause

    @property
    def subject(self) -> str:
        """Its method, or that of the chain that it carries."""
        args = self.args
        if self.method == "_execute_operation" and args and type(args[0]) is Envelope:
            return describe_chain(args[0].chain)[0]
        return self.method if type(self.method) is str else ".".join(self.method)

    def leave(self) -> None:
        """See `Call`."""
        self.network.transmit(self)

    def held_back(self, *, for_ever: bool) -> None:
        """See `Call`."""
        # A label of its own where it appears only because a planned fault has made flushes events.
        planned = not for_ever and not self.caller.actor.by_hand
        self.network.open_session(self, "session" if planned else "unsent")

    def caller_gone(self) -> None:
        """See `Call`.  The news travels behind the call: a Worker begins whatever was sent to it."""
        network, seat = self.network, self.actor
        world, cause = network.world, network.world.chronicle.cause
        label = f"{self.label}/gone"

        def fire() -> None:
            world.chronicle.deliver(seat.name, label, cause)
            seat.invocation.caller_gone()

        network.post(self.target, self, Event(label, seat, fire, receiver=seat.receiver))

    def machine(self) -> ObjectMachine:
        """See `Call`."""
        stub = self.target
        found: ObjectMachine | None = stub._machine
        if found is None:
            found = stub._machine = self.network.world.machines.at(stub.binding, stub.id)
        return found

    def callee(self) -> Any:
        """See `Call`."""
        return self.network.seat_of(self)

    def _post_at_callee(self, fire: Callable[[], None]) -> None:
        earlier = self.target._call
        if self.actor is None:
            self.actor = earlier.actor or self.caller.actor
        world, actor = self.network.world, self.actor
        label = f"{self.label}/go"
        cause = world.chronicle.cause

        def arrive() -> None:
            world.chronicle.deliver(actor.name, label, cause)
            fire()

        if earlier.behind is None:
            earlier.behind = Link()
        world.kernel.post_on(earlier.behind, Event(label, actor, arrive, receiver=receiver_of(actor)))

    def _send_answer(self, result: Outcome) -> None:
        network = self.network
        world = network.world
        if world.closed:
            return
        socket = type(result) is outcome.Value and getattr(result.value, "web_socket", None) is not None
        if socket:
            result = world.sockets.hand_over(
                result, self.actor, self.args[0] if self.args else None, self.caller, self.label
            )
        if self.lost and not self.by:
            if self.spare is not None and network.try_again(self):
                self.args, self.spare, self.lost = self.spare, None, 0
                self.replied, self.sent, self._packed = False, None, None
                return
            world.sockets.drop(result, self.label)
            result = outcome.Error(disconnected())
        caller = self.caller
        if caller.asked:
            caller.asked.pop(self, None)
        label = f"{self.label}/r"
        if world.chronicle.tracing:
            by = self.by or self.name
            self._reply_cause = world.chronicle.record(
                "reply", by, label, describe_outcome(self.name, caller.name, result)
            )
        self._answer = result
        self._with_socket = socket
        world.kernel.post(
            Event(label, caller.actor, self._answered, receiver=caller.receiver, delay_limit_us=network.limit_us)
        )

    def _answered(self) -> None:
        """The answer arrives, as an event at the caller."""
        network, caller, result, label = self.network, self.caller, self._answer, f"{self.label}/r"
        world = network.world
        if world.chronicle.tracing:
            world.chronicle.deliver(caller.name, label, self._reply_cause)
        if self._with_socket:
            world.sockets.arrived(result, caller, label)
        if network.stubs_break and type(result) is outcome.Error and type(self.target) is Stub:
            error = result.error
            if getattr(error, "retryable", False) or getattr(error, "overloaded", False):
                self.break_stub(error)
        self.arrive_back(label, result)

    def arrive_at_object(self) -> None:
        """The call arrives, as an event at the object."""
        world = self.network.world
        if world.chronicle.tracing:
            world.chronicle.deliver(self.actor.name, self.label, self.trace_cause)
        self.reach_object()


def receiver_of(actor: Any) -> str | None:
    """The scope of an actor's events; the driver's may touch anything."""
    return getattr(actor, "receiver", actor.name)  # type: ignore[no-any-return]  # a name

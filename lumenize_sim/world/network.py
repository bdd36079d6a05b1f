"""How calls travel in a world: links, faults, the trace (RPC-1 to RPC-9).

A link is one stub, never a pair of actors: mesh calls take a fresh stub each, and
nothing orders two stubs.  A call never silently disappears; it fails with a disconnect
before or after the callee ran (LC-43).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.link import Link
from lumenize_sim.mesh.envelope import Envelope
from lumenize_sim.objects.namespace import Stub
from lumenize_sim.objects.parcel import Parcel, pack
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import disconnected
from lumenize_sim.objects.rpc_stub import Path, RpcPromise, RpcStub
from lumenize_sim.objects.rpc_target import is_retryable
from lumenize_sim.world.app_line import app_line
from lumenize_sim.world.descriptions import describe_chain, render
from lumenize_sim.world.sim_call import SimCall, receiver_of

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["MAX_ATTEMPTS", "TOO_DEEP", "CallNetwork"]


#: What a Worker hears that was reached through too many others (RPC-28).
TOO_DEEP: Final = "Subrequest depth limit exceeded. This request recursed through Workers too many times."


#: Automatic retries: attempts in all, the first pause, and how late one may begin (RPC-5).
MAX_ATTEMPTS: Final = 5
_RETRY_US: Final = 50_000
_RETRY_WITHIN_US: Final = 10_000_000


class CallNetwork:
    """Carries calls between the actors of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.limit_us = round(world.options.network.max_delay_s * 1_000_000)
        self.stubs_break = world.options.objects.disconnects_break_stubs is True

    def target_name(self, target: Any) -> str:
        """The actor behind what a call goes through."""
        kind = type(target)
        if kind is Stub:
            machine = target._machine
            if machine is not None and target.id.name is not None:
                return machine.name  # type: ignore[no-any-return]  # a name
            return self.world.machines.name_of(target.binding, target.id)
        if kind is RpcStub:
            name: str = target._export.seat.name
            return name
        if kind is RpcPromise:
            return target._call.name  # type: ignore[no-any-return]  # of a call of ours
        return target.binding  # type: ignore[no-any-return]  # a service binding

    def seat_of(self, call: SimCall) -> Any:
        """Where the result of a call is made."""
        target = call.target
        kind = type(target)
        if kind is Stub:
            incarnation = call.machine().incarnation
            return None if incarnation is None else incarnation.owner.seat
        if kind is RpcStub:
            return target._export.seat
        if kind is RpcPromise:
            return target._call.callee()
        return call.actor

    def record_send(self, call: SimCall) -> int:
        """The trace of a call that leaves."""
        caller, args = call.caller, call.args
        method = call.method if type(call.method) is str else ".".join(call.method)
        data: dict[str, Any] = {"from": caller.name, "to": call.name, "method": method}
        if method == "_execute_operation" and args and type(args[0]) is Envelope:
            data["method"], data["args"] = describe_chain(args[0].chain)
        elif args is not None:
            data["args"] = [render(a) for a in args]
        return self.world.chronicle.record("send", caller.name, call.label, data, where=app_line())

    def transmit(self, call: SimCall) -> None:
        """A call leaves its caller."""
        world = self.world
        caller = call.caller
        lost = world.plan.at("lost-call", caller.name, 3) if world.plan else 0
        if lost or call.lost:
            call.lost = lost
        if lost:
            world.chronicle.fault_fired("lost-call", caller.name, lost)
            if self._retries(call, lost):
                return
            if lost == 1:
                # The callee never hears of it: a record of its own would stand at a chance place in its order.
                call.by = caller.name
                call(outcome.Error(disconnected()))
                return
        target, label = call.target, call.label
        kind = type(target)
        arrive: Callable[[], None]
        if kind is Stub:
            host: Any = call.machine().host
            call.actor = host
            self.post(
                target,
                call,
                Event(label, host, call.arrive_at_object, receiver=host.name, delay_limit_us=self.limit_us),
            )
            return
        if kind is RpcStub:
            export = target._export
            path: Path = call.method if type(call.method) is tuple else (str(call.method),)
            call.actor = export.seat.actor
            arrive = partial(call.reach_export, export, path)
        elif kind is RpcPromise:
            earlier = target._call
            if earlier.actor is None:
                call.by = caller.name
                if earlier.sent is None:
                    call.wait_for(earlier)  # which is about to be tried again
                else:
                    call(earlier.sent)
                return
            call.actor = earlier.actor
            target, arrive = earlier.target, call.reach_result
        else:
            depth, limit = caller.depth + 1, world.options.objects.recursion_limit
            if limit is not None and depth > limit:
                call.by = caller.name
                call(outcome.Error(Error(TOO_DEEP)))
                return
            event = world.workers.invocation(
                target.binding, label, call.method, call.args, call, call.trace_cause, self.limit_us
            )
            seat: Any = event.actor
            call.actor, call.name = seat, seat.name
            seat.depth = depth
            if caller is not world.driver:
                caller.asks(call)
            self.post(target, call, event)
            return
        actor = call.actor
        fire = partial(self._arrive, actor.name, label, call.trace_cause, arrive)
        event = Event(label, actor, fire, receiver=receiver_of(actor), delay_limit_us=self.limit_us)
        self.post(target, call, event)

    def _arrive(self, name: str, label: str, cause: int, arrive: Callable[[], None]) -> None:
        self.world.chronicle.deliver(name, label, cause)
        arrive()

    def _retries(self, call: SimCall, lost: int) -> bool:
        """Whether a call that is lost leaves again, instead of failing (RPC-5).

        One that never reached its object does.  One that did is refused by it when it comes again, so its
        caller sees the first error, unless the method is marked `retryable`: then it runs again.
        """
        if not self.world.options.objects.automatic_retries or type(call.target) is not Stub:
            return False
        if lost == 1:
            return self.try_again(call)
        args = call.args
        if call.params is None and args is not None and is_retryable(call.machine().cls, str(call.method)):
            call.spare = pack(args, Parcel(call.caller))  # the first run may change what it was given
        return False

    def try_again(self, call: SimCall) -> bool:
        """Send a call once more, after a while.  False where it has been tried often or long enough."""
        kernel, caller = self.world.kernel, call.caller
        if call.attempts == 1:
            call.first_us = kernel.now_us
        due_us = kernel.now_us + _RETRY_US * 4 ** (call.attempts - 1)
        if call.attempts == MAX_ATTEMPTS or due_us - call.first_us > _RETRY_WITHIN_US or caller.owner.dead:
            return False
        call.attempts += 1
        label = f"{call.label}/retry#{call.attempts - 1}"

        def fire() -> None:
            self.world.chronicle.deliver(caller.name, label, call.trace_cause)
            if not caller.owner.dead:
                self.transmit(call)

        kernel.post_at(Event(label, caller.actor, fire, receiver=caller.receiver), due_us)
        return True

    def open_session(self, call: SimCall, suffix: str) -> None:
        """A call has to wait at its caller; the object that it goes to wakes at once (RPC-14a)."""
        if type(call.target) is not Stub:
            return
        world, machine = self.world, call.machine()
        label, cause = f"{call.label}/{suffix}", call.trace_cause

        def fire() -> None:
            world.chronicle.deliver(machine.name, label, cause)
            if call.bound(machine):
                machine.open_session(label, call.target.id)

        event = Event(label, machine.host, fire, receiver=machine.name, delay_limit_us=self.limit_us)  # type: ignore[arg-type]  # the host is the actor
        self.post(call.target, call, event)

    def post(self, target: Any, call: SimCall, event: Event) -> None:
        """Onto one of the two channels of a stub (RPC-1a)."""
        event.about = call
        while type(target) is RpcPromise:
            target = target._call.target
        if call.method == "fetch" and type(target) is not RpcStub:
            if target._fetches is None:
                target._fetches = Link()
            link = target._fetches
        else:
            if target._link is None:
                target._link = Link()
            link = target._link
        self.world.kernel.post_on(link, event)

"""Calls between nodes of one process: snapshot, delivery, reply (RPC-1 to RPC-9), and the Workers they reach.

The calls of one stub arrive in the order made because everything does: the loop has one
queue.  Nothing is lost on the way; a call fails only with its callee.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import outcome

from lumenize_sim.live.loop import Loop
from lumenize_sim.live.seats import FreeSeat, Seat
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.invocation import Invocation
from lumenize_sim.mesh.transport import snapshot, snapshot_outcome
from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.machine import ObjectMachine
from lumenize_sim.objects.namespace import DurableObjectNamespace, Env, ServiceBinding, Stub
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_errors import disconnected
from lumenize_sim.objects.seats import Arrived

__all__ = ["Calls"]


class Machines(Protocol):
    """Where objects are found."""

    def machine(self, binding: str, object_id: DurableObjectId) -> ObjectMachine: ...


class Calls:
    """Carries the calls of one server's nodes."""

    def __init__(self, loop: Loop, host: Host, app: Mesh, machines: Machines) -> None:
        self.loop = loop
        self.host = host
        self.app = app
        self.machines = machines

    def env_for(self, seat: Seat) -> Env:
        """Bindings and variables for one owner; calls made through it are that owner's."""
        dispatcher = _DispatcherOf(self, seat)
        app = self.app

        def draw(length: int) -> bytes:
            return self.host.random(seat.owner).randbytes(length)

        def make(name: str) -> Any:
            if name not in app.bindings:
                return app.vars[name]
            if app.is_worker(name):
                return ServiceBinding(dispatcher, name)
            return DurableObjectNamespace(dispatcher, name, name, draw)

        return Env(make, (*app.bindings, *app.vars))

    def transmit(
        self,
        caller: Seat,
        stub: Stub | ServiceBinding,
        label: str,
        method: str,
        args: tuple[Any, ...],
        arrived: Arrived,
    ) -> None:
        """A call leaves its caller."""
        reply = _Reply(self.loop, caller, f"{label}/r", arrived)
        if type(stub) is not Stub:
            self._invoke_worker(stub.binding, label, method, args, reply)
            return
        machine = self.machines.machine(stub.binding, stub.id)
        host: Any = machine.host

        def fire() -> None:
            if stub._bound is None:
                stub._bound = machine.generation
            elif stub._bound != machine.generation:
                # A stub stays with the instance that it reached first (RPC-8).
                reply(outcome.Error(machine.last_reset or disconnected()))
                return
            machine.call(label, method, args, reply)

        self.loop.post(host, fire)

    def _invoke_worker(
        self, binding: str, label: str, method: str, args: tuple[Any, ...], reply: Callable[[Outcome], None]
    ) -> None:
        seat = _WorkerSeat(self.loop, self.host, f"{binding}~{label}")
        invocation = Invocation(self.app.bindings[binding], self.host, seat, self.env_for(seat), label, reply)

        def fire() -> None:
            self.loop.queue.begin_turn(seat.owner)
            invocation.begin(method, args)

        self.loop.post(seat, fire)


class _WorkerSeat(FreeSeat):
    """Where one invocation runs (`InvocationSeat`)."""

    def interrupt(self, error: BaseException) -> None:
        """See `Loop.interrupt`."""
        self.loop.interrupt(error)

    def ended(self, label: str, result: Outcome) -> None:
        """Nothing is traced."""

    def unhandled(self, error: BaseException) -> None:
        """Logged."""
        self.failed("wait_until", error)

    def set_limit(self, after_us: int, fire: Callable[[], None]) -> TimerHandle:
        """An event of the invocation, of which nothing is left otherwise."""
        return self.loop.post_at(self, fire, self.loop.now_us() + after_us)


class _DispatcherOf:
    """The `Dispatcher` of one caller."""

    __slots__ = ("_caller", "_calls")

    def __init__(self, calls: Calls, caller: Seat) -> None:
        self._calls = calls
        self._caller = caller

    def call(self, stub: Stub | ServiceBinding, method: str, args: tuple[Any, ...]) -> Pending[Any]:
        """Send one call; it leaves when the caller's output gate lets it (3.1)."""
        caller, calls = self._caller, self._calls
        target = f"{stub.binding}/{stub.name or stub.id.hex[:12]}" if type(stub) is Stub else stub.binding
        label = f"{caller.name}>{target}#{caller.next_call(target)}"
        try:
            copies = tuple(map(snapshot, args))
        except Exception as error:
            # Bad arguments are the caller's own failure: nothing is sent (RPC-16).
            return Pending.failed(error)
        pending, arrived = caller.wait_for(label)
        caller.emit(lambda: calls.transmit(caller, stub, label, method, copies, arrived))
        return pending


class _Reply:
    """The way back of one call."""

    __slots__ = ("_arrived", "_caller", "_label", "_loop", "_replied")

    def __init__(self, loop: Loop, caller: Seat, label: str, arrived: Arrived) -> None:
        self._loop = loop
        self._caller = caller
        self._label = label
        self._arrived = arrived
        self._replied = False

    #: What a result is kept as while the output gate holds it (RPC-6).
    snapshot = staticmethod(snapshot_outcome)

    def __call__(self, result: Outcome) -> None:
        if not self._replied:
            self._replied = True
            copy = snapshot_outcome(result)
            self._loop.post(self._caller.actor, lambda: self._arrived(self._label, copy))

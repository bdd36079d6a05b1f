"""Calls between nodes of one process: snapshot, delivery, reply (RPC-1 to RPC-9), and the Workers they reach.

The calls of one stub arrive in the order made because everything does: the loop has one
queue.  Nothing is lost on the way; a call fails only with its callee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import outcome

from lumenize_sim.live.loop import Loop
from lumenize_sim.live.seats import FreeSeat, ObjectSeat, Seat
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.invocation import Invocation
from lumenize_sim.objects.calls import Call, CallDispatcher
from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.http import Response
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.machine import ObjectMachine
from lumenize_sim.objects.namespace import DurableObjectNamespace, Env, ServiceBinding, Stub
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_stub import Path, RpcPromise, RpcStub
from lumenize_sim.objects.seats import Arrived
from lumenize_sim.objects.worker import WorkerEntrypoint
from lumenize_sim.routing.door import ENTRY

__all__ = ["Calls"]


class Machines(Protocol):
    """Where objects are found."""

    def machine(self, binding: str, object_id: DurableObjectId) -> ObjectMachine: ...


class Calls:
    """Carries the calls of one server's nodes.

    Attributes:
        entry_class: the Worker that answers requests from outside.
    """

    def __init__(self, loop: Loop, host: Host, app: Mesh, machines: Machines) -> None:
        self.loop = loop
        self.host = host
        self.app = app
        self.machines = machines
        self.entry_class: type = WorkerEntrypoint

    def env_for(self, seat: Seat) -> Env:
        """Bindings and variables for one owner; calls made through it are that owner's."""
        dispatcher = seat.dispatcher = LiveDispatcher(self, seat)
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

    def entry_for(self, seat: Seat) -> ServiceBinding:
        """The Worker that answers requests from outside, for one who asks."""
        seat.dispatcher = dispatcher = LiveDispatcher(self, seat)
        return ServiceBinding(dispatcher, ENTRY)

    def invoke_worker(self, call: LiveCall) -> None:
        """Run a call on an instance of its own."""
        seat = call.actor = _WorkerSeat(self.loop, self.host, f"{call.target.binding}~{call.label}")
        binding = call.target.binding
        cls = self.entry_class if binding == ENTRY else self.app.bindings[binding]
        invocation = Invocation(cls, self.host, seat, self.env_for(seat), call.label, call)

        def fire() -> None:
            self.loop.queue.begin_turn(seat.owner)
            invocation.begin(call.method, call.args)

        self.loop.post(seat, fire)


class _WorkerSeat(FreeSeat):
    """Where one invocation runs (`InvocationSeat`)."""

    def handled(self, label: str, result: Outcome) -> None:
        """Nothing is traced."""

    def unhandled(self, error: BaseException) -> None:
        """Logged."""
        self.failed("wait_until", error)

    def set_limit(self, after_us: int, fire: Callable[[], None]) -> TimerHandle:
        """An event of the invocation, of which nothing is left otherwise."""
        return self.loop.post_at(self, fire, self.loop.now_us() + after_us)


class LiveDispatcher(CallDispatcher):
    """The `Dispatcher` of one caller."""

    __slots__ = ("_calls",)

    def __init__(self, calls: Calls, caller: Seat) -> None:
        super().__init__(caller)
        self._calls = calls

    def _name_of(self, target: Any) -> str:
        kind = type(target)
        if kind is Stub:
            return f"{target.binding}/{target.name if target.name is not None else target.id.hex[:12]}"
        if kind is RpcStub:
            name: str = target._export.seat.name
            return name
        return self._name_of(target._call.target) if kind is RpcPromise else target.binding

    def _make(
        self,
        target: Any,
        name: str,
        label: str,
        method: str | Path,
        args: tuple[Any, ...] | None,
        params: Sequence[RpcStub] | None,
        arrived: Arrived,
    ) -> LiveCall:
        call = LiveCall(self._caller, target, label, method, args, params, arrived)
        call.calls = self._calls
        return call


#: Said where a node asks another for a web socket, or dials one.
NO_SOCKETS_BETWEEN_NODES: Final = (
    "The live server carries web sockets between clients and objects only: a node cannot hold one to another node, or "
    "to a server elsewhere. Simulated worlds can; here, let the client connect to the object itself."
)


class LiveCall(Call):
    """One call within this process."""

    calls: Calls
    actor: Any = None

    def leave(self) -> None:
        """See `Call`."""
        calls, target = self.calls, self.target
        kind = type(target)
        if kind is Stub:
            self.actor = self.machine().host
            calls.loop.post(self.actor, self.reach_object)
        elif kind is RpcStub:
            export = target._export
            path: Path = self.method if type(self.method) is tuple else (str(self.method),)
            self.actor = export.seat.actor
            calls.loop.post(self.actor, lambda: self.reach_export(export, path))
        elif kind is RpcPromise:
            self.actor = target._call.actor
            calls.loop.post(self.actor, self.reach_result)
        else:
            calls.invoke_worker(self)

    def machine(self) -> ObjectMachine:
        """See `Call`."""
        return self.calls.machines.machine(self.target.binding, self.target.id)

    def callee(self) -> Any:
        """See `Call`."""
        target = self.target
        kind = type(target)
        if kind is Stub:
            incarnation = self.machine().incarnation
            return None if incarnation is None else incarnation.owner.seat
        if kind is RpcStub:
            return target._export.seat
        return target._call.callee() if kind is RpcPromise else self.actor

    def _post_at_callee(self, fire: Callable[[], None]) -> None:
        self.calls.loop.post(self.actor, fire)

    def _send_answer(self, result: Outcome) -> None:
        value = result.value if type(result) is outcome.Value else None
        # What no object asked for, a Worker may hand on to whoever asked it: that is how an entry lets people in.
        if isinstance(value, Response) and value.web_socket is not None and isinstance(self.caller, ObjectSeat):
            result = outcome.Error(Error(NO_SOCKETS_BETWEEN_NODES))
        self.calls.loop.post(self.caller.actor, lambda: self.arrive_back(f"{self.label}/r", result))

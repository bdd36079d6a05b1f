"""Calls over stubs: snapshot, link, delivery, reply (RPC-1 to RPC-9).

A link is one stub, never a pair of actors: mesh calls take a fresh stub each, and
nothing orders two stubs.  A call never silently disappears; it fails with a disconnect
before or after the callee ran (LC-43).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import outcome

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.kernel.event import Actor, Event
from lumenize_sim.kernel.kernel import Link
from lumenize_sim.mesh.envelope import Envelope, Failure, Result
from lumenize_sim.mesh.transport import snapshot, snapshot_outcome
from lumenize_sim.objects.namespace import ServiceBinding, Stub
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_errors import disconnected, fallen
from lumenize_sim.world.host import app_line

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["CallNetwork", "Caller", "DispatcherOf"]


class Caller(Protocol):
    """Who calls: an incarnation of an object, a Worker's invocation."""

    @property
    def name(self) -> str: ...
    @property
    def receiver(self) -> str | None: ...
    @property
    def actor(self) -> Actor: ...
    def wait_for(self, label: str) -> tuple[Pending[Any], Callable[[str, Outcome], None]]: ...
    def emit(self, effect: Callable[[], None]) -> None: ...
    def next_call(self, target: str) -> int: ...


class DispatcherOf:
    """The `Dispatcher` of one caller."""

    __slots__ = ("_caller", "_network")

    def __init__(self, network: CallNetwork, caller: Caller) -> None:
        self._network = network
        self._caller = caller

    def call(self, stub: Stub | ServiceBinding, method: str, args: tuple[Any, ...]) -> Pending[Any]:
        """Send one call; it leaves when the caller's output gate lets it (3.1)."""
        caller = self._caller
        network = self._network
        target = network.target_name(stub)
        label = f"{caller.name}>{target}#{caller.next_call(target)}"
        try:
            copies = tuple(map(snapshot, args))
        except Exception as error:
            # Bad arguments are the caller's own failure: nothing is sent (RPC-16).
            return Pending.failed(error)
        pending, arrived = caller.wait_for(label)
        cause = network.record_send(caller, target, label, method, copies)
        caller.emit(lambda: network.transmit(caller, stub, target, label, method, copies, arrived, cause))
        return pending


class _Reply:
    """The way back of one call."""

    __slots__ = ("_arrived", "_caller", "_label", "_lost", "_network", "_replied", "by", "callee", "place")

    def __init__(
        self,
        network: CallNetwork,
        caller: Caller,
        callee: str,
        label: str,
        arrived: Callable[[str, Outcome], None],
        *,
        lost: bool,
    ) -> None:
        self._network = network
        self._caller = caller
        self._label = label
        self._arrived = arrived
        self._lost = lost
        self._replied = False
        self.callee = callee
        self.by = ""
        self.place: Any = None

    #: What a result is kept as while the output gate holds it (RPC-6).
    snapshot = staticmethod(snapshot_outcome)

    def __call__(self, result: Outcome) -> None:
        network = self._network
        world = network.world
        if self._replied or world.closed:
            return
        self._replied = True
        if type(result) is outcome.Value and getattr(result.value, "web_socket", None) is not None:
            result = world.sockets.hand_over(result, self.place)
        result = outcome.Error(disconnected()) if self._lost else snapshot_outcome(result)
        caller, label = self._caller, self._label
        cause = -1
        if world.tracing:
            by = self.by or self.callee
            cause = world.record("reply", by, label, describe_outcome(self.callee, caller.name, result))
        actor, arrived = caller.actor, self._arrived

        def fire() -> None:
            world.deliver(caller.name, label, cause)
            arrived(label, result)

        world.kernel.post(Event(label, actor, fire, receiver=caller.receiver, delay_limit_us=network.limit_us))


class CallNetwork:
    """Carries calls between the actors of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.limit_us = round(world.options.network.max_delay_s * 1_000_000)

    def target_name(self, stub: Stub | ServiceBinding) -> str:
        """The actor behind a stub."""
        if type(stub) is Stub:
            return self.world.object_name(stub.binding, stub.id)
        return stub.binding

    def record_send(self, caller: Caller, target: str, label: str, method: str, args: tuple[Any, ...]) -> int:
        """The trace of a call that leaves."""
        world = self.world
        if not world.tracing:
            return -1
        data: dict[str, Any] = {"from": caller.name, "to": target, "method": method}
        if method == "_execute_operation" and args and type(args[0]) is Envelope:
            data["method"], data["args"] = describe_chain(args[0].chain)
        else:
            data["args"] = [render(a) for a in args]
        return world.record("send", caller.name, label, data, where=app_line())

    def transmit(
        self,
        caller: Caller,
        stub: Stub | ServiceBinding,
        target: str,
        label: str,
        method: str,
        args: tuple[Any, ...],
        arrived: Callable[[str, Outcome], None],
        cause: int,
    ) -> None:
        """A call leaves its caller."""
        world = self.world
        kernel = world.kernel
        lost = world.plan.at("lost-call", caller.name, 3) if world.plan else 0
        if lost:
            world.fault_fired("lost-call", caller.name, lost)
        reply = _Reply(self, caller, target, f"{label}/r", arrived, lost=lost == 2)
        if lost == 1:
            # The callee never hears of it: a record of its own would stand at a chance place in its order.
            reply.by = caller.name
            reply(outcome.Error(disconnected()))
            return
        if type(stub) is Stub:
            machine = world.machine(stub.binding, stub.id)
            host: Any = machine.host
            reply.place = host

            def fire() -> None:
                world.deliver(target, label, cause)
                if stub._bound is None:
                    stub._bound = machine.generation
                elif stub._bound != machine.generation:
                    assert machine.last_reset is not None, "a generation ends with a reset"
                    reply(outcome.Error(fallen(machine.last_reset)))
                    return
                machine.call(label, method, args, reply, cause=world.cause)

            event = Event(label, host, fire, receiver=target, delay_limit_us=self.limit_us)
        else:
            event = world.workers.invocation(stub.binding, label, method, args, reply, cause, self.limit_us)
            reply.callee = event.actor.name
            reply.place = event.actor
        if stub._link is None:
            stub._link = Link()
        kernel.post_on(stub._link, event)


def render(value: Any, limit: int = 200) -> Any:
    """A plain value for the trace."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value) if type(value) in _PLAIN else type(value).__name__
    return text if len(text) <= limit else f"{text[:limit]}…"


_PLAIN = (list, dict, tuple, bytes)


def describe_chain(encoded: Any) -> tuple[str, list[Any]]:
    """Method and arguments of an encoded chain, for people."""
    try:
        chain = encoded["json"]
        names: list[str] = []
        args: list[Any] = []
        for operation in chain:
            if operation["type"] == "get":
                names.append(str(operation["key"]))
            else:
                names.append("()")
                args = [render(a) for a in operation["args"]]
        text = ".".join(names).replace(".()", "()")
        return (text[:-2] if text.endswith("()") else text), args
    except (KeyError, TypeError, AttributeError):
        return "?", []


def describe_outcome(callee: str, to: str, result: Outcome) -> dict[str, Any]:
    """A reply for the trace."""
    both = {"from": callee, "to": to}
    if type(result) is outcome.Error:
        return {**both, "error": type(result.error).__name__}
    value = result.value
    if type(value) is Result:
        inner = value.value
        return {**both, "value": "undefined" if inner is UNDEFINED else render(inner)}
    if type(value) is Failure:
        encoded = value.error_encoded.get("json") if isinstance(value.error_encoded, dict) else None
        name = encoded.get("name") if isinstance(encoded, dict) else None
        return {**both, "error": str(name)}
    return {**both, "value": render(value)}

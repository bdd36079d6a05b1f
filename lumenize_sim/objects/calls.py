"""Calls between nodes, whatever carries them: packed at the call, delivered, answered (RPC-1 to RPC-19).

A host's own calls extend `Call` with how a message gets from here to there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import outcome

from lumenize_sim.objects.namespace import ServiceBinding, Stub
from lumenize_sim.objects.parcel import SCALARS, Parcel, is_light, pack, pack_outcome
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.reach import MISSING, call_member, item_of, not_a_function, not_implemented
from lumenize_sim.objects.rpc_errors import fallen, gone
from lumenize_sim.objects.rpc_stub import Export, Path, RpcPromise, RpcStub

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["Call", "CallDispatcher", "Caller", "Target"]

#: No generation of an object: what a broken stub is bound to.
BROKEN: Final = -1
#: What a call goes through.
Target = Stub | ServiceBinding | RpcStub | RpcPromise


class Caller(Protocol):
    """Who calls: the seat of an incarnation, of a Worker's invocation, of the driver."""

    @property
    def name(self) -> str: ...
    @property
    def owner(self) -> Any: ...
    @property
    def held(self) -> dict[Any, None]: ...
    @property
    def subrequest_limit(self) -> int | None: ...
    def spend(self) -> Exception | None: ...
    @property
    def enhanced(self) -> bool: ...
    def wait_for(
        self, label: str, pending: Pending[Any] | None = None
    ) -> tuple[Pending[Any], Callable[[str, Outcome], None]]: ...
    def emit_call(self, call: Any) -> None: ...
    def emit_fetch(self, call: Any) -> None: ...
    def next_call(self, target: str) -> int: ...


class Call(ABC):
    """One call, from when it is made until its answer has arrived.  Calling it answers it.

    Attributes:
        caller: who made it.
        target: what it goes through.
        label: stable name.
        method: one name, or the path to a member.
        args: packed; ``None`` reads a property.
        params: the stubs among the arguments, which the answer disposes of (RPC-18).
        arrived: hears the answer, as an event at the caller.
        sent: the answer as it was sent, for calls that go through it (RPC-17).
    """

    # On the class, since most calls never set them: making a call is the hottest thing that nodes do.
    replied = False
    sent: Outcome | None = None
    _packed: Outcome | None = None
    _parcel: Parcel | None = None
    _waiting: list[Call] | None = None

    def __init__(
        self,
        caller: Any,
        target: Any,
        label: str,
        method: str | Path,
        args: tuple[Any, ...] | None,
        params: Sequence[RpcStub] | None,
        arrived: Callable[[str, Outcome], None],
    ) -> None:
        self.caller = caller
        self.target = target
        self.label = label
        self.method = method
        self.args = args
        self.params = params
        self.arrived = arrived

    # -- what the host adds ------------------------------------------------------------

    @abstractmethod
    def leave(self) -> None:
        """The caller's gates let it go: send it."""

    def held_back(self, *, for_ever: bool) -> None:  # noqa: B027  # a host whose gates never hold needs none
        """The caller's output gate holds it, or it will never leave: only the session opens (RPC-14a)."""

    def caller_gone(self) -> None:
        """Its caller has ended while a Worker ran it: nobody waits for the answer (RPC-22)."""
        raise NotImplementedError

    @abstractmethod
    def callee(self) -> Any:
        """The seat at which its result is made, or ``None`` while nobody knows."""

    @abstractmethod
    def machine(self) -> ObjectMachine:
        """The object that `target`, a `Stub`, reaches."""

    @abstractmethod
    def _send_answer(self, result: Outcome) -> None:
        """Let `arrive_back` happen as an event at the caller."""

    @abstractmethod
    def _post_at_callee(self, fire: Callable[[], None]) -> None:
        """Let ``fire`` happen as an event where this call has arrived, behind earlier ones on the same result."""

    @property
    def cause(self) -> int:
        """The record of the trace that led to what happens now."""
        return -1

    # -- at the callee -------------------------------------------------------------------

    def reach_object(self) -> None:
        """Arrive at an object, as an event there (RPC-8)."""
        machine = self.machine()
        if self.bound(machine):
            machine.call(self.label, self.method, self.args, self, cause=self.cause, object_id=self.target.id)
        else:
            self.broken(machine)

    def bound(self, machine: ObjectMachine) -> bool:
        """Whether the stub reaches the object; it stays with the instance that it reached first (RPC-8)."""
        stub = self.target
        if stub._bound is None:
            stub._bound = machine.generation
            return True
        return bool(stub._bound == machine.generation)

    def broken(self, machine: ObjectMachine) -> None:
        """The stub is: fail with the error that broke it."""
        error = self.target._broken_by
        self(outcome.Error(machine.last_error() if error is None else fallen(error)))

    def reach_export(self, export: Export, path: Path) -> None:
        """Arrive at something that a node has exported, as an event there."""
        seat: Any = export.seat
        if seat.owner.dead:
            self(outcome.Error(gone()))
            return
        target, args = export.target, self.args

        def member() -> Any:
            return call_member(target, path, args)

        seat.serve(self.label, export.section, member, self, cause=self.cause)

    def reach_result(self) -> None:
        """Arrive where the result of an earlier call is made, as an event there (RPC-17)."""
        earlier: Call = self.target._call
        if earlier.sent is None:
            self.wait_for(earlier)
        elif earlier._waiting is None:
            self._go_through(earlier.sent)
        else:
            self._go_later(earlier.sent)  # behind those that have waited

    def wait_for(self, earlier: Call) -> None:
        """Go on once ``earlier`` is answered, behind others that wait for it."""
        if earlier._waiting is None:
            earlier._waiting = []
        earlier._waiting.append(self)

    def _go_through(self, result: Outcome) -> None:
        """Go through the result of an earlier call, which is known by now."""
        if type(result) is outcome.Error:
            self(result)
            return
        path: Path = self.method if type(self.method) is tuple else (str(self.method),)
        value = result.value
        for nth, name in enumerate(path):
            if type(value) is RpcStub:
                self.reach_export(value._export, path[nth:])
                return
            value = item_of(value, name)
            if value is MISSING:
                self._refuse(not_implemented(name))
                return
        if type(value) is RpcStub and self.args is not None:
            self.reach_export(value._export, ())
        elif self.args is not None:
            self._refuse(not_a_function(path[-1] if path else "result"))
        else:
            self(outcome.Value(value))

    def _go_later(self, result: Outcome) -> None:
        self._post_at_callee(lambda: self._go_through(result))

    def _refuse(self, text: str) -> None:
        error: Any = TypeError(text)
        error.remote = True
        self(outcome.Error(error))

    # -- the answer ----------------------------------------------------------------------

    def hold(self, result: Outcome) -> None:
        """The answer has to wait: later changes of the result are not to be seen (RPC-6)."""
        if type(result) is not outcome.Error:
            self._packed = self._pack(result)

    def _pack(self, result: outcome.Value[Any]) -> Outcome:
        if is_light(result.value):
            return result
        seat = self.callee()
        self._parcel = Parcel(seat)
        return pack_outcome(result, self._parcel, enhanced=seat is not None and seat.enhanced)

    def __call__(self, result: Outcome) -> None:
        if self.replied:
            return
        self.replied = True
        if type(result) is not outcome.Error:
            result = self._pack(result) if self._packed is None else self._packed
        elif self._parcel is not None:
            self._parcel.dispose()
        self.sent = result
        if self.params is not None:
            for stub in self.params:
                stub.dispose()
        if type(self.target) is RpcStub:
            self.target._export.let_go()
        self._send_answer(result)
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, []
            for later in waiting:
                later._go_later(result)

    def break_stub(self, error: BaseException) -> None:
        """The answer is ``error``, and breaks the stub for good, as a reset does (RPC-8)."""
        self.target._bound = BROKEN
        self.target._broken_by = error

    def arrive_back(self, label: str, result: Outcome) -> None:
        """The answer is here."""
        parcel = self._parcel
        if parcel is not None and parcel.stubs is not None:
            self._take_over(parcel.stubs)
        arrived, self.arrived = self.arrived, _arrived_already  # a cycle with the promise otherwise
        arrived(label, result)

    def _take_over(self, stubs: list[RpcStub]) -> None:
        """The answer is here, as an event at the caller, and with it stubs that the caller holds from now on."""
        caller = self.caller
        for stub in stubs:
            if caller.owner.dead:
                stub.dispose()
            elif not stub._disposed:
                stub._hold(caller)


def _arrived_already(label: str, result: Outcome) -> None:
    """Answers arrive once."""


class CallDispatcher(ABC):
    """The `Dispatcher` of one caller."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Any) -> None:
        self._caller = caller

    @abstractmethod
    def _name_of(self, target: Any) -> str:
        """The actor behind a target."""

    @abstractmethod
    def _make(
        self,
        target: Any,
        name: str,
        label: str,
        method: str | Path,
        args: tuple[Any, ...] | None,
        params: Sequence[RpcStub] | None,
        arrived: Callable[[str, Outcome], None],
    ) -> Call:
        """A call of this host, about to be emitted."""

    def call(self, target: Any, method: str | Path, args: tuple[Any, ...] | None) -> RpcPromise:
        """Send one call; it leaves when the caller's output gate lets it (3.1)."""
        caller = self._caller
        name = self._name_of(target)
        label = f"{caller.name}>{name}#{caller.next_call(name)}"
        if caller.subrequest_limit is not None:
            spent = caller.spend()
            if spent is not None:
                return RpcPromise.failed(spent)
        params = None
        if args and not (is_light(args[0]) if len(args) == 1 else SCALARS.issuperset(map(type, args))):
            parcel = Parcel(caller)
            try:
                args = pack(args, parcel)
            except Exception as error:
                # Bad arguments are the caller's own failure: nothing is sent (RPC-16).
                return RpcPromise.failed(error)
            params = parcel.stubs
            if params is not None:
                for stub in params:
                    stub._given = True
        pending = RpcPromise(label)
        _, arrived = caller.wait_for(label, pending)
        call = pending._call = self._make(target, name, label, method, args, params, arrived)
        caller.emit_call(call)
        return pending

    def fetch(self, target: Stub | ServiceBinding, request: Any) -> Pending[Any]:
        """Send one HTTP request; it has a channel of its own (RPC-1a, IG-14)."""
        caller = self._caller
        name = self._name_of(target)
        label = f"{caller.name}>{name}#{caller.next_call(name)}"
        spent = caller.spend()
        if spent is not None:
            return Pending.failed(spent)
        pending: Pending[Any]
        pending, arrived = caller.wait_for(label)
        caller.emit_fetch(self._make(target, name, label, "fetch", (request,), None, arrived))
        return pending

    def reach(self, target: Any, path: Path, args: tuple[Any, ...] | None) -> RpcPromise:
        """Call, or read where ``args`` is ``None``, a member further away than a method of an object or Worker."""
        if type(target) is RpcStub:
            target._export.held += 1  # a call under way keeps its session open
            promise = self.call(target, path, args)
            if promise._call is None:
                target._export.let_go()  # it was never sent
            return promise
        return self.call(target, path, args)

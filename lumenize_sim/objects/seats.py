"""Seats: where an owner sits; what its timers, wake-ups and calls go through, in any surroundings.

A seat decides what is a turn of its owner.  How an event is posted, when it happens and
who hears of a failure is left to the host's own seats, which extend these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Protocol

import outcome

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.connections import Connections
from lumenize_sim.objects.hop import Hop
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import InstanceGone, PythonIsolate
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import across
from lumenize_sim.objects.rpc_stub import Export, RpcStub
from lumenize_sim.objects.rpc_target import RpcTarget
from lumenize_sim.objects.strand import Owner, Strand, strand_var
from lumenize_sim.objects.timers import OwnerTimers

if TYPE_CHECKING:
    from lumenize_sim.objects.calls import Call, CallDispatcher

__all__ = ["Arrived", "GatedSeat", "UngatedSeat"]

#: ``arrived(event, result)``: the answer is here, and ``event`` is what brought it.
Arrived = Callable[[str, Outcome], None]


class Leaving(Protocol):
    """A call or request about to leave."""

    label: str

    def leave(self) -> None: ...


class Turns(Protocol):
    """Who may run: what seats ask of the run queue."""

    @property
    def current(self) -> Any: ...
    def begin_turn(self, owner: Owner) -> None: ...
    def admit(self, task: Any) -> None: ...


class _Budget:
    """What seats have in common: stubs that they hold, Workers that they wait for, subrequests.

    Attributes:
        held: stubs that it holds; they are disposed of when it ends (RPC-18).
        asked: calls of Workers that have not been answered; they are told when it ends (RPC-22).  Made with the first.
        depth: how many Workers have called one another to get here (RPC-28).
        subrequest_limit: calls and fetches that it may make; ``None`` for any number (RPC-26).
    """

    depth = 0
    subrequest_limit: int | None = None
    _spent = 0
    _spent_in = 0

    def __init__(self) -> None:
        self.held: dict[RpcStub, None] = {}
        self.asked: dict[Call, None] | None = None

    def _event(self) -> int:
        """The number of the event that renewed the budget last."""
        return 0

    def spend(self) -> Error | None:
        """One subrequest more; the error, once there are too many."""
        if self.subrequest_limit is None:
            return None
        event = self._event()
        if event != self._spent_in:
            self._spent_in, self._spent = event, 0
        self._spent += 1
        return Error("Too many subrequests.") if self._spent > self.subrequest_limit else None

    def asks(self, call: Call) -> None:
        """It waits for a Worker."""
        if self.asked is None:
            self.asked = {}
        self.asked[call] = None

    def ended(self) -> None:
        """Nothing of it runs again: its stubs are free, and Workers that it waits for hear that nobody does."""
        for stub in list(self.held):
            stub.dispose()
        asked, self.asked = self.asked, None
        for call in asked or ():
            call.caller_gone()


class UngatedSeat(_Budget, ABC):
    """An owner without gates: a client, a Worker's invocation, a driver.  Also the actor at which its events arrive.

    Args:
        name: of the actor.
        turns: who may run.
        base: the context in which its strands begin.

    Attributes:
        owner: who sits here.
        timers: its timers.
        dispatcher: sends its calls, once it has made one.
        enhanced: what errors keep when they cross (RPC-19).
        sessions: how many sessions are open because of it (RPC-14b).
        lonely: is told when none is open any more.
        connections: those of its fetches (RPC-27).
    """

    dispatcher: CallDispatcher

    def __init__(self, name: str, turns: Turns, base: Context, *, enhanced: bool = False) -> None:
        super().__init__()
        self.name = name
        self.enhanced = enhanced
        self.sessions = 0
        self.lonely: Callable[[], None] | None = None
        self.connections: Connections = Connections(None)
        self._leaving: list[Call] = []
        self._isolate: PythonIsolate | None = None
        self.owner = Owner(name, self.spawn, self._wake)
        self.owner.seat = self
        self.timers = OwnerTimers(self._arm)
        self._turns = turns
        self._base = base
        self._calls: dict[str, int] = {}

    # -- what the host adds ------------------------------------------------------------

    @abstractmethod
    def spawn(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Begin a task in the caller's context."""

    @abstractmethod
    def failed(self, label: str, error: BaseException) -> None:
        """Code of the app raised where nobody could hear it."""

    @abstractmethod
    def _now_us(self) -> int:
        """Microseconds since the host began."""

    @abstractmethod
    def _arm(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        """An event of this owner for the timer that is due first."""

    @abstractmethod
    def _post_wake(self, task: Any) -> None:
        """An event of this owner that calls `_rouse`: somebody else's turn has made ``task`` runnable."""

    @abstractmethod
    def _resumed(self, event: str) -> None:
        """An answer has arrived, and a turn of this owner begins with it."""

    @abstractmethod
    def post_own(self, label: str, fire: Callable[[], None]) -> None:
        """An event of this owner."""

    @abstractmethod
    def interrupt(self, error: BaseException) -> None:
        """Ctrl-C, or a turn broken off, reached code of this owner."""

    # -- the actor -----------------------------------------------------------------------

    @property
    def actor(self) -> Any:
        """Where replies arrive."""
        return self

    def end_turn(self) -> bool:
        """Nothing to commit; calls leave now, behind every ``fetch`` of the turn (RPC-1a)."""
        if self._leaving:
            leaving, self._leaving = self._leaving, []
            for call in leaving:
                call.leave()
        return False

    def context(self, label: str) -> Context:
        """A context in which this owner runs."""
        return Strand(self.owner, label).context(self._base)

    def _own_context(self, label: str) -> Context:
        """The caller's context where this owner runs already; else, called from outside, a fresh one."""
        strand = strand_var.get()
        return copy_context() if strand is not None and strand.owner is self.owner else self.context(label)

    # -- wake-ups and timers -------------------------------------------------------------

    def _wake(self, task: Any) -> None:
        if self._turns.current is not self.owner:
            self._post_wake(task)
            return

        # Ours to wake: so it sleeps for zero seconds, in the order of all timers (TM-4).
        def due() -> None:
            self._rouse(task)
            self.timers.passed()

        self.timers.set(self._now_us(), due)

    def _rouse(self, task: Any) -> None:
        """Begin a turn with ``task``."""
        if not self.owner.dead:
            self._turns.begin_turn(self.owner)
            self._turns.admit(task)

    def _set(self, timers: OwnerTimers, due_us: int, callback: Callable[[], None]) -> TimerHandle:
        context = self._own_context("timer")

        def fired() -> None:
            if self.owner.dead:
                return
            self._turns.begin_turn(self.owner)
            try:
                context.run(callback)
            except Exception as error:
                self.failed("timer", error)
            timers.passed()

        return timers.set(due_us, fired)

    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle:
        """A cancel scope's deadline."""
        return self._set(self.timers, due_us, expire)

    # -- calls -----------------------------------------------------------------------------

    def wait_for(self, label: str, pending: Pending[Any] | None = None) -> tuple[Pending[Any], Arrived]:
        """A `Pending` of this owner, or the one given, settled as a turn of its own."""
        if pending is None:
            pending = Pending(label)

        def arrived(event: str, result: Outcome) -> None:
            if not self.owner.dead:
                self._turns.begin_turn(self.owner)
                self._resumed(event)
                pending.settle(result)

        return pending, arrived

    def emit(self, effect: Callable[[], None]) -> None:
        """Nothing holds it back."""
        effect()

    def emit_call(self, call: Call) -> None:
        """It takes some hops more than a ``fetch``, which is to say until the turn is over (RPC-1a)."""
        if self._turns.current is self.owner:
            self._leaving.append(call)
        else:
            call.leave()

    def emit_fetch(self, call: Leaving) -> None:
        """Nothing holds it back."""
        call.leave()

    def drop_calls(self) -> None:
        """Calls of the turn never leave (RPC-24)."""
        self._leaving.clear()

    def next_call(self, target: str) -> int:
        """How many calls to ``target`` went before."""
        nth = self._calls.get(target, -1) + 1
        self._calls[target] = nth
        return nth

    # -- what it lets others call ----------------------------------------------------------

    def section(self) -> None:  # owners with gates have another seat
        """There are no gates."""

    def opened(self) -> None:
        """One session more."""
        self.sessions += 1

    def session_ended(self) -> None:
        """One session less."""
        self.sessions -= 1
        if not self.sessions and self.lonely is not None and not self.owner.dead:
            self.lonely()

    def closed(self, export: Export) -> None:
        """See `ExportSeat`."""

        def fire() -> None:
            if self.owner.dead:
                return
            dispose = _disposer(export)
            if dispose is not None:
                self.serve(f"{export.label}/closed", None, dispose, lambda result: None)
            self.session_ended()

        self.post_own(f"{export.label}/closed", fire)

    def serve(
        self,
        label: str,
        section: Any,
        function: Callable[[], Any],
        reply: Callable[[Outcome], None],
        *,
        cause: int = -1,
    ) -> None:
        """Run ``function`` as a turn that an event has begun; ``reply`` hears its outcome."""
        if self._isolate is None:
            self._isolate = PythonIsolate(lambda: None, self.owner, wrote=lambda: False, interrupt=self.interrupt)

        def done(result: Outcome) -> None:
            if type(result) is outcome.Error:
                result = outcome.Error(across(result.error, enhanced=self.enhanced))
            reply(result)

        self._turns.begin_turn(self.owner)
        self._isolate.take_turn(self.context(label), function, (), done)


class GatedSeat(_Budget):
    """An incarnation's seat: everything goes through its machine.

    Attributes:
        dispatcher: sends its calls.
    """

    dispatcher: CallDispatcher

    def __init__(self, incarnation: Incarnation) -> None:
        super().__init__()
        self.incarnation = incarnation
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

    @property
    def enhanced(self) -> bool:
        """What errors keep when they cross (RPC-19)."""
        return self.incarnation.machine.enhanced

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
        if self.incarnation.dead:
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
            dispose = _disposer(export)
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


def _disposer(export: Export) -> Callable[[], Any] | None:
    target = export.target
    return getattr(target, "dispose", None) if isinstance(target, RpcTarget) else None

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

from lumenize_sim.objects.connections import UNLIMITED, Connections
from lumenize_sim.objects.holdings import Holdings, Leaving, disposer
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.isolate import PythonIsolate
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_errors import across
from lumenize_sim.objects.rpc_stub import Export
from lumenize_sim.objects.strand import Owner, Strand, strand_var
from lumenize_sim.objects.timers import OwnerTimers

if TYPE_CHECKING:
    from lumenize_sim.objects.calls import Call, CallDispatcher

__all__ = ["Arrived", "UngatedSeat"]

#: ``arrived(event, result)``: the answer is here, and ``event`` is what brought it.
Arrived = Callable[[str, Outcome], None]


class Turns(Protocol):
    """Who may run: what seats ask of the run queue."""

    @property
    def current(self) -> Any: ...
    def begin_turn(self, owner: Owner) -> None: ...
    def admit(self, task: Any) -> None: ...


class UngatedSeat(Holdings, ABC):
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
        self.connections: Connections = UNLIMITED
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
            dispose = disposer(export)
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

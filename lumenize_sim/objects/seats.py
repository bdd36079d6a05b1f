"""Seats: where an owner sits; what its timers, wake-ups and calls go through, in any surroundings.

A seat decides what is a turn of its owner.  How an event is posted, when it happens and
who hears of a failure is left to the host's own seats, which extend these.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Protocol

from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import Owner, Strand, strand_var
from lumenize_sim.objects.timers import OwnerTimers

__all__ = ["Arrived", "GatedSeat", "UngatedSeat"]

#: ``arrived(event, result)``: the answer is here, and ``event`` is what brought it.
Arrived = Callable[[str, Outcome], None]


class Turns(Protocol):
    """Who may run: what seats ask of the run queue."""

    @property
    def current(self) -> Any: ...
    def begin_turn(self, owner: Owner) -> None: ...
    def admit(self, task: Any) -> None: ...


class UngatedSeat(ABC):
    """An owner without gates: a client, a Worker's invocation, a driver.  Also the actor at which its events arrive.

    Args:
        name: of the actor.
        turns: who may run.
        base: the context in which its strands begin.

    Attributes:
        owner: who sits here.
        timers: its timers.
    """

    def __init__(self, name: str, turns: Turns, base: Context) -> None:
        self.name = name
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

    # -- the actor -----------------------------------------------------------------------

    @property
    def actor(self) -> Any:
        """Where replies arrive."""
        return self

    def end_turn(self) -> bool:
        """Nothing to commit."""
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

    def wait_for(self, label: str) -> tuple[Pending[Any], Arrived]:
        """A `Pending` of this owner, settled as a turn of its own."""
        pending: Pending[Any] = Pending(label)

        def arrived(event: str, result: Outcome) -> None:
            if not self.owner.dead:
                self._turns.begin_turn(self.owner)
                self._resumed(event)
                pending.settle(result)

        return pending, arrived

    def emit(self, effect: Callable[[], None]) -> None:
        """Nothing holds it back."""
        effect()

    def next_call(self, target: str) -> int:
        """How many calls to ``target`` went before."""
        nth = self._calls.get(target, -1) + 1
        self._calls[target] = nth
        return nth


class GatedSeat:
    """An incarnation's seat: everything goes through its machine."""

    def __init__(self, incarnation: Incarnation) -> None:
        self.incarnation = incarnation
        self.name = incarnation.machine.name
        self.owner = incarnation.owner
        self.owner.seat = self
        self._calls = incarnation.machine.calls_made

    @property
    def actor(self) -> Any:
        """The machine's host."""
        return self.incarnation.machine.host

    def wait_for(self, label: str) -> tuple[Pending[Any], Arrived]:
        """See `Incarnation.wait_for`."""
        return self.incarnation.wait_for(label)

    def emit(self, effect: Callable[[], None]) -> None:
        """Through the output gate."""
        if self.incarnation.dead:
            raise InstanceGone
        self.incarnation.isolate.emit(effect)

    def next_call(self, target: str) -> int:
        """Counted over all incarnations, so that labels stay apart."""
        nth = self._calls.get(target, -1) + 1
        self._calls[target] = nth
        return nth

    def deadline(self, due_us: int, expire: Callable[[], None]) -> TimerHandle:
        """A cancel scope's deadline is a timer of the object, and goes through the input gate."""
        return self.incarnation.set_timer(due_us, expire)

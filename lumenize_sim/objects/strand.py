"""Whose code is running: the strand that every task carries in a context variable.

An `Owner` is one incarnation of something that runs node code: an object
instance, one invocation of a Worker, a client, or the driver of a scenario.  A
`Strand` is one event's thread of execution inside an owner: it names the event
that began it and the critical section whose gate its awaits re-enter.  Child
tasks inherit the strand because Trio copies the context; that is what makes a
resumed await of a nursery child go through the right gate (IG-8, IG-22).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import trio

__all__ = ["Owner", "Strand", "current_strand", "strand_var"]


@attrs.define(eq=False, slots=True)
class Owner:
    """One incarnation that runs node code.

    Attributes:
        name: stable id of the actor, for example ``"COUNTER/c1"`` or ``"alice.tab1"``.
        start: ``start(async_fn, args)`` begins a task of this owner in the current context.
        on_wake: called with a task of this owner that somebody else's turn made runnable
            (or that slept for zero seconds); the host answers with an event of its own,
            because that wake-up must arrive here like any other.
        dead: the incarnation was reset, evicted, or has finished; none of its tasks
            may run again.
        seat: what the host keeps for it.
    """

    name: str
    start: Callable[[Callable[..., Awaitable[Any]], tuple[Any, ...]], None]
    on_wake: Callable[[trio.lowlevel.Task], None]
    dead: bool = False
    seat: Any = None

    def spawn(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Begin a task of this owner in the caller's context.  Not a checkpoint."""
        self.start(async_fn, args)


@attrs.define(eq=False, slots=True)
class Strand:
    """One event's thread of execution.

    Attributes:
        owner: who runs.
        event: label of the event that began it, for traces and race explanations.
        section: the gate or critical section (of `objects.gate`) that resumed awaits
            re-enter; ``None`` for owners without gates (Workers, clients, drivers).
    """

    owner: Owner
    event: str
    section: Any = None

    def context(self, base: Context) -> Context:
        """A copy of ``base`` in which this strand is current."""
        context = base.copy()
        context.run(strand_var.set, self)
        return context


strand_var: ContextVar[Strand | None] = ContextVar("lumenize_sim_strand", default=None)


def current_strand() -> Strand | None:
    """The strand of the running code, or ``None`` outside every node."""
    return strand_var.get()

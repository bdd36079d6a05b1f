"""Critical sections of one incarnation: `block_concurrency_while`, and the one around a transaction.

The gate decides when a section begins and who waits for it; this runs the callback,
watches its time, and resets the instance where it fails (IG-18 to IG-30).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

import outcome

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.gate import SECTION_TIMEOUT_MESSAGE, SECTION_TIMEOUT_S, Gate
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.isolate import is_awaitable
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_errors import reset_error
from lumenize_sim.objects.strand import Strand, strand_var

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation

__all__ = ["HUNG", "Sections"]

#: Of a section that awaits what can never come, where the runtime notices (IG-24).
HUNG: Final = (
    "A critical section within this Durable Object awaited a Promise that apparently will never complete. "
    "This could happen in particular if a critical section awaits a task that was initiated outside of the critical "
    "section. Since a critical section blocks all other tasks from completing, this leads to deadlock."
)


class Sections:
    """See the module.  Made with the first section of an incarnation."""

    __slots__ = ("_incarnation", "_running")

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation
        # By label, in the order in which they began: the time that is watched, and the gate.
        self._running: dict[str, tuple[TimerHandle, Gate[Arrival]]] = {}

    def block(self, callback: Callable[[], Any], *, resets: bool = True) -> Pending[Any]:
        """Nothing else is delivered until ``callback`` has ended.  Not a checkpoint.

        Args:
            callback: run in a later turn, in the caller's context (IG-19).
            resets: its failure resets the instance (IG-20); otherwise it is the outcome (IG-30).

        Raises:
            Error: sections are nested too deeply (IG-27).
        """
        incarnation = self._incarnation
        machine = incarnation.machine
        strand = strand_var.get()
        if strand is not None and strand.owner is not incarnation.owner:
            strand = None  # called from outside: by a driver, who looks into the instance
        parent: Gate[Arrival] = (incarnation.gate if strand is None else strand.section).live()
        label = f"{machine.name}!section{incarnation.number}#{incarnation.next_section()}"
        pending: Pending[Any] = Pending(label)
        context = copy_context()
        arrival = Arrival("section", label, None, lambda _: None)
        arrival.home = incarnation
        section, granted = parent.enter(arrival)
        arrival.gate = section
        if granted:  # by no turn of this object, which would hold the lock (IG-19)
            machine.host.post(label, lambda: None if incarnation.dead else machine.begin(arrival))

        def run(_: Incarnation) -> None:
            due_us = machine.host.now_us() + SECTION_TIMEOUT_S * 1_000_000
            self._running[label] = machine.host.post_at(f"{label}/timeout", timed_out, due_us), section
            inner = context.copy()
            inner.run(strand_var.set, Strand(incarnation.owner, label, section))
            incarnation.isolate.take_turn(inner, callback, (), ended)

        def timed_out() -> None:
            incarnation.broken_by(reset_error(SECTION_TIMEOUT_MESSAGE, overloaded=True), "section")

        def ended(result: Outcome) -> None:
            if incarnation.dead:
                return
            self._running.pop(label)[0].cancel()
            if not machine.ended(incarnation, label, result):
                return
            if type(result) is outcome.Error and resets:
                incarnation.broken_by(result.error, "section")
                return
            adopter = section.succeed()
            after = Arrival(
                "section-end", f"{label}/end", adopter, lambda _: incarnation.isolate.resume(pending, result)
            )
            after.home = incarnation
            after.strand = strand.event if strand is not None else None
            incarnation.following.append(after)

        arrival.run = run
        return pending

    def transaction(self, fn: Callable[..., Any]) -> Pending[Any]:
        """`storage.transaction`: a critical section around a transaction; a failure rolls back only (OG-28, IG-30)."""
        storage = self._incarnation.state.storage

        async def body() -> Any:
            txn = storage.begin_transaction()
            try:
                result = fn(txn) if _takes_one(fn) else fn()
                if is_awaitable(result):
                    result = await result
            except BaseException:
                txn.abandon()
                raise
            pressed = txn.keep()
            if pressed is not None:
                await pressed
            return result

        return self.block(body, resets=False)

    def look_for_hang(self) -> None:
        """A turn has ended: break the instance if its innermost section can never end (IG-24).

        Nothing that was begun inside can still happen, and nothing else may.
        """
        incarnation = self._incarnation
        for _, gate in self._running.values():
            if gate.locks or gate.waiting:
                return
        if self._running and not incarnation.work.pending and not len(incarnation.timers):
            incarnation.broken_by(reset_error(HUNG), "section")

    def drop(self) -> None:
        """The incarnation is dead: no time is watched any more."""
        for timer, _ in self._running.values():
            timer.cancel()
        self._running.clear()


def _takes_one(fn: Callable[..., Any]) -> bool:
    """Whether ``fn`` wants the ``txn``; as in JavaScript, it may leave it out."""
    try:
        inspect.signature(fn).bind(None)
    except TypeError:
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True

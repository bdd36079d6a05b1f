"""Critical sections of one incarnation: `block_concurrency_while`, and the one around a transaction.

The gate decides when a section begins and who waits for it; this runs the callback,
watches its time, and resets the instance where it fails (IG-18 to IG-30).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

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

__all__ = ["Sections"]


class Sections:
    """See the module.  Made with the first section of an incarnation."""

    __slots__ = ("_incarnation", "_timers")

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation
        self._timers: dict[str, TimerHandle] = {}

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
        parent: Gate[Arrival] = (incarnation.gate if strand is None else strand.section).live()
        label = f"{machine.name}!section{incarnation.number}#{incarnation.next_section()}"
        pending: Pending[Any] = Pending(label)
        context = copy_context()
        arrival = Arrival("section", label, None, lambda _: None)
        arrival.home = incarnation
        section, granted = parent.enter(arrival)
        assert not granted, "the calling turn holds the lock (IG-19)"
        arrival.gate = section

        def run(_: Incarnation) -> None:
            self._timers[label] = machine.host.post_at(
                f"{label}/timeout", timed_out, machine.host.now_us() + SECTION_TIMEOUT_S * 1_000_000
            )
            inner = context.copy()
            inner.run(strand_var.set, Strand(incarnation.owner, label, section))
            incarnation.isolate.take_turn(inner, callback, (), ended)

        def timed_out() -> None:
            incarnation.broken_by(reset_error(SECTION_TIMEOUT_MESSAGE, overloaded=True), "section")

        def ended(result: Outcome) -> None:
            if incarnation.dead:
                return
            self._timers.pop(label).cancel()
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

    def transaction(self, fn: Callable[[Any], Any]) -> Pending[Any]:
        """`storage.transaction`: a critical section around a transaction; a failure rolls back only (OG-28, IG-30)."""
        storage = self._incarnation.state.storage

        async def body() -> Any:
            txn = storage.begin_transaction()
            try:
                result = fn(txn)
                if is_awaitable(result):
                    result = await result
            except BaseException:
                txn.abandon()
                raise
            txn.keep()
            return result

        return self.block(body, resets=False)

    def drop(self) -> None:
        """The incarnation is dead: no time is watched any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

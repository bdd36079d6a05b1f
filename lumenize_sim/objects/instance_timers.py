"""Timers of one incarnation: each fires as an event of it, in whole milliseconds of its own clock (TM-3 to TM-9)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.strand import Strand, strand_var
from lumenize_sim.objects.timers import OwnerTimers, Timer

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation

__all__ = ["InstanceTimers"]


class InstanceTimers(OwnerTimers):
    """See the module.  No method is a checkpoint."""

    __slots__ = ("_incarnation",)

    def __init__(self, incarnation: Incarnation) -> None:
        super().__init__(self._post)
        self._incarnation = incarnation

    def _post(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        # The number of the incarnation keeps labels apart after a reset.
        return self._incarnation.machine.host.post_at(f"{self._label()}#{nth}", fire, due_us)

    def _label(self) -> str:
        incarnation = self._incarnation
        return f"{incarnation.machine.name}!timer{incarnation.number}"

    def call_at(self, due_us: int, callback: Callable[[], Any], *, every_ms: int | None = None) -> TimerHandle:
        """Run ``callback`` in the caller's context, as a turn that re-enters the caller's section (TM-5).

        It may be async.  What it raises is logged and changes nothing (LC-30).

        Args:
            due_us: by the host's clock; what is left until then counts in whole milliseconds from what the
                instance's clock says now (TM-3).
            every_ms: run it again that long after each turn of it (TM-6).
        """
        incarnation = self._incarnation
        strand = strand_var.get()
        if strand is None or strand.owner is not incarnation.owner:
            strand = Strand(incarnation.owner, self._label(), incarnation.gate)
            context = incarnation.context(strand.event, incarnation.gate)
        else:
            context = copy_context()
        left_ms = max(0, due_us - incarnation.machine.host.now_us()) // 1000

        def run() -> None:
            incarnation.isolate.take_turn(context, callback, (), incarnation.background_ended)

        return self._call(left_ms, run, strand, every_ms)

    def admit(self, task: Any, strand: Strand) -> None:
        """``task`` sleeps for zero seconds: it goes on in the order of all timers (TM-4)."""
        host = self._incarnation.machine.host
        self._call(0, lambda: host.admit(task), strand, None)

    def _call(self, delay_ms: int, run: Callable[[], None], strand: Strand, every_ms: int | None) -> Timer:
        incarnation = self._incarnation
        timer: Timer

        def turn(_: Incarnation) -> None:
            incarnation.clock.pin(timer.due_us)
            if not timer.cancelled:
                run()
                if every_ms is not None:
                    self.again(timer, self._due_us(every_ms), incarnation.machine.host.now_us())
            self.passed()

        def fired() -> None:
            arrival = Arrival("timer", self._label(), strand.section, turn)
            arrival.strand = strand.event
            incarnation.arrive(arrival)

        timer = self.set(self._due_us(delay_ms), fired, incarnation.machine.host.now_us())
        return timer

    def _due_us(self, delay_ms: int) -> int:
        return (self._incarnation.clock.base_us() // 1000 + delay_ms) * 1000

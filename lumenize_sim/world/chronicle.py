"""What happens in one world, as it happens: the trace, what led to what, and what went wrong.

It costs a test of `Chronicle.tracing` where no trace is kept.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim.kernel.kernel import Kernel
from lumenize_sim.trace.recorder import Recorder
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.attributes import PendingReads

__all__ = ["Chronicle"]


class Chronicle:
    """The records of one run, and the counts that a run without a trace has as well.

    Attributes:
        tracing: whether a trace is kept.
        cause: the record that led to what happens now; -1 without one.
        steps: for each record of the trace how many events had happened by then.
        looked: what the driver looked at in storage while a trace was kept, object and key, in order.
        reads: containers in attributes that were read in the running turn.
        fault_counts: what has gone wrong so far, by kind.
        errors_logged: errors that nodes logged.
    """

    __slots__ = (
        "_kernel",
        "_recorder",
        "cause",
        "errors_logged",
        "fault_counts",
        "looked",
        "reads",
        "steps",
        "tracing",
    )

    def __init__(self, kernel: Kernel, recorder: Recorder | None) -> None:
        self._kernel = kernel
        self._recorder = recorder
        self.tracing = recorder is not None
        self.cause = -1
        self.steps: list[int] = []
        self.looked: list[tuple[str, str]] = []
        self.reads = PendingReads()
        self.fault_counts: dict[str, int] = {}
        self.errors_logged: list[str] = []

    def time_moved(self, now_us: int) -> None:
        """Records carry this time from now on."""
        if self._recorder is not None:
            self._recorder.t_us = now_us

    def record(
        self, kind: str, actor: str, label: str, data: Any = None, cause: int = -1, where: str | None = None
    ) -> int:
        """One line of the trace; without a cause it belongs to the event that happens now."""
        recorder = self._recorder
        if recorder is None:
            return -1
        turns = kind in ("deliver", "turn", "resume", "verdict")
        if turns:
            self.note_changes()  # of code that ran outside every turn: a driver's own
        n = recorder.add(kind, actor, label, self.cause if cause < 0 else cause, data, where)
        while len(self.steps) <= n:
            self.steps.append(self._kernel.steps)
        if turns:
            self.cause = n
        return n

    def note_changes(self) -> None:
        """A turn is over: note which containers, read from attributes in it, look different now.

        At once, because with the next record it would stand where some other actor's event has put that.
        """
        recorder = self._recorder
        if recorder is not None:
            for by, name, strand, line in self.reads.changed():
                written = {"key": f"attr:{name}", "op": "attr-change", "store": "attr", "strand": strand}
                recorder.add("write", by, strand, self.cause, written, line)

    def deliver(self, actor: str, label: str, cause: int) -> None:
        """An event arrives."""
        if self.tracing:
            self.cause = cause
            self.record("deliver", actor, label, None, cause)

    def mark(self, name: str, data: Any = None) -> None:
        """The driver notes something."""
        if self.tracing:
            self.record("mark", "driver", name, data)

    def fault_fired(self, kind: str, target: str, value: int) -> None:
        """Something went wrong as planned."""
        self.count_fault(kind)
        if self.tracing:
            self.record("fault", target, f"{target}%{kind}", {"kind": kind, "value": value})

    def count_fault(self, kind: str) -> None:
        """One more of ``kind``."""
        self.fault_counts[kind] = self.fault_counts.get(kind, 0) + 1

    def so_far(self) -> Trace | None:
        """What has been recorded up to now; ``None`` where no trace is kept."""
        return None if self._recorder is None else self._recorder.so_far()

    def close(self, verdict: dict[str, Any], header: dict[str, Any]) -> Trace | None:
        """The last record, and the trace; ``None`` where none is kept.  Later records are refused."""
        recorder = self._recorder
        if recorder is None:
            return None
        self.record("verdict", "world", "verdict", verdict)
        return recorder.close(header)

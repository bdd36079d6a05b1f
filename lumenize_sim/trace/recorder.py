"""Collecting records while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from lumenize_sim.errors import SimulatorError, UsageError
from lumenize_sim.trace.event import KINDS, TraceEvent
from lumenize_sim.trace.trace import FORMAT, VERSION, Trace

__all__ = ["Level", "Recorder"]

Level = Literal["none", "outline", "full"]
"""``none``: nothing; ``outline``: what crosses between actors and what goes wrong; ``full``: every step."""

_STEPS = ("turn", "resume", "read", "write", "delete", "commit", "flush", "output-held", "output-released", "log")

_KEPT: Mapping[str, frozenset[str]] = {
    "none": frozenset(),
    "outline": frozenset(KINDS).difference(_STEPS),
    "full": frozenset(KINDS),
}


class Recorder:
    """An append-only list of records.

    Attributes:
        t_us: virtual time in microseconds that new records carry; whoever moves time assigns it.
            (An attribute, since a clock call per record would double its price.)
        level: see `Level`.
        refused: how many records came after `close`.
    """

    __slots__ = ("_closed", "_kept", "_rows", "level", "refused", "t_us")

    def __init__(self, level: Level = "full") -> None:
        if level not in _KEPT:
            raise UsageError(f"trace level {level!r} is unknown: choose one of {', '.join(get_args(Level))}")
        self.level = level
        self.t_us = 0
        self.refused = 0
        self._kept = _KEPT[level]
        self._rows: list[tuple[Any, ...]] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def add(
        self,
        kind: str,
        actor: str,
        label: str,
        cause: int = -1,
        data: tuple[Any, ...] | dict[str, Any] | None = None,
        where: str | None = None,
    ) -> int:
        """Record one step and return its ``n``.

        Below the level nothing is recorded and the answer is ``cause``, so that chains stay whole.
        Once closed the answer is -1 and only `refused` counts: what the ``except`` and ``finally`` of dead
        tasks do while they are cancelled is not part of the run.

        Raises:
            SimulatorError: ``kind`` is not in the vocabulary.
        """
        if kind not in self._kept:
            return self._left_out(kind, cause)
        rows = self._rows
        n = len(rows)
        rows.append((n, self.t_us, kind, actor, label, cause, data, where))
        return n

    def _left_out(self, kind: str, cause: int) -> int:
        if self._closed:
            self.refused += 1
            return -1
        if kind not in KINDS:
            raise SimulatorError(f"trace kind {kind!r} is not in the vocabulary (lumenize_sim.trace.event.KINDS)")
        return cause

    def so_far(self) -> Trace:
        """What has been recorded up to now, as a trace without a header."""
        return Trace(events=tuple(map(TraceEvent._make, self._rows)), header={"level": self.level})

    def close(self, header: Mapping[str, Any] | None = None) -> Trace:
        """Fix the trace; later records are refused.  ``header``: scenario, seed, versions and the like."""
        self._closed = True
        self._kept = _KEPT["none"]
        rows, self._rows = self._rows, []
        full = {**(header or {}), "format": FORMAT, "version": VERSION, "level": self.level}
        return Trace(events=tuple(map(TraceEvent._make, rows)), header=full)

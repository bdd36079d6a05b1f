"""Arrivals: one event on its way through the input gate of one instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation

__all__ = ["Arrival"]


class Arrival:
    """One event at one instance.

    Attributes:
        kind: ``start``, ``call``, ``fetch``, ``alarm``, ``message``, ``close``, ``error``,
            ``resume``, ``timer``, ``wake``, ``section`` or ``section-end``.
        label: of the event.
        gate: whose lock its turn has.
        home: the incarnation at which it arrived; ``None`` until it has.
        run: the turn, given that incarnation.
        fail: told instead, if the instance dies before the turn (IG-32).
        cause: the record of the trace that led to it.
        strand: label of the event whose thread of execution goes on, where it is not this one.
    """

    __slots__ = ("cause", "fail", "gate", "home", "kind", "label", "run", "strand")

    def __init__(
        self,
        kind: str,
        label: str,
        gate: Any,
        run: Callable[[Incarnation], None],
        fail: Callable[[BaseException], None] | None = None,
        cause: int = -1,
    ) -> None:
        self.kind = kind
        self.label = label
        self.gate = gate
        self.home: Incarnation | None = None
        self.run = run
        self.fail = fail
        self.cause = cause
        self.strand: str | None = None

    def __repr__(self) -> str:
        return f"<Arrival {self.kind} {self.label}>"

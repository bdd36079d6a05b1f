"""What a store tells the machine, and asks of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import attrs

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.pending import Pending

__all__ = ["AccessKind", "StoreHooks"]

AccessKind = Literal["get", "put", "delete", "list", "sql-read", "sql-write"]


def _nothing() -> None:
    pass


def _no_alarm(_alarm_ms: int | None) -> None:
    pass


def _settled() -> Pending[None]:
    return Pending.of(None)


def _no_transaction(_fn: Callable[[Any], Awaitable[Any]]) -> Pending[Any]:
    return Pending.failed(SimulatorError("this store was opened without a machine that could run transaction()"))


@attrs.define(eq=False)
class StoreHooks:
    """What the machine wants to know and has to provide.

    Attributes:
        on_write: a turn's first write is about to happen (OG-16: a commit is due at its end).
        access: ``access(kind, key)`` before each operation, for traces; ``None`` costs nothing.
            The key is the entry's, a description of the range, or the SQL text.
        on_alarm: the alarm time has changed, in this process (AL-4).
        sync: settles when all writes up to now are durable (OG-26).
        transaction: runs ``fn(txn)`` in a critical section, around a `StorageTransaction` (OG-28).
    """

    on_write: Callable[[], None] = _nothing
    access: Callable[[AccessKind, str], None] | None = None
    on_alarm: Callable[[int | None], None] = _no_alarm
    sync: Callable[[], Pending[None]] = _settled
    transaction: Callable[[Callable[[Any], Awaitable[Any]]], Pending[Any]] = _no_transaction

"""What a store tells the machine, and asks of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import attrs

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.usage import Usage

__all__ = ["AccessKind", "StoreHooks"]

AccessKind = Literal["get", "put", "delete", "list", "sql-read", "sql-write"]


def _nothing() -> None:
    pass


def _at_once(finish: Callable[[], Any], _concurrent: bool) -> Pending[Any]:
    return Pending.of(finish())


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
        cold: ``cold(finish, concurrent)``: an operation has to wait for the disk (IG-5); settles with what
            ``finish()`` returns when it has been read, in a turn that owns the lock of this one, unless ``concurrent``.
        durable: the same for one that has to wait until what this turn has written is durable.
        usage: ``usage(kind, amount)``: what is billed (BL-7, BL-8); ``None`` costs nothing.
        split: commits what the running turn has written so far (OG-16).
        transaction: runs ``fn(txn)`` in a critical section, around a `StorageTransaction` (OG-28).
    """

    on_write: Callable[[], None] = _nothing
    access: Callable[[AccessKind, str], None] | None = None
    on_alarm: Callable[[int | None], None] = _no_alarm
    sync: Callable[[], Pending[None]] = _settled
    cold: Callable[[Callable[[], Any], bool], Pending[Any]] = _at_once
    durable: Callable[[Callable[[], Any], bool], Pending[Any]] = _at_once
    usage: Usage | None = None
    split: Callable[[], None] = _nothing
    transaction: Callable[[Callable[[Any], Awaitable[Any]]], Pending[Any]] = _no_transaction

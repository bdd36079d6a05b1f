"""The storage half of ``storage.transaction``; the machine adds the critical section (OG-28, OG-29, IG-30).

The machine commits the implicit transaction, makes a `StorageTransaction`, runs the
callback with it, and then calls `keep` if it returned or `abandon` if it raised.
"""

from __future__ import annotations

from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.storage import Storage, StorageOperations

__all__ = ["StorageTransaction"]


class StorageTransaction(StorageOperations):
    """The ``txn`` given to the callback: the operations of `Storage` until it ends, and `rollback`."""

    __slots__ = ("_frame",)

    def __init__(self, storage: Storage) -> None:
        """Begins the transaction.

        Raises:
            SimulatorError: the implicit transaction of the turn before was not committed (IG-13).
        """
        store = storage._store
        super().__init__(store, storage._entries, storage._now_ms, storage.has_alarm_handler)
        self._frame = store.push(explicit=True)

    def _enter(self, operation: str) -> None:
        if self._frame.state == "rolled back":
            self._store.check()
            raise StorageError(f"Cannot {operation}() on rolled back transaction")
        if self._frame.state == "committed":
            raise StorageError(
                f"Cannot call {operation}() on transaction that has already committed: "
                "did you move `txn` outside of the closure?"
            )

    def rollback(self) -> None:
        """Discard everything written in it; the callback goes on (OG-29).

        Raises:
            StorageError: it has ended.
        """
        self._enter("rollback")
        self._store.undo(self._frame)

    def keep(self) -> None:
        """For the machine: the callback has returned.  The end of the turn commits, as it does with any write."""
        if self._frame.state == "open":
            self._store.keep(self._frame)

    def finish(self) -> int | None:
        """The same with the commit, for callers without turns; its number, as from `Store.commit`.

        ``None`` when nothing was written, or within another transaction.  After `rollback` what was written since
        is committed at the end of the turn.
        """
        if self._frame.state != "open":
            return None
        self._store.keep(self._frame)
        return self._store.commit()

    def abandon(self) -> None:
        """For the machine: the callback has raised.  Idempotent."""
        if self._frame.state == "open":
            self._store.undo(self._frame)

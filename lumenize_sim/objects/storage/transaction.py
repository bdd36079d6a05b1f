"""The storage half of ``storage.transaction``; the machine adds the critical section (OG-28, OG-29, IG-30).

The machine commits the implicit transaction, asks `Storage.begin_transaction` for a ``txn``, runs the
callback with it, and then calls `keep` if it returned or `abandon` if it raised.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Literal, NoReturn

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.async_kv import EntriesAPI
from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.operations import StorageOperations
from lumenize_sim.objects.storage.store import Store

__all__ = ["StorageTransaction", "TransactionOperations", "TransactionState"]

TransactionState = Literal["open", "committed", "rolled back"]


class TransactionOperations(StorageOperations):
    """The ``txn`` given to the callback: the operations of storage until it ends, and `rollback`."""

    __slots__ = ()

    @property
    @abstractmethod
    def state(self) -> TransactionState:
        """Where it is in its life."""

    @abstractmethod
    def keep(self) -> Pending[Any] | None:
        """For the machine: the callback has returned.  The end of the turn commits, as it does with any write.

        What it returns has to be awaited before the section ends (ST-9).
        """

    @abstractmethod
    def _discard(self) -> None:
        """Roll back."""

    def _enter(self, operation: str) -> None:
        state = self.state
        if state == "rolled back":
            self._store.check()
            raise StorageError(f"Cannot {operation}() on rolled back transaction")
        if state == "committed":
            raise StorageError(
                f"Cannot call {operation}() on transaction that has already committed: "
                "did you move `txn` outside of the closure?"
            )

    def rollback(self) -> None:
        """Discard everything written in it; the callback goes on (OG-29).  Again, it does nothing.

        Raises:
            StorageError: it has committed.
        """
        if self.state == "rolled back":
            self._store.check()
            return
        self._enter("rollback")
        self._discard()

    def delete_all(self) -> NoReturn:
        """Not within a transaction (OG-30).

        Raises:
            StorageError: always.
        """
        raise StorageError("Cannot call deleteAll() within a transaction")

    def abandon(self) -> None:
        """For the machine: the callback has raised.  Idempotent."""
        if self.state == "open":
            self._discard()


class StorageTransaction(TransactionOperations):
    """The ``txn`` on SQLite: a savepoint, in which all of ``ctx.storage`` is (OG-28)."""

    __slots__ = ("_frame", "_sqlite")

    def __init__(self, store: Store, entries: EntriesAPI, now_ms: Callable[[], int], has_alarm_handler: bool) -> None:
        """Begins the transaction.

        Raises:
            SimulatorError: the implicit transaction of the turn before was not committed (IG-13).
        """
        super().__init__(store, entries, now_ms, has_alarm_handler)
        self._sqlite = store
        self._frame = store.push(explicit=True)

    @property
    def state(self) -> TransactionState:
        """Where it is in its life."""
        return self._frame.state

    def keep(self) -> None:
        """See `TransactionOperations.keep`; nothing has to be awaited."""
        self._sqlite.check()  # another instance may have the storage by now: then this never happened (LC-12)
        if self._frame.state == "open":
            self._sqlite.keep(self._frame)

    def finish(self) -> int | None:
        """The same with the commit, for callers without turns; its number, as from `Store.commit`.

        ``None`` when nothing was written, or within another transaction.  After `rollback` what was written since
        is committed at the end of the turn.
        """
        if self._frame.state != "open":
            return None
        self.keep()
        return self._store.commit()

    def _discard(self) -> None:
        self._sqlite.undo(self._frame)

"""``ctx.storage``: what the application sees of its store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.async_kv import AsyncKV, settle
from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.kv import SyncKV
from lumenize_sim.objects.storage.operations import StorageOperations
from lumenize_sim.objects.storage.sql import SqlStorage
from lumenize_sim.objects.storage.store import Store
from lumenize_sim.objects.storage.transaction import StorageTransaction, TransactionOperations

__all__ = ["NO_RECOVERY", "Storage"]

T = TypeVar("T")
NO_RECOVERY: Final = "This Durable Object's storage back-end does not implement point-in-time recovery."


class Storage(StorageOperations):
    """``ctx.storage`` of one incarnation, on the SQLite backend.

    Attributes:
        kv: the synchronous key-value API (ST-12).
        sql: the SQL API (ST-15).
        has_alarm_handler: ``set_alarm`` is refused without; the machine leaves it on during the constructor (AL-3).
        wipes: how often `delete_all` took everything away; for libraries that remember what they stored.
    """

    __slots__ = ("_delete_all_deletes_alarm", "_sqlite", "kv", "sql", "wipes")

    def __init__(
        self,
        store: Store,
        *,
        now_ms: Callable[[], int],
        has_alarm_handler: bool = True,
        delete_all_deletes_alarm: bool = True,
    ) -> None:
        self._sqlite = store
        self.kv = SyncKV(store)
        self.sql = SqlStorage(store)
        self.wipes = 0
        self._delete_all_deletes_alarm = delete_all_deletes_alarm
        super().__init__(store, AsyncKV(store, self.kv), now_ms, has_alarm_handler)

    def delete_all(self, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False) -> Pending[None]:
        """Drop every entry, table and, by default, the alarm; always confirmed (ST-26 to ST-29, OG-24).

        Settles with a StorageError within a transaction (OG-30).
        """

        def act() -> None:
            self._sqlite.delete_all(alarm=self._delete_all_deletes_alarm)
            self.wipes += 1

        return settle(act)

    def sync(self) -> Pending[None]:
        """Settles when all writes up to now are durable; always ends the turn (OG-26, IG-12)."""
        try:
            self._store.check()
        except Exception as error:
            return Pending.failed(error)
        return self._store.hooks.sync()

    def transaction(self, fn: Callable[[Any], Awaitable[T]]) -> Pending[T]:
        """Run ``fn(txn)`` in a critical section and a transaction; all of `Storage` is inside it (OG-28, IG-30)."""
        try:
            self._store.check()
        except Exception as error:
            return Pending.failed(error)
        return self._store.hooks.transaction(fn)

    def begin_transaction(self) -> TransactionOperations:
        """For the machine: the ``txn`` of a transaction that begins now.

        Raises:
            SimulatorError: the implicit transaction of the turn before was not committed (IG-13).
        """
        return StorageTransaction(self._sqlite, self._entries, self._now_ms, self.has_alarm_handler)

    def transaction_sync(self, fn: Callable[[], T]) -> T:
        """Run ``fn`` now, in a savepoint: kept when it returns, rolled back when it raises.  Nestable (OG-27).

        An async function is only called: its body runs later, outside.
        """
        return self._sqlite.transaction_sync(fn)

    def get_current_bookmark(self) -> Pending[str]:
        """Not available: there is no point-in-time recovery yet (ST-30)."""
        return Pending.failed(StorageError(NO_RECOVERY))

    def get_bookmark_for_time(self, when: datetime | float) -> Pending[str]:
        """Not available: there is no point-in-time recovery yet (ST-30)."""
        return Pending.failed(StorageError(NO_RECOVERY))

    def on_next_session_restore_bookmark(self, bookmark: str) -> Pending[str]:
        """Not available: there is no point-in-time recovery yet (ST-30)."""
        return Pending.failed(StorageError(NO_RECOVERY))

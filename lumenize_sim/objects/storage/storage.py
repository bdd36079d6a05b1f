"""``ctx.storage``: what the application sees of its store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.refusal import must_be_function
from lumenize_sim.objects.storage.async_kv import AsyncKV, settle
from lumenize_sim.objects.storage.errors import NO_RECOVERY, StorageError
from lumenize_sim.objects.storage.history import History
from lumenize_sim.objects.storage.kv import SyncKV
from lumenize_sim.objects.storage.operations import StorageOperations, epoch_ms
from lumenize_sim.objects.storage.sql import SqlStorage
from lumenize_sim.objects.storage.store import Store
from lumenize_sim.objects.storage.transaction import StorageTransaction, TransactionOperations

__all__ = ["Storage"]

T = TypeVar("T")


class Storage(StorageOperations):
    """``ctx.storage`` of one incarnation, on the SQLite backend.

    Attributes:
        kv: the synchronous key-value API (ST-12).
        sql: the SQL API (ST-15).
        has_alarm_handler: ``set_alarm`` is refused without; the machine leaves it on during the constructor (AL-3).
        wipes: how often `delete_all` took everything away; for libraries that remember what they stored.
    """

    __slots__ = ("_delete_all_deletes_alarm", "_recovers", "_sqlite", "kv", "sql", "wipes")

    def __init__(
        self,
        store: Store,
        *,
        now_ms: Callable[[], int],
        has_alarm_handler: bool = True,
        delete_all_deletes_alarm: bool = True,
        recovers: bool = True,
    ) -> None:
        self._sqlite = store
        self.kv = SyncKV(store)
        self.sql = SqlStorage(store)
        self.wipes = 0
        self._delete_all_deletes_alarm = delete_all_deletes_alarm
        self._recovers = recovers and store.durable.path is None
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

    def transaction(self, fn: Callable[..., Awaitable[T]]) -> Pending[T]:
        """Run ``fn(txn)``, or ``fn()``, in a critical section and a transaction (OG-28, IG-30).

        All of `Storage` is inside it; on the legacy backend only what goes through ``txn``.
        """
        try:
            self._store.check()
            must_be_function("transaction", fn)
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
        """The present state by name, once what was written is durable; waits without holding the gate (ST-30, IG-12).

        Where there is no recovery it is one more than the one before, and of no use but for comparison.
        """
        store = self._sqlite
        try:
            if self._recovers:
                history = store.remember()
                return store.hooks.durable(lambda: history.latest.bookmark, True)
            store.check()
        except Exception as error:
            return Pending.failed(error)
        number = store.durable.bookmarks
        store.durable.bookmarks = number + 1
        bookmark = f"{number >> 32:08x}-{number & 0xFFFF_FFFF:08x}-{0:08x}-{0:032x}"
        return store.hooks.durable(lambda: bookmark, True)

    def get_bookmark_for_time(self, when: datetime | float) -> Pending[str]:
        """The state at a time of the last 30 days, a datetime (naive: UTC) or epoch ms (ST-30).

        Settles with a StorageError where there is no recovery, or nothing is known of that time: the history begins
        with the object where its class says ``point_in_time_recovery = True`` or one of its functions names this one.
        """
        return self._recover(lambda history: lambda: history.at(epoch_ms(when, "a time"), self._now_ms()).bookmark)

    def on_next_session_restore_bookmark(self, bookmark: str) -> Pending[str]:
        """Have the next instance begin with the state of ``bookmark``: entries, tables and alarm (ST-30).

        Usually `abort` follows.  Settles with a bookmark for the state before, to undo it, or with a StorageError
        where there is no recovery or the bookmark is none.
        """

        def schedule(history: History) -> Callable[[], str]:
            self._sqlite.durable.restoring = history.find(bookmark)
            return lambda: history.latest.bookmark

        return self._recover(schedule)

    def _recover(self, act: Callable[[History], Callable[[], str]]) -> Pending[str]:
        store = self._sqlite
        try:
            store.check()
            if not self._recovers:
                raise StorageError(NO_RECOVERY)
            return store.hooks.durable(act(store.durable.history or History()), True)
        except Exception as error:
            return Pending.failed(error)

"""``ctx.storage`` of classes that chose ``storage_backend = "kv"``: no SQL, no synchronous calls (ST-14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, NoReturn, TypeVar

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.errors import NO_RECOVERY, StorageError
from lumenize_sim.objects.storage.kv import SyncKV
from lumenize_sim.objects.storage.legacy.entries import LegacyKV
from lumenize_sim.objects.storage.legacy.store import LegacyStore
from lumenize_sim.objects.storage.legacy.transaction import LegacyTransaction
from lumenize_sim.objects.storage.operations import StorageOperations
from lumenize_sim.objects.storage.sql import SqlStatement, SqlStorage
from lumenize_sim.objects.storage.sql_cursor import SqlCursor
from lumenize_sim.objects.storage.storage import Storage
from lumenize_sim.objects.storage.store import Store
from lumenize_sim.objects.storage.transaction import TransactionOperations

__all__ = ["HiddenSqlStorage", "LegacyStorage"]

T = TypeVar("T")

_CONVERT: Final = (
    "SQL can be enabled on a new Durable Object class by using the `new_sqlite_classes` instead of `new_classes` under "
    "`[[migrations]]` in your wrangler.toml, but an already-deployed class cannot be converted to SQLite (except by "
    "deleting the existing data)."
)
_NO_SQL: Final = f"This Durable Object is not backed by SQLite storage, so the SQL API is not available. {_CONVERT}"
_NO_SYNC: Final = (
    f"This Durable Object is not backed by SQLite storage, so the synchronous KV API is not available. {_CONVERT}"
)
_NOT_ENABLED: Final = (
    "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` "
    "within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set "
    "`enableSql = true` in your workerd config for the class. Note that this change cannot be made after the class is "
    "already deployed to production."
)
_NOT_BACKED: Final = "Durable Object is not backed by SQL."


class _NoKV(SyncKV):
    """``ctx.storage.kv`` that refuses everything."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def _refuse(self) -> NoReturn:
        raise StorageError(self._text)

    def get(self, key: str, default: Any = None) -> Any:
        """Refused."""
        self._refuse()

    def put(self, key: str, value: Any) -> None:
        """Refused."""
        self._refuse()

    def delete(self, key: str, confirmed: bool = True) -> bool:
        """Refused."""
        self._refuse()

    def list(self, **bounds: Any) -> Iterator[tuple[str, Any]]:
        """Refused."""
        self._refuse()


class _NoSql(SqlStorage):
    """``ctx.storage.sql`` that refuses everything."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def exec(self, query: str, *bindings: Any) -> SqlCursor:
        """Refused."""
        raise StorageError(self._text)

    def prepare(self, query: str) -> SqlStatement:
        """Refused."""
        raise StorageError(self._text)

    @property
    def database_size(self) -> int:
        """Refused."""
        raise StorageError(self._text)


class HiddenSqlStorage(Storage):
    """The same over SQLite, as the open-source runtime has it: only SQL and the synchronous calls are hidden (11)."""

    __slots__ = ()

    def __init__(self, store: Store, **options: Any) -> None:
        super().__init__(store, **options)
        self.kv = _NoKV(_NOT_ENABLED)
        self.sql = _NoSql(_NOT_ENABLED)


class LegacyStorage(Storage):
    """On a `LegacyStore`: what is not in its cache has to be waited for (IG-5, IG-11)."""

    __slots__ = ("_legacy",)

    def __init__(
        self,
        store: LegacyStore,
        *,
        now_ms: Callable[[], int],
        has_alarm_handler: bool = True,
        delete_all_deletes_alarm: bool = True,
    ) -> None:
        self._legacy = store
        self.kv = _NoKV(_NO_SYNC)
        self.sql = _NoSql(_NO_SQL)
        self.wipes = 0
        self._delete_all_deletes_alarm = delete_all_deletes_alarm
        StorageOperations.__init__(self, store, LegacyKV(store), now_ms, has_alarm_handler)

    def delete_all(self, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False) -> Pending[None]:
        """Remove every entry and, by default, the alarm; always confirmed (OG-24).  May fail half way (ST-26)."""
        store = self._legacy
        try:
            count = store.wipe()
            if self._delete_all_deletes_alarm:
                store.set_alarm(None, True)
        except Exception as error:
            return Pending.failed(error)
        self.wipes += 1
        if store.hooks.usage is not None:
            store.hooks.usage("deletes", max(1, count))
        return Pending.of(None)

    def sync(self) -> Pending[None]:
        """Settles when all writes up to now are durable; in this turn where there are none (OG-26, IG-12)."""
        store = self._legacy
        if store.broken is None and not store.dirty and not store.unflushed:
            return Pending.of(None)
        return super().sync()

    def begin_transaction(self) -> TransactionOperations:
        """For the machine: the ``txn`` of a transaction that begins now."""
        return LegacyTransaction(self._legacy, self._now_ms, self.has_alarm_handler)

    def transaction_sync(self, fn: Callable[[], T]) -> T:
        """Refused: there is no SQL (OG-27).

        Raises:
            StorageError: always.
        """
        raise StorageError(_NOT_BACKED)

    def get_current_bookmark(self) -> Pending[str]:
        """Refused (ST-30)."""
        return Pending.failed(StorageError(NO_RECOVERY))

    def get_bookmark_for_time(self, when: datetime | float) -> Pending[str]:
        """Refused (ST-30)."""
        return Pending.failed(StorageError(NO_RECOVERY))

    def on_next_session_restore_bookmark(self, bookmark: str) -> Pending[str]:
        """Refused (ST-30)."""
        return Pending.failed(StorageError(NO_RECOVERY))

"""``ctx.storage``: what the application sees of its store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.async_kv import AsyncKV, EntriesAPI, settle
from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.kv import SyncKV
from lumenize_sim.objects.storage.sql import SqlStorage
from lumenize_sim.objects.storage.store import Store

__all__ = ["Storage", "StorageOperations"]

T = TypeVar("T")
_NO_PITR: Final = "This Durable Object's storage back-end does not implement point-in-time recovery."


def _epoch_ms(when: datetime | float) -> int:
    if isinstance(when, datetime):
        return round((when.replace(tzinfo=UTC) if when.tzinfo is None else when).timestamp() * 1000)
    number: object = when
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= 8.64e15:  # nor NaN
        raise TypeError(f"an alarm time has to be a datetime or epoch milliseconds, not {when!r}")
    return int(number)


class StorageOperations:
    """What `Storage` and the ``txn`` of a transaction have in common.

    Every method acts when it is called, in program order, whether or not its `Pending` is awaited; on SQLite that
    is settled already (IG-10).  What a promise would reject with, it raises when awaited.  ``allow_concurrency`` and
    ``no_cache`` have no effect here (IG-10, ST-8).
    """

    __slots__ = ("_entries", "_now_ms", "_store", "has_alarm_handler")

    def __init__(self, store: Store, entries: EntriesAPI, now_ms: Callable[[], int], has_alarm_handler: bool) -> None:
        self._store = store
        self._entries = entries
        self._now_ms = now_ms
        self.has_alarm_handler = has_alarm_handler

    def _enter(self, operation: str) -> None:
        """Raises what forbids ``operation`` now."""

    def _do(self, operation: str, act: Callable[[], Pending[T]]) -> Pending[T]:
        try:
            self._enter(operation)
            return act()
        except Exception as error:
            return Pending.failed(error)

    def get(
        self,
        key: str | Iterable[str],
        default: Any = None,
        *,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Pending[Any]:
        """The value at ``key`` or ``default``; for several keys a dict of those that exist, sorted (ST-1)."""
        return self._do("get", lambda: self._entries.get(key, default))

    def put(
        self,
        key: str | Mapping[str, Any],
        value: Any = UNDEFINED,
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Pending[None]:
        """``put(key, value)``, or ``put({key: value, ...})`` all or nothing (ST-2, ST-3)."""
        return self._do("put", lambda: self._entries.put(key, value, not allow_unconfirmed))

    def delete(
        self,
        key: str | Iterable[str],
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Pending[Any]:
        """Whether the entry existed; for several keys how many did (ST-4)."""
        return self._do("delete", lambda: self._entries.delete(key, not allow_unconfirmed))

    def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Pending[dict[str, Any]]:
        """The entries of a range in UTF-8 byte order of keys (ST-5)."""
        return self._do(
            "list",
            lambda: self._entries.list(
                start=start, start_after=start_after, end=end, prefix=prefix, reverse=reverse, limit=limit
            ),
        )

    def get_alarm(self, *, allow_concurrency: bool = False) -> Pending[int | None]:
        """The alarm time in epoch milliseconds; ``None`` without one, and while it is being handled (AL-5)."""
        return self._do("getAlarm", lambda: Pending.of(self._store.get_alarm()))

    def set_alarm(
        self, when: datetime | float, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False
    ) -> Pending[None]:
        """Have ``alarm()`` called at a datetime (naive: UTC) or epoch ms, now at the earliest (AL-1, AL-2)."""

        def act() -> None:
            if not self.has_alarm_handler:
                raise TypeError("Your Durable Object class must have an alarm() handler in order to call setAlarm()")
            alarm_ms = _epoch_ms(when)
            if alarm_ms <= 0:
                raise TypeError("setAlarm() cannot be called with an alarm time <= 0")
            self._store.set_alarm(max(alarm_ms, self._now_ms()), not allow_unconfirmed)

        return self._do("setAlarm", lambda: settle(act))

    def delete_alarm(self, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False) -> Pending[None]:
        """Remove the alarm.  A handler that runs goes on (AL-6)."""
        return self._do("deleteAlarm", lambda: settle(lambda: self._store.set_alarm(None, not allow_unconfirmed)))


class Storage(StorageOperations):
    """``ctx.storage`` of one incarnation, on the SQLite backend.

    Attributes:
        kv: the synchronous key-value API (ST-12).
        sql: the SQL API (ST-15).
        has_alarm_handler: ``set_alarm`` is refused without; the machine leaves it on during the constructor (AL-3).
        wipes: how often `delete_all` took everything away; for libraries that remember what they stored.
    """

    __slots__ = ("_delete_all_deletes_alarm", "kv", "sql", "wipes")

    def __init__(
        self,
        store: Store,
        *,
        now_ms: Callable[[], int],
        has_alarm_handler: bool = True,
        delete_all_deletes_alarm: bool = True,
    ) -> None:
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
            self._store.delete_all(alarm=self._delete_all_deletes_alarm)
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

    def transaction_sync(self, fn: Callable[[], T]) -> T:
        """Run ``fn`` now, in a savepoint: kept when it returns, rolled back when it raises.  Nestable (OG-27).

        An async function is only called: its body runs later, outside.
        """
        return self._store.transaction_sync(fn)

    def get_current_bookmark(self) -> Pending[str]:
        """Not available: there is no point-in-time recovery yet (ST-30)."""
        return Pending.failed(StorageError(_NO_PITR))

    def get_bookmark_for_time(self, when: datetime | float) -> Pending[str]:
        """Not available: there is no point-in-time recovery yet (ST-30)."""
        return Pending.failed(StorageError(_NO_PITR))

    def on_next_session_restore_bookmark(self, bookmark: str) -> Pending[str]:
        """Not available: there is no point-in-time recovery yet (ST-30)."""
        return Pending.failed(StorageError(_NO_PITR))

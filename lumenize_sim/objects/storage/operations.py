"""What ``ctx.storage`` and the ``txn`` of a transaction have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.async_kv import EntriesAPI
from lumenize_sim.objects.storage.object_store import ObjectStore

__all__ = ["StorageOperations", "epoch_ms"]

T = TypeVar("T")


def epoch_ms(when: datetime | float, what: str = "an alarm time") -> int:
    """``when`` as whole milliseconds; a naive datetime is UTC.

    Raises:
        TypeError: it is neither a datetime nor a number of milliseconds.
    """
    if isinstance(when, datetime):
        return round((when.replace(tzinfo=UTC) if when.tzinfo is None else when).timestamp() * 1000)
    number: object = when
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= 8.64e15:  # nor NaN
        raise TypeError(f"{what} has to be a datetime or epoch milliseconds, not {when!r}")
    return int(number)


class StorageOperations:
    """What `Storage` and the ``txn`` of a transaction have in common.

    Every method acts when it is called, in program order, whether or not its `Pending` is awaited; on SQLite that
    is settled already (IG-10), so that ``allow_concurrency`` has no effect there; on the legacy backend it may have
    to wait, and lets other events in only with ``allow_concurrency`` (IG-5, IG-9).  ``no_cache`` is a hint without
    effect (ST-8).  What a promise would reject with, it raises when awaited.
    """

    __slots__ = ("_entries", "_now_ms", "_store", "has_alarm_handler")

    def __init__(
        self, store: ObjectStore, entries: EntriesAPI, now_ms: Callable[[], int], has_alarm_handler: bool
    ) -> None:
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
        return self._do("get", lambda: self._entries.get(key, default, allow_concurrency, no_cache))

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
        return self._do(
            "put", lambda: self._entries.put(key, value, not allow_unconfirmed, allow_concurrency, no_cache)
        )

    def delete(
        self,
        key: str | Iterable[str],
        *,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
        no_cache: bool = False,
    ) -> Pending[Any]:
        """Whether the entry existed; for several keys how many did (ST-4)."""
        return self._do("delete", lambda: self._entries.delete(key, not allow_unconfirmed, allow_concurrency))

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
                start=start,
                start_after=start_after,
                end=end,
                prefix=prefix,
                reverse=reverse,
                limit=limit,
                concurrent=allow_concurrency,
                no_cache=no_cache,
            ),
        )

    def get_alarm(self, *, allow_concurrency: bool = False) -> Pending[int | None]:
        """The alarm time in epoch milliseconds; ``None`` without one, and while it is being handled (AL-5)."""
        return self._do("getAlarm", lambda: self._entries.get_alarm(allow_concurrency))

    def set_alarm(
        self, when: datetime | float, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False
    ) -> Pending[None]:
        """Have ``alarm()`` called at a datetime (naive: UTC) or epoch ms, now at the earliest (AL-1, AL-2)."""

        def act() -> Pending[None]:
            if not self.has_alarm_handler:
                raise TypeError("Your Durable Object class must have an alarm() handler in order to call setAlarm()")
            alarm_ms = epoch_ms(when)
            if alarm_ms <= 0:
                raise TypeError("setAlarm() cannot be called with an alarm time <= 0")
            return self._entries.set_alarm(max(alarm_ms, self._now_ms()), not allow_unconfirmed, allow_concurrency)

        return self._do("setAlarm", act)

    def delete_alarm(self, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False) -> Pending[None]:
        """Remove the alarm.  A handler that runs goes on (AL-6)."""
        return self._do("deleteAlarm", lambda: self._entries.set_alarm(None, not allow_unconfirmed, allow_concurrency))

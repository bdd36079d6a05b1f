"""The asynchronous key-value operations, for the backend on which they never wait (IG-10).

They act when called, and return what is settled already.  A backend that does wait
offers the same methods as `EntriesAPI` and settles them later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from lumenize_sim.clone import UNDEFINED, RangeError, decode_cbor, encode_cbor
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.kv import SyncKV, clean_key
from lumenize_sim.objects.storage.store import Store

__all__ = ["AsyncKV", "EntriesAPI", "settle"]

T = TypeVar("T")


def settle(act: Callable[[], T]) -> Pending[T]:
    """Act now; what is raised is the outcome, as a promise's rejection is."""
    try:
        return Pending.of(act())
    except Exception as error:
        return Pending.failed(error)


class EntriesAPI(Protocol):
    """What both backends offer.

    ``None`` for a missing entry; `dict` results are in UTF-8 byte order of keys.  ``concurrent`` lets other events
    in while the operation waits (IG-9).
    """

    def get(
        self, key: str | Iterable[str], default: Any = None, concurrent: bool = False, no_cache: bool = False
    ) -> Pending[Any]: ...
    def put(
        self,
        key: str | Mapping[str, Any],
        value: Any,
        confirmed: bool,
        concurrent: bool = False,
        no_cache: bool = False,
    ) -> Pending[None]: ...
    def delete(
        self, key: str | Iterable[str], confirmed: bool, concurrent: bool = False
    ) -> Pending[bool] | Pending[int]: ...
    def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
        concurrent: bool = False,
        no_cache: bool = False,
    ) -> Pending[dict[str, Any]]: ...
    def get_alarm(self, concurrent: bool = False) -> Pending[int | None]: ...
    def set_alarm(self, alarm_ms: int | None, confirmed: bool, concurrent: bool = False) -> Pending[None]: ...


class AsyncKV:
    """`EntriesAPI` on SQLite.  No method is a checkpoint, and awaiting what it returns is none either."""

    __slots__ = ("_kv", "_store")

    def __init__(self, store: Store, kv: SyncKV) -> None:
        self._store = store
        self._kv = kv

    def get(
        self, key: str | Iterable[str], default: Any = None, concurrent: bool = False, no_cache: bool = False
    ) -> Pending[Any]:
        """One value, or a dict of those that exist (ST-1)."""
        if isinstance(key, str):
            return settle(lambda: self._kv.get(key, default))
        return settle(lambda: self._get_many(key))

    def _get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        found = {}
        missing = object()
        for key in sorted(dict.fromkeys(self._checked("get", keys))):
            value = self._kv.get(key, missing)
            if value is not missing:
                found[key] = value
        return found

    def put(
        self,
        key: str | Mapping[str, Any],
        value: Any,
        confirmed: bool,
        concurrent: bool = False,
        no_cache: bool = False,
    ) -> Pending[None]:
        """One entry, or all of a mapping in one transaction (ST-2, ST-3)."""
        if isinstance(key, Mapping):
            return settle(lambda: self._put_many(key, confirmed))
        return settle(lambda: self._put_one(key, value, confirmed))

    def _put_one(self, key: str, value: Any, confirmed: bool) -> None:
        if value is UNDEFINED:
            raise TypeError("put() called with undefined value.")
        self._kv.write(key, encode_cbor(value, stored=True), confirmed)

    def _put_many(self, entries: Mapping[str, Any], confirmed: bool) -> None:
        self._checked("put", entries)
        encoded = [
            (clean_key(key), encode_cbor(value, stored=True))
            for key, value in entries.items()
            if value is not UNDEFINED
        ]

        def write() -> None:
            for key, data in encoded:
                self._kv.write(key, data, confirmed)

        if encoded:
            self._store.transaction_sync(write)

    def delete(
        self, key: str | Iterable[str], confirmed: bool, concurrent: bool = False
    ) -> Pending[bool] | Pending[int]:
        """Whether the entry existed, or how many did (ST-4)."""
        if isinstance(key, str):
            return settle(lambda: self._kv.delete(key, confirmed))
        return settle(lambda: sum(self._kv.delete(one, confirmed) for one in self._checked("delete", key)))

    def list(self, *, concurrent: bool = False, no_cache: bool = False, **bounds: Any) -> Pending[dict[str, Any]]:
        """All entries of a range (ST-5)."""
        return settle(lambda: self._found(bounds))

    def _found(self, bounds: Mapping[str, Any]) -> dict[str, Any]:
        found = {key: decode_cbor(data) for key, data in self._kv.rows(**bounds)}
        if found and self._store.hooks.usage is not None:
            self._store.hooks.usage("rows-read", len(found))
        return found

    def get_alarm(self, concurrent: bool = False) -> Pending[int | None]:
        """The alarm time (AL-5)."""
        return Pending.of(self._store.get_alarm())

    def set_alarm(self, alarm_ms: int | None, confirmed: bool, concurrent: bool = False) -> Pending[None]:
        """Set or remove the alarm (AL-1)."""
        store = self._store
        if alarm_ms is not None and alarm_ms != store.alarm_ms and store.hooks.usage is not None:
            store.hooks.usage("rows-written", 1)  # BL-7
        return settle(lambda: store.set_alarm(alarm_ms, confirmed))

    def _checked(self, operation: str, keys: Iterable[str]) -> Sequence[str]:
        some = [clean_key(key) for key in keys]
        most = self._store.limits.multi_keys
        if most is not None and len(some) > most:
            raise RangeError(f"Maximum number of {'pairs' if operation == 'put' else 'keys'} is {most}.")
        return some

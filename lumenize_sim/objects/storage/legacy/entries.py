"""The asynchronous operations on the legacy backend: at once where the cache knows, else after a wait (IG-5, IG-11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from lumenize_sim.clone import UNDEFINED, RangeError, decode_cbor, encode_cbor
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.async_kv import settle
from lumenize_sim.objects.storage.kv import after_prefix, check_bounds, clean_key, range_text
from lumenize_sim.objects.storage.legacy.disk import Bounds
from lumenize_sim.objects.storage.legacy.store import LegacyStore
from lumenize_sim.objects.storage.usage import units

__all__ = ["LegacyKV", "list_bounds"]

T = TypeVar("T")
#: What the platform grants beyond the limit it tells, for what serialisation adds to a text of just that size.
_CUSHION_BYTES: Final = 34


def list_bounds(start: str | None, start_after: str | None, end: str | None, prefix: str | None) -> Bounds:
    """The range of a ``list``: prefix and range intersected (ST-5)."""
    lower = clean_key(start) if start is not None else ""
    if start_after is not None:
        lower = clean_key(start_after) + "\0"
    upper = clean_key(end) if end is not None else None
    if prefix:
        prefix = clean_key(prefix)
        lower = max(lower, prefix)
        above = after_prefix(prefix)
        if above is not None:
            upper = above if upper is None else min(upper, above)
    return Bounds(lower, upper)


class LegacyKV:
    """`EntriesAPI` on a `LegacyStore`.

    What an operation returns is fixed when it is called (ST-7).  ``concurrent`` lets other events in while it waits
    (IG-9); ``no_cache`` keeps what was read or written out of the cache, to no effect that can be seen (ST-8).
    """

    __slots__ = ("_store",)

    def __init__(self, store: LegacyStore) -> None:
        self._store = store

    # -- reads -------------------------------------------------------------------------

    def look(self, key: str) -> tuple[bytes | None, bool]:
        """What is at ``key`` now, and whether that is known without the disk."""
        return self._store.view(key), self._store.knows(key)

    def get(
        self, key: str | Iterable[str], default: Any = None, concurrent: bool = False, no_cache: bool = False
    ) -> Pending[Any]:
        """One value, or a dict of those that exist (ST-1)."""
        keys = [self._key(key)] if isinstance(key, str) else self._several("get", key)
        self._store.check()
        cold = []
        values: dict[str, bytes | None] = {}
        for one in sorted(keys):
            self._access("get", one)
            values[one], known = self.look(one)
            if not known:
                cold.append(one)
        self._read_units(values, single=isinstance(key, str))

        def result() -> Any:
            if isinstance(key, str):
                data = values[keys[0]]
                return default if data is None else decode_cbor(data)
            return {one: decode_cbor(data) for one, data in values.items() if data is not None}

        return self.read(cold, result, concurrent, no_cache)

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
        over: dict[str, bytes | None] | None = None,
    ) -> Pending[dict[str, Any]]:
        """All entries of a range (ST-5); ``over`` lies over them, for a transaction."""
        store = self._store
        store.check()
        check_bounds(start, start_after, limit)
        if store.hooks.access is not None:
            store.hooks.access("list", range_text(start, start_after, end, prefix))
        bounds = list_bounds(start, start_after, end, prefix)
        found, looked, known = store.scan(bounds, reverse, limit, over)
        if store.hooks.usage is not None:
            store.hooks.usage("read-units", units(sum(len(key.encode()) + len(data) for key, data in found)))

        def result() -> dict[str, Any]:
            return {key: decode_cbor(data) for key, data in found}

        if known:
            return settle(result)

        def arrived() -> dict[str, Any]:
            if not no_cache:
                store.cache.learn_all(looked)
            return result()

        return store.hooks.cold(arrived, concurrent)

    def get_alarm(self, concurrent: bool = False) -> Pending[int | None]:
        """The alarm time; asked for once in the life of an instance."""
        store = self._store
        value = store.get_alarm()
        if store.alarm_known:
            return Pending.of(value)

        def arrived() -> int | None:
            store.alarm_known = True
            return value

        return store.hooks.cold(arrived, concurrent)

    def read(
        self, cold: Sequence[str], result: Callable[[], T], concurrent: bool, no_cache: bool = False
    ) -> Pending[T]:
        """``result``, at once or when ``cold`` has been read from the disk."""
        if not cold:
            return settle(result)
        store = self._store

        def arrived() -> T:
            if not no_cache:
                for key in cold:
                    store.cache.learn(key)
            return result()

        return store.hooks.cold(arrived, concurrent)

    # -- writes ------------------------------------------------------------------------

    def put(
        self,
        key: str | Mapping[str, Any],
        value: Any,
        confirmed: bool,
        concurrent: bool = False,
        no_cache: bool = False,
    ) -> Pending[None]:
        """One entry, or all of a mapping in one transaction (ST-2, ST-3); waits under back-pressure only (ST-9)."""
        store = self._store
        for one, data in self.encoded(key, value):
            self._access("put", one)
            store.write(one, data, confirmed, passing=no_cache)
            store.owe(units(len(one.encode()) + len(data)))
        return self.pressed(concurrent)

    def encoded(self, key: str | Mapping[str, Any], value: Any) -> Sequence[tuple[str, bytes]]:
        """The entries of a ``put``, serialised, when all of them are within the limits.

        Raises:
            TypeError: the value is `UNDEFINED` (ST-2).
            RangeError: a key, a value or their number is too large (section 4.4).
            DataCloneError: a value cannot be stored (ST-6).
        """
        self._store.check()
        if not isinstance(key, Mapping):
            if value is UNDEFINED:
                raise TypeError("put() called with undefined value.")
            return [(self._key(key), self._sized(None, encode_cbor(value, stored=True)))]
        keys = self._several("put", key)
        return [
            (one, self._sized(one, encode_cbor(item, stored=True)))
            for one, item in zip(keys, key.values(), strict=True)
            if item is not UNDEFINED
        ]

    def delete(
        self, key: str | Iterable[str], confirmed: bool, concurrent: bool = False
    ) -> Pending[bool] | Pending[int]:
        """Whether the entry existed, or how many did (ST-4); waits for the flush that finds out (IG-11)."""
        store = self._store
        store.check()
        one = isinstance(key, str)
        keys = [self._key(key)] if isinstance(key, str) else self._several("delete", key)
        count = 0
        cold = []
        for each in keys:
            self._access("delete", each)
            data, known = self.look(each)
            count += data is not None
            if not known:
                cold.append(each)
            self.remove(each, confirmed, absent=known and data is None)
        if store.hooks.usage is not None:
            store.hooks.usage("deletes", len(keys))
        return self.removed(cold, bool(count) if one else count, concurrent)

    def remove(self, key: str, confirmed: bool, *, absent: bool) -> None:
        """Remove an entry; nothing need be written where it is known to be ``absent``."""
        if not absent:
            self._store.write(key, None, confirmed)

    def removed(self, cold: Sequence[str], result: Any, concurrent: bool) -> Pending[Any]:
        """``result``, when it is known whether the entries ``cold`` existed: the flush that removes them finds out."""
        if not cold:
            return self.pressed(concurrent, result)
        return self._store.hooks.durable(lambda: result, concurrent)

    def set_alarm(self, alarm_ms: int | None, confirmed: bool, concurrent: bool = False) -> Pending[None]:
        """Set or remove the alarm."""
        store = self._store
        store.set_alarm(alarm_ms, confirmed)
        if alarm_ms is not None:
            if store.dirty:
                store.owe(1)
            elif store.hooks.usage is not None:
                store.hooks.usage("write-units", 1)  # the same time again is billed, and not written (AL-7)
        return self.pressed(concurrent)

    def pressed(self, concurrent: bool, result: Any = None) -> Pending[Any]:
        """``result`` at once, or under back-pressure when what is written has been flushed (ST-9)."""
        if self._store.pressed:
            return self._store.hooks.durable(lambda: result, concurrent)
        return Pending.of(result)

    # -- limits, traces, usage ---------------------------------------------------------

    def _key(self, key: str) -> str:
        key = clean_key(key)
        most = self._store.limits.key_bytes
        if most is not None and len(key.encode()) > most:
            raise RangeError(f"Keys cannot be larger than {most} bytes.")
        return key

    def _several(self, operation: str, keys: Iterable[str]) -> Sequence[str]:
        limits = self._store.limits
        some = [clean_key(key) for key in keys]
        if limits.multi_keys is not None and len(some) > limits.multi_keys:
            what = "pairs" if operation == "put" else "keys"
            raise RangeError(f"Maximum number of {what} is {limits.multi_keys}.")
        for key in some:
            if limits.key_bytes is not None and len(key.encode()) > limits.key_bytes:
                raise RangeError(f'Key "{key}" is larger than the limit of {limits.key_bytes} bytes.')
        return some

    def _sized(self, key: str | None, data: bytes) -> bytes:
        most = self._store.limits.value_bytes
        if most is not None and len(data) > most + _CUSHION_BYTES:
            if key is None:
                raise RangeError(
                    f"Values cannot be larger than {most} bytes. A value of size {len(data)} was provided."
                )
            raise RangeError(f'Value for key "{key}" is above the limit of {most} bytes.')
        return data

    def _access(self, kind: Any, key: str) -> None:
        if self._store.hooks.access is not None:
            self._store.hooks.access(kind, key)

    def _read_units(self, values: dict[str, bytes | None], *, single: bool) -> None:
        usage = self._store.hooks.usage
        if usage is not None:
            # A single read is billed by its value, several by key and value; what is missing costs one (BL-8).
            usage(
                "read-units",
                sum(
                    1 if data is None else units(len(data) + (0 if single else len(key.encode())))
                    for key, data in values.items()
                ),
            )

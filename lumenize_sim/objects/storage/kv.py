"""The key-value entries of an object: one hidden table, in UTF-8 byte order of keys (ST-5, ST-10, ST-12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apsw

from lumenize_sim.clone import UNDEFINED, decode_cbor, encode_cbor
from lumenize_sim.objects.storage.database import Execute
from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.store import Store

__all__ = ["KVIterator", "SyncKV", "range_query"]

GET: Final = "SELECT value FROM _cf_KV WHERE key=?"
PUT: Final = "INSERT INTO _cf_KV VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"
DELETE: Final = "DELETE FROM _cf_KV WHERE key=?"
_INVALIDATED: Final = (
    "kv.list() iterator was invalidated because a new call to kv.list() was started. "
    "Only one kv.list() iterator can exist at a time."
)


def clean_key(key: object) -> str:
    """``key`` as SQLite can take it: a lone surrogate, which has no UTF-8, becomes U+FFFD."""
    if not isinstance(key, str):
        raise TypeError(f"a storage key has to be a str, not {type(key).__name__}: {key!r}")
    try:
        key.encode()
    except UnicodeEncodeError:
        return key.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return key


def after_prefix(prefix: str) -> str | None:
    """The least key above all that begin with ``prefix``; ``None`` if there is no such key.

    Code points sort as their UTF-8 does, so the last one is raised by one, past the surrogates.
    """
    while prefix:
        last = ord(prefix[-1])
        prefix = prefix[:-1]
        if last != 0x10FFFF:
            return prefix + chr(0xE000 if last == 0xD7FF else last + 1)
    return None


def check_bounds(start: str | None, start_after: str | None, limit: int | None) -> None:
    """Refuse what no range can be.

    Raises:
        TypeError: both starts were given, or a limit that is not positive.
    """
    if start is not None and start_after is not None:
        raise TypeError("list() cannot be called with both start and startAfter values.")
    if limit is not None and limit <= 0:
        raise TypeError("List limit must be positive.")


def range_text(start: str | None, start_after: str | None, end: str | None, prefix: str | None) -> str:
    """A range, for traces."""
    bounds = (("start", start), ("start_after", start_after), ("end", end), ("prefix", prefix))
    return " ".join(f"{name}={bound!r}" for name, bound in bounds if bound is not None)


def range_query(
    *,
    start: str | None,
    start_after: str | None,
    end: str | None,
    prefix: str | None,
    reverse: bool,
    limit: int | None,
) -> tuple[str, tuple[Any, ...]]:
    """SQL and bindings of a ``list``.  Prefix and range are intersected (ST-5).

    Raises:
        TypeError: both starts were given, or a limit that is not positive.
    """
    check_bounds(start, start_after, limit)
    where = []
    bindings: list[Any] = []
    for operator, bound in ((">=", start), (">", start_after), ("<", end)):
        if bound is not None:
            where.append(f"key {operator} ?")
            bindings.append(clean_key(bound))
    if prefix:
        prefix = clean_key(prefix)
        where.append("key >= ?")
        bindings.append(prefix)
        above = after_prefix(prefix)
        if above is not None:
            where.append("key < ?")
            bindings.append(above)
    sql = "SELECT key, value FROM _cf_KV"
    if where:
        sql += " WHERE " + " AND ".join(where)
    sql += " ORDER BY key DESC" if reverse else " ORDER BY key"
    if limit is not None:
        sql += " LIMIT ?"
        bindings.append(min(int(limit), (1 << 63) - 1))
    return sql, tuple(bindings)


class SyncKV:
    """``ctx.storage.kv``: get, put, delete and list at once.  No method is a checkpoint."""

    __slots__ = ("_iterator", "_store", "_table")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._table = store.table
        self._iterator: KVIterator | None = None

    def get(self, key: str, default: Any = None) -> Any:
        """A new copy of the value stored, or ``default`` (ST-6, ST-7); ``None`` for a stored ``undefined`` (ST-12)."""
        store = self._store
        if store.hooks.access is not None:
            store.hooks.access("get", key)
        if type(key) is not str:
            key = clean_key(key)
        execute = self._table.execute or store.database.find_table()
        if execute is None:
            return default
        try:
            data = execute(GET, (key,)).get
        except UnicodeEncodeError:
            data = execute(GET, (clean_key(key),)).get
        except apsw.Error as error:
            raise store.failed(error) from None
        if store.hooks.usage is not None:
            store.hooks.usage("rows-read", 1)
        if data is None:
            return default
        value = decode_cbor(data)
        return None if value is UNDEFINED else value

    def put(self, key: str, value: Any) -> None:
        """Store a snapshot of ``value``.  Always a confirmed write (OG-24).

        Raises:
            DataCloneError: the value cannot be stored (ST-6).
            StorageError: key and value are too large together.
        """
        self.write(key, encode_cbor(value, stored=True))

    def write(self, key: str, data: bytes, confirmed: bool = True) -> None:
        """Store what was serialised already."""
        store = self._store
        if store.hooks.access is not None:
            store.hooks.access("put", key)
        if type(key) is not str:
            key = clean_key(key)
        execute: Execute | None
        if self._table.writing:
            execute = self._table.execute
            assert execute is not None
        else:
            execute = store.begin_kv(confirmed)
        try:
            execute(PUT, (key, data))
        except UnicodeEncodeError:
            execute(PUT, (clean_key(key), data))
        except apsw.Error as error:
            raise store.failed(error) from None
        if store.hooks.usage is not None:
            store.hooks.usage("rows-written", 1)

    def delete(self, key: str, confirmed: bool = True) -> bool:
        """Remove an entry; whether there was one."""
        store = self._store
        if store.hooks.access is not None:
            store.hooks.access("delete", key)
        key = clean_key(key)
        if store.database.find_table() is None:
            return False
        execute = store.begin_kv(confirmed)
        try:
            existed = execute(DELETE, (key,)).connection.changes() > 0
        except apsw.Error as error:
            raise store.failed(error) from None
        if existed and store.hooks.usage is not None:
            store.hooks.usage("rows-written", 1)
        return existed

    def list(
        self,
        *,
        start: str | None = None,
        start_after: str | None = None,
        end: str | None = None,
        prefix: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[str, Any]]:
        """Pairs of key and value, lazily, in UTF-8 byte order.

        ``start`` is inclusive, ``start_after`` and ``end`` are exclusive, in both directions.  One iterator is
        live at a time: the next call invalidates it (ST-13).  It sees what is written meanwhile (ST-19).
        """
        rows = self.rows(start, start_after, end, prefix, reverse, limit)
        if self._iterator is not None:
            self._iterator.invalidate()
        self._iterator = KVIterator(self._store, rows)
        return self._iterator

    def rows(
        self,
        start: str | None,
        start_after: str | None,
        end: str | None,
        prefix: str | None,
        reverse: bool,
        limit: int | None,
    ) -> Iterator[tuple[str, bytes]]:
        """The entries of a range, not decoded yet."""
        sql, bindings = range_query(
            start=start, start_after=start_after, end=end, prefix=prefix, reverse=reverse, limit=limit
        )
        store = self._store
        if store.hooks.access is not None:
            store.hooks.access("list", range_text(start, start_after, end, prefix))
        if store.database.find_table() is None:
            return iter(())
        try:
            rows: Iterator[tuple[str, bytes]] = store.connect().db.cursor().execute(sql, bindings)
        except apsw.Error as error:
            raise store.failed(error) from None
        return rows


class KVIterator(Iterator[tuple[str, Any]]):
    """What `SyncKV.list` returns.  Keeps the store's connection until it is read to the end, or dropped."""

    __slots__ = ("_rows", "_state", "_store")

    def __init__(self, store: Store, rows: Iterator[tuple[str, bytes]]) -> None:
        self._store = store
        self._rows = rows
        self._state = "live"
        store.database.reading[rows] = None

    def invalidate(self) -> None:
        """Another one has begun."""
        if self._state == "live":
            self._state = "invalidated"
            self._store.database.reading.pop(self._rows, None)
            self._rows = iter(())

    def __next__(self) -> tuple[str, Any]:
        if self._state == "invalidated":
            raise StorageError(_INVALIDATED)
        self._store.check()
        try:
            key, data = next(self._rows)
        except StopIteration:
            if self._state == "live":
                self._state = "ended"
                self._store.database.reading.pop(self._rows, None)
            raise
        except apsw.Error as error:
            raise self._store.failed(error) from None
        if self._store.hooks.usage is not None:
            self._store.hooks.usage("rows-read", 1)
        return key, decode_cbor(data)

    def __del__(self) -> None:
        if self._state == "live":
            self._store.database.reading.pop(self._rows, None)

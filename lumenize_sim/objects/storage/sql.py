"""``ctx.storage.sql``: statements, bindings and cursors (ST-15 to ST-24)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import apsw

from lumenize_sim.clone import NULL, UNDEFINED, ArrayBuffer, BigInt, JSMap, JSSet
from lumenize_sim.objects.storage.connection import Connection, Plan
from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.rows import rows_scanned, rows_touched
from lumenize_sim.objects.storage.store import Store

__all__ = ["SqlCursor", "SqlStorage", "bind", "string_of"]

_BLANK: Final = re.compile(r"(?:[\s;]|--[^\n]*|/\*.*?(?:\*/|\Z))*\Z", re.DOTALL)
_CLOSED: Final = (
    "SQL cursor was closed because the same statement was executed again. If you need to run multiple copies of the "
    "same statement concurrently, you must create multiple prepared statement objects."
)
_SAFE: Final = 1 << 53
_MOST_PLANS: Final = 256
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def string_of(value: Any) -> str:
    """``String(value)``: what JavaScript makes of a value that has to be text (ST-18, LC-32)."""
    if value is None or value is UNDEFINED or value is NULL:
        return ""  # within a list; elsewhere it is bound as NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return (
            f"{_WEEKDAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day:02} {moment.year:04} "
            f"{moment:%H:%M:%S} GMT+0000 (Coordinated Universal Time)"
        )
    if isinstance(value, (list, tuple)):
        return ",".join(map(string_of, value))
    if isinstance(value, JSMap):
        return "[object Map]"
    if isinstance(value, (set, frozenset, JSSet)):
        return "[object Set]"
    return "[object Object]"


def bind(value: Any) -> float | str | bytes | None:
    """What SQLite gets for ``value`` (ST-18).

    Every number is a JavaScript number, so an ``int`` is bound as REAL, rounded beyond 2**53; column affinity
    makes an integer of it again.  ``bool``, ``datetime`` and containers are bound as the text that JavaScript's
    ``String()`` gives.

    Raises:
        TypeError: a `BigInt`, or an ``int`` no double can hold.
    """
    kind = type(value)
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        text: str = value
        return text
    if kind is float or value is None:
        number: float | None = value
        return number
    if value is UNDEFINED or value is NULL:
        return None
    if isinstance(value, ArrayBuffer):
        return value.data
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, BigInt):
        raise TypeError(f"a BigInt cannot be bound to a SQL statement: {value!r}; bind an int or a str")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise TypeError("an int that no double can hold is no SQL value: bind its text") from None
    if isinstance(value, str):
        return bind(str(value))
    return string_of(value)


def _number(value: Any) -> Any:
    """A column's value as JavaScript gets it: integers beyond 2**53 are rounded."""
    if type(value) is int and not -_SAFE <= value <= _SAFE:
        return int(float(value))
    return value


class SqlStorage:
    """Runs SQL on the object's own database.  No method is a checkpoint."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def exec(self, query: str, *bindings: Any) -> SqlCursor:
        """Run the statements of ``query``; the bindings and the cursor are those of the last (ST-15).

        Writes are always confirmed (OG-24).  All of a writing statement happens here, of a reading one the first step.

        Raises:
            StorageError: SQLite's message (ST-22), a forbidden statement (ST-21), or the wrong number of bindings.
            TypeError: a value that cannot be bound.
        """
        store = self._store
        store.check()
        connection = store.connect()
        connection.regulate(store.limits)
        values = tuple(map(bind, bindings))
        try:
            plan = connection.plans.get(query)
            if plan is None:
                plan, connection = self._plan(connection, query)
            if plan.bindings != len(values):
                raise StorageError("Wrong number of parameter bindings for SQL query.")
            return self._run(connection, plan, values)
        except UnicodeEncodeError:
            raise StorageError("SQL text with a lone surrogate cannot be encoded as UTF-8") from None
        except apsw.Error as error:
            raise store.failed(error, connection.refusal) from None

    def prepare(self, query: str) -> SqlStatement:
        """``query`` as a function of its bindings; running it again closes the cursor before (ST-20)."""
        return SqlStatement(self, query)

    def _plan(self, connection: Connection, query: str) -> tuple[Plan, Connection]:
        """The last statement of ``query``, when all before it have run."""
        rest = query
        while True:
            plan = connection.plan(rest)
            tail = rest[len(plan.sql) :]
            if _BLANK.match(tail):
                break
            if plan.bindings:
                raise StorageError(
                    "When executing multiple SQL statements in a single call, only the last statement can have "
                    "parameters."
                )
            for _ in self._run(connection, plan, ()).raw():
                pass
            connection = self._store.connect()
            connection.regulate(self._store.limits)
            rest = tail
        if rest is query and not plan.schema:
            if len(connection.plans) >= _MOST_PLANS:
                connection.plans.clear()
            connection.plans[query] = plan
        return plan, connection

    def _run(self, connection: Connection, plan: Plan, values: tuple[Any, ...]) -> SqlCursor:
        store = self._store
        pragma = plan.pragma
        if plan.readonly or pragma is not None:
            if store.hooks.access is not None:
                store.hooks.access("sql-read", plan.sql)
            cursor = connection.run(plan, values)
            if pragma is not None and pragma[1] is not None:
                store.pragma_ran(pragma[0], pragma[1])
            return SqlCursor(store, plan, cursor)
        if store.hooks.access is not None:
            store.hooks.access("sql-write", plan.sql)
        store.begin_sql(plan.explosive or connection.explosive)
        connection = store.connect()
        connection.regulate(store.limits)
        before = connection.db.total_changes()
        rows = connection.run(plan, values).fetchall()
        written = connection.db.total_changes() - before
        if plan.schema:
            connection.plans.clear()
            connection.explosive = connection.explosive or plan.explosive
        return SqlCursor(store, plan, iter(rows), written)

    def has_table(self, name: str) -> bool:
        """Whether there is a table ``name``.  Opens nothing where nothing was ever written; no access to a trace."""
        store = self._store
        store.check()
        if store.database.empty:
            return False
        found = store.connect().execute("SELECT 1 FROM sqlite_schema WHERE type='table' AND name=?", (name,)).get
        return found is not None

    @property
    def database_size(self) -> int:
        """Bytes of the pages in use (ST-24)."""
        store = self._store
        store.check()
        db = store.connect().db
        pages, free, size = (int(db.pragma(name)) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size


class SqlStatement:
    """What `SqlStorage.prepare` returns."""

    __slots__ = ("_cursor", "_query", "_sql")

    def __init__(self, sql: SqlStorage, query: str) -> None:
        self._sql = sql
        self._query = query
        self._cursor: SqlCursor | None = None

    def __call__(self, *bindings: Any) -> SqlCursor:
        """Run it, as `SqlStorage.exec` does."""
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = cursor = self._sql.exec(self._query, *bindings)
        return cursor


class SqlCursor(Iterator[dict[str, Any]]):
    """The rows of one statement, as dicts; `raw` gives lists.  Both share one position (ST-16).

    It holds no snapshot: rows that were written meanwhile may come (ST-19).

    Attributes:
        column_names: all of them, with duplicates.
    """

    __slots__ = (
        "_changed",
        "_closed",
        "_ended",
        "_first",
        "_out",
        "_pinned",
        "_plan",
        "_rows",
        "_store",
        "column_names",
    )

    def __init__(self, store: Store, plan: Plan, rows: Iterator[Any], changed: int = 0) -> None:
        self._store = store
        self._plan = plan
        self._rows = rows
        self._pinned = False
        self._closed = False
        self._ended = False
        self._out = 0
        self._changed = changed
        self.column_names: list[str] = list(plan.columns)
        # SQLite has made the first step already; hold its row, so that a cursor that has ended needs no connection.
        self._first: tuple[Any, ...] | None = next(rows, None)
        if self._first is None:
            self._end()
        elif isinstance(rows, apsw.Cursor):
            cursor: apsw.Cursor = rows
            self.column_names = [column[0] for column in cursor.get_description()]
            self._pinned = True
            store.database.pins += 1
        if changed and store.hooks.usage is not None:
            store.hooks.usage("rows-written", self.rows_written)

    @property
    def rows_read(self) -> int:
        """Rows read so far: those that came out, and at the end what the plan has walked besides (BL-7).

        An estimate: SQLite does not tell; see `lumenize_sim.objects.storage.rows`.
        """
        if not self._ended or self._store.broken is not None:
            return self._out
        return max(self._out, rows_scanned(self._store.connect(), self._plan))

    @property
    def rows_written(self) -> int:
        """Rows written: each row that changed, and each index that followed (BL-7).

        An estimate, as an update of a trigger counts as one row whatever its table.
        """
        if not self._changed or self._store.broken is not None:
            return self._changed
        return self._changed * rows_touched(self._store.connect(), self._plan)

    def close(self) -> None:
        """For a prepared statement: it runs again, so that this cursor gives nothing any more (ST-20)."""
        self._closed = True
        self._unpin()

    def _unpin(self) -> None:
        if self._pinned:
            self._pinned = False
            self._store.database.pins -= 1

    def _end(self) -> None:
        self._ended = True
        usage = self._store.hooks.usage
        if usage is not None and self._store.broken is None:
            walked = rows_scanned(self._store.connect(), self._plan) - self._out
            if walked > 0:
                usage("rows-read", walked)

    def _row(self) -> tuple[Any, ...] | None:
        row = self._first
        if self._closed:
            raise StorageError(_CLOSED)
        if row is not None:
            self._first = None
        else:
            if self._store.broken is not None:
                raise self._store.broken
            try:
                row = next(self._rows, None)
            except apsw.Error as error:
                raise self._store.failed(error) from None
        if row is not None:
            self._out += 1
            if self._store.hooks.usage is not None:
                self._store.hooks.usage("rows-read", 1)
        elif not self._ended:
            self._unpin()
            self._end()
        return row

    def __del__(self) -> None:
        self._unpin()

    def __next__(self) -> dict[str, Any]:
        row = self._row()
        if row is None:
            raise StopIteration
        return dict(zip(self.column_names, map(_number, row), strict=True))

    def next(self) -> dict[str, Any] | None:
        """The next row, ``None`` at the end."""
        return next(self, None)

    def to_array(self) -> list[dict[str, Any]]:
        """All rows that are left."""
        return list(self)

    def raw(self) -> Iterator[list[Any]]:
        """The rows that are left, as lists of column values."""
        while True:
            row = self._row()
            if row is None:
                return
            yield list(map(_number, row))

    def one(self) -> dict[str, Any]:
        """The only row.

        Raises:
            StorageError: there is none, or another (ST-17).
        """
        row = next(self, None)
        if row is None:
            raise StorageError("Expected exactly one result from SQL query, but got no results.")
        if self._row() is not None:
            raise StorageError("Expected exactly one result from SQL query, but got multiple results.")
        return row

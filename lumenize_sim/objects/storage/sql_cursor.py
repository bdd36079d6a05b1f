"""The rows of a statement, as they are asked for (ST-16 to ST-20)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apsw

from lumenize_sim.objects.storage.connection import Plan
from lumenize_sim.objects.storage.errors import CANCELED, StorageError
from lumenize_sim.objects.storage.rows import rows_scanned, rows_touched
from lumenize_sim.objects.storage.sql_values import number_of
from lumenize_sim.objects.storage.store import Store

__all__ = ["RawRows", "SqlCursor"]

_CLOSED: Final = (
    "SQL cursor was closed because the same statement was executed again. If you need to run multiple copies of the "
    "same statement concurrently, you must create multiple prepared statement objects."
)


class RawRows(Iterator[list[Any]]):
    """What `SqlCursor.raw` returns; shares the cursor's position.

    Attributes:
        column_names: the cursor's.
    """

    __slots__ = ("_cursor", "column_names")

    def __init__(self, cursor: SqlCursor) -> None:
        self._cursor = cursor
        self.column_names = cursor.column_names

    def __next__(self) -> list[Any]:
        row = self._cursor._row()
        if row is None:
            raise StopIteration
        return list(map(number_of, row))

    def next(self) -> list[Any] | None:
        """The next row, ``None`` at the end."""
        return next(self, None)

    def to_array(self) -> list[list[Any]]:
        """All rows that are left."""
        return list(self)


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
            store.database.reading[rows] = None
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
            self._store.database.reading.pop(self._rows, None)

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
            if self._pinned and self._rows not in self._store.database.reading:
                raise StorageError(CANCELED)
            self._first = None
        else:
            self._store.check()
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
        return dict(zip(self.column_names, map(number_of, row), strict=True))

    def next(self) -> dict[str, Any] | None:
        """The next row, ``None`` at the end."""
        return next(self, None)

    def to_array(self) -> list[dict[str, Any]]:
        """All rows that are left."""
        return list(self)

    def raw(self) -> RawRows:
        """The rows that are left, as lists of column values."""
        return RawRows(self)

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

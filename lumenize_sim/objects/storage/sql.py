"""``ctx.storage.sql``: statements, one after the other (ST-15, ST-21 to ST-24)."""

from __future__ import annotations

import re
from typing import Any, Final

import apsw

from lumenize_sim.objects.storage.connection import Connection, Plan
from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.sql_cursor import SqlCursor
from lumenize_sim.objects.storage.sql_values import bind
from lumenize_sim.objects.storage.store import Store

__all__ = ["SqlStatement", "SqlStorage"]

_BLANK: Final = re.compile(r"(?:[\s;]|--[^\n]*|/\*.*?(?:\*/|\Z))*\Z", re.DOTALL)
_MOST_PLANS: Final = 256


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
            raise store.failed(error, connection.rights.refusal) from None

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

"""One SQLite connection: its limits, and virtual time and chance inside SQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any, Final

import apsw
import attrs

from lumenize_sim.objects.storage.authorizer import Authorizer
from lumenize_sim.objects.storage.errors import StorageError
from lumenize_sim.objects.storage.limits import Limits

__all__ = ["LARGE_BYTES", "Connection", "Plan"]

# SQLite prepares a statement once and asks the authorizer only then.  apsw keys its statement cache by these flags
# too, so user SQL can never be served a statement that was prepared, unregulated, for the store itself.
_USER_FLAGS: Final = apsw.SQLITE_PREPARE_PERSISTENT
_NO_BINDINGS: Final[Any] = apsw._null_bindings  # type: ignore[attr-defined]  # what apsw.ext.query_info uses
_JULIAN_EPOCH_MS: Final = 210_866_760_000_000

_PAGE_BYTES: Final = 4096
#: No database in memory gets so large that it would have to be told not to.
LARGE_BYTES: Final = 1 << 30


@attrs.frozen
class Plan:
    """What is known of one statement before it runs.

    Attributes:
        sql: its text, a prefix of the text it was found in.
        readonly: it cannot change the database.
        bindings: how many parameters it has.
        columns: names of its result columns.
        pragma: name and argument of the pragma it is.
        schema: it may change the schema, so that no plan is to be trusted after it.
        reads: the tables it reads.
        writes: the tables it changes, each with a column that it updates, or ``None`` where whole rows come or go.
    """

    sql: str
    readonly: bool
    bindings: int
    columns: tuple[str, ...]
    pragma: tuple[str, str | None] | None
    schema: bool
    reads: tuple[str, ...] = ()
    writes: tuple[tuple[str, str | None], ...] = ()

    @property
    def explosive(self) -> bool:
        """It may roll SQLite's whole transaction back by itself, or create what does."""
        return not self.readonly and "rollback" in self.sql.lower()


class _Local(threading.local):
    """Of each thread, since simulations may run side by side.

    Attributes:
        now_ms: the clock of the object whose SQL runs.
        scratch: a connection to load images with.
    """

    def __init__(self) -> None:
        self.now_ms: Callable[[], int] | None = None
        self.scratch = apsw.Connection(":memory:")


_local = _Local()


def _load(image: bytes, db: apsw.Connection) -> None:
    """Fill the empty ``db`` with ``image``.

    Not ``db.deserialize``: of a database that was deserialised, ``serialize`` returns the buffer that is written
    at COMMIT, without what the open transaction has changed, and commits are held in open transactions here.
    """
    scratch = _local.scratch
    scratch.deserialize("main", image)
    with db.backup("main", scratch, "main") as backup:
        backup.step()


class _ClockVFS(apsw.VFS):
    """SQLite asks the connection's VFS for ``'now'``: this one answers with the object's time (TM-1)."""

    def __init__(self) -> None:
        super().__init__("lumenize_sim", base="")

    def xCurrentTimeInt64(self) -> int:  # noqa: N802  # SQLite's name
        now_ms = _local.now_ms
        if now_ms is None:
            return int(super().xCurrentTimeInt64())
        return now_ms() + _JULIAN_EPOCH_MS

    def xCurrentTime(self) -> float:  # noqa: N802  # SQLite's name
        return self.xCurrentTimeInt64() / 86_400_000


_clock = _ClockVFS()  # registered as long as it lives


class Connection:
    """An open database.

    Attributes:
        db: the apsw connection.
        execute: runs a statement of the store itself, on a cursor of its own, unregulated.
        rights: what user SQL may do, and what the statement last prepared does.
        explosive: the schema has a conflict clause or trigger that rolls SQLite's whole transaction back.
        plans: the plans of statements seen, by query text.
    """

    __slots__ = (
        "_now_ms", "_regulated", "db", "execute", "explosive", "plans", "rights",
    )  # fmt: skip

    def __init__(
        self,
        image: bytes | None,
        path: str | None,
        limits: Limits,
        *,
        now_ms: Callable[[], int] | None = None,
        generator: random.Random | None = None,
    ) -> None:
        if path is None:
            self.db = apsw.Connection(":memory:", vfs="lumenize_sim")
            if image is not None:
                _load(image, self.db)
        else:
            self.db = apsw.Connection(path)
            self.db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL").fetchall()
        self.db.limit(apsw.SQLITE_LIMIT_LENGTH, limits.row_bytes)
        if limits.object_bytes is not None and (path is not None or limits.object_bytes < LARGE_BYTES):
            self.db.pragma("max_page_count", max(1, limits.object_bytes // _PAGE_BYTES))
        self.execute = self.db.cursor().execute
        self.plans: dict[str, Plan] = {}
        self.rights = Authorizer()
        self.explosive = False
        self._regulated = False
        self._now_ms = now_ms
        if generator is not None:
            # SQLite's own generator is one per process and seeded by the system.  At once, because SQLite refuses it
            # while somebody reads, be it a `kv.list()` in whose midst the first user SQL runs.
            self.db.create_scalar_function("random", lambda *_: generator.getrandbits(64) - (1 << 63), 0)
            self.db.create_scalar_function("randomblob", lambda *n: generator.randbytes(max(1, int(n[0] or 0))), 1)

    def regulate(self, limits: Limits) -> None:
        """Prepare for user SQL: limits, authorizer.  Done once, before its first statement."""
        if self._regulated:
            return
        self._regulated = True
        db = self.db
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1)
        for limit, value in (
            (apsw.SQLITE_LIMIT_SQL_LENGTH, limits.statement_bytes),
            (apsw.SQLITE_LIMIT_COLUMN, limits.columns),
            (apsw.SQLITE_LIMIT_VARIABLE_NUMBER, limits.parameters),
            (apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, limits.like_bytes),
            (apsw.SQLITE_LIMIT_FUNCTION_ARG, limits.function_arguments),
            (apsw.SQLITE_LIMIT_EXPR_DEPTH, 100),
            (apsw.SQLITE_LIMIT_COMPOUND_SELECT, 5),
            (apsw.SQLITE_LIMIT_TRIGGER_DEPTH, 10),
            (apsw.SQLITE_LIMIT_ATTACHED, 0),
        ):
            db.limit(limit, value)
        self.explosive = self.execute("SELECT 1 FROM sqlite_schema WHERE sql LIKE '%rollback%'").get is not None
        db.authorizer = self.rights

    def run(self, plan: Plan, bindings: tuple[Any, ...]) -> apsw.Cursor:
        """Execute one user statement up to its first row."""
        cursor = self.db.cursor()
        self._enter()
        try:
            return cursor.execute(plan.sql, bindings, prepare_flags=_USER_FLAGS)
        finally:
            self.rights.user = False

    def plan(self, text: str) -> Plan:
        """Prepare the first statement of ``text``, without running it.  Raises what SQLite does."""
        found: list[Plan] = []
        cursor = self.db.cursor()
        rights = self.rights

        def look(cursor: apsw.Cursor, sql: str, _bindings: Any) -> bool:
            if cursor.has_vdbe:
                columns = tuple(column[0] for column in cursor.get_description())
                found.append(
                    Plan(
                        sql,
                        cursor.is_readonly,
                        cursor.bindings_count,
                        columns,
                        rights.pragma,
                        rights.schema,
                        tuple(rights.reads),
                        tuple(rights.writes),
                    )
                )
            return False  # apsw stops here, with ExecTraceAbort

        cursor.exec_trace = look
        self._enter()
        rights.begin()
        try:
            cursor.execute(text, _NO_BINDINGS, prepare_flags=_USER_FLAGS, can_cache=False)
        except apsw.ExecTraceAbort:
            pass
        finally:
            self.rights.user = False
        if not found:
            raise StorageError("SQL code did not contain a statement.")
        return found[0]

    def _enter(self) -> None:
        self.rights.user = True
        self.rights.refusal = None
        _local.now_ms = self._now_ms

    def image(self) -> bytes:
        """The database as it is now, with what an open transaction has written."""
        return self.db.serialize("main")

    def close(self) -> None:
        """Close it with every cursor on it."""
        self.db.close(True)

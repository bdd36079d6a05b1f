"""The SQLite database of one object as its incarnation has it: a connection opened at need, and given up when idle."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import apsw

from lumenize_sim.objects.storage.connection import Connection
from lumenize_sim.objects.storage.durable import Durable
from lumenize_sim.objects.storage.limits import Limits
from lumenize_sim.objects.storage.pool import ConnectionPool

if TYPE_CHECKING:
    from lumenize_sim.objects.storage.store import Store

__all__ = ["Database", "Execute", "HiddenTable"]

Execute = Callable[..., apsw.Cursor]

_CREATE_KV: Final = "CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
_HAS_KV: Final = "SELECT 1 FROM sqlite_schema WHERE name='_cf_KV'"


class HiddenTable:
    """The table that holds the key-value entries (ST-12).

    Attributes:
        execute: runs statements on it, while it is known to exist; else ``None``.
        writing: it can be written at once: SQLite's transaction, every savepoint and the table are there, and
            the transaction counts as confirmed.
    """

    __slots__ = ("execute", "writing")

    def __init__(self) -> None:
        self.execute: Execute | None = None
        self.writing = False

    def forget(self) -> None:
        """The connection is gone, or what was known of the table may have been undone."""
        self.execute = None
        self.writing = False

    def create(self, execute: Execute) -> None:
        """Make it; the first write of an entry does."""
        execute(_CREATE_KV)
        self.execute = execute


class Database:
    """See the module.

    Attributes:
        connection: the open one, if there is one.
        table: the hidden table of entries in it.
        reading: SQLite's cursors that are not at their end, which need the connection.
    """

    __slots__ = (
        "_durable", "_generator", "_last_rowid", "_limits", "_now_ms", "_owner", "_pool", "connection", "reading",
        "table",
    )  # fmt: skip

    def __init__(
        self,
        owner: Store,
        durable: Durable,
        limits: Limits,
        *,
        pool: ConnectionPool | None,
        now_ms: Callable[[], int] | None,
        generator: random.Random | None,
    ) -> None:
        self._owner = owner
        self._durable = durable
        self._limits = limits
        self._pool = pool
        self._now_ms = now_ms
        self._generator = generator
        self._last_rowid = 0
        self.connection: Connection | None = None
        self.table = HiddenTable()
        self.reading: dict[Any, None] = {}

    def cancel_reads(self) -> None:
        """Whoever still reads gets nothing any more: tables that are read cannot be dropped."""
        for cursor in self.reading:
            if isinstance(cursor, apsw.Cursor):
                cursor.close(True)
        self.reading.clear()

    def now_ms(self) -> int:
        """The clock of the object, 0 where there is none."""
        return 0 if self._now_ms is None else self._now_ms()

    @property
    def empty(self) -> bool:
        """Nothing was ever written, so that a read need not open anything."""
        return self.connection is None and self._durable.image is None and self._durable.path is None

    def connect(self, image: bytes | None = None) -> Connection:
        """The connection, opened if need be, on ``image`` instead of the durable one if given."""
        connection = self.connection
        if connection is None:
            self._owner.check()
            durable = self._durable
            connection = self.connection = Connection(
                image or durable.image, durable.path, self._limits, now_ms=self._now_ms, generator=self._generator
            )
            if self._last_rowid:
                connection.db.set_last_insert_rowid(self._last_rowid)
            self.used()
        return connection

    def used(self) -> None:
        """Tell the pool."""
        if self._pool is not None:
            self._pool.used(self._owner)

    def replace(self, image: bytes) -> Connection:
        """Go on with a new connection on ``image``."""
        self.disconnect()
        return self.connect(image)

    def disconnect(self) -> None:
        """Close the connection; the next use opens another, which goes on with the same row ids."""
        connection = self.connection
        if connection is not None:
            self._last_rowid = connection.db.last_insert_rowid()
            connection.close()
            self.connection = None
            self.table.forget()
            if self._pool is not None:
                self._pool.forget(self._owner)

    def find_table(self) -> Execute | None:
        """`HiddenTable.execute`, looked for; ``None`` while the table does not exist."""
        table = self.table
        if table.execute is None:
            self._owner.check()
            if self.empty:
                return None
            execute = self.connect().execute
            if execute(_HAS_KV).get is not None:
                table.execute = execute
        return table.execute

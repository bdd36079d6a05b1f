"""The transactional state machine of the SQLite backend, between one incarnation and its durable state.

A turn's writes are one implicit transaction, committed locally where the turn ends, and
made durable later (`HeldCommits`, or `FiledCommits` with a file).  Within it the
application sets savepoints (`Savepoints`).  Deferred foreign keys, which SQLite checks
at COMMIT, are checked by their counter at the local commit, where the application has
to hear of them (OG-31).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeVar

import apsw

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.storage.connection import LARGE_BYTES, Connection
from lumenize_sim.objects.storage.database import Database, Execute, HiddenTable
from lumenize_sim.objects.storage.durable import Durable
from lumenize_sim.objects.storage.errors import INACCESSIBLE, NO_RECOVERY, StorageError, StorageResetError, sql_error
from lumenize_sim.objects.storage.filed import FiledCommits
from lumenize_sim.objects.storage.held import HeldCommits
from lumenize_sim.objects.storage.history import History
from lumenize_sim.objects.storage.hooks import StoreHooks
from lumenize_sim.objects.storage.limits import Limits
from lumenize_sim.objects.storage.object_store import ObjectStore
from lumenize_sim.objects.storage.pool import ConnectionPool
from lumenize_sim.objects.storage.savepoints import Frame, Savepoints

__all__ = ["Store"]

T = TypeVar("T")

_DROP_LIST: Final = "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND sql LIKE ? || '%'"
_FOREIGN_KEYS: Final = (
    "Durable Object was reset and rolled back to its last known good state because the application left the database "
    "in a state where constraints were violated: FOREIGN KEY constraint failed: "
    "SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)"
)


class Store(ObjectStore):
    """See the module.

    Attributes:
        database: the database, and the connection to it.
        table: its hidden table of key-value entries.
    """

    __slots__ = ("_commits", "_deferred", "_frames", "_savepoints", "_sql", "database", "table")

    def __init__(
        self,
        durable: Durable,
        *,
        hooks: StoreHooks,
        pool: ConnectionPool | None = None,
        limits: Limits | None = None,
        now_ms: Callable[[], int] | None = None,
        generator: random.Random | None = None,
        depth: int = 32,
    ) -> None:
        """``now_ms`` and ``generator`` are what ``'now'`` and ``random()`` in SQL see; ``None`` leaves SQLite's own.

        Raises:
            SimulatorError: another incarnation still has the durable state open.
        """
        super().__init__(durable, hooks, limits)
        database = self.database = Database(self, durable, self.limits, pool=pool, now_ms=now_ms, generator=generator)
        self.table: HiddenTable = database.table
        self._savepoints = Savepoints()
        self._frames = self._savepoints.frames
        self._sql = False  # user SQL has written in this turn
        self._deferred = False  # user SQL has set defer_foreign_keys, which ends with the transaction
        self._commits: HeldCommits | FiledCommits
        if durable.path is None:
            most = self.limits.object_bytes
            self._commits = HeldCommits(database, durable, depth, eager=most is not None and most < LARGE_BYTES)
        else:
            self._commits = FiledCommits(database, durable)
            self.alarm_ms = durable.alarm_ms = self._commits.stored_alarm_ms()

    # ------------------------------------------------------------------ life

    def connect(self) -> Connection:
        """The connection, opened if need be."""
        return self.database.connect()

    def release(self) -> bool:
        """Give the connection up if nothing needs it; tells whether it did.  The next use opens another."""
        database = self.database
        connection = database.connection
        if connection is None or self.dirty or self.durable.log or database.reading or connection.rights.sticky:
            return False
        self._commits.capture()
        database.disconnect()
        return True

    def close(self) -> None:
        """The incarnation ends idle: keep only the image.

        Raises:
            SimulatorError: there are writes that are not durable.
        """
        if self.broken is not None:
            return
        if self.dirty or self.durable.log:
            raise SimulatorError("a store was closed with writes that are not durable: flush them, or crash it")
        self._commits.capture()
        self._end(None)

    def crash(self, keep: int = 0, error: BaseException | None = None) -> None:
        """See `ObjectStore.crash`."""
        if self.durable.opened_by is self:
            self._commits.crash(keep)
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self.database.disconnect()
        self._break(self.broken or error or StorageResetError(INACCESSIBLE))
        durable = self.durable
        durable.opened_by = None
        if durable.restoring is not None:
            durable.restore(self.database.now_ms())

    def _break(self, error: BaseException) -> None:
        self.broken = error
        self.dirty = self.confirmed = False
        self.table.forget()
        self._savepoints.end()

    # ------------------------------------------------------------------ commits

    @property
    def in_transaction(self) -> bool:
        """Whether an application's savepoint is open."""
        return bool(self._frames)

    def commit(self) -> int | None:
        """End of a turn: commit the implicit transaction locally (OG-16).

        Returns the number of the commit, or ``None`` when nothing was written or an explicit transaction goes on.

        Raises:
            StorageResetError: deferred foreign keys are violated (OG-31), or a file cannot be written (OG-10); the
                transaction is lost, and the machine has to crash the store and reset the object.
        """
        if not self.dirty or self._frames:
            return None
        self.check()
        if self._sql:
            self._check_deferred()
        try:
            number = self._commits.commit(self.confirmed, self.alarm_ms)
        except StorageResetError as error:
            self._break(error)
            raise
        self.dirty = self.confirmed = self.table.writing = False
        return number

    def _check_deferred(self) -> None:
        self._sql = False
        connection = self.database.connection
        if connection is None:
            return
        if connection.db.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0]:
            error = StorageResetError(_FOREIGN_KEYS)
            self._break(error)
            raise error
        if self._deferred:
            self._deferred = False
            connection.execute("PRAGMA defer_foreign_keys=OFF")

    def flushed(self, number: int) -> None:
        """Commits up to ``number`` are durable from now on (OG-20)."""
        self._commits.flushed(number)

    def remember(self) -> History:
        """The history of the object, kept from now on at the latest (ST-30).

        Raises:
            StorageError: it has a file, whose past nobody keeps.
        """
        self.check()
        self._commits.remember()
        history = self.durable.history
        if history is None:
            raise StorageError(NO_RECOVERY)
        return history

    # ------------------------------------------------------------------ writes

    def mark(self, confirmed: bool) -> None:
        """A write of any kind begins (OG-23, OG-25)."""
        if not self.dirty:
            self.check()
            self.hooks.on_write()
            self.dirty = True
        if confirmed:
            for frame in self._frames:
                if frame.explicit:  # the gate locks when it commits, and only if it does
                    self._frames[-1].confirmed = True
                    return
            self.confirmed = True

    def begin(self) -> Execute:
        """Have SQLite's transaction and all savepoints open, for a write to the database."""
        execute = self._commits.begin()
        if self._frames:
            self._savepoints.open(execute)
        return execute

    def begin_sql(self, explosive: bool = False) -> None:
        """A statement of user SQL that may write is about to run: always confirmed (OG-24).

        ``explosive``: it may roll SQLite's transaction back by itself.
        """
        self.mark(True)
        if explosive:
            self._commits.spread()
        self.begin()
        self._sql = True

    def begin_kv(self, confirmed: bool = True) -> Execute:
        """A write to the hidden table is about to run; creates the table at the first one."""
        self.mark(confirmed)
        execute = self.begin()
        table = self.table
        if table.execute is None and self.database.find_table() is None:
            table.create(execute)
        table.writing = confirmed and not self._frames
        return execute

    def delete_all(self, *, alarm: bool) -> None:
        """Drop everything, what this turn wrote before included, in the turn's transaction (ST-26 to ST-29).

        ``alarm``: the alarm goes as well (ST-27).

        Raises:
            StorageError: a transaction is open (OG-30).
        """
        self.check()
        if self._frames:
            raise StorageError("Cannot call deleteAll() within a transaction")
        self.mark(True)
        if alarm:
            self.set_alarm(None, True)
        if self.database.empty:
            return
        connection = self.connect()
        execute = self.begin()
        self.table.forget()
        self.database.cancel_reads()
        db = connection.db
        enforced = db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, -1)
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 0)
        # Virtual tables take their shadow tables with them, which cannot be dropped one by one.
        for start in ("CREATE VIRTUAL", "CREATE"):
            for kind, name in execute(_DROP_LIST, (start,)).fetchall():
                if name in ("sqlite_sequence", "_cf_METADATA"):
                    continue
                execute('DROP {} IF EXISTS "{}"'.format(kind, str(name).replace('"', '""')))
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, enforced)
        connection.plans.clear()

    def pragma_ran(self, name: str, argument: str) -> None:
        """User SQL has set a pragma whose effect depends on SQLite's transaction, which is not the application's."""
        connection = self.database.connection
        if name == "foreign_keys" and connection is not None:
            if connection.db.in_transaction and not self._commits.began:
                on = argument.strip("'\"").lower() in ("1", "on", "yes", "true")
                connection.db.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, int(on))
        elif name == "defer_foreign_keys":
            self._deferred = True

    def failed(self, error: apsw.Error, refusal: str | None = None) -> StorageError:
        """The error to raise for one of SQLite's.

        Where SQLite has rolled everything back by itself the store breaks as well (OG-32).
        """
        if self.broken is not None:
            return self.broken if isinstance(self.broken, StorageError) else StorageError(str(self.broken))
        translated = sql_error(error, refusal)
        if not self._commits.lost():
            return translated
        broken = StorageResetError(str(translated))
        self._break(broken)
        self.dirty = True  # so that the end of the turn finds out, and resets the object
        return broken

    # ------------------------------------------------------------------ savepoints

    def push(self, *, explicit: bool) -> Frame:
        """Open a savepoint of the application.  SQLite hears of it at the first write in it."""
        self.check()
        if explicit and self.dirty and not self._frames:
            raise SimulatorError("an explicit transaction began before the implicit one was committed (IG-13)")
        frame = Frame(explicit, self.alarm_ms, self.armed)
        self._frames.append(frame)
        self.table.writing = False
        return frame

    def keep(self, frame: Frame) -> None:
        """Keep what was written in it; its parent may still roll it back."""
        self.table.writing = False
        try:
            self._savepoints.keep(frame, self.database.connection)
        except apsw.Error as error:
            raise self.failed(error) from None
        if frame.confirmed:
            if self._frames:
                self._frames[-1].confirmed = True
            else:
                self.confirmed = True

    def undo(self, frame: Frame) -> None:
        """Discard what was written in it and in those opened after it, the alarm included (AL-4, AL-20)."""
        connection = self.database.connection
        self._savepoints.undo(frame, connection)
        self.table.writing = False
        if frame.opened and connection is not None:
            connection.plans.clear()
            self.table.forget()  # its creation may have been undone
        if not self._frames and frame.explicit and not self.confirmed and self.broken is None:
            # Nothing was written before it, or it could not have begun (IG-13): so there is nothing to commit.
            self._commits.forgo()
            self.dirty = False
        self.armed = frame.armed
        if self.alarm_ms != frame.alarm_ms:
            self.alarm_ms = frame.alarm_ms
            self.hooks.on_alarm(frame.alarm_ms)

    def transaction_sync(self, fn: Callable[[], T]) -> T:
        """Run ``fn`` in a savepoint: kept when it returns, rolled back when it raises (OG-27)."""
        frame = self.push(explicit=False)
        try:
            result = fn()
        except BaseException:
            if frame.state == "open":
                self.undo(frame)
            raise
        if frame.state == "open":
            self.keep(frame)
        elif self.broken is not None and self.durable.opened_by is self:
            raise StorageError("Cannot commit transaction due to an earlier SQL critical error")
        return result

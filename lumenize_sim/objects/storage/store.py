"""The transactional state machine between one incarnation and its durable state.

A turn commits locally; a flush makes the commit durable later; a crash in between
leaves a prefix of the commits (OG-20).  So for every commit that is not durable yet,
the state *before* it must stay reachable.  Serialising the database at every commit
would do, at a price that grows with the database.  Instead SQLite's own COMMIT is put
off until the flush:

- A turn's first write begins a SQLite transaction; `Store.commit` only makes an entry
  in the log, and the commit is *held*.  If the flush comes next, as it nearly always
  does, then COMMIT: nothing was ever serialised.
- If another turn writes while commits are held, it sets a savepoint first.  Rolling
  back to that savepoint is the state after the commit before it; rolling all back is
  the state before the first.
- Where flushes lag behind for long the stack of savepoints would grow, and SQLite
  walks all of it for every page it changes.  Past ``depth`` each commit is serialised
  after all, and as soon as every state that a crash may still ask for has an image or
  is the present one, the transaction is committed and the stack is gone.

Deferred foreign keys, which SQLite checks at COMMIT, are checked by their counter at
the local commit, where the application has to hear of them (OG-31).  With a ``path``
the local commit is the real one and durable at once.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

import apsw
import attrs

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.connection import Connection
from lumenize_sim.objects.storage.durable import Commit, Durable
from lumenize_sim.objects.storage.errors import INACCESSIBLE, StorageError, StorageResetError, sql_error
from lumenize_sim.objects.storage.limits import Limits
from lumenize_sim.objects.storage.pool import ConnectionPool

__all__ = ["AccessKind", "Frame", "Store", "StoreHooks"]

T = TypeVar("T")
AccessKind = Literal["get", "put", "delete", "list", "sql-read", "sql-write"]
Execute = Callable[..., apsw.Cursor]

_CREATE_KV: Final = "CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"
_HAS_KV: Final = "SELECT 1 FROM sqlite_schema WHERE name='_cf_KV'"
_CREATE_METADATA: Final = "CREATE TABLE IF NOT EXISTS _cf_METADATA(key INTEGER PRIMARY KEY, value BLOB)"
_PUT_METADATA: Final = "INSERT OR REPLACE INTO _cf_METADATA VALUES(1, ?)"
_GET_METADATA: Final = "SELECT value FROM _cf_METADATA WHERE key=1"
_HAS_METADATA: Final = "SELECT 1 FROM sqlite_schema WHERE name='_cf_METADATA'"
_DROP_LIST: Final = "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND sql LIKE ? || '%'"


def _nothing() -> None:
    pass


def _no_alarm(_alarm_ms: int | None) -> None:
    pass


def _settled() -> Pending[None]:
    return Pending.of(None)


def _no_transaction(_fn: Callable[[Any], Awaitable[Any]]) -> Pending[Any]:
    return Pending.failed(SimulatorError("this store was opened without a machine that could run transaction()"))


@attrs.define(eq=False)
class StoreHooks:
    """What the machine wants to know and has to provide.

    Attributes:
        on_write: a turn's first write is about to happen (OG-16: a commit is due at its end).
        access: ``access(kind, key)`` before each operation, for traces; ``None`` costs nothing.
            The key is the entry's, a description of the range, or the SQL text.
        on_alarm: the alarm time has changed, in this process (AL-4).
        sync: settles when all writes up to now are durable (OG-26).
        transaction: runs ``fn(txn)`` in a critical section, around a `StorageTransaction` (OG-28).
    """

    on_write: Callable[[], None] = _nothing
    access: Callable[[AccessKind, str], None] | None = None
    on_alarm: Callable[[int | None], None] = _no_alarm
    sync: Callable[[], Pending[None]] = _settled
    transaction: Callable[[Callable[[Any], Awaitable[Any]]], Pending[Any]] = _no_transaction


@attrs.define(eq=False)
class Frame:
    """One open savepoint of the application: a `transactionSync` or a `transaction` (OG-27, OG-28)."""

    explicit: bool
    alarm_ms: int | None
    armed: bool
    opened: bool = False
    confirmed: bool = False
    state: Literal["open", "committed", "rolled back"] = "open"


class Store:
    """Opened on a `Durable` by one incarnation; connects at first use.  No method is a checkpoint.

    Attributes:
        durable: what it was opened on.
        dirty: a transaction with writes is open.
        confirmed: a confirmed write is among them, so that outputs from now on wait for it (OG-25).
        broken: what every call raises after a crash, a failed flush, or the end (OG-13).
        armed: the alarm handler runs, and no alarm was set during it: ``get_alarm`` hides the time (AL-5).
        kv_execute: runs statements on the hidden table, while it is known to exist; else ``None``.
        kv_writing: the hidden table can be written at once: the transaction, every savepoint and the table
            are there, and the transaction counts as confirmed.
        pins: cursors being read, which need the connection.
    """

    __slots__ = (
        "_base",
        "_began",
        "_connection",
        "_deferred",
        "_depth",
        "_durable_top",
        "_frames",
        "_generator",
        "_held",
        "_lagging",
        "_last_rowid",
        "_now_ms",
        "_open",
        "_pool",
        "_sql",
        "_stale",
        "_top",
        "alarm_ms",
        "armed",
        "broken",
        "confirmed",
        "dirty",
        "durable",
        "hooks",
        "kv_execute",
        "kv_writing",
        "limits",
        "pins",
    )  # fmt: skip

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
        if durable.opened_by is not None:
            raise SimulatorError("a second store was opened on one durable object: close or crash the first")
        durable.opened_by = self
        self.durable = durable
        self.hooks = hooks
        self.limits = limits or Limits()
        self.dirty = False
        self.confirmed = False
        self.broken: BaseException | None = None
        self.alarm_ms = durable.alarm_ms
        self.armed = False
        self.kv_execute: Execute | None = None
        self.kv_writing = False
        self.pins = 0
        self._pool = pool
        self._now_ms = now_ms
        self._generator = generator
        self._depth = depth
        self._connection: Connection | None = None
        self._frames: list[Frame] = []
        self._open = False  # SQLite has a transaction open
        self._began = False  # and the present turn writes in it
        self._base = 0  # number of the commit that ROLLBACK goes back to
        self._held: list[int] = []  # numbers of the commits that each savepoint goes back to
        self._top = self._durable_top = durable.number  # last commit that changed the database, and the last durable
        self._stale = False  # durable.image is older than the durable state
        self._lagging = False  # flushes lag behind: every commit gets an image
        self._sql = False  # user SQL has written in this turn
        self._deferred = False  # user SQL has set defer_foreign_keys, which ends with the transaction
        self._last_rowid = 0
        if durable.path is not None:
            self.alarm_ms = durable.alarm_ms = self._read_alarm()

    # ------------------------------------------------------------------ connection

    def check(self) -> None:
        """Raises `broken`, if set."""
        if self.broken is not None:
            raise self.broken

    def connect(self, image: bytes | None = None) -> Connection:
        """The connection, opened if need be, on ``image`` instead of the durable one if given."""
        connection = self._connection
        if connection is None:
            self.check()
            durable = self.durable
            connection = self._connection = Connection(
                image or durable.image, durable.path, self.limits, now_ms=self._now_ms, generator=self._generator
            )
            if self._last_rowid:
                connection.db.set_last_insert_rowid(self._last_rowid)
            if self._pool is not None:
                self._pool.used(self)
        return connection

    def release(self) -> bool:
        """Give the connection up if nothing needs it; tells whether it did.  The next use opens another."""
        connection = self._connection
        if connection is None or self.dirty or self.durable.log or self.pins or connection.sticky:
            return False
        self._capture()
        self._last_rowid = connection.db.last_insert_rowid()
        self._disconnect()
        return True

    def _capture(self) -> None:
        if self._stale and self._connection is not None:
            self.durable.image = self._connection.image()
            self._stale = False

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self.kv_execute = None
            self.kv_writing = False
            if self._pool is not None:
                self._pool.forget(self)

    def close(self) -> None:
        """The incarnation ends idle: keep only the image.

        Raises:
            SimulatorError: there are writes that are not durable.
        """
        if self.broken is not None:
            return
        if self.dirty or self.durable.log:
            raise SimulatorError("a store was closed with writes that are not durable: flush them, or crash it")
        self._capture()
        self._end(None)

    def crash(self, keep: int = 0, error: BaseException | None = None) -> None:
        """Lose the open transaction and all unflushed commits but the first ``keep``, which become durable.

        Every later call raises ``error``, or what it raised already, by default that storage is no longer
        accessible (LC-39).  Idempotent.
        """
        durable = self.durable
        if durable.opened_by is not self:
            return
        log = durable.log
        kept = log[: max(0, keep)]
        number, image, known = self._durable_top, durable.image, not self._stale
        for commit in kept:
            if commit.database:
                number, image, known = commit.number, commit.image, commit.image is not None
        durable.image = image if known else self._rewind(number)
        if kept:
            durable.alarm_ms = kept[-1].alarm_ms
        log.clear()
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        self._disconnect()
        self._open = self._began = False
        self._break(self.broken or error or StorageResetError(INACCESSIBLE))
        self.durable.opened_by = None

    def _break(self, error: BaseException) -> None:
        self.broken = error
        self.dirty = self.confirmed = self.kv_writing = False
        self.kv_execute = None
        for frame in self._frames:
            frame.state = "rolled back"
        self._frames.clear()

    def _rewind(self, number: int) -> bytes | None:
        """The image of the state after commit ``number``.  What came later is lost."""
        connection = self._connection
        assert connection is not None, "no connection, but a state that has no image"
        if number != self._top or self._began:
            if number in self._held:
                connection.execute(f"ROLLBACK TO _cf_held_{self._held.index(number)}")
            elif self._open and number == self._base:
                connection.execute("ROLLBACK")
            else:
                raise SimulatorError(f"the state after commit {number} cannot be reached any more")
        return connection.image()

    # ------------------------------------------------------------------ commits

    @property
    def unflushed(self) -> int:
        """How many commits are not durable yet."""
        return len(self.durable.log)

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
        durable = self.durable
        connection = self._connection
        began = self._began
        if self._sql and connection is not None:
            self._sql = False
            if connection.db.status(apsw.SQLITE_DBSTATUS_DEFERRED_FKS)[0]:
                error = StorageResetError(
                    "Durable Object was reset and rolled back to its last known good state because the application "
                    "left the database in a state where constraints were violated: FOREIGN KEY constraint failed: "
                    "SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)"
                )
                self._break(error)
                raise error
            if self._deferred:
                self._deferred = False
                connection.execute("PRAGMA defer_foreign_keys=OFF")
        if durable.path is not None:
            return self._commit_file()
        number = durable.number = durable.number + 1
        commit = Commit(number, self.confirmed, self.alarm_ms, began)
        durable.log.append(commit)
        self.dirty = self.confirmed = self._began = self.kv_writing = False
        if began:
            self._top = number
            assert connection is not None
            if self._lagging or len(self._held) >= self._depth:
                self._lagging = True
                commit.image = connection.image()
                self._settle(connection)
            if self._pool is not None:
                self._pool.used(self)
        return number

    def _commit_file(self) -> int:
        durable = self.durable
        connection = self.connect()
        try:
            if self.alarm_ms != durable.alarm_ms:
                self.begin()
                connection.execute(_CREATE_METADATA)
                connection.execute(_PUT_METADATA, (self.alarm_ms,))
            if self._open:
                connection.execute("COMMIT")
        except apsw.Error as error:
            broken = StorageResetError(
                f"Internal error in Durable Object storage write caused object to be reset; reference = {error}"
            )
            self._break(broken)
            raise broken from error
        durable.alarm_ms = self.alarm_ms
        number = durable.number = durable.number + 1
        self.dirty = self.confirmed = self._began = self._open = self.kv_writing = False
        self._top = self._durable_top = number
        if self._pool is not None:
            self._pool.used(self)
        return number

    def _read_alarm(self) -> int | None:
        execute = self.connect().execute
        if execute(_HAS_METADATA).get is None:
            return None
        value: int | None = execute(_GET_METADATA).get
        return value

    def flushed(self, number: int) -> None:
        """Commits up to ``number`` are durable from now on (OG-20)."""
        durable = self.durable
        log = durable.log
        done = 0
        for commit in log:
            if commit.number > number:
                break
            done += 1
            durable.alarm_ms = commit.alarm_ms
            if commit.database:
                self._durable_top = commit.number
                durable.image = commit.image
                self._stale = commit.image is None
        del log[:done]
        if not log:
            self._lagging = False
        if self._open and not self._began:
            assert self._connection is not None
            self._settle(self._connection)

    def _settle(self, connection: Connection) -> None:
        """COMMIT if no state before the present one has to be found by rolling back."""
        if self._stale and self._durable_top != self._top:
            return
        for commit in self.durable.log:
            if commit.database and commit.image is None and commit.number != self._top:
                return
        if self._open:
            connection.execute("COMMIT")
            self._open = False
            self._held.clear()

    def _spread(self) -> None:
        """Give every state an image, and go on with a new connection, in no transaction.

        For SQL with a ROLLBACK clause, which throws away SQLite's whole transaction with all held commits in it.
        """
        old = self._connection
        assert old is not None
        present = old.image()
        for commit in reversed(self.durable.log):
            if commit.database and commit.image is None:
                commit.image = present if commit.number == self._top else self._rewind(commit.number)
        if self._stale:
            self.durable.image = present if self._durable_top == self._top else self._rewind(self._durable_top)
            self._stale = False
        self._last_rowid = old.db.last_insert_rowid()
        self._disconnect()
        self._open = False
        self._held.clear()
        self.connect(present)

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
        connection = self._connection or self.connect()
        execute = connection.execute
        if not self._began:
            if self._open:
                execute(f"SAVEPOINT _cf_held_{len(self._held)}")
                self._held.append(self._top)
            else:
                execute("BEGIN")
                self._open = True
                self._base = self._top
            self._began = True
        for index, frame in enumerate(self._frames):
            if not frame.opened:
                execute(f"SAVEPOINT _cf_frame_{index}")
                frame.opened = True
        return execute

    def begin_sql(self, explosive: bool = False) -> None:
        """A statement of user SQL that may write is about to run: always confirmed (OG-24).

        ``explosive``: it may roll SQLite's transaction back by itself.
        """
        self.mark(True)
        if explosive and self._open and not self._began and self.durable.path is None:
            self._spread()
        self.begin()
        self._sql = True

    def begin_kv(self, confirmed: bool = True) -> Execute:
        """A write to the hidden table is about to run; creates the table at the first one."""
        self.mark(confirmed)
        execute = self.begin()
        if self.find_kv() is None:
            execute(_CREATE_KV)
            self.kv_execute = execute
        self.kv_writing = confirmed and not self._frames
        return execute

    def find_kv(self) -> Execute | None:
        """`kv_execute`, looked for; ``None`` while the hidden table does not exist."""
        if self.kv_execute is None:
            self.check()
            if self._connection is None:
                if self.durable.image is None and self.durable.path is None:
                    return None
            execute = self.connect().execute
            if execute(_HAS_KV).get is not None:
                self.kv_execute = execute
        return self.kv_execute

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
        if self._connection is None and self.durable.image is None and self.durable.path is None:
            return
        connection = self.connect()
        execute = self.begin()
        self.kv_execute = None
        self.kv_writing = False
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
        connection = self._connection
        if name == "foreign_keys" and self._open and not self._began and connection is not None:
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
        connection = self._connection
        if not self._open or connection is None or connection.db.in_transaction:
            return translated
        self._open = self._began = False
        self._held.clear()
        self._top = self._base
        log = self.durable.log
        if self._stale and self._durable_top != self._base:
            raise SimulatorError("SQLite rolled back a transaction that held durable commits")
        for index, commit in enumerate(log):
            if commit.database and commit.image is None and commit.number != self._base:
                del log[index:]
                break
        broken = StorageResetError(str(translated))
        self._break(broken)
        return broken

    # ------------------------------------------------------------------ savepoints

    def push(self, *, explicit: bool) -> Frame:
        """Open a savepoint of the application.  SQLite hears of it at the first write in it."""
        self.check()
        if explicit and self.dirty and not self._frames:
            raise SimulatorError("an explicit transaction began before the implicit one was committed (IG-13)")
        frame = Frame(explicit, self.alarm_ms, self.armed)
        self._frames.append(frame)
        self.kv_writing = False
        return frame

    def keep(self, frame: Frame) -> None:
        """Keep what was written in it; its parent may still roll it back."""
        frames = self._frames
        if not frames or frames[-1] is not frame:
            raise SimulatorError("savepoints have to end in the opposite order of their beginning")
        frames.pop()
        frame.state = "committed"
        self.kv_writing = False
        if frame.opened and self._connection is not None:
            try:
                self._connection.execute(f"RELEASE _cf_frame_{len(frames)}")
            except apsw.Error as error:
                raise self.failed(error) from None
        if frame.confirmed:
            if frames:
                frames[-1].confirmed = True
            else:
                self.confirmed = True

    def undo(self, frame: Frame) -> None:
        """Discard what was written in it and in those opened after it, the alarm included (AL-4, AL-20)."""
        frames = self._frames
        index = frames.index(frame)
        for other in frames[index:]:
            other.state = "rolled back"
        del frames[index:]
        self.kv_writing = False
        if frame.opened and self._connection is not None:
            self._connection.execute(f"ROLLBACK TO _cf_frame_{index}")
            self._connection.execute(f"RELEASE _cf_frame_{index}")
            self._connection.plans.clear()
            self.kv_execute = None  # its creation may have been undone
        if not frames and frame.explicit and not frame.opened and not self._began and not self.confirmed:
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

    # ------------------------------------------------------------------ alarm

    def get_alarm(self) -> int | None:
        """The alarm time as the application sees it (AL-5)."""
        self.check()
        return None if self.armed else self.alarm_ms

    def set_alarm(self, alarm_ms: int | None, confirmed: bool) -> None:
        """Set or remove the alarm, in the transaction of this turn (AL-4).  The same time again is no write (AL-7)."""
        self.check()
        if alarm_ms != self.alarm_ms:
            self.mark(confirmed)
            self.alarm_ms = alarm_ms
        elif not self.armed:
            return
        self.armed = False
        self.hooks.on_alarm(alarm_ms)

    def arm(self) -> None:
        """The alarm handler is about to run (AL-5)."""
        self.armed = True

    def disarm(self, *, succeeded: bool) -> None:
        """The alarm handler has ended: delete the alarm, unless it was set or deleted meanwhile (AL-17).

        After a failure the time stands again (AL-5).
        """
        if self.armed and succeeded:
            self.set_alarm(None, True)
        self.armed = False

"""Commits that are held: made in this process, and reachable until a flush has made them durable.

A turn commits locally; a flush makes the commit durable later; a crash in between
leaves a prefix of the commits (OG-20).  So for every commit that is not durable yet,
the state *before* it must stay reachable.  Serialising the database at every commit
would do, at a price that grows with the database.  Instead SQLite's own COMMIT is put
off until the flush:

- A turn's first write begins a SQLite transaction; `HeldCommits.commit` only makes an entry
  in the log, and the commit is *held*.  If the flush comes next, as it nearly always
  does, then COMMIT: nothing was ever serialised.
- If another turn writes while commits are held, it sets a savepoint first.  Rolling
  back to that savepoint is the state after the commit before it; rolling all back is
  the state before the first.
- Where flushes lag behind for long the stack of savepoints would grow, and SQLite
  walks all of it for every page it changes.  Past ``depth`` each commit is serialised
  after all, and as soon as every state that a crash may still ask for has an image or
  is the present one, the transaction is committed and the stack is gone.
"""

from __future__ import annotations

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.storage.connection import Connection
from lumenize_sim.objects.storage.database import Database, Execute
from lumenize_sim.objects.storage.durable import Commit, Durable
from lumenize_sim.objects.storage.history import History

__all__ = ["HeldCommits"]


class HeldCommits:
    """The one SQLite transaction of a database in memory, and the commits in it.

    Attributes:
        began: the present turn writes in it.
    """

    __slots__ = (
        "_base", "_database", "_depth", "_durable", "_durable_top", "_eager", "_held", "_lagging", "_open", "_stale",
        "_top", "began",
    )  # fmt: skip

    def __init__(self, database: Database, durable: Durable, depth: int, *, eager: bool) -> None:
        """``eager``: serialise every commit, for a database that may be full, when SQLite rolls all of them back."""
        self._database = database
        self._durable = durable
        self._depth = depth
        self._eager = eager
        self.began = False
        self._open = False  # SQLite has a transaction open
        self._base = 0  # number of the commit that ROLLBACK goes back to
        self._held: list[int] = []  # numbers of the commits that each savepoint goes back to
        self._top = self._durable_top = durable.number  # last commit that changed the database, and the last durable
        self._stale = False  # durable.image is older than the durable state
        self._lagging = False  # flushes lag behind: every commit gets an image

    def begin(self) -> Execute:
        """Have SQLite's transaction open, for a write of the present turn."""
        database = self._database
        execute = (database.connection or database.connect()).execute
        if not self.began:
            if self._open:
                execute(f"SAVEPOINT _cf_held_{len(self._held)}")
                self._held.append(self._top)
            else:
                execute("BEGIN")
                self._open = True
                self._base = self._top
            self.began = True
        return execute

    def commit(self, confirmed: bool, alarm_ms: int | None) -> int:
        """The turn is over: put its commit on the log; the number of it."""
        durable = self._durable
        number = durable.number = durable.number + 1
        commit = Commit(number, confirmed, alarm_ms, self.began)
        if durable.history is not None:
            commit.at_ms = self._database.now_ms()
        durable.log.append(commit)
        if self.began:
            self.began = False
            self._top = number
            if self._lagging or len(self._held) >= self._depth or self._eager or durable.history is not None:
                connection = self._database.connection
                assert connection is not None
                self._lagging = True
                commit.image = connection.image()
                self._settle(connection)
            self._database.used()
        return number

    def forgo(self) -> None:
        """The turn has rolled back all that it wrote: there is nothing to commit."""
        if not self.began:
            return
        connection = self._database.connection
        assert connection is not None
        self.began = False
        if self._held:
            self._held.pop()
            connection.execute(f"RELEASE _cf_held_{len(self._held)}")
            self._settle(connection)  # where flushes that came meanwhile had to wait for it
        else:
            connection.execute("COMMIT")  # of nothing; ROLLBACK would end every cursor that is being read
            self._open = False

    def flushed(self, number: int) -> None:
        """Commits up to ``number`` are durable from now on (OG-20)."""
        durable = self._durable
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
            if durable.history is not None:
                self._into_history(durable.history, commit)
        del log[:done]
        if not log:
            self._lagging = False
        if self._open and not self.began:
            connection = self._database.connection
            assert connection is not None
            self._settle(connection)

    def _into_history(self, history: History, commit: Commit) -> None:
        if commit.image is not None:
            history.add(commit.number, commit.at_ms, commit.image, commit.alarm_ms)
        elif not commit.database and history and history.latest.number >= self._durable_top:
            history.add(commit.number, commit.at_ms, None, commit.alarm_ms, same=True)

    def remember(self) -> None:
        """Keep a history from now on (ST-30): what is durable belongs to it, and every commit to come."""
        durable, database = self._durable, self._database
        if durable.history is not None:
            return
        durable.history = History()
        at_ms = database.now_ms()
        connection = database.connection
        if self._stale and self._durable_top == self._top and not self.began and connection is not None:
            self.capture()
        if not self._stale:
            number = durable.log[0].number - 1 if durable.log else durable.number
            durable.history.add(number, at_ms, durable.image, durable.alarm_ms)
        for commit in durable.log:
            commit.at_ms = at_ms
            if commit.database and commit.image is None and commit.number == self._top and not self.began:
                assert connection is not None
                commit.image = connection.image()

    def capture(self) -> None:
        """Bring the durable image up to date, of an idle store."""
        connection = self._database.connection
        if self._stale and connection is not None:
            self._durable.image = connection.image()
            self._stale = False

    def crash(self, keep: int) -> None:
        """Go back to the last durable state, or to that after the first ``keep`` commits, which become durable."""
        durable = self._durable
        kept = durable.log[: max(0, keep)]
        number, image, known = self._durable_top, durable.image, not self._stale
        for commit in kept:
            if commit.database:
                number, image, known = commit.number, commit.image, commit.image is not None
        durable.image = image if known else self._rewind(number)
        if kept:
            durable.alarm_ms = kept[-1].alarm_ms
        durable.log.clear()
        self._open = self.began = False

    def spread(self) -> None:
        """Give every state an image, and go on with a new connection, in no transaction.

        For SQL with a ROLLBACK clause, which throws away SQLite's whole transaction with all held commits in it.
        """
        if not self._open or self.began:
            return
        old = self._database.connection
        assert old is not None
        present = old.image()
        durable = self._durable
        for commit in reversed(durable.log):
            if commit.database and commit.image is None:
                commit.image = present if commit.number == self._top else self._rewind(commit.number)
        if self._stale:
            durable.image = present if self._durable_top == self._top else self._rewind(self._durable_top)
            self._stale = False
        self._open = False
        self._held.clear()
        self._database.replace(present)

    def lost(self) -> bool:
        """Whether SQLite has just rolled everything back by itself (OG-32); then the held commits are gone as well."""
        connection = self._database.connection
        if not self._open or connection is None or connection.db.in_transaction:
            return False
        self._open = self.began = False
        self._held.clear()
        self._top = self._base
        if self._stale and self._durable_top != self._base:
            raise SimulatorError("SQLite rolled back a transaction that held durable commits")
        log = self._durable.log
        for index, commit in enumerate(log):
            if commit.database and commit.image is None and commit.number != self._base:
                del log[index:]
                break
        return True

    def _settle(self, connection: Connection) -> None:
        """COMMIT if no state before the present one has to be found by rolling back."""
        if self._stale and self._durable_top != self._top:
            return
        for commit in self._durable.log:
            if commit.database and commit.image is None and commit.number != self._top:
                return
        if self._open:
            connection.execute("COMMIT")
            self._open = False
            self._held.clear()

    def _rewind(self, number: int) -> bytes | None:
        """The image of the state after commit ``number``.  What came later is lost."""
        connection = self._database.connection
        assert connection is not None, "no connection, but a state that has no image"
        if number != self._top or self.began:
            if number in self._held:
                connection.execute(f"ROLLBACK TO _cf_held_{self._held.index(number)}")
            elif self._open and number == self._base:
                connection.execute("ROLLBACK")
            else:
                raise SimulatorError(f"the state after commit {number} cannot be reached any more")
        return connection.image()

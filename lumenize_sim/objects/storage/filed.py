"""Commits to a file: the local commit is the real one, and durable at once."""

from __future__ import annotations

from typing import Final

import apsw

from lumenize_sim.objects.storage.database import Database, Execute
from lumenize_sim.objects.storage.durable import Durable
from lumenize_sim.objects.storage.errors import StorageResetError

__all__ = ["FiledCommits"]

_CREATE_METADATA: Final = "CREATE TABLE IF NOT EXISTS _cf_METADATA(key INTEGER PRIMARY KEY, value BLOB)"
_PUT_METADATA: Final = "INSERT OR REPLACE INTO _cf_METADATA VALUES(1, ?), (2, ?)"
_GET_METADATA: Final = "SELECT value FROM _cf_METADATA WHERE key=1"
_HAS_METADATA: Final = "SELECT 1 FROM sqlite_schema WHERE name='_cf_METADATA'"


class FiledCommits:
    """The same verbs as `HeldCommits`, over a database file in WAL mode with ``synchronous=FULL``.

    Attributes:
        began: the present turn writes in SQLite's transaction.
    """

    __slots__ = ("_database", "_durable", "began")

    def __init__(self, database: Database, durable: Durable) -> None:
        self._database = database
        self._durable = durable
        self.began = False

    def stored_alarm_ms(self) -> int | None:
        """The alarm time in the file."""
        execute = self._database.connect().execute
        if execute(_HAS_METADATA).get is None:
            return None
        value: int | None = execute(_GET_METADATA).get
        return value

    def begin(self) -> Execute:
        """Have SQLite's transaction open, for a write of the present turn."""
        execute = self._database.connect().execute
        if not self.began:
            execute("BEGIN")
            self.began = True
        return execute

    def commit(self, confirmed: bool, alarm_ms: int | None) -> int:
        """Write the turn to the file; the number of the commit.

        Raises:
            StorageResetError: the file cannot be written (OG-10).
        """
        durable = self._durable
        try:
            if alarm_ms != durable.alarm_ms:
                execute = self.begin()
                execute(_CREATE_METADATA)
                execute(_PUT_METADATA, (alarm_ms, durable.name))
            if self.began:
                self._database.connect().execute("COMMIT")
        except apsw.Error as error:
            raise StorageResetError(
                f"Internal error in Durable Object storage write caused object to be reset; reference = {error}"
            ) from error
        durable.alarm_ms = alarm_ms
        durable.number += 1
        self.began = False
        self._database.used()
        return durable.number

    def forgo(self) -> None:
        """The turn has rolled back all that it wrote: there is nothing to commit."""
        if self.began:
            self._database.connect().execute("COMMIT")  # of nothing; ROLLBACK would end cursors that are being read
            self.began = False

    def flushed(self, number: int) -> None:
        """They are already."""

    def remember(self) -> None:
        """A file has no past."""

    def capture(self) -> None:
        """The file is up to date."""

    def crash(self, keep: int) -> None:
        """Closing the connection rolls back what is not committed."""

    def spread(self) -> None:
        """No commit is held that a ROLLBACK clause could throw away."""

    def lost(self) -> bool:
        """Whether SQLite has just rolled the turn's transaction back by itself (OG-32)."""
        connection = self._database.connection
        if not self.began or connection is None or connection.db.in_transaction:
            return False
        self.began = False
        return True

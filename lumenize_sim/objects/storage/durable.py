"""What of an object survives: plain data, kept apart from every live connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lumenize_sim.objects.storage.history import History, Moment

if TYPE_CHECKING:
    from lumenize_sim.objects.storage.legacy.disk import Disk
    from lumenize_sim.objects.storage.object_store import ObjectStore

__all__ = ["Commit", "Durable"]


@attrs.define(eq=False)
class Commit:
    """A transaction that is committed in this process and not yet durable.

    Attributes:
        number: monotone per `Durable`, from 1.
        confirmed: outputs have to wait for it (OG-23).
        alarm_ms: the alarm time after it, in epoch milliseconds.
        database: it changed the database, not only the alarm.
        image: the database after it, where it had to be captured.
        at_ms: when it was made, where a history is kept.
    """

    number: int
    confirmed: bool
    alarm_ms: int | None
    database: bool
    image: bytes | None = None
    at_ms: int = 0


@attrs.define(eq=False)
class Durable:
    """The durable state of one object id, across incarnations.

    Attributes:
        image: the last durable database as SQLite serialises it; ``None`` is the empty one.
            While a store is open it may lag behind; `Store.close` and `Store.crash` bring it up to date.
        alarm_ms: the last durable alarm time, in epoch milliseconds.
        name: of the id of the instance that has it open, or had; goes with the alarm (LC-5).
        path: a database file instead of images, in WAL mode with ``synchronous=FULL``.
        disk: the entries, on the legacy backend, which has no database.
        history: the states it has had, where they are kept (ST-30).
        restoring: the one that the next instance will find.
        bookmarks: how many of the local counter's bookmarks were given out, where there is no recovery (ST-30).
        number: number of the last commit made.
        log: commits that are not durable yet, oldest first (OG-20).
        opened_by: the store that is open on it.
    """

    image: bytes | None = None
    alarm_ms: int | None = None
    name: str | None = None
    path: str | None = None
    disk: Disk | None = None
    history: History | None = None
    restoring: Moment | None = None
    bookmarks: int = 0
    number: int = 0
    log: list[Commit] = attrs.field(factory=list)
    opened_by: ObjectStore | None = None

    @property
    def sql_bytes(self) -> int:
        """Bytes of the database's pages in use (ST-24), 0 without one; of an image, not of a file."""
        image = self.image
        if not image:
            return 0
        # From SQLite's header: page size at 16 (1 stands for 65536), pages at 28, free ones at 36.
        size = int.from_bytes(image[16:18], "big")
        pages, free = int.from_bytes(image[28:32], "big"), int.from_bytes(image[36:40], "big")
        return (pages - free) * (65536 if size == 1 else size)

    @property
    def kv_bytes(self) -> int:
        """Bytes of all keys and values on the legacy backend."""
        return 0 if self.disk is None else sum(len(key.encode()) + len(data) for key, data in self.disk.items())

    def restore(self, now_ms: int) -> None:
        """The instance has ended; bring back the state that it asked for, as a new one (ST-30)."""
        moment, self.restoring = self.restoring, None
        if moment is None or self.history is None:
            return
        self.number += 1
        self.image, self.alarm_ms = moment.image, moment.alarm_ms
        self.history.add(self.number, now_ms, self.image, self.alarm_ms)

"""What of an object survives: plain data, kept apart from every live connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

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
    """

    number: int
    confirmed: bool
    alarm_ms: int | None
    database: bool
    image: bytes | None = None


@attrs.define(eq=False)
class Durable:
    """The durable state of one object id, across incarnations.

    Attributes:
        image: the last durable database as SQLite serialises it; ``None`` is the empty one.
            While a store is open it may lag behind; `Store.close` and `Store.crash` bring it up to date.
        alarm_ms: the last durable alarm time, in epoch milliseconds.
        path: a database file instead of images, in WAL mode with ``synchronous=FULL``.
        disk: the entries, on the legacy backend, which has no database.
        number: number of the last commit made.
        log: commits that are not durable yet, oldest first (OG-20).
        opened_by: the store that is open on it.
    """

    image: bytes | None = None
    alarm_ms: int | None = None
    path: str | None = None
    disk: Disk | None = None
    number: int = 0
    log: list[Commit] = attrs.field(factory=list)
    opened_by: ObjectStore | None = None

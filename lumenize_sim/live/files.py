"""The files of objects: one SQLite database for each, in a folder for each binding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw

from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.objects.ids import DurableObjectId, id_from_name, id_from_string
from lumenize_sim.objects.storage import Durable

__all__ = ["Files"]

_SUFFIX = ".sqlite"


class Files:
    """Databases below ``folder``: ``COUNTER/<64 hex digits of the id>.sqlite``.  Without a folder, in memory.

    Raises:
        UsageError: the folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"the data folder {folder} cannot be made: {error.strerror}. Give another one."
                ) from None

    def durable(self, binding: str, object_id: DurableObjectId, alarm_ms: int | None = None) -> Durable:
        """The durable state of one object.  The file is made when the object first wakes up."""
        if self._folder is None:
            return Durable()
        folder = self._folder / binding
        folder.mkdir(exist_ok=True)
        return Durable(path=str(folder / f"{object_id.hex}{_SUFFIX}"), alarm_ms=alarm_ms)

    def alarms(self, app: Mesh) -> Iterator[tuple[str, DurableObjectId, int]]:
        """Alarms that are set in the files, ``(binding, id, epoch milliseconds)``.

        An id has a name where that of the instance which set the alarm had one (LC-5).
        """
        if self._folder is None:
            return
        for binding in app.bindings:
            for path in sorted((self._folder / binding).glob(f"*{_SUFFIX}")):
                alarm_ms, name = _alarm_in(path)
                if alarm_ms is None:
                    continue
                found = id_from_string(binding, path.name.removesuffix(_SUFFIX))
                named = found if name is None else id_from_name(binding, name)
                yield binding, named if named.hex == found.hex else found, alarm_ms


def _alarm_in(path: Path) -> tuple[int | None, str | None]:
    # Opened for writing: a database in WAL mode whose process was killed has to be recovered before it can be read.
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        if db.execute("SELECT 1 FROM sqlite_schema WHERE name='_cf_METADATA'").get is None:
            return None, None
        alarm_ms: int | None = db.execute("SELECT value FROM _cf_METADATA WHERE key=1").get
        name: str | None = db.execute("SELECT value FROM _cf_METADATA WHERE key=2").get
        return alarm_ms, name
    finally:
        db.close()

"""What storage says when it refuses, in SQLite's words and the platform's form (ST-22)."""

from __future__ import annotations

from typing import Final

import apsw

from lumenize_sim.errors import AppError

__all__ = ["CANCELED", "INACCESSIBLE", "NO_RECOVERY", "StorageError", "StorageResetError", "sql_error"]

INACCESSIBLE: Final = "Durable Object storage is no longer accessible."
#: What reads on where `delete_all` has taken the database away.
CANCELED: Final = "SQLite query was canceled because the database was deleted."
NO_RECOVERY: Final = "This Durable Object's storage back-end does not implement point-in-time recovery."


class StorageError(AppError):
    """A refused storage operation.  The platform throws a plain ``Error``; the object is not reset (ST-22)."""

    wire_name = "Error"


class StorageResetError(StorageError):
    """The store is unusable from now on, and its object has to be reset (OG-13, OG-31, OG-32, LC-39).

    Attributes:
        overloaded: the object, or its isolate, had more to do than it could (LC-37).
    """

    def __init__(self, message: str, *, overloaded: bool = False) -> None:
        super().__init__(message)
        self.overloaded = overloaded


def sql_error(error: apsw.Error, refusal: str | None = None) -> StorageError:
    """SQLite's error as ``message[ at offset n]: SQLITE_CODE[ (extended: SQLITE_CODE_X)]`` (ST-22).

    ``refusal`` replaces the whole text where the authorizer has a better explanation.
    """
    if refusal is not None:
        return StorageError(refusal)
    text = str(error)
    offset = getattr(error, "error_offset", -1)
    if offset >= 0:
        text += f" at offset {offset}"
    code = getattr(error, "result", None)
    if isinstance(error, apsw.CursorClosedError):
        return StorageError(CANCELED)
    if code is None:  # apsw's own
        return StorageError(text)
    # apsw raises what the authorizer denied as the general SQLITE_ERROR class: its text tells.
    if text == "not authorized" or text.endswith(" is prohibited"):
        code = extended = apsw.SQLITE_AUTH
    else:
        extended = getattr(error, "extendedresult", code)
    text += f": {apsw.mapping_result_codes[code]}"
    if extended != code:
        text += f" (extended: {apsw.mapping_extended_result_codes.get(extended, extended)})"
    return StorageError(text)

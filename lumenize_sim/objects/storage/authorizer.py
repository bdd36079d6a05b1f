"""What user SQL may do (ST-21), and what it was seen to do while SQLite prepared it."""

from __future__ import annotations

from typing import Final

import apsw

__all__ = ["BEGIN_REFUSED", "Authorizer"]

BEGIN_REFUSED: Final = (
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs "
    "instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will "
    "automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic "
    "write coalescing."
)

_BOOLEAN_PRAGMAS: Final = frozenset(
    {
        "case_sensitive_like",
        "foreign_keys",
        "defer_foreign_keys",
        "ignore_check_constraints",
        "legacy_alter_table",
        "recursive_triggers",
        "reverse_unordered_selects",
    }
)
_READ_PRAGMAS: Final = frozenset({"data_version", "page_size"})
_NAME_PRAGMAS: Final = frozenset(
    {"foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo", "quick_check"}
    | {"table_info", "table_xinfo"}
)
_ANY_PRAGMAS: Final = frozenset({"optimize", "table_list"})
_MODULES: Final = frozenset({"fts5", "fts5vocab", "rtree", "rtree_i32"})
_FUNCTIONS_REFUSED: Final = frozenset({"load_extension", "fts3_tokenizer", "sqlite_dbpage"})
_BOOLEANS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0"})
_TABLE_ACTIONS: Final = frozenset(
    {
        apsw.SQLITE_CREATE_TABLE,
        apsw.SQLITE_DROP_TABLE,
        apsw.SQLITE_CREATE_VIEW,
        apsw.SQLITE_DROP_VIEW,
        apsw.SQLITE_REINDEX,
        apsw.SQLITE_INSERT,
        apsw.SQLITE_DELETE,
        apsw.SQLITE_READ,
        apsw.SQLITE_UPDATE,
    }
)
_INDEX_ACTIONS: Final = frozenset(
    {
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_DROP_INDEX,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_DROP_TRIGGER,
    }
)
_SCHEMA_ACTIONS: Final = frozenset(
    {
        apsw.SQLITE_ALTER_TABLE,
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_CREATE_TABLE,
        apsw.SQLITE_CREATE_TRIGGER,
        apsw.SQLITE_CREATE_VIEW,
        apsw.SQLITE_CREATE_VTABLE,
        apsw.SQLITE_DROP_INDEX,
        apsw.SQLITE_DROP_TABLE,
        apsw.SQLITE_DROP_TRIGGER,
        apsw.SQLITE_DROP_VIEW,
        apsw.SQLITE_DROP_VTABLE,
    }
)
_FREE_ACTIONS: Final = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_RECURSIVE, apsw.SQLITE_ANALYZE})


class Authorizer:
    """SQLite asks it about every step of a statement that it prepares.

    Attributes:
        user: the statement is the application's; the store's own may do everything.
        refusal: why the statement last prepared was refused, where there is more to say than SQLite does.
        sticky: user SQL has changed settings of the connection, which an image would not keep.
        pragma: name and argument of the pragma that the statement is.
        schema: it may change the schema.
        reads: the tables it reads.
        writes: the tables it changes, each with a column that it updates, or ``None``; triggers aside.
    """

    __slots__ = ("pragma", "reads", "refusal", "schema", "sticky", "user", "writes")

    def __init__(self) -> None:
        self.user = False
        self.sticky = False
        self.refusal: str | None = None
        self.begin()

    def begin(self) -> None:
        """Another statement is about to be looked at."""
        self.pragma: tuple[str, str | None] | None = None
        self.schema = False
        self.reads: dict[str, None] = {}
        self.writes: dict[tuple[str, str | None], None] = {}

    def __call__(self, action: int, a: str | None, b: str | None, schema: str | None, trigger: str | None) -> int:
        if trigger is None and a is not None:
            if action == apsw.SQLITE_READ:
                self.reads[a] = None
            elif action in (apsw.SQLITE_INSERT, apsw.SQLITE_DELETE):
                self.writes[a, None] = None
            elif action == apsw.SQLITE_UPDATE:
                self.writes[a, b] = None
        if not self.user or self._allows(action, a, b, schema):
            return apsw.SQLITE_OK
        return apsw.SQLITE_DENY

    def _allows(self, action: int, a: str | None, b: str | None, schema: str | None) -> bool:
        """ST-21.  What the strings mean depends on the action: see SQLite's list of authorizer codes."""
        if action in _SCHEMA_ACTIONS:
            self.schema = True
        if action == apsw.SQLITE_ALTER_TABLE:  # the only one to pass the schema first
            a, b, schema = b, None, a
        if schema == "temp":
            return action in (apsw.SQLITE_READ, apsw.SQLITE_UPDATE) and _allowed(a)
        if schema is not None and schema != "main":
            return False
        if action in _FREE_ACTIONS:
            return True
        if action in _TABLE_ACTIONS or action == apsw.SQLITE_ALTER_TABLE:
            return _allowed(a)
        if action in _INDEX_ACTIONS:
            return _allowed(a) and _allowed(b)
        if action in (apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT):
            self.refusal = BEGIN_REFUSED
            return False
        if action == apsw.SQLITE_PRAGMA:
            return self._allows_pragma((a or "").lower(), b)
        if action == apsw.SQLITE_FUNCTION:
            return (b or "").lower() not in _FUNCTIONS_REFUSED
        if action in (apsw.SQLITE_CREATE_VTABLE, apsw.SQLITE_DROP_VTABLE):
            return (b or "").lower() in _MODULES and _allowed(a)
        return False  # ATTACH, DETACH, everything temporary, and what a later SQLite may add

    def _allows_pragma(self, name: str, argument: str | None) -> bool:
        if name in _BOOLEAN_PRAGMAS:
            if argument is not None:
                if argument.strip("'\"").lower() not in _BOOLEANS:
                    return False
                self.sticky = True
            self.pragma = (name, argument)
            return True
        if name in _READ_PRAGMAS:
            return argument is None
        if name in _NAME_PRAGMAS:
            return _allowed(argument)
        return name in _ANY_PRAGMAS


def _allowed(name: str | None) -> bool:
    return name is None or name[:4].lower() != "_cf_"

"""How many rows a statement has read and written, estimated where SQLite does not tell (BL-7).

The platform's SQLite is patched to count; an unpatched one tells how many rows came out
and how many were changed.  What a query walks besides is estimated from its plan: a table
that it scans from end to end counts with all its rows.  A change counts once for the row
and once for each index that has to follow.
"""

from __future__ import annotations

import re
from typing import Any, Final

import apsw

from lumenize_sim.objects.storage.connection import Connection, Plan

__all__ = ["rows_scanned", "rows_touched"]

_SCAN: Final = re.compile(r"SCAN (\S+)")
_SORTS: Final = "TEMP B-TREE"
_NO_BINDINGS: Final[Any] = apsw._null_bindings  # type: ignore[attr-defined]  # what apsw.ext.query_info uses


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def rows_scanned(connection: Connection, plan: Plan) -> int:
    """Rows of the tables that ``plan`` walks from end to end; 0 where it stops early."""
    if not plan.reads:
        return 0
    try:
        found_rows = connection.execute(f"EXPLAIN QUERY PLAN {plan.sql}", _NO_BINDINGS).fetchall()
    except apsw.SQLError:
        return 0  # it has changed the schema, and could not run again: a table cannot be created twice
    details = [str(row[3]) for row in found_rows]
    if "limit" in plan.sql.lower() and not any(_SORTS in detail for detail in details):
        return 0
    rows = 0
    for detail in details:
        found = _SCAN.match(detail)
        if found is None:
            continue
        # An alias is shown instead of the table; with a single table there is no doubt.
        table = found[1] if found[1] in plan.reads else plan.reads[0] if len(plan.reads) == 1 else None
        if table is not None:
            rows += connection.execute(f"SELECT COUNT(*) FROM {_quoted(table)}").get
    return rows


def rows_touched(connection: Connection, plan: Plan) -> int:
    """Rows of table and indexes that have to be written for each row that ``plan`` changes."""
    if not plan.writes:
        return 1
    table = plan.writes[0][0]
    columns = {column for name, column in plan.writes if name == table and column is not None}
    touched = 1
    for index in connection.execute(f"SELECT name FROM pragma_index_list({_literal(table)})").fetchall():
        follows = connection.execute(f"SELECT name FROM pragma_index_info({_literal(str(index[0]))})").fetchall()
        if not columns or any(name in columns for (name,) in follows):
            touched += 1
    return touched


def _literal(name: str) -> str:
    return "'{}'".format(name.replace("'", "''"))

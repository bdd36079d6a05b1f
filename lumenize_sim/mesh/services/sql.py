"""``svc.sql``: a query, its values, and the rows as a list (SQL-1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from lumenize_sim.errors import AppError
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.services.registry import NadisPlugin

__all__ = ["Sql", "Template", "sql"]

Rows: TypeAlias = list[dict[str, Any]]

#: What a name may not be looked for in, and then a name itself.
_TOKENS: Final = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | --[^\n]* | /\*.*?(?:\*/|\Z)
    | (?P<name>:[A-Za-z_]\w*) | (?P<place>\?)""",
    re.VERBOSE | re.DOTALL,
)

_CONVERSIONS: Final[dict[str, Callable[[Any], str]]] = {"r": repr, "s": str, "a": ascii}


class Template(Protocol):
    """A template string of Python 3.14: ``t"SELECT * FROM t WHERE id = {id}"``."""

    @property
    def strings(self) -> tuple[str, ...]:
        """The literal parts, one more than values."""
        ...

    @property
    def values(self) -> tuple[Any, ...]:
        """What stands between them."""
        ...


class Sql(Protocol):
    """``svc.sql``, which is a function."""

    def __call__(self, query: str | Template, *positions: Any, **names: Any) -> Rows:
        """Run ``query`` and collect its rows; synchronous, as the storage below is.

        Values come in one of three ways: for each ``?`` by position, for each ``:name`` by keyword (a name
        may stand there many times), or in the braces of a template string on Python 3.14.  They are bound,
        never pasted in.

        Raises:
            AppError: values are missing, left over, or given in two ways.
            StorageError: the database refuses.
        """
        ...


def sql(do_instance: Any) -> Sql:
    """The same for any object: ``sql(self)("SELECT 1 AS one")``.

    Raises:
        MeshError: it is none, or its storage has no SQL.
    """
    run = getattr(getattr(getattr(getattr(do_instance, "ctx", None), "storage", None), "sql", None), "exec", None)
    if run is None:
        raise MeshError("sql() requires a Durable Object instance with ctx.storage.sql")
    execute: Callable[..., Any] = run

    def query(query: str | Template, *positions: Any, **names: Any) -> Rows:
        text, values = _bound(query, positions, names)
        rows: Rows = execute(text, *values).to_array()
        return rows

    return query


def _interpolated(part: Any) -> Any:
    """The value in a template string's braces, by its ``!r`` and ``:format`` where it has them, as in an f-string."""
    value = part.value
    if part.conversion is not None:
        value = _CONVERSIONS[part.conversion](value)
    return format(value, part.format_spec) if part.format_spec else value


def _bound(query: str | Template, positions: tuple[Any, ...], names: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    if not isinstance(query, str):
        if not hasattr(query, "strings") or not hasattr(query, "values"):
            raise AppError(f"a query is a text or a template string, not {query!r}")
        if positions or names:
            raise AppError("a template string holds its values itself: give none beside it")
        parts = getattr(query, "interpolations", None)
        values = query.values if parts is None else map(_interpolated, parts)
        return "?".join(query.strings), tuple(values)
    if not names:
        # Names that stand in the text without values would be bound to NULL in silence.
        missing = list(dict.fromkeys(match["name"] for match in _TOKENS.finditer(query) if match["name"]))
        if missing and not positions:
            raise AppError(f"no value for {', '.join(missing)}: give {missing[0][1:]}=… beside the query")
        return query, positions
    if positions:
        raise AppError("values by position and by name do not mix: use ? for all, or :name for all")
    placed: list[Any] = []
    used: dict[str, None] = {}

    def place(match: re.Match[str]) -> str:
        if match["place"]:
            raise AppError("values by position and by name do not mix: use ? for all, or :name for all")
        if not match["name"]:
            return match[0]
        name = match["name"][1:]
        if name not in names:
            raise AppError(f"no value for :{name}; there is: {', '.join(names)}")
        used[name] = None
        placed.append(names[name])
        return "?"

    text = _TOKENS.sub(place, query)
    left = [name for name in names if name not in used]
    if left:
        raise AppError(f"the query has no :{left[0]} to take {left[0]}={names[left[0]]!r}")
    return text, tuple(placed)


NadisPlugin.register("sql", sql)

"""Values on their way into SQL and out of it, as JavaScript converts them (ST-18)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from lumenize_sim.clone import NULL, UNDEFINED, ArrayBuffer, BigInt, JSMap, JSSet

__all__ = ["bind", "number_of", "string_of"]

_SAFE: Final = 1 << 53
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def string_of(value: Any) -> str:
    """``String(value)``: what JavaScript makes of a value that has to be text (ST-18, LC-32)."""
    if value is None or value is UNDEFINED or value is NULL:
        return ""  # within a list; elsewhere it is bound as NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return (
            f"{_WEEKDAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day:02} {moment.year:04} "
            f"{moment:%H:%M:%S} GMT+0000 (Coordinated Universal Time)"
        )
    if isinstance(value, (list, tuple)):
        return ",".join(map(string_of, value))
    if isinstance(value, JSMap):
        return "[object Map]"
    if isinstance(value, (set, frozenset, JSSet)):
        return "[object Set]"
    return "[object Object]"


def bind(value: Any) -> float | str | bytes | None:
    """What SQLite gets for ``value`` (ST-18).

    Every number is a JavaScript number, so an ``int`` is bound as REAL, rounded beyond 2**53; column affinity
    makes an integer of it again.  ``bool``, ``datetime`` and containers are bound as the text that JavaScript's
    ``String()`` gives.

    Raises:
        TypeError: a `BigInt`, or an ``int`` no double can hold.
    """
    kind = type(value)
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        text: str = value
        return text
    if kind is float or value is None:
        number: float | None = value
        return number
    if value is UNDEFINED or value is NULL:
        return None
    if isinstance(value, ArrayBuffer):
        return value.data
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, BigInt):
        raise TypeError(f"a BigInt cannot be bound to a SQL statement: {value!r}; bind an int or a str")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise TypeError("an int that no double can hold is no SQL value: bind its text") from None
    if isinstance(value, str):
        return bind(str(value))
    return string_of(value)


def number_of(value: Any) -> Any:
    """A column's value as JavaScript gets it: integers beyond 2**53 are rounded."""
    if type(value) is int and not -_SAFE <= value <= _SAFE:
        return int(float(value))
    return value

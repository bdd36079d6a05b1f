"""Errors as the recorded file describes them: the one table between JavaScript's names and Python's.

Documented for users in `docs/reference/errors.md`; `NAMES` and `PROPERTIES` are checked against it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from lumenize_sim.clone import error_message, error_name

__all__ = ["NAMES", "PROPERTIES", "attempt", "description", "settled"]

#: Attribute here to property there.  Absent where it is not true (LC-40).
PROPERTIES: Final = {
    "remote": "remote",
    "retryable": "retryable",
    "overloaded": "overloaded",
    "durable_object_reset": "durableObjectReset",
}

#: Python class to the class that JavaScript code would see.
NAMES: Final = {
    "Exception": "Error",
    "DurableObjectError": "Error",
    "TypeError": "TypeError",
    "RangeError": "RangeError",
    "SyntaxError": "SyntaxError",
    "NameError": "ReferenceError",
    "AggregateError": "AggregateError",
    "DataCloneError": "DOMException",
    "InvalidAccessError": "DOMException",
}


def description(error: BaseException) -> dict[str, Any]:
    """Class, message, name and those of the four properties that are set."""
    name = error_name(error)
    cls = type(error).__name__
    found: dict[str, Any] = {
        "ctor": NAMES.get(cls, name),
        "isError": True,
        "message": error_message(error),
        "name": name,
    }
    for attribute, wire in PROPERTIES.items():
        value = getattr(error, attribute, None)
        assert value in (None, True), f"{attribute} of {error!r} is {value!r}: absent or True (LC-40)"
        if value:
            found[wire] = value
    return found


async def settled(awaitable: Awaitable[Any]) -> dict[str, Any]:
    """``{"ok": value}``, or ``{"err": description}``."""
    try:
        return {"ok": await awaitable}
    except Exception as error:
        return {"err": description(error)}


def attempt(function: Callable[[], Any]) -> dict[str, Any]:
    """The same for something synchronous; ``{}`` where it returns nothing."""
    try:
        value = function()
    except Exception as error:
        return {"err": description(error)}
    return {} if value is None else {"ok": value}

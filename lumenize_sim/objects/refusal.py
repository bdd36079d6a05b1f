"""Errors that the platform itself throws into application code, under the class names applications see.

``TypeError`` and ``SyntaxError`` have twins in Python, ``RangeError`` has one in `lumenize_sim.clone`; those
are raised as such.
The blame is the application's: it asked for something the platform refuses.
"""

from __future__ import annotations

from lumenize_sim.errors import AppError

__all__ = ["Error", "InvalidAccessError", "QuotaExceededError", "must_be_function"]


class Error(AppError):
    """A plain ``Error``, the class the platform uses where it has no better one."""


class InvalidAccessError(AppError):
    """A ``DOMException`` of that name: the object does not allow this argument."""


class QuotaExceededError(AppError):
    """A ``DOMException`` of that name: more is asked for than one object may have."""


def must_be_function(operation: str, value: object) -> None:
    """Refuse what cannot be called before anything has begun.

    Raises:
        TypeError: ``value`` is something else, such as a coroutine.
    """
    if not callable(value):
        kind = type(value).__name__  # and not its repr, which may have an address in it
        raise TypeError(f"{operation}() takes a function, not {kind}: pass the function itself, without calling it")

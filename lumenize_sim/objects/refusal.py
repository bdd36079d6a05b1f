"""Errors that the platform itself throws into application code, under the class names applications see.

``TypeError`` and ``SyntaxError`` have twins in Python, ``RangeError`` has one in `lumenize_sim.clone`; those
are raised as such.
The blame is the application's: it asked for something the platform refuses.
"""

from __future__ import annotations

from lumenize_sim.errors import AppError

__all__ = ["Error", "InvalidAccessError", "QuotaExceededError"]


class Error(AppError):
    """A plain ``Error``, the class the platform uses where it has no better one."""


class InvalidAccessError(AppError):
    """A ``DOMException`` of that name: the object does not allow this argument."""


class QuotaExceededError(AppError):
    """A ``DOMException`` of that name: more is asked for than one object may have."""

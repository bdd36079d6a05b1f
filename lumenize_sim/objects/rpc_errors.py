"""Errors as a caller sees them: which properties are set, and by what (LC-40 to LC-45, RPC-19)."""

from __future__ import annotations

from typing import Any

from lumenize_sim.clone import RangeError
from lumenize_sim.errors import AppError
from lumenize_sim.objects import refusal

__all__ = ["DISCONNECTED", "DurableObjectError", "across", "disconnected", "fallen", "reset_error"]

#: How a disconnect without a better text is shown (LC-41).
DISCONNECTED = "Network connection lost."
_PROPERTIES = ("remote", "retryable", "overloaded", "durable_object_reset")


class DurableObjectError(AppError):
    """A failure of the platform, not of a method: disconnect, reset, overload.

    Attributes:
        remote, retryable, overloaded, durable_object_reset: True where set; otherwise
            they do not exist, as a property that is absent rather than false (LC-40).
    """

    def __init__(self, message: str, **properties: bool) -> None:
        super().__init__(message)
        for name in _PROPERTIES:
            if properties.get(name):
                setattr(self, name, True)

    #: What the platform throws are plain errors, in both languages: `name` as code reads it, and that on the wire.
    name = wire_name = "Error"


def disconnected(message: str = DISCONNECTED) -> DurableObjectError:
    """The call may or may not have run (LC-43)."""
    return DurableObjectError(message, retryable=True)


def reset_error(message: str, *, overloaded: bool = False) -> DurableObjectError:
    """The instance broke; for its direct caller over RPC (LC-45 b)."""
    return DurableObjectError(message, durable_object_reset=True, overloaded=overloaded)


def fallen(error: BaseException) -> BaseException:
    """``error``, which broke an instance, as its direct caller sees it (LC-31, LC-45 b).

    A copy: callers do not share an exception, whose traceback each of them would extend.
    Class and message are kept; ``durable_object_reset`` is set, ``remote`` is not.
    """
    if isinstance(error, DurableObjectError):
        return DurableObjectError(str(error), **{name: True for name in _PROPERTIES if getattr(error, name, False)})
    copy = _copy(error)
    copy.durable_object_reset = True  # type: ignore[attr-defined]  # the platform sets it on any error object
    return copy


def across(error: BaseException) -> BaseException:
    """``error``, which a method raised, as it arrives at the caller: a copy with ``remote`` (RPC-19, LC-45 d).

    Own properties and the cause stay behind, as before the enhanced serialisation; the class
    survives where it is one that both sides know.
    """
    if isinstance(error, DurableObjectError):
        properties: dict[str, Any] = {
            name: True for name in _PROPERTIES if getattr(error, name, False) and name != "durable_object_reset"
        }
        return DurableObjectError(str(error), **{**properties, "remote": True})
    copy = _copy(error)
    copy.remote = True  # type: ignore[attr-defined]  # the platform sets it on any error object
    return copy


def _copy(error: BaseException) -> BaseException:
    cls = type(error)
    if cls in (refusal.InvalidAccessError, refusal.QuotaExceededError, RangeError):
        return cls(str(error))
    if cls is refusal.Error or getattr(cls, "wire_name", None) == "Error":
        return refusal.Error(str(error))
    if cls.__module__ == "builtins" and issubclass(cls, Exception):
        try:
            return cls(*error.args)
        except TypeError:
            return Exception(str(error))
    return Exception(f"{cls.__name__}: {error}")

"""Errors as a caller sees them: which properties are set, and by what (LC-40 to LC-45, RPC-19)."""

from __future__ import annotations

from typing import Any, Final

from lumenize_sim.clone import (
    AggregateError,
    DataCloneError,
    EvalError,
    RangeError,
    RemoteError,
    URIError,
    error_message,
    error_name,
    structured_clone,
)
from lumenize_sim.errors import AppError
from lumenize_sim.objects import refusal

__all__ = [
    "DISCONNECTED",
    "OVERLOADS",
    "DurableObjectError",
    "Inaccessible",
    "across",
    "disconnected",
    "fallen",
    "gone",
    "heard",
    "overloaded",
    "reset_error",
]

#: How a disconnect without a better text is shown (LC-41).
DISCONNECTED = "Network connection lost."
#: Why an object refuses calls (LC-38).
OVERLOADS: Final = (
    "Too many requests queued.",
    "Too much data queued.",
    "Requests queued for too long.",
    "Too many requests for the same object within a 10 second window.",
)
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


class Inaccessible(DurableObjectError):
    """Storage was refused to an instance which another has replaced (LC-11).

    Attributes:
        heard: code of the application has seen it.  Where nobody has, the application takes for stored what is lost.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)
        self.heard = True


def heard(error: BaseException, by_somebody: bool = True) -> None:
    """Somebody has seen ``error``, or, where not ``by_somebody``, it lies where nobody has to look."""
    if isinstance(error, Inaccessible):
        error.heard = by_somebody
    elif isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            heard(one, by_somebody)


def disconnected(message: str = DISCONNECTED) -> DurableObjectError:
    """The call may or may not have run (LC-43)."""
    return DurableObjectError(message, retryable=True)


def overloaded(reason: int) -> DurableObjectError:
    """The object was not asked: it has too much to do; ``reason`` from 1 to 4, of `OVERLOADS` (LC-38, LC-44)."""
    return DurableObjectError(f"Durable Object is overloaded. {OVERLOADS[reason - 1]}", overloaded=True)


def reset_error(message: str, *, overloaded: bool = False) -> DurableObjectError:
    """The instance broke; for its direct caller over RPC (LC-45 b)."""
    return DurableObjectError(message, durable_object_reset=True, overloaded=overloaded)


def gone() -> Exception:
    """What a stub's calls fail with when its host has ended: the error carries no property."""
    return refusal.Error("The execution context which hosts this callback is no longer running.")


def fallen(error: BaseException, *, remote: bool = False) -> BaseException:
    """``error``, which broke an instance, as its direct caller sees it (LC-31, LC-45 b).

    A copy: callers do not share an exception, whose traceback each of them would extend.
    Class and message are kept; ``durable_object_reset`` is set, and ``remote`` where the runtime
    sets it on whatever user code has thrown.
    """
    copy: Any
    if isinstance(error, DurableObjectError):
        copy = DurableObjectError(str(error), **{name: True for name in _PROPERTIES if getattr(error, name, False)})
    else:
        copy = _plain(error)
        copy.durable_object_reset = True
    if remote:
        copy.remote = True
    return copy  # type: ignore[no-any-return]  # an exception in both branches


def across(error: BaseException, *, enhanced: bool = False) -> BaseException:
    """``error``, which a method raised, as it arrives at the caller: a copy with ``remote`` (RPC-19, LC-45 d).

    Args:
        enhanced: own fields, cause, ``errors`` and custom names survive, as with
            ``enhanced_error_serialization``.  Without it they stay behind: the class survives where it is one that
            both sides know, and another class or name becomes the beginning of the message.
    """
    if isinstance(error, DurableObjectError):
        properties: dict[str, Any] = {
            name: True for name in _PROPERTIES if getattr(error, name, False) and name != "durable_object_reset"
        }
        return DurableObjectError(str(error), **{**properties, "remote": True})
    copy: Any = _rich(error) if enhanced else _plain(error)
    copy.remote = True
    return copy  # type: ignore[no-any-return]  # an exception in both branches


def _rich(error: BaseException) -> BaseException:
    if isinstance(error, refusal.Error) and not vars(error):
        return refusal.Error(str(error))
    try:
        copy = structured_clone(error)
    except Exception:
        return _plain(error)  # a cause that cannot cross takes nothing else along
    named = vars(error).get("name")
    if isinstance(named, str) and not isinstance(error, RemoteError):
        renamed = RemoteError(str(error), name=named)
        renamed.__cause__ = copy.__cause__
        vars(renamed).update({k: v for k, v in vars(copy).items() if k[:1] != "_" and k not in ("name", "stack")})
        copy = renamed
    if isinstance(copy, RemoteError):
        copy.stack = None  # the callee's stack does not survive
        if copy.name == "Error" and error_name(error) == "Error":
            plain = Exception(str(copy)) if type(error) is Exception else refusal.Error(str(copy))
            plain.__cause__ = copy.__cause__
            vars(plain).update({k: v for k, v in vars(copy).items() if k not in ("name", "stack")})
            copy = plain
    for name in ("durable_object_reset", "durableObjectReset"):
        vars(copy).pop(name, None)
    return copy  # type: ignore[no-any-return]  # an exception comes back as one


#: Classes that both sides know, besides the builtin ones of Python.
_KNOWN = (refusal.InvalidAccessError, refusal.QuotaExceededError, RangeError, URIError, EvalError, DataCloneError)


def _plain(error: BaseException) -> BaseException:
    cls = type(error)
    named = vars(error).get("name")
    if isinstance(named, str) and not isinstance(error, RemoteError):
        return Exception(f"{named}: {error}")
    if cls in _KNOWN:
        return cls(str(error))
    if isinstance(error, RemoteError):
        return Exception(f"{error.name}: {error}" if error.name not in ("", "Error") else str(error))
    if isinstance(error, AggregateError) or cls in (ExceptionGroup, BaseExceptionGroup):
        copy = AggregateError(error_message(error))
        del copy.errors  # the class survives, what it has gathered does not
        return copy
    if cls is refusal.Error or getattr(cls, "wire_name", None) == "Error":
        return refusal.Error(str(error))
    if cls.__module__ == "builtins" and issubclass(cls, Exception):
        try:
            return cls(*error.args)
        except TypeError:
            return Exception(str(error))
    return Exception(f"{cls.__name__}: {error}")

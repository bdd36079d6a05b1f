"""Exceptions as data: name, message, stack, cause and own properties (SC-19 to SC-30).

An exception that crosses a boundary arrives as an instance of the class
registered under its name, else as `RemoteError`; either way it can be raised,
and encoding it again gives the same bytes.

===============================  ========================  ===============================================
Python class                     name on the wire          remark
===============================  ========================  ===============================================
``Exception``                    ``Error``                 arrives as `RemoteError` with that name
``TypeError``, ``SyntaxError``   the same
``NameError``                    ``ReferenceError``
`RangeError`, `URIError`         the same                  both are ``ValueError``
`EvalError`, `AggregateError`    the same
``ExceptionGroup``               ``AggregateError``        its exceptions are ``errors``
other builtins, for example      the Python class name     arrive as the same class; JavaScript sees an
``ValueError``, ``KeyError``                               ``Error`` with that ``name``
registered classes               the registered name
any other class                  the Python class name     arrives as `RemoteError`
===============================  ========================  ===============================================

Message: ``str(exc)``, but for ``KeyError`` its argument without quotes.  Own
properties: public fields of an attrs class, then public instance attributes,
except ``name``, ``message``, ``stack`` and ``cause``.  Cause: an own ``cause``
attribute, else ``__cause__``.  Stack: the header and one line per frame,
innermost first, with base name and line only, so that it does not depend on
where the program is installed; at most `STACK_LIMIT` frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar

import attrs

from lumenize_sim.clone.refusal import DataCloneError, Refusal
from lumenize_sim.clone.text import property_order
from lumenize_sim.errors import UsageError

__all__ = [
    "STACK_LIMIT",
    "AggregateError",
    "ErrorRegistry",
    "EvalError",
    "RangeError",
    "RemoteError",
    "URIError",
    "allocate_error",
    "error_cause",
    "error_message",
    "error_name",
    "error_properties",
    "error_registry",
    "error_stack",
    "fill_error",
    "register_error",
]

#: As many frames as V8 keeps.
STACK_LIMIT: Final = 10
_ARRIVAL = "_lumenize_arrival"
_FIXED = frozenset({"name", "message", "stack", "cause"})
# Comprehensions have frames of their own up to Python 3.11 only.
_INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
E = TypeVar("E", bound=type[Exception])


class RemoteError(Exception):
    """An error from elsewhere whose class is not registered here; further properties are attributes."""

    def __init__(self, message: str = "", *, name: str = "Error", stack: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.stack = stack

    @property
    def message(self) -> str:
        """The text without the name."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self.__dict__


class RangeError(ValueError):
    """``RangeError`` of JavaScript."""


class URIError(ValueError):
    """``URIError`` of JavaScript."""


class EvalError(Exception):
    """``EvalError`` of JavaScript."""


class AggregateError(Exception):
    """``AggregateError`` of JavaScript.  ``errors`` may hold any value, therefore it is no exception group."""

    def __init__(self, message: str = "", errors: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.errors = list(errors)


@attrs.define
class _Arrival:
    """What an arrived error must give back, and what cannot be an attribute of it."""

    name: str
    message: str
    stack: str | None
    order: list[str] = attrs.field(factory=list)
    hidden: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class _Entry:
    cls: type[Exception]
    name: str
    properties: Mapping[str, str]


class ErrorRegistry:
    """Which class an error name means, and back.  Looked up by exact class, never by any global name (SC-27)."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Entry] = {}
        self._by_class: dict[type, _Entry] = {}

    def register(self, cls: E, name: str | None = None, *, properties: Mapping[str, str] | None = None) -> E:
        """Let errors called ``name`` (the class name by default) arrive as ``cls``.  Usable as a decorator.

        Args:
            cls: called with the message alone; where it refuses that, instances are made without ``__init__``.
            name: the name on the wire.
            properties: attribute name -> property name on the wire, where they differ.

        Raises:
            UsageError: another class has that name already.
        """
        name = cls.__name__ if name is None else name
        held = self._by_name.get(name)
        if held is not None and (held.cls.__module__, held.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise UsageError(
                f"error name {name!r} is registered for {held.cls.__module__}.{held.cls.__qualname__} already; "
                f"register {cls.__qualname__} under another name"
            )
        entry = _Entry(cls, name, dict(properties or {}))
        self._by_name[name] = self._by_class[cls] = entry
        return cls

    def lookup(self, name: str) -> type[Exception] | None:
        """The class registered under ``name``."""
        entry = self._by_name.get(name)
        return None if entry is None else entry.cls

    def entry(self, cls: type) -> _Entry | None:
        """What is registered for exactly ``cls``."""
        return self._by_class.get(cls)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name


error_registry: Final = ErrorRegistry()
register_error = error_registry.register

for _cls in (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, FloatingPointError, ImportError,
    IndexError, KeyError, LookupError, MemoryError, ModuleNotFoundError, NotImplementedError, OSError,
    OverflowError, RecursionError, RuntimeError, SyntaxError, TimeoutError, TypeError, ValueError,
    ZeroDivisionError, BlockingIOError, BrokenPipeError, ConnectionAbortedError, ConnectionError,
    ConnectionRefusedError, ConnectionResetError, FileExistsError, FileNotFoundError, InterruptedError,
    IsADirectoryError, NotADirectoryError, PermissionError, RangeError, URIError, EvalError, AggregateError,
    DataCloneError,
):  # fmt: skip
    register_error(_cls)
register_error(NameError, "ReferenceError")


def error_name(exc: BaseException) -> str:
    """The name by which errors are told apart across boundaries (RES-8)."""
    if isinstance(exc, RemoteError):
        return exc.name or "Error"
    arrival = exc.__dict__.get(_ARRIVAL)
    if arrival is not None:
        return str(arrival.name) or "Error"
    entry = error_registry.entry(type(exc))
    if entry is not None:
        return entry.name
    if isinstance(exc, BaseExceptionGroup):
        return "AggregateError"
    name = getattr(type(exc), "wire_name", None)  # an error of the platform, which has a name of its own there
    if isinstance(name, str):
        return name
    return "Error" if type(exc) is Exception else type(exc).__name__


def error_message(exc: BaseException) -> str:
    """The text without the name."""
    arrival = exc.__dict__.get(_ARRIVAL)
    if arrival is not None:
        return str(arrival.message)
    if isinstance(exc, BaseExceptionGroup):
        return exc.message
    if type(exc).__str__ is KeyError.__str__ and len(exc.args) == 1:
        return str(exc.args[0])
    return str(exc)


def error_stack(exc: BaseException) -> str | None:
    """Header and frames; of an arrived error what it came with, perhaps nothing."""
    if isinstance(exc, RemoteError) and exc.stack is not None:
        return exc.stack
    arrival = exc.__dict__.get(_ARRIVAL)
    if arrival is not None:
        return None if isinstance(exc, RemoteError) else arrival.stack
    message = error_message(exc)
    header = f"{error_name(exc)}: {message}" if message else error_name(exc)
    return "\n".join([header, *_frames(exc.__traceback__)])


def _frames(traceback: TracebackType | None) -> list[str]:
    lines: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name not in _INLINED:
            file = code.co_filename.replace("\\", "/").rpartition("/")[2]
            lines.append(f"    at {file}:{traceback.tb_lineno} ({code.co_qualname})")
        traceback = traceback.tb_next
    return lines[: -STACK_LIMIT - 1 : -1]


_NO_CAUSE: Final = object()


def error_cause(exc: BaseException, default: Any) -> Any:
    """The own ``cause`` attribute, else ``__cause__``, else ``default``; an explicit ``None`` is a cause (SC-20)."""
    cause = exc.__dict__.get("cause", _NO_CAUSE)
    if cause is not _NO_CAUSE:
        return cause
    return default if exc.__cause__ is None else exc.__cause__


def error_properties(exc: BaseException) -> list[tuple[str, Any]]:
    """Own properties with their names on the wire, in order.

    Raises:
        Refusal: ``exc`` is no `Exception` but a signal to the interpreter or to Trio.
    """
    if not isinstance(exc, Exception):
        raise Refusal(f"{type(exc).__name__} is a signal, not an error; catch it and send data")
    own = exc.__dict__
    entry = error_registry.entry(type(exc))
    spelling: Mapping[str, str] = {} if entry is None else entry.properties
    found: dict[str, Any] = {}
    if attrs.has(type(exc)):
        for name in _field_names(type(exc)):
            if name[0] != "_" and name not in _FIXED and hasattr(exc, name):
                found[spelling.get(name, name)] = getattr(exc, name)
    for key, value in own.items():
        if key[:1] != "_" and key not in _FIXED:
            found[spelling.get(key, key)] = value
    if isinstance(exc, BaseExceptionGroup):
        found["errors"] = exc.exceptions
    arrival = own.get(_ARRIVAL)
    if arrival is None:
        return list(found.items())
    # Hidden properties stand where they came; what was added since follows.
    ordered = {}
    for key in arrival.order:
        if key in arrival.hidden:
            ordered[key] = arrival.hidden[key]
        elif key in found:
            ordered[key] = found[key]
    ordered.update(found)
    return list(property_order(ordered).items())


def _field_names(cls: type) -> list[str]:
    return [field.name for field in attrs.fields(cls)] if attrs.has(cls) else []


def allocate_error(name: str, message: str, stack: str | None) -> Exception:
    """An error without its cause and properties yet, so that cycles through it can be closed (SC-28, SC-30)."""
    cls = error_registry.lookup(name)
    exc: Exception
    if cls is None:
        exc = RemoteError(message, name=name, stack=stack)
    else:
        try:
            exc = cls(message)
        except Exception:
            # It wants more than the message; the properties that follow stand in for its __init__.
            exc = cls.__new__(cls, message)
            exc.args = (message,)
        if error_message(exc) != message:
            exc.args = (message,)
    own = exc.__dict__
    if cls is DataCloneError:
        own.pop("code", None)  # no global class of JavaScript: an arrived one has what it came with
    # What the constructor set stands before what came, even where that has another value for it (SC-29).
    entry = error_registry.entry(type(exc))
    spelling: Mapping[str, str] = {} if entry is None else entry.properties
    made = [spelling.get(key, key) for key in own if key[:1] != "_" and key not in _FIXED]
    own[_ARRIVAL] = _Arrival(name, message, stack, made)
    return exc


def fill_error(exc: Exception, cause: Any, default: Any, properties: Iterable[tuple[str, Any]]) -> None:
    """Set cause (unless it is ``default``) and own properties (SC-29).

    Properties go into the instance dict, never through ``setattr``: a sender must
    not reach descriptors.  Names that Python gives a meaning, and private ones,
    are kept aside, only to be sent on.
    """
    own = exc.__dict__
    arrival: _Arrival = own[_ARRIVAL]
    cls = type(exc)
    if cause is not default:
        if isinstance(cause, BaseException):
            exc.__cause__ = cause
        else:
            own["cause"] = cause
    entry = error_registry.entry(cls)
    spelling = {} if entry is None else {wire: name for name, wire in entry.properties.items()}
    fields = _field_names(cls)
    for key, value in properties:
        arrival.order.append(key)
        name = spelling.get(key, key)
        if name[:1] == "_" or name in _FIXED or callable(getattr(cls, name, None)):
            arrival.hidden[key] = value
        elif name in fields:
            object.__setattr__(exc, name, value)
        else:
            own[name] = value

"""Which types are what: values, canonical containers, and how other types are brought to them.

The three walkers (encode, clone, CBOR) share this page, so that every way out
of a node agrees about what may leave it.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import attrs

from lumenize_sim.clone.containers import JSMap
from lumenize_sim.clone.dates import Date, InvalidDate
from lumenize_sim.clone.refusal import Refusal, no_platform_object
from lumenize_sim.clone.values import (
    TYPED_ARRAYS,
    ArrayBuffer,
    BigInt,
    Boxed,
    DataView,
    Hole,
    Null,
    RegExp,
    TypedArray,
    Uint8Array,
    Undefined,
)
from lumenize_sim.clone.web import URL, Headers

__all__ = ["ATOMS", "CONTAINERS", "FROZEN", "TUPLES", "VALUES", "aware", "function_name", "lower", "map_of_dict"]

#: Immutable values without identity: returned as they are, never aliases.
ATOMS: Final = frozenset({str, int, float, bool, type(None), bytes, BigInt, Undefined})
#: Immutable values with an identity: returned as they are, aliases on the wire.
FROZEN: Final = frozenset(
    {Date, InvalidDate, RegExp, URL, Boxed, ArrayBuffer, DataView, Uint8Array, *TYPED_ARRAYS.values()}
)
#: Immutable containers, which are values here: the interpreter shares literal ones as it likes.
TUPLES: Final = frozenset({tuple, frozenset})

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)
#: Exact types of mutable containers, the common case.
CONTAINERS: Final = frozenset({dict, list, set})
#: Other types that are values: never aliases.
VALUES: Final = (Enum, str, int, float, bytes, bytearray, memoryview, Null, Hole, *_FUNCTIONS)
_PRIMITIVE_KEYS = frozenset({str, int, float, bool, type(None), BigInt})

_INSTEAD: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((types.CoroutineType, types.AsyncGeneratorType, types.GeneratorType), "cannot be sent; was an await forgotten?"),
    (types.ModuleType, "cannot be sent; send data"),
    (_FUNCTIONS, "cannot be copied; send data, or a continuation that names a method"),
    (Decimal, "has no counterpart; send str(value) or float(value)"),
    (UUID, "has no counterpart; send str(value)"),
    (PurePath, "has no counterpart; send str(value)"),
    (date, "has no counterpart; send a datetime in UTC or value.isoformat()"),
    ((time, timedelta), "has no counterpart; send a number of milliseconds or text"),
    (complex, "has no counterpart; send a list of two numbers"),
    (re.Pattern, "is a pattern of Python; send RegExp(source, flags)"),
)


def function_name(value: Any) -> str | None:
    """The name of a function or class, ``"anonymous"`` for a lambda; ``None`` for any other value."""
    if not isinstance(value, _FUNCTIONS):
        return None
    name = value.__name__
    return "anonymous" if name == "<lambda>" else name


def aware(moment: datetime) -> datetime:
    """``moment`` itself.

    Raises:
        Refusal: it has no zone, so nobody knows which instant it is.
    """
    if moment.tzinfo is None:
        raise Refusal(f"datetime {moment.isoformat()} has no time zone; give it one, for example timezone.utc")
    return moment


def map_of_dict(value: dict[Any, Any]) -> JSMap:
    """A dict with keys other than strings as a map.

    Raises:
        Refusal: a key is a composite value, which could not be found again by an equal one.
    """
    for key in value:
        if type(key) not in _PRIMITIVE_KEYS:
            raise Refusal(f"key {key!r} is a {type(key).__name__}; use string keys, or a JSMap on purpose")
    return JSMap(value)


def lower(value: Any, *, apart: bool = False) -> Any:
    """The canonical twin of a value of another accepted type, one level deep.

    ``apart``: an instance of any class is taken for a dict of its own public fields, as storage does (ST-6).

    Raises:
        Refusal: there is none; the reason says what to send instead.
    """
    if isinstance(value, Enum):
        return value.value
    # The methods of the base classes: a subclass may override its own conversions.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return list(_plain_iter(value))
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return set(value)
    if isinstance(value, (Null, Hole)):
        return None
    cls = type(value)
    if cls.__module__.partition(".")[0] in {"trio", "asyncio", "threading", "_thread"}:
        raise Refusal(f"{cls.__module__}.{cls.__qualname__} belongs to this process; send data")
    if cls.__name__ == "Headers" and cls.__module__.partition(".")[0] == "httpx":
        return Headers(value.multi_items())  # what requests and responses carry (RPC-15, ST-6)
    platform = getattr(cls, "__platform_name__", None)
    if platform is not None:
        raise no_platform_object(platform)
    names: list[str] | None = None
    if attrs.has(cls):
        names = [field.name for field in attrs.fields(cls)]
    elif dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(value)]
    if names is None and apart and _has_own_fields(value):
        return {name: item for name, item in vars(value).items() if not name.startswith("_")}
    if names is None or isinstance(value, type):
        raise Refusal(_reason(value))
    for name in names:
        if name.startswith("_"):
            raise Refusal(f"{cls.__qualname__} has the private field {name!r}, which would be lost; send a dict")
    return {name: getattr(value, name) for name in names}


def _has_own_fields(value: Any) -> bool:
    """Whether ``value`` is an object of the app's: none that Python, or another rule, has an opinion about."""
    kinds = tuple(kind for kinds, _ in _INSTEAD for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
    return hasattr(value, "__dict__") and not isinstance(value, kinds) and not inspect.isawaitable(value)


def _plain_iter(value: Any) -> Iterable[Any]:
    return list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)


def _reason(value: Any) -> str:
    cls = type(value)
    name = getattr(value, "__name__", None)
    what = f"{cls.__name__} {name!r}" if isinstance(name, str) else cls.__qualname__
    for kinds, instead in _INSTEAD:
        if isinstance(value, kinds):
            return f"{what} {instead}"
    if inspect.isawaitable(value):
        return f"{what} cannot be sent; was an await forgotten?"
    if isinstance(value, TypedArray):
        return f"{what} is not one of the typed arrays"
    return f"{what} cannot be copied; make it an attrs class or dataclass, or send a dict"

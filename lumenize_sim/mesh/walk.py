"""What a chain may reach: an allow-list, because in Python any attribute leads to the interpreter.

A remote caller enters through a method that the node's class marks with ``@mesh``.
On what such a method returned it may call public methods that the app's own
classes define, and read items of dicts and lists.  It never reads an attribute
without calling it, never calls a method of a built-in, standard-library or
platform class (``str.format`` alone would hand out ``__globals__``), and never
names anything that begins with an underscore.  Methods are found statically, on
the class: no property is evaluated and no ``__getattr__`` runs to find out.

A trusted chain (the node's own handlers and alarms) may also read public
attributes of the app's objects and enter ``svc``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.mesh.continuation import Continuation
from lumenize_sim.mesh.decorators import is_mesh_callable
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.names import to_python, wire_names

__all__ = ["RESERVED", "MethodReference", "is_awaitable", "is_user_class", "js_string", "read", "resolve_callable"]

#: The node's own connections to the platform: no chain from outside gets them, marked or not.
RESERVED = frozenset({"svc", "ctx", "env", "lmz", "ctn"})

_FOREIGN = sys.stdlib_module_names | {
    "apsw",
    "attr",
    "attrs",
    "cbor2",
    "exceptiongroup",
    "lumenize_sim",
    "outcome",
    "sniffio",
    "trio",
    "trio_websocket",
}

_PLAIN = frozenset({int, str, float, bool, type(None), dict, list, tuple, bytes, type(UNDEFINED)})

#: Set on platform classes whose public methods a trusted chain may use (services).
WALKABLE = "__lmz_walkable__"


class MethodReference:
    """A method that a ``get`` has selected and no ``apply`` has called yet."""

    __slots__ = ("function", "name")

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.function = function
        self.name = name


def is_awaitable(value: object) -> bool:
    """Whether the walk has to wait for ``value``.  A continuation is a description, not a promise."""
    kind = type(value)
    return kind not in _PLAIN and hasattr(kind, "__await__") and not issubclass(kind, Continuation)


def is_user_class(cls: type) -> bool:
    """Whether the app defined it, as opposed to the interpreter, the standard library, Trio, attrs or this package."""
    module: object = cls.__module__
    return isinstance(module, str) and module.partition(".")[0] not in _FOREIGN


def not_callable_remotely(name: object, why: str = "") -> MeshError:
    """The refusal of OC-30; ``why`` takes the place of its advice where the decorator would not help."""
    if why:
        return MeshError(f"Method '{name}' is not mesh-callable: {why}.")
    return MeshError(f"Method '{name}' is not mesh-callable. Add the @mesh decorator to allow remote calls.")


def read(current: Any, key: Any, *, entry: bool, trusted: bool) -> Any:
    """One ``get``: an item, a `MethodReference`, ``UNDEFINED`` for what is not there, or (trusted) an attribute.

    Args:
        current: the value reached so far.
        key: as recorded.
        entry: nothing has been called yet, so ``current`` is the node or lies on the way to the first method.
        trusted: the chain is the node's own.

    Raises:
        MeshError: the allow-list does not have it.
        TypeError: ``current`` is null or undefined (OC-20).
    """
    kind = type(key)
    if kind is not str and kind is not int:
        raise MeshError(f"Invalid operation chain: a key must be a string or a number, not {kind.__name__}")
    if current is None or current is UNDEFINED:
        nothing = "null" if current is None else "undefined"
        raise TypeError(f"Cannot read properties of {nothing} (reading '{key}')")
    if isinstance(current, dict):
        if dict.__contains__(current, key):
            return dict.__getitem__(current, key)
        if type(current) is dict:
            if kind is str and key[:1] == "_":
                raise not_callable_remotely(key)
            return UNDEFINED
    if isinstance(current, (list, tuple)) and (kind is int or _is_index(key)):
        index = int(key)
        return current[index] if 0 <= index < len(current) else UNDEFINED
    if kind is int:
        return UNDEFINED
    return _method(current, key, entry, trusted)


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and len(key) < 11


def _method(current: Any, key: str, entry: bool, trusted: bool) -> Any:
    if type(current) is MethodReference:
        raise not_callable_remotely(key, f"'{current.name}' was not called before '{key}' was read from it")
    cls = type(current)
    name = key
    owner, raw = _find(cls, key)
    if owner is None:
        alias = wire_names(cls).to_python.get(key)
        if alias is not None:
            name = alias
            owner, raw = _find(cls, alias)
    if trusted:
        return _trusted(current, cls, key, name, owner, raw)
    if name[0:1] == "_" or (name is key and key in RESERVED):
        raise not_callable_remotely(key)
    if owner is None:
        if name in getattr(current, "__dict__", ()) and is_user_class(cls):
            raise not_callable_remotely(key)
        if not entry and not is_user_class(cls):
            raise not_callable_remotely(key, f"on a value of type {cls.__name__} only items can be read")
        return UNDEFINED
    if is_mesh_callable(raw) and name not in RESERVED:
        return MethodReference(_bind(raw, current, cls), key)
    if entry:
        raise not_callable_remotely(key)
    if not isinstance(raw, (FunctionType, staticmethod, classmethod)):
        raise not_callable_remotely(key, f"it is no method, and attributes of {cls.__name__} cannot be read remotely")
    # A name that a platform class above also has (on_start, fetch, …) is a hook for the platform, not a capability.
    for base in cls.__mro__:
        if name in base.__dict__ and not is_user_class(base):
            raise not_callable_remotely(key, f"it belongs to {base.__qualname__}, which is no class of the app")
    return MethodReference(_bind(raw, current, cls), key)


def _trusted(current: Any, cls: type, key: str, name: str, owner: type | None, raw: Any) -> Any:
    if is_mesh_callable(raw) and name not in RESERVED:
        return MethodReference(_bind(raw, current, cls), key)
    if key[:1] == "_" or name[:1] == "_" or (name in RESERVED and name != "svc"):
        raise not_callable_remotely(key, "names with a leading underscore and the node's own connections never are")
    if not _open(cls):
        raise not_callable_remotely(key, f"on a value of type {cls.__name__} only items can be read")
    if owner is not None and name != "svc" and not _open(owner):
        raise not_callable_remotely(key, f"it belongs to {owner.__qualname__}, which is no class of the app")
    members = getattr(current, "__dict__", ())
    if owner is None and name not in members and to_python(key) in members:
        name = to_python(key)
    if name not in members and isinstance(raw, (FunctionType, staticmethod, classmethod)):
        return MethodReference(_bind(raw, current, cls), key)
    return getattr(current, name, UNDEFINED)


def _open(cls: type) -> bool:
    return is_user_class(cls) or getattr(cls, WALKABLE, False) is True


def _find(cls: type, name: str) -> tuple[type | None, Any]:
    for base in cls.__mro__:
        members = base.__dict__
        if name in members:
            return base, members[name]
    return None, None


def _bind(raw: Any, current: Any, cls: type) -> Callable[..., Any]:
    function: Callable[..., Any] = raw.__get__(current, cls) if hasattr(type(raw), "__get__") else raw
    return function


def resolve_callable(current: Any, key: Any, *, trusted: bool) -> Callable[..., Any]:
    """What an ``apply`` calls.

    Args:
        current: a `MethodReference`, or a value that stands where a function should.
        key: the key it was read by, for messages.
        trusted: the chain is the node's own: any function of the app may be called as a value, else marked ones.

    Raises:
        MeshError: no function (OC-21), or one that the allow-list does not have.
    """
    if type(current) is MethodReference:
        return current.function
    if is_mesh_callable(current):
        function: Callable[..., Any] = current
        return function
    if not callable(current):
        raise MeshError(f"TypeError: {js_string(current)} is not a function")
    plain = current.__func__ if isinstance(current, MethodType) else current
    if trusted and isinstance(plain, FunctionType) and plain.__module__.partition(".")[0] not in _FOREIGN:
        function = current
        return function
    raise not_callable_remotely(key if key is not None else getattr(plain, "__name__", "function"))


def js_string(value: Any) -> str:
    """``String(value)`` for messages; objects of the app as ``[object Object]``, so that nothing of them leaks."""
    return _js_string(value, [_LONGEST])


#: Characters of text made of lists, which may hold one another many times over.
_LONGEST = 1_000


def _js_string(value: Any, room: list[int]) -> str:
    if value is None:
        return "null"
    if value is UNDEFINED:
        return "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "NaN" if value != value else repr(value).removesuffix(".0").replace("inf", "Infinity")
    if isinstance(value, (str, int)):
        return str(value)
    if isinstance(value, (list, tuple)):
        parts: list[str] = []
        for item in value:
            room[0] -= 1
            if room[0] < 0:
                break
            parts.append("" if item is None or item is UNDEFINED else _js_string(item, room))
        return ",".join(parts)
    if isinstance(value, BaseException):
        return f"{getattr(value, 'name', None) or type(value).__name__}: {value}"
    return "[object Object]"

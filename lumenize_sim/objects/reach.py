"""Which members of a class a plain call reaches: public methods of the class, and nothing else (RPC-13, RPC-14)."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, Final

from lumenize_sim.objects.rpc_stub import Member, Path, RpcPromise, RpcStub
from lumenize_sim.objects.rpc_target import RpcTarget

__all__ = [
    "MISSING",
    "NO_FETCH",
    "RESERVED",
    "call_member",
    "item_of",
    "not_a_function",
    "not_implemented",
    "refusal_of",
]

#: Names that the platform itself calls; refused over RPC (RPC-14).  In the original's spelling too.
RESERVED: Final = frozenset(
    {
        "alarm",
        "connect",
        "constructor",
        "dup",
        "fetch",
        "webSocketClose",
        "webSocketError",
        "webSocketMessage",
        "web_socket_close",
        "web_socket_error",
        "web_socket_message",
    }
)
#: Text of the error where ``fetch`` was called and the class has none (RPC-20).
NO_FETCH: Final = "Handler does not export a fetch() function."
#: The mesh's own entry, which checks for itself what may be called.
_OWN: Final = "_execute_operation"
#: The names of a target that its stub keeps for itself.
_OF_STUBS: Final = frozenset({"constructor", "dispose", "dup"})
#: No item (`item_of`).
MISSING: Final = object()


def not_implemented(name: str) -> str:
    """Text of the TypeError for a member that is not there, or not for others (RPC-13)."""
    return f'The RPC receiver does not implement the method "{name}".'


def not_a_function(name: str) -> str:
    """Text of the TypeError for a member that is called and is no function (RPC-13)."""
    return f'"{name}" is not a function.'


def _reserved(name: str) -> str:
    return f"'{name}' is a reserved method and cannot be called over RPC."


@lru_cache(maxsize=4096)
def refusal_of(cls: type, method: str) -> str | None:
    """Why ``method`` of ``cls`` cannot be called, or ``None`` where it can.  ``"fetch"`` is the HTTP handler.

    Only functions in the class body (or a base's) count: neither what an instance keeps on itself,
    nor static and class methods, which a prototype does not have, nor names with an underscore.
    """
    found: Any = inspect.getattr_static(cls, method, MISSING)
    if method == "fetch":
        return None if callable(found) else NO_FETCH
    if method in RESERVED:
        return _reserved(method)
    if _hidden("" if method == _OWN else method, found):
        return not_implemented(method)
    if not callable(found):
        return not_a_function(method)
    return None


def _hidden(name: str, found: Any) -> bool:
    return name.startswith("_") or found is MISSING or isinstance(found, (type, staticmethod, classmethod))


def call_member(target: Any, path: Path, args: tuple[Any, ...] | None) -> Any:
    """The result of calling the member at ``path`` of ``target``, or of reading it where ``args`` is ``None``.

    The first step follows the rules of a class (RPC-13); behind it lies what a property or a method
    has given away: items of plain containers, members of other targets and of stubs.

    Raises:
        TypeError: there is no such member for others, or it is called and is no function.
    """
    value = target
    for nth, name in enumerate(path):
        if type(value) is RpcStub or type(value) is RpcPromise:
            member = Member(value, path[nth:])  # not getattr: the names come from elsewhere
            return member if args is None else member(*args)
        value = _member(value, name, outermost=nth == 0)
    if args is None:
        return value
    if not callable(value):
        raise TypeError(not_a_function(path[-1] if path else "target"))
    return value(*args)


def item_of(value: Any, name: str) -> Any:
    """What a plain container has under ``name``, for a list a number, or `MISSING`."""
    if type(value) is dict:
        return value.get(name, MISSING)
    if type(value) in (list, tuple) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return MISSING


def _member(value: Any, name: str, *, outermost: bool) -> Any:
    item = item_of(value, name)
    if item is not MISSING:
        return item
    if outermost or isinstance(value, RpcTarget):
        cls = type(value)
        if name in (_OF_STUBS if isinstance(value, RpcTarget) else RESERVED):
            raise TypeError(_reserved(name))
        if not _hidden(name, inspect.getattr_static(cls, name, MISSING)):
            return getattr(value, name)
    raise TypeError(not_implemented(name))

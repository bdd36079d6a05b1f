"""Which members of a class a plain call reaches: public methods of the class, and nothing else (RPC-13, RPC-14)."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, Final

__all__ = ["NO_FETCH", "RESERVED", "refusal_of"]

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
_MISSING: Final = object()


@lru_cache(maxsize=4096)
def refusal_of(cls: type, method: str) -> str | None:
    """Why ``method`` of ``cls`` cannot be called, or ``None`` where it can.  ``"fetch"`` is the HTTP handler.

    Only functions in the class body (or a base's) count: neither what an instance keeps on itself,
    nor static and class methods, which a prototype does not have, nor names with an underscore.
    """
    found: Any = inspect.getattr_static(cls, method, _MISSING)
    if method == "fetch":
        return None if callable(found) else NO_FETCH
    if method in RESERVED:
        return f"'{method}' is a reserved method and cannot be called over RPC."
    hidden = method.startswith("_") and method != _OWN
    if hidden or found is _MISSING or isinstance(found, (type, staticmethod, classmethod)):
        return f'The RPC receiver does not implement the method "{method}".'
    if not callable(found):
        return f'"{method}" is not a function.'
    return None

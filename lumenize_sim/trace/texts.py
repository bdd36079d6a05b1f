"""Values as text in a trace: bounded, and the same in every process.

``repr`` is neither: sets print in the order of hashes, objects by their address,
and lists that hold the same list many times over grow beyond all memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from lumenize_sim.clone import JSMap, JSSet
from lumenize_sim.clone.encode import set_order

__all__ = ["text_of"]

_SHORT = 10_000
_FLAT = frozenset({str, int, float, bool, type(None)})
_ADDRESS: Any = object.__repr__


def text_of(value: Any, limit: int = 200) -> str:
    """``repr(value)`` for people, members of sets in order; at most ``limit`` characters and an ellipsis."""
    kind = type(value)
    if kind is dict or kind is list:  # most are flat, and `repr` knows those
        items = value.values() if kind is dict else value
        if _FLAT.issuperset(map(type, items)) and (kind is list or _FLAT.issuperset(map(type, value))):
            text = repr(value)
            return text if len(text) <= limit else f"{text[:limit]}…"
    writer = _Writer(limit)
    try:
        writer.write(value)
    except _Full:
        return f"{''.join(writer.out)[:limit]}…"
    return "".join(writer.out)


class _Full(Exception):
    """More text than anybody wants."""


class _Writer:
    def __init__(self, limit: int) -> None:
        self.out: list[str] = []
        self._room = limit
        self._open: set[int] = set()  # containers that are being written

    def _put(self, text: str) -> None:
        self.out.append(text)
        self._room -= len(text)
        if self._room < 0:
            raise _Full

    def write(self, value: Any) -> None:
        kind = type(value)
        if kind is str or kind is bytes:
            self._put(repr(value if len(value) < _SHORT else value[:_SHORT]))
        elif kind is list:
            self._inside(value, "[", value, "]")
        elif kind is tuple:
            self._inside(value, "(", value, ",)" if len(value) == 1 else ")")
        elif kind is dict:
            self._pairs(value, "{", value.items(), ": ", "}")
        elif kind is set and value:
            self._inside(value, "{", _ordered(value), "}")
        elif kind is frozenset and value:
            self._inside(value, "frozenset({", _ordered(value), "})")
        elif kind is JSMap:
            self._pairs(value, "JSMap([", value.pairs(), ", ", "])", "(", ")")
        elif kind is JSSet:
            self._inside(value, "JSSet([", value, "])")
        elif isinstance(value, BaseException):
            self._inside(value, f"{kind.__name__}(", value.args, ")")
        elif isinstance(value, (FunctionType, BuiltinFunctionType, MethodType, type)):
            self._put(f"<{kind.__name__} {value.__qualname__}>")
        elif getattr(kind, "__repr__", None) is _ADDRESS:
            self._put(f"<{kind.__qualname__}>")
        else:
            self._put(repr(value))

    def _inside(self, value: Any, before: str, items: Iterable[Any], after: str) -> None:
        if self._entered(value, before, after):
            separator = ""
            for item in items:
                self._put(separator)
                self.write(item)
                separator = ", "
            self._left(value, after)

    def _pairs(
        self, value: Any, before: str, items: Iterable[tuple[Any, Any]], between: str, after: str, *around: str
    ) -> None:
        first, last = around or ("", "")
        if self._entered(value, before, after):
            separator = ""
            for key, item in items:
                self._put(separator + first)
                self.write(key)
                self._put(between)
                self.write(item)
                self._put(last)
                separator = ", "
            self._left(value, after)

    def _entered(self, value: Any, before: str, after: str) -> bool:
        if id(value) in self._open:
            self._put(f"{before}...{after}")
            return False
        self._open.add(id(value))
        self._put(before)
        return True

    def _left(self, value: Any, after: str) -> None:
        self._put(after)
        self._open.discard(id(value))


def _ordered(members: Any) -> list[Any]:
    try:
        return set_order(members)
    except Exception:  # members that no boundary lets pass
        return sorted(members, key=text_of)

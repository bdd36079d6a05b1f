"""Map and Set of JavaScript: insertion-ordered, any key or member, objects by identity.

Two keys are the same when JavaScript's SameValueZero says so: primitives by
type and value (``1`` and ``"1"`` and ``True`` differ, ``1`` and ``1.0`` do not,
NaN equals NaN), everything else by identity.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, MutableMapping, MutableSet
from collections.abc import Set as AbstractSet
from datetime import datetime
from reprlib import recursive_repr
from typing import Any

from lumenize_sim.clone.values import MAX_SAFE_INTEGER, BigInt, Uint8Array, Undefined

__all__ = ["JSMap", "JSSet"]

_NAN = ("nan",)


def _token(value: Any) -> Hashable:
    kind = type(value)
    if kind is str or value is None:
        return value  # type: ignore[no-any-return]  # whatever was put in
    if kind is int:
        # Beyond 2**53 a Python int is a bigint on the wire, which never equals a number.
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else ("bigint", value)
    if kind is float:
        return value if value == value else _NAN
    if kind is bool:
        return ("bool", value)
    if kind is bytes:
        return ("bytes", value)
    if kind is BigInt:
        return ("bigint", int(value))
    if kind is Undefined:
        return ("undefined",)
    # Only looked up, never iterated: the order of a dict is that of insertion, so no identity reaches an output.
    return ("object", id(value))


def _find(entries: Mapping[Hashable, Any], value: Any) -> Hashable | None:
    """The token under which ``value`` is held; dates and bytes are found by value where identity fails."""
    token = _token(value)
    if token in entries:
        return token
    kind = type(value)
    if kind is bytes or kind is Uint8Array or kind is datetime:
        for token, entry in entries.items():
            held = entry[0]
            if isinstance(held, (bytes, datetime)) and held == value:
                return token
    return _MISSING


_MISSING = ("missing",)


class JSMap(MutableMapping[Any, Any]):
    """A `Map`: any key, also unhashable ones; iteration in insertion order.

    Equal to another `JSMap` with equal entries in the same order, and to a dict with the same items.
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ()) -> None:
        self._entries: dict[Hashable, tuple[Any, Any]] = {}
        pairs: Iterable[tuple[Any, Any]] = entries.items() if isinstance(entries, Mapping) else entries
        for key, value in pairs:
            self._entries[_token(key)] = (key, value)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._entries[_find(self._entries, key)][1]
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        token = _token(key)
        held = self._entries.get(token)
        self._entries[token] = (key if held is None else held[0], value)

    def __delitem__(self, key: Any) -> None:
        try:
            del self._entries[_find(self._entries, key)]
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return _find(self._entries, key) is not _MISSING

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def pairs(self) -> Iterable[tuple[Any, Any]]:
        """The entries in order, without a look-up for each."""
        return self._entries.values()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JSMap):
            return list(self._entries.values()) == list(other._entries.values())
        if isinstance(other, dict):
            return len(self) == len(other) and all(key in self and self[key] == other[key] for key in other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable, so unhashable

    @recursive_repr()
    def __repr__(self) -> str:
        return f"JSMap({list(self._entries.values())!r})"


class JSSet(MutableSet[Any]):
    """A `Set`: any member, also unhashable ones; iteration in insertion order.

    Equal to any set with the same members, to another `JSSet` only in the same order.
    """

    __slots__ = ("_entries",)

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._entries: dict[Hashable, tuple[Any]] = {}
        for member in members:
            self.add(member)

    def __contains__(self, member: object) -> bool:
        return _find(self._entries, member) is not _MISSING

    def __iter__(self) -> Iterator[Any]:
        return (entry[0] for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, value: Any) -> None:
        """Add ``value`` at the end, unless it is a member already."""
        self._entries.setdefault(_token(value), (value,))

    def discard(self, value: Any) -> None:
        """Remove ``value`` if it is a member."""
        self._entries.pop(_find(self._entries, value), None)

    def update(self, *others: Iterable[Any]) -> None:
        """Add every member of ``others``."""
        for other in others:
            for member in other:
                self.add(member)

    def copy(self) -> JSSet:
        """A new set with the same members."""
        return JSSet(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JSSet):
            return list(self._entries.values()) == list(other._entries.values())
        if isinstance(other, AbstractSet):
            return len(self) == len(other) and all(member in self for member in other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable, so unhashable

    @recursive_repr()
    def __repr__(self) -> str:
        return f"JSSet({list(self)!r})"

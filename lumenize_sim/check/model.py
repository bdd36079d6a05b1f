"""Sequential models: what an object would do if its callers came one after the other."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol, runtime_checkable

import attrs

from lumenize_sim.errors import UsageError

__all__ = ["ANY", "Counter", "Map", "Model", "OneOf", "Queue", "Register", "Set", "accepts", "frozen"]


class _Any:
    def __repr__(self) -> str:
        return "ANY"


#: A model's result that is right whatever was answered.
ANY = _Any()


@attrs.frozen
class OneOf:
    """A model's result that is right if one of ``values`` was answered."""

    values: tuple[Any, ...]


@runtime_checkable
class Model(Protocol):
    """A data type, one caller at a time.

    A model of your own needs ``initial`` and ``apply``.  It may also have ``partition(op, args)``, which names the
    part of the state that an operation touches (any hashable value), or answers ``None`` for one that touches more
    than one part.  Parts are checked apart, which is much quicker, and right because a history is linearizable if
    each object in it is.
    """

    @property
    def initial(self) -> Any:
        """The state before anything happened; hashable, as all states."""
        ...

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """The state after ``op``, and its result: a value, `ANY` or a `OneOf`.  Must not change ``state``."""
        ...


def accepts(expected: Any, seen: Any) -> bool:
    """Whether a caller may have been answered ``seen`` where the model says ``expected``."""
    if expected is ANY:
        return True
    if type(expected) is OneOf:
        return any(frozen(seen) == frozen(value) for value in expected.values)
    return bool(frozen(seen) == frozen(expected))


def frozen(value: Any) -> Any:
    """``value`` with tuples for lists, and something hashable for dicts and sets; equal values stay equal."""
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    if isinstance(value, dict):
        return ("dict", frozenset((frozen(key), frozen(item)) for key, item in value.items()))
    if isinstance(value, set | frozenset):
        return frozenset(map(frozen, value))
    return value


def _unknown(model: object, op: str, known: str) -> UsageError:
    name = type(model).__name__
    return UsageError(f"{name} knows no operation {op!r}: use {known}, or write a model of your own")


def _told(value: Any) -> OneOf:
    """The answer of an operation that changes something; one that tells nothing is as good."""
    return OneOf((value, None))


@attrs.frozen
class Register:
    """One value: ``read()``, ``write(value)`` with any answer, ``cas(old, new)`` that answers whether it did."""

    initial: Any = None

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """See `Model`."""
        if op == "read":
            return state, state
        if op == "write":
            return frozen(args[0]), ANY
        if op == "cas":
            return (frozen(args[1]), True) if state == frozen(args[0]) else (state, False)
        raise _unknown(self, op, "read, write or cas")


@attrs.frozen
class Counter:
    """A number: ``add(by=1)`` answers the new value, or nothing; ``read()``."""

    initial: int = 0

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """See `Model`."""
        if op == "read":
            return state, state
        if op == "add":
            value = state + (args[0] if args else 1)
            return value, _told(value)
        raise _unknown(self, op, "add or read")


class Map:
    """Keys and values: ``get(key)`` (``None`` where there is none), ``put(key, value)``, ``delete(key)``."""

    initial: Any = frozenset()

    def partition(self, op: str, args: tuple[Any, ...]) -> Hashable | None:
        """By key."""
        return ("key", frozen(args[0]))

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """See `Model`; ``state`` is a frozenset of pairs."""
        key = frozen(args[0])
        held = [pair for pair in state if pair[0] == key]
        if op == "get":
            return state, held[0][1] if held else None
        if op == "put":
            return state.difference(held) | {(key, frozen(args[1]))}, ANY
        if op == "delete":
            return state.difference(held), _told(bool(held))
        raise _unknown(self, op, "get, put or delete")


class Queue:
    """First in, first out: ``put(value)``, ``take()`` (``None`` where it is empty)."""

    initial: Any = ()

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """See `Model`."""
        if op == "put":
            return (*state, frozen(args[0])), ANY
        if op == "take":
            return (state[1:], state[0]) if state else (state, None)
        raise _unknown(self, op, "put or take")


class Set:
    """Members: ``add(value)``, ``remove(value)``, ``has(value)``, ``members()`` (in any order)."""

    initial: Any = frozenset()

    def partition(self, op: str, args: tuple[Any, ...]) -> Hashable | None:
        """By value, unless somebody asks for all of them."""
        return None if op == "members" else ("value", frozen(args[0]))

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        """See `Model`."""
        if op == "members":
            return state, _Members(state)
        value = frozen(args[0])
        if op == "has":
            return state, value in state
        if op == "add":
            return state | {value}, _told(value not in state)
        if op == "remove":
            return state - {value}, _told(value in state)
        raise _unknown(self, op, "add, remove, has or members")


@attrs.frozen(eq=False)
class _Members:
    """Members in whatever container and order they were answered, each once."""

    values: frozenset[Any]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | tuple | set | frozenset):
            return NotImplemented
        return len(other) == len(self.values) and frozenset(map(frozen, other)) == self.values

    __hash__ = None  # type: ignore[assignment]  # it is compared, never kept

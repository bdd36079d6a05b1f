"""Names on the wire are the original's: ``handle_update`` here is ``handleUpdate`` there.

Attribute names are converted, items and data keys never.  On receipt a class's
own attribute name comes first, then its table of wire names; so two attributes
that would share a wire name are refused when the class is created.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import attrs

from lumenize_sim.errors import AppError

__all__ = ["WireNames", "to_python", "to_wire", "wire", "wire_names"]

T = TypeVar("T")

WIRE_NAME = "__lmz_wire_name__"

_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_converted: dict[str, str] = {}
_tables: WeakKeyDictionary[type, WireNames] = WeakKeyDictionary()


@attrs.frozen(eq=False)
class WireNames:
    """One class's names, both ways.  Only methods and properties; data is never reachable by name."""

    to_wire: dict[str, str]
    to_python: dict[str, str]


def to_wire(name: str) -> str:
    """``"handle_content_update"`` → ``"handleContentUpdate"``; a name without underscores is kept.

    Leading underscores are kept, trailing ones (``import_``) dropped.
    """
    known = _converted.get(name)
    if known is None:
        bare = name.lstrip("_")
        first, *rest = bare.rstrip("_").split("_")
        known = name[: len(name) - len(bare)] + first + "".join(part[:1].upper() + part[1:] for part in rest)
        if len(_converted) < 10_000:  # names come from the app's source, but do not bet memory on it
            _converted[name] = known
    return known


def to_python(name: str) -> str:
    """``"handleContentUpdate"`` → ``"handle_content_update"``; the guess where no class is known."""
    return _HUMPS.sub("_", name).lower()


def wire(name: str) -> Callable[[T], T]:
    """Decorator: the method's name on the wire is exactly ``name``, as in ``@wire("getURL")``."""
    given: object = name
    if not isinstance(given, str) or not given:
        raise AppError(f"wire name {name!r} is not a non-empty string: write @wire('getURL')")

    def mark(member: T) -> T:
        set_wire_name(member, name)
        return member

    return mark


def set_wire_name(member: Any, name: str) -> None:
    """Put the wire name where `wire_names` finds it: on the function beneath any descriptor."""
    setattr(underlying(member), WIRE_NAME, name)


def underlying(member: Any) -> Any:
    """The function that a ``staticmethod``, ``classmethod`` or ``property`` was made from, else the member itself."""
    if isinstance(member, (staticmethod, classmethod)):
        return member.__func__
    if isinstance(member, property):
        return member.fget
    return member


def wire_names(cls: type) -> WireNames:
    """The table of ``cls``, built once.

    An override keeps the wire name that a base class gave the attribute, unless it says otherwise.

    Raises:
        AppError: two attributes have the same wire name.
    """
    table = _tables.get(cls)
    if table is None:
        table = _tables[cls] = _build(cls)
    return table


def _build(cls: type) -> WireNames:
    outward: dict[str, str] = {}
    for klass in reversed(cls.__mro__):
        for name, member in vars(klass).items():
            function = underlying(member)
            explicit = getattr(function, WIRE_NAME, None)
            if explicit is not None:
                outward[name] = explicit
            elif name in outward or name.startswith("_") or klass is object:
                continue
            elif isinstance(member, (FunctionType, staticmethod, classmethod, property)):
                outward[name] = to_wire(name)
    inward: dict[str, str] = {}
    for name, wire_name in outward.items():
        other = inward.setdefault(wire_name, name)
        if other != name:
            raise AppError(
                f"{cls.__qualname__}.{other} and {cls.__qualname__}.{name} would both be {wire_name!r} on the wire: "
                f"rename one, or give it its own wire name with @mesh(name='…') or @wire('…')"
            )
    return WireNames(outward, inward)

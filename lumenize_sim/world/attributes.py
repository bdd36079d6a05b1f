"""Accesses to instance attributes, for traces: memory races like storage does.

While a run is traced, nodes are instances of a subclass that records what user code
reads and writes of its own public attributes.  A container that was read and has
changed when the turn is over was written, wherever in it the change was made.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from lumenize_sim.objects.strand import strand_var
from lumenize_sim.world.app_line import app_line

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["PendingReads", "watched"]

#: What the library itself keeps on nodes.
_OWN = frozenset({"lmz", "svc", "ctx", "env"})
_CONTAINERS = (list, dict, set)
#: Types of values that a class gives to its instances.
_DEFAULTS = frozenset({bool, int, float, str, bytes, tuple, list, dict, set, frozenset, type(None)})
_LONGEST = 2_000


@functools.cache
def watched(cls: type) -> type:
    """``cls``, recording accesses to public attributes of its instances."""
    defaults = _defaults(cls)

    class Watched(cls):  # type: ignore[misc]  # a class of the app, known at run time only
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            _record(self, name, "write", value)

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if name[0] != "_" and name not in _OWN:
                if name in super().__getattribute__("__dict__"):
                    _record(self, name, "read", value)
                elif name in defaults:
                    # Not set yet: what the class says is what is read, and may be out of date when it is acted on.
                    _record(self, name, "read", value, default=True)
            return value

    Watched.__name__, Watched.__qualname__, Watched.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    return Watched


def _defaults(cls: type) -> frozenset[str]:
    """Plain values that the app's classes give to their instances."""
    return frozenset(
        name
        for owner in cls.__mro__
        if owner is not object and not owner.__module__.startswith("lumenize_sim.")
        for name, value in vars(owner).items()
        if type(value) in _DEFAULTS
    )


def _record(instance: Any, name: str, op: str, value: Any, *, default: bool = False) -> None:
    if name[0] == "_" or name in _OWN:
        return
    strand = strand_var.get()
    if strand is None:
        return
    world: World | None = getattr(strand.owner.seat, "world", None)
    if world is None or not world.chronicle.tracing or world.closed:
        return
    owner = instance.__dict__.get("_owner") or getattr(instance.__dict__.get("ctx"), "owner", None)
    actor = owner.name if owner is not None else strand.owner.name
    where = app_line()
    data: dict[str, Any] = {"key": f"attr:{name}", "op": f"attr-{op}", "store": "attr", "strand": strand.event}
    if default:
        data["default"] = True
    world.chronicle.record(op, actor, strand.event, data, where=where)
    if op == "read" and type(value) in _CONTAINERS and len(value) < _LONGEST:
        world.chronicle.reads.remember(value, (actor, name, strand.event, where))


class PendingReads:
    """Containers that were read in the running turn, and what they looked like."""

    def __init__(self) -> None:
        self._seen: list[tuple[Any, str, tuple[str, str, str, str | None]]] = []

    def remember(self, value: Any, access: tuple[str, str, str, str | None]) -> None:
        """``value`` was read."""
        for held, _, _ in self._seen:
            if held is value:
                return
        self._seen.append((value, repr(value), access))

    def changed(self) -> list[tuple[str, str, str, str | None]]:
        """The turn is over: accesses to containers that look different now."""
        if not self._seen:
            return []
        seen, self._seen = self._seen, []
        return [access for value, before, access in seen if repr(value) != before]

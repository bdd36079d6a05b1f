"""Plain trees: exact ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` and ``None``, nothing shared.

Most values are such trees, and one optimistic walk copies them.
"""

from __future__ import annotations

from math import inf
from typing import Any

from lumenize_sim.clone.refusal import MAX_DEPTH
from lumenize_sim.clone.values import MAX_SAFE_INTEGER

__all__ = ["NotPlain", "plain_copy"]

_MIN = -MAX_SAFE_INTEGER
_MAX = MAX_SAFE_INTEGER


class NotPlain(Exception):
    """The walk met something that is not a plain tree."""


def _plain_dict(value: dict[Any, Any], seen: set[int], depth: int) -> dict[str, Any]:
    identity = id(value)
    if identity in seen or depth > MAX_DEPTH:
        raise NotPlain
    seen.add(identity)
    out = value.copy()
    for key, item in value.items():
        # Everything that starts with a character below ":" (among them "$" and the digits) may need escaping or
        # reordering.
        if type(key) is not str or key < ":":
            raise NotPlain
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is int:
            if not _MIN <= item <= _MAX:
                raise NotPlain
        elif kind is dict:
            out[key] = _plain_dict(item, seen, depth + 1)
        elif kind is list:
            out[key] = _plain_list(item, seen, depth + 1)
        elif kind is not float or not -inf < item < inf:
            raise NotPlain
    return out


def _plain_list(value: list[Any], seen: set[int], depth: int) -> list[Any]:
    identity = id(value)
    if identity in seen or depth > MAX_DEPTH:
        raise NotPlain
    seen.add(identity)
    out = value.copy()
    for index, item in enumerate(value):
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is int:
            if not _MIN <= item <= _MAX:
                raise NotPlain
        elif kind is dict:
            out[index] = _plain_dict(item, seen, depth + 1)
        elif kind is list:
            out[index] = _plain_list(item, seen, depth + 1)
        elif kind is not float or not -inf < item < inf:
            raise NotPlain
    return out


def plain_copy(value: Any) -> Any:
    """A copy of a plain tree, which is its own jsonable form.

    Raises:
        NotPlain: it needs more than that.
        RecursionError: it is deeper than the interpreter can follow.
    """
    kind = type(value)
    if kind is dict:
        return _plain_dict(value, set(), 0)
    if kind is list:
        return _plain_list(value, set(), 0)
    if kind is str or value is None or kind is bool:
        return value
    if (kind is int and _MIN <= value <= _MAX) or (kind is float and -inf < value < inf):
        return value
    raise NotPlain

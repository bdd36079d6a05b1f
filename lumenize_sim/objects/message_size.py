"""How large a message is: the limit of 32 MiB on arguments and results (RPC-16).

The size is that of the platform's own serialisation, counted and not produced.  Only
values that might be near the limit are counted; for all others a lower bound decides.
"""

from __future__ import annotations

from datetime import datetime
from marshal import dumps
from typing import Any, Final

from lumenize_sim.clone import BigInt, JSMap, JSSet
from lumenize_sim.objects.refusal import Error

__all__ = ["MESSAGE_LIMIT_BYTES", "certainly_small", "checked", "message_bytes"]

MESSAGE_LIMIT_BYTES: Final = 32 * 1024 * 1024
#: What `marshal` writes counts each character once at least, and the platform twice at most.
_CERTAINLY_SMALL: Final = MESSAGE_LIMIT_BYTES // 8
#: Where it refers to what it wrote before, in 5 bytes, the platform may write a string of at most this length again.
_SMALL_WITH_REFERENCES: Final = 8_000
_MANY: Final = 500
_HOLDERS: Final = frozenset({list, dict})


def certainly_small(value: Any) -> bool:
    """Whether ``value``, an encoded tree, is far below the limit, as nearly all are; cheap."""
    try:
        # Version 0 writes every string in full, as the platform does; later ones refer to earlier ones.
        return len(dumps(value, 0)) < _CERTAINLY_SMALL
    except ValueError:  # a cycle, or a type that only the platform has
        return False


def checked(value: Any) -> Any:
    """``value`` itself, a copy that is about to cross.

    Raises:
        Error: it is larger than a message may be; nothing has been sent.  Blame: the application.
    """
    try:
        # No version without references here: lists of the same list of the same list are endless without them.
        # References cost more than they tell where there is much to write.
        if not (type(value) in _HOLDERS and len(value) > _MANY) and len(dumps(value)) < _SMALL_WITH_REFERENCES:
            return value
        if _is_tree(value) and certainly_small(value):
            return value
    except ValueError:  # a type that only the platform has
        pass
    size = message_bytes(value)
    if size > MESSAGE_LIMIT_BYTES:
        raise Error(
            "Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: "
            f"{size} bytes."
        )
    return value


def _is_tree(value: Any) -> bool:
    """Whether no list or dict stands in two places; cheap beside the copy that was just made of it."""
    seen: set[int] = set()
    todo = [value]
    while todo:
        holder = todo.pop()
        kind = type(holder)
        if kind is not list and kind is not dict:
            continue
        if id(holder) in seen:
            return False
        seen.add(id(holder))
        items = holder.values() if kind is dict else holder
        todo += [item for item in items if type(item) in _HOLDERS]
    return True


def message_bytes(value: Any) -> int:
    """The size of ``value`` as the platform would serialise it, with its header."""
    size = 2
    seen: dict[int, int] = {}
    todo = [value]  # in the order in which the platform writes, which numbers what it refers to
    while todo:
        value = todo.pop()
        kind = type(value)
        if value is None or kind is bool:
            size += 1
        elif kind is int:
            size += 1 + _varint(abs(value) << 1) if -(1 << 31) <= value < 1 << 31 else 9
        elif kind is float or kind is datetime:
            size += 9
        elif kind is str:
            size += _text(value)
        elif kind is BigInt:
            size += 10 + (int(value).bit_length() // 64) * 8
        elif kind is bytes:
            size += 6 + 2 * _varint(len(value)) + len(value)
        elif (known := seen.get(id(value))) is not None:
            size += 1 + _varint(known)
        else:
            seen[id(value)] = len(seen)
            own, parts = _shell(value, kind)
            size += own
            todo.extend(reversed(parts))
    return size


def _shell(value: Any, kind: type) -> tuple[int, list[Any]]:
    """The size of a composite value by itself, and its parts."""
    if kind is dict:
        return 2 + _varint(len(value)), [*value.keys(), *value.values()]
    if kind is list:
        return 3 + 2 * _varint(len(value)), value
    if isinstance(value, JSMap):
        return 2 + _varint(2 * len(value)), [part for pair in value.pairs() for part in pair]
    if isinstance(value, (set, JSSet)):
        return 2 + _varint(len(value)), list(value)
    if isinstance(value, BaseException):
        return 3 + _text(str(value)), list(vars(value).values())
    if isinstance(getattr(value, "body", None), bytes):
        return 16, []  # streams are exempt
    try:
        return 8 + memoryview(value).nbytes, []
    except TypeError:
        return 16, []


def _text(value: str) -> int:
    length = len(value)
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        length = len(value.encode("utf-16-le", "surrogatepass"))
    return 1 + _varint(length) + length


def _varint(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)

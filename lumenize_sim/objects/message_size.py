"""How large a message is: the limit of 32 MiB on arguments and results (RPC-16).

The size is that of the platform's own serialisation, counted and not produced.  Only
values that might be near the limit are counted; for all others a lower bound decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from marshal import dumps
from typing import Any, Final

from lumenize_sim.clone import BigInt, JSMap, JSSet
from lumenize_sim.objects.refusal import Error

__all__ = ["MESSAGE_LIMIT_BYTES", "certainly_small", "checked", "message_bytes"]

MESSAGE_LIMIT_BYTES: Final = 32 * 1024 * 1024
#: What `marshal` writes counts each character once at least, and the platform twice at most.
_CERTAINLY_SMALL: Final = MESSAGE_LIMIT_BYTES // 8


def certainly_small(value: Any) -> bool:
    """Whether ``value`` is far below the limit, as nearly all are; cheap."""
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
    if certainly_small(value):
        return value
    size = message_bytes(value)
    if size > MESSAGE_LIMIT_BYTES:
        raise Error(
            "Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: "
            f"{size} bytes."
        )
    return value


def message_bytes(value: Any) -> int:
    """The size of ``value`` as the platform would serialise it, with its header."""
    return 2 + _size(value, {})


def _size(value: Any, seen: dict[int, int]) -> int:
    kind = type(value)
    if value is None or kind is bool:
        return 1
    if kind is int:
        return 1 + _varint(abs(value) << 1) if -(1 << 31) <= value < 1 << 31 else 9
    if kind is float:
        return 9
    if kind is str:
        return _text(value)
    if kind is BigInt:
        return 10 + (int(value).bit_length() // 64) * 8
    if kind is datetime:
        return 9
    if kind is bytes:
        return 6 + 2 * _varint(len(value)) + len(value)
    known = seen.get(id(value))
    if known is not None:
        return 1 + _varint(known)
    seen[id(value)] = len(seen)
    if kind is dict:
        return 2 + _varint(len(value)) + _all(value.keys(), seen) + _all(value.values(), seen)
    if kind is list:
        return 3 + 2 * _varint(len(value)) + _all(value, seen)
    if isinstance(value, JSMap):
        return 2 + _varint(2 * len(value)) + sum(_size(k, seen) + _size(v, seen) for k, v in value.pairs())
    if isinstance(value, (set, JSSet)):
        return 2 + _varint(len(value)) + _all(value, seen)
    if isinstance(value, BaseException):
        return 3 + _text(str(value)) + _all(vars(value).values(), seen)
    body = getattr(value, "body", None)
    if isinstance(body, bytes):
        return 16  # streams are exempt
    try:
        return 8 + memoryview(value).nbytes
    except TypeError:
        return 16


def _all(values: Iterable[Any], seen: dict[int, int]) -> int:
    return sum(_size(value, seen) for value in values)


def _text(value: str) -> int:
    length = len(value)
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        length = len(value.encode("utf-16-le", "surrogatepass"))
    return 1 + _varint(length) + length


def _varint(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)

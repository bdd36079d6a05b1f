"""The written forms of values without members: numbers, dates, bytes, and what stands for a primitive (SC-2)."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import Any

from lumenize_sim.clone.dates import Date, InvalidDate, iso_of_datetime, utc_ms
from lumenize_sim.clone.failures import RangeError
from lumenize_sim.clone.forms import aware
from lumenize_sim.clone.refusal import Refusal
from lumenize_sim.clone.values import (
    MAX_SAFE_INTEGER,
    ArrayBuffer,
    BigInt,
    Boxed,
    DataView,
    RegExp,
    Uint8Array,
)
from lumenize_sim.clone.web import URL

__all__ = ["atom_form", "date_form", "frozen_form", "special_number"]

_MIN = -MAX_SAFE_INTEGER
_MAX = MAX_SAFE_INTEGER


def atom_form(value: Any, kind: type, binary: bool) -> Any:
    """Numbers, bytes and ``undefined``."""
    if kind is int:
        if binary or _MIN <= value <= _MAX:
            return value
        return {"$type": "bigint", "value": _digits(value)}
    if kind is float:
        if binary or -inf < value < inf:
            return value
        return {"$type": "number-special", "value": special_number(value)}
    if kind is BigInt:
        return {"$type": "bigint", "value": _digits(value)}
    if kind is bytes:
        return value if binary else {"$type": "arraybuffer", "subtype": "Uint8Array", "data": list(value)}
    return {"$type": "undefined"}


def date_form(value: datetime, strict: bool) -> dict[str, Any]:
    """A moment; refused where it has no time zone."""
    aware(value)
    if strict and utc_ms(value) is not value:
        raise Refusal("datetime would arrive changed; strict allows UTC and whole milliseconds only")
    return {"$type": "date", "iso": iso_of_datetime(value)}


def frozen_form(value: Any, binary: bool) -> dict[str, Any]:
    """What cannot change and has no members: dates, regular expressions, URLs, boxed values, arrays of bytes."""
    if isinstance(value, RegExp):
        return {"$type": "regexp", "source": value.source, "flags": value.flags}
    if isinstance(value, URL):
        return {"$type": "url", "href": value.href}
    if isinstance(value, Date):
        return {"$type": "date", "iso": value.iso()}
    if isinstance(value, InvalidDate):
        if binary:
            return {"$type": "date", "iso": "Invalid Date"}
        raise RangeError("Invalid time value")
    if isinstance(value, Boxed):
        return _boxed(value.value)
    out: dict[str, Any] = {"$type": "arraybuffer", "subtype": type(value).__name__}
    if isinstance(value, Uint8Array):
        out["data"] = bytes(value) if binary else list(value)
    elif isinstance(value, (ArrayBuffer, DataView)):
        out["data"] = value.data if binary else list(value.data)
        if isinstance(value, DataView):
            out["byteOffset"] = value.byte_offset
            out["byteLength"] = value.byte_length
    else:
        out["data"] = [int(item) if binary and type(item) is BigInt else item for item in value.data]
    return out


def special_number(value: float) -> str:
    """The text of a non-finite number."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _digits(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # the interpreter's guard against text of quadratic cost
        raise Refusal("an integer of more than 4300 digits cannot be written; send its bytes") from None


def _boxed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"$type": "boolean-object", "value": value}
    if isinstance(value, str):
        return {"$type": "string-object", "value": value}
    if isinstance(value, BigInt) or (isinstance(value, int) and not _MIN <= value <= _MAX):
        return {"$type": "bigint-object", "value": _digits(value)}
    return {"$type": "number-object", "value": value if -inf < value < inf else special_number(value)}

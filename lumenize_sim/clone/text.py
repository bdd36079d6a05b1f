"""JSON text exactly as ECMAScript writes and reads it (SC-10, SC-41, SC-42, SC-43).

The interpreter's C encoder already agrees on almost every value.  What differs
is found by one cheap walk; only such values go through the slow writer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json import encoder as json_encoder
from typing import Any

from lumenize_sim.clone.refusal import MAX_DEPTH, Refusal, too_deep
from lumenize_sim.clone.values import MAX_SAFE_INTEGER, BigInt

__all__ = ["dumps", "is_array_index", "loads", "native_dumps", "number_text", "property_order"]

_SURROGATE = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")
_LONG_NUMBER = re.compile(r"\d{16}")


def _no_default(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not jsonable; preprocess it first")


def _native() -> Callable[[Any], str]:
    make: Any = getattr(json_encoder, "c_make_encoder", None)
    quote: Any = json_encoder.encode_basestring  # type: ignore[attr-defined,unused-ignore]  # not in the stubs
    if make is None:  # pragma: no cover - interpreters without the C accelerator
        return json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
    # Kept ready: JSONEncoder builds this object anew for every call, which costs as much as a small frame.
    chunks = make(None, _no_default, quote, None, ":", ",", False, False, False)
    join = "".join
    return lambda value: join(chunks(value, 0))


_encode = _native()
_quote: Callable[[str], str] = json_encoder.encode_basestring  # type: ignore[attr-defined,unused-ignore]  # not in the stubs


def _mend(match: re.Match[str]) -> str:
    found = match.group()
    if len(found) == 2:  # a pair in two halves is one character
        return found.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    return f"\\u{ord(found):04x}"


def native_dumps(value: Any) -> str:
    """Text of a value already known to need no reordering and no other numbers than the C encoder writes."""
    text = _encode(value)
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return _SURROGATE.sub(_mend, text)


def is_array_index(key: str) -> bool:
    """Whether ``key`` is a canonical array index, ``"0"`` to ``"4294967294"``, which JavaScript orders first."""
    return (
        key.isascii()
        and key.isdigit()
        and len(key) <= 10
        and (key[0] != "0" or len(key) == 1)
        and int(key) < 4294967295
    )


def property_order(value: dict[str, Any]) -> dict[str, Any]:
    """``value`` with its keys in the order that JavaScript gives them (SC-10); itself where that changes nothing."""
    indices = [key for key in value if key < ":" and is_array_index(key)]
    if not indices:
        return value
    indices.sort(key=int)
    ordered = {key: value[key] for key in indices}
    ordered.update(value)
    return ordered


def number_text(number: float) -> str:
    """A finite number as ``Number.prototype.toString`` writes it, ``null`` for others (SC-41)."""
    if number != number or number in (float("inf"), float("-inf")):
        return "null"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(float(number))).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits * 10**point.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return f"{sign}{digits}{'0' * (point - count)}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    fraction = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{'+' if power > 0 else '-'}{abs(power)}"


def _is_native(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER)
    if kind is float:
        # Outside these bounds, and for integral values, repr differs from ECMAScript.
        return 1e-4 <= abs(value) < 1e15 and not value.is_integer()
    depth += 1
    if depth > MAX_DEPTH + 4:  # a frame adds a few levels around an encoded value
        raise too_deep()
    if kind is list:
        for item in value:  # noqa: SIM110  # a generator expression takes twice as long
            if type(item) is not str and not _is_native(item, depth):
                return False
        return True
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or (key < ":" and is_array_index(key)):
                return False
            if type(item) is not str and not _is_native(item, depth):
                return False
        return True
    return False


def _write(value: Any, out: list[str], depth: int) -> None:
    if isinstance(value, str):
        out.append(_quote(value))
    elif value is None:
        out.append("null")
    elif value is True:
        out.append("true")
    elif value is False:
        out.append("false")
    elif isinstance(value, BigInt):
        raise TypeError("Do not know how to serialize a BigInt")
    elif isinstance(value, int):
        exact = -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
        out.append(int.__repr__(value) if exact else number_text(_rounded(value)))
    elif isinstance(value, float):
        out.append(number_text(value))
    elif depth > MAX_DEPTH + 4:
        raise too_deep()
    elif isinstance(value, (list, tuple)):
        separator = "["
        for item in value:
            out.append(separator)
            _write(item, out, depth + 1)
            separator = ","
        out.append("]" if separator == "," else "[]")
    elif isinstance(value, dict):
        separator = "{"
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string; an object has string keys only")
        for key, item in property_order(value).items():
            out.append(f"{separator}{_quote(key)}:")
            _write(item, out, depth + 1)
            separator = ","
        out.append("}" if separator == "," else "{}")
    else:
        _no_default(value)


def _rounded(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def dumps(value: Any) -> str:
    """The compact JSON text that ``JSON.stringify`` gives for an already jsonable value.

    Raises:
        TypeError: something in it is not jsonable, a `BigInt` for example.
        DataCloneError: it is nested too deeply, perhaps because it contains itself.
    """
    try:
        if _is_native(value):
            return native_dumps(value)
        out: list[str] = []
        _write(value, out, 0)
    except Refusal as refusal:
        raise refusal.error() from None
    except RecursionError:
        raise too_deep().error() from None
    text = "".join(out)
    return text if text.isascii() else _SURROGATE.sub(_mend, text)


def _parse_int(text: str) -> int | float:
    if len(text) < 16:
        return int(text)
    number = float(text)
    return int(number) if abs(number) <= MAX_SAFE_INTEGER else number


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON; encode it with preprocess first")


_fast_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_exact_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_parse_int)
_scan: Callable[[str, int], tuple[Any, int]] = _fast_decoder.scan_once  # type: ignore[attr-defined,unused-ignore]  # not in the stubs


def loads(text: str | bytes) -> Any:
    """What ``JSON.parse`` gives: integers beyond 2**53 are rounded to floats (SC-43).

    Raises:
        ValueError: the text is not JSON, or nested too deeply.
    """
    if not isinstance(text, str):
        text = text.decode("utf-8")
    try:
        if _LONG_NUMBER.search(text) is not None:
            return _exact_decoder.decode(text)
        try:
            value, end = _scan(text, 0)
            if end == len(text):
                return value
        except StopIteration:
            pass
        return _fast_decoder.decode(text)  # blanks around it, or an error with its position
    except RecursionError:
        raise ValueError("JSON text is nested too deeply") from None

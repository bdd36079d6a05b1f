"""``{"json": ..., "meta": ...}`` and its text back to Python values (SC-27 to SC-35)."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise
from typing import Any

from lumenize_sim.clone.containers import JSMap, JSSet
from lumenize_sim.clone.dates import Date, InvalidDate, date_of_iso, date_of_ms
from lumenize_sim.clone.encode import set_order
from lumenize_sim.clone.failures import allocate_error, fill_error
from lumenize_sim.clone.refusal import MAX_DEPTH, Refusal, too_deep
from lumenize_sim.clone.text import loads, number_text
from lumenize_sim.clone.values import (
    MAX_SAFE_INTEGER,
    TYPED_ARRAYS,
    UNDEFINED,
    ArrayBuffer,
    BigInt,
    Boxed,
    DataView,
    RegExp,
    Uint8Array,
)
from lumenize_sim.clone.web import URL, Headers, RequestSync, ResponseSync

__all__ = ["Decoder", "number_of", "parse", "postprocess"]

_TAGS = frozenset({
    "undefined", "number-special", "bigint", "function", "date", "regexp", "map", "set", "error", "headers", "url",
    "arraybuffer", "boolean-object", "string-object", "number-object", "bigint-object", "request-sync",
    "response-sync",
})  # fmt: skip
#: Never the body of an alias, since nobody refers to them; a body that says so is read as an unknown tag.
_NO_BODIES = frozenset({"undefined", "bigint", "number-special"})
#: Methods that every implementation of requests spells in capitals.
_UPPERED = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
_LATER = object()
_BLANKS = " \t\n\r\v\f\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
_DIGITS = re.compile(r"[+-]?[0-9]+")
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_DECIMAL = re.compile(r"[+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")


def _text(value: Any) -> str:
    """``String(value)`` of something from JSON."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return ",".join("" if item is None else _text(item) for item in value)
    if value is UNDEFINED:
        return "undefined"
    return number_text(value) if isinstance(value, (int, float)) else "[object Object]"


def _big(value: Any) -> int:
    """``BigInt(value)``: of text, a boolean, or a number without a fraction."""
    whole = isinstance(value, (int, float)) and value % 1 == 0
    text = str(int(value)) if whole else _text(value).strip(_BLANKS)
    if _RADIX.fullmatch(text):
        number = int(text, 0)
    elif _DIGITS.fullmatch(text):
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"a bigint of {len(text)} digits is longer than the 4300 that are read") from None
    elif not text:
        number = 0
    else:
        raise ValueError(f"Cannot convert {value!r} to a BigInt")
    # Beyond the range of numbers a plain int is unambiguous.
    return BigInt(number) if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER else number


def number_of(value: Any) -> int | float:
    """``Number(value)`` of JavaScript, for any text (SC-34)."""
    if value is None or isinstance(value, bool):
        return int(value or 0)
    text = _text(value).strip(_BLANKS)
    number: int | float
    if _RADIX.fullmatch(text):
        number = _large(int(text, 0))
    elif _DECIMAL.fullmatch(text):
        number = float(text.replace("Infinity", "inf"))
    else:
        return float("nan") if text else 0
    return int(number) if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER and int(number) == number else number


def _large(value: int) -> int | float:
    """What is left of an integer beyond 2**53 that is a number."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


class Decoder:
    """One run of decoding.

    Args:
        bodies: the shared bodies by id.
        exact: integers are what they are, however large (CBOR), not numbers that were rounded (JSON).
    """

    __slots__ = ("_bodies", "_exact", "_made")

    def __init__(self, bodies: dict[str, Any], *, exact: bool = False) -> None:
        self._bodies = bodies
        self._exact = exact
        self._made: dict[str, Any] = {}

    def decode(self, value: Any) -> Any:
        """Rebuild aliases (SC-31), then ``value``."""
        bodies, made = self._bodies, self._made
        for key, body in bodies.items():
            made[key] = self._allocate(body)
        for late in (True, False):  # request and response wrappers need headers, which are complete by now
            for key in sorted(bodies, key=_numeric):
                if made[key] is _LATER:
                    made[key] = self._web(bodies[key])
                elif not late:
                    self._fill(made[key], bodies[key])
        return self._value(value, 0)

    def _allocate(self, body: Any) -> Any:
        if isinstance(body, list):
            return []
        if not isinstance(body, dict):
            return body
        tag = body.get("$type")
        if not isinstance(tag, str) or tag not in _TAGS or tag == "function" or tag in _NO_BODIES:
            return {}
        if tag == "map":
            return JSMap()
        if tag == "set":
            plain = _plain_set(body.get("values"), self._exact)
            return JSSet() if plain is None else plain
        if tag == "error":
            return _error(body)
        if tag in {"request-sync", "response-sync"}:
            return _LATER
        made = self._atomic(body, tag)
        return Uint8Array(made) if type(made) is bytes else made

    def _fill(self, made: Any, body: Any) -> None:
        if isinstance(made, list):
            made.extend(self._value(item, 1) for item in body)
        elif isinstance(made, dict):
            made.update(self._object(body, 0, alias=True))
        elif isinstance(made, JSMap):
            self._entries(made, body, 1)
        elif isinstance(made, JSSet):
            for item in _list(body.get("values")):
                made.add(self._member(item, 1))
        elif isinstance(made, Exception):
            self._error_fields(made, body, 1)

    def _value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str or value is None or kind is bool:
            return value
        if kind is int:
            # As a number it was rounded by whoever wrote it.
            return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER or self._exact else _large(value)
        if kind is dict:
            if depth > MAX_DEPTH + 1:
                raise too_deep()
            if "$type" in value:
                return self._tagged(value, depth)
            if len(value) == 1 and "$ref" in value:
                return self._referred(value["$ref"])
            depth += 1
            out = {}
            for key, item in value.items():
                kind = type(item)
                if kind is not str:
                    item = self._value(item, depth)
                out[key[1:] if key[:2] == "$$" else key] = item
            return out
        if kind is list:
            if depth > MAX_DEPTH + 1:
                raise too_deep()
            depth += 1
            return [item if type(item) is str else self._value(item, depth) for item in value]
        return value

    def _referred(self, number: Any) -> Any:
        """What ``{"$ref": number}`` stands for; an id is a number, and an unknown one is undefined (SC-32)."""
        kind = type(number)
        return self._made.get(number_text(number), UNDEFINED) if kind is int or kind is float else UNDEFINED

    def _object(self, value: dict[str, Any], depth: int, *, alias: bool = False) -> dict[str, Any]:
        """A plain object, the name of a function, or what has an unknown tag, which is kept (SC-33).

        Tag and name come first, in an alias last: they are set before the rest, or after it.
        """
        special = "name" if value.get("$type") == "function" else "$type" if "$type" in value else None
        first = None if special is None else _copied(value.get(special, UNDEFINED))
        out = {} if special is None or alias else {special: first}
        for key, item in value.items():
            if special is None or (key != "$type" and key != special):
                out[key[1:] if key[:2] == "$$" else key] = self._value(item, depth + 1)
        if special is not None and alias:
            out.pop(special, None)
            out[special] = first
        return out

    def _tagged(self, body: dict[str, Any], depth: int) -> Any:
        tag = body["$type"]
        if not isinstance(tag, str) or tag not in _TAGS or tag == "function":
            return self._object(body, depth)
        if tag == "map":
            made = JSMap()
            self._entries(made, body, depth + 1)
            return made
        if tag == "set":
            plain = _plain_set(body.get("values"), self._exact)
            if plain is not None:
                return plain
            return JSSet(self._member(item, depth + 1) for item in _list(body.get("values")))
        if tag == "error":
            exc = _error(body)
            self._error_fields(exc, body, depth + 1)
            return exc
        if tag in {"request-sync", "response-sync"}:
            return self._web(body)
        return self._atomic(body, tag)

    def _member(self, value: Any, depth: int) -> Any:
        """A key of a map or member of a set, where bytes have an identity."""
        made = self._value(value, depth)
        return Uint8Array(made) if type(made) is bytes else made

    def _entries(self, made: JSMap, body: dict[str, Any], depth: int) -> None:
        for entry in _list(body.get("entries")):
            pair = entry if isinstance(entry, list) else []
            key = self._member(pair[0], depth) if pair else UNDEFINED
            made[key] = self._value(pair[1], depth) if len(pair) > 1 else UNDEFINED

    def _error_fields(self, exc: Exception, body: dict[str, Any], depth: int) -> None:
        cause = self._value(body["cause"], depth) if "cause" in body else _LATER
        properties = [
            (key[1:] if key[:2] == "$$" else key, self._value(item, depth))
            for key, item in body.items()
            if key not in {"$type", "name", "message", "stack", "cause"}
        ]
        fill_error(exc, cause, _LATER, properties)

    def _web(self, body: dict[str, Any]) -> RequestSync | ResponseSync:
        data = body.get("data")
        if not isinstance(data, dict):
            raise ValueError(f"{body['$type']} has no data")
        headers = self._value(data.get("headers"), 0)
        if not isinstance(headers, Headers):
            headers = Headers()
        content = _copied(data.get("body"))
        if body["$type"] == "request-sync":
            method = _text(data.get("method", "GET"))
            request = RequestSync(_text(data.get("url", UNDEFINED)), method, headers, content)
            if method.upper() not in _UPPERED:
                object.__setattr__(request, "method", method)  # of these, capitals are the sender's affair
            return request
        status = data.get("status")
        return ResponseSync(
            content, status if isinstance(status, int) else 200, _text(data.get("statusText", "")), headers
        )

    def _atomic(self, body: dict[str, Any], tag: str) -> Any:
        value = body.get("value", UNDEFINED)
        if tag == "date":
            return _moment(body)
        if tag == "undefined":
            return UNDEFINED
        if tag == "number-special":
            return number_of(value)
        if tag == "bigint":
            return _big(value)
        if tag == "arraybuffer":
            return _array(body)
        if tag == "regexp":
            return RegExp(_text(body.get("source", "")), _text(body.get("flags", "")))
        if tag == "headers":
            pairs = [pair for pair in _list(body.get("entries")) if isinstance(pair, list) and len(pair) == 2]
            return Headers([(_text(name), _text(field)) for name, field in pairs])
        if tag == "url":
            return URL(_text(body.get("href", UNDEFINED)))
        if tag == "boolean-object":
            return Boxed(bool(value) or isinstance(value, (list, dict)))
        if tag == "string-object":
            return Boxed(_text(value))
        if tag == "bigint-object":
            number = int(_big(value))
            return Boxed(BigInt(number))
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return Boxed(value if number else number_of(value))


def _numeric(key: str) -> tuple[int, int, str]:
    return (0, int(key), "") if key.isascii() and key.isdigit() else (1, 0, key)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _copied(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise too_deep()
    if isinstance(value, dict):
        return {key: _copied(item, depth + 1) for key, item in value.items()}
    return [_copied(item, depth + 1) for item in value] if isinstance(value, list) else value


def _error(body: dict[str, Any]) -> Exception:
    name, message, stack = body.get("name"), body.get("message"), body.get("stack")
    name = name if isinstance(name, str) else "Error"
    text = "" if message is None else _text(message)
    stack = stack if isinstance(stack, str) else None
    if name != "AggregateError":
        return allocate_error(name, text, stack)
    exc: Any = allocate_error(name, "", stack)
    exc.errors = list(text)  # upstream hands the message over as the errors, and its characters are them (SC-24)
    return exc  # type: ignore[no-any-return]  # an AggregateError


def _moment(body: dict[str, Any]) -> datetime | Date | InvalidDate:
    """``new Date(iso)``, where a number is one of milliseconds."""
    iso = body.get("iso", UNDEFINED)
    if iso is None or isinstance(iso, (bool, int, float)):
        return date_of_ms(iso or 0)
    return date_of_iso(_text(iso))


def _array(body: dict[str, Any]) -> Any:
    subtype, data = body.get("subtype"), body.get("data")
    cls = TYPED_ARRAYS.get(subtype) if isinstance(subtype, str) else None
    if cls is not None:
        return cls(_list(data))
    if isinstance(data, bytes):
        raw = data
    else:
        raw = bytes(
            int(item) & 255 if isinstance(item, (int, float)) and abs(item) < float("inf") else 0
            for item in _list(data)
        )
    if subtype == "ArrayBuffer":
        return ArrayBuffer(raw)
    if subtype == "DataView":
        offset = body.get("byteOffset", 0)
        length = body.get("byteLength")
        if not isinstance(offset, int) or not isinstance(length, (int, type(None))):
            raise ValueError(f"DataView has no window at offset {offset!r} of length {length!r}")
        return DataView(raw, offset, len(raw) - offset if length is None else length)
    return raw


def _plain_set(values: Any, exact: bool) -> set[Any] | None:
    """The ``set`` that would be written exactly so, or ``None``: then only a `JSSet` keeps members and order."""
    members: list[Any] = []
    kinds: set[type] = set()
    for item in _list(values):
        if type(item) is dict:
            tag = item.get("$type")
            if tag == "bigint":
                item = _big(item.get("value"))
            elif tag == "date":
                item = _moment(item)
                if type(item) is not datetime:
                    return None
            elif tag == "arraybuffer" and item.get("subtype") == "Uint8Array":
                item = _array(item)
            else:
                return None
        elif type(item) is list or item != item or (type(item) is int and abs(item) > MAX_SAFE_INTEGER and not exact):
            return None
        kinds.add(type(item))
        members.append(item)
    made = set(members)
    if len(made) != len(members):
        return None
    if kinds <= {str} or kinds <= {int} or kinds <= {int, float}:
        return made if all(a < b for a, b in pairwise(members)) else None
    ordered = set_order(made)
    return made if all(a is b for a, b in zip(ordered, members, strict=True)) else None


def postprocess(encoded: dict[str, Any]) -> Any:
    """The value that ``encoded`` stands for; shares nothing mutable with it.  A missing ``meta`` is fine (SC-35).

    Raises:
        ValueError: ``encoded`` is no such object, or a tag in it cannot be read.
        TypeError: a URL in it is none.
        DataCloneError: nested too deeply.
    """
    if not isinstance(encoded, dict):
        raise ValueError(f'encoded value must be an object {{"json": ..., "meta": ...}}, not {type(encoded).__name__}')
    meta = encoded.get("meta")
    aliases = meta.get("aliases") if isinstance(meta, dict) else None
    decoder = Decoder(aliases if isinstance(aliases, dict) else {})
    body = encoded.get("json", UNDEFINED)
    try:
        return decoder.decode(body) if aliases else decoder._value(body, 0)
    except Refusal as refusal:
        raise refusal.error() from None
    except RecursionError:
        raise too_deep().error() from None


def parse(text: str | bytes) -> Any:
    """The value that a text of `stringify` stands for.

    Raises:
        ValueError: the text is no JSON, or as `postprocess`.
    """
    encoded = loads(text)
    if isinstance(encoded, dict) and isinstance(text, str) and "$" not in text and "\\" not in text:
        return encoded.get("json", UNDEFINED)  # no tag, reference or escape anywhere, and nobody else holds it
    return postprocess(encoded)

"""Python values to ``{"json": ..., "meta": ...}`` and to its text (SC-1 to SC-26, SC-36).

Most values are trees of exact ``dict``, ``list``, ``str``, ``int``, ``float``,
``bool`` and ``None`` without sharing; one optimistic walk copies those.  It gives
up at the first thing that needs more, and then the full algorithm runs: one
pass counts references, a second one writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum
from math import inf
from typing import Any, Final, TypeAlias

import attrs

from lumenize_sim.clone.containers import JSMap, JSSet
from lumenize_sim.clone.dates import Date, InvalidDate, iso_of_datetime, utc_ms
from lumenize_sim.clone.failures import (
    RangeError,
    error_cause,
    error_message,
    error_name,
    error_properties,
    error_stack,
)
from lumenize_sim.clone.forms import ATOMS, CONTAINERS, FROZEN, TUPLES, VALUES, aware, function_name, lower, map_of_dict
from lumenize_sim.clone.refusal import MAX_DEPTH, Refusal, index_step, key_step, no_platform_object, too_deep
from lumenize_sim.clone.text import dumps, property_order
from lumenize_sim.clone.values import (
    HOLE,
    MAX_SAFE_INTEGER,
    UNDEFINED,
    ArrayBuffer,
    BigInt,
    Boxed,
    DataView,
    RegExp,
    TypedArray,
    Uint8Array,
)
from lumenize_sim.clone.web import URL, Headers, RequestSync, ResponseSync

__all__ = ["TRANSFORM_SKIP", "Encoder", "Transform", "preprocess", "stringify"]

_MIN = -MAX_SAFE_INTEGER
_MAX = MAX_SAFE_INTEGER
_STRINGS = frozenset({str})
Path: TypeAlias = "list[dict[str, Any]]"
Transform: TypeAlias = "Callable[[Any, Path], Any]"


class _Skip:
    def __repr__(self) -> str:
        return "TRANSFORM_SKIP"


#: Returned by a transform that leaves a value to the default encoding.
TRANSFORM_SKIP: Final = _Skip()


class _Special(Exception):
    """The optimistic walk met something that is not a plain tree."""


def _plain_dict(value: dict[Any, Any], seen: set[int], depth: int) -> dict[str, Any]:
    identity = id(value)
    if identity in seen or depth > MAX_DEPTH:
        raise _Special
    seen.add(identity)
    out = value.copy()
    for key, item in value.items():
        # Everything that starts with a character below ":" (among them "$" and the digits) may need escaping or
        # reordering.
        if type(key) is not str or key < ":":
            raise _Special
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is int:
            if not _MIN <= item <= _MAX:
                raise _Special
        elif kind is dict:
            out[key] = _plain_dict(item, seen, depth + 1)
        elif kind is list:
            out[key] = _plain_list(item, seen, depth + 1)
        elif kind is not float or not -inf < item < inf:
            raise _Special
    return out


def _plain_list(value: list[Any], seen: set[int], depth: int) -> list[Any]:
    identity = id(value)
    if identity in seen or depth > MAX_DEPTH:
        raise _Special
    seen.add(identity)
    out = value.copy()
    for index, item in enumerate(value):
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is int:
            if not _MIN <= item <= _MAX:
                raise _Special
        elif kind is dict:
            out[index] = _plain_dict(item, seen, depth + 1)
        elif kind is list:
            out[index] = _plain_list(item, seen, depth + 1)
        elif kind is not float or not -inf < item < inf:
            raise _Special
    return out


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return _plain_dict(value, set(), 0)
    if kind is list:
        return _plain_list(value, set(), 0)
    if kind is str or value is None or kind is bool:
        return value
    if (kind is int and _MIN <= value <= _MAX) or (kind is float and -inf < value < inf):
        return value
    raise _Special


@attrs.define(eq=False)
class Encoder:
    """One run of the full algorithm.

    Attributes:
        strict: refuse whatever loses something.
        transform: see `preprocess`.
        stack: write stacks of errors.
        binary: leave bytes, big integers and non-finite floats as they are (CBOR has them), refuse functions.
        stored: as the platform's own storage does: URLs are refused, instances of classes taken apart (ST-6).
        sort: write dicts in the order of their keys, so that insertion order does not show.
    """

    strict: bool = False
    transform: Transform | None = None
    stack: bool = True
    binary: bool = False
    stored: bool = False
    sort: bool = False
    aliases: dict[str, Any] = attrs.field(factory=dict, init=False)
    _counts: dict[int, int] = attrs.field(factory=dict, init=False)
    _ids: dict[int, int] = attrs.field(factory=dict, init=False)

    def encode(self, value: Any) -> Any:
        """The jsonable form of ``value``; shared bodies go to ``aliases``."""
        self._count(value)
        return self._encode(value, None if self.transform is None else [], 0)

    # -- pass 1: count (SC-11) ------------------------------------------------------------------------------------

    def _count(self, root: Any) -> None:
        counts = self._counts
        todo: list[Any] = [root]
        while todo:
            value = todo.pop()
            kind = type(value)
            if kind in ATOMS:
                continue
            if kind in TUPLES:
                todo.extend(value)
                continue
            if kind not in CONTAINERS and kind not in FROZEN and isinstance(value, VALUES):
                if isinstance(value, Enum):
                    todo.append(value.value)
                continue
            identity = id(value)
            seen = counts.get(identity, 0)
            counts[identity] = seen + 1
            if seen or kind in FROZEN:
                continue
            if kind is list:
                todo.extend(value)
            elif kind is dict:
                todo.extend(value.values())
            elif not isinstance(value, datetime):
                try:
                    todo.extend(self._children(value))
                except Refusal:
                    del counts[identity]  # pass 2 says it again, with the path

    def _children(self, value: Any) -> Iterable[Any]:
        if isinstance(value, JSMap):
            return [part for pair in value.pairs() for part in pair]
        if isinstance(value, (JSSet, set, frozenset)):
            return list(value)
        if isinstance(value, BaseException):
            cause = error_cause(value, UNDEFINED)
            return [cause] if self.stored else [cause, *(item for _, item in error_properties(value))]
        if isinstance(value, (RequestSync, ResponseSync)):
            return [value.headers]
        if isinstance(value, Headers):
            return ()
        lowered = lower(value, apart=self.stored)
        if isinstance(lowered, dict):
            return list(lowered.values())
        return lowered if isinstance(lowered, list) else ()

    # -- pass 2: write (SC-12 to SC-15) ---------------------------------------------------------------------------

    def _lossy(self, what: str) -> None:
        if self.strict:
            raise Refusal(f"{what} would arrive changed; strict allows canonical types only")

    def _encode(self, value: Any, path: Path | None, depth: int) -> Any:
        # One long function on purpose: a level of nesting must cost one frame of the interpreter, or the depth that
        # is promised could not be reached.
        if path is not None and self.transform is not None:
            replaced = self.transform(value, path)
            if replaced is not TRANSFORM_SKIP:
                return replaced
        kind = type(value)
        if kind is str or value is None or kind is bool:
            return value
        if kind in ATOMS:
            return self._atom(value, kind)
        if kind not in TUPLES and self._counts.get(id(value), 0) > 1:
            known = self._ids.get(id(value))
            if known is not None:
                return {"$ref": known}
            number = self._ids[id(value)] = len(self._ids)
            self.aliases[str(number)] = None  # takes its place in the order of ids before its children do (SC-13)
        else:
            number = -1
        if depth > MAX_DEPTH:
            raise too_deep()
        depth += 1
        body: Any
        if kind in FROZEN:
            if self.stored and kind is URL:
                raise no_platform_object("URL")
            body = self._frozen(value)
        elif isinstance(value, datetime):
            body = self._date(value)
        elif isinstance(value, JSMap) or (kind is dict and not _STRINGS.issuperset(map(type, value))):
            if kind is dict:
                self._lossy("a dict with keys other than strings")
                items: Any = value
                value = map_of_dict({key: items[key] for key in set_order(items)} if self.sort else items)
            entries: list[Any] = []
            for key, item in value.pairs():
                step = f"[{key!r}]" if type(key) in ATOMS else f"[key {len(entries)}]"
                try:
                    entries.append([self._encode(key, path, depth), self._encode(item, path, depth)])
                except Refusal as refusal:
                    refusal.steps.append(step)
                    raise
            body = {"$type": "map", "entries": entries}
        elif isinstance(value, (JSSet, set, frozenset)):
            if kind is not JSSet and kind is not set:
                self._lossy(kind.__name__)
            values = []
            for item in value if kind is JSSet else set_order(value):
                try:
                    values.append(self._encode(item, path, depth))
                except Refusal as refusal:
                    refusal.steps.append(f"[member {len(values)}]")
                    raise
            body = {"$type": "set", "values": values}
        elif isinstance(value, BaseException):
            properties = [] if self.stored else error_properties(value)
            body = {"$type": "error", "name": error_name(value), "message": error_message(value)}
            if self.stack and (text := error_stack(value)):
                body["stack"] = text
            cause = error_cause(value, UNDEFINED)
            if cause is not UNDEFINED:
                try:
                    body["cause"] = self._encode(cause, _to(path, "cause"), depth)
                except Refusal as refusal:
                    refusal.steps.append(".cause")
                    raise
            for key, item in properties:
                before = len(self._ids)
                try:
                    encoded = self._encode(item, _to(path, key), depth)
                except Refusal as refusal:
                    if self.strict:
                        refusal.steps.append(key_step(key))
                        raise
                    self._forget(before)  # SC-21, and no alias without a body stays behind
                    continue
                body[f"${key}" if key[:1] == "$" else key] = encoded
        elif isinstance(value, (RequestSync, ResponseSync)):
            headers = self._encode(value.headers, _to(path, "headers"), depth)
            content = plain_json(value.body, self.binary)
            if isinstance(value, RequestSync):
                data = {"url": value.url, "method": value.method, "headers": headers, "body": content}
                body = {"$type": "request-sync", "data": data}
            else:
                data = {"status": value.status, "statusText": value.status_text, "headers": headers, "body": content}
                body = {"$type": "response-sync", "data": data}
        elif kind is Headers:
            body = {"$type": "headers", "entries": [list(pair) for pair in value]}
        elif (name := function_name(value)) is not None:
            if self.binary:
                lower(value)  # refuses, with the reason
            self._lossy(f"function {name!r}")
            return {"$type": "function", "name": name}  # never an alias, and not counted
        else:
            if kind is not dict and kind is not list:
                self._lossy(f"{kind.__name__} {value!r}" if value is HOLE else kind.__name__)
                value = lower(value, apart=self.stored)
                kind = type(value)
            if kind is dict and _STRINGS.issuperset(map(type, value)):
                ordered = dict(sorted(value.items())) if self.sort else property_order(value)
                body = {}
                for key, item in ordered.items():
                    try:
                        body[f"${key}" if key[:1] == "$" else key] = self._encode(item, _to(path, key), depth)
                    except Refusal as refusal:
                        refusal.steps.append(key_step(key))
                        raise
            elif kind is list:
                body = []
                for index, item in enumerate(value):
                    at = None if path is None else [*path, {"type": "index", "key": index}]
                    try:
                        body.append(self._encode(item, at, depth))
                    except Refusal as refusal:
                        refusal.steps.append(index_step(index))
                        raise
            else:
                body = self._encode(value, None, depth)
        if number < 0:
            return body
        self.aliases[str(number)] = body
        return {"$ref": number}

    def _forget(self, before: int) -> None:
        while len(self._ids) > before:
            _, number = self._ids.popitem()
            del self.aliases[str(number)]

    def _atom(self, value: Any, kind: type) -> Any:
        if kind is int:
            if self.binary or _MIN <= value <= _MAX:
                return value
            return {"$type": "bigint", "value": _digits(value)}
        if kind is float:
            if self.binary or -inf < value < inf:
                return value
            return {"$type": "number-special", "value": special_number(value)}
        if kind is BigInt:
            return {"$type": "bigint", "value": _digits(value)}
        if kind is bytes:
            return value if self.binary else {"$type": "arraybuffer", "subtype": "Uint8Array", "data": list(value)}
        return {"$type": "undefined"}

    def _date(self, value: datetime) -> Any:
        aware(value)
        if self.strict and utc_ms(value) is not value:
            raise Refusal("datetime would arrive changed; strict allows UTC and whole milliseconds only")
        return {"$type": "date", "iso": iso_of_datetime(value)}

    def _frozen(self, value: Any) -> dict[str, Any]:
        if isinstance(value, RegExp):
            return {"$type": "regexp", "source": value.source, "flags": value.flags}
        if isinstance(value, URL):
            return {"$type": "url", "href": value.href}
        if isinstance(value, Date):
            return {"$type": "date", "iso": value.iso()}
        if isinstance(value, InvalidDate):
            if self.binary:
                return {"$type": "date", "iso": "Invalid Date"}
            raise RangeError("Invalid time value")
        if isinstance(value, Boxed):
            return _boxed(value.value)
        out: dict[str, Any] = {"$type": "arraybuffer", "subtype": type(value).__name__}
        if isinstance(value, Uint8Array):
            out["data"] = bytes(value) if self.binary else list(value)
        elif isinstance(value, (ArrayBuffer, DataView)):
            out["data"] = value.data if self.binary else list(value.data)
            if isinstance(value, DataView):
                out["byteOffset"] = value.byte_offset
                out["byteLength"] = value.byte_length
        else:
            out["data"] = [int(item) if self.binary and type(item) is BigInt else item for item in value.data]
        return out


def _to(path: Path | None, key: str) -> Path | None:
    return None if path is None else [*path, {"type": "get", "key": key}]


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


def set_order(members: Any) -> list[Any]:
    """Members of a ``set``, whose own order changes from run to run, in the order in which they are written.

    Text by code point, numbers ascending, any other mixture by canonical CBOR.
    """
    items = list(members)
    kinds = set(map(type, items))
    if kinds <= {str} or kinds <= {int} or (kinds <= {int, float} and all(item == item for item in items)):
        return sorted(items)
    from lumenize_sim.clone.cbor import canonical_cbor  # it needs this module

    return sorted(items, key=canonical_cbor)


def plain_json(value: Any, binary: bool = False, depth: int = 0) -> Any:
    """A body as ``JSON.stringify`` would degrade it (SC-4); ``undefined`` members disappear."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return value if -inf < value < inf else None
    if depth > MAX_DEPTH:
        raise too_deep()
    if isinstance(value, (list, tuple)):
        return [None if item is UNDEFINED else plain_json(item, binary, depth + 1) for item in value]
    if isinstance(value, dict):
        return {str(key): plain_json(item, binary, depth + 1) for key, item in value.items() if item is not UNDEFINED}
    if isinstance(value, datetime):
        return iso_of_datetime(aware(value))
    if isinstance(value, Date):
        return value.iso()
    if isinstance(value, URL):
        return value.href
    if isinstance(value, (bytes, bytearray)):
        # In storage the bytes of a body must survive; in JSON they degrade as they do upstream.
        return bytes(value) if binary else {str(index): byte for index, byte in enumerate(value)}
    if isinstance(value, ArrayBuffer) and binary:
        return value.data
    if isinstance(value, TypedArray):
        return {str(index): item for index, item in enumerate(value.data)}
    return None if value is UNDEFINED else {}


def preprocess(
    value: Any, *, strict: bool = False, transform: Transform | None = None, stack: bool = True
) -> dict[str, Any]:
    """Encode ``value`` as ``{"json": ..., "meta": ...}``, a snapshot that shares nothing mutable with it (SC-1).

    Args:
        value: anything that the table in `lumenize_sim.clone.values` accepts.
        strict: refuse types that would arrive changed.
        transform: called as ``transform(value, path)`` for every value before it is written, root first; what it
            returns is inserted as it is, unless `TRANSFORM_SKIP` (SC-36).
        stack: include stacks of errors.

    Raises:
        DataCloneError: something cannot be encoded; names its path.  Blame: the application.
        RangeError: an invalid date.
    """
    if transform is None:
        try:
            return {"json": _plain(value), "meta": {}}
        except _Special:
            pass
        except RecursionError:
            raise too_deep().error() from None
    encoder = Encoder(strict=strict, transform=transform, stack=stack)
    try:
        body = encoder.encode(value)
    except Refusal as refusal:
        raise refusal.error() from None
    except RecursionError:
        raise too_deep().error() from None
    return {"json": body, "meta": {"aliases": encoder.aliases} if encoder.aliases else {}}


def stringify(value: Any, *, strict: bool = False, transform: Transform | None = None, stack: bool = True) -> str:
    """The JSON text of `preprocess`, byte for byte as upstream writes it.

    Raises:
        DataCloneError, RangeError: as `preprocess`.
        TypeError: an array of big integers, which upstream cannot write either.
    """
    return dumps(preprocess(value, strict=strict, transform=transform, stack=stack))

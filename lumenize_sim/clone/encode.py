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
from typing import Any, Final, TypeAlias

import attrs

from lumenize_sim.clone.bodies import plain_json
from lumenize_sim.clone.containers import JSMap, JSSet
from lumenize_sim.clone.failures import error_cause, error_message, error_name, error_properties, error_stack
from lumenize_sim.clone.forms import ATOMS, CONTAINERS, FROZEN, TUPLES, VALUES, function_name, lower, map_of_dict
from lumenize_sim.clone.leaves import atom_form, date_form, frozen_form
from lumenize_sim.clone.plain import NotPlain, plain_copy
from lumenize_sim.clone.refusal import MAX_DEPTH, Refusal, index_step, key_step, no_platform_object, too_deep
from lumenize_sim.clone.text import dumps, property_order
from lumenize_sim.clone.values import HOLE, UNDEFINED
from lumenize_sim.clone.web import URL, Headers, RequestSync, ResponseSync

__all__ = ["TRANSFORM_SKIP", "Encoder", "Transform", "preprocess", "stringify"]

_STRINGS = frozenset({str})
Path: TypeAlias = "list[dict[str, Any]]"
Transform: TypeAlias = "Callable[[Any, Path], Any]"


class _Skip:
    def __repr__(self) -> str:
        return "TRANSFORM_SKIP"


#: Returned by a transform that leaves a value to the default encoding.
TRANSFORM_SKIP: Final = _Skip()


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
            return atom_form(value, kind, self.binary)
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
            body = frozen_form(value, self.binary)
        elif isinstance(value, datetime):
            body = date_form(value, self.strict)
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


def _to(path: Path | None, key: str) -> Path | None:
    return None if path is None else [*path, {"type": "get", "key": key}]


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
            return {"json": plain_copy(value), "meta": {}}
        except NotPlain:
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

"""Copies within one process: what the receiver would see, without the detour over text.

Aliases and cycles are kept.  Types change exactly as they do on the wire (a
tuple arrives as a list, an attrs instance as a dict), so that an app cannot
come to depend on which way a value took.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from lumenize_sim.clone.bodies import plain_json
from lumenize_sim.clone.containers import JSMap, JSSet
from lumenize_sim.clone.dates import utc_ms
from lumenize_sim.clone.encode import set_order
from lumenize_sim.clone.failures import (
    allocate_error,
    error_cause,
    error_message,
    error_name,
    error_properties,
    error_stack,
    fill_error,
)
from lumenize_sim.clone.forms import ATOMS, FROZEN, aware, lower, map_of_dict
from lumenize_sim.clone.refusal import MAX_DEPTH, Refusal, index_step, key_step, too_deep
from lumenize_sim.clone.values import UNDEFINED, Uint8Array
from lumenize_sim.clone.web import URL, Headers, RequestSync, ResponseSync

__all__ = ["structured_clone"]

_HASHABLE = ATOMS | {datetime, Uint8Array}
#: Where the memo keeps the caller's ``replace``; no object has this identity.
_REPLACE: Final = -1
#: Where it keeps that errors lose what they have besides class, message, stack and cause.
_BARE: Final = -2


def structured_clone(value: Any, replace: Callable[[Any], Any] | None = None, *, bare_errors: bool = False) -> Any:
    """A deep copy of ``value`` as another node would receive it.  Not a checkpoint.

    Args:
        replace: is asked about each object that is no common data; what it answers stands for the object, once for
            all its aliases, unless it answers ``NotImplemented``.  It may raise `Refusal`.
        bare_errors: errors keep class, message, stack and cause, and nothing else.

    Raises:
        DataCloneError: something in it cannot be copied; names its path.  Blame: the application.
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    memo: dict[int, Any] = {} if replace is None else {_REPLACE: replace}
    if bare_errors:
        memo[_BARE] = True
    try:
        if kind is dict:
            return _dict(value, memo, 0)
        if kind is list:
            return _list(value, memo, 0)
        return _other(value, memo, 0)
    except Refusal as refusal:
        raise refusal.error() from None
    except RecursionError:
        raise too_deep().error() from None


# Three functions that call one another, with the common cases written out in each: a call per scalar would double
# the time.  `memo` maps identities of originals, which the root keeps alive, to copies.


def _dict(value: dict[Any, Any], memo: dict[int, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise too_deep()
    out = memo[id(value)] = value.copy()
    for key, item in value.items():
        if type(key) is not str:
            return _map(map_of_dict(value), id(value), memo, depth)
        kind = type(item)
        if kind is str or item is None or kind is int or kind in ATOMS:
            continue
        made = memo.get(id(item))
        if made is None:
            try:
                if kind is dict:
                    made = _dict(item, memo, depth + 1)
                elif kind is list:
                    made = _list(item, memo, depth + 1)
                else:
                    made = _other(item, memo, depth + 1)
            except Refusal as refusal:
                refusal.steps.append(key_step(key))
                raise
        out[key] = made
    return out


def _list(value: list[Any], memo: dict[int, Any], depth: int) -> list[Any]:
    if depth > MAX_DEPTH:
        raise too_deep()
    out = memo[id(value)] = value.copy()
    index = -1  # cheaper than enumerate
    for item in value:
        index += 1
        kind = type(item)
        if kind is str or kind in ATOMS:
            continue
        made = memo.get(id(item))
        if made is None:
            try:
                if kind is dict:
                    made = _dict(item, memo, depth + 1)
                elif kind is list:
                    made = _list(item, memo, depth + 1)
                else:
                    made = _other(item, memo, depth + 1)
            except Refusal as refusal:
                refusal.steps.append(index_step(index))
                raise
        out[index] = made
    return out


def _map(value: JSMap, identity: int, memo: dict[int, Any], depth: int) -> JSMap:
    out = memo[identity] = JSMap()
    for key, item in value.pairs():
        step = f"[{key!r}]" if type(key) in ATOMS else f"[key {len(out)}]"
        try:
            out[_any(key, memo, depth)] = _any(item, memo, depth)
        except Refusal as refusal:
            refusal.steps.append(step)
            raise
    return out


def _set(value: Any, identity: int, memo: dict[int, Any], depth: int) -> Any:
    if not isinstance(value, JSSet) and _HASHABLE.issuperset(map(type, value)):
        plain = memo[identity] = {_any(item, memo, depth) for item in value}
        return plain
    out = memo[identity] = JSSet()
    for item in value if isinstance(value, JSSet) else set_order(value):
        try:
            out.add(_any(item, memo, depth))
        except Refusal as refusal:
            refusal.steps.append(f"[member {len(out)}]")
            raise
    return out


def _error(value: BaseException, memo: dict[int, Any], depth: int) -> Exception:
    properties = () if _BARE in memo else error_properties(value)
    out = allocate_error(error_name(value), error_message(value), error_stack(value))
    memo[id(value)] = out
    cause = error_cause(value, UNDEFINED)
    if cause is not UNDEFINED:
        try:
            cause = _any(cause, memo, depth)
        except Refusal as refusal:
            refusal.steps.append(".cause")
            raise
    kept: list[tuple[str, Any]] = []
    for key, item in properties:
        before = len(memo)
        try:
            kept.append((key, _any(item, memo, depth)))
        except Refusal:
            while len(memo) > before:  # half-made copies must not be found again (SC-21)
                memo.popitem()
    fill_error(out, cause, UNDEFINED, kept)
    return out


def _any(value: Any, memo: dict[int, Any], depth: int) -> Any:
    if type(value) in ATOMS:
        return value
    made = memo.get(id(value))
    return _other(value, memo, depth) if made is None else made


def _other(value: Any, memo: dict[int, Any], depth: int) -> Any:
    """Any value that is neither an atom nor copied already."""
    if depth > MAX_DEPTH:
        raise too_deep()
    kind = type(value)
    if kind is dict:
        return _dict(value, memo, depth)
    if kind is list:
        return _list(value, memo, depth)
    depth += 1
    made: Any
    replace = memo.get(_REPLACE)
    if replace is not None:
        made = replace(value)
        if made is not NotImplemented:
            memo[id(value)] = made
            return made
    if isinstance(value, datetime):
        made = utc_ms(aware(value))
        memo[id(value)] = made
        return made
    if kind is URL:
        raise Refusal("URL cannot be copied between nodes; send str(url)")
    if kind in FROZEN:
        return value
    if kind is tuple:
        return [_item(item, index, memo, depth) for index, item in enumerate(value)]
    if isinstance(value, JSMap):
        return _map(value, id(value), memo, depth)
    if isinstance(value, (JSSet, set, frozenset)):
        return _set(value, id(value), memo, depth)
    if isinstance(value, BaseException):
        return _error(value, memo, depth)
    if kind is Headers:
        made = memo[id(value)] = value.copy()
        return made
    if isinstance(value, (RequestSync, ResponseSync)):
        made = memo[id(value)] = value.clone()
        made.headers = _any(value.headers, memo, depth)
        made.body = plain_json(value.body, True)
        return made
    lowered = lower(value)
    if type(lowered) is dict:
        made = _dict(lowered, memo, depth)
    elif type(lowered) is list:
        made = _list(lowered, memo, depth)
    else:
        return _any(lowered, memo, depth)
    memo[id(value)] = made
    return made


def _item(item: Any, index: int, memo: dict[int, Any], depth: int) -> Any:
    try:
        return _any(item, memo, depth)
    except Refusal as refusal:
        refusal.steps.append(index_step(index))
        raise

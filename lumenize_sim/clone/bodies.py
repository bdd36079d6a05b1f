"""Bodies of requests and responses, which are written as they are, without tags (SC-4)."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import Any

from lumenize_sim.clone.dates import Date, iso_of_datetime
from lumenize_sim.clone.forms import aware
from lumenize_sim.clone.refusal import MAX_DEPTH, too_deep
from lumenize_sim.clone.values import UNDEFINED, ArrayBuffer, TypedArray
from lumenize_sim.clone.web import URL

__all__ = ["plain_json"]


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

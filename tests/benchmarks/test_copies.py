"""Copies of values, each beside the detour over text that it saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lumenize_sim.clone import decode_cbor, encode_cbor, parse, postprocess, preprocess, stringify, structured_clone

pytestmark = pytest.mark.benchmark(group="copies")

Rate = Callable[..., float]
TIMES = 2_000
VALUE: dict[str, Any] = {
    "id": "doc-1",
    "title": "Hello",
    "count": 3,
    "tags": ["a", "b"],
    "score": 1.5,
    "none": None,
    "owner": {"sub": "alice", "roles": ["admin"], "active": True},
    "items": [{"k": "x", "n": 1}, {"k": "y", "n": 2}],
}


def repeated(copy: Callable[[Any], Any]) -> Callable[[], None]:
    def work() -> None:
        for _ in range(TIMES):
            copy(VALUE)

    return work


def test_the_detour_over_text(rate: Rate) -> None:
    rate("parse(stringify(value))", "copies", repeated(lambda value: parse(stringify(value))), TIMES)


def test_an_in_process_copy(rate: Rate) -> None:
    """At least five times the detour is what it is designed for."""
    rate("structured_clone(value)", "copies", repeated(structured_clone), TIMES, peer="parse(stringify(value))")


def test_a_copy_over_the_encoded_form(rate: Rate) -> None:
    work = repeated(lambda value: postprocess(preprocess(value)))
    rate("postprocess(preprocess(value))", "copies", work, TIMES, peer="parse(stringify(value))")


def test_a_copy_through_storage(rate: Rate) -> None:
    work = repeated(lambda value: decode_cbor(encode_cbor(value)))
    rate("decode_cbor(encode_cbor(value))", "copies", work, TIMES, peer="parse(stringify(value))")

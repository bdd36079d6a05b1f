"""What may not cross, what changes on the way, and how the culprit is named."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import math
import threading
import types
from collections import OrderedDict, namedtuple
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from re import compile as pattern
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio

from lumenize_sim.clone import (
    HOLE,
    MAX_DEPTH,
    NULL,
    TRANSFORM_SKIP,
    UNDEFINED,
    DataCloneError,
    Headers,
    JSMap,
    JSSet,
    RequestSync,
    canonical_cbor,
    decode_cbor,
    dumps,
    encode_cbor,
    parse,
    postprocess,
    preprocess,
    stringify,
    structured_clone,
)

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
BOUNDARIES: list[Callable[[Any], Any]] = [structured_clone, preprocess, encode_cbor, canonical_cbor]


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    def __str__(self) -> str:
        return "lies"


class Number(float): ...


@attrs.frozen
class Point:
    x: int
    y: Any


@dataclasses.dataclass
class Size:
    width: int


@attrs.define
class Private:
    _x: int = 1


class Opaque: ...


Pair = namedtuple("Pair", "a b")


def generator() -> Iterator[int]:
    yield 1


async def agenerator() -> AsyncIterator[int]:
    yield 1


def greet() -> None: ...


REFUSED: list[tuple[Any, str]] = [
    (generator(), "was an await forgotten"),
    (agenerator(), "was an await forgotten"),
    (types, "module 'types' cannot be sent"),
    (threading.Lock(), "belongs to this process|cannot be copied"),
    (trio.Lock(), "belongs to this process"),
    (trio.Event(), "belongs to this process"),
    (asyncio.Event(), "belongs to this process"),
    (Decimal("1.5"), r"send str\(value\)"),
    (UUID(int=1), r"send str\(value\)"),
    (Path("x"), r"send str\(value\)"),
    (date(2025, 1, 1), "send a datetime"),
    (timedelta(1), "milliseconds"),
    (datetime(2025, 1, 1), "has no time zone"),  # noqa: DTZ001  # the mistake under test
    (1j, "two numbers"),
    (pattern("a"), "RegExp"),
    (Opaque(), "Opaque cannot be copied; make it an attrs class"),
    (Private(), "private field '_x'"),
    ({(1, 2): 3}, "key .1, 2. is a tuple"),
]


@pytest.mark.parametrize("value,reason", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_what_has_no_counterpart_is_refused_with_its_path(value: Any, reason: str, boundary: Any) -> None:
    with pytest.raises(DataCloneError, match=reason) as caught:
        boundary({"items": [1, {"call back": value}]})
    assert caught.value.path == "$.items[1]['call back']"
    assert str(caught.value).startswith("$.items[1]['call back']: ")


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_paths_lead_through_every_container(boundary: Any) -> None:
    bad = Opaque()
    for value, path in [
        (JSMap([("k", bad)]), "$['k']"),
        (JSMap([({}, bad)]), "$[key 0]"),
        (JSSet([1, bad]), "$[member 1]"),
        ({1: bad}, "$[1]"),
        ((0, bad), "$[1]"),
        (Point(1, bad), "$.y"),
        ([[bad]], "$[0][0]"),
    ]:
        with pytest.raises(DataCloneError) as caught:
            boundary(value)
        assert caught.value.path == path


@pytest.mark.parametrize(
    "value", [greet, Opaque, len, (lambda: 1), [].append], ids=["function", "class", "builtin", "lambda", "method"]
)
def test_functions_are_markers_on_the_wire_and_refused_elsewhere(value: Any) -> None:
    """SC table; ST-6 for storage."""
    name = "anonymous" if value.__name__ == "<lambda>" else value.__name__
    assert preprocess([value, value])["json"] == [{"$type": "function", "name": name}] * 2
    for boundary in (structured_clone, encode_cbor, lambda v: preprocess(v, strict=True)):
        with pytest.raises(DataCloneError, match=r"\$\.f: "):
            boundary({"f": value})


def test_a_coroutine_is_an_await_forgotten() -> None:
    async def work() -> None: ...

    coroutine = work()
    with pytest.raises(DataCloneError, match="'work' cannot be sent; was an await forgotten"):
        structured_clone(coroutine)
    coroutine.close()

    class Awaitable:
        def __await__(self) -> Iterator[int]:
            return generator()

    with pytest.raises(DataCloneError, match="was an await forgotten"):
        preprocess(Awaitable())


LOSSY: list[tuple[Any, Any]] = [
    ((1, (2,)), [1, [2]]),
    (Pair(1, 2), [1, 2]),
    (frozenset({1}), {1}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (Colour.RED, "red"),
    (Level.LOW, 1),
    (Text("x"), "x"),
    (Number(1.5), 1.5),
    (bytearray(b"x"), b"x"),
    (memoryview(b"x"), b"x"),
    (NOON.astimezone(timezone(timedelta(hours=2))), NOON),
    (NOON.replace(microsecond=1999), NOON.replace(microsecond=1000)),
    (Point(1, 2), {"x": 1, "y": 2}),
    (Size(3), {"width": 3}),
    ({1: "a", None: "b", 2.5: "c"}, {1: "a", None: "b", 2.5: "c"}),
    (NULL, None),
    (HOLE, None),
]


@pytest.mark.parametrize(
    "value,arrives", LOSSY, ids=[f"{type(value).__name__}-{nth}" for nth, (value, _) in enumerate(LOSSY)]
)
def test_losses_are_the_same_on_every_way(value: Any, arrives: Any) -> None:
    for boundary in (structured_clone, lambda v: parse(stringify(v)), lambda v: decode_cbor(encode_cbor(v))):
        got = boundary([value, value])
        assert got == [arrives, arrives]
        assert type(got[0]) is (JSMap if isinstance(value, dict) and None in value else type(arrives))
    with pytest.raises(DataCloneError, match=r"\$\.v: .*strict"):
        preprocess({"v": value}, strict=True)


def test_an_instance_that_occurs_twice_arrives_as_one_dict() -> None:
    point = Point(1, [])
    for boundary in (structured_clone, lambda v: parse(stringify(v)), lambda v: decode_cbor(encode_cbor(v))):
        a, b = boundary([point, point])
        assert a is b


def test_constants_that_the_interpreter_shares_are_no_aliases() -> None:
    value = [(), (), b"", b"", b"a", b"a", (1,), Colour.RED, Colour.RED, frozenset(), NULL, NULL]
    assert preprocess(value)["meta"] == {}


def test_a_cycle_through_a_tuple_is_kept() -> None:
    inner: list[Any] = []
    inner.append((inner,))
    for got in (structured_clone(inner), parse(stringify(inner)), decode_cbor(encode_cbor(inner))):
        assert got[0][0] is got


def chain(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("boundary", [*BOUNDARIES, stringify, dumps])
def test_depth_is_bounded_and_the_bound_is_reached(boundary: Any) -> None:
    boundary(chain(MAX_DEPTH))
    special = [UNDEFINED]
    deep = special
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    if boundary is not dumps:
        boundary(deep)
    with pytest.raises(DataCloneError, match="nested deeper than 500"):
        boundary(chain(MAX_DEPTH + 10))
    with pytest.raises(DataCloneError, match="nested deeper than 500"):
        boundary(chain(100_000))


def test_deep_values_arrive() -> None:
    deep = chain(MAX_DEPTH)
    assert structured_clone(deep) == parse(stringify(deep)) == decode_cbor(encode_cbor(deep)) == deep
    deep = {"a": UNDEFINED}
    for _ in range(MAX_DEPTH - 1):
        deep = {"$a": deep}  # type: ignore[dict-item]  # deeper than its first type says
    assert postprocess(preprocess(deep)) == deep
    assert decode_cbor(encode_cbor(deep)) == deep


def test_hostile_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="nested"):
        parse('{"json":' + "[" * 200_000)
    with pytest.raises((ValueError, DataCloneError)):
        parse('{"json":' + '{"$$":' * 600 + "1" + "}" * 600 + "}")
    with pytest.raises(DataCloneError, match="nested"):
        postprocess({"json": chain(MAX_DEPTH + 10)})
    with pytest.raises(DataCloneError, match="nested"):
        postprocess({"json": {"$type": "request-sync", "data": {"url": "http://a", "body": chain(600)}}})


def test_a_transform_sees_every_value_and_may_replace_it() -> None:
    """SC-36: what it returns is inserted as it is."""
    seen: list[tuple[Any, list[Any]]] = []

    def transform(value: Any, path: list[dict[str, Any]]) -> Any:
        seen.append((value, [step["key"] for step in path]))
        return {"secret": "*"} if value == "hide" else TRANSFORM_SKIP

    error = ValueError("v")
    error.code = 1  # type: ignore[attr-defined]  # errors take any attribute
    value = {"a": ["hide", 2], "m": JSMap([("k", 3)]), "s": JSSet([4]), "e": error}
    out = preprocess(value, transform=transform, stack=False)["json"]
    assert out["a"] == [{"secret": "*"}, 2]
    assert [path for value, path in seen if value in (2, 3, 4, 1) and not isinstance(value, bool)] == [
        ["a", 1], ["m"], ["s"], ["e", "code"],
    ]  # fmt: skip
    assert seen[0] == (value, [])
    assert repr(TRANSFORM_SKIP) == "TRANSFORM_SKIP"


def test_bodies_of_requests_are_plain_json() -> None:
    """SC-4."""
    body = {"at": NOON, "map": JSMap([(1, 2)]), "raw": b"\x05", "gone": UNDEFINED, "list": [UNDEFINED, math.nan, (1,)]}
    request = RequestSync("http://a.b", "put", Headers(), body)
    data = preprocess(request)["json"]["data"]
    assert data["body"] == {
        "at": "2025-01-01T12:00:00.000Z", "map": {}, "raw": {"0": 5}, "list": [None, None, [1]],
    }  # fmt: skip
    assert structured_clone(request).body["raw"] == b"\x05"
    assert decode_cbor(encode_cbor(RequestSync("http://a.b", body=b"\x05"))).body == b"\x05"
    with pytest.raises(DataCloneError, match="nested"):
        preprocess(RequestSync("http://a.b", body=chain(600)))


def test_damaged_storage_is_a_value_error() -> None:
    for data in (b"", b"\x82\x01", b"\xff\xff"):
        with pytest.raises(ValueError, match="not CBOR"):
            decode_cbor(data)


def test_storage_keeps_what_cbor_text_cannot_hold() -> None:
    value = {"lone \ud800": [UNDEFINED, 2**60, "\udfff"]}
    for put in (value, "\ud800", {"a": "\ud800"}):
        assert decode_cbor(encode_cbor(put)) == put
        assert canonical_cbor(put)


def test_digests_tell_values_apart_and_ignore_stacks() -> None:
    try:
        raise ValueError("v")
    except ValueError as error:
        raised = canonical_cbor(error)
    assert raised == canonical_cbor(ValueError("v"))
    assert canonical_cbor({"a": 1, "b": [1]}) == canonical_cbor({"b": [1], "a": 1})
    assert canonical_cbor({1: 1, 2: 2}) == canonical_cbor({2: 2, 1: 1})
    shared = [1]
    first, second = {"x": shared, "y": shared, "z": UNDEFINED}, {"z": UNDEFINED, "y": shared, "x": shared}
    assert canonical_cbor(first) == canonical_cbor(second)
    assert canonical_cbor([1]) != canonical_cbor(["1"])
    assert canonical_cbor({"a", 1, None, b"x"}) == canonical_cbor({b"x", None, 1, "a"})

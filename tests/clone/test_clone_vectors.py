"""Every recorded vector of upstream's encoder, in both directions, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from lumenize_sim.clone import (
    HOLE,
    UNDEFINED,
    URL,
    AggregateError,
    ArrayBuffer,
    BigInt,
    Boxed,
    DataCloneError,
    DataView,
    Date,
    Float32Array,
    Float64Array,
    Headers,
    Int16Array,
    JSMap,
    JSSet,
    RangeError,
    RegExp,
    RemoteError,
    RequestSync,
    ResponseSync,
    Uint8Array,
    decode_cbor,
    dumps,
    encode_cbor,
    parse,
    postprocess,
    preprocess,
    stringify,
    structured_clone,
)

DATA = Path(__file__).parent / "data"
RECORDED: list[dict[str, Any]] = json.loads((DATA / "structured-clone-vectors.json").read_text("utf-8"))
# Written down by hand from the description of the format.
VECTORS: list[dict[str, Any]] = RECORDED + json.loads((DATA / "structured-clone-more.json").read_text("utf-8"))
BY_NAME = {vector["name"]: vector for vector in VECTORS}
NAMES = list(BY_NAME)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Point:
    x: int
    y: int


def greet() -> None: ...


def error(message: str = "m", stack: str | None = "S", name: str = "Error", **properties: Any) -> RemoteError:
    exc = RemoteError(message, name=name, stack=stack)
    exc.__dict__.update(properties)
    return exc


def caused(exc: RemoteError, cause: Any) -> RemoteError:
    if isinstance(cause, BaseException):
        exc.__cause__ = cause
    else:
        exc.__dict__["cause"] = cause
    return exc


def shared(build: Callable[[Any], Any], part: Any) -> Any:
    return build(part)


def aggregate() -> AggregateError:
    exc = AggregateError("many", [error("a", "SA"), "b"])
    return exc


def self_list() -> list[Any]:
    out: list[Any] = [1]
    out.append(out)
    return out


def ring(*names: str) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [{"n": name} for name in names]
    for node, following in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
        node["next"] = following
    return nodes[0]


def diamond() -> dict[str, Any]:
    a, b, c, d = ({"n": name} for name in "abcd")
    a.update(l=b, r=c)  # type: ignore[call-overload]  # they held text only before
    b["x"] = c["x"] = d  # type: ignore[assignment]  # as above
    d["back"] = a  # type: ignore[assignment]  # as above
    return a


def below_root() -> dict[str, Any]:
    node: dict[str, Any] = {"v": 1}
    node["me"] = node
    return {"list": [node], "tail": True}


def map_cycle(as_key: bool) -> JSMap:
    out = JSMap()
    if as_key:
        out[{"back": out}] = 1
    else:
        out["self"] = out
    return out


def self_error(**how: str) -> RemoteError:
    exc = error(how["message"])
    if how["kind"] == "cause":
        exc.__cause__ = exc
    else:
        exc.__dict__["self"] = exc
    return exc


def client_disconnected(instance: Any) -> RemoteError:
    return error("Client is not connected", "S", "ClientDisconnectedError", clientInstanceName=instance)


def l3() -> RemoteError:
    return caused(error("l1", "S-l1"), caused(error("l2", "S-l2"), error("l3", "S-l3")))


def nested_twice(chain: list[Any]) -> list[Any]:
    marker = [{"__isNestedOperation": True, "__operationChain": chain} for _ in range(2)]
    return [{"type": "get", "key": "combine"}, {"type": "apply", "args": marker}]


# What a Python programmer would write for the JavaScript source of a vector.
BUILT: dict[str, Callable[[], Any]] = {
    "null": lambda: None,
    "undefined": lambda: UNDEFINED,
    "string-unicode": lambda: "héllo 世界 😀",
    "string-lone-surrogate": lambda: "\ud800x",
    "string-starting-with-dollar": lambda: "$ref",
    "int": lambda: 42,
    "float": lambda: 3.14,
    "negative-zero": lambda: -0.0,
    "number-1e16": lambda: 1e16,
    "number-1e21": lambda: 1e21,
    "number-1e-6": lambda: 1e-6,
    "number-1e-7": lambda: 1e-7,
    "number-123e-20": lambda: 123e-20,
    "number-min": lambda: 5e-324,
    "min-safe-integer": lambda: -(2**53 - 1),
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "negative-infinity": lambda: float("-inf"),
    "bigint": lambda: 9007199254740993,
    "bigint-negative": lambda: BigInt(-5),
    "bigint-huge": lambda: 10**30,
    "array-hole": lambda: [1, HOLE, 3],
    "array-explicit-undefined": lambda: [UNDEFINED],
    "array-mixed": lambda: [1, "a", True, None, UNDEFINED, float("nan")],
    "object-simple": lambda: {"a": 1, "b": "two", "c": None},
    "object-undefined-value": lambda: {"a": UNDEFINED},
    "object-key-order-integer-like": lambda: {"b": 1, "10": "x", "2": "y", "a": 3, "-1": 0, "01": 5},
    "object-dollar-keys": lambda: {"$type": "date", "$ref": 0, "$$x": 1, "$": 2, "plain$": 3},
    "object-looks-like-ref": lambda: {"$ref": 0},
    "class-instance": lambda: Point(1, 2),
    "function-named": lambda: {"f": greet},
    "function-anonymous-in-array": lambda: [lambda: 1],
    "class-as-value": lambda: {"C": type("Foo", (), {})},
    "date": lambda: datetime(2025, 1, 30, 12, 34, 56, 789000, UTC),
    "date-epoch": lambda: EPOCH,
    "date-far-future": lambda: Date(8_640_000_000_000_000),
    "regexp": lambda: RegExp("ab+c\\d", "gi"),
    "regexp-empty": lambda: RegExp(""),
    "regexp-slash": lambda: RegExp("a/b"),
    "map-strings": lambda: JSMap([("k", "v"), ("n", 1)]),
    "map-mixed-keys": lambda: JSMap(
        [(1, "num"), ("1", "str"), (True, "bool"), (None, "null"), (UNDEFINED, "undef"), (float("nan"), "nan")]
    ),
    "map-object-key": lambda: JSMap([({"id": 1}, "one")]),
    "map-nested-object-keys": lambda: JSMap([({"a": 1}, JSMap([({"b": 2}, "inner")]))]),
    "map-in-map-in-set": lambda: JSSet([JSMap([("s", {1})])]),
    "set-values": lambda: JSSet([1, "a", None, float("nan"), UNDEFINED]),
    "set-objects": lambda: JSSet([{"a": 1}, {"a": 1}]),
    "arraybuffer": lambda: ArrayBuffer(b"\x01\x02\xff"),
    "typed-uint8array": lambda: b"\x00\x01\xff",
    "typed-int16array": lambda: Int16Array([0, 1, -1]),
    "typed-float32array": lambda: Float32Array([1.5, 0.1, -2]),
    "typed-float64array": lambda: Float64Array([0.1, 1e21, -0.0]),
    "typed-float64array-special": lambda: Float64Array([float("nan"), float("inf"), 1]),
    "dataview": lambda: DataView(b"\x01\x02\x03\x04", 1, 2),
    "dataview-whole": lambda: DataView(b"\x09\x08"),
    "boxed-boolean": lambda: Boxed(False),
    "boxed-string": lambda: Boxed("s"),
    "boxed-number": lambda: Boxed(42),
    "boxed-number-nan": lambda: Boxed(float("nan")),
    "boxed-bigint": lambda: Boxed(BigInt(12)),
    "url": lambda: URL("https://user:pw@example.com:8080/p/a?q=1&r=%20#h"),
    "url-normalised": lambda: URL("HTTPS://EXAMPLE.com"),
    "headers": lambda: Headers({"X-Token": "abc", "Content-Type": "application/json"}),
    "headers-duplicate": lambda: Headers([("X-A", "1"), ("x-a", "2")]),
    "headers-set-cookie": lambda: Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("Accept", "x")]),
    "request-sync": lambda: RequestSync(
        "https://api.example.com/users", "post", {"Content-Type": "application/json"}, {"name": "Alice", "age": 30}
    ),
    "response-sync": lambda: ResponseSync({"ok": True}, 201, "Created", {"X-A": "1"}),
    "response-sync-default": lambda: ResponseSync(),
    "error": lambda: error("boom", "STACK"),
    "error-rangeerror": lambda: error("bad", "S", "RangeError"),
    "error-cause-null": lambda: caused(error(), None),
    "error-cause-object": lambda: caused(error(), {"code": "E1", "at": EPOCH}),
    "error-cause-error": lambda: caused(error("outer", "S0"), error("root", "S1", "TypeError")),
    "error-cause-chain-3": l3,
    "error-custom-properties": lambda: error(code="E_X", statusCode=500, meta={"tags": {"a"}}),
    "error-custom-dollar-property": lambda: error(**{"$type": "x", "$a": 1}),
    "error-symbol-property-value-skipped": lambda: error(bad=object(), good=1),
    "error-function-property": lambda: error(fn=type("retry", (), {})),
    "error-name-overridden": lambda: error(name="CustomName"),
    "error-client-disconnected": lambda: client_disconnected("alice.tab1"),
    "error-client-disconnected-no-instance": lambda: client_disconnected(UNDEFINED),
    "error-self-cause": lambda: self_error(message="loop", kind="cause"),
    "error-cyclic-property": lambda: self_error(message="m", kind="self"),
    "alias-object": lambda: shared(lambda s: {"a": s, "b": s}, {"n": 1}),
    "alias-in-array": lambda: shared(lambda s: [s, s, s], {"n": 1}),
    "alias-two-shared": lambda: shared(lambda st: [st[1], st[0], st[0], st[1]], ({"s": 1}, {"t": 1})),
    "alias-nested-shared": lambda: shared(lambda o: {"x": o, "y": o, "z": o["inner"]}, {"inner": {"i": 1}}),
    "alias-equal-not-identical": lambda: [{"a": 1}, {"a": 1}],
    "alias-date": lambda: [EPOCH, EPOCH],
    "alias-regexp": lambda: shared(lambda r: {"a": r, "b": r}, RegExp("x")),
    "alias-empty-array": lambda: shared(lambda a: [a, a], []),
    "alias-url-headers": lambda: shared(lambda p: [*p, *p], (URL("https://a.b/"), Headers({"a": "1"}))),
    "alias-map-key-and-value": lambda: shared(lambda k: {"map": JSMap([(k, k)]), "key": k}, {"id": 1}),
    "alias-set-member": lambda: shared(lambda v: {"set": JSSet([v]), "v": v}, {"id": 1}),
    "alias-typed-array": lambda: shared(lambda t: [t, t], Uint8Array(b"\x01")),
    "cycle-self-array": self_list,
    "cycle-two-nodes": lambda: ring("a", "b"),
    "cycle-three-nodes": lambda: ring("a", "b", "c"),
    "cycle-map": lambda: map_cycle(False),
    "cycle-map-key": lambda: map_cycle(True),
    "cycle-below-root": below_root,
    "cycle-diamond": diamond,
    "ocan-nested-same-continuation-twice": lambda: nested_twice(
        [{"type": "get", "key": "add"}, {"type": "apply", "args": [1, 2]}]
    ),
    "ocan-rich-args": lambda: [
        {"type": "get", "key": "put"},
        {"type": "apply", "args": [EPOCH, {1}, JSMap([("k", BigInt(1))]), UNDEFINED]},
    ],
}


def expected(vector: dict[str, Any]) -> str:
    text: str = vector.get("reencoded", vector["text"])
    return text


def test_all_vectors_are_here() -> None:
    assert len(RECORDED) == 127
    assert len(BY_NAME) == len(VECTORS)
    assert set(BUILT) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_reading_and_writing_a_vector_gives_the_same_bytes(name: str) -> None:
    vector = BY_NAME[name]
    assert stringify(parse(vector["text"])) == expected(vector)
    assert stringify(postprocess(vector["encoded"])) == expected(vector)


@pytest.mark.parametrize("name", BUILT)
def test_the_python_value_is_written_as_upstream_writes_its_twin(name: str) -> None:
    assert stringify(BUILT[name]()) == BY_NAME[name]["text"]


@pytest.mark.parametrize("name", NAMES)
def test_json_text_of_an_encoded_value_is_that_of_ecmascript(name: str) -> None:
    """SC-41, SC-42."""
    assert dumps(BY_NAME[name]["encoded"]) == BY_NAME[name]["text"]


@pytest.mark.parametrize("name", NAMES)
def test_storage_and_copies_keep_what_the_wire_keeps(name: str) -> None:
    vector = BY_NAME[name]
    value = parse(vector["text"])
    assert stringify(decode_cbor(encode_cbor(value))) == expected(vector)
    if "url" in name:
        with pytest.raises(DataCloneError, match="URL cannot be copied"):  # ST-6, RPC-15
            structured_clone(value)
    else:
        assert stringify(structured_clone(value)) == expected(vector)


@pytest.mark.parametrize("name", NAMES)
def test_preprocess_gives_the_recorded_object(name: str) -> None:
    vector = BY_NAME[name]
    if "reencoded" not in vector:
        assert preprocess(postprocess(vector["encoded"])) == vector["encoded"]


def test_an_aggregate_error_loses_its_message_on_arrival_as_upstream() -> None:
    """SC-24: the quirk is in the vector too."""
    arrived = parse(stringify(aggregate()))
    assert isinstance(arrived, AggregateError)
    assert str(arrived) == ""
    assert arrived.errors[1] == "b"


def test_an_invalid_date_cannot_be_written() -> None:
    arrived = parse('{"json":{"$type":"date","iso":"rubbish"},"meta":{}}')
    with pytest.raises(RangeError, match="Invalid time value"):
        stringify(arrived)

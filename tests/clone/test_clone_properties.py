"""What holds for any value: the laws of the boundary."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.clone import (
    MAX_SAFE_INTEGER,
    UNDEFINED,
    BigInt,
    JSMap,
    JSSet,
    RegExp,
    canonical_cbor,
    decode_cbor,
    dumps,
    encode_cbor,
    loads,
    parse,
    postprocess,
    preprocess,
    stringify,
    structured_clone,
)

LIMITED = settings(max_examples=150, deadline=None)
TEXT = st.text(st.characters(), max_size=6)  # lone surrogates too
KEYS = st.one_of(
    TEXT, st.sampled_from(["$type", "$ref", "$$", "$$type", "0", "1", "10", "01", "-1", "4294967295", "a"])
)
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**53 - 3, 2**53 + 3),
    st.floats(allow_nan=False),
    TEXT,
    st.binary(max_size=4),
    MOMENTS,
    st.builds(BigInt, st.integers(-5, 5)),
    st.just(UNDEFINED),
    st.builds(RegExp, st.sampled_from(["a", "a/b", "[/]", ""]), st.just("g")),
)
MEMBERS = st.one_of(TEXT, st.integers(), st.booleans(), st.none(), st.binary(max_size=3), MOMENTS)
CANONICAL = st.recursive(
    st.one_of(SCALARS, st.sets(MEMBERS, max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.lists(st.tuples(st.one_of(TEXT, st.integers(-9, 9), st.booleans()), inner), max_size=3).map(JSMap),
        st.lists(inner, max_size=3).map(JSSet),
    ),
    max_leaves=12,
)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER), TEXT, st.floats(width=32)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """Containers that hold one another in any way, cycles included."""
    nodes: list[Any] = [draw(st.sampled_from([list, dict, JSMap, JSSet]))() for _ in range(draw(st.integers(1, 5)))]
    for node in nodes:
        for number in range(draw(st.integers(0, 3))):
            item = draw(st.one_of(st.sampled_from(nodes), st.sampled_from([1, "a", b"x", UNDEFINED])))
            if isinstance(node, list):
                node.append(item)
            elif isinstance(node, dict):
                node[f"$k{number}"] = item
            elif isinstance(node, JSMap):
                node[draw(st.sampled_from([*nodes, "key"]))] = item
            else:
                node.add(item)
    return nodes[0]


def parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, JSMap):
        for pair in value.pairs():
            yield from pair
    elif isinstance(value, (list, JSSet, set)):
        yield from value


def mutable(value: Any) -> dict[int, Any]:
    found: dict[int, Any] = {}
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, (list, dict, set, JSMap, JSSet)) and id(item) not in found:
            found[id(item)] = item
            todo.extend(parts(item))
    return found


def same_shape(a: Any, b: Any) -> bool:
    """Whether two graphs have the same containers in the same places: a bijection of identities."""
    there: dict[int, int] = {}
    back: dict[int, int] = {}
    todo = [(a, b)]
    while todo:
        x, y = todo.pop()
        if isinstance(x, JSSet) and type(y) is set:  # nothing but values in it, in canonical order
            if x != y:
                return False
        elif type(x) is not type(y) and not isinstance(x, bytes):  # members of a set get an identity
            return False
        if not isinstance(x, (list, dict, JSMap, JSSet)):
            if x != y:
                return False
            continue
        new = id(x) not in there
        if there.setdefault(id(x), id(y)) != id(y) or back.setdefault(id(y), id(x)) != id(x):
            return False
        if not new or type(y) is set:
            continue
        xs, ys = list(parts(x)), list(parts(y))
        if len(xs) != len(ys) or (isinstance(x, dict) and list(x) != list(y)):
            return False
        todo.extend(zip(xs, ys, strict=True))
    return True


@LIMITED
@given(CANONICAL)
def test_canonical_values_survive_the_wire(value: Any) -> None:
    assert parse(stringify(value, strict=True)) == value
    assert postprocess(preprocess(value, strict=True)) == value


@LIMITED
@given(CANONICAL)
def test_what_was_read_is_written_the_same(value: Any) -> None:
    text = stringify(value)
    assert stringify(parse(text)) == text


@LIMITED
@given(CANONICAL)
def test_text_is_json_to_everybody(value: Any) -> None:
    text = stringify(value)
    assert dumps(json.loads(text)) == text
    assert dumps(loads(text)) == text


@LIMITED
@given(CANONICAL)
def test_storage_gives_back_what_was_put(value: Any) -> None:
    got = decode_cbor(encode_cbor(value))
    assert got == value
    assert stringify(got) == stringify(value)


@LIMITED
@given(CANONICAL)
def test_a_copy_equals_its_source_and_shares_nothing_mutable(value: Any) -> None:
    copied = structured_clone(value)
    assert copied == value
    assert stringify(copied) == stringify(value)
    assert not mutable(copied).keys() & mutable(value).keys()


@LIMITED
@given(graphs())
def test_aliases_and_cycles_survive_every_boundary(value: Any) -> None:
    text = stringify(value)
    for arrived in (structured_clone(value), parse(text), decode_cbor(encode_cbor(value))):
        assert same_shape(value, arrived)
        assert stringify(arrived) == text
        assert not mutable(arrived).keys() & mutable(value).keys()


@LIMITED
@given(graphs())
def test_an_encoded_value_is_a_snapshot(value: Any) -> None:
    encoded = preprocess(value)
    before = dumps(encoded)
    for part in mutable(value).values():
        part.clear()
    assert dumps(encoded) == before


@LIMITED
@given(PLAIN)
def test_a_plain_tree_is_a_snapshot_too(value: Any) -> None:
    encoded = preprocess(value)
    arrived = postprocess(encoded)
    before = dumps(encoded)
    assert not mutable(encoded).keys() & (mutable(value).keys() | mutable(arrived).keys())
    for part in [*mutable(value).values(), *mutable(arrived).values()]:
        part.clear()
    assert dumps(encoded) == before


@LIMITED
@given(CANONICAL, st.randoms(use_true_random=False))
def test_a_digest_does_not_see_the_insertion_order_of_dicts(value: Any, draw: random.Random) -> None:
    def shuffled(item: Any) -> Any:
        if isinstance(item, dict):
            keys = list(item)
            draw.shuffle(keys)
            return {key: shuffled(item[key]) for key in keys}
        return [shuffled(part) for part in item] if isinstance(item, list) else item

    assert canonical_cbor(value) == canonical_cbor(shuffled(value))


@LIMITED
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_text_reads_back_as_the_same_number(number: float) -> None:
    text = dumps(number)
    assert float(text) == number
    assert not text.endswith(".0")
    assert loads(text) == number


@LIMITED
@given(st.one_of(st.text(alphabet='{}[]",:$0123456789eE+-.truefalsn \\u', max_size=20), st.text(max_size=10)))
def test_bad_text_is_a_value_error_and_nothing_else(text: str) -> None:
    try:
        loads(text)
    except ValueError:
        pass


TAGS = ["map", "set", "error", "date", "bigint", "arraybuffer", "headers", "function", "regexp", "undefined", "url",
        "number-special", "request-sync", "response-sync", "boolean-object", "number-object",
        "bigint-object", "x"]  # fmt: skip
HOSTILE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("a$0", max_size=2), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["entries", "values", "data", "subtype", "value", "cause", "name", "__class__",
                                         "message", "stack", "iso", "href", "byteOffset", "$ref"]), inner, max_size=3),
        st.builds(lambda tag, rest: {**rest, "$type": tag}, st.sampled_from(TAGS), st.dictionaries(
            st.sampled_from(["entries", "values", "data", "value", "cause", "args", "message", "with_traceback",
                             "subtype", "byteOffset", "source", "iso"]), inner, max_size=4)),
        st.builds(lambda number: {"$ref": number}, st.integers(0, 2)),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(HOSTILE, st.dictionaries(st.sampled_from(["0", "1", "x"]), HOSTILE, max_size=2))
def test_hostile_input_is_refused_as_a_value_or_type_error(body: Any, aliases: dict[str, Any]) -> None:
    """A frame from outside must not raise anything that only a broken program raises."""
    try:
        postprocess({"json": body, "meta": {"aliases": aliases}})
    except (ValueError, TypeError):
        pass


def test_moments_before_1970_keep_their_milliseconds() -> None:
    moment = datetime(1, 1, 1, 0, 0, 0, 1000, UTC)
    assert stringify(moment) == '{"json":{"$type":"date","iso":"0001-01-01T00:00:00.001Z"},"meta":{}}'
    assert parse(stringify(moment)) == moment

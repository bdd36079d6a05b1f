"""The values that Python has not, one by one."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from lumenize_sim.clone import (
    HOLE,
    INVALID_DATE,
    NULL,
    UNDEFINED,
    URL,
    ArrayBuffer,
    BigInt,
    BigInt64Array,
    BigUint64Array,
    Boxed,
    DataView,
    Date,
    Float32Array,
    Headers,
    Int8Array,
    InvalidDate,
    JSMap,
    JSSet,
    RegExp,
    RequestSync,
    ResponseSync,
    Uint8Array,
    Uint8ClampedArray,
    Uint32Array,
    apply_merge_patch,
    decode_cbor,
    diff,
    dumps,
    encode_cbor,
    loads,
    parse,
    postprocess,
    stringify,
    structured_clone,
)

NAN = float("nan")


def decoded(body: Any) -> Any:
    return postprocess({"json": body, "meta": {}})


@pytest.mark.parametrize("value", [UNDEFINED, NULL, HOLE])
def test_singletons_stay_single(value: Any) -> None:
    assert not value
    assert repr(value) in {"UNDEFINED", "NULL", "HOLE"}
    assert copy.deepcopy(value) is value
    assert pickle.loads(pickle.dumps(value)) is value


def test_a_map_compares_keys_as_javascript_does() -> None:
    key: list[int] = []
    held = JSMap([(1, "number"), ("1", "text"), (True, "bool"), (NAN, "nan"), (BigInt(1), "big"), (key, "list")])
    held[2**60] = "huge"
    held[1.0] = "same number"
    assert [held[k] for k in (1, "1", True, float("nan"), BigInt(1), key, 2**60)] == [
        "same number", "text", "bool", "nan", "big", "list", "huge",
    ]  # fmt: skip
    assert [] not in held
    assert held.get([]) is None
    with pytest.raises(KeyError):
        held[[]]
    with pytest.raises(KeyError):
        del held[[]]
    del held[key]
    assert len(held) == 6
    assert next(iter(held)) == 1
    assert JSMap({"a": 1}) == {"a": 1} == JSMap([("a", 1)])
    assert JSMap([("a", 1), ("b", 2)]) != JSMap([("b", 2), ("a", 1)])
    assert JSMap() != 3
    assert repr(JSMap([("a", 1)])) == "JSMap([('a', 1)])"


def test_a_set_keeps_order_and_takes_anything() -> None:
    member: dict[str, int] = {}
    held = JSSet([2, 1, member, 2, UNDEFINED])
    assert list(held) == [2, 1, member, UNDEFINED]
    held.update([3], [4])
    held.discard(member)
    held.discard(member)
    assert held == JSSet([2, 1, UNDEFINED, 3, 4])
    assert held != JSSet([1, 2, UNDEFINED, 3, 4])
    assert JSSet([1, 2]) == {2, 1}
    assert JSSet([1, 2]) != {1, 3}
    assert JSSet() != []
    assert held.copy() == held
    assert JSSet([1]) | {2} == {1, 2}
    assert repr(JSSet([1])) == "JSSet([1])"


def test_bytes_and_moments_are_found_by_value_too() -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    for held in (JSSet([b"k", moment, 1]), parse(stringify(JSSet([b"k", moment, 1])))):
        assert b"k" in held
        assert moment.replace() in held
        assert b"j" not in held
    assert parse(stringify(JSMap([(b"k", 1)])))[b"k"] == 1


def test_sets_arrive_as_sets_where_nothing_is_lost() -> None:
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    for members in ({"b", "a"}, {2, 1}, {1.5, 1}, {"a", 1, None, b"x", moment, BigInt(3), 2**60}, set()):
        for got in (parse(stringify(members)), decode_cbor(encode_cbor(members)), structured_clone(members)):
            assert type(got) is set
            assert got == members
    for values in (["b", "a"], [2, 1], [1, True], ["a", 1], [[]], [None, {"$type": "undefined"}], [1, 1.0]):
        got = decoded({"$type": "set", "values": values})
        assert type(got) is (set if values == ["a", 1] and type(got) is set else JSSet)
    assert type(structured_clone({("a",)})) is JSSet
    far = {"$type": "date", "iso": "+010000-01-01T00:00:00.000Z"}
    assert type(decoded({"$type": "set", "values": [far]})) is JSSet


def test_dates_reach_as_far_as_in_javascript() -> None:
    for ms, iso in [
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
    ]:
        assert Date(ms).iso() == iso
        assert decoded({"$type": "date", "iso": iso}) == Date(ms)
    with pytest.raises(ValueError, match="outside the range"):
        Date(8_640_000_000_000_001)


@pytest.mark.parametrize(
    "iso", ["+275760-09-13T00:00:00.001Z", "2025-02-32T00:00:00.000Z", "x", "+012025-13-01T00:00:00.000Z"]
)
def test_what_is_no_date_is_an_invalid_date(iso: str) -> None:
    got = decoded({"$type": "date", "iso": iso})
    assert isinstance(got, InvalidDate)
    assert decode_cbor(encode_cbor(got)) == structured_clone(got) == INVALID_DATE


def test_dates_in_other_spellings_are_read() -> None:
    assert decoded({"$type": "date", "iso": "2025-01-30"}) == datetime(2025, 1, 30, tzinfo=UTC)
    assert decoded({"$type": "date", "iso": "2025-01-30T01:00:00+01:00"}) == datetime(2025, 1, 30, tzinfo=UTC)


def test_elements_are_coerced_as_on_assignment() -> None:
    assert Int8Array([127, 128, -129, 1.9, NAN, None]).data == (127, -128, 127, 1, 0, 0)
    assert Uint32Array([-1]).data == (2**32 - 1,)
    assert Uint8ClampedArray([-5, 300, 1.5, 2.5, NAN, "x"]).data == (0, 255, 2, 2, 0, 0)
    assert Float32Array([1e300, -1e300]).data == (float("inf"), float("-inf"))
    assert BigInt64Array([2**63]).data == (-(2**63),)
    assert BigUint64Array([-1]).data == (2**64 - 1,)
    array = Int8Array([1, 2])
    assert (len(array), array[1], hash(array)) == (2, 2, hash(Int8Array([1, 2])))
    assert array != (1, 2)
    assert pickle.loads(pickle.dumps(array)) == array
    assert repr(array) == "Int8Array([1, 2])"
    with pytest.raises(AttributeError, match="immutable"):
        array.data = ()


def test_arrays_of_big_integers_can_be_stored_but_not_written() -> None:
    array = BigInt64Array([1, -1])
    assert decode_cbor(encode_cbor(array)) == structured_clone(array) == array
    with pytest.raises(TypeError, match="Do not know how to serialize a BigInt"):
        stringify(array)


def test_an_unknown_array_is_bytes() -> None:
    """SC-34; elements that are no bytes wrap."""
    body = {"$type": "arraybuffer", "subtype": "Float16Array", "data": [1, 256, None, float("inf")]}
    assert decoded(body) == b"\x01\x00\x00\x00"
    with pytest.raises(ValueError, match="no window"):
        decoded({"$type": "arraybuffer", "subtype": "DataView", "data": [], "byteOffset": "x"})
    assert decoded({"$type": "arraybuffer", "subtype": "DataView", "data": [1, 2], "byteOffset": 1}).byte_length == 1


def test_numbers_of_any_text() -> None:
    """SC-34."""
    for text, number in [("12", 12), ("1.5", 1.5), ("", 0), ("-Infinity", float("-inf")), (" 7 ", 7), (None, 0)]:
        assert decoded({"$type": "number-special", "value": text}) == number
    for text in ("NaN", "nan", "inf", "1_0", "x", {}):
        got = decoded({"$type": "number-special", "value": text})
        assert got != got
    with pytest.raises(ValueError, match="to a BigInt"):
        decoded({"$type": "bigint", "value": "x"})


def test_unknown_tags_and_references() -> None:
    """SC-9, SC-32, SC-33, SC-35."""
    assert decoded({"$type": "novel", "$$x": [1]}) == {"$type": "novel", "$x": [1]}
    assert decoded({"$type": 3}) == {"$type": 3}
    assert decoded({"$ref": 5}) is UNDEFINED
    assert decoded({"$ref": 0, "x": 1}) == {"$ref": 0, "x": 1}
    assert decoded({"$kept": 1}) == {"$kept": 1}
    assert decoded({"$type": "function", "name": "f", "$$more": 1}) == {"name": "f", "$more": 1}
    assert postprocess({"json": 1}) == 1
    assert postprocess({}) is UNDEFINED
    assert parse('{"json":{"a":[1]}}') == {"a": [1]}
    assert parse(b'{"json":1}') == 1
    with pytest.raises(ValueError, match="encoded value must be"):
        postprocess(UNDEFINED)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ValueError, match="encoded value must be"):
        parse("[]")
    aliases = {
        "0": {"$ref": 1},
        "1": 7,
        "2": {"$type": "novel", "me": {"$ref": 2}},
        "3": {"$type": "function", "name": "f"},
    }
    got = postprocess({"json": [{"$ref": 0}, {"$ref": 1}, {"$ref": 2}, {"$ref": 3}], "meta": {"aliases": aliases}})
    assert got[:2] == [{"$ref": 1}, 7]
    assert got[2]["me"] is got[2]
    assert got[3] == {"name": "f"}


def test_aliased_requests_share_their_headers() -> None:
    """SC-31."""
    request = RequestSync("http://a.b/", headers={"x": "1"})
    for got in (
        parse(stringify([request, request, request.headers])),
        structured_clone([request, request, request.headers]),
    ):
        assert got[0] is got[1]
        assert got[0].headers is got[2]
    response = ResponseSync("x")
    first, second = structured_clone([response, response])
    assert first is second
    with pytest.raises(ValueError, match="has no data"):
        decoded({"$type": "response-sync"})
    assert decoded({"$type": "response-sync", "data": {"status": "x"}}).status == 200


@pytest.mark.parametrize(
    "href,normal",
    [
        ("HTTP://User:pw@EXAMPLE.com:80", "http://User:pw@example.com/"),
        ("https://a.b:8443/x/../y/./z/..", "https://a.b:8443/y/"),
        ("https://a.b/ä b?q=ä b#f g", "https://a.b/%C3%A4%20b?q=%C3%A4%20b#f%20g"),
        ("https://a.b/?#", "https://a.b/?#"),
        ("https://[::1]/", "https://[::1]/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("mailto:A@b.c", "mailto:A@b.c"),
    ],
)
def test_urls_are_normalised(href: str, normal: str) -> None:
    assert str(URL(href)) == normal
    assert URL(normal).href == normal


@pytest.mark.parametrize("href", ["/relative", "https:///", ""])
def test_what_is_no_url_is_a_type_error(href: str) -> None:
    with pytest.raises(TypeError, match="Invalid URL"):
        URL(href)


def test_headers_have_no_case() -> None:
    headers = Headers([("Set-Cookie", "a"), ("set-cookie", "b"), ("X", " 1 ")])
    headers.append("x", "2")
    assert headers.get("X") == "1, 2"
    assert headers.get("y") is None
    assert "x" in headers
    assert headers.get_set_cookie() == ["a", "b"]
    twin = headers.copy()
    twin.set("X", "3")
    twin.delete("set-cookie")
    twin.delete("set-cookie")
    assert list(twin) == [("x", "3")]
    assert twin != headers
    assert headers == structured_clone(headers) == parse(stringify(headers))
    assert headers != 1
    assert repr(twin) == "Headers([('x', '3')])"


def test_bodies_are_read_in_every_way() -> None:
    """SC-37, SC-38."""
    request = RequestSync("http://a.b", "post", body={"a": 1})
    assert (request.json(), request.text(), request.array_buffer()) == ({"a": 1}, '{"a":1}', b'{"a":1}')
    response = ResponseSync(b"[1]")
    assert (response.json(), response.text(), response.array_buffer()) == ([1], "[1]", b"[1]")
    assert ResponseSync(ArrayBuffer(b"2")).json() == 2
    assert (ResponseSync().json(), ResponseSync().text(), ResponseSync().array_buffer()) == (None, "", b"")
    assert response.ok
    assert not ResponseSync(status=404).ok
    with pytest.raises(TypeError, match=r"FormData not supported in RequestSync - use json\(\) or text\(\) instead"):
        request.form_data()
    twin = response.clone()
    twin.headers.set("a", "b")
    assert response.headers == Headers()
    assert request.clone().url == "http://a.b/"
    for kind, raw, body in [
        ("application/json; x", b'{"a":1}', {"a": 1}), ("text/html", b"t", "t"),
        ("image/png", b"i", b"i"), ("", None, None),
    ]:  # fmt: skip
        assert ResponseSync.from_parts(200, Headers({"content-type": kind}), body=raw).body == body


def test_small_wrappers() -> None:
    assert (repr(BigInt(5)), str(BigInt(5)), f"{BigInt(5)}") == ("BigInt(5)", "5", "5")
    assert repr(Uint8Array(b"x")) == "Uint8Array(b'x')"
    assert RegExp("[/]/\\/").source == "[/]\\/\\/"
    assert DataView(b"abc", 1).byte_length == 2
    assert parse(stringify(Boxed(2**60))) == Boxed(BigInt(2**60))
    assert decoded({"$type": "number-object", "value": "Infinity"}) == Boxed(float("inf"))


def test_number_text_is_that_of_ecmascript() -> None:
    """SC-41, SC-43."""
    for number, text in [
        (1.0, "1"), (-0.0, "0"), (1e20, "100000000000000000000"), (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"), (1.5e300, "1.5e+300"), (1.5e-7, "1.5e-7"), (0.00001, "0.00001"), (-1234.5, "-1234.5"),
        (NAN, "null"), (float("inf"), "null"), (2**53, "9007199254740992"), (10**30, "1e+30"), (-(10**400), "null"),
        (10**400, "null"), (2251799813685249.5, "2251799813685249.5"),
    ]:  # fmt: skip
        assert dumps(number) == text
        assert dumps([number]) == f"[{text}]"


def test_jsonable_values_are_written_compactly() -> None:
    """SC-10, SC-42."""
    value = {"b": [], "2": {}, "é": ("x",), "0": "\ud800\udc00\ud800", "4294967295": True, "4294967294": False}
    assert dumps(value) == ('{"0":"\U00010000\\ud800","2":{},"4294967294":false,"b":[],"é":["x"],"4294967295":true}')
    assert dumps("\ud83d\ude00") == '"😀"'
    assert dumps([1.5e-7, [], {}, None, "x"]) == '[1.5e-7,[],{},null,"x"]'
    for bad in ({1: 2}, [object()], {"a": {1}}, [b"x"]):
        with pytest.raises(TypeError, match=r"not jsonable|not a string"):
            dumps(bad)


def test_json_text_is_read_as_javascript_reads_it() -> None:
    assert loads(" [1, 2.0, -0] ") == [1, 2, 0]
    assert loads("9007199254740993") == 9007199254740992.0
    assert isinstance(loads("[12345678901234567890]")[0], float)
    assert loads("[9007199254740991,1234567890123456]") == [9007199254740991, 1234567890123456]
    assert type(loads("[9007199254740991,12]")[0]) is int
    assert postprocess({"json": [2**60, 10**400, -(10**400)]}) == [2.0**60, float("inf"), float("-inf")]
    assert loads(b'{"a":1}') == {"a": 1}
    for bad in ("", "nan", "NaN", "[Infinity]", "{", "[1,]", "1 2", '"\n"', b"\xff"):
        with pytest.raises(ValueError):
            loads(bad)


def test_merge_patches() -> None:
    """SC-39, SC-40."""
    before = {"a": 1, "b": {"c": 2, "d": 3}, "e": [1], "flag": True}
    after = {"a": 1, "b": {"c": 4}, "e": [2], "f": {"g": 1}, "flag": 1}
    patch = diff(before, after)
    assert patch == {"b": {"c": 4, "d": None}, "e": [2], "f": {"g": 1}, "flag": 1}
    assert apply_merge_patch(before, patch) == after
    assert diff(before, structured_clone(before)) is UNDEFINED
    assert diff(1, 2) == 2
    assert diff([1], [1, 2]) == [1, 2]
    copied = apply_merge_patch(before, UNDEFINED)
    assert copied == before
    assert copied is not before
    assert apply_merge_patch(3, {"a": {"b": None, "c": 1}}) == {"a": {"c": 1}}
    assert apply_merge_patch({"a": 1}, [1]) == [1]
    # Undefined as the whole patch changes nothing; inside one it is a value as any other.
    assert apply_merge_patch({"a": 1, "b": {"c": 1}}, {"a": UNDEFINED, "b": {"c": UNDEFINED}}) == {
        "a": UNDEFINED,
        "b": {"c": UNDEFINED},
    }
    assert diff({"b": 0}, {"c": UNDEFINED}) == {"b": None, "c": UNDEFINED}
    assert diff({"a": [], "b": UNDEFINED}, {"a": UNDEFINED, "b": UNDEFINED}) == {"a": UNDEFINED, "b": UNDEFINED}
    assert before["a"] == 1

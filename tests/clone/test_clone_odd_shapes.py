"""Texts that the original never writes, or rarely: what it makes of them, seen by running it, and so do we."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lumenize_sim.clone import (
    URL,
    AggregateError,
    BigInt,
    DataCloneError,
    RegExp,
    RequestSync,
    parse,
    preprocess,
    stringify,
)


def again(body: Any, aliases: dict[str, Any] | None = None) -> Any:
    """What comes out where ``body`` went in; with aliases both parts."""
    encoded = {"json": body, "meta": {} if aliases is None else {"aliases": aliases}}
    out = json.loads(stringify(parse(json.dumps(encoded))))
    return out if aliases is not None else out["json"]


def tagged(tag: str, **fields: Any) -> dict[str, Any]:
    return {"$type": tag, **fields}


UNDEFINED = tagged("undefined")
NO_HEADERS = tagged("headers", entries=[])


def request(method: str) -> dict[str, Any]:
    return tagged("request-sync", data={"url": "http://a.b/", "method": method, "headers": NO_HEADERS, "body": None})


@pytest.mark.parametrize(
    "body, expected",
    [
        # SC-32: ids are numbers; the text of one is no id.
        ({"$ref": "0"}, UNDEFINED),
        ({"$ref": None}, UNDEFINED),
        ({"$ref": True}, UNDEFINED),
        ({"$ref": 0, "x": 1}, {"$$ref": 0, "x": 1}),
        # A function is an object with a name, which comes first and is not decoded (SC table).
        (tagged("function"), {"name": UNDEFINED}),
        (tagged("function", value={"$ref": 5}, name={"$ref": "x"}), {"name": {"$$ref": "x"}, "value": UNDEFINED}),
        # SC-33: an unknown tag comes first too.
        ({"a": 1, "$type": "nope", "$$b": 2}, {"$$type": "nope", "a": 1, "$$b": 2}),
        ({"$type": 5}, {"$$type": 5}),
        # SC-34: the number conversion of JavaScript.
        (tagged("number-special", value="0x10"), 16),
        (tagged("number-special", value=" 3 "), 3),
        (tagged("number-special", value=None), 0),
        (tagged("number-special", value=True), 1),
        (tagged("number-special", value="1_0"), tagged("number-special", value="NaN")),
        (tagged("number-special", value="inf"), tagged("number-special", value="NaN")),
        (tagged("number-special", value="\u0663"), tagged("number-special", value="NaN")),
        (tagged("number-special", value="1e999"), tagged("number-special", value="Infinity")),
        (tagged("number-special"), tagged("number-special", value="NaN")),
        (tagged("bigint", value=""), tagged("bigint", value="0")),
        (tagged("bigint", value="0x10"), tagged("bigint", value="16")),
        (tagged("bigint", value=True), tagged("bigint", value="1")),
        (tagged("bigint-object", value=1e21), tagged("bigint-object", value="1000000000000000000000")),
        (tagged("number-object", value=None), tagged("number-object", value=0)),
        (tagged("number-object", value=False), tagged("number-object", value=0)),
        (tagged("string-object"), tagged("string-object", value="undefined")),
        (tagged("string-object", value=[1, [None, "x"]]), tagged("string-object", value="1,,x")),
        (tagged("boolean-object", value=[]), tagged("boolean-object", value=True)),
        # Dates: days that the month has not, and midnight at the end of a day, are later days.
        (tagged("date", iso="2026-02-30T00:00:00.000Z"), tagged("date", iso="2026-03-02T00:00:00.000Z")),
        (tagged("date", iso="2026-01-01T24:00:00.000Z"), tagged("date", iso="2026-01-02T00:00:00.000Z")),
        (tagged("date", iso="9999-12-31T24:00:00.000Z"), tagged("date", iso="+010000-01-01T00:00:00.000Z")),
        (tagged("date", iso=1), tagged("date", iso="1970-01-01T00:00:00.001Z")),
        (tagged("date", iso=None), tagged("date", iso="1970-01-01T00:00:00.000Z")),
        (tagged("regexp", source="a", flags="ig"), tagged("regexp", source="a", flags="gi")),
        # SC-28: a message that is no text is made one.
        (tagged("error", name="Error", message=[]), tagged("error", name="Error", message="")),
        (tagged("error", name="Error", message={}), tagged("error", name="Error", message="[object Object]")),
        # SC-24: the message of an AggregateError is taken for its errors.
        (
            tagged("error", name="AggregateError", message="ab"),
            tagged("error", name="AggregateError", message="", errors=["a", "b"]),
        ),
        # SC-27: this name belongs to no class there, so nothing but what came goes on.
        (tagged("error", name="DataCloneError", message="x"), tagged("error", name="DataCloneError", message="x")),
        # SC-29: what the constructor set stands first.
        (
            tagged("error", name="ClientDisconnectedError", message="m", code=1),
            tagged("error", name="ClientDisconnectedError", message="m", clientInstanceName=UNDEFINED, code=1),
        ),
        (request("patch"), request("patch")),
        (request("Put"), request("PUT")),
    ],
)  # fmt: skip
def test_odd_bodies_come_out_as_upstream_writes_them(body: Any, expected: Any) -> None:
    got = again(body)
    assert json.dumps(got) == json.dumps(expected)  # the order of keys too


def test_bodies_of_aliases_are_objects_whatever_they_say() -> None:
    # Nothing refers to a reference or to undefined; as the body of an alias they are plain objects (SC-31).
    assert again([{"$ref": 0}], {"0": {"$ref": 7}}) == {"json": [{"$$ref": 7}], "meta": {}}
    assert again([{"$ref": 0}], {"0": {"$type": "undefined"}}) == {"json": [{"$$type": "undefined"}], "meta": {}}
    odd = again([{"$ref": 0}], {"0": {"$type": "nope", "a": 1}})
    assert json.dumps(odd["json"]) == '[{"a": 1, "$$type": "nope"}]'


def test_own_properties_of_errors_come_in_the_order_of_properties() -> None:
    # Integer-like names first, also before what the constructor set (SC-10, SC-14).
    shared: dict[str, Any] = {"1": {"$ref": 1}, "$type": "error", "name": "AggregateError", "message": ""}
    shared["errors"] = [{"$ref": 2}, {"$ref": 2}]
    aliases = {"0": shared, "1": {"a": 1}, "2": {"b": 1}}
    body = [{"$ref": 0}, {"$ref": 0}, {"$ref": 1}]
    assert again(body, aliases) == {"json": body, "meta": {"aliases": aliases}}


@pytest.mark.parametrize("value", ["1_000", "\u0663", "5n", "1.5", "1e3", None, {}, "x"])
def test_what_is_no_bigint_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match="to a BigInt"):
        parse(json.dumps({"json": {"$type": "bigint", "value": value}}))


def test_integers_of_quadratic_cost_are_refused_by_name() -> None:
    with pytest.raises(DataCloneError, match=r"^\$\.n\[0\]: an integer of more than 4300 digits"):
        preprocess({"n": [10**5000]})
    with pytest.raises(DataCloneError, match="4300 digits"):
        stringify(BigInt(10**5000))
    with pytest.raises(ValueError, match="5000 digits"):
        parse('{"json":{"$type":"bigint","value":"' + "9" * 5000 + '"}}')


@pytest.mark.parametrize(
    "source, expected",
    [("\n", "\\n"), ("\\\n", "\\n"), ("a\u2028b", "a\\u2028b"), ("[/]/", "[/]\\/"), ("\\/", "\\/"), ("", "(?:)")],
)
def test_sources_of_regular_expressions_are_one_line(source: str, expected: str) -> None:
    assert RegExp(source).source == expected
    assert RegExp(expected).source == expected
    assert RegExp("a", "yig").flags == "giy"


def test_an_aggregate_error_that_is_made_here_keeps_its_message() -> None:
    text = stringify(AggregateError("several", [1]), stack=False)
    assert text == '{"json":{"$type":"error","name":"AggregateError","message":"several","errors":[1]},"meta":{}}'


def test_methods_are_written_in_capitals() -> None:
    assert RequestSync("http://a.b", "patch").method == "PATCH"  # SC-4


@pytest.mark.parametrize(
    "href, normal",
    [
        ("https://EX.com:443/a^b|c", "https://ex.com/a^b|c"),
        ("https://a.b/?a'b`{}#`'", "https://a.b/?a%27b`{}#%60'"),
        ("custom://H/a'b?'", "custom://H/a'b?'"),
        ("http://us er:p@ss@a.b", "http://us%20er:p%40ss@a.b/"),
        ("http://u:@a.b/", "http://u@a.b/"),
        ("http://a.b/%2e%2E/x/%2e", "http://a.b/x/"),
        ("http://a.b/x\\y", "http://a.b/x/y"),
        ("ht\ntp://a.\tb/ ", "http://a.b/"),
        ("http:a.b", "http://a.b/"),
        ("http://127.1", "http://127.0.0.1/"),
        ("http://0x7f.1:00080/", "http://127.0.0.1/"),
        ("http://1.2.3", "http://1.2.0.3/"),
        ("http://[2001:DB8::0001]:8080", "http://[2001:db8::1]:8080/"),
        ("http://[1:0:0:2:0:0:0:3]/", "http://[1:0:0:2::3]/"),
        ("http://[::ffff:1.2.3.4]/", "http://[::ffff:102:304]/"),
        ("http://\u4f8b\u3048.jp/", "http://xn--r8jz45g.jp/"),
        ("http://a%2Eb/", "http://a.b/"),
        ("mailto:a b@c?x=\u00e9#\u00e9", "mailto:a b@c?x=%C3%A9#%C3%A9"),
        ("data:/b c//", "data:/b%20c//"),
        ("javascript:\x01b", "javascript:%01b"),
        ("file://localhost/etc", "file:///etc"),
        ("blob:https://x/y", "blob:https://x/y"),
        ("http://a.b/\ud800", "http://a.b/%EF%BF%BD"),
        ("http://a.b?", "http://a.b/?"),
    ],
)
def test_urls_have_the_href_of_the_standard(href: str, normal: str) -> None:
    assert URL(href).href == normal
    assert URL(normal).href == normal


@pytest.mark.parametrize(
    "href",
    [
        "//a.b", "http://", "http://a b/", "http://a.b:x/", "http://a.b:65536/", "http://[::1", "http://[::1]x/",
        "http://1.2.3.256/", "http://1.2.3.4.5/", "http://a^b/", "http://%zz/", "file://u@h/", "custom://:1/", "",
    ],
)  # fmt: skip
def test_hrefs_that_the_standard_refuses(href: str) -> None:
    with pytest.raises(TypeError, match="Invalid URL string"):
        URL(href)

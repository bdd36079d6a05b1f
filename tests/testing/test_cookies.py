"""Cookies of a simulated browser (TS-5)."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.testing.cookies import Cookie, CookieJar, header_of, parse_set_cookie

URL = httpx.URL("https://shop.example/cart/view")


def cookie(**fields: object) -> Cookie:
    given = {"name": "n", "value": "v", "domain": "example", **fields}
    return Cookie(**given)  # type: ignore[arg-type]  # of the fields' types


def test_a_cookie_has_the_host_and_the_root_by_default() -> None:
    found = parse_set_cookie("sid=abc=1", URL, 0)
    assert found == Cookie(name="sid", value="abc=1", domain="shop.example", path="/")


def test_all_attributes_are_read() -> None:
    found = parse_set_cookie(
        "sid=abc; Domain=.Example; Path=/cart; Expires=Thu, 01 Jan 2026 00:00:00 GMT; Secure; HttpOnly; SameSite=lax",
        URL, 0,
    )  # fmt: skip
    assert found == Cookie(
        name="sid", value="abc", domain="example", path="/cart", expires_ms=1_767_225_600_000, secure=True,
        http_only=True, same_site="Lax",
    )  # fmt: skip


def test_max_age_becomes_an_expiry_and_goes_before_expires() -> None:
    found = parse_set_cookie("a=b; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", URL, 1000)
    assert found is not None
    assert found.expires_ms == 61_000
    assert not found.expired(60_999)
    assert found.expired(61_000)


@pytest.mark.parametrize("header", ["", ";", "novalue", "=x", " ; Path=/"])
def test_what_is_no_cookie_is_left_alone(header: str) -> None:
    assert parse_set_cookie(header, URL, 0) is None


@pytest.mark.parametrize("attribute", ["Max-Age=soon", "Expires=tomorrow", "Path=relative", "SameSite=Maybe", "X"])
def test_attributes_that_make_no_sense_are_ignored(attribute: str) -> None:
    assert parse_set_cookie(f"a=b; {attribute}", URL, 0) == parse_set_cookie("a=b", URL, 0)


@pytest.mark.parametrize(
    "fields, url, sent",
    [
        ({}, "https://example/", True),
        ({}, "https://shop.example/", True),
        ({}, "https://notexample/", False),
        ({"domain": "shop.example"}, "https://example/", False),
        ({"path": "/auth"}, "https://example/auth", True),
        ({"path": "/auth"}, "https://example/auth/x", True),
        ({"path": "/auth"}, "https://example/authors", False),
        ({"path": "/auth/"}, "https://example/auth", False),
        ({"path": "/auth/"}, "https://example/auth/x", True),
        ({"secure": True}, "https://example/", True),
        ({"secure": True}, "wss://example/", True),
        ({"secure": True}, "http://example/", False),
        ({"secure": True, "domain": "localhost"}, "http://localhost:8787/", True),
        ({"secure": True, "domain": "127.0.0.1"}, "http://127.0.0.1/", True),
        ({"secure": True, "domain": "::1"}, "http://[::1]/", True),
    ],
)
def test_which_requests_carry_a_cookie(fields: dict[str, object], url: str, sent: bool) -> None:
    assert cookie(**fields).matches(httpx.URL(url)) is sent


def test_a_jar_replaces_keeps_apart_and_purges() -> None:
    jar = CookieJar()
    jar.set(cookie(value="old"), 0)
    jar.set(cookie(value="new"), 0)
    jar.set(cookie(value="deep", path="/a"), 0)
    jar.set(cookie(name="brief", expires_ms=100), 0)
    assert [c.value for c in jar.all(99)] == ["new", "deep", "v"]
    assert header_of(jar.for_url("https://example/a/b", 99)) == "n=deep; n=new; brief=v"
    assert [c.name for c in jar.all(100)] == ["n", "n"]
    jar.set(cookie(expires_ms=0), 100)
    assert [c.path for c in jar.all(100)] == ["/a"]
    jar.remove("n", "other")
    jar.remove("n", "example", "/")
    assert len(jar.all(100)) == 1
    jar.remove("n")
    assert jar.all(100) == []


def test_an_answer_may_set_several() -> None:
    jar = CookieJar()
    jar.store(URL, httpx.Headers([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/x"), ("X", "c=3")]), 0)
    assert [(c.name, c.value) for c in jar.all(0)] == [("a", "1"), ("b", "2")]


@given(st.text())
def test_no_header_breaks_the_parser(header: str) -> None:
    found = parse_set_cookie(header, URL, 0)
    assert found is None or found.name

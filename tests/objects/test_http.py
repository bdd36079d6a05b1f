"""Requests and responses of `fetch` handlers."""

from __future__ import annotations

import pytest

from lumenize_sim.clone import RangeError
from lumenize_sim.objects.http import Headers, Request, Response
from lumenize_sim.objects.websocket import WebSocketPair


def test_header_names_are_case_insensitive_and_sorted() -> None:
    headers = Headers({"X-B": " 2 ", "a": "1"})
    headers["X-C"] = " 3"
    assert headers["x-b"] == "2"
    assert "X-b" in headers
    assert 5 not in headers
    assert list(headers) == ["a", "x-b", "x-c"]
    assert len(headers) == 3
    assert headers == {"a": "1", "x-b": "2", "x-c": "3"}
    del headers["A"]
    assert headers.get("a") is None
    assert repr(headers) == "Headers({'x-b': '2', 'x-c': '3'})"


def test_a_field_given_twice_is_joined() -> None:
    assert Headers([("Accept", "a"), ("accept", "b")])["ACCEPT"] == "a, b"


def test_a_request_has_its_own_headers() -> None:
    headers = Headers({"Upgrade": "WebSocket"})
    request = Request("get", "https://x/y", headers)
    del headers["upgrade"]
    assert request.method == "GET"
    assert request.is_web_socket_upgrade
    assert not Request("GET", "https://x/y").is_web_socket_upgrade
    assert request.body is None
    assert request.text() == ""


def test_bodies_are_bytes_and_read_as_text_or_json() -> None:
    assert Request("POST", "https://x", body='{"é": 1}').json() == {"é": 1}
    body = bytearray(b"abc")
    response = Response(body=body)
    body[0] = 0
    assert response.body == b"abc"
    assert (response.text(), response.status, response.ok) == ("abc", 200, True)
    assert not Response(404, "no").ok


def test_a_web_socket_needs_status_101() -> None:
    """WS-1."""
    client = WebSocketPair()[0]
    assert Response(101, web_socket=client).web_socket is client
    with pytest.raises(RangeError, match="must have status code 101"):
        Response(web_socket=client)
    for status in (101, 199, 600):
        with pytest.raises(RangeError, match="range"):
            Response(status)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_body_has_none(status: int) -> None:
    with pytest.raises(TypeError, match="null body status"):
        Response(status, "x")
    assert Response(status).body is None

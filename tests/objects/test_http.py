"""Requests and responses of `fetch` handlers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lumenize_sim.clone import RangeError
from lumenize_sim.objects.http import Headers, Request, Response, crossing
from lumenize_sim.objects.websocket import WebSocketPair


def test_header_names_are_case_insensitive_and_repeated_fields_stay_apart() -> None:
    headers = Headers([("X-B", "2"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2, c")])
    assert headers["x-b"] == "2"
    assert "X-b" in headers
    assert headers.get_list("Set-Cookie") == ["a=1", "b=2, c"]
    assert headers.get("a") is None


def test_requests_and_responses_are_those_of_the_library() -> None:
    """What takes httpx's takes ours; nothing is added to the fields that were given."""
    request = Request("PUT", "https://x/y?z=%41", {"A": " 1\t"}, "b")
    response = Response(302, headers={"Location": "/"})
    assert isinstance(request, httpx.Request)
    assert isinstance(response, httpx.Response)
    assert (request.url.raw_path, request.content, list(request.headers.items())) == (b"/y?z=%41", b"b", [("a", "1")])
    assert (response.status_code, response.has_redirect_location) == (302, True)


def test_a_copy_is_independent_and_the_librarys_own_become_ours() -> None:
    """RPC-6: what has been sent does not change with its sender's."""
    sent = Request("POST", "https://x", {"A": "1"}, "b")
    copy = Request.of(sent, method="put")
    sent.headers["A"] = "2"
    assert (copy.method, copy.headers["a"], copy.body, str(copy.url)) == ("PUT", "1", b"b", "https://x")
    theirs = Request.of(httpx.Request("POST", "https://x", json=[1]))
    assert (theirs.json(), theirs.headers["content-type"]) == ([1], "application/json")
    answer = crossing(httpx.Response(201, text="é"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.text, answer.body) == (201, "é", "é".encode())
    socket = WebSocketPair()[0]
    assert Response.of(Response(101, web_socket=socket)).web_socket is socket
    assert crossing("no message") is None
    assert Request.of("https://x", body=b"").body == b""


def test_a_request_has_its_own_headers() -> None:
    headers = Headers({"Upgrade": "WebSocket"})
    request = Request("get", "https://x/y", headers)
    del headers["upgrade"]
    assert request.method == "GET"
    assert request.is_web_socket_upgrade
    assert not Request("GET", "https://x/y").is_web_socket_upgrade
    assert request.body is None
    assert request.text == ""


def test_bodies_are_bytes_and_read_as_text_or_json() -> None:
    assert Request("POST", "https://x", body='{"é": 1}').json() == {"é": 1}
    body = bytearray(b"abc")
    response = Response(body=body)
    body[0] = 0
    assert response.body == b"abc"
    assert (response.text, response.status, response.ok) == ("abc", 200, True)
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


@pytest.mark.parametrize("value", ["ok", b"ok", None, {"status": 200}])
def test_a_copy_of_what_is_no_response_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(value).__name__}; write Response"):
        Response.of(value)

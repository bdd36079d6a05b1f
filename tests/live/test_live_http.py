"""Plain HTTP on a real server: the entry, the login service, objects; and peers that talk nonsense."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url

from lumenize_sim import LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, WebSocketPair, WorkerEntrypoint, mesh
from lumenize_sim.auth import (
    AuthEmailSender,
    KeyPair,
    LumenizeAuth,
    Mailbox,
    RateLimiter,
    login_with_magic_link,
    parse_jwt_unsafe,
)
from lumenize_sim.live import LiveServer, connect_client, serve_app
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing import route_do_request

pytestmark = [pytest.mark.live, pytest.mark.trio]


class Note(LumenizeDO):
    """Keeps a text."""

    def on_request(self, request: Request) -> Response:
        if request.method == "PUT":
            self.ctx.storage.kv.put("text", request.text)
            return Response(204)
        if request.url.path.endswith("/broken"):
            raise ValueError("broken on purpose")
        return Response(200, self.ctx.storage.kv.get("text", ""), {"X-Method": request.method})

    @mesh
    def text(self) -> str:
        kept: str = self.ctx.storage.kv.get("text", "")
        return kept


class Tab(LumenizeClient):
    """A page."""

    async def read(self) -> Any:
        return await self.lmz.call_raw("NOTE", "n1", self.ctn(Note).text())


AUTH: dict[str, type] = {"LUMENIZE_AUTH": LumenizeAuth, "AUTH_EMAIL_SENDER": AuthEmailSender, "EMAIL": Mailbox}
APP = Mesh(
    bindings={"NOTE": Note, **AUTH},
    vars={
        "LUMENIZE_AUTH_REDIRECT": "/gateway/note/home",
        "LUMENIZE_AUTH_TEST_MODE": "true",
        **KeyPair.from_seed("live").vars(),
    },
)


class Visitor:
    """A browser: cookies, no redirects."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> httpx.Response:
        response = await self.http.request(method, url, headers=headers, content=body)
        for cookie in response.headers.get_list("set-cookie"):
            assert "Secure" in cookie, "a browser would not send it over plain HTTP to any other host"
            self.http.headers["Cookie"] = cookie.partition(";")[0]
        return response


async def test_somebody_logs_in_and_connects() -> None:
    """AU-6 to AU-13, AU-39, RT-15, CL-22: over real sockets, with the app's own keys."""
    async with serve_app(APP, port=0) as server, httpx.AsyncClient() as http:
        login = await login_with_magic_link(
            Visitor(http), "ann@example.com", base_url=server.url, subject_data={"adminApproved": True}
        )
        bearer = {"Authorization": f"Bearer {login.access_token}"}
        url = f"{server.url}/gateway/note/n1"
        assert (await http.put(url, headers=bearer, content="héllo")).status_code == 204
        read = await http.get(url, headers=bearer)
        assert (read.status_code, read.text, read.headers["x-method"]) == (200, "héllo", "GET")
        refused = await http.get(url)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_request")
        assert refused.headers["www-authenticate"].startswith('Bearer realm="Lumenize"')

        async def refresh() -> Any:
            return (await http.post(f"{server.url}/auth/refresh-token")).json()

        async with connect_client(Tab, url=server.url, access_token=login.access_token) as tab:
            assert re.fullmatch(rf"{login.sub}\.[0-9a-f]{{8}}", tab.lmz.instance_name or "")
            assert await tab.read() == "héllo"
        async with connect_client(Tab, url=server.url, refresh=refresh) as tab:
            assert tab.claims is not None
            assert tab.claims["sub"] == login.sub
        minted = server.mint("bob")
        async with connect_client(Tab, url=server.url, access_token=minted, instance_name="bob.t1") as tab:
            assert await tab.read() == "héllo"


async def test_tokens_of_another_key_do_not_open_the_door() -> None:
    """AU-2, AU-31: neither for HTTP nor for a web socket."""
    other = Mesh(bindings={"NOTE": Note}, vars=KeyPair.from_seed("other").vars())
    async with serve_app(other, port=0) as server, serve_app(APP, port=0) as strange, httpx.AsyncClient() as http:
        token = strange.mint("eve")
        refused = await http.get(f"{server.url}/gateway/note/n1", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
        lost = trio.Event()
        async with connect_client(
            Tab, url=server.url, access_token=token, instance_name="eve.t1", wait=False,
            on_connection_error=lambda _: lost.set(), refresh=lambda: {"access_token": token},
        ) as tab:  # fmt: skip
            with trio.fail_after(5):
                await lost.wait()
            assert tab.connection_state != "connected"


# -- an entry of the app's own


class Edge(LumenizeWorker):
    """Answers by itself, and lets one kind of object be reached."""

    async def fetch(self, request: Request) -> httpx.Response:
        if request.url.path == "/health":
            return httpx.Response(200, json={"ok": True})
        if request.url.path == "/fail":
            raise ValueError("on purpose")
        response = await route_do_request(request, self.env, prefix="api", cors=True)
        return Response(404, "nothing here") if response is None else response


OWN = Mesh(bindings={"NOTE": Note}, main=Edge)


async def test_an_app_can_have_an_entry_of_its_own() -> None:
    """RT-15: its main Worker answers everything; what it raises is a 500, and the server lives on."""
    async with serve_app(OWN, port=0) as server, httpx.AsyncClient() as http:
        assert (await http.get(f"{server.url}/health")).json() == {"ok": True}
        assert (await http.get(f"{server.url}/gateway/note/n1")).text == "nothing here"
        origin = {"Origin": "https://page.example"}
        await http.put(f"{server.url}/api/note/n1", content="kept", headers=origin)
        answer = await http.get(f"{server.url}/api/note/n1", headers=origin)
        assert (answer.text, answer.headers["access-control-allow-origin"]) == ("kept", "https://page.example")
        for path in ("/fail", "/api/note/n1/broken"):
            failed = await http.get(f"{server.url}{path}")
            assert (failed.status_code, failed.text) == (500, "Internal Server Error")
        head = await http.head(f"{server.url}/api/note/n1")
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "4", b"")
        big = "x" * 300_000
        await http.put(f"{server.url}/api/note/big", content=big)
        assert (await http.get(f"{server.url}/api/note/big")).text == big


# -- the protocol


async def said(server: LiveServer, *sent: bytes, answers: int = 1) -> bytes:
    """What comes back for raw bytes."""
    port = int(server.url.rpartition(":")[2])
    heard = b""
    with trio.fail_after(5):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            for data in sent:
                await stream.send_all(data)
            while heard.count(b"HTTP/1.1 ") < answers or not heard.split(b"HTTP/1.1 ")[-1]:
                data = await stream.receive_some(65536)
                if not data:
                    break
                heard += data
    return heard


@pytest.mark.parametrize(
    "sent, status",
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET http://[::bad/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET http://elsewhere/health HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /health HTTP/1.0\r\n\r\n", 200),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
    ],
)
async def test_nonsense_is_told_so(sent: bytes, status: int) -> None:
    """A clear answer, never a hanging connection, and the next one is served."""
    async with serve_app(OWN, port=0) as server, httpx.AsyncClient() as http:
        assert (await said(server, sent)).startswith(b"HTTP/1.1 %d " % status)
        assert (await http.get(f"{server.url}/health")).status_code == 200


async def test_requests_follow_each_other_on_one_connection() -> None:
    """Also where they were sent at once; and a body may be announced first."""
    ask = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serve_app(OWN, port=0) as server:
        assert (await said(server, ask + ask, answers=2)).count(b'{"ok":true}') == 2
        put = b"PUT /api/note/n1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        assert b"204 No Content" in await said(server, put + b"Connection: close\r\n\r\nabc")
        stream = await trio.open_tcp_stream("127.0.0.1", int(server.url.rpartition(":")[2]))
        async with stream:
            await stream.send_all(put + b"Expect: 100-continue\r\n\r\n")
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 100 ")
            await stream.send_all(b"abc")
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 204 No Content\r\n")


async def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """413 before it is all read."""
    monkeypatch.setattr("lumenize_sim.live.http.MAX_BODY_BYTES", 1000)
    async with serve_app(OWN, port=0) as server:
        sent = b"PUT /api/note/n1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
        assert (await said(server, sent)).startswith(b"HTTP/1.1 413 ")


async def test_a_silent_peer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request does not stay for ever."""
    monkeypatch.setattr("lumenize_sim.live.server.HANDSHAKE_TIMEOUT_S", 0.05)
    async with serve_app(OWN, port=0) as server:
        assert await said(server) == b""
        assert await said(server, b"GET / HTTP/1.1\r\nHos") == b""


# -- upgrades that a Worker decides about


class Gate(WorkerEntrypoint):
    """Lets in whoever knows the word."""

    async def fetch(self, request: Request) -> httpx.Response:
        if request.url.path == "/mine":
            pair = WebSocketPair()
            pair[1].accept()
            return Response(101, web_socket=pair[0])
        response = await route_do_request(request, self.env, prefix="gateway", on_before_connect=self.let_in)
        return response if response is not None else Response(404)

    def let_in(self, request: httpx.Request, context: Any) -> Any:
        offered: str = request.headers.get("Sec-WebSocket-Protocol", "")
        token = offered.partition("lmz.access-token.")[2]
        parsed = parse_jwt_unsafe(token)
        if parsed is None or parsed[1].get("word") != "please":
            return Response(403, "say the word")
        copy = Request.of(request)
        copy.headers["Authorization"] = f"Bearer {token}"
        return copy


async def test_an_entry_of_its_own_decides_about_web_sockets() -> None:
    """RT-15, RT-9: also what it refuses; calls and closes pass as through any other door."""
    app = Mesh(bindings={"NOTE": Note}, main=Gate)
    async with serve_app(app, port=0) as server, AsyncExitStack() as stack:
        polite, rude = server.mint("ann", claims={"word": "please"}), server.mint("bob")
        with trio.fail_after(20):
            tab = await stack.enter_async_context(
                connect_client(Tab, url=server.url, access_token=polite, instance_name="ann.t1")
            )
            assert await tab.read() == ""
            assert server.clients == ["ann.t1"]
            assert server.disconnect("ann.t1") == 1
        for path, token, status, text in [
            ("/gateway/LUMENIZE_CLIENT_GATEWAY/bob.t1", rude, 403, "say the word"),
            ("/mine", polite, 500, "Internal Server Error"),
            ("/nowhere", polite, 404, ""),
        ]:
            refused = await refusal(server, path, token)
            assert (refused.status_code, refused.text) == (status, text)


async def refusal(server: LiveServer, path: str, token: str) -> httpx.Response:
    """The answer to an upgrade that is refused."""
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": f"lmz, lmz.access-token.{token}",
    }
    async with httpx.AsyncClient() as http:
        return await http.get(server.url + path, headers=fields)


class Few(RateLimiter):
    """One in a minute."""

    limit_per_period = 1


async def test_upgrades_are_limited_as_requests_are() -> None:
    """AU-33."""
    bindings: dict[str, type] = {"NOTE": Note, "LUMENIZE_AUTH_RATE_LIMITER": Few}
    async with serve_app(Mesh(bindings=bindings, vars=KeyPair.from_seed("live").vars()), port=0) as server:
        url, token = f"ws{server.url[4:]}/gateway/LUMENIZE_CLIENT_GATEWAY/ann.t1", server.mint("ann")
        offered = ["lmz", f"lmz.access-token.{token}"]
        async with open_websocket_url(url, subprotocols=offered) as socket:
            assert json.loads(await socket.get_message())["type"] == "connection_status"
        assert (await refusal(server, "/gateway/LUMENIZE_CLIENT_GATEWAY/ann.t1", token)).status_code == 429

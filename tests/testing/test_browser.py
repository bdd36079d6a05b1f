"""A simulated browser: tabs, origins, cookies, channels, sockets (TS-4 to TS-10, CL-46 to CL-49)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lumenize_sim import (
    RESULT,
    DurableObject,
    Faults,
    LumenizeClient,
    LumenizeDO,
    Mesh,
    UsageError,
    World,
    explore,
    mesh,
    replay,
    scenario,
    simulate,
)
from lumenize_sim.objects import Request, Response, WebSocketPair
from lumenize_sim.testing import Browser
from lumenize_sim.testing.origins import Preflight
from lumenize_sim.testing.tab_stores import InvalidStateError

APP = "https://app.example"
API = "https://api.example"
OPEN = {"Access-Control-Allow-Origin": "*"}


class Echo(DurableObject):
    """Echoes over a web socket."""

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(101, web_socket=client)

    def web_socket_message(self, ws: Any, message: str) -> None:
        ws.send(message)


class Note(LumenizeDO):
    """Keeps lines."""

    @mesh
    def add(self, line: str) -> int:
        lines = [*self.ctx.storage.kv.get("lines", []), line]
        self.ctx.storage.kv.put("lines", lines)
        return len(lines)


class Tab(LumenizeClient):
    """A page of the mesh."""

    told: Any = None

    def add(self, line: str) -> None:
        self.lmz.call("NOTE", "n", self.ctn(Note).add(line), self.ctn().hear(RESULT))

    def hear(self, answer: Any) -> None:
        self.told = answer


def passes(drive: Callable[[World], Any]) -> Any:
    run = simulate(scenario(Mesh(bindings={"ECHO": Echo, "NOTE": Note}))(drive))
    assert run.failure is None, run.outcome.message
    return run


# ------------------------------------------------------------------------------------------- cookies


def test_cookies_are_kept_and_sent_and_shared_by_tabs_but_not_by_browsers() -> None:
    """TS-4."""

    async def drive(world: World) -> None:
        server = world.server(API, lambda r: Response(200, r.headers.get("cookie", ""), {**OPEN, "Set-Cookie": "a=1"}))
        one, other = Browser(world, "one"), Browser(world, "other")
        assert (await one.fetch(API)).text == ""
        assert (await one.fetch(API)).text == "a=1"
        assert (await one.context(APP).fetch(API)).text == "a=1"
        assert (await one.context(APP).fetch(API, credentials="omit")).text == ""
        assert (await other.fetch(API)).text == ""
        assert one.get_cookies_for_request(f"{API}/x") == "a=1"
        assert [seen.by for seen in server.requests] == ["one", "one", "one", "one", "other"]

    passes(drive)


def test_cookies_by_hand() -> None:
    """TS-5."""

    async def drive(world: World) -> None:
        browser = Browser(world)
        with pytest.raises(UsageError, match="Cannot set cookie 'a' without domain"):
            browser.set_cookie("a", "1")
        browser.set_cookie("a", "1", domain="one.example")
        browser.set_cookie("a", "2", domain="two.example", path="/x", secure=True)
        assert (browser.get_cookie("a"), browser.get_cookie("a", "two.example")) == ("1", "2")
        assert browser.get_all_cookies_as_dict() == {"a": "2"}
        browser.set_cookie("old", "1", domain="one.example", expires_ms=world.host.now_ms())
        assert [c.name for c in browser.get_all_cookies()] == ["a", "a"]
        browser.remove_cookie("a", "one.example")
        assert [c.path for c in browser.get_all_cookies()] == ["/x"]
        world.server(API, lambda r: "ok")
        await browser.fetch(API)
        browser.set_cookie("b", "3")
        assert browser.get_cookie("b", "api.example") == "3"

    passes(drive)


def test_redirects_are_followed_and_their_cookies_kept() -> None:
    """TS-4: POST becomes GET, except for 307 and 308."""

    def answer(request: Request) -> Response:
        path = request.url.path
        if path.startswith("/to"):
            return Response(int(path[3:6]), headers={"Location": f"/end{path[6:]}", "Set-Cookie": f"c{path[3:6]}=1"})
        if path == "/loop":
            return Response(302, headers={"Location": "/loop"})
        return Response(200, f"{request.method} {path} {request.text} {request.headers.get('cookie', '')}".strip())

    async def drive(world: World) -> None:
        world.server(API, answer)
        browser = Browser(world)
        texts = [
            (await browser.fetch(f"{API}/to{status}/x", method="POST", body="b")).text
            for status in (301, 302, 303, 307, 308)
        ]
        assert [text.split(" c")[0].strip() for text in texts] == [
            "GET /end/x", "GET /end/x", "GET /end/x", "POST /end/x b", "POST /end/x b",
        ]  # fmt: skip
        assert list(browser.get_all_cookies_as_dict()) == ["c301", "c302", "c303", "c307", "c308"]
        with pytest.raises(TypeError, match="more than 20 redirects"):
            await browser.fetch(f"{API}/loop")
        assert (await browser.fetch(f"{API}/loop", redirect="manual")).status == 302
        with pytest.raises(TypeError, match="redirected to /loop"):
            await browser.fetch(f"{API}/loop", redirect="error")
        with pytest.raises(UsageError, match="redirect 'maybe'"):
            browser.fetch(API, redirect="maybe")  # type: ignore[arg-type]  # the mistake under test

    passes(drive)


# ------------------------------------------------------------------------------------------- origins


def test_a_page_may_ask_its_own_origin_anything() -> None:
    """TS-6."""

    async def drive(world: World) -> None:
        server = world.server(APP, lambda r: r.headers.get("origin", "none"))
        browser = Browser(world)
        page = browser.context(APP, headers={"X-Own": "1"})
        assert (await page.fetch("/data", method="PUT", headers={"X": "y"})).text == APP
        assert page.last_preflight is None
        assert server.requests[0].request.headers["x-own"] == "1"
        assert (await browser.fetch(APP)).text == "none"

    passes(drive)


@pytest.mark.parametrize(
    "headers, credentials, error",
    [
        (OPEN, "same-origin", None),
        ({"Access-Control-Allow-Origin": APP}, "same-origin", None),
        ({}, "same-origin", "No 'Access-Control-Allow-Origin' header present"),
        (
            {"Access-Control-Allow-Origin": "https://other.example"}, "same-origin",
            "header is 'https://other.example' but the request origin is 'https://app.example'",
        ),
        (OPEN, "include", r"Cannot use wildcard '\*' .* when credentials are included"),
        (
            {"Access-Control-Allow-Origin": APP}, "include",
            "'Access-Control-Allow-Credentials' header is not 'true'",
        ),
        ({"Access-Control-Allow-Origin": APP, "Access-Control-Allow-Credentials": "true"}, "include", None),
    ],
)  # fmt: skip
def test_what_a_page_may_read_of_another_origin(headers: Any, credentials: Any, error: str | None) -> None:
    """TS-6: no preflight for a simple request; the server has seen it either way."""

    async def drive(world: World) -> None:
        server = world.server(API, lambda r: Response(200, "ok", headers))
        page = Browser(world).context(APP)
        if error is None:
            assert (await page.fetch(API, credentials=credentials)).ok
        else:
            with pytest.raises(TypeError, match=f"^Failed to fetch: CORS error - .*{error}"):
                await page.fetch(API, credentials=credentials)
        assert len(server.requests) == 1

    passes(drive)


@pytest.mark.parametrize(
    "options, asked",
    [
        ({}, None),
        ({"method": "POST", "body": "x", "headers": {"Content-Type": "text/plain; charset=utf-8"}}, None),
        ({"method": "POST", "headers": {"Content-Type": "application/json"}}, ["content-type"]),
        ({"method": "PUT"}, []),
        ({"headers": {"X-B": "1", "X-A": "2", "Accept": "text/html"}}, ["x-a", "x-b"]),
        ({"headers": {"Authorization": "Bearer t"}}, ["authorization"]),
    ],
)
def test_which_requests_are_asked_for_first(options: dict[str, Any], asked: list[str] | None) -> None:
    """TS-6."""

    def answer(request: Request) -> Response:
        names = request.headers.get("access-control-request-headers", "")
        method = request.headers.get("access-control-request-method", "")
        return Response(
            200, None,
            {**OPEN, "Access-Control-Allow-Headers": names.upper(), "Access-Control-Allow-Methods": f"PATCH, {method}"},
        )  # fmt: skip

    async def drive(world: World) -> None:
        server = world.server(API, answer)
        page = Browser(world).context(APP)
        await page.fetch(f"{API}/x", **options)
        method = options.get("method", "GET")
        assert [seen.request.method for seen in server.requests] == (["OPTIONS"] if asked is not None else []) + [
            method
        ]
        expected = None
        if asked is not None:
            expected = Preflight(url=f"{API}/x", method=method, headers=asked, success=True)
        assert page.last_preflight == expected

    passes(drive)


@pytest.mark.parametrize(
    "answer, error",
    [
        (Response(204), "No 'Access-Control-Allow-Origin'"),
        (Response(403, "no", OPEN), "status 403"),
        (Response(204, headers=OPEN), "Method PUT is not allowed"),
        (Response(204, headers={**OPEN, "Access-Control-Allow-Methods": "PUT"}), "Header 'x-a' is not allowed"),
    ],
)
def test_a_preflight_that_does_not_allow_it_stops_the_request(answer: Response, error: str) -> None:
    """TS-6."""

    async def drive(world: World) -> None:
        server = world.server(API, lambda r: answer)
        page = Browser(world).context(APP)
        with pytest.raises(TypeError, match=f"CORS error - .*{error}"):
            await page.fetch(API, method="PUT", headers={"X-A": "1"})
        assert len(server.requests) == 1
        assert page.last_preflight is not None
        assert not page.last_preflight.success

    passes(drive)


def test_a_page_that_says_where_it_is_from_is_taken_at_its_word() -> None:
    """TS-6."""

    async def drive(world: World) -> None:
        server = world.server(API, lambda r: Response(200, "ok", {"Access-Control-Allow-Origin": "https://x.example"}))
        await Browser(world).context(APP).fetch(API, headers={"Origin": "https://x.example"})
        assert server.requests[0].request.headers["origin"] == "https://x.example"
        with pytest.raises(UsageError, match="is no origin"):
            Browser(world, "b2").context("app.example")

    passes(drive)


# ------------------------------------------------------------------------------------------- tabs


def test_session_storage_is_each_tabs_own() -> None:
    """TS-6, TS-7."""

    async def drive(world: World) -> None:
        browser = Browser(world)
        one, two = browser.context(APP), browser.context(APP)
        one.session_storage.set_item("k", 1)
        assert (one.session_storage.get_item("k"), two.session_storage.get_item("k")) == ("1", None)
        copy = browser.duplicate_context(one)
        copy.session_storage.set_item("k", "2")
        assert (one.session_storage.get_item("k"), copy.session_storage.get_item("k")) == ("1", "2")
        one.reload()
        assert one.session_storage.get_item("k") == "1"
        one.close()
        assert (len(one.session_storage), one.session_storage.key(0), copy.session_storage.key(0)) == (0, None, "k")
        copy.session_storage.remove_item("k")
        copy.session_storage.remove_item("k")
        assert copy.session_storage.get_item("k") is None

    passes(drive)


def test_channels_join_the_tabs_of_one_origin_in_one_browser() -> None:
    """TS-8: not the sender, not at once, not after a close."""

    async def drive(world: World) -> None:
        browser, heard = Browser(world), []
        pages = [browser.context(APP), browser.context(APP), browser.context(API), Browser(world, "b2").context(APP)]
        ends = [page.broadcast_channel("c") for page in pages] + [pages[1].broadcast_channel("d")]
        for nth, end in enumerate(ends):
            end.on_message = lambda data, nth=nth: heard.append((nth, data))
        message = {"a": [1]}
        ends[0].post_message(message)
        message["a"].append(2)
        assert heard == []
        await world.settle()
        assert heard == [(1, {"a": [1]})]
        ends[0].post_message("lost")
        ends[1].close()
        ends[1].close()
        await world.settle()
        assert len(heard) == 1
        with pytest.raises(InvalidStateError, match="is closed"):
            ends[1].post_message("x")
        pages[0].close_channels()
        with pytest.raises(InvalidStateError):
            ends[0].post_message("x")

    passes(drive)


# ------------------------------------------------------------------------------------------- sockets


def test_a_socket_of_a_page_queues_counts_and_says_its_origin() -> None:
    """TS-6, TS-9, TS-10."""
    seen: list[Any] = []

    def answer(request: Request) -> Response:
        seen.append(
            {name: request.headers.get(name) for name in ("origin", "cookie", "x-own", "sec-websocket-protocol")}
        )
        client, server = WebSocketPair()
        server.on_message = lambda event: server.send(f"echo {event.data}")
        server.accept()
        return Response(101, web_socket=client)

    async def drive(world: World) -> None:
        world.server(API, answer)
        browser = Browser(world)
        browser.set_cookie("a", "1", domain="api.example", secure=True)
        ws = browser.context(APP, headers={"X-Own": "1"}).web_socket("wss://api.example/ws", ["p", "q"])
        assert ws.ready_state == 0
        ws.send("early")
        await ws.opened()
        ws.send("late")
        assert [await ws.receive(), await ws.receive()] == ["echo early", "echo late"]
        assert seen == [{"origin": APP, "cookie": "a=1", "x-own": "1", "sec-websocket-protocol": "p, q"}]
        metrics = browser.metrics
        assert (metrics.ws_upgrade_requests, metrics.ws_sent_messages, metrics.ws_received_messages) == (1, 2, 2)
        assert (metrics.ws_sent_payload_bytes, metrics.ws_received_payload_bytes) == (9, 19)
        ws.close(1000, "bye")
        with pytest.raises(InvalidStateError):
            ws.send("x")
        assert await ws.closed() == (1000, "bye", True)

    passes(drive)


def test_a_socket_that_is_refused_or_given_up() -> None:
    """TS-9: an error and 1011; at once where it was closed before it opened; a bound on what waits."""

    async def drive(world: World) -> None:
        world.server(API, lambda r: Response(403, "no"))
        page = Browser(world).context(APP, max_queue_bytes=3)
        heard: list[Any] = []
        for url in ("wss://api.example/", "wss://nobody.example/"):
            ws = page.web_socket(url)
            ws.on_error = lambda error: heard.append(str(error))
            assert (await ws.closed())[0] == 1011
        assert heard == ["the upgrade was answered with status 403", "the upgrade was answered with status 502"]
        ws = page.web_socket("wss://api.example/")
        ws.send("abc")
        with pytest.raises(UsageError, match="max_queue_bytes is 3"):
            ws.send("d")
        ws.close()
        assert ws.ready_state == 3

    passes(drive)


def test_leaving_a_page_closes_its_sockets_and_stops_its_code() -> None:
    """A reload, or a tab that is closed: the server hears 1001."""

    async def drive(world: World) -> None:
        closes: list[Any] = []

        def answer(request: Request) -> Response:
            client, server = WebSocketPair()
            server.on_close = lambda event: closes.append(event.code)
            server.on_message = lambda event: server.send(event.data)
            server.accept()
            return Response(101, web_socket=client)

        world.server(API, answer)
        page = Browser(world).context(APP)
        for leave in (page.reload, page.close):
            ws = page.web_socket("wss://api.example/")
            await ws.opened()
            ws.send("x")
            leave()
            await world.settle()
            assert ws.messages == []
        assert closes == [1001, 1001]
        page.close()

    passes(drive)


# ------------------------------------------------------------------------------------------- clients


def test_a_client_in_a_tab_keeps_its_id_over_a_reload_and_a_duplicate_gets_one_of_its_own() -> None:
    """CL-46 to CL-48, T-TI 1 to 5, T-BR-3."""

    async def drive(world: World) -> None:
        browser = Browser(world, "alice")
        page = browser.context(APP)
        first = await page.connect(Tab, sub="alice")
        name = first.lmz.instance_name
        assert name == f"alice.{page.session_storage.get_item('lmz_tab')}"
        first.add("one")
        await world.settle()
        assert first.told == 1
        page.reload()
        again = await page.connect(Tab, sub="alice")
        assert again.lmz.instance_name == name
        copies = [browser.duplicate_context(page) for _ in range(2)]
        clients = [await copy.connect(Tab, sub="alice") for copy in copies]
        names = [client.lmz.instance_name for client in (again, *clients)]
        assert len(dict.fromkeys(names)) == 3
        assert names[0] == name
        for client in (again, *clients):
            client.add("more")
        await world.settle()
        assert sorted(client.told for client in (again, *clients)) == [2, 3, 4]
        world.network.disconnect(again)
        await world.settle()
        assert again.connection_state == "connected"
        with pytest.raises(UsageError, match="takes a subclass"):
            await page.connect(Note)  # type: ignore[type-var]  # the mistake under test

    passes(drive)


@pytest.mark.slow
def test_duplicated_tabs_never_share_an_id_in_any_order() -> None:
    """CL-47: channels are within one machine, so a probe is answered in time."""

    async def drive(world: World) -> None:
        browser = Browser(world, "alice")
        page = browser.context(APP)
        clients = [await page.connect(Tab, sub="alice")]
        for _ in range(2):
            clients.append(await browser.duplicate_context(page).connect(Tab, sub="alice", wait=False))
        await world.settle()
        assert len(dict.fromkeys(client.lmz.instance_name for client in clients)) == 3

    report = explore(
        scenario(Mesh(bindings={"NOTE": Note}), faults=Faults(kinds=("disconnect",)))(drive), schedules=100
    )
    assert not report.failures


@pytest.mark.slow
def test_tabs_that_share_cookies_and_channels_replay_from_their_tape() -> None:
    """One tape, one digest: what tabs share is read and written by the browser alone."""

    async def drive(world: World) -> None:
        world.server(
            API, lambda r: Response(200, r.headers.get("cookie", ""), {**OPEN, "Set-Cookie": r.url.query.decode()})
        )
        browser = Browser(world, "alice")
        page = browser.context(APP)
        clients = [await page.connect(Tab, sub="alice")]
        copies = [browser.duplicate_context(page) for _ in range(2)]
        clients += [await copy.connect(Tab, sub="alice", wait=False) for copy in copies]
        for nth, client in enumerate(clients):
            owner = client._owner
            seat = world.seat(owner)
            seat.post(
                f"{seat.name}!ask",
                lambda owner=owner, nth=nth: world.host.fetch(owner, f"{API}/?c{nth}={nth}").when_done(lambda _: None),
            )
        await world.settle()
        copies[0].reload()
        client = await copies[0].connect(Tab, sub="alice")
        client.add("x")
        await world.settle()

    made = scenario(Mesh(bindings={"NOTE": Note}), faults=Faults(kinds=("disconnect", "bad-fetch")))(drive)
    for seed in range(40):
        run = simulate(made, seed=seed)
        assert not run.outcome.failed, run.outcome.message
        assert replay(run.tape, scenario=made).digest == run.digest

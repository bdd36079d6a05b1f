"""The server as a peer sees it: refusals, heartbeats, closes, what it keeps, and how it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, ConnectionRejected, wrap_client_stream

from lumenize_sim.errors import AppError, UsageError
from lumenize_sim.live import LiveServer, connect_client, serve_app
from lumenize_sim.live.loop import running_loop
from lumenize_sim.mesh import LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, mesh
from lumenize_sim.mesh.tokens import decode_payload, mint_hs256
from lumenize_sim.objects.context import DurableObject
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.websocket import WebSocket, WebSocketPair

pytestmark = pytest.mark.trio

RECORDING = json.loads((Path(__file__).parent / "data" / "upgrade-refused.json").read_text())


class Memo(LumenizeDO):
    born = 0

    def on_start(self) -> None:
        type(self).born += 1

    @mesh
    def remember(self, text: str) -> None:
        self.ctx.storage.kv.put("text", text)

    @mesh
    def recall(self) -> Any:
        return self.ctx.storage.kv.get("text")

    @mesh
    def remind(self, in_ms: int) -> None:
        self.ctx.storage.set_alarm(self.ctx.host.now_ms() + in_ms)

    def alarm(self, info: Any = None) -> None:
        self.ctx.storage.kv.put("text", "alarm")

    @mesh
    async def ask_later(self) -> str:
        return str(await self.lmz.call_raw("CLERK", None, self.ctn(Clerk).file("x")))

    @mesh
    async def fetched(self, url: str) -> list[Any]:
        response = await self.ctx.host.fetch(self.ctx.owner, url, method="POST", body=b"hello")
        return [response.status, response.text]

    @mesh
    async def ask(self, binding: str, method: str) -> Any:
        return await self.env[binding].call(method)

    @mesh
    def give_up(self) -> None:
        self.ctx.abort("enough")

    @mesh
    async def same_stub_after_reset(self) -> str:
        stub = self.env.OTHER.get_by_name("o")
        try:
            await stub.give_up()
        except Exception as error:
            first = str(error)
        try:
            await stub.recall()
        except Exception as error:
            return f"{first} / {error}"
        return "no error"


FILED: list[str] = []


class Clerk(LumenizeWorker):
    @mesh
    def file(self, text: str) -> str:
        async def later() -> None:
            await trio.sleep(0.01)
            FILED.append(text)
            raise ValueError("too late to tell")

        self.ctx.wait_until(later())
        return "will be filed"

    def plain(self) -> list[int]:
        return [1]

    def unclonable(self) -> Any:
        return lambda: None


class Broken(LumenizeWorker):
    def __init__(self, ctx: Any, env: Any) -> None:
        raise ValueError("cannot be built")


class Echo(DurableObject):
    """A hibernatable socket of one's own, below the mesh."""

    def fetch(self, request: Request) -> Response:
        if request.url.path.endswith("/closed"):
            return Response(418, "closed today")
        if request.url.path.endswith("/bad"):
            raise ValueError("bad day")
        pair = WebSocketPair()
        self.ctx.accept_web_socket(pair[1])
        pair[1].send("hello")
        return Response(101, web_socket=pair[0])

    def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        if message == "close":
            ws.close(4001, "as you wish")
        elif message == "close quietly":
            ws.close()
        elif message == "abort":
            self.ctx.abort("gone")
        else:
            ws.send(message)

    def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        CLOSED.append((code, reason, was_clean))


CLOSED: list[tuple[int, str, bool]] = []
APP = Mesh(
    bindings={"MEMO": Memo, "OTHER": Memo, "CLERK": Clerk, "BROKEN": Broken, "ECHO": Echo}, vars={"GREETING": "hi"}
)


class Tab(LumenizeClient):
    def ask(self, method: str, *args: Any) -> Any:
        return self.lmz.call_raw("MEMO", "m", getattr(self.ctn(), method)(*args))


def tab(server: LiveServer, name: str = "alice", **config: Any) -> Any:
    return connect_client(Tab, url=server.url, access_token=server.mint(name), instance_name=f"{name}.tab1", **config)


def protocols_of(server: LiveServer) -> list[str]:
    return ["lmz", f"lmz.access-token.{server.mint('alice')}"]


@asynccontextmanager
async def socket(server: LiveServer, path: str, protocols: list[str] | None = None) -> AsyncGenerator[Any, None]:
    """A bare web socket; its stream is closed in any case, which trio-websocket leaves to others."""
    port = int(server.url.rpartition(":")[2])
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream, trio.open_nursery() as nursery:
        offered = protocols_of(server) if protocols is None else protocols
        yield await wrap_client_stream(nursery, stream, f"127.0.0.1:{port}", path, subprotocols=offered)
        nursery.cancel_scope.cancel()


async def refusal(server: LiveServer, path: str, protocols: list[str] | None = None) -> Any:
    """How the upgrade is refused."""
    found: BaseException | None = None
    try:
        async with socket(server, path, protocols):
            pytest.fail("accepted")
    except* ConnectionRejected as group:
        found = group
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
    return found


async def until(holds: Callable[[], Any], what: str) -> None:
    with trio.move_on_after(5):
        while not holds():  # noqa: ASYNC110  # what comes over a network sets no event
            await trio.sleep(0.002)
        return
    pytest.fail(f"waited in vain: {what}")


# ------------------------------------------------------------------------------------------------- upgrades


@pytest.mark.parametrize("recorded", RECORDING["refused"], ids=lambda c: c["client"])
async def test_upgrades_are_refused_as_recorded(recorded: dict[str, Any]) -> None:
    """WIRE-1, WIRE-2, GW-10: status, text and headers are those of the original."""
    claims = {"sub": "u1", "exp": 4_000_000_000, "adminApproved": True}
    secret = "k"
    if recorded["client"] == "expired":
        claims["exp"] = 1_000_000_000
    if recorded["client"] == "badSig":
        secret = "another"
    if recorded["client"] == "notApproved":
        claims["adminApproved"] = False
    protocols = [p.replace("TOKEN", mint_hs256(claims, secret)) for p in recorded["protocols"]]
    async with serve_app(APP, port=0, secret="k") as server:
        error = await refusal(server, recorded["path"], protocols)
    expected = recorded["response"]
    headers = {name.decode().lower(): value.decode() for name, value in error.headers}
    assert (error.status_code, error.body.decode()) == (expected["status"], expected["body"])
    assert {name: headers.get(name) for name in expected["headers"]} == expected["headers"]


async def test_the_gateway_is_reached_in_kebab_case_too() -> None:
    """The path names a binding as it is or in kebab case; Workers have no gateway path."""
    async with serve_app(APP, port=0) as server:
        async with socket(server, "/gateway/lumenize-client-gateway/alice.tab1") as ws:
            assert ws.subprotocol == "lmz"
            assert json.loads(await ws.get_message()) == {"type": "connection_status", "subscriptionRequired": True}
        assert (await refusal(server, "/gateway/CLERK/alice.tab1")).status_code == 404


async def test_what_is_no_upgrade_is_refused() -> None:
    """Plain HTTP gets an answer and not a hanging connection; so does a peer who leaves in the middle."""
    async with serve_app(APP, port=0) as server:
        port = int(server.url.rpartition(":")[2])
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 404 Not Found\r\n")
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.aclose()
        async with tab(server) as alice:
            assert alice.connection_state == "connected"


# ------------------------------------------------------------------------------------------------- sockets


async def test_a_heartbeat_is_answered_without_waking_the_gateway() -> None:
    """WS-20, LC-14: the gateway hibernates, keeps its socket, and the platform answers for it."""
    async with serve_app(APP, port=0, hibernate_after_s=0.05) as server:
        gateway = server.machines.named("LUMENIZE_CLIENT_GATEWAY", "alice.tab1")
        async with socket(server, "/gateway/LUMENIZE_CLIENT_GATEWAY/alice.tab1") as ws:
            await ws.get_message()
            await until(lambda: gateway.incarnation is None, "the gateway hibernates")
            await ws.send_message("lmz:ping")
            assert await ws.get_message() == "lmz:pong"
            assert gateway.incarnation is None
            await ws.send_message('{"type":"nonsense"}')
            await until(lambda: gateway.incarnation is not None, "another frame wakes it")
            assert gateway.incarnations == 2


async def test_close_codes_cross_both_ways() -> None:
    """WS-14, WS-28: code and reason, none at all, a connection that is simply gone, and one cut by a reset."""
    CLOSED.clear()
    async with serve_app(APP, port=0) as server:
        async with socket(server, "/gateway/ECHO/e") as ws:
            assert await ws.get_message() == "hello"  # WS-25: sent before the upgrade was answered
            await ws.send_message(b"\x00\xff")
            assert await ws.get_message() == b"\x00\xff"
            await ws.send_message("close")
            with pytest.raises(ConnectionClosed) as closed:
                await ws.get_message()
            assert (closed.value.reason.code, closed.value.reason.reason) == (4001, "as you wish")
        await until(lambda: CLOSED == [(4001, "as you wish", True)], "the echo of the close frame")
        async with socket(server, "/gateway/ECHO/e") as ws:
            await ws.get_message()
            await ws.send_message("close quietly")
            with pytest.raises(ConnectionClosed) as closed:
                await ws.get_message()
            assert closed.value.reason.code == 1005
        async with socket(server, "/gateway/ECHO/e") as ws:
            await ws.get_message()
            await ws.aclose(4002, "bye")
        await until(lambda: CLOSED[-1] == (4002, "bye", True), "the peer's close frame")
        async with socket(server, "/gateway/ECHO/e") as ws:
            await ws.get_message()
            await ws._stream.aclose()
        lost = (1006, "WebSocket disconnected without sending Close frame.", False)
        await until(lambda: CLOSED[-1] == lost, "the loss of a connection")
        told = len(CLOSED)
        async with socket(server, "/gateway/ECHO/e") as ws:
            await ws.get_message()
            await ws.send_message("abort")
            with pytest.raises(ConnectionClosed) as closed:
                await ws.get_message()
            assert closed.value.reason.code == 1006
        await trio.sleep(0.02)
        assert len(CLOSED) == told, "a reset object hears nothing of its old sockets (WS-32)"
        assert server.clients == []


@pytest.mark.parametrize("name, status, text", [("closed", 418, "closed today"), ("bad", 500, "Internal Server Error")])
async def test_an_object_may_refuse_an_upgrade(name: str, status: int, text: str) -> None:
    """Its response reaches the peer; an error is a plain 500."""
    async with serve_app(APP, port=0) as server:
        states: list[Any] = []
        client = connect_client(
            LumenizeClient, url=server.url, access_token=server.mint("alice"), instance_name=name,
            gateway_binding_name="ECHO", wait=False, on_connection_error=lambda error: states.append(str(error)),
        )  # fmt: skip
        async with client as alice:
            await until(lambda: alice.connection_state == "reconnecting", "refused")
            assert states == ["WebSocket error"]
        error = await refusal(server, f"/gateway/ECHO/{name}")
        assert (error.status_code, error.body.decode()) == (status, text)


async def test_a_flood_of_frames_arrives_in_order_and_delays_nobody() -> None:
    """Backpressure per connection; the wire keeps order."""
    async with serve_app(APP, port=0) as server, socket(server, "/gateway/ECHO/e") as ws, tab(server) as alice:
        await ws.get_message()
        numbers = [str(n) for n in range(500)]

        async def flood() -> None:
            for number in numbers:
                await ws.send_message(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            with trio.fail_after(5):
                assert await alice.ask("recall") is None
                assert [await ws.get_message() for _ in numbers] == numbers


# ------------------------------------------------------------------------------------------------- storage and time


async def test_an_idle_object_hibernates_and_remembers(tmp_path: Path) -> None:
    """LC-14: memory goes, storage stays."""
    Memo.born = 0
    async with serve_app(APP, port=0, data=tmp_path, hibernate_after_s=0.03) as server, tab(server) as alice:
        await alice.ask("remember", "milk")
        await until(lambda: server.machines.named("MEMO", "m").incarnation is None, "hibernated")
        assert await alice.ask("recall") == "milk"
        assert Memo.born == 2


async def test_alarms_survive_a_restart(tmp_path: Path) -> None:
    """AL-16: at least once, also when the process was not there at the time."""
    async with serve_app(APP, port=0, data=tmp_path) as server, tab(server) as alice:
        await alice.ask("remind", 60)
        assert await alice.ask("recall") is None
    await trio.sleep(0.08)
    async with serve_app(APP, port=0, data=tmp_path) as server:
        machine = next(m for m in server.machines.by_key.values() if m.name.startswith("MEMO/"))
        await until(lambda: machine.incarnations == 1 and machine.durable.alarm_ms is None, "the alarm ran")
        assert machine.id.name == "m"  # LC-5: kept with the alarm
        async with tab(server) as alice:
            assert await alice.ask("recall") == "alarm"


async def test_an_alarm_waits_for_its_time() -> None:
    """AL-11: not before, in this process."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        began = trio.current_time()
        await alice.ask("remind", 50)
        while await alice.ask("recall") != "alarm":  # noqa: ASYNC110  # as above
            await trio.sleep(0.002)
        assert 0.048 < trio.current_time() - began < 3


# ------------------------------------------------------------------------------------------------- calls


async def test_a_worker_lives_until_what_it_waits_for_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    """RPC-22, RPC-23: after its response too, and a failure there is logged."""
    FILED.clear()
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        assert await alice.ask("ask_later") == "will be filed"
        assert FILED == []
        await until(lambda: FILED == ["x"], "filed")
        await until(lambda: "too late to tell" in caplog.text, "and the failure logged")


async def test_plain_calls_reach_public_methods_and_fail_by_name() -> None:
    """RPC-13, RPC-16, RPC-19: across Workers and objects."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        assert await alice.ask("ask", "CLERK", "plain") == [1]
        with pytest.raises(Exception, match='does not implement the method "missing"'):
            await alice.ask("ask", "CLERK", "missing")
        with pytest.raises(Exception, match="cannot be built"):
            await alice.ask("ask", "BROKEN", "anything")
        with pytest.raises(Exception, match="cannot be copied"):
            await alice.ask("ask", "CLERK", "unclonable")


async def test_a_client_calls_a_worker() -> None:
    """GW-22: without an instance name it is a service binding."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        assert await alice.lmz.call_raw("CLERK", None, alice.ctn(Clerk).file("y")) == "will be filed"
        await until(lambda: "y" in FILED, "filed")


async def test_a_stub_stays_with_the_instance_that_it_reached() -> None:
    """RPC-8: after a reset it is broken for good."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        assert await alice.ask("same_stub_after_reset") == "enough / enough"


class _Upper(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        status, answer = (404, b"no") if self.path == "/missing" else (200, body.upper())
        if self.path == "/auth/refresh-token":
            answer = json.dumps({"access_token": type(self).token}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    token = ""

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def http() -> Any:
    with HTTPServer(("127.0.0.1", 0), _Upper) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_nodes_fetch_over_real_http(http: str) -> None:
    """The gate opens meanwhile; statuses are answers, and no connection is an error."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        assert await alice.ask("fetched", f"{http}/upper") == [200, "HELLO"]
        assert await alice.ask("fetched", f"{http}/missing") == [404, "no"]
        with pytest.raises(Exception, match="missing an 'http://'"):
            await alice.ask("fetched", "file:///etc/hostname")
        with pytest.raises(Exception, match=r"http://127\.0\.0\.1:1"):
            await alice.ask("fetched", "http://127.0.0.1:1/")


async def test_a_client_without_token_fetches_one(http: str) -> None:
    """CL-22: from the refresh URL; its name comes from the token."""
    async with serve_app(APP, port=0) as server:
        _Upper.token = server.mint("carol")
        url = f"{http}/auth/refresh-token"
        async with connect_client(Tab, url=server.url, refresh=url) as carol:
            assert server.clients[0].startswith("carol.")
            assert carol.claims["sub"] == "carol"


# ------------------------------------------------------------------------------------------------- beginnings and ends


async def test_usage_errors_name_the_value(tmp_path: Path) -> None:
    """A port in use, a folder that is a file, a class that is no client."""
    async with serve_app(APP, port=0) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(UsageError, match=f"127.0.0.1 port {port}"):
            async with serve_app(APP, port=port):
                pass
        with pytest.raises(UsageError, match="subclass of LumenizeClient"):
            async with connect_client(Memo, url=server.url):  # type: ignore[type-var]  # the mistake
                pass
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="data folder"):
        async with serve_app(APP, port=0, data=tmp_path / "file"):
            pass


async def test_a_client_that_reaches_nobody_keeps_trying() -> None:
    """Refused connections are reported and retried; the block ends at once all the same."""
    async with connect_client(
        Tab, url="http://127.0.0.1:1", access_token="x.e30.y", instance_name="a.b", wait=False
    ) as tab:
        await until(lambda: tab.connection_state == "reconnecting", "the first attempt failed")
        tab.disconnect()
        tab.connect()
        tab.disconnect()  # while it is dialling
    assert tab.connection_state == "disconnected"


async def test_errors_of_the_block_arrive_as_they_are() -> None:
    """No group is put around the caller's own error."""
    with pytest.raises(ZeroDivisionError):
        async with serve_app(APP, port=0) as server, tab(server):
            raise ZeroDivisionError


async def test_trio_goes_on_as_usual_beside_and_after_the_loop() -> None:
    """Deadlines, threads and events of tasks that are nobody's are Trio's own."""
    async with serve_app(APP, port=0):
        with trio.move_on_after(0.01) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        assert await trio.to_thread.run_sync(lambda: 7) == 7
        await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(0.01) as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_who_brought_the_loop_waits_for_the_others() -> None:
    """Two blocks in two tasks share one loop, whichever ends first."""
    seen: list[str] = []

    async def first(leave: trio.Event, task_status: Any) -> None:
        async with running_loop() as loop:
            task_status.started(loop)
            await leave.wait()
        seen.append("first ended")

    async with trio.open_nursery() as nursery:
        leave = trio.Event()
        loop = await nursery.start(lambda task_status: first(leave, task_status))
        async with running_loop() as shared:
            assert shared is loop
            leave.set()
            await trio.testing.wait_all_tasks_blocked()
            assert seen == []
    assert seen == ["first ended"]
    with pytest.raises(AppError, match="host was gone"):
        loop.start(loop._nobody, trio.sleep, (0,))


async def test_what_a_client_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As a browser does: the page lives on."""

    class Clumsy(Tab):
        def on_connection_state_change(self, state: str) -> None:
            if state == "connected":
                raise ValueError("clumsy handler")

        async def stumble(self) -> None:
            await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
            raise ValueError("clumsy task")

    async with serve_app(APP, port=0) as server:
        token = server.mint("alice")
        async with connect_client(Clumsy, url=server.url, access_token=token, instance_name="alice.tab1") as alice:
            alice._host.spawn(alice._owner, alice.stumble)
            alice._host.set_timer(alice._owner, 0.0, lambda: 1 / 0)
            await until(lambda: "clumsy task" in caplog.text and "ZeroDivisionError" in caplog.text, "all are logged")
            assert await alice.ask("recall") is None
    assert "clumsy handler" in caplog.text


async def test_ctrl_c_in_node_code_ends_the_loop() -> None:
    """It is for the person at the keyboard, not for the app."""

    class Pressed(Tab):
        async def press(self) -> None:
            raise KeyboardInterrupt

    heard = False
    try:
        async with serve_app(APP, port=0) as server:
            token = server.mint("alice")
            async with connect_client(Pressed, url=server.url, access_token=token, instance_name="alice.tab1") as alice:
                alice._host.spawn(alice._owner, alice.press)
                await trio.sleep_forever()
    except* KeyboardInterrupt:
        heard = True
    assert heard


async def test_tokens_have_the_claims_of_the_original() -> None:
    """AU-1: the same claims in the same order."""
    async with serve_app(APP, port=0) as server:
        claims = decode_payload(server.mint("bob", life_s=60, claims={"isAdmin": True}))
    assert list(claims) == ["iss", "aud", "sub", "exp", "iat", "jti", "emailVerified", "adminApproved", "isAdmin"]
    assert claims["exp"] - claims["iat"] == 60

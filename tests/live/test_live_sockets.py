"""Web sockets of the standard API on the real server, and what it does not carry (WS-33)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed

from lumenize_sim.live import serve_app
from lumenize_sim.mesh import Mesh
from lumenize_sim.objects.context import DurableObject
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.websocket import WebSocket, WebSocketPair
from tests.live.test_live_server import refusal, socket, until

pytestmark = pytest.mark.trio

HEARD: list[Any] = []


class Standard(DurableObject):
    """Listens; and dials on demand."""

    ws: WebSocket

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        if request.url.path.endswith("/used"):
            client.accept()
        self.ws = server
        server.add_event_listener("message", self.heard)
        server.add_event_listener("close", lambda event: HEARD.append((event.code, event.was_clean)))
        server.accept()
        server.send("hello")
        return Response(101, web_socket=client)

    async def heard(self, event: Any) -> None:
        if event.data == "dial":
            ws = self.ctx.web_socket("wss://feed.example/")
            ws.on_error = lambda event: self.ws.send(str(event.error)[:15])
        elif event.data == "ask":
            try:
                await self.env.OTHER.get_by_name("o").fetch("https://o/", headers={"Upgrade": "websocket"})
            except Exception as error:
                self.ws.send(str(error)[:15])
        else:
            self.ws.send(f"echo {event.data}")


APP = Mesh(bindings={"STANDARD": Standard, "OTHER": Standard})


async def test_an_object_listens_and_stays_in_memory_while_it_does() -> None:
    """WS-33, WS-14."""
    HEARD.clear()
    async with serve_app(APP, port=0, hibernate_after_s=0.05) as server:
        machine = server.machines.named("STANDARD", "s")
        async with socket(server, "/gateway/STANDARD/s") as ws:
            assert await ws.get_message() == "hello"
            await trio.sleep(0.3)
            await ws.send_message("a")
            assert await ws.get_message() == "echo a"
            assert machine.incarnations == 1
            await ws.aclose(4002, "bye")
        await until(lambda: HEARD == [(4002, True)], "the peer's close frame")
        await until(lambda: machine.incarnation is None, "hibernation")


async def test_what_is_not_carried_is_refused_by_name() -> None:
    async with serve_app(APP, port=0) as server:
        async with socket(server, "/gateway/STANDARD/s") as ws:
            await ws.get_message()
            for verb in ("dial", "ask"):
                await ws.send_message(verb)
                assert await ws.get_message() == "The live server"
        error = await refusal(server, "/gateway/STANDARD/used")
        assert error.status_code == 500


async def test_a_reset_cuts_it() -> None:
    """WS-32, WS-33."""
    async with serve_app(APP, port=0) as server, socket(server, "/gateway/STANDARD/s") as ws:
        await ws.get_message()
        machine = server.machines.named("STANDARD", "s")
        server.machines.loop.post(machine.host, lambda: machine.end("crash"))
        with pytest.raises(ConnectionClosed):
            await ws.get_message()


async def test_a_protocol_ping_is_answered_and_wakes_nobody() -> None:
    """WS-24."""

    class Quiet(Standard):
        def fetch(self, request: Request) -> Response:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(101, web_socket=client)

        def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
            ws.send(message)

    app = Mesh(bindings={"QUIET": Quiet})
    async with serve_app(app, port=0, hibernate_after_s=0.05) as server, socket(server, "/gateway/QUIET/q") as ws:
        machine = server.machines.named("QUIET", "q")
        await until(lambda: machine.incarnation is None, "hibernation")
        with trio.fail_after(5):
            await ws.ping()
        assert machine.incarnations == 1
        await ws.send_message("x")
        assert await ws.get_message() == "x"
        assert machine.incarnations == 2

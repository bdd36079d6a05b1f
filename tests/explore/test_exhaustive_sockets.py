"""Enumeration equals brute force for programs with web sockets: nothing at one end depends on the order of others."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim import DurableObject, LumenizeWorker, Mesh, World, scenario
from lumenize_sim.explore.exhaustive import enumerate_behaviours
from lumenize_sim.objects import Request, Response, WebSocketPair
from lumenize_sim.testing import Browser
from tests.explore.brute_force import behaviours, brute_force

UPGRADE = {"Upgrade": "websocket"}


class Server(DurableObject):
    """Says hello before it answers, and once more for every message."""

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.log: list[Any] = [*getattr(self, "log", []), "fetch"]
        if request.url.path == "/standard":
            server.on_message = lambda event: self.heard(server, event.data)
            server.on_close = lambda event: self.log.append(event.code)
            server.accept()
        else:
            self.ctx.accept_web_socket(server)
        if request.url.path != "/quiet":
            server.send("hello")
        return Response(101, web_socket=client)

    def heard(self, ws: Any, message: str) -> None:
        self.log.append(message)
        ws.send(f"echo {message}")

    def web_socket_message(self, ws: Any, message: str) -> None:
        self.heard(ws, message)

    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(code)


class Caller(DurableObject):
    """Dials the server, and says what it hears."""

    async def reach(self, path: str) -> None:
        response = await self.env.S.get_by_name("o").fetch(f"https://s{path}", headers=UPGRADE)
        ws = response.web_socket
        self.log: list[str] = []
        ws.on_message = lambda event: self.log.append(event.data)
        ws.accept()
        ws.send("x")


class Proxy(LumenizeWorker):
    """Passes an upgrade on."""

    async def fetch(self, request: Request) -> Response:
        response: Response = await self.env.S.get_by_name("o").fetch(request)
        return response


app = Mesh(bindings={"S": Server, "C": Caller, "W": Proxy})


async def two_sockets(world: World) -> None:
    """Two browsers, one of which dies when it hears something."""
    one = await world.open_socket("S", "o", "/hib")
    two = await world.open_socket("S", "o", "/standard")
    one.on_message = lambda _: one.terminate()
    one.send("a")
    two.send("b")
    await world.settle()


async def an_object_dials(world: World) -> None:
    """What the server sends before its answer is taken is read then; a browser talks to it as well."""
    called = world.env.C.get_by_name("c").reach("/hib")
    ws = await world.open_socket("S", "o", "/quiet", wait=False)
    await called
    del ws
    await world.settle()


async def through_a_worker(world: World) -> None:
    """Somebody gives up while a Worker passes his upgrade on."""
    ws = await world.open_socket("W", None, "/quiet", wait=False)
    other = await world.open_socket("S", "p", "/standard")
    other.on_message = lambda _: ws.terminate()
    await world.settle()


async def tabs_that_talk(world: World) -> None:
    """Two pages of one browser, one of which closes its end."""
    browser = Browser(world, "alice")
    pages = [browser.context("https://app.example") for _ in range(2)]
    one, two = (page.broadcast_channel("c") for page in pages)
    two.on_message = lambda data: two.post_message(f"{data}!") if len(data) < 2 else None
    one.on_message = lambda data: one.close()
    one.post_message("a")
    await world.settle()


@pytest.mark.slow
@pytest.mark.parametrize("drive", [two_sockets, an_object_dials, through_a_worker, tabs_that_talk])
def test_tapes_find_every_behaviour_of_a_program_with_sockets(drive: Any) -> None:
    chosen = scenario(app)(drive)
    raw = brute_force(chosen, 60_000)
    assert raw is not None, "too large for brute force"
    enumeration = enumerate_behaviours(chosen, limit=200_000)
    assert enumeration.complete
    assert sorted(raw.found) == sorted(behaviours(enumeration))

"""Web sockets of an instance that was replaced while something of it was in flight (LC-10, LC-11, LC-27)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, Request, Response, WebSocketPair, WebSocketRequestResponsePair, World


class Room(DurableObject):
    """Accepts late: the upgrade waits for something outside."""

    log: list[Any] = []
    instances = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Room.instances += 1
        self.number = Room.instances

    async def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        how = request.url.path.strip("/")
        if how != "at-once":
            await trio.sleep(1)
        if how == "standard":
            server.accept()
            server.add_event_listener("message", lambda event: Room.log.append(["heard", event.data, self.number]))
        else:
            self.ctx.accept_web_socket(server, [f"of {self.number}"])
            self.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", f"pong of {self.number}"))
            self.ctx.set_hibernatable_web_socket_event_timeout(self.number * 1000)
        Room.log.append(["accepted", self.number, self.count()])
        return Response(101, web_socket=client)

    def count(self) -> list[str]:
        return [tag for ws in self.ctx.get_web_sockets() for tag in self.ctx.get_tags(ws)]

    def timeout(self) -> int | None:
        return self.ctx.get_hibernatable_web_socket_event_timeout()

    def web_socket_message(self, ws: Any, message: str) -> None:
        Room.log.append(["message", message, self.number])

    async def dial(self) -> str:
        await trio.sleep(1)
        answer = await self.env.ECHO.get_by_name("e").fetch("https://echo/", headers={"Upgrade": "websocket"})
        answer.web_socket.accept()
        await trio.sleep(5)
        return "dialled"


class Echo(DurableObject):
    closed: list[Any] = []

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(101, web_socket=client)

    def web_socket_close(self, ws: Any, code: int) -> None:
        Echo.closed.append(code)

    def close_all(self) -> None:
        for ws in self.ctx.get_web_sockets():
            ws.close(4000, "done")


@pytest.fixture(autouse=True)
def _empty() -> None:
    Room.log, Room.instances, Echo.closed = [], 0, []


def replace(world: World, how: str) -> None:
    if how == "deploy":
        world.deploy("ROOM")
    else:
        world.object("ROOM", "r").relocate()


@pytest.mark.parametrize("how", ["deploy", "relocate"])
def test_a_socket_that_a_stale_instance_accepts_is_its_own_and_lost_with_it(how: str, passes: Any) -> None:
    """LC-27: the next instance neither lists it nor hears of it, and has auto-response and limit of its own (WS-22)."""

    async def drive(world: World) -> None:
        late = await world.open_socket("ROOM", "r", "/late", wait=False)
        await world.advance(0.5)
        replace(world, how)
        new = await world.open_socket("ROOM", "r", "/at-once")
        await world.advance(1)
        assert late.close_code == 1006
        new.send("ping")
        new.send("hello")
        await world.settle()
        assert new.messages == ["pong of 2"]
        assert Room.log == [["accepted", 2, ["of 2"]], ["accepted", 1, ["of 1"]], ["message", "hello", 2]]
        stub = world.env.ROOM.get_by_name("r")
        assert (await stub.count(), await stub.timeout()) == (["of 2"], 2000)

    passes(drive, ROOM=Room, ECHO=Echo)


@pytest.mark.parametrize("how", ["deploy", "relocate"])
def test_no_new_event_starts_in_a_stale_instance(how: str, passes: Any) -> None:
    """LC-10: a message on a standard socket is one; the socket is cut."""

    async def drive(world: World) -> None:
        late = await world.open_socket("ROOM", "r", "/standard", wait=False)
        await world.advance(0.5)
        replace(world, how)
        assert await world.env.ROOM.get_by_name("r").count() == []
        await late.opened()
        late.send("hello")
        await world.settle()
        assert (late.close_code, Room.log) == (1006, [["accepted", 1, []]])

    passes(drive, ROOM=Room, ECHO=Echo)


@pytest.mark.parametrize("how", ["deploy", "relocate"])
def test_what_a_stale_instance_has_dialled_ends_with_it(how: str, passes: Any) -> None:
    """LC-11, WS-33: neither earlier, when its successor ends, nor later; and frames that come then find nobody."""

    async def drive(world: World) -> None:
        answer = world.env.ROOM.get_by_name("r").dial()
        await world.advance(0.5)
        replace(world, how)
        assert await world.env.ROOM.get_by_name("r").count() == []
        await world.advance(2)
        world.object("ROOM", "r").crash()
        await world.advance(1)
        assert Echo.closed == []
        assert await answer == "dialled"
        await world.env.ECHO.get_by_name("e").close_all()
        await world.settle()
        assert Echo.closed in ([], [1006])

    passes(drive, ROOM=Room, ECHO=Echo)

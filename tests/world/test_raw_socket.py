"""Web sockets in the driver's hands: `World.open_socket`."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim import (
    DurableObject,
    Mesh,
    RawSocket,
    UpgradeRefusedError,
    UsageError,
    World,
    WorldOptions,
    scenario,
    simulate,
)
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.websocket import WebSocket, WebSocketPair


class Echo(DurableObject):
    """Answers what it gets; closes or goes on demand."""

    log: tuple[Any, ...] = ()

    def fetch(self, request: Request) -> Response:
        if request.headers.get("upgrade") != "websocket" or request.url.path.endswith("/refuse"):
            return Response(426, "upgrade!")
        if request.url.path.endswith("/fail"):
            raise ValueError("no")
        pair = WebSocketPair()
        self.ctx.accept_web_socket(pair[1])
        if request.url.path.endswith("/hello"):
            pair[1].send("one")
            pair[1].send("two")
        return Response(101, web_socket=pair[0], headers={"Sec-WebSocket-Protocol": "a"})

    def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        if message == "close":
            ws.close(4003, "srv")
        elif message == "empty":
            ws.close()
        elif message == "abort":
            self.ctx.abort("x")
        else:
            ws.send(message)

    def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        self.log = (*self.log, (code, reason, was_clean, ws.ready_state))
        if reason != "silence":
            ws.close(4002 if code == 1005 else code, reason)


app = Mesh(bindings={"D": Echo})


def passes(drive: Any, **options: Any) -> Any:
    run = simulate(scenario(app, options=WorldOptions(**options))(drive))
    assert run.failure is None, run.outcome.message
    return run


def log(world: World) -> tuple[Any, ...]:
    found: tuple[Any, ...] = world.object("D", "o").instance.log
    return found


def test_a_socket_opens_and_carries_text_and_bytes() -> None:
    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o", "/x", protocols=("a", "b"), headers={"X-Y": "z"})
        assert ws.ready_state == 1
        assert ws.response is not None
        assert ws.response.headers["sec-websocket-protocol"] == "a"
        ws.send("hi")
        ws.send(b"\x00")
        assert await ws.receive() == "hi"
        await world.settle()
        assert ws.messages == ["hi", b"\x00"]
        assert await ws.receive() == b"\x00"

    passes(drive)


def test_messages_sent_before_the_101_come_first() -> None:
    """WS-25."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o", "/hello")
        assert [await ws.receive(), await ws.receive()] == ["one", "two"]

    passes(drive)


def test_a_refused_upgrade_raises_with_the_response() -> None:
    async def drive(world: World) -> None:
        with pytest.raises(UpgradeRefusedError, match="status 426: upgrade!") as caught:
            await world.open_socket("D", "o", "/refuse")
        assert caught.value.response.status == 426
        with pytest.raises(UpgradeRefusedError, match="status 500"):
            await world.open_socket("D", "o", "/fail")
        ws = await world.open_socket("D", "o", "/refuse", wait=False)
        assert ws.ready_state == 0
        assert await ws.closed() == (1006, "", False)
        assert ws.ready_state == 3

    run = passes(drive)
    (said,) = run.outcome.logged
    assert said.startswith("D/o: an upgrade is answered with status 500 "), "for whoever wrote the handler"
    assert "Error: " in said


def test_the_browser_closes_and_the_object_answers() -> None:
    """WS-14: the connection ends when both have sent a close frame and the server hangs up."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.close(4001, "bye")
        assert ws.ready_state == 2
        assert (ws.close_code, ws.close_reason, ws.was_clean, ws.close_frame) == (None, None, None, None)
        assert await ws.closed() == (4001, "bye", True)
        assert (ws.close_code, ws.close_reason, ws.was_clean, ws.close_frame) == (4001, "bye", True, (4001, "bye"))
        assert ws.ready_state == 3
        assert log(world) == ((4001, "bye", True, 2),)

    passes(drive, runtime="workerd")


def test_an_empty_close_frame_is_seen_as_1005_on_both_sides() -> None:
    """WS-14, WS-28."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.close()
        assert await ws.closed() == (4002, "", True)
        ws = await world.open_socket("D", "o")
        ws.send("empty")
        assert await ws.closed() == (1005, "", True)
        await world.settle()
        assert [entry[0] for entry in log(world)] == [1005, 1005]

    passes(drive, runtime="workerd")


def test_the_object_closes_and_the_browser_answers() -> None:
    """WS-14: the peer's answering frame runs the handler as well."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("close")
        assert await ws.closed() == (4003, "srv", True)
        assert log(world) == ((4003, "srv", True, 3),)

    passes(drive)


def test_a_browser_that_does_not_answer_leaves_the_connection_open() -> None:
    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o", auto_reply=False)
        ws.send("close")
        await world.settle()
        assert (ws.close_frame, ws.close_code, ws.ready_state) == ((4003, "srv"), None, 2)
        assert log(world) == ()
        ws.close(4003, "srv")
        assert await ws.closed() == (4003, "srv", True)

    passes(drive)


def test_an_object_that_does_not_answer_leaves_the_browser_closing() -> None:
    """WS-16 in the open-source runtime: no close frame, and no end of the connection."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.close(4001, "silence")
        await world.settle()
        assert (ws.close_frame, ws.close_code, ws.ready_state) == (None, None, 2)
        assert world.object("D", "o").sockets == 0

    passes(drive, runtime="workerd")


def test_a_browser_that_dies_is_heard_of_as_1006() -> None:
    """WS-14."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("last")
        ws.terminate()
        assert (ws.ready_state, ws.close_code, ws.was_clean) == (3, 1006, False)
        await world.settle()
        assert ws.messages == []
        text = "WebSocket disconnected without sending Close frame."
        assert log(world) == ((1006, text, False, 2),)
        with pytest.raises(ConnectionError, match="is closed"):
            await ws.receive()

    passes(drive)


def test_a_browser_that_dies_before_the_answer_is_heard_of_too() -> None:
    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o", wait=False)
        ws.terminate()
        with pytest.raises(UpgradeRefusedError):
            await ws.opened()
        await world.settle()
        assert [entry[0] for entry in log(world)] == [1006]
        assert world.object("D", "o").sockets == 0

    passes(drive)


def test_a_reset_ends_the_connection_without_a_close_frame() -> None:
    """WS-32."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("abort")
        assert await ws.closed() == (1006, "", False)
        assert ws.close_frame is None

    passes(drive)


def test_callbacks_run_in_turns_of_the_browser() -> None:
    async def drive(world: World) -> None:
        heard: list[Any] = []
        ws = await world.open_socket("D", "o")

        def answer(message: str | bytes) -> None:
            heard.append(message)
            if len(heard) < 3:
                ws.send(f"{len(heard)}")

        ws.on_message = answer
        ws.on_close = lambda *how: heard.append(how)
        ws.send("0")
        await world.settle()
        ws.close(1000)
        await ws.closed()
        assert heard == ["0", "1", "2", (1000, "", True)]

    passes(drive)


def test_sockets_of_one_browser_are_one_actor() -> None:
    async def drive(world: World) -> None:
        one = await world.open_socket("D", "o", client="alice")
        two = await world.open_socket("D", "p", client="alice")
        three = await world.open_socket("D", "o")
        assert [one.name, two.name, three.name] == ["alice", "alice", "browser2"]
        world.network.partition(one)
        for ws in (one, two, three):
            ws.send("x")
        await world.settle()
        assert [one.messages, two.messages, three.messages] == [[], ["x"], ["x"]]
        world.network.heal(one)
        await world.settle()
        assert one.messages == ["x"]
        world.network.disconnect("alice")
        await world.settle()
        assert [one.close_code, two.close_code, three.close_code] == [1006, 1006, None]

    passes(drive)


def test_what_makes_no_sense_is_refused() -> None:
    async def drive(world: World) -> None:
        with pytest.raises(UsageError, match="no binding"):
            await world.open_socket("E", "o")
        with pytest.raises(UsageError, match="write \\['a'\\]"):
            await world.open_socket("D", "o", protocols="a")
        ws = await world.open_socket("D", "o", wait=False)
        with pytest.raises(UsageError, match="not open yet"):
            ws.send("x")
        await ws.opened()
        with pytest.raises(UsageError, match="not int"):
            ws.send(1)  # type: ignore[arg-type]  # the mistake under test
        with pytest.raises(UsageError, match="does not reconnect"):
            world.network.reconnect(ws)
        ws.terminate()
        ws.send("nobody")
        ws.close(1000)
        assert isinstance(ws, RawSocket)

    passes(drive)

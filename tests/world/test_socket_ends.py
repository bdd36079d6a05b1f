"""Web sockets of the standard API: accepted, outgoing, within one object, through a Worker (WS-33 to WS-35)."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio

from lumenize_sim import (
    DurableObject,
    Faults,
    LumenizeWorker,
    Mesh,
    World,
    WorldOptions,
    explore,
    replay,
    scenario,
    simulate,
)
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.objects import Request, Response, WebSocketPair
from lumenize_sim.objects.options import MachineOptions
from lumenize_sim.objects.websocket import WebSocket
from lumenize_sim.world.run import run_scenario

LOST = "WebSocket disconnected without sending Close frame."
UPGRADE = {"Upgrade": "websocket"}


class Server(DurableObject):
    """Accepts with the standard API; echoes."""

    log: tuple[Any, ...] = ()

    def note(self, *entry: Any) -> None:
        self.log = (*self.log, entry[0] if len(entry) == 1 else entry)

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        verb = request.url.path.strip("/")
        if verb == "late":
            self.ctx.wait_until(self._accept_later(server))
        elif verb == "twice":
            client.accept()
        else:
            self.listen(server, half_open=verb == "half-open")
        if verb == "hello":
            server.send("hello")
        return Response(101, web_socket=client)

    async def _accept_later(self, server: WebSocket) -> None:
        await trio.sleep(1)
        self.listen(server)

    def listen(self, ws: WebSocket, *, half_open: bool = False) -> None:
        self.ws = ws
        ws.add_event_listener("message", self.heard)
        ws.add_event_listener("close", lambda e: self.note("close", e.code, e.reason, e.was_clean, ws.ready_state))
        ws.add_event_listener("error", lambda e: self.note("error", e.message))
        ws.accept(allow_half_open=half_open or None)

    async def heard(self, event: Any) -> None:
        self.note(event.data)
        if event.data == "throw":
            raise ValueError("in a listener")
        if event.data == "bye":
            self.ws.close(4000, "bye")
        elif event.data == "section":

            async def inside() -> None:
                client, server = WebSocketPair()
                heard = trio.Event()
                server.accept()
                server.on_message = lambda event: (self.note(event.data), heard.set())
                client.accept()
                client.send("inner")
                await heard.wait()

            await self.ctx.block_concurrency_while(inside)
        else:
            self.ws.send(f"echo {event.data}")

    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        self.note("never")

    def close_with(self, code: int, reason: str) -> None:
        self.ws.close(code, reason)


class Caller(DurableObject):
    """Dials a server by its stub."""

    log: tuple[Any, ...] = ()
    ws: WebSocket

    def note(self, *entry: Any) -> None:
        self.log = (*self.log, entry[0] if len(entry) == 1 else entry)

    async def reach(self, path: str = "hello", *messages: str) -> list[Any]:
        response = await self.env.S.get_by_name("o").fetch(f"https://s/{path}", headers=UPGRADE)
        assert (response.status, response.ok) == (101, False)
        ws = self.ws = response.web_socket
        assert ws.ready_state == 1
        ws.on_message = lambda event: self.note(event.data)
        ws.on_close = lambda e: self.note("close", e.code, e.reason, e.was_clean, ws.ready_state)
        ws.accept()
        for message in messages:
            ws.send(message)
        return list(self.log)

    async def write_and_reach(self, how: str) -> None:
        self.ctx.storage.kv.put("k", 1)
        if how == "stub":
            await self.reach()
        else:
            await self.dial("wss://mesh.simulated/nowhere")

    async def dial(self, url: str, protocols: tuple[str, ...] = ()) -> None:
        ws = self.ws = self.ctx.web_socket(url, protocols)
        self.note(ws.ready_state)
        for kind in ("open", "message", "close", "error"):
            ws.add_event_listener(kind, lambda event: self.note(event.type, ws.ready_state))

    def close(self) -> None:
        self.ws.close(4005, "done")

    def say(self, text: str) -> None:
        self.ws.send(text)

    async def fetch(self, request: Request) -> Response:
        """Passes the upgrade on."""
        return await self.env.S.get_by_name("o").fetch(request)


class Proxy(LumenizeWorker):
    """Passes an upgrade on, or stands in between."""

    async def fetch(self, request: Request) -> Response:
        response = await self.env.S.get_by_name("o").fetch(request)
        if request.url.path == "/forgets":
            return Response(200, "no socket")
        if not request.url.path.endswith("/between"):
            return response
        client, server = WebSocketPair()
        upstream = response.web_socket
        server.on_message = lambda event: upstream.send(f"{event.data}!")
        upstream.on_message = lambda event: server.send(f"{event.data}?")
        server.on_close = lambda event: upstream.close(event.code, event.reason)
        upstream.on_close = lambda event: server.close(event.code, event.reason)
        for ws in (server, upstream):
            ws.accept(allow_half_open=True)
        return Response(101, web_socket=client)


app = Mesh(bindings={"S": Server, "C": Caller, "W": Proxy})


def passes(drive: Any, **options: Any) -> Any:
    run = simulate(scenario(app, options=WorldOptions(**options))(drive))
    assert run.failure is None, run.outcome.message
    return run


def log(world: World, binding: str = "S") -> list[Any]:
    return list(world.object(binding, "o").instance.log)


# ------------------------------------------------------------------------------------------- accepted


def test_a_standard_socket_carries_both_ways_through_listeners() -> None:
    """WS-1, WS-10: and handlers of the class hear nothing."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o", "/hello")
        ws.send("a")
        await world.settle()
        assert ws.messages == ["hello", "echo a"]
        assert log(world) == ["a"]

    passes(drive)


def test_what_arrives_before_it_is_accepted_is_read_then() -> None:
    """WS-25, the other way round."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o", "/late")
        ws.send("a")
        ws.send("b")
        await world.advance(0.5)
        assert log(world) == []
        await world.settle()
        assert log(world) == ["a", "b"]
        assert ws.messages == ["echo a", "echo b"]

    passes(drive)


@pytest.mark.parametrize("path", ["/", "/late"])
def test_an_open_standard_socket_blocks_hibernation(path: str) -> None:
    """WS-33, LC-17, LT-78."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o", path)
        await world.advance(200)
        ws.send("a")
        await world.settle()
        assert world.object("S", "o").incarnations == 1
        ws.close(1000)
        await ws.closed()
        await world.advance(11)
        assert not world.object("S", "o").in_memory

    passes(drive)


def test_it_dies_with_its_instance() -> None:
    """WS-33, WS-32."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o")
        world.object("S", "o").crash()
        ws.send("a")
        assert await ws.closed() == (1006, "", False)
        await world.settle()
        assert world.object("S", "o").incarnations == 1

    passes(drive)


@pytest.mark.parametrize(
    "date, path, seen, state",
    [
        ("2026-04-07", "/", (4001, "x", True), 3),
        ("2026-04-06", "/", None, 2),
        ("2026-04-07", "/half-open", None, 2),
    ],
)
@pytest.mark.parametrize("runtime", ["production", "workerd"])
def test_who_answers_a_close_frame(runtime: Any, date: str, path: str, seen: Any, state: int) -> None:
    """WS-16: by date in every runtime, unless the object wants the connection half open."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o", path)
        ws.close(4001, "x")
        await world.settle()
        assert log(world) == [("close", 4001, "x", True, state)]
        if seen is None:
            assert ws.close_code is None
            await world.env.S.get_by_name("o").close_with(4002, "y")
            assert await ws.closed() == (4002, "y", True)
        else:
            assert await ws.closed() == seen

    passes(drive, objects=MachineOptions(runtime=runtime, compatibility_date=date))


def test_the_object_closes_and_a_listener_that_throws_changes_nothing() -> None:
    """WS-13, WS-14."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o")
        ws.send("throw")
        ws.send("bye")
        assert await ws.closed() == (4000, "bye", True)
        assert log(world) == ["throw", "bye", ("close", 4000, "bye", True, 3)]
        assert "in a listener" in world.errors_logged[0]

    passes(drive)


def test_a_lost_client_is_heard_of_as_1006() -> None:
    """WS-14."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o")
        ws.terminate()
        await world.settle()
        assert log(world) == [("close", 1006, LOST, False, 2)]
        await world.advance(11)
        assert not world.object("S", "o").in_memory

    passes(drive)


def test_a_response_with_a_used_socket_fails() -> None:
    """WS-2."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o", "/twice", wait=False)
        await world.settle()
        assert ws.response is not None
        assert ws.response.status == 500
        with pytest.raises(TypeError, match="after calling accept"):
            await world.env.S.get_by_name("o").fetch("https://s/twice", headers=UPGRADE)

    passes(drive)


def test_a_response_with_a_socket_that_nobody_asked_for_fails() -> None:
    """WS-1."""

    async def drive(world: World) -> None:
        with pytest.raises(TypeError, match='did not contain the header "Upgrade: websocket"') as caught:
            await world.env.S.get_by_name("o").fetch("https://s/")
        assert caught.value.remote  # type: ignore[attr-defined]  # as the platform sets it

    passes(drive)


def test_a_socket_that_gets_lost_with_its_response_is_heard_of() -> None:
    """LC-43, WS-14: the caller may not know that the object has accepted."""

    async def drive(world: World) -> None:
        with pytest.raises(Exception, match="Network connection lost"):
            await world.env.S.get_by_name("o").fetch("https://s/", headers=UPGRADE)
        await world.settle()
        assert log(world) == [("close", 1006, LOST, False, 2)]

    made = scenario(app)(drive)
    run = run_scenario(made, GuidedChooser(), plan=FaultPlan({"driver%lost-call#0": 2}))
    assert not run.failed, run.message


def test_a_socket_accepted_in_a_section_is_read_there() -> None:
    """WS-34, IG-22: and a message of an older socket waits for the section."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("S", "o")
        ws.send("section")
        ws.send("after")
        await world.settle()
        assert log(world) == ["section", "inner", "after"]

    passes(drive)


def test_a_pair_inside_one_object_blocks_nothing() -> None:
    """WS-33: nobody outside would notice."""

    class Inner(DurableObject):
        def pair(self) -> None:
            one, two = self.pair_ = list(WebSocketPair())
            self.got: list[Any] = []
            one.accept()
            two.accept()
            two.on_message = lambda event: self.got.append(event.data)
            two.on_close = lambda event: self.got.append(event.code)
            one.send("a")
            one.close(3000)

        def got_(self) -> list[Any]:
            return [*self.got, *(ws.ready_state for ws in self.pair_)]

    async def drive(world: World) -> None:
        stub = world.env.I.get_by_name("o")
        await stub.pair()
        await world.settle()
        assert await stub.got_() == ["a", 3000, 3, 3]
        await world.advance(11)
        assert not world.object("I", "o").in_memory

    run = simulate(scenario(Mesh(bindings={"I": Inner}))(drive))
    assert run.failure is None, run.outcome.message


# ------------------------------------------------------------------------------------------- outgoing


def test_an_object_dials_another() -> None:
    """WS-33: the answer's socket is accepted by the caller; what was sent before is read first."""

    async def drive(world: World) -> None:
        await world.env.C.get_by_name("o").reach("hello", "a", "b")
        await world.settle()
        assert log(world, "C") == ["hello", "echo a", "echo b"]
        assert log(world, "S") == ["a", "b"]
        await world.env.C.get_by_name("o").close()
        await world.settle()
        assert log(world, "S")[-1] == ("close", 4005, "done", True, 3)
        assert log(world, "C")[-1] == ("close", 4005, "done", True, 3)
        await world.advance(11)
        assert not world.object("C", "o").in_memory
        assert not world.object("S", "o").in_memory

    passes(drive)


@pytest.mark.parametrize("dies", ["S", "C"])
def test_an_outgoing_socket_blocks_hibernation_and_ends_with_either_instance(dies: str) -> None:
    """WS-33, LC-17, LC-29."""

    async def drive(world: World) -> None:
        await world.env.C.get_by_name("o").reach()
        await world.advance(12)
        assert world.object("C", "o").in_memory
        assert world.object("S", "o").in_memory
        world.object(dies, "o").crash()
        await world.settle()
        other = "C" if dies == "S" else "S"
        assert log(world, other)[-1] == ("close", 1006, LOST, False, 2)

    passes(drive)


def test_an_outgoing_socket_may_be_hibernatable() -> None:
    """WS-1, WS-9: it calls the handlers of the class, and survives hibernation."""

    class Sleeper(DurableObject):
        heard: tuple[str, ...] = ()

        async def reach(self) -> None:
            response = await self.env.S.get_by_name("o").fetch("https://s/hello", headers=UPGRADE)
            self.ctx.accept_web_socket(response.web_socket, ["out"])
            response.web_socket.send("a")

        def say(self, text: str) -> None:
            self.ctx.get_web_sockets("out")[0].send(text)

        def web_socket_message(self, ws: WebSocket, message: str) -> None:
            self.heard = (*self.heard, message)

    async def drive(world: World) -> None:
        sleeper = world.env.D.get_by_name("d")
        await sleeper.reach()
        await world.settle()
        assert world.object("D", "d").instance.heard == ("hello", "echo a")
        world.object("D", "d").hibernate()
        await sleeper.say("b")
        await world.settle()
        assert world.object("D", "d").instance.heard == ("echo b",)
        world.object("D", "d").evict()
        await world.settle()
        assert log(world)[-1] == ("close", 1006, LOST, False, 2)

    run = simulate(scenario(Mesh(bindings={"S": Server, "D": Sleeper}))(drive))
    assert run.failure is None, run.outcome.message


@pytest.mark.parametrize("how", ["stub", "url"])
def test_the_opening_of_a_socket_waits_for_the_output_gate(how: str) -> None:
    """3.1: nobody is asked before the writes that the opening could have seen are durable."""

    async def drive(world: World) -> None:
        world.object("C", "o").slow_next_flush(1.0)
        world.env.C.get_by_name("o").write_and_reach(how)
        await world.advance(0.9)
        assert world.object("S", "o").incarnations == 0
        assert not any(c.asked or c.ends.get("v") for c in world.sockets.connections)
        await world.settle()
        assert log(world, "C") == (["hello"] if how == "stub" else [0, ("error", 3), ("close", 3)])

    passes(drive)


def test_the_opening_of_a_socket_is_refused_where_nobody_is() -> None:
    """WS-29: the events of a connection that was never made."""

    async def drive(world: World) -> None:
        await world.env.C.get_by_name("o").dial("wss://mesh.simulated/nowhere")
        await world.settle()
        assert log(world, "C") == [0, ("error", 3), ("close", 3)]
        with pytest.raises(SyntaxError, match="must be ws or wss"):
            await world.env.C.get_by_name("o").dial("https://mesh.simulated")

    passes(drive)


def test_an_object_dials_a_server_beyond_the_mesh() -> None:
    """WS-33: open, messages both ways, and a close from either end; a server that answers otherwise is an error."""
    heard: list[Any] = []

    def answer(request: Request) -> Response:
        if request.url.path == "/no":
            return Response(404)
        client, server = WebSocketPair()
        server.on_message = lambda event: (heard.append(event.data), server.send("hi"))
        server.on_close = lambda event: heard.append((event.code, event.was_clean))
        server.accept()
        server.send(request.headers.get("sec-websocket-protocol", ""))
        return Response(101, web_socket=client)

    async def drive(world: World) -> None:
        world.server("https://feed.example", answer)
        caller = world.env.C.get_by_name("o")
        await caller.dial("wss://feed.example/x", ("a", "b"))
        await world.advance(30)
        assert log(world, "C") == [0, ("open", 1), ("message", 1)]
        await caller.say("hello")
        await world.settle()
        await caller.close()
        await world.settle()
        assert heard == ["hello", (4005, True)]
        assert log(world, "C")[3:] == [("message", 1), ("close", 3)]
        await caller.dial("wss://feed.example/no")
        await world.settle()
        assert log(world, "C")[5:] == [0, ("error", 3), ("close", 3)]
        await world.advance(11)
        assert not world.object("C", "o").in_memory

    passes(drive)


def test_the_driver_holds_the_end_of_a_socket_too() -> None:
    """A response to the driver's own ``fetch`` carries a socket like any other."""

    async def drive(world: World) -> None:
        response = await world.env.S.get_by_name("o").fetch("https://s/hello", headers=UPGRADE)
        got: list[Any] = []
        ws = response.web_socket
        ws.add_event_listener("message", lambda event: got.append(event.data))
        ws.add_event_listener("close", lambda event: got.append((event.code, event.was_clean, ws.ready_state)))
        ws.accept()
        ws.send("a")
        await world.settle()
        ws.send("bye")
        await world.settle()
        assert got == ["hello", "echo a", (4000, True, 3)]

    passes(drive)


# ------------------------------------------------------------------------------------------- in between


@pytest.mark.parametrize("via", ["W", "C"])
def test_an_upgrade_that_is_passed_on_leads_past_who_passes_it(via: str) -> None:
    """WS-35: the Worker's code is not in the way, and need not stay."""

    async def drive(world: World) -> None:
        ws = await world.open_socket(via, None if via == "W" else "o", "/hello")
        ws.send("a")
        await world.settle()
        assert ws.messages == ["hello", "echo a"]
        ws.close(4001, "x")
        assert await ws.closed() == (4001, "x", True)
        assert log(world) == ["a", ("close", 4001, "x", True, 3)]

    passes(drive)


def test_a_worker_in_between_lives_as_long_as_its_sockets() -> None:
    """WS-33, RPC-22: longer than the thirty seconds of wait_until."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("W", None, "/between")
        await world.advance(100)
        ws.send("a")
        assert await ws.receive() == "echo a!?"
        ws.close(4001, "x")
        assert await ws.closed() == (4001, "x", True)
        await world.settle()
        assert log(world)[-1] == ("close", 4001, "x", True, 3)

    passes(drive)


def test_a_worker_that_ends_without_taking_a_socket_loses_it() -> None:
    """RPC-24: the object behind it hears of it."""

    async def drive(world: World) -> None:
        response = await world.env.W.fetch("https://w/forgets", headers=UPGRADE)
        assert response.text == "no socket"
        await world.settle()
        assert log(world) == [("close", 1006, LOST, False, 2)]

    passes(drive)


def test_whoever_gives_up_before_the_answer_is_heard_of_behind_a_proxy() -> None:
    """WS-14, WS-35."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("W", None, "/hello", wait=False)
        ws.terminate()
        await world.settle()
        assert log(world) == [("close", 1006, LOST, False, 2)]

    passes(drive)


# ------------------------------------------------------------------------------------------- any order, any fault


@pytest.mark.slow
@pytest.mark.parametrize("target", ["S", "C", "W", "between"])
def test_order_and_ends_hold_in_every_schedule_and_under_every_fault(target: str) -> None:
    """WS-11, WS-14, WS-15, WS-25: each end has a prefix of what was sent, in order, and closes at most once."""

    async def drive(world: World) -> None:
        closes: list[Any] = []
        path = "/between" if target == "between" else "/hello"
        binding = "W" if target == "between" else target
        ws = await world.open_socket(binding, None if binding == "W" else "o", path, wait=False)
        ws.on_close = lambda *how: closes.append(how)
        try:
            await ws.opened()
        except ConnectionError:
            return
        for nth in range(4):
            ws.send(str(nth))
        await world.settle()
        ws.close(1000)
        await world.settle()
        got = [str(m).rstrip("?!").removeprefix("echo ") for m in ws.messages if m != "hello"]
        assert got == [str(nth) for nth in range(len(got))]
        assert len(closes) <= 1
        instance = world.object("S", "o").instance
        if instance is not None:
            seen = [entry.rstrip("!") for entry in instance.log if isinstance(entry, str)]
            assert seen == [str(nth) for nth in range(len(seen))]
            assert sum(type(entry) is tuple for entry in instance.log) <= 1

    report = explore(scenario(app, faults=Faults.all(at_most=3))(drive), schedules=400)
    assert not report.failures, report


@pytest.mark.slow
@pytest.mark.parametrize("target", ["S", "C", "W", "between"])
def test_a_run_with_sockets_of_every_kind_replays_from_its_tape(target: str) -> None:
    """One tape, one digest: under drawn orders and faults."""

    async def drive(world: World) -> None:
        path = "/between" if target == "between" else "/hello"
        binding = "W" if target == "between" else target
        ws = await world.open_socket(binding, None if binding == "W" else "o", path, wait=False)
        other = await world.open_socket("S", "o", "/", wait=False)
        with contextlib.suppress(ConnectionError):
            await ws.opened()
            for nth in range(3):
                ws.send(str(nth))
            await other.opened()
            other.send("x")
        await world.settle()
        ws.close(1000)

    made = scenario(app, faults=Faults.all(at_most=3))(drive)
    for seed in range(60):
        run = simulate(made, seed=seed)
        assert not run.outcome.failed, run.outcome.message
        assert replay(run.tape, scenario=made).digest == run.digest


@pytest.mark.slow
def test_a_page_that_leaves_while_its_upgrade_is_passed_on_is_heard_of_in_every_order() -> None:
    """WS-14, WS-35: by whoever answers at last, also when the Worker in between has ended."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("W", None, "/hello", wait=False)
        other = await world.open_socket("S", "p", "/")
        other.on_message = lambda _: ws.terminate()
        other.send("now")
        await world.settle()
        instance = world.object("S", "o").instance
        heard = [] if instance is None else list(instance.log)
        assert heard == [("close", 1006, LOST, False, 2)]

    report = explore(scenario(app)(drive), schedules=200)
    assert not report.failures, report
    made = scenario(app)(drive)
    for seed in range(40):
        run = simulate(made, seed=seed)
        assert replay(run.tape, scenario=made).digest == run.digest

"""What survives hibernation, eviction, reset and crash; hibernatable sockets (LC-*, WS-*)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeClient, LumenizeDO, LumenizeWorker, World, WorldOptions, gather, mesh
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.objects import Pending, Request, Response, WebSocketPair, WebSocketRequestResponsePair
from lumenize_sim.objects.options import MachineOptions


def flags(error: BaseException) -> set[str]:
    return {n for n in ("remote", "retryable", "overloaded", "durable_object_reset") if hasattr(error, n)}


async def error_of(pending: Pending[Any]) -> BaseException:
    try:
        value = await pending
    except Exception as error:
        return error
    raise AssertionError(f"{value!r} instead of an error")


async def outcomes(*pendings: Pending[Any]) -> list[Any]:
    """The value of each, or its error."""
    found: list[Any] = []
    for pending in pendings:
        try:
            found.append(await pending)
        except Exception as error:
            found.append(error)
    return found


class Remote(LumenizeWorker):
    def ping(self) -> None: ...


class Room(DurableObject):
    """Keeps web sockets."""

    constructed = 0
    fragile = False
    log: list[Any] = []

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Room.constructed += 1
        if Room.fragile:
            raise RuntimeError("cannot wake")
        self.memory: Any = None
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))
        Room.log.append(f"new {len(ctx.get_web_sockets())}")

    def fetch(self, request: Request) -> Response:
        if not request.is_web_socket_upgrade:
            return Response(404, "no")
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, ["all", f"tag{len(self.ctx.get_web_sockets())}"])
        server.serialize_attachment({"nth": len(self.ctx.get_web_sockets())})
        server.send("welcome")
        self.memory = "kept in memory"
        return Response(101, web_socket=client)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        Room.log.append(f"begin {message!r}")
        if message == "state":
            sockets = self.ctx.get_web_sockets("all")
            ws.send(f"{self.memory} {ws.deserialize_attachment()} {self.ctx.get_tags(ws)} {len(sockets)}")
        elif message == "storage":
            await self.ctx.storage.put("x", 1)
            await self.ctx.storage.get("x")
        elif message == "remote":
            await self.env.REMOTE.ping()
        elif message == "throw":
            self.memory = "thrown"
            raise ValueError("in the handler")
        elif message == "close":
            ws.close(4000, "bye")
        elif message == "abort":
            ws.send("lost")
            self.ctx.abort("by a message")
        elif isinstance(message, bytes):
            ws.send(message + b"!")
        Room.log.append(f"end {message!r}")

    async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        await self.ctx.storage.get("x")
        Room.log.append(("close", code, reason, was_clean, len(self.ctx.get_web_sockets()), ws.ready_state))
        if was_clean and code != 1005:
            ws.close(code, reason)

    def set_timer(self, seconds: float) -> None:
        self.ctx.set_timeout(lambda: Room.log.append("timer"), seconds)

    async def wait(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "waited"

    def start_waiting(self, seconds: float) -> None:
        self.ctx.wait_until(trio.sleep(seconds))  # noqa: ASYNC105  # not here, that is the point

    def leave_call(self, seconds: float) -> None:
        self.env.ROOM.get_by_name("other").wait(seconds)

    async def send_all(self, text: str) -> list[str]:
        for ws in self.ctx.get_web_sockets():
            ws.send(text)
        return [ws.deserialize_attachment()["nth"] for ws in self.ctx.get_web_sockets()]

    def remember(self, value: Any) -> None:
        self.memory = value

    def recall(self) -> Any:
        return self.memory

    def answered_at(self) -> Any:
        ws = self.ctx.get_web_sockets()[0]
        pair = self.ctx.get_web_socket_auto_response()
        return pair.request if pair else None, self.ctx.get_web_socket_auto_response_timestamp(ws)

    def identity(self) -> bool:
        return self.ctx.get_web_sockets()[0] is self.ctx.get_web_sockets()[0]

    def own_name(self) -> Any:
        return self.ctx.id.name


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Room.constructed, Room.fragile, Room.log = 0, False, []


# ------------------------------------------------------------------------------------------- idle


def test_an_idle_object_hibernates_after_ten_seconds(passes: Any) -> None:
    """LC-14, LC-16, LC-21, LC-24, LT-76: an event in between starts the ten seconds anew."""

    async def drive(world: World) -> None:
        stub = world.env.ROOM.get_by_name("r")
        await stub.remember("x")
        view = world.object("ROOM", "r")
        await world.advance(9.9)
        assert view.in_memory
        assert await stub.recall() == "x"
        await world.advance(9.9)
        assert view.in_memory
        await world.advance(0.2)
        assert not view.in_memory
        assert await stub.recall() is None
        assert Room.constructed == 2

    passes(drive, ROOM=Room)


@pytest.mark.parametrize("method, ready_after_s", [("set_timer", 60), ("start_waiting", 60), ("leave_call", 60)])
def test_what_is_under_way_blocks_hibernation(passes: Any, method: str, ready_after_s: int) -> None:
    """LC-17, TM-8, TM-9, LT-77."""

    async def drive(world: World) -> None:
        await getattr(world.env.ROOM.get_by_name("r"), method)(ready_after_s)
        view = world.object("ROOM", "r")
        await world.advance(50)
        with pytest.raises(Exception, match=r"is busy"):
            view.hibernate()
        assert view.in_memory
        await world.advance(30)
        assert not view.in_memory
        assert Room.log.count("timer") == (method == "set_timer")

    passes(drive, ROOM=Room)


def test_a_handler_under_way_keeps_the_object(passes: Any) -> None:
    """LC-15, LC-17: for as long as it takes."""

    async def drive(world: World) -> None:
        stub = world.env.ROOM.get_by_name("r")
        assert await stub.wait(1000) == "waited"
        assert Room.constructed == 1

    passes(drive, ROOM=Room)


OLD_DATE = MachineOptions(compatibility_date="2026-09-30")


def test_an_idle_object_that_cannot_hibernate_is_evicted(passes: Any) -> None:
    """LC-15, LC-19, TM-8: before the date of LC-18 after 70 to 140 s, drawn; its timer is lost with it."""
    ends: set[int] = set()

    async def drive(world: World) -> None:
        for nth in range(8):
            name = f"r{nth}"
            await world.env.ROOM.get_by_name(name).set_timer(1000)
            view, began = world.object("ROOM", name), world.now()
            await world.advance(69)
            assert view.in_memory
            while view.in_memory:
                await world.advance(1)
            ends.add(round(world.now() - began))
            await world.advance(2000)
            assert "timer" not in Room.log
        assert max(ends) <= 141
        assert len(ends) > 4, "they are drawn"

    passes(drive, options=WorldOptions(objects=OLD_DATE), trace=False, ROOM=Room)


@pytest.mark.parametrize("began_s, ends_s", [(0, 140), (10, 140), (69, 140), (71, 210)])
def test_the_open_source_runtime_evicts_in_sweeps(passes: Any, began_s: int, ends_s: int) -> None:
    """LC-15: every 70 s whoever was last used more than 70 s ago."""

    async def drive(world: World) -> None:
        await world.advance(began_s)
        await world.env.ROOM.get_by_name("r").set_timer(1000)
        view = world.object("ROOM", "r")
        await world.advance(ends_s - 0.5 - world.now())
        assert view.in_memory
        await world.advance(1)
        assert not view.in_memory

    passes(drive, options=WorldOptions(runtime="workerd"), ROOM=Room)


@pytest.mark.parametrize("method", ["set_timer", "start_waiting", "leave_call"])
def test_work_under_way_keeps_an_object_for_a_quarter_of_an_hour(passes: Any, method: str) -> None:
    """LC-18: a timer, `wait_until` and a call to another object, each."""

    async def drive(world: World) -> None:
        await getattr(world.env.ROOM.get_by_name("r"), method)(10_000)
        view = world.object("ROOM", "r")
        await world.advance(899)
        assert view.in_memory
        await world.advance(2)
        assert not view.in_memory

    passes(drive, ROOM=Room)


def test_new_work_extends_the_protection(passes: Any) -> None:
    """LC-18: and an end of the old does not shorten it."""

    async def drive(world: World) -> None:
        stub = world.env.ROOM.get_by_name("r")
        await stub.set_timer(10_000)
        await world.advance(800)
        await stub.set_timer(10_000)
        view = world.object("ROOM", "r")
        await world.advance(899)
        assert view.in_memory
        await world.advance(2)
        assert not view.in_memory

    passes(drive, ROOM=Room)


def test_nothing_is_constructed_before_the_first_event(passes: Any) -> None:
    """LC-6, LT-24; ids by name keep it (LC-3, LC-5)."""

    async def drive(world: World) -> None:
        namespace = world.env.ROOM
        object_id = namespace.id_from_name("r")
        stub = namespace.get(object_id)
        await world.settle()
        assert Room.constructed == 0
        assert await stub.own_name() == "r"
        assert await namespace.get(namespace.id_from_string(str(object_id))).own_name() == "r"
        assert Room.constructed == 1
        assert "ROOM" in world.env
        assert world.env.get("NOTHING", 7) == 7
        with pytest.raises(AttributeError, match="no binding or variable named 'NOTHING'"):
            world.env.NOTHING  # evaluated for what it raises

    passes(drive, ROOM=Room)


@pytest.mark.parametrize("runtime, seen", [("production", {"remote"}), ("workerd", set())])
def test_a_constructor_that_raises_fails_everything_queued_and_is_retried(
    passes: Any, runtime: Any, seen: set[str]
) -> None:
    """LC-31, LC-45, section 11, IG-32, RPC-8, LT-23: the used stub stays broken."""

    async def drive(world: World) -> None:
        Room.fragile = True
        stub = world.env.ROOM.get_by_name("r")
        first, second = stub.recall(), stub.recall()
        for call in (first, second):
            error = await error_of(call)
            assert (type(error), str(error)) == (RuntimeError, "cannot wake")
            assert flags(error) == {"durable_object_reset", *seen}
        assert Room.constructed == 1
        error = await error_of(world.env.ROOM.get_by_name("r").fetch("https://r/"))
        assert flags(error) == {"durable_object_reset", "remote"}
        Room.fragile = False
        assert flags(await error_of(stub.recall())) == {"durable_object_reset", *seen}
        assert await world.env.ROOM.get_by_name("r").recall() is None

    passes(drive, options=WorldOptions(runtime=runtime), ROOM=Room)


def test_an_abort_in_the_constructor_is_a_reset(passes: Any) -> None:
    """LC-32."""

    class Hasty(DurableObject):
        aborted = False

        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            if not Hasty.aborted:
                Hasty.aborted = True
                ctx.abort("in the constructor")

        def hello(self) -> str:
            return "hello"

    async def drive(world: World) -> None:
        error = await error_of(world.env.H.get_by_name("h").hello())
        assert (str(error), flags(error)) == ("in the constructor", {"durable_object_reset", "remote"})
        assert await world.env.H.get_by_name("h").hello() == "hello"

    passes(drive, H=Hasty)


def test_globals_are_shared_and_fields_are_not(passes: Any) -> None:
    """LC-13: a reset does not clear them."""

    async def drive(world: World) -> None:
        a, b = world.env.ROOM.get_by_name("a"), world.env.ROOM.get_by_name("b")
        await gather(a.remember("a"), b.remember("b"))
        assert await gather(a.recall(), b.recall()) == ["a", "b"]
        world.object("ROOM", "a").crash()
        assert await gather(world.env.ROOM.get_by_name("a").recall(), b.recall()) == [None, "b"]
        assert Room.constructed == 3

    passes(drive, ROOM=Room)


# ------------------------------------------------------------------------------------------- sockets


def test_a_socket_survives_hibernation_with_tags_and_attachment(passes: Any, page: Any) -> None:
    """LC-14, LC-24, WS-4, WS-5, WS-6, WS-7, WS-9, WS-18, WS-25, IG-31, LT-76: memory does not."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        assert (tab.opened, tab.got) == (True, ["welcome"])
        await world.advance(11)
        view = world.object("ROOM", "r")
        assert (view.in_memory, view.sockets) == (False, 1)
        tab.send("state")
        await world.settle()
        assert tab.got[1:] == ["None {'nth': 1} ['all', 'tag0'] 1"]
        assert Room.log[:2] == ["new 0", "new 1"]
        assert tab.closed is None
        assert await world.env.ROOM.get_by_name("r").identity()

    passes(drive, ROOM=Room)


def test_untagged_sockets_come_newest_first(passes: Any, page: Any) -> None:
    """WS-4, LT-90."""

    async def drive(world: World) -> None:
        tabs = [page(world, "ROOM", "r", sub=name) for name in ("alice", "bob", "carol")]
        await world.settle()
        assert await world.env.ROOM.get_by_name("r").send_all("hello") == [3, 2, 1]
        await world.settle()
        assert [tab.got for tab in tabs] == [["welcome", "hello"]] * 3

    passes(drive, ROOM=Room)


def test_messages_of_one_socket_begin_in_order_and_interleave_at_real_waits(passes: Any, page: Any, roams: Any) -> None:
    """WS-11, LT-73, LT-74, LT-75."""

    async def drive(world: World) -> None:
        Room.log = []
        tab = page(world, "ROOM", "r")
        await world.settle()
        Room.log.clear()
        tab.send("remote")
        tab.send(b"bytes")
        tab.send("storage")
        tab.send("storage")
        await world.settle()
        assert [entry for entry in Room.log if entry.startswith("begin")] == [
            "begin 'remote'", "begin b'bytes'", "begin 'storage'", "begin 'storage'",
        ]  # fmt: skip
        at = Room.log.index("begin 'storage'")
        assert [e for e in Room.log[at:] if "storage" in e] == ["begin 'storage'", "end 'storage'"] * 2
        assert tab.got == ["welcome", b"bytes!"]
        overlaps.add(Room.log[1] == "begin b'bytes'")

    overlaps: set[bool] = set()
    passes(drive, ROOM=Room, REMOTE=Remote)
    assert overlaps == {True}
    roams(drive, ROOM=Room, REMOTE=Remote, schedules=20)


def test_a_throwing_handler_leaves_the_socket_open(passes: Any, page: Any) -> None:
    """WS-13, LC-30, LT-88: logged, and memory is kept."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        tab.send("throw")
        tab.send("state")
        await world.settle()
        assert tab.got[1].startswith("thrown ")
        assert "in the handler" in world.errors_logged[0]
        assert Room.constructed == 1

    passes(drive, ROOM=Room)


def test_the_peers_close_is_heard_once_with_the_socket_still_listed(passes: Any, page: Any) -> None:
    """WS-5, WS-14, WS-15, WS-16, WS-29, LT-84: clean, with the code of the frame."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        tab.socket.close(4001, "going")
        await world.settle()
        assert [entry for entry in Room.log if entry[0] == "close"] == [("close", 4001, "going", True, 1, 3)]
        assert world.object("ROOM", "r").sockets == 0
        assert tab.closed is not None
        assert tab.closed[:2] == (4001, "going")

    passes(drive, ROOM=Room)


def test_a_close_without_code_is_1005(passes: Any, page: Any) -> None:
    """WS-14."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        tab.socket.close()
        await world.settle()
        assert ("close", 1005, "", True, 1, 3) in Room.log

    passes(drive, ROOM=Room)


def test_a_lost_connection_is_1006(passes: Any, page: Any) -> None:
    """WS-14, LT-83: also where the object hibernates; it wakes for it."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        world.object("ROOM", "r").hibernate()
        world.sockets.wires.cut(tab.connection)
        await world.settle()
        text = "WebSocket disconnected without sending Close frame."
        assert [entry for entry in Room.log if entry[0] == "close"] == [("close", 1006, text, False, 1, 2)]
        assert tab.closed == (1006, "", False)
        assert Room.constructed == 2

    passes(drive, ROOM=Room)


def test_the_objects_own_close_reaches_the_peer_and_is_answered(passes: Any, page: Any) -> None:
    """WS-14: the answering frame runs the handler too."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        tab.send("close")
        await world.settle()
        assert tab.closed == (4000, "bye", True)
        assert ("close", 4000, "bye", True, 1, 3) in Room.log
        assert world.object("ROOM", "r").sockets == 0

    passes(drive, ROOM=Room)


@pytest.mark.parametrize("end", ["crash", "evict", "abort"])
def test_a_reset_or_an_eviction_cuts_all_sockets(passes: Any, page: Any, end: str) -> None:
    """LC 1.4, LC-20, WS-31, WS-32: 1006 at the client, no handler runs, what was queued is lost."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        view = world.object("ROOM", "r")
        if end == "abort":
            tab.send("abort")
        else:
            getattr(view, end)()
        await world.settle()
        assert tab.closed == (1006, "", False)
        assert tab.got == ["welcome"]
        assert not [entry for entry in Room.log if entry[0] == "close"]
        assert view.sockets == 0
        assert await world.env.ROOM.get_by_name("r").send_all("x") == []

    passes(drive, ROOM=Room)


def test_a_constructor_that_raises_on_a_message_loses_it_and_all_sockets(passes: Any, page: Any) -> None:
    """WS-19."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        world.object("ROOM", "r").hibernate()
        Room.fragile = True
        tab.send("state")
        await world.settle()
        assert tab.closed == (1006, "", False)
        assert world.object("ROOM", "r").sockets == 0

    passes(drive, ROOM=Room)


def test_an_auto_response_wakes_nobody(passes: Any, page: Any) -> None:
    """LC-24, WS-20, WS-21, LT-79: any other text does."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        await world.advance(11)
        tab.send("ping")
        at = world.host.now_ms()
        await world.settle()
        assert tab.got == ["welcome", "pong"]
        assert not world.object("ROOM", "r").in_memory
        assert Room.constructed == 1
        tab.send("ping ")
        await world.settle()
        assert Room.constructed == 2
        assert await world.env.ROOM.get_by_name("r").answered_at() == ["ping", at]

    passes(drive, ROOM=Room)


def test_an_auto_response_passes_the_gate(passes: Any, page: Any) -> None:
    """OG-7, LT-80."""

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        tab.send("storage")
        tab.send("ping")
        await world.advance(0.1)
        assert tab.got == ["welcome", "pong"]

    passes(drive, plan={fault_label("slow-flush", "ROOM/r", 0): 2}, ROOM=Room)


def test_an_upgrade_may_be_refused(passes: Any, page: Any) -> None:
    """WS-1."""

    class Closed(DurableObject):
        def fetch(self, request: Request) -> Response:
            return Response(403, "no")

    async def drive(world: World) -> None:
        refused, failed = page(world, "CLOSED", "c"), page(world, "BARE", "b")
        await world.settle()
        for tab in (refused, failed):
            assert not tab.opened
            assert isinstance(tab.got[0], ConnectionError)
            assert tab.closed == (1006, "", False)

    passes(drive, CLOSED=Closed, BARE=DurableObject)


def test_messages_without_a_handler_are_dropped(passes: Any, page: Any) -> None:
    """WS-10."""

    class Deaf(DurableObject):
        def fetch(self, request: Request) -> Response:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(101, web_socket=client)

    async def drive(world: World) -> None:
        tab = page(world, "DEAF", "d")
        await world.settle()
        tab.send("x")
        tab.socket.close(1000, "")
        await world.settle()
        assert world.object("DEAF", "d").sockets == 0
        assert world.errors_logged == []

    passes(drive, DEAF=Deaf)


# ------------------------------------------------------------------------------------------- through the mesh


class Doc(LumenizeDO):
    """Counts in memory and in storage."""

    constructed = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Doc.constructed += 1
        self.visits = 0

    @mesh
    def visit(self) -> list[Any]:
        self.visits += 1
        total = self.ctx.storage.kv.get("total", 0) + 1
        self.ctx.storage.kv.put("total", total)
        return [self.visits, total, self.lmz.instance_name]


class Tab(LumenizeClient):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.heard: list[Any] = []

    def visit(self) -> None:
        self.lmz.call("DOC", "d1", self.ctn(Doc).visit(), self.ctn().on_visit(self.lmz_result()))

    def lmz_result(self) -> Any:
        from lumenize_sim import RESULT

        return RESULT

    def on_visit(self, result: Any) -> None:
        self.heard.append(result)


@pytest.mark.parametrize("end", ["hibernate", "evict", "crash"])
def test_a_mesh_goes_on_over_hibernation_of_its_gateway_and_its_objects(passes: Any, end: str) -> None:
    """LC-14, LC-24, DO-1, LMZ-2: the client's socket survives, and the object remembers who it is."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        tab.visit()
        await world.settle()
        world.object("LUMENIZE_CLIENT_GATEWAY", "alice.tab1").hibernate()
        getattr(world.object("DOC", "d1"), end)()
        tab.visit()
        await world.settle()
        assert tab.heard == [[1, 1, "d1"], [1, 2, "d1"]]
        assert world.object("LUMENIZE_CLIENT_GATEWAY", "alice.tab1").incarnations == 2

    passes(drive, DOC=Doc)


def test_reading_the_identity_leaves_no_trace(passes: Any) -> None:
    """LMZ-2: an object knows its names without asking storage again; after `delete_all` it asks."""

    class Named(LumenizeDO):
        def names(self) -> list[Any]:
            return [self.lmz.instance_name, self.lmz.binding_name]

        def learn(self) -> None:
            self.lmz.init_identity("NAMED", "n")

        async def wipe(self) -> list[Any]:
            await self.ctx.storage.delete_all()
            return self.names()

    async def drive(world: World) -> None:
        stub = world.env.NAMED.get_by_name("n")
        await stub.learn()
        for _ in range(3):
            assert await stub.names() == ["n", "NAMED"]
        world.object("NAMED", "n").evict()
        assert await stub.names() == ["n", "NAMED"]
        assert await stub.wipe() == [None, None]

    outcome = passes(drive, NAMED=Named)
    assert outcome.trace is not None
    reads = [e for e in outcome.trace.events if e.kind == "read" and "__lmz" in str(e.data)]
    assert reads == []


# ------------------------------------------------------------------------------------------- planned ends


@pytest.mark.parametrize("kind", ["hibernate", "evict", "crash"])
@pytest.mark.parametrize("boundary", range(4))
def test_an_end_between_any_two_turns_loses_memory_and_no_acknowledged_write(
    passes: Any, kind: str, boundary: int
) -> None:
    """LC-14, LC-15, OG-14: where the object is busy, a gentle end does not happen."""

    class Counter(DurableObject):
        async def add(self) -> int:
            n: int = self.ctx.storage.kv.get("n", 0) + 1
            self.ctx.storage.kv.put("n", n)
            await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
            return n

    async def drive(world: World) -> None:
        done = 0
        for _ in range(4):
            [result] = await outcomes(world.env.COUNTER.get_by_name("c").add())
            done = result if isinstance(result, int) else done
            assert isinstance(result, int) or flags(result) == {"retryable"}
        assert world.object("COUNTER", "c").storage.kv.get("n") >= done

    outcome = passes(drive, plan={fault_label(kind, "COUNTER/c", boundary): 1}, COUNTER=Counter)
    assert outcome.faults in ({kind: 1}, {})
    assert kind != "crash" or outcome.faults


def test_a_stored_alarm_is_armed_when_its_machine_is_made(passes: Any) -> None:
    """AL-12: with nothing but storage left."""
    from lumenize_sim.objects.ids import id_from_name
    from lumenize_sim.objects.machine import ObjectMachine
    from lumenize_sim.objects.storage import Durable

    async def drive(world: World) -> None:
        durable = Durable()
        durable.alarm_ms = world.host.now_ms() + 1000
        host = world.machines.named("ROOM", "r").host
        machine = ObjectMachine(
            host, "ROOM/again", Room, id_from_name("ROOM", "again"), lambda _: None, durable=durable
        )
        assert machine.alarms.scheduler.wake_ms == durable.alarm_ms
        machine.alarms.timer.cancel()  # type: ignore[union-attr]  # armed, as was just asserted

    passes(drive, ROOM=Room)


def test_what_a_continuation_aborts_ends_there(passes: Any) -> None:
    """LC-32: code that the machine calls back into, not through a task."""

    class Hasty(LumenizeDO):
        def go(self) -> None:
            self.env.REMOTE.ping().when_done(lambda _: self.ctx.abort("in a continuation"))

        def hello(self) -> str:
            return "hello"

    async def drive(world: World) -> None:
        stub = world.env.H.get_by_name("h")
        await stub.go()
        await world.settle()
        assert "in a continuation" in str(await error_of(stub.hello()))
        assert await world.env.H.get_by_name("h").hello() == "hello"

    passes(drive, H=Hasty, REMOTE=Remote)

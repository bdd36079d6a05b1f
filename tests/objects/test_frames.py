"""What arrives at an object's hibernatable sockets, and what leaves: order, close handshake, limits (WS-*, OG-7)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, Mesh, World, WorldOptions, explore, scenario, simulate
from lumenize_sim.clone import RangeError
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.objects import Request, Response, WebSocketPair, WebSocketRequestResponsePair
from lumenize_sim.objects.options import EXPLORED, MachineOptions
from lumenize_sim.objects.websocket import WebSocket
from lumenize_sim.world.run import run_scenario

LOST = "WebSocket disconnected without sending Close frame."
RESET = "Durable Object connection closed because the object was reset."


class Room(DurableObject):
    """Does what it is told: ``commands`` by message."""

    log: tuple[Any, ...] = ()

    def note(self, *entry: Any) -> None:
        self.log = (*self.log, entry[0] if len(entry) == 1 else entry)

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, ["t"])
        return Response(101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        assert isinstance(message, str)
        verb, _, rest = message.partition(" ")
        if verb == "wait":
            self.note("begin", rest)
            await trio.sleep(0.1)
            self.note("end", rest)
        elif verb == "hold":

            async def callback() -> None:
                await trio.sleep(0.1)
                self.note("hold-end")

            await self.ctx.block_concurrency_while(callback)
        elif verb == "write":
            self.ctx.storage.kv.put("k", rest)
            ws.send(f"wrote {rest}")
        elif verb == "close":
            ws.close(4000, "own")
        elif verb == "abort":
            self.ctx.abort("x")
        elif verb == "limit":
            self.ctx.set_hibernatable_web_socket_event_timeout(int(rest))
            ws.send(str(self.ctx.get_hibernatable_web_socket_event_timeout()))
        elif verb == "sleep":
            await trio.sleep(float(rest))
            ws.send("slept")
        else:
            self.note(message)

    def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> Any:
        self.note("close", code, reason, was_clean, ws.ready_state)
        if reason == "answer":
            ws.close(4002, "srv")
        elif reason == "write":
            self.ctx.storage.kv.put("k", 1)
            ws.send("last")
        elif reason == "late":
            return self._late(ws)
        return None

    async def _late(self, ws: WebSocket) -> None:
        await trio.sleep(0.1)
        ws.close(4002, "late")

    def web_socket_error(self, ws: WebSocket, error: Exception) -> None:
        self.note("error", str(error), ws.ready_state)

    def mark(self, text: str) -> None:
        self.note(text)

    def auto(self) -> None:
        self.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))


def passes(drive: Any, **options: Any) -> Any:
    run = simulate(scenario(Mesh(bindings={"D": Room}), options=WorldOptions(**options))(drive))
    assert run.failure is None, run.outcome.message
    return run


def log(world: World) -> list[Any]:
    return list(world.object("D", "o").instance.log)


# ------------------------------------------------------------------------------------------- reading


def test_the_next_message_asks_for_its_turn_when_the_first_turn_of_the_one_before_is_over() -> None:
    """WS-11: so a call that arrived between them is ahead of the second."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        for message in ("hold", "a", "b"):
            ws.send(message)
        await world.advance(0.05)
        await world.env.D.get_by_name("o").mark("call")
        await world.settle()
        assert log(world) == ["hold-end", "a", "call", "b"]

    passes(drive)


def test_handlers_of_one_socket_overlap_at_real_waits() -> None:
    """WS-11."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("wait 1")
        ws.send("wait 2")
        await world.settle()
        assert log(world) == [("begin", "1"), ("begin", "2"), ("end", "1"), ("end", "2")]

    passes(drive)


def test_nothing_orders_two_sockets() -> None:
    """WS-12: not even those of one browser; each alone keeps its order."""

    async def drive(world: World) -> None:
        one, two = [await world.open_socket("D", "o", client="alice") for _ in range(2)]
        for nth in range(2):
            one.send(f"a{nth}")
            two.send(f"b{nth}")
        await world.settle()
        heard = "".join(entry[0] for entry in log(world))
        assert [entry for entry in log(world) if entry[0] == "a"] == ["a0", "a1"]
        assert [entry for entry in log(world) if entry[0] == "b"] == ["b0", "b1"]
        world.sometimes(heard)

    report = explore(scenario(Mesh(bindings={"D": Room}))(drive), schedules=100)
    assert not report.failures
    assert {"abab", "baba", "aabb", "bbaa"} <= {name for name, seen in report.marks.items() if seen}


def test_an_auto_response_waits_for_the_messages_before_it_to_be_read() -> None:
    """WS-11, WS-20: the platform reads one socket in order, and answers while it reads."""

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("o").auto()
        ws = await world.open_socket("D", "o")
        for message in ("hold", "a", "ping", "ping", "b"):
            ws.send(message)
        await world.advance(0.05)
        assert ws.messages == []
        await world.settle()
        assert ws.messages == ["pong", "pong"]
        assert log(world) == ["hold-end", "a", "b"]

    passes(drive)


def test_what_a_reset_cuts_off_is_not_read_any_more() -> None:
    """IG-32, WS-32."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        for message in ("abort", "a", "b"):
            ws.send(message)
        assert await ws.closed() == (1006, "", False)
        await world.settle()
        assert world.object("D", "o").instance is None

    passes(drive)


@pytest.mark.parametrize("data", ["x" * 101, "é" * 51, b"x" * 101])
def test_a_message_over_the_limit_is_an_error_and_ends_the_connection(data: str | bytes) -> None:
    """WS-30, WS-29."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("x" * 100)
        ws.send(data)
        assert (await ws.closed())[0] == 1009
        await world.settle()
        assert log(world) == [
            "x" * 100,
            ("error", "WebSocket message is too large; the limit is 100 bytes.", 3),
        ]
        assert world.object("D", "o").sockets == 0

    passes(drive, objects=MachineOptions(web_socket_max_bytes=100))


def test_the_limit_of_messages_is_the_platforms() -> None:
    """WS-30."""
    assert MachineOptions().web_socket_max_bytes == 32 << 20


# ------------------------------------------------------------------------------------------- closing


@pytest.mark.parametrize(
    "options, reason, seen, state",
    [
        # Production, from the date of the flag on: answered with code and reason of the peer; close() is ignored.
        ({}, "bye", (4001, "bye", True), 3),
        ({}, "answer", (4001, "answer", True), 3),
        ({"compatibility_date": "2026-04-07"}, "late", (4001, "late", True), 3),
        # Before: the handler answers, or the client sees 1006.
        ({"compatibility_date": "2026-04-06"}, "bye", (1006, "", False), 2),
        ({"compatibility_date": "2026-04-06"}, "answer", (4002, "srv", True), 2),
        ({"compatibility_date": "2026-04-06"}, "late", (4002, "late", True), 2),
        ({"compatibility_flags": ("web_socket_manual_reply_to_close",)}, "bye", (1006, "", False), 2),
        # The open-source runtime answers at no date, and does not end the connection either.
        ({"runtime": "workerd"}, "bye", None, 2),
        ({"runtime": "workerd", "compatibility_date": "2026-04-20"}, "bye", None, 2),
        ({"runtime": "workerd", "compatibility_flags": ("web_socket_auto_reply_to_close",)}, "bye", None, 2),
        ({"runtime": "workerd"}, "answer", (4002, "srv", True), 2),
        ({"runtime": "workerd"}, "late", (4002, "late", True), 2),
        # What nobody documents: the answer after the handler, unless that has closed the socket.
        ({"web_socket_close_reply": "after"}, "bye", (4001, "bye", True), 2),
        ({"web_socket_close_reply": "after"}, "answer", (4002, "srv", True), 2),
    ],
)
def test_who_answers_a_close_frame(options: dict[str, Any], reason: str, seen: Any, state: int) -> None:
    """WS-14, WS-16, WS-29, LT-84, Appendix C."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.close(4001, reason)
        await world.settle()
        assert log(world) == [("close", 4001, reason, True, state)]
        assert world.object("D", "o").sockets == 0
        if seen is None:
            assert (ws.close_frame, ws.close_code, ws.ready_state) == (None, None, 2)
        else:
            assert (ws.close_code, ws.close_reason, ws.was_clean) == seen
            assert (ws.close_frame is None) == (seen[0] == 1006)

    passes(drive, objects=MachineOptions(**options))


@pytest.mark.parametrize("how, got", [("before", []), ("gated", []), ("after", ["last"])])
def test_the_order_of_the_answer_and_of_what_the_handler_sends(how: Any, got: list[str]) -> None:
    """WS-16, open point 7 of section 12: nothing can be sent after the answer."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.close(4001, "write")
        await ws.closed()
        await world.settle()
        # A browser that closes reads no more; so look at what was sent.
        frames = [c.ways["v"].frames for c in world.sockets.connections]
        assert frames == [len(got)]

    passes(drive, objects=MachineOptions(web_socket_close_reply=how))


def test_an_explored_order_of_the_answer_reaches_each() -> None:
    """WS-16: an uncertain point is drawn for each run."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.close(4001, "answer")
        world.sometimes(f"seen {(await ws.closed())[0]}")

    options = WorldOptions(objects=MachineOptions(web_socket_close_reply=EXPLORED))
    report = explore(scenario(Mesh(bindings={"D": Room}), options=options)(drive), schedules=60)
    assert not report.failures
    assert {"seen 4001", "seen 4002"} <= {name for name, seen in report.marks.items() if seen}


def test_the_peer_may_close_after_the_object_has() -> None:
    """WS-14, WS-15, WS-29: closed on both sides, once."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o", auto_reply=False)
        ws.send("close")
        await world.settle()
        (server,) = world.object("D", "o").instance.ctx.get_web_sockets()
        assert server.ready_state == 2
        ws.close(4001, "mine")
        ws.close(4001, "again")
        assert await ws.closed() == (4000, "own", True)
        assert log(world) == [("close", 4001, "mine", True, 3)]

    passes(drive)


@pytest.mark.parametrize("code, seen", [(1006, (1006, "", False)), (1012, (1012, RESET, True))])
def test_what_a_client_sees_when_the_instance_is_lost(code: int, seen: Any) -> None:
    """WS-32, LC-20, LC-27, LC-29, open point 5 of section 12: no close frame, or one with a code of the platform's."""

    async def drive(world: World) -> None:
        sockets = [await world.open_socket("D", "o") for _ in range(2)]
        sockets[0].send("abort")
        for ws in sockets:
            assert await ws.closed() == seen
        ws = await world.open_socket("D", "o")
        world.object("D", "o").evict()
        assert await ws.closed() == seen
        # Also where the object hibernates, and by new code.
        for end in (lambda: world.object("D", "o").evict(), lambda: world.deploy("D")):
            ws = await world.open_socket("D", "o")
            world.object("D", "o").hibernate()
            end()
            assert await ws.closed() == seen

    passes(drive, objects=MachineOptions(web_socket_lost_code=code))


# ------------------------------------------------------------------------------------------- time


def test_a_handler_over_its_time_ends_the_instance() -> None:
    """WS-17: with all sockets; one that is in time does not."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("limit 1000")
        ws.send("sleep 0.9")
        assert [await ws.receive(), await ws.receive()] == ["1000", "slept"]
        before = world.now()
        ws.send("sleep 1.1")
        assert await ws.closed() == (1006, "", False)
        assert world.now() - before == pytest.approx(1.0)
        # A reset forgets it (WS-22).
        ws = await world.open_socket("D", "o")
        ws.send("sleep 1.1")
        assert await ws.receive() == "slept"

    passes(drive)


def test_callers_hear_what_has_ended_the_instance() -> None:
    """WS-17: the text of the platform."""

    class Slow(Room):
        async def work(self) -> None:
            await trio.sleep(60)

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("limit 5")
        await ws.receive()
        call = world.env.D.get_by_name("o").work()
        ws.send("sleep 1")
        with pytest.raises(Exception, match=r"^Actor exceeded event execution time and was disconnected\.$") as caught:
            await call
        assert caught.value.retryable  # type: ignore[attr-defined]  # as the platform sets it

    run = simulate(scenario(Mesh(bindings={"D": Slow}))(drive))
    assert run.failure is None, run.outcome.message


def test_the_event_timeout_is_checked_and_survives_hibernation() -> None:
    """WS-17, and the table of 1.4."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ctx = world.object("D", "o").instance.ctx
        with pytest.raises(RangeError):
            ctx.set_hibernatable_web_socket_event_timeout(604_800_001)
        ctx.set_hibernatable_web_socket_event_timeout(604_800_000)
        world.object("D", "o").hibernate()
        ws.send("limit 604800000")
        assert await ws.receive() == "604800000"
        ctx = world.object("D", "o").instance.ctx
        ctx.set_hibernatable_web_socket_event_timeout()
        assert ctx.get_hibernatable_web_socket_event_timeout() is None

    passes(drive)


# ------------------------------------------------------------------------------------------- leaving


def test_an_auto_response_passes_the_gate_unless_its_socket_stands_still() -> None:
    """OG-7, LT-80."""

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("o").auto()
        one, two = await world.open_socket("D", "o"), await world.open_socket("D", "o")
        world.object("D", "o").slow_next_flush(1.0)
        one.send("write 1")
        await world.advance(0.1)
        one.send("ping")
        two.send("ping")
        await world.advance(0.1)
        assert (one.messages, two.messages) == ([], ["pong"])
        await world.settle()
        assert one.messages == ["wrote 1", "pong"]

    passes(drive)


def test_what_waits_for_the_gate_is_lost_with_the_instance() -> None:
    """WS-31, LT-89."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        world.object("D", "o").slow_next_flush(1.0)
        ws.send("write 1")
        await world.advance(0.1)
        world.object("D", "o").crash()
        assert await ws.closed() == (1006, "", False)
        assert ws.messages == []

    passes(drive)


@pytest.mark.parametrize("dies", [False, True])
def test_what_a_slow_client_has_not_read_is_lost_with_the_instance(dies: bool) -> None:
    """WS-31, LT-89: and never delivered by the next one."""

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        world.network.stall(ws)
        ws.send("write 1")
        await world.settle()
        assert ws.messages == []
        if dies:
            world.object("D", "o").crash()
            await ws.closed()
            await world.env.D.get_by_name("o").mark("next")
        else:
            world.network.resume(ws)
        await world.settle()
        assert ws.messages == ([] if dies else ["wrote 1"])

    passes(drive)


@pytest.mark.parametrize("crash", [0, 1])
def test_a_slow_reader_is_a_fault_that_can_be_planned(crash: int) -> None:
    """WS-31: late, or lost where the object goes meanwhile."""
    got: list[Any] = []

    async def drive(world: World) -> None:
        ws = await world.open_socket("D", "o")
        ws.send("write 1")
        await world.advance(0.9)
        got.append(list(ws.messages))
        if crash:
            world.object("D", "o").crash()
        await world.settle()
        got.append(list(ws.messages))

    made = scenario(Mesh(bindings={"D": Room}))(drive)
    run = run_scenario(made, GuidedChooser(), plan=FaultPlan({"browser1~0v%slow-reader#0": 1}))
    assert not run.failed, run.message
    assert run.faults["slow-reader"] == 1
    assert got == [[], [] if crash else ["wrote 1"]]


def test_the_order_of_get_web_sockets_is_an_option() -> None:
    """WS-4, LT-90."""

    async def drive(world: World) -> None:
        for _ in range(2):
            await world.open_socket("D", "o")
        ctx = world.object("D", "o").instance.ctx
        tagged = ctx.get_web_sockets("t")
        newest_first = world.options.objects.web_sockets_newest_first
        assert ctx.get_web_sockets() == (tagged[::-1] if newest_first else tagged)

    for newest_first in (True, False):
        passes(drive, objects=MachineOptions(web_sockets_newest_first=newest_first))

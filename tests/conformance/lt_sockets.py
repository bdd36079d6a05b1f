"""LT-27, LT-28, and LT-73 to LT-90: web sockets and the life cycle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lumenize_sim import DurableObject, World
from lumenize_sim.objects import Request, Response, WebSocketPair, WebSocketRequestResponsePair
from tests.conformance.lt_parts import EPOCH_MS, EXACT, Logging, log, logged, lt, outcome_of, said, seconds
from tests.conformance.program import ISOLATE, PRODUCTION, WORKERD

GROUP = "10.7 WebSockets and life cycle"
test: Callable[..., Any] = partial(lt, group=GROUP)


class Room(Logging):
    """Accepts what comes; each test says in ``ISOLATE`` what handlers do."""

    def fetch(self, request: Request) -> Response:
        pair = WebSocketPair()
        tags = [tag for tag in str(request.url).rpartition("/")[2].split(",") if tag]
        if "standard" in tags:
            pair[1].accept()
            pair[1].add_event_listener("message", lambda event: self.standard(pair[1], event))
        else:
            self.ctx.accept_web_socket(pair[1], tags)
            if "attached" in tags:
                pair[1].serialize_attachment({"x": 1})
                self.m = "field"
        return Response(101, web_socket=pair[0])

    def standard(self, ws: Any, event: Any) -> None:
        log(event.data)

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        await ISOLATE["message"](self, ws, message)

    async def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        log(["close", code, reason, was_clean])
        handler = ISOLATE.get("close")
        if handler is not None:
            await handler(self, ws, code, reason)

    def web_socket_error(self, ws: Any, error: Any) -> None:
        log(["error"])

    def pair_up(self) -> None:
        self.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))

    def later(self, delay_s: float) -> None:
        self.ctx.set_timeout(lambda: log(["timer", self.now_s()]), delay_s)

    def now_s(self) -> float:
        return (self.ctx.now() - EPOCH_MS) / 1000

    def sockets(self) -> int:
        return len(self.ctx.get_web_sockets())

    async def put_and_send(self, text: str) -> None:
        self.ctx.storage.put("a", 1)
        for ws in self.ctx.get_web_sockets():
            ws.send(text)

    async def send_and_put(self, text: str) -> None:
        for ws in self.ctx.get_web_sockets():
            ws.send(text)
        self.ctx.storage.put("a", 1)

    def put(self) -> None:
        self.ctx.storage.put("a", 1)

    def order(self) -> Any:
        def names(tag: str | None) -> list[str]:
            return [self.ctx.get_tags(ws)[0] for ws in self.ctx.get_web_sockets(tag)]

        return {"untagged": names(None), "tagged": names("t")}

    async def attach_and_roll_back(self) -> Any:
        (ws,) = self.ctx.get_web_sockets()
        value = {"x": 1}
        self.m = "kept"

        async def body(_: Any) -> None:
            await self.ctx.storage.put("a", 1)
            ws.serialize_attachment(value)
            value["x"] = 2
            raise ValueError("E")

        error = await outcome_of(self.ctx.storage.transaction(body))
        return [error, ws.deserialize_attachment(), dict(await self.ctx.storage.list()), self.m]

    def attach(self, size: int) -> str:
        """A text of ``size`` bytes with what serialisation adds."""
        (ws,) = self.ctx.get_web_sockets()
        try:
            ws.serialize_attachment("x" * size)
        except Exception as error:
            return said(error)
        return "ok"


class Clock(Room):
    async def set_alarm(self, in_s: float) -> None:
        await self.ctx.storage.set_alarm(self.ctx.now() + 1000 * in_s)

    def alarm(self, info: Any) -> None:
        log(self.sockets())


D: dict[str, type[DurableObject]] = {"D": Room}
TOO_LARGE = "Error: A WebSocket 'attachment' cannot be larger than 16384 bytes.'attachment' was 16385 bytes."


async def with_f(self: Room, ws: Any, message: Any) -> None:
    log(f"s{message}")
    await self.f()
    log(f"e{message}")


async def with_storage(self: Room, ws: Any, message: Any) -> None:
    log(f"s{message}")
    await self.ctx.storage.put("a", message)
    await self.ctx.storage.get("a")
    log(f"e{message}")


async def note(self: Room, ws: Any, message: Any) -> None:
    log(message)


@test(
    "LT-27",
    "OG-10",
    "WS-32",
    bindings=D,
    allowed=[{"messages": [], "close": 1006, "next": 0}],
    never={"the message was seen": lambda o: o["messages"] != []},
    exhaustive=True,
    title="write and ws.send, the flush fails",
)
async def lt_27(world: World) -> Any:
    ws = await world.open_socket("D", "o")
    world.object("D", "o").fail_next_flush()
    await outcome_of(world.env.D.get_by_name("o").put_and_send("m"))
    await world.settle()
    return {
        "messages": ws.messages,
        "close": ws.close_code,
        "next": await world.env.D.get_by_name("o").sockets(),
    }


@test(
    "LT-28",
    "OG-9",
    bindings=D,
    allowed=[[["m"], 1.0]],
    never={"held by the later write": lambda o: o[0] == []},
    options=EXACT,
    exhaustive=True,
    title="ws.send, then a write with a slow flush",
)
async def lt_28(world: World) -> Any:
    ws = await world.open_socket("D", "o")
    world.object("D", "o").slow_next_flush(1)
    answer = world.env.D.get_by_name("o").send_and_put("m")
    await world.advance(0.5)
    messages = list(ws.messages)
    await answer
    return [messages, seconds(world)]


@test(
    "LT-73",
    "WS-11",
    bindings=D,
    allowed=[list(range(1, 101))],
    never={"another order": lambda o: o != sorted(o)},
    at_most=100,
    title="messages of one socket begin in order",
)
async def lt_73(world: World) -> Any:
    ISOLATE["message"] = with_f
    ws = await world.open_socket("D", "o")
    for n in range(1, 101):
        ws.send(str(n))
    await world.settle()
    return [int(line[1:]) for line in logged() if line[0] == "s"]


@test(
    "LT-74",
    "WS-11",
    bindings=D,
    allowed=[["s1", "s2", "e1", "e2"]],
    also={"RPC-3: replies return in any order": [["s1", "s2", "e2", "e1"]]},
    never={"only serial": lambda o: o == ["s1", "e1", "s2", "e2"]},
    options=EXACT,
    title="handlers of one socket overlap",
)
async def lt_74(world: World) -> Any:
    ISOLATE["message"] = with_f
    ws = await world.open_socket("D", "o")
    ws.send("1")
    ws.send("2")
    await world.settle()
    return logged()


@test(
    "LT-75",
    "IG-10",
    bindings=D,
    allowed=[["s1", "e1", "s2", "e2"]],
    title="handlers that use only storage do not",
)
async def lt_75(world: World) -> Any:
    ISOLATE["message"] = with_storage
    ws = await world.open_socket("D", "o")
    ws.send("1")
    ws.send("2")
    await world.settle()
    return logged()


async def look(self: Room, ws: Any, message: Any) -> None:
    log([message, ISOLATE["constructed"], self.m, ws.deserialize_attachment(), self.ctx.get_tags(ws)])


async def idle(world: World, idle_s: float, *, tags: str = "attached,t") -> Any:
    """Connect, be idle for so long, and send two messages."""
    ISOLATE["message"] = look
    ws = await world.open_socket("D", "o", f"/{tags}")
    await world.advance(idle_s)
    ws.send("1")
    ws.send("2")
    await world.settle()
    return [*logged(), ws.close_code]


KEPT: list[Any] = [{"x": 1}, ["attached", "t"]]


@test(
    "LT-76",
    "LC-14",
    "WS-9",
    bindings=D,
    allowed=[[["1", 2, None, *KEPT], ["2", 2, None, *KEPT], None]],
    options=EXACT,
    title="hibernation after 10 s",
)
async def lt_76(world: World) -> Any:
    return await idle(world, 10.1)


@test(
    "LT-76 before",
    "LC-14",
    "LC-16",
    bindings=D,
    allowed=[[["1", 1, "field", *KEPT], ["2", 1, "field", *KEPT], None]],
    options=EXACT,
    title="no hibernation after 9.9 s",
)
async def lt_76_before(world: World) -> Any:
    return await idle(world, 9.9)


@test(
    "LT-77",
    "LC-17",
    bindings=D,
    allowed=[[["timer", 60.0], ["1", 1, "field", *KEPT]]],
    options=EXACT,
    title="a timer blocks hibernation",
)
async def lt_77(world: World) -> Any:
    ISOLATE["message"] = look
    ws = await world.open_socket("D", "o", "/attached,t")
    await world.env.D.get_by_name("o").later(60)
    await world.advance(65)
    ws.send("1")
    await world.settle()
    return logged()


@test(
    "LT-79",
    "WS-20",
    bindings=D,
    allowed=[{"messages": ["pong"], "before": 1, "log": ["ping "], "after": 2}],
    options=EXACT,
    title="an auto-response does not wake",
)
async def lt_79(world: World) -> Any:
    ISOLATE["message"] = note
    ws = await world.open_socket("D", "o")
    await world.env.D.get_by_name("o").pair_up()
    await world.advance(10.1)
    ws.send("ping")
    await world.advance(1)
    before = ISOLATE["constructed"]
    ws.send("ping ")
    await world.settle(1)
    return {"messages": ws.messages, "before": before, "log": logged(), "after": ISOLATE["constructed"]}


@test(
    "LT-80",
    "OG-7",
    bindings=D,
    allowed=[["pong"]],
    options=EXACT,
    title="an auto-response bypasses the gate",
)
async def lt_80(world: World) -> Any:
    ws = await world.open_socket("D", "o")
    await world.env.D.get_by_name("o").pair_up()
    world.object("D", "o").slow_next_flush(1)
    world.env.D.get_by_name("o").put()
    await world.advance(0.2)
    ws.send("ping")
    await world.advance(0.2)
    return ws.messages


@test(
    "LT-80 queued",
    "OG-7",
    bindings=D,
    allowed=[[[], ["m", "pong"]]],
    options=EXACT,
    title="behind a gated send it queues",
)
async def lt_80_queued(world: World) -> Any:
    ws = await world.open_socket("D", "o")
    await world.env.D.get_by_name("o").pair_up()
    world.object("D", "o").slow_next_flush(1)
    world.env.D.get_by_name("o").put_and_send("m")
    await world.advance(0.2)
    ws.send("ping")
    await world.advance(0.2)
    early = list(ws.messages)
    await world.settle()
    return [early, ws.messages]


@test(
    "LT-81",
    "WS-8",
    bindings=D,
    allowed=[["ValueError: E", {"x": 1}, {}, "kept"]],
    title="an attachment is a copy, and no storage write",
)
async def lt_81(world: World) -> Any:
    await world.open_socket("D", "o")
    return await world.env.D.get_by_name("o").attach_and_roll_back()


@test(
    "LT-82",
    "WS-8",
    bindings=D,
    allowed=[["ok", TOO_LARGE]],
    title="an attachment of 16384 bytes, and of one more",
)
async def lt_82(world: World) -> Any:
    """Serialisation adds three bytes here to a text of that length."""
    await world.open_socket("D", "o")
    stub = world.env.D.get_by_name("o")
    return [await stub.attach(16384 - 5), await stub.attach(16384 - 4)]


@test(
    "LT-83",
    "WS-14",
    bindings=D,
    allowed=[[["close", 1006, "WebSocket disconnected without sending Close frame.", False]]],
    exhaustive=True,
    title="the client's connection dies",
)
async def lt_83(world: World) -> Any:
    ws = await world.open_socket("D", "o")
    ws.terminate()
    await world.settle()
    return logged()


async def fail(self: Room, ws: Any, message: Any) -> None:
    log([message, self.m])
    self.m = "kept"
    raise ValueError("E")


@test(
    "LT-88",
    "WS-13",
    bindings=D,
    allowed=[[["1", None], ["2", "kept"], None]],
    exhaustive=True,
    title="a throwing handler keeps socket and instance",
)
async def lt_88(world: World) -> Any:
    ISOLATE["message"] = fail
    ws = await world.open_socket("D", "o")
    ws.send("1")
    ws.send("2")
    await world.settle(5)
    return [*logged(), ws.close_code]


@test(
    "LT-89",
    "WS-31",
    bindings=D,
    allowed=[[[], 1006, []]],
    never={"delivered by the next instance": lambda o: o[0] != []},
    options=EXACT,
    title="a queued send dies with its instance",
)
async def lt_89(world: World) -> Any:
    """The client is slow, so the message is still on its way."""
    ws = await world.open_socket("D", "o")
    world.object("D", "o").slow_next_flush(5)
    world.env.D.get_by_name("o").put_and_send("m")
    await world.advance(1)
    world.object("D", "o").crash()
    await world.env.D.get_by_name("o").sockets()
    await world.settle()
    return [ws.messages, ws.close_code, logged()]


@test(
    "LT-90",
    "WS-4",
    bindings=D,
    allowed=[{"untagged": ["C", "B", "A"], "tagged": ["A", "B", "C"]}],
    title="the order of getWebSockets",
)
async def lt_90(world: World) -> Any:
    for name in "ABC":
        await world.open_socket("D", "o", f"/{name},t")
    return await world.env.D.get_by_name("o").order()


@test(
    "LT-63 hibernated",
    "AL-12",
    bindings={"D": Clock},
    allowed=[[2, 1]],
    options=EXACT,
    title="the alarm wakes a hibernated object, which has its sockets",
)
async def lt_63_hibernated(world: World) -> Any:
    await world.open_socket("D", "o")
    await world.env.D.get_by_name("o").set_alarm(60)
    await world.settle(300)
    return [ISOLATE["constructed"], *logged()]


@test(
    "LT-78",
    "WS-33",
    bindings=D,
    allowed=[["1", 1]],
    options=EXACT,
    title="a socket of the standard API blocks hibernation",
)
async def lt_78(world: World) -> Any:
    ws = await world.open_socket("D", "o", "/standard")
    await world.advance(60)
    ws.send("1")
    await world.settle(1)
    return [*logged(), ISOLATE["constructed"]]


async def close(world: World) -> Any:
    """The client closes.  What its connection ended with, or that it did not; what the handler saw; who is left."""
    ws = await world.open_socket("D", "o")
    ws.close(1000, "bye")
    await world.settle(5)
    return {
        "client": [ws.close_code, ws.was_clean, ws.close_frame and list(ws.close_frame)],
        "log": logged(),
        "left": await world.env.D.get_by_name("o").sockets(),
    }


async def look_at_state(self: Room, ws: Any, code: int, reason: str) -> None:
    log(ws.ready_state)


async def answer(self: Room, ws: Any, code: int, reason: str) -> None:
    log(ws.ready_state)
    ws.close(4000, "own")


HEARD = ["close", 1000, "bye", True]
NEW, OLD = {"compatibility_date": "2026-04-07"}, {"compatibility_date": "2026-04-06"}


@test(
    "LT-84",
    "WS-16",
    bindings=D,
    allowed={
        PRODUCTION: [{"client": [1000, True, [1000, "bye"]], "log": [HEARD, 3], "left": 0}],
        WORKERD: [{"client": [None, None, None], "log": [HEARD, 2], "left": 0}],
    },
    options={**EXACT, **NEW},
    title="the close handshake with the flag of 2026-04-07",
)
async def lt_84(world: World) -> Any:
    ISOLATE["close"] = look_at_state
    return await close(world)


@test(
    "LT-84 before",
    "WS-16",
    bindings=D,
    allowed={
        PRODUCTION: [{"client": [1006, False, None], "log": [HEARD, 2], "left": 0}],
        WORKERD: [{"client": [None, None, None], "log": [HEARD, 2], "left": 0}],
    },
    options={**EXACT, **OLD},
    title="the close handshake before it",
)
async def lt_84_before(world: World) -> Any:
    ISOLATE["close"] = look_at_state
    return await close(world)


@test(
    "LT-84 answered",
    "WS-16",
    bindings=D,
    allowed=[{"client": [4000, True, [4000, "own"]], "log": [HEARD, 2], "left": 0}],
    options={**EXACT, **OLD},
    title="the close handshake where the handler closes",
)
async def lt_84_answered(world: World) -> Any:
    ISOLATE["close"] = answer
    return await close(world)


@test(
    "LT-84 answered by itself",
    "WS-16",
    bindings=D,
    allowed={
        PRODUCTION: [{"client": [1000, True, [1000, "bye"]], "log": [HEARD, 3], "left": 0}],
        WORKERD: [{"client": [4000, True, [4000, "own"]], "log": [HEARD, 2], "left": 0}],
    },
    options={**EXACT, **NEW},
    title="the same with the flag: close() is ignored in production",
)
async def lt_84_ignored(world: World) -> Any:
    ISOLATE["close"] = answer
    return await close(world)

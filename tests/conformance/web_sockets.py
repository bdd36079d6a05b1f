"""Recorded programs about web sockets, hibernation and eviction."""

from __future__ import annotations

import json
from typing import Any

import trio

from lumenize_sim import DurableObject, World
from lumenize_sim.clone import error_name
from lumenize_sim.objects import Request, Response, WebSocketPair, WebSocketRequestResponsePair
from tests.conformance.program import ISOLATE, program

#: Longer than any message may be under way: everything that was sent has arrived.
SOON_S = 5.0


class Room(DurableObject):
    """D: accepts whoever comes, and notes what happens."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []
        self.m = 0
        ISOLATE["constructions"] = ISOLATE.get("constructions", 0) + 1

    def fetch(self, request: Request) -> Response:
        pair = WebSocketPair()
        self.ctx.accept_web_socket(pair[1])
        self.accepted(pair[1])
        return Response(101, web_socket=pair[0])

    def accepted(self, ws: Any) -> None:
        """Each program does its own here."""

    def read(self) -> Any:
        return {"log": self.log, "n": len(self.ctx.get_web_sockets())}

    def state(self) -> Any:
        return {
            "k": self.ctx.storage.kv.get("k"),
            "n": len(self.ctx.get_web_sockets()),
            "constructions": ISOLATE["constructions"],
        }


def closed(socket: Any) -> Any:
    """How the client's connection has ended, if it has."""
    return None if socket.close_code is None else [socket.close_code, socket.close_reason]


def frame(socket: Any) -> Any:
    """The close frame that the client has got, if any."""
    return None if socket.close_frame is None else list(socket.close_frame)


class Holding(Room):
    async def web_socket_message(self, ws: Any, message: Any) -> None:
        if message == "hold":

            async def section() -> None:
                await trio.sleep(0.015)
                self.log.append("hold-end")

            await self.ctx.block_concurrency_while(section)
        else:
            self.log.append(message)
        ws.send(message)


@program(
    "ws-bcw-holds-messages",
    bindings={"D": Holding},
    rules=("IG-22", "WS-11"),
    forbidden=lambda o: None if o["log"] == ["hold-end", "a", "b"] else "IG-22: a message came into the section",
    exhaustive=True,
)
async def ws_bcw_holds_messages(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    for message in ("hold", "a", "b"):
        socket.send(message)
    await world.advance(SOON_S)
    return {"got": socket.messages, "log": (await world.env.D.get_by_name("d").read())["log"]}


class NoReply(Room):
    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(["close", code, reason, was_clean, ws.ready_state, len(self.ctx.get_web_sockets())])


async def client_closes(world: World) -> Any:
    """The client closes with 4001 "bye"."""
    socket = await world.open_socket("D", "d")
    socket.close(4001, "bye")
    await world.advance(SOON_S)
    return {
        "client": closed(socket),
        "closeFrame": frame(socket),
        "server": await world.env.D.get_by_name("d").read(),
    }


NO_REPLY = ("WS-5", "WS-14", "WS-16", "WS-29", "LT-84")


@program("ws-client-close-noreply", bindings={"D": NoReply}, rules=NO_REPLY, exhaustive=True)
async def ws_client_close_noreply(world: World) -> Any:
    return await client_closes(world)


@program("ws-client-close-noreply-newdate", bindings={"D": NoReply}, rules=NO_REPLY, exhaustive=True)
async def ws_client_close_noreply_newdate(world: World) -> Any:
    return await client_closes(world)


@program("ws-client-close-noreply-flag", bindings={"D": NoReply}, rules=NO_REPLY, exhaustive=True)
async def ws_client_close_noreply_flag(world: World) -> Any:
    return await client_closes(world)


class Replying(Room):
    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(["close", code, reason, was_clean])
        ws.close(4002, "srv")


@program(
    "ws-client-close-reply",
    bindings={"D": Replying},
    rules=("WS-16", "LT-84"),
    forbidden=lambda o: None if o["closeFrame"] == [4002, "srv"] else "LT-84: the handler's close() did not decide",
    exhaustive=True,
)
async def ws_client_close_reply(world: World) -> Any:
    return await client_closes(world)


class Terminated(Room):
    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(["close", code, reason, was_clean, ws.ready_state])

    def web_socket_error(self, ws: Any, error: Any) -> None:
        self.log.append(["error"])


@program(
    "ws-client-terminate",
    bindings={"D": Terminated},
    rules=("WS-14", "WS-29", "LT-83"),
    forbidden=lambda o: None if len(o["log"]) == 1 else "WS-15: not told exactly once",
    exhaustive=True,
)
async def ws_client_terminate(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    socket.terminate()
    await world.advance(SOON_S)
    return await world.env.D.get_by_name("d").read()


class ServerCloses(Room):
    def web_socket_message(self, ws: Any, message: Any) -> None:
        ws.close(4003, "srv")
        self.log.append(["state", ws.ready_state, len(self.ctx.get_web_sockets())])
        for act, fine in ((lambda: ws.send("late"), "send ok"), (lambda: ws.close(4004, "again"), "close2 ok")):
            try:
                act()
                self.log.append(fine)
            except Exception as error:
                self.log.append(said(error))

    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(["close", code, reason, was_clean])


def said(error: Exception) -> str:
    """``String(error)``."""
    return f"{error_name(error)}: {error}"


@program(
    "ws-server-close",
    bindings={"D": ServerCloses},
    rules=("WS-5", "WS-14", "WS-26", "WS-28", "WS-29"),
    forbidden=lambda o: "WS-26: sent after close()" if o["got"] else None,
    exhaustive=True,
)
async def ws_server_close(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    socket.send("x")
    await world.advance(SOON_S)
    return {
        "client": closed(socket),
        "closeFrame": frame(socket),
        "got": socket.messages,
        "server": await world.env.D.get_by_name("d").read(),
    }


class CloseArguments(Room):
    def web_socket_message(self, ws: Any, message: Any) -> None:
        tries: dict[str, tuple[Any, ...]] = {
            str(code): (code,) for code in (999, 1000, 1001, 1004, 1005, 1006, 1015, 2999, 3000, 4999, 5000)
        }
        tries["reason124"] = (1000, "x" * 124)
        found = {}
        for name, arguments in tries.items():
            unused = WebSocketPair()[1]
            unused.accept()
            try:
                unused.close(*arguments)
                found[name] = "ok"
            except Exception as error:
                found[name] = said(error)
        ws.send(json.dumps(found))


@program("ws-close-arg-errors", bindings={"D": CloseArguments}, rules=("WS-28",), exhaustive=True)
async def ws_close_arg_errors(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    socket.send("x")
    return json.loads(await socket.receive())


class Superseding(Room):
    def fetch(self, request: Request) -> Response:
        for ws in self.ctx.get_web_sockets():
            ws.close(4409, "newer")
        return super().fetch(request)

    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(["close", code, reason, was_clean])


def superseded(outcome: Any) -> bool:
    """At some time on the way from open to closed."""
    server = outcome["server"]
    return (
        outcome["a"] in (None, [4409, "newer"])
        and outcome["closeFrameA"] in (None, [4409, "newer"])
        and outcome["b"] == 1
        and server["log"] in ([], [["close", 4409, "newer", True]])
        and server["n"] in (1, 2)
    )


@program(
    "ws-supersede",
    bindings={"D": Superseding},
    rules=("WS-5", "WS-14"),
    also={"WS-14: frames, and the end of the connection behind them, may be under way for a while": superseded},
    exhaustive=True,
)
async def ws_supersede(world: World) -> Any:
    a = await world.open_socket("D", "d")
    b = await world.open_socket("D", "d")
    await world.advance(1.2)
    server = await world.env.D.get_by_name("d").read()
    return {"a": closed(a), "closeFrameA": frame(a), "b": b.ready_state, "server": server}


class Attaching(Room):
    def fetch(self, request: Request) -> Response:
        pair = WebSocketPair()
        ws = pair[1]
        self.ctx.accept_web_socket(ws, ["t1", "t2"])
        before = ws.deserialize_attachment()
        attached = {"a": 1}
        ws.serialize_attachment(attached)
        attached["a"] = 2
        first, second = ws.deserialize_attachment(), ws.deserialize_attachment()

        def attempt(act: Any) -> str:
            try:
                act()
            except Exception as error:
                return said(error)
            return "ok"

        found = {
            "before": before,
            "val": first["a"],
            "same": first is second,
            "s3k": attempt(lambda: ws.serialize_attachment("s" * 3000)),
            "s16kminus": attempt(lambda: ws.serialize_attachment("s" * 16300)),
            "s16kplus": attempt(lambda: ws.serialize_attachment("s" * 16500)),
            "fn": attempt(lambda: ws.serialize_attachment(lambda: 1)).partition(":")[0],
            "tags": self.ctx.get_tags(ws),
            "byTag": [len(self.ctx.get_web_sockets(tag)) for tag in ("t1", "other")],
            "tooManyTags": attempt(lambda: self.ctx.accept_web_socket(WebSocketPair()[1], [str(n) for n in range(11)])),
            "longTag": attempt(lambda: self.ctx.accept_web_socket(WebSocketPair()[1], ["x" * 257])),
            "acceptTwice": attempt(lambda: self.ctx.accept_web_socket(ws)),
        }
        ws.serialize_attachment({"map": {"k": 1}})
        found["map"] = ws.deserialize_attachment() == {"map": {"k": 1}}
        ws.send(json.dumps(found))
        return Response(101, web_socket=pair[0])


def without_source_text(outcome: Any) -> Any:
    """The text of the refusal of a function shows its source in JavaScript; its class is what counts."""
    return {**outcome, "fn": outcome["fn"].partition(":")[0]}


@program(
    "ws-attachment",
    bindings={"D": Attaching},
    rules=("WS-2", "WS-3", "WS-8", "WS-9", "LT-81", "LT-82"),
    translated=without_source_text,
    note="without the source text of the function that is refused",
    exhaustive=True,
)
async def ws_attachment(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    return json.loads(await socket.receive())


class Early(Room):
    async def fetch(self, request: Request) -> Response:
        pair = WebSocketPair()
        ws = pair[1]
        self.ctx.accept_web_socket(ws)
        ws.send("one")
        await trio.sleep(0.003)
        ws.send("two")

        async def later() -> None:
            await trio.sleep(0.003)
            ws.send("three")

        self.ctx.wait_until(later())
        return Response(101, web_socket=pair[0])


@program(
    "ws-send-before-101",
    bindings={"D": Early},
    rules=("WS-25",),
    forbidden=lambda o: None if o == ["one", "two", "three"] else "WS-25: lost, or out of order",
    exhaustive=True,
)
async def ws_send_before_101(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    await world.advance(SOON_S)
    return socket.messages


class PutSendAbort(Room):
    def web_socket_message(self, ws: Any, message: Any) -> None:
        self.ctx.storage.kv.put("k", 1)
        ws.send("m")
        self.ctx.abort("x")


async def aborted(world: World) -> Any:
    """One message, and what became of everything."""
    socket = await world.open_socket("D", "d")
    socket.send("x")
    await world.advance(SOON_S)
    return {
        "got": socket.messages,
        "closed": closed(socket),
        "closeFrame": frame(socket),
        "server": await world.env.D.get_by_name("d").state(),
    }


@program(
    "ws-put-send-abort",
    bindings={"D": PutSendAbort},
    rules=("LC-32", "WS-31", "WS-32"),
    forbidden=lambda o: "LC-32: an effect of the aborted turn left" if o["got"] or o["server"]["k"] else None,
    exhaustive=True,
)
async def ws_put_send_abort(world: World) -> Any:
    return await aborted(world)


class SendAbortLater(Room):
    def web_socket_message(self, ws: Any, message: Any) -> None:
        self.ctx.storage.kv.put("k", 1)
        ws.send("m")
        self.ctx.set_timeout(lambda: self.ctx.abort("x"), 0.005)


@program(
    "ws-send-then-abort-timer",
    bindings={"D": SendAbortLater},
    rules=("OG-17", "WS-31", "WS-32"),
    forbidden=lambda o: None if o["server"]["k"] == 1 else "OG-17: the write of a turn that ended was lost",
    also={
        "WS-31: a frame that is under way may be lost with the connection": lambda o: (
            o["got"] == [] and o["closed"] == [1006, ""] and o["server"] == {"constructions": 2, "k": 1, "n": 0}
        )
    },
    exhaustive=True,
)
async def ws_send_then_abort_timer(world: World) -> Any:
    return await aborted(world)


class ThrowingHandler(Room):
    def web_socket_message(self, ws: Any, message: Any) -> None:
        if message == "throw":
            raise Exception("in the handler")
        ws.send(f"echo {ISOLATE['constructions']}")

    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append(["close", code])


@program(
    "ws-handler-throws",
    bindings={"D": ThrowingHandler},
    rules=("WS-13", "LC-30", "LT-88"),
    forbidden=lambda o: None if o["got"] == ["echo 1"] else "LT-88: the socket or the instance is gone",
    exhaustive=True,
)
async def ws_handler_throws(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    socket.send("throw")
    socket.send("x")
    await world.advance(SOON_S)
    log = (await world.env.D.get_by_name("d").read())["log"]
    return {"got": socket.messages, "closed": closed(socket), "log": log}


class Answered(Room):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))

    def web_socket_message(self, ws: Any, message: Any) -> None:
        self.log.append(message)
        ws.send(f"got {message}")

    def stamps(self) -> Any:
        stamps = [self.ctx.get_web_socket_auto_response_timestamp(ws) for ws in self.ctx.get_web_sockets()]
        return {"log": self.log, "ts": [stamp is not None for stamp in stamps]}


@program(
    "ws-auto-response",
    bindings={"D": Answered},
    rules=("WS-20", "WS-21", "LT-79"),
    forbidden=lambda o: "WS-20: the handler saw a message that is answered" if "ping" in o["server"]["log"] else None,
    also={
        "OG-7: an auto-response does not wait behind what a handler sends": lambda o: (
            sorted(o["got"]) == ["got x", "pong", "pong"] and o["server"] == {"log": ["x"], "ts": [True]}
        )
    },
    exhaustive=True,
)
async def ws_auto_response(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    for message in ("ping", "x", "ping"):
        socket.send(message)
    await world.advance(SOON_S)
    return {"got": socket.messages, "server": await world.env.D.get_by_name("d").stamps()}


class ClosedAsleep(Room):
    def accepted(self, ws: Any) -> None:
        ws.serialize_attachment({"u": 1})

    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        sockets = len(self.ctx.get_web_sockets())
        record = [code, reason, was_clean, ISOLATE["constructions"], ws.deserialize_attachment(), sockets]
        self.ctx.storage.kv.put("rec", record)
        ws.close(code, reason)

    def rec(self) -> Any:
        return self.ctx.storage.kv.get("rec")


@program(
    "ws-hibernate-close-wakes",
    bindings={"D": ClosedAsleep},
    rules=("LC-14", "LC-24", "WS-5", "WS-9", "WS-18", "LT-76"),
    forbidden=lambda o: None if o["rec"][3:5] == [2, {"u": 1}] else "LT-76: not woken, or the attachment is lost",
    exhaustive=True,
)
async def ws_hibernate_close_wakes(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    await world.advance(13)
    socket.close(4005, "z")
    await world.advance(SOON_S)
    rec = await world.env.D.get_by_name("d").rec()
    return {"client": closed(socket), "closeFrame": frame(socket), "rec": rec}


class Waiting(Room):
    def accepted(self, ws: Any) -> None:
        self.m = 1
        self.ctx.set_timeout(lambda: None, 25)

    def web_socket_message(self, ws: Any, message: Any) -> None:
        ws.send(json.dumps([ISOLATE["constructions"], self.m]))


@program(
    "ws-no-hibernate-pending-timer",
    bindings={"D": Waiting},
    rules=("LC-17", "TM-8", "LT-77"),
    forbidden=lambda o: None if o == [[1, 1]] else "LT-77: hibernated in spite of a pending timer",
    exhaustive=True,
)
async def ws_no_hibernate_pending_timer(world: World) -> Any:
    socket = await world.open_socket("D", "d")
    await world.advance(13)
    socket.send("x")
    await world.advance(SOON_S)
    return [json.loads(message) for message in socket.messages]


class Idle(Room):
    def tag(self) -> Any:
        seen = [ISOLATE["constructions"], self.m]
        self.m = 1
        return seen


@program(
    "evict-idle",
    bindings={"D": Idle},
    rules=("LC-14", "LC-21"),
    forbidden=lambda o: None if o[1] == [2, 0] else "LC-21: an idle object has kept its memory",
    exhaustive=True,
)
async def evict_idle(world: World) -> Any:
    first = await world.env.D.get_by_name("d").tag()
    await world.advance(13)
    return [first, await world.env.D.get_by_name("d").tag()]

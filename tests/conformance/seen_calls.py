"""What the reference reports of further runs of the real runtime, about calls, alarms and sockets, beside the file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from lumenize_sim import UNDEFINED, DurableObject, RangeError, Request, Response, WebSocketPair, World
from lumenize_sim.clone import URL, BigInt
from tests.conformance.errors import description, settled
from tests.conformance.program import ISOLATE, program

GROUP = "seen besides"
seen: Callable[..., Any] = partial(program, group=GROUP)


class Target(DurableObject):
    """Something to call."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.field = "own"
        self.shared = {"x": 1}
        ISOLATE["constructions"] = ISOLATE.get("constructions", 0) + 1

    def constructions(self) -> int:
        return int(ISOLATE["constructions"])

    def result(self) -> dict[str, int]:
        self.ctx.set_timeout(self.mutate, 0)
        return self.shared

    def mutate(self) -> None:
        self.shared["x"] = 2

    def alarm(self, info: Any) -> None:
        """Reserved."""

    def die(self) -> None:
        self.ctx.abort("gone")

    def echo(self, value: Any) -> Any:
        return value

    def kinds(self, value: Any) -> Any:
        return type(value).__name__

    def error(self) -> Any:
        failure = RangeError("as a value")
        failure.__cause__ = Exception("its cause")
        return failure

    async def slow_put(self) -> None:
        await trio.sleep(0.030)
        self.ctx.storage.put("k", 1)

    def get(self) -> Any:
        return self.ctx.storage.kv.get("k")


@seen(
    "seen-result-snapshot",
    title="a result is what it was when the method ended, not what a timer makes of it",
    bindings={"D": Target},
    rules=("RPC-6",),
    expected=[{"x": 1}],
    exhaustive=True,
)
async def seen_result_snapshot(world: World) -> Any:
    return await world.env.D.get_by_name("d").result()


def told(result: dict[str, Any]) -> Any:
    """Name, text and properties of an error, or the value."""
    if "err" not in result:
        return result["ok"]
    error = result["err"]
    flags = [name for name in ("remote", "durableObjectReset", "overloaded", "retryable") if error.get(name)]
    return [error["name"], error["message"], flags]


@seen(
    "seen-members",
    title="what cannot be called is refused by the callee, in the platform's words",
    bindings={"D": Target},
    rules=("RPC-13", "RPC-14", "RPC-20"),
    expected=[
        [
            ["TypeError", 'The RPC receiver does not implement the method "missing".', ["remote"]],
            ["TypeError", 'The RPC receiver does not implement the method "field".', ["remote"]],
            ["TypeError", "'alarm' is a reserved method and cannot be called over RPC.", ["remote"]],
            ["Error", "Handler does not export a fetch() function.", ["remote"]],
            1,
        ]
    ],
    exhaustive=True,
)
async def seen_members(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    found = [told(await settled(getattr(stub, name)())) for name in ("missing", "field", "alarm")]
    return [*found, told(await settled(stub.fetch("https://x/"))), await stub.constructions()]


class Fetched(Target):
    """Resets while it answers."""

    def fetch(self, request: Request) -> Response:
        if str(request.url).endswith("/die"):
            self.ctx.abort("gone")
        if str(request.url).endswith("/throw"):
            raise TypeError("thrown")
        return Response(200, str(ISOLATE["constructions"]))


@seen(
    "seen-reset-by-fetch",
    title="a reset is remote by fetch, and not on later use of the same stub",
    bindings={"D": Fetched},
    rules=("LC-45", "RPC-8", "RPC-20"),
    expected=[
        {
            "thrown": ["TypeError", "thrown", ["remote"]],
            "reset": ["Error", "gone", ["remote", "durableObjectReset"]],
            "laterFetch": ["Error", "gone", ["durableObjectReset"]],
            "laterCall": ["Error", "gone", ["durableObjectReset"]],
            "unused": 2,
        }
    ],
    exhaustive=True,
)
async def seen_reset_by_fetch(world: World) -> Any:
    stub, unused = world.env.D.get_by_name("d"), world.env.D.get_by_name("d")
    return {
        "thrown": told(await settled(stub.fetch("https://x/throw"))),
        "reset": told(await settled(stub.fetch("https://x/die"))),
        "laterFetch": told(await settled(stub.fetch("https://x/"))),
        "laterCall": told(await settled(stub.constructions())),
        "unused": await unused.constructions(),
    }


class Caller(DurableObject):
    """Is reset while what it called goes on."""

    async def go(self) -> None:
        self.ctx.set_timeout(lambda: self.ctx.abort("caller gone"), 0.010)
        await self.env.D.get_by_name("d").slow_put()


@seen(
    "seen-caller-reset",
    title="the callee goes on where its caller is reset",
    bindings={"A": Caller, "D": Target},
    rules=("RPC-22", "LT-70"),
    expected=[1],
    also={"RPC-14a: the caller may be gone before its call has arrived": [None]},
    exhaustive=True,
)
async def seen_caller_reset(world: World) -> Any:
    await settled(world.env.A.get_by_name("a").go())
    await world.advance(5)
    return await world.env.D.get_by_name("d").get()


class Plain:
    """A class of the app."""

    def __init__(self) -> None:
        self.a = 1


@seen(
    "seen-clone-calls",
    title="values over a call",
    bindings={"D": Target},
    rules=("RPC-6", "RPC-7", "RPC-15"),
    expected=[
        {
            "cyclic": True,
            "shared": [True, False],
            "kinds": ["int", "str", "bytes", "dict", "list", "set", "BigInt"],
            "undefined": ["a"],
            "error": ["RangeError", "as a value", "its cause", False],
            "instance": "DataCloneError",
            "url": 'Could not serialize object of type "URL". This type does not support serialization.',
            "stub": 'Could not serialize object of type "DurableObject". This type does not support serialization.',
            "namespace": 'Could not serialize object of type "DurableObjectNamespace". This type does not support '
            "serialization.",
        }
    ],
    exhaustive=True,
)
async def seen_clone_calls(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    cyclic: dict[str, Any] = {}
    cyclic["self"] = cyclic
    common = {"x": 1}
    back = await stub.echo(cyclic)
    pair = await stub.echo([common, common])
    failure = await stub.error()

    async def refused(value: Any) -> Any:
        return (await settled(stub.echo(value)))["err"]

    return {
        "cyclic": back["self"] is back,
        "shared": [pair[0] is pair[1], pair[0] is common],
        "kinds": [await stub.kinds(v) for v in (1, "s", b"b", {}, [], {1}, BigInt(1))],
        "undefined": list(await stub.echo({"a": UNDEFINED})),
        "error": [type(failure).__name__, str(failure), str(failure.__cause__), hasattr(failure, "remote")],
        "instance": (await refused(Plain()))["name"],
        "url": (await refused(URL("https://example.com/")))["message"],
        "stub": (await refused(stub))["message"],
        "namespace": (await refused(world.env.D))["message"],
    }


class Alarms(DurableObject):
    """Alarms at their edges."""

    async def past(self) -> Any:
        before = self.ctx.now()
        await self.ctx.storage.set_alarm(1)
        at = await self.ctx.storage.get_alarm()
        ISOLATE["mode"] = "past"
        return [at is not None and at >= before, ISOLATE.get("runs", 0)]

    async def begin(self, mode: str) -> None:
        ISOLATE["mode"] = mode
        await self.ctx.storage.set_alarm(self.ctx.now())

    async def alarm(self, info: Any) -> None:
        runs = ISOLATE["runs"] = ISOLATE.get("runs", 0) + 1
        ISOLATE.setdefault("log", []).append([info.retry_count, info.is_retry])
        mode = ISOLATE["mode"]
        if mode == "delete and throw" and runs == 1:
            await self.ctx.storage.delete_alarm()
            raise Exception("after the deletion")
        if mode == "set and throw" and runs == 1:
            await self.ctx.storage.set_alarm(self.ctx.now() + 500)
            raise Exception("after setting")
        if mode == "section fails" and runs == 1:

            async def section() -> None:
                raise Exception("in the section")

            await self.ctx.block_concurrency_while(section)
        if mode == "abandon" and runs == 1:
            self.ctx.abort("abandoned", retry_alarm=False)

    async def get(self) -> Any:
        return await self.ctx.storage.get_alarm()

    async def zero(self) -> Any:
        return description(await _error(self.ctx.storage.set_alarm(0)))["message"]


async def _error(pending: Any) -> BaseException:
    try:
        await pending
    except Exception as error:
        return error
    raise AssertionError("no error")


@seen(
    "seen-alarm-past",
    title="an alarm in the past is due now, and runs after the turn",
    bindings={"D": Alarms},
    rules=("AL-2", "LT-54"),
    expected=[{"set": [True, 0], "runs": 1, "zero": "setAlarm() cannot be called with an alarm time <= 0"}],
    exhaustive=True,
)
async def seen_alarm_past(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    first = await stub.past()
    await world.advance(1)
    return {"set": first, "runs": ISOLATE.get("runs", 0), "zero": await stub.zero()}


@seen(
    "seen-alarm-endings",
    title="what follows a handler that deletes, sets, fails in a section or abandons",
    bindings={"D": Alarms},
    rules=("AL-21", "AL-24", "AL-26", "AL-29"),
    expected=[
        {
            "delete and throw": [[[0, False]], None],
            "set and throw": [[[0, False], [0, False]], None],
            "section fails": [[[0, False], [1, True]], None],
            "abandon": [[[0, False]], None],
        }
    ],
)
async def seen_alarm_endings(world: World) -> Any:
    found = {}
    for mode in ("delete and throw", "set and throw", "section fails", "abandon"):
        ISOLATE.clear()
        await world.env.D.get_by_name(mode).begin(mode)
        await world.advance(10)
        found[mode] = [ISOLATE["log"], await world.env.D.get_by_name(mode).get()]
    return found


class Closing(DurableObject):
    """Sockets at their end."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []

    def fetch(self, request: Request) -> Response:
        pair = WebSocketPair()
        tag = str(request.url).rpartition("/")[2]
        self.ctx.accept_web_socket(pair[1], [tag, "t"])
        return Response(101, web_socket=pair[0])

    async def web_socket_message(self, ws: Any, message: Any) -> None:
        if message == "close":
            ws.close()
        elif message == "order":
            names = [[self.ctx.get_tags(s)[0] for s in self.ctx.get_web_sockets(tag)] for tag in (None, "t")]
            self.log.append(names)
        else:
            self.log.append(f"s{message}")
            await trio.sleep(0.010)
            self.log.append(f"e{message}")

    def web_socket_close(self, ws: Any, code: int, reason: str, was_clean: bool) -> None:
        self.log.append([code, reason, was_clean])
        try:
            ws.close(code, reason)
        except Exception as error:
            self.log.append(str(error))

    def read(self) -> list[Any]:
        return self.log


@seen(
    "seen-close-without-code",
    title="an empty close frame is 1005 on both sides, which cannot be handed back",
    bindings={"D": Closing},
    rules=("WS-14", "WS-28"),
    expected=[
        {
            "byClient": [[1005, "", True], "Invalid WebSocket close code: 1005."],
            "byServer": [1005, ""],
        }
    ],
    exhaustive=True,
)
async def seen_close_without_code(world: World) -> Any:
    first = await world.open_socket("D", "d1", "/a")
    first.close()
    second = await world.open_socket("D", "d2", "/a")
    second.send("close")
    await world.advance(5)
    by_client = await world.env.D.get_by_name("d1").read()
    return {"byClient": by_client, "byServer": list(second.close_frame or ())}


def overlapping(outcome: Any) -> bool:
    """Each starts in order, and ends after it has started."""
    log = outcome["log"]
    return [x for x in log if x[0] == "s"] == ["s1", "s2"] and all(
        log.index(f"s{n}") < log.index(f"e{n}") for n in "12"
    )


@seen(
    "seen-socket-order",
    title="handlers of one socket overlap at real waits; all sockets are listed newest first, tagged ones oldest first",
    bindings={"D": Closing},
    rules=("WS-4", "WS-11", "LT-74", "LT-90"),
    expected=[{"log": ["s1", "s2", "e1", "e2"], "order": [["c", "b", "a"], ["a", "b", "c"]]}],
    also={"WS-11: a frame may arrive after the handler before has ended": overlapping},
    exhaustive=True,
)
async def seen_socket_order(world: World) -> Any:
    sockets = [await world.open_socket("D", "d", f"/{name}") for name in "abc"]
    sockets[0].send("order")
    await world.advance(5)
    order = (await world.env.D.get_by_name("d").read())[0]
    sockets[1].send("1")
    sockets[1].send("2")
    await world.advance(5)
    return {"log": (await world.env.D.get_by_name("d").read())[1:], "order": order}

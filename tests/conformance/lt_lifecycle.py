"""LT-26 and LT-85 to LT-87: real requests to outside, deploys, eviction, and instances that were replaced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from lumenize_sim import DurableObject, Request, Response, WebSocketPair, World
from tests.conformance.lt_interleaving import GROUP as INTERLEAVING
from tests.conformance.lt_interleaving import Counter, lt_2
from tests.conformance.lt_legacy import Legacy, lt_8
from tests.conformance.lt_output import EVERYWHERE, FLUSH_FAILED, Writer, lt_35
from tests.conformance.lt_parts import EXACT, F_S, Logging, log, logged, lt, outcome_of, seconds
from tests.conformance.program import ISOLATE, PRODUCTION

GROUP = "10.7 WebSockets and life cycle"
test: Callable[..., Any] = partial(lt, group=GROUP)

INACCESSIBLE = "Durable Object storage is no longer accessible."
OUTSIDE = "https://outside.example"


class First(Logging):
    """The code before the deployment."""

    version = "v1"

    def fetch(self, request: Request) -> Response:
        pair = WebSocketPair()
        self.ctx.accept_web_socket(pair[1])
        return Response(101, web_socket=pair[0])

    def which(self) -> str:
        return self.version

    async def compute(self, takes_s: float) -> str:
        await self.f(takes_s)
        return self.version

    async def write(self, takes_s: float) -> str:
        await self.f(takes_s)
        await self.ctx.storage.put("by", self.version)
        return self.version

    async def write_unawaited(self, takes_s: float) -> str:
        await self.f(takes_s)
        self.ctx.storage.put("by", self.version)
        return self.version

    async def put_and_fetch(self) -> None:
        await self.ctx.storage.put("a", 1)
        await self.ctx.fetch(f"{OUTSIDE}/x")

    def fetch_unawaited(self) -> None:
        self.ctx.fetch(f"{OUTSIDE}/slow").when_done(lambda _: log(["completed", self.ctx.now() - ISOLATE["from"]]))


class Second(First):
    """And after it."""

    version = "v2"


D: dict[str, type[DurableObject]] = {"D": First}


def hear(request: Request) -> Response:
    log(request.url.path)
    return Response(200)


@test(
    "LT-26 fetch",
    "OG-10",
    bindings=D,
    allowed=[[FLUSH_FAILED, []]],
    never={"X was called": lambda o: o[1] != []},
    exhaustive=True,
    group="10.3 Output gate and durability",
    title="write and a real fetch, the flush fails",
)
async def lt_26_fetch(world: World) -> Any:
    world.server(OUTSIDE, hear)
    world.object("D", "o").fail_next_flush()
    answer = await outcome_of(world.env.D.get_by_name("o").put_and_fetch())
    await world.settle()
    return [answer, logged()]


@test(
    "LT-85",
    "LC-26",
    "LC-27",
    "LC-28",
    bindings=D,
    allowed=[
        {
            "socket": 1006,
            "new": "v2",
            "free": ["v1", 20.0],
            "storage": f"Error: {INACCESSIBLE} [remote retryable]",
            "stored": {},
        }
    ],
    options=EXACT,
    title="a deployment while sockets are open and requests in flight",
)
async def lt_85(world: World) -> Any:
    ws = await world.open_socket("D", "o")
    free = world.env.D.get_by_name("o").compute(20)
    storage = world.env.D.get_by_name("o").write(10)
    await world.advance(1)
    world.deploy("D", Second)
    new = await world.env.D.get_by_name("o").which()
    await world.advance(0.001)
    closed = ws.close_code
    error = await outcome_of(storage)
    return {
        "socket": closed,
        "new": new,
        "storage": error,
        "free": [await outcome_of(free), seconds(world)],
        "stored": dict(world.object("D", "o").storage.list()),
    }


CODE_UPDATED = "Error: Durable Object reset because its code was updated. [durableObjectReset]"


@test(
    "LT-85 grace",
    "LC-26",
    "LC-29",
    bindings=D,
    allowed=[[CODE_UPDATED, 31.0]],
    options=EXACT,
    title="after 30 s what is in flight is cut",
)
async def lt_85_grace(world: World) -> Any:
    free = world.env.D.get_by_name("o").compute(60)
    await world.advance(1)
    world.deploy("D", Second)
    return [await outcome_of(free), seconds(world)]


async def evicted(world: World) -> Any:
    """An unawaited fetch of 200 s.  Whether it completed, and from when on the object was gone."""
    world.server(OUTSIDE, hear, latency_s=200)
    ISOLATE["from"] = 1_767_225_600_000
    await world.env.D.get_by_name("o").fetch_unawaited()
    view = world.object("D", "o")
    await world.advance(69)
    early = view.in_memory
    await world.advance(73)
    late = view.in_memory
    await world.advance(100)
    return [early, late, [line for line in logged() if line != "/slow"]]


@test(
    "LT-86",
    "LC-19",
    bindings=D,
    allowed=[[True, False, []]],
    runtime=(PRODUCTION,),
    options={**EXACT, "compatibility_date": "2026-09-30"},
    seeds=True,
    title="an unawaited fetch of 200 s, before 2026-10-01: evicted after 70 to 140 s",
)
async def lt_86(world: World) -> Any:
    return await evicted(world)


@test(
    "LT-86 after",
    "LC-18",
    bindings=D,
    allowed=[[True, True, [["completed", 200_000]]]],
    runtime=(PRODUCTION,),
    options={**EXACT, "compatibility_date": "2026-10-01"},
    seeds=True,
    title="the same from then on: it completes",
)
async def lt_86_after(world: World) -> Any:
    return await evicted(world)


@test(
    "LT-87",
    "LC-11",
    "LC-12",
    bindings=D,
    allowed=[
        {
            "stale writes": f"Error: {INACCESSIBLE} [remote retryable]",
            "stale computes": "v1",
            "stored": {},
            "instances": 2,
        }
    ],
    never={"a stale instance has written": lambda o: o["stored"] != {}},
    options=EXACT,
    title="a stale instance beside its replacement",
)
async def lt_87(world: World) -> Any:
    view = world.object("D", "o")
    computes, writes = world.env.D.get_by_name("o").compute(5), world.env.D.get_by_name("o").write(5)
    await world.advance(1)
    view.relocate()
    await world.env.D.get_by_name("o").which()
    return {
        "stale writes": await outcome_of(writes),
        "stale computes": await outcome_of(computes),
        "stored": dict(view.storage.list()),
        "instances": ISOLATE["constructed"],
    }


async def answer_late(_: Request) -> Response:
    await trio.sleep(F_S)
    return Response(200)


class Fetching:
    """Where ``F`` is a request beyond the mesh, with the hops that it takes (IG-14)."""

    ctx: Any

    async def f(self, takes_s: float = F_S) -> Any:
        return await self.ctx.fetch(f"{OUTSIDE}/f")


class FetchingCounter(Fetching, Counter):
    pass


@test(
    "LT-2 fetch",
    "IG-8",
    "IG-14",
    bindings={"D": FetchingCounter},
    allowed=[1, 2],
    group=INTERLEAVING,
    at_most=300,
    title="counter with a real fetch between",
)
async def lt_2_fetch(world: World) -> Any:
    world.server(OUTSIDE, answer_late, latency_s=0)
    return await lt_2.drive(world)


@test(
    "LT-2 fetch together",
    "IG-8",
    "IG-14",
    bindings={"D": FetchingCounter},
    allowed=[1],
    never={"both updates with simultaneous arrival and equal latency": lambda o: o == 2},
    options=EXACT,
    group=INTERLEAVING,
    title="the same, arriving together with equal latencies",
)
async def lt_2_fetch_together(world: World) -> Any:
    world.server(OUTSIDE, answer_late, latency_s=0)
    return await lt_2.drive(world)


class FetchingLegacy(Fetching, Legacy):
    pass


@test(
    "LT-8 fetch",
    "IG-5",
    "IG-14",
    bindings={"D": FetchingLegacy},
    allowed=[["g", "f"]],
    never={"the response came in": lambda o: o == ["f", "g"]},
    options=EXACT,
    runtime=(PRODUCTION,),
    group=INTERLEAVING,
    title="a read that waits keeps the response of a real fetch out",
)
async def lt_8_fetch(world: World) -> Any:
    world.server(OUTSIDE, answer_late, latency_s=0)
    return await lt_8.drive(world)


class FetchingWriter(Fetching, Writer):
    pass


@test(
    "LT-35 fetch",
    "OG-17",
    "OG-20",
    bindings={"D": FetchingWriter},
    allowed=["", "a", "ab"],
    never={"the later write without the earlier": lambda o: o == "b"},
    every=EVERYWHERE,
    group="10.3 Output gate and durability",
    title="writes split by a real fetch, a crash at any point",
)
async def lt_35_fetch(world: World) -> Any:
    world.server(OUTSIDE, answer_late, latency_s=0)
    return await lt_35.drive(world)


UNHEARD = f"Error: {INACCESSIBLE} [retryable]"


@test(
    "LT-87 unawaited",
    "LC-11",
    "LC-12",
    "LC-26",
    bindings=D,
    allowed=[{"unawaited": UNHEARD, "stored": {}, "instances": 2}],
    never={
        "a write that never happened is acknowledged": lambda o: not str(o["unawaited"]).startswith("Error"),
        "a stale instance has written": lambda o: o["stored"] != {},
    },
    options=EXACT,
    title="the same where it does not look at what its write became",
)
async def lt_87_unawaited(world: World) -> Any:
    view = world.object("D", "o")
    writes = world.env.D.get_by_name("o").write_unawaited(5)
    await world.advance(1)
    view.relocate()
    await world.env.D.get_by_name("o").which()
    return {
        "unawaited": await outcome_of(writes),
        "stored": dict(view.storage.list()),
        "instances": ISOLATE["constructed"],
    }

"""LT-13 to LT-24: the constructor, and critical sections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from lumenize_sim import DurableObject, World, gather
from lumenize_sim.objects import Request, Response
from tests.conformance.lt_interleaving import SECTION_TIMEOUT
from tests.conformance.lt_parts import EXACT, Logging, log, logged, lt, outcome_of, seconds, thrown
from tests.conformance.program import ISOLATE, PRODUCTION, WORKERD

GROUP = "10.2 Constructor and blockConcurrencyWhile"
test: Callable[..., Any] = partial(lt, group=GROUP, exhaustive=True)


class Ready(Logging):
    ready = False

    async def init(self) -> None:
        await self.f()
        self.ready = True

    def is_ready(self) -> bool:
        return self.ready


class Blocking(Ready):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        ctx.block_concurrency_while(self.init)


@test(
    "LT-13",
    "IG-18",
    "IG-16",
    bindings={"D": Blocking},
    allowed=[{"ready": [True] * 10, "constructed": 1}],
    never={
        "a request saw it unready": lambda o: False in o["ready"],
        "two constructors": lambda o: o["constructed"] > 1,
    },
    exhaustive=False,
    title="initialisation before events",
)
async def lt_13(world: World) -> Any:
    ready = await gather(*[world.env.D.get_by_name("o").is_ready() for _ in range(10)])
    return {"ready": ready, "constructed": ISOLATE["constructed"]}


class Floating(Ready):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        ctx.wait_until(self.init())


@test(
    "LT-14",
    "IG-17",
    bindings={"D": Floating},
    allowed=[[False, False], [False, True]],
    title="initialisation without a section",
)
async def lt_14(world: World) -> Any:
    """The first request finds it unready; another one finds either."""
    return sorted(await gather(*[world.env.D.get_by_name("o").is_ready() for _ in range(2)]))


class Sections(Logging):
    async def not_synchronous(self) -> None:
        async def section() -> None:
            log(2)

        done = self.ctx.block_concurrency_while(section)
        log(1)
        await done

    async def two(self) -> None:
        async def section(name: str) -> None:
            log(f"{name} start")
            await self.f()
            log(f"{name} end")

        await gather(
            self.ctx.block_concurrency_while(partial(section, "a")),
            self.ctx.block_concurrency_while(partial(section, "b")),
        )

    async def one(self) -> None:
        await self.ctx.block_concurrency_while(self.f)
        log("x")

    def request(self) -> None:
        log("request")

    async def throws(self) -> str:
        self.m = 1

        async def section() -> None:
            raise ValueError("E")

        try:
            await self.ctx.block_concurrency_while(section)
        except ValueError:
            log("c")
        return "went on"

    async def catches(self) -> Any:
        self.m = 1

        async def section() -> str:
            try:
                raise ValueError("E")
            except ValueError:
                return "caught"

        return await self.ctx.block_concurrency_while(section)

    async def never(self) -> None:
        await self.ctx.block_concurrency_while(trio.sleep_forever)

    async def outer_timer(self) -> str:
        rung = trio.Event()
        self.ctx.set_timeout(rung.set, 0.010)
        await self.ctx.block_concurrency_while(rung.wait)
        return "completed"

    async def inner_timer(self) -> str:
        await self.ctx.block_concurrency_while(partial(trio.sleep, 0.010))
        return "completed"

    async def nest(self, levels: int) -> str:
        """``levels`` sections, each within the one before."""

        async def section(left: int) -> str:
            if not left:
                return "ok"
            try:
                inner = self.ctx.block_concurrency_while(partial(section, left - 1))
            except Exception as error:
                return str(error)
            return str(await inner)

        self.m = 1
        return await section(levels)


@test(
    "LT-15",
    "IG-19",
    bindings={"D": Sections},
    allowed=[[1, 2]],
    never={"the callback was called synchronously": lambda o: o == [2, 1]},
    title="the callback is not synchronous",
)
async def lt_15(world: World) -> Any:
    await world.env.D.get_by_name("o").not_synchronous()
    return logged()


@test(
    "LT-16",
    "IG-28",
    bindings={"D": Sections},
    allowed=[["a start", "a end", "b start", "b end", "request"]],
    options=EXACT,
    title="two sections in order, and nothing between them",
)
async def lt_16(world: World) -> Any:
    both = world.env.D.get_by_name("o").two()
    await world.advance(0.05)
    await gather(both, world.env.D.get_by_name("o").request())
    return logged()


@test(
    "LT-16 any arrival",
    "IG-28",
    bindings={"D": Sections},
    allowed=[["a start", "a end", "b start", "b end", "request"], ["request", "a start", "a end", "b start", "b end"]],
    title="the same, with the request arriving whenever",
)
async def lt_16_any(world: World) -> Any:
    await gather(world.env.D.get_by_name("o").two(), world.env.D.get_by_name("o").request())
    return logged()


@test(
    "LT-17",
    "IG-25",
    bindings={"D": Sections},
    allowed=[["x", "request"]],
    never={"the request overtook the continuation": lambda o: o == ["request", "x"]},
    options=EXACT,
    title="the continuation comes before the queue",
)
async def lt_17(world: World) -> Any:
    first = world.env.D.get_by_name("o").one()
    await world.advance(0.05)
    await gather(first, world.env.D.get_by_name("o").request())
    return logged()


BROKEN = "ValueError: E [durableObjectReset]"


@test(
    "LT-18",
    "IG-20",
    "RPC-8",
    bindings={"D": Sections},
    allowed=thrown({"callers": [BROKEN, BROKEN], "log": [], "same stub": BROKEN, "m": None}),
    never={"the catch ran": lambda o: "c" in o["log"], "memory was kept": lambda o: o["m"] is not None},
    title="a throw in a section",
)
async def lt_18(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    callers = [stub.throws(), stub.f()]  # one stub: the second is queued behind the first
    errors = [await outcome_of(caller) for caller in callers]
    again = await outcome_of(stub.memory())
    return {
        "callers": errors,
        "log": logged(),
        "same stub": again,
        "m": await world.env.D.get_by_name("o").memory(),
    }


@test("LT-19", "IG-20", bindings={"D": Sections}, allowed=[["caught", 1]], title="a throw caught inside")
async def lt_19(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    return [await stub.catches(), await stub.memory()]


@test(
    "LT-20",
    "IG-21",
    bindings={"D": Sections},
    allowed=[[SECTION_TIMEOUT, 30.0]],
    never={"before its time": lambda o: o[1] < 30},
    options=EXACT,
    title="the timeout of 30 s",
)
async def lt_20(world: World) -> Any:
    return [await outcome_of(world.env.D.get_by_name("o").never()), seconds(world)]


@test(
    "LT-21",
    "IG-22",
    "IG-24",
    bindings={"D": Sections},
    allowed=[[SECTION_TIMEOUT, 30.0]],
    never={"it completes": lambda o: o[0] == "completed"},
    options=EXACT,
    title="an outer timer awaited in a section",
)
async def lt_21(world: World) -> Any:
    return [await outcome_of(world.env.D.get_by_name("o").outer_timer()), seconds(world)]


@test(
    "LT-21 inside",
    "IG-22",
    bindings={"D": Sections},
    allowed=[["completed", 0.01]],
    options=EXACT,
    title="the variant with the timer set inside",
)
async def lt_21_inside(world: World) -> Any:
    return [await outcome_of(world.env.D.get_by_name("o").inner_timer()), seconds(world)]


TOO_DEEP = "blockConcurrencyWhile() calls are nested too deeply."


@test(
    "LT-22",
    "IG-27",
    bindings={"D": Sections},
    allowed={PRODUCTION: [["ok", TOO_DEEP, 1]], WORKERD: [["ok", "ok", 1]]},
    title="64 sections within one another, and one more",
)
async def lt_22(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    return [await stub.nest(64), await stub.nest(65), await stub.memory()]


class Fragile(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        ISOLATE["constructed"] = ISOLATE.get("constructed", 0) + 1
        if ISOLATE.get("fragile"):
            raise ValueError("not today")

    def constructed(self) -> int:
        return int(ISOLATE["constructed"])

    def fetch(self, request: Request) -> Response:
        return Response(200, str(ISOLATE["constructed"]))


@test(
    "LT-23",
    "LC-31",
    "LC-45",
    bindings={"D": Fragile},
    allowed=thrown(
        {
            "first": "ValueError: not today [durableObjectReset]",
            "new stub": 2,
            "old stub": "ValueError: not today [durableObjectReset]",
        }
    ),
    never={"new stubs fail for good": lambda o: o["new stub"] != 2},
    title="a constructor throws once",
)
async def lt_23(world: World) -> Any:
    ISOLATE["fragile"] = True
    old = world.env.D.get_by_name("o")
    first = await outcome_of(old.constructed())
    ISOLATE["fragile"] = False
    return {
        "first": first,
        "new stub": await outcome_of(world.env.D.get_by_name("o").constructed()),
        "old stub": await outcome_of(old.constructed()),
    }


@test(
    "LT-23 fetch",
    "LC-31",
    "LC-45",
    bindings={"D": Fragile},
    allowed=thrown(
        {
            "first": "ValueError: not today [remote durableObjectReset]",
            "new stub": "2",
            "old stub": "ValueError: not today [durableObjectReset]",
        }
    ),
    title="the same, seen by fetch",
)
async def lt_23_fetch(world: World) -> Any:
    ISOLATE["fragile"] = True
    old = world.env.D.get_by_name("o")
    first = await outcome_of(old.fetch("https://o/"))
    ISOLATE["fragile"] = False
    response = await world.env.D.get_by_name("o").fetch("https://o/")
    return {"first": first, "new stub": response.text, "old stub": await outcome_of(old.fetch("https://o/"))}


@test("LT-24", "LC-6", bindings={"D": Fragile}, allowed=[[0, False]], title="a stub alone constructs nothing")
async def lt_24(world: World) -> Any:
    world.env.D.get_by_name("o")
    await world.settle()
    return [ISOLATE.get("constructed", 0), world.object("D", "o").in_memory]

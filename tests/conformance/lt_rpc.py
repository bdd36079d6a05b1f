"""LT-66 to LT-72: calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from lumenize_sim import DurableObject, LumenizeWorker, Request, Response, RpcTarget, WorkerEntrypoint, World, gather
from tests.conformance.lt_parts import EXACT, Logging, log, logged, lt, outcome_of, thrown
from tests.conformance.program import ISOLATE, PRODUCTION, WORKERD

GROUP = "10.6 RPC"
test: Callable[..., Any] = partial(lt, group=GROUP)


class Callee(Logging):
    def note(self, n: Any) -> None:
        log(n)

    def x_of(self, value: dict[str, int]) -> int:
        return value["x"]

    def fail(self) -> None:
        self.m = "kept"
        raise TypeError("t")

    def abort(self) -> None:
        self.ctx.abort("gone")

    async def wait_and_put(self) -> str:
        await self.f()
        await self.ctx.storage.put("done", 1)
        return "done"

    def keep(self, value: Any) -> None:
        self.m = value


D: dict[str, type[DurableObject]] = {"D": Callee}


def in_order(lines: list[Any]) -> bool:
    return lines == sorted(lines)


@test(
    "LT-66",
    "RPC-1",
    bindings=D,
    allowed=[list(range(100))],
    never={"disorder": lambda o: not in_order(o)},
    at_most=200,
    title="e-order: a hundred calls on one stub",
)
async def lt_66(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    await gather(*[stub.note(n) for n in range(100)])
    return logged()


@test(
    "LT-66 two stubs",
    "RPC-2",
    bindings=D,
    allowed=["a1 a2 b1 b2", "a1 b1 a2 b2", "a1 b1 b2 a2", "b1 a1 a2 b2", "b1 a1 b2 a2", "b1 b2 a1 a2"],
    exhaustive=False,
    title="two stubs: any merge",
)
async def lt_66_two(world: World) -> Any:
    a, b = (world.env.D.get_by_name("o") for _ in range(2))
    await gather(a.note("a1"), b.note("b1"), a.note("a2"), b.note("b2"))
    return " ".join(logged())


class Caller(Logging):
    async def mutate(self, *, gated: bool) -> Any:
        value = {"x": 1}
        if gated:
            self.ctx.storage.put("a", 1)
        answer = self.env.D.get_by_name("o").x_of(value)
        value["x"] = 2
        return await answer

    def mutate_gated(self) -> Any:
        return self.mutate(gated=True)

    def mutate_free(self) -> Any:
        return self.mutate(gated=False)

    async def call_and_abort(self) -> None:
        answer = self.env.D.get_by_name("o").wait_and_put()
        with trio.move_on_after(0.05):
            await answer
        self.ctx.abort("caller")


@test(
    "LT-67",
    "RPC-6",
    bindings={**D, "C": Caller},
    allowed=[[1, 1]],
    never={"a later mutation was seen": lambda o: 2 in o},
    exhaustive=True,
    title="arguments are snapshots, also behind a closed output gate",
)
async def lt_67(world: World) -> Any:
    free = await world.env.C.get_by_name("c").mutate_free()
    world.object("C", "c").slow_next_flush(1)
    return [free, await world.env.C.get_by_name("c").mutate_gated()]


@test(
    "LT-68",
    "RPC-19",
    "LC-30",
    bindings=D,
    allowed=[["TypeError: t [remote]", "kept"]],
    exhaustive=True,
    title="properties of an error",
)
async def lt_68(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    return [await outcome_of(stub.fail()), await stub.memory()]


GONE = "Error: gone [durableObjectReset]"


@test(
    "LT-69",
    "RPC-8",
    bindings=D,
    allowed=thrown({"reset": GONE, "used before": GONE, "never used": None, "new": None}),
    exhaustive=True,
    title="a stub is broken by a reset",
)
async def lt_69(world: World) -> Any:
    used, unused, breaking = (world.env.D.get_by_name("o") for _ in range(3))
    await used.keep("memory")
    reset = await outcome_of(breaking.abort())
    return {
        "reset": reset,
        "used before": await outcome_of(used.memory()),
        "never used": await outcome_of(unused.memory()),
        "new": await outcome_of(world.env.D.get_by_name("o").memory()),
    }


@test(
    "LT-69 hibernate",
    "RPC-8",
    "LC-21",
    bindings=D,
    allowed=[[None, None, 3]],
    exhaustive=True,
    title="hibernation and eviction break none",
)
async def lt_69_hibernate(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    found = []
    for lose in (world.object("D", "o").hibernate, world.object("D", "o").evict):
        await stub.keep("memory")
        await world.settle()
        lose()
        found.append(await outcome_of(stub.memory()))
    return [*found, ISOLATE["constructed"]]


class Impatient(LumenizeWorker):
    async def call_and_leave(self) -> None:
        answer = self.env.D.get_by_name("o").wait_and_put()
        with trio.move_on_after(0.05):
            await answer


@test(
    "LT-70",
    "RPC-22",
    bindings={**D, "W": Impatient},
    allowed=[{"done": 1}],
    options=EXACT,
    exhaustive=True,
    title="the caller, a Worker, is gone",
)
async def lt_70(world: World) -> Any:
    await world.env.W.call_and_leave()
    await world.settle()
    return dict(world.object("D", "o").storage.list())


class Lingering(WorkerEntrypoint):
    async def linger(self) -> str:
        async def later() -> None:
            for nth in (1, 2, 3):
                await trio.sleep(14)
                log(nth)

        self.ctx.wait_until(later())
        return "gone"


@test(
    "LT-70 waitUntil",
    "RPC-22",
    bindings={"W": Lingering},
    allowed={PRODUCTION: [["gone", [1, 2]]], WORKERD: [["gone", [1, 2, 3]]]},
    never={"it ended with the response": lambda o: not o[1]},
    options=EXACT,
    exhaustive=True,
    title="waitUntil of a Worker: 30 s after the response in production, without limit in workerd (section 11)",
)
async def lt_70_wait_until(world: World) -> Any:
    answer = await world.env.W.linger()
    await world.advance(60)
    return [answer, logged()]


@test(
    "LT-70 object",
    "RPC-22",
    bindings={**D, "C": Caller},
    allowed=thrown(["Error: caller [durableObjectReset]", {"done": 1}]),
    options=EXACT,
    exhaustive=True,
    title="the caller, an object, is reset",
)
async def lt_70_object(world: World) -> Any:
    error = await outcome_of(world.env.C.get_by_name("c").call_and_abort())
    await world.settle()
    return [error, dict(world.object("D", "o").storage.list())]


class Both(Callee):
    def fetch(self, request: Request) -> Response:
        log(request.url.path[1:])
        return Response(200)


async def alternate(stub: Any) -> None:
    await gather(stub.note("r1"), stub.fetch("https://o/f1"), stub.note("r2"), stub.fetch("https://o/f2"))


class Alternating(DurableObject):
    async def go(self) -> None:
        await alternate(self.env.D.get_by_name("o"))


class AlternatingWorker(WorkerEntrypoint):
    async def go(self) -> None:
        await alternate(self.env.D.get_by_name("o"))


FETCHES_FIRST = "f1 f2 r1 r2"
MERGES = [FETCHES_FIRST, "f1 r1 f2 r2", "f1 r1 r2 f2", "r1 f1 f2 r2", "r1 f1 r2 f2", "r1 r2 f1 f2"]


def out_of_order(outcome: str) -> bool:
    return outcome.index("r1") > outcome.index("r2") or outcome.index("f1") > outcome.index("f2")


@test(
    "LT-66 both kinds",
    "RPC-1a",
    bindings={"D": Both, "C": Alternating},
    allowed=MERGES,
    never={"disorder within a kind": out_of_order},
    exhaustive=False,
    title="fetch and RPC on one stub, from an object: any merge",
)
async def lt_66_both(world: World) -> Any:
    await world.env.C.get_by_name("c").go()
    return " ".join(logged())


@test(
    "LT-66 from a Worker",
    "RPC-1a",
    bindings={"D": Both, "W": AlternatingWorker},
    allowed={PRODUCTION: MERGES, WORKERD: [FETCHES_FIRST]},
    also={"RPC-1a: two channels, with no order between them": MERGES},
    never={"disorder within a kind": out_of_order},
    exhaustive=False,
    title="the same from a Worker",
)
async def lt_66_worker(world: World) -> Any:
    await world.env.W.go()
    return " ".join(logged())


class Line(RpcTarget):
    def b(self) -> str:
        log("b")
        return "b"


class Pipelined(Logging):
    def a(self, *, fails: bool = False) -> Line:
        if fails:
            raise TypeError("a")
        return Line()

    def failing(self) -> Line:
        return self.a(fails=True)

    def m(self) -> None:
        log("m")


@test(
    "LT-71",
    "RPC-17",
    bindings={"D": Pipelined},
    allowed=[["TypeError: a [remote]", []]],
    never={"b ran": lambda o: o[1] != []},
    exhaustive=True,
    title="the first call of a pipeline fails",
)
async def lt_71(world: World) -> Any:
    return [await outcome_of(world.env.D.get_by_name("o").failing().b()), logged()]


class Gated(DurableObject):
    async def put_and_call(self) -> None:
        self.ctx.storage.put("a", 1)
        await self.env.D.get_by_name("o").m()

    def call_and_abort(self) -> None:
        self.env.D.get_by_name("o").m()
        self.ctx.abort()


WOKEN = {"constructed": 1, "log": []}


@test(
    "LT-71a",
    "RPC-14a",
    bindings={"D": Pipelined, "C": Gated},
    allowed=[WOKEN],
    never={"m ran": lambda o: o["log"] != []},
    title="a call that the gate never lets go still wakes the target",
)
async def lt_71a(world: World) -> Any:
    world.object("C", "c").fail_next_flush()
    await outcome_of(world.env.C.get_by_name("c").put_and_call())
    await world.settle(1)
    return {"constructed": ISOLATE.get("constructed", 0), "log": logged()}


@test(
    "LT-71a abort",
    "RPC-14a",
    bindings={"D": Pipelined, "C": Gated},
    allowed=[WOKEN],
    never={"m ran": lambda o: o["log"] != []},
    title="and so does one of a turn that is aborted",
)
async def lt_71a_abort(world: World) -> Any:
    await outcome_of(world.env.C.get_by_name("c").call_and_abort())
    await world.settle(1)
    return {"constructed": ISOLATE.get("constructed", 0), "log": logged()}


@test(
    "LT-71b",
    "RPC-14b",
    bindings={"D": Pipelined},
    allowed=[{"in memory": True, "constructed": 1, "b": "b", "later": False}],
    options=EXACT,
    title="a held stub keeps its object in memory",
)
async def lt_71b(world: World) -> Any:
    line = await world.env.D.get_by_name("o").a()
    await world.advance(60)
    found = {"in memory": world.object("D", "o").in_memory, "b": await line.b(), "constructed": ISOLATE["constructed"]}
    line.dispose()
    await world.advance(11)
    return {**found, "later": world.object("D", "o").in_memory}


@test(
    "LT-72",
    "RPC-16",
    bindings=D,
    allowed=["Error: Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was"],
    at_most=2,
    title="an argument of 33 MiB",
)
async def lt_72(world: World) -> Any:
    error = await outcome_of(world.env.D.get_by_name("o").note("x" * (33 << 20)))
    await world.settle(1)
    return "delivered" if logged() else str(error).partition(":")[0] + ":" + str(error).split(":")[1]

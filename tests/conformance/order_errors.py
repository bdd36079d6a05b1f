"""Recorded programs about the order of calls, and about what callers see of failures."""

from __future__ import annotations

from typing import Any

import trio

from lumenize_sim import DurableObject, WorkerEntrypoint, World, begin, gather
from lumenize_sim.clone import AggregateError, RangeError
from lumenize_sim.objects import Pending, Response
from tests.conformance.errors import PROPERTIES, description, settled
from tests.conformance.program import ISOLATE, program

SLOW_CALL = "RPC-1: a call may be under way for a while"


class Log(DurableObject):
    """Notes what arrives."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []

    def note(self, i: Any) -> None:
        self.log.append(i)

    def fetch(self, request: Any) -> Response:
        self.log.append(int(request.url.path[1:]))
        return Response(body="ok")

    def read(self) -> list[Any]:
        return self.log


def in_own_order(*sequences: list[Any]) -> Any:
    """An outcome that is a merge of these sequences, each in its own order."""

    def holds(outcome: Any) -> bool:
        items = list(outcome)
        together = sorted(str(item) for sequence in sequences for item in sequence)
        return sorted(map(str, items)) == together and all(
            [item for item in items if item in sequence] == sequence for sequence in sequences
        )

    return holds


def disorder(reason: str, *sequences: list[Any]) -> Any:
    """Forbid everything else."""
    holds = in_own_order(*sequences)
    return lambda outcome: None if holds(outcome) else reason


@program(
    "eorder-sync",
    bindings={"D": Log},
    rules=("RPC-1", "LT-66"),
    forbidden=lambda o: None if o == "in order" else "RPC-1: calls of one stub arrived out of order",
)
async def eorder_sync(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(*[stub.note(i) for i in range(30)])
    log = await stub.read()
    return "in order" if log == list(range(30)) else log


class Worker(Log):
    async def work(self, i: int, ms: int) -> None:
        self.log.append(f"s{i}")
        await trio.sleep(ms / 1000)
        self.log.append(f"f{i}")


STARTS = ["s0", "s1", "s2"]
PAIRS = [["s0", "f0"], ["s1", "f1"], ["s2", "f2"]]


def worked(outcome: Any) -> bool:
    """Each starts in order of calls, and ends after it has started."""
    log = outcome["log"]
    return (
        [x for x in log if x in STARTS] == STARTS
        and all([x for x in log if x in pair] == pair for pair in PAIRS)
        and sorted(outcome["seen"]) == [0, 1, 2]
    )


@program(
    "eorder-async-finish",
    bindings={"D": Worker},
    rules=("RPC-1", "RPC-3"),
    forbidden=lambda o: None if worked(o) else "RPC-1: the order of starts is not the order of calls",
    also={"RPC-3: replies, and calls that were slow, end in any order": worked},
)
async def eorder_async_finish(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    seen: list[int] = []

    async def call(i: int, pending: Any) -> None:
        await pending
        seen.append(i)

    async with trio.open_nursery() as nursery:
        for i, ms in ((0, 20), (1, 10), (2, 0)):
            nursery.start_soon(call, i, stub.work(i, ms))
    return {"log": await stub.read(), "seen": seen}


@program(
    "eorder-two-stubs",
    bindings={"D": Log},
    rules=("RPC-1", "RPC-2", "LT-66"),
    forbidden=disorder("RPC-1: calls of one stub arrived out of order", [0, 2, 4, 6, 8], [1, 3, 5, 7, 9]),
    also={"RPC-2: nothing orders two stubs": in_own_order([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])},
)
async def eorder_two_stubs(world: World) -> Any:
    stubs = [world.env.D.get_by_name("d") for _ in range(2)]
    await gather(*[stubs[i % 2].note(i) for i in range(10)])
    return await stubs[0].read()


@program(
    "eorder-fetch-vs-rpc",
    bindings={"D": Log},
    rules=("RPC-1", "RPC-1a", "LT-66"),
    forbidden=disorder("RPC-1: calls of one kind arrived out of order", [0, 2, 4, 6, 8], [1, 3, 5, 7, 9]),
    also={"RPC-1a: the two kinds have no order between them": in_own_order([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])},
)
async def eorder_fetch_vs_rpc(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(*[stub.fetch(f"http://x/{i}") if i % 2 else stub.note(i) for i in range(10)])
    return await stub.read()


@program(
    "eorder-fetch-only",
    bindings={"D": Log},
    rules=("RPC-1",),
    forbidden=lambda o: None if o == "0123456789" else "RPC-1: fetches of one stub arrived out of order",
)
async def eorder_fetch_only(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(*[stub.fetch(f"http://x/{i}") for i in range(10)])
    return "".join(map(str, await stub.read()))


class WritesBetween(DurableObject):
    """A."""

    async def go(self) -> None:
        stub = self.env.B.get_by_name("b")
        calls = []
        for i in range(3):
            calls.append(stub.note(i))
            self.ctx.storage.kv.put("k", i)
        await gather(*calls)


@program(
    "eorder-write-between-calls",
    bindings={"A": WritesBetween, "B": Log},
    rules=("RPC-1", "RPC-4"),
    forbidden=lambda o: None if o == "012" else "RPC-4: calls of one stub arrived out of order",
    exhaustive=True,
)
async def eorder_write_between_calls(world: World) -> Any:
    await world.env.A.get_by_name("a").go()
    return "".join(map(str, await world.env.B.get_by_name("b").read()))


class ThreeCalls(DurableObject):
    """A and B."""

    async def go(self, name: str) -> None:
        stub = self.env.C.get_by_name("c")
        await gather(*[stub.note(f"{name}{i}") for i in range(3)])

    def warm(self) -> None:
        """Is constructed by this."""


THREE = [["a0", "a1", "a2"], ["b0", "b1", "b2"]]


@program(
    "eorder-two-callers",
    bindings={"A": ThreeCalls, "B": ThreeCalls, "C": Log},
    rules=("RPC-1", "RPC-2"),
    forbidden=disorder("RPC-1: calls of one stub arrived out of order", *THREE),
    also={"RPC-2: nothing orders two callers": in_own_order(*THREE)},
)
async def eorder_two_callers(world: World) -> Any:
    a, b = world.env.A.get_by_name("a"), world.env.B.get_by_name("b")
    await gather(a.warm(), b.warm())
    await gather(a.go("a"), b.go("b"))
    return await world.env.C.get_by_name("c").read()


class Interleaved(Log):
    async def run(self, n: str) -> None:
        self.log.append(f"{n}1")
        await Pending.of(None)
        self.log.append(f"{n}2")
        await self.ctx.storage.get("k")
        self.log.append(f"{n}3")
        await trio.sleep(0)  # noqa: ASYNC115  # a timer of 0 ms, which ends the turn
        self.log.append(f"{n}4")
        await self.env.E.get_by_name("e").note(n)
        self.log.append(f"{n}5")


def real_awaits_only(outcome: Any) -> bool:
    """1, 2, 3 are one turn; each in its own order; b does not begin before a."""
    log = outcome.split()
    own = in_own_order([f"a{i}" for i in range(1, 6)], [f"b{i}" for i in range(1, 6)])
    return own(log) and "a1 a2 a3" in outcome and "b1 b2 b3" in outcome and log.index("a1") < log.index("b1")


@program(
    "interleave-await-points",
    bindings={"D": Interleaved, "E": Log},
    rules=("IG-8", "IG-10", "TM-4"),
    forbidden=lambda o: None if real_awaits_only(o) else "IG-10: interleaved at an await that ends no turn",
    also={"IG-8: timers and calls may end in any order": real_awaits_only},
    exhaustive=True,
)
async def interleave_await_points(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(stub.run("a"), stub.run("b"))
    return " ".join(await stub.read())


class FireAndForget(DurableObject):
    def go(self) -> None:
        self.env.B.get_by_name("b").note(1)


@program(
    "rpc-call-starts-without-await",
    bindings={"A": FireAndForget, "B": Log},
    rules=("RPC-23",),
    also={SLOW_CALL: [0]},
    exhaustive=True,
)
async def rpc_call_starts_without_await(world: World) -> Any:
    await world.env.A.get_by_name("a").go()
    await world.advance(0.010)
    return len(await world.env.B.get_by_name("b").read())


class MyErr(Exception):
    """An error class of the app."""


def throws() -> dict[str, Any]:
    """What is thrown, by kind."""
    plain = Exception("m")
    plain.code = 7  # type: ignore[attr-defined]  # a property of any error
    plain.__cause__ = Exception("c")
    renamed = Exception("rn")
    renamed.name = "Custom"  # type: ignore[attr-defined]  # as JavaScript assigns it
    return {
        "error": plain,
        "type": TypeError("tt"),
        "sub": MyErr("sub"),
        "renamed": renamed,
        "agg": AggregateError("agg", [Exception("x")]),
        "reject": RangeError("rr"),
    }


class Thrower(DurableObject):
    def t(self, kind: str) -> None:
        raise throws()[kind]

    async def reject(self) -> None:
        raise throws()["reject"]


def anatomy(error: Exception, kind: str) -> dict[str, Any]:
    """Everything that the recording looked at."""
    found = description(error)
    names = {**PROPERTIES, "name": "name"}
    own = ["message", "stack", *(names.get(key, key) for key in vars(error) if not key.startswith("_"))]
    found["instance"] = list(dict.fromkeys(["Error", found["ctor"]]))
    found["ownKeys"] = sorted(own)
    if kind == "error":
        frames = [] if error.__traceback__ is None else [error.__traceback__.tb_frame.f_code.co_name]
        found["stackHasCallee"] = "t" in frames
    return found


def applicable(outcome: Any) -> Any:
    """Without what only JavaScript can throw: text, number, null, undefined, plain object, DOMException."""
    return {kind: found for kind, found in outcome.items() if kind in throws()}


@program(
    "err-shapes",
    bindings={"D": Thrower},
    rules=("RPC-19",),
    translated=applicable,
    exhaustive=True,
    note="without values that are no errors and DOMException, which only JavaScript can throw",
)
async def err_shapes(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    outcome = {}
    for kind in throws():
        try:
            await (stub.reject() if kind == "reject" else stub.t(kind))
        except Exception as error:
            outcome[kind] = anatomy(error, kind)
    return outcome


class Counted(DurableObject):
    """Counts its constructions, isolate-wide."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        key = ("constructions", str(ctx.id))
        ISOLATE[key] = ISOLATE.get(key, 0) + 1

    def tag(self) -> int:
        found: int = ISOLATE[("constructions", str(self.ctx.id))]
        return found


class Unhandled(Counted):
    def fail(self) -> None:
        raise Exception("uncaught")

    def leave(self) -> str:
        async def rejected() -> None:
            raise Exception("unhandled")

        def throwing() -> None:
            raise Exception("in a timer")

        self.ctx.wait_until(rejected())
        self.ctx.set_timeout(throwing, 0)
        return "ok"


@program(
    "err-keeps-instance",
    bindings={"D": Unhandled},
    rules=("LC-30",),
    forbidden=lambda o: None if o["n"] == 1 else "LC-30: an exception reset the object",
    exhaustive=True,
)
async def err_keeps_instance(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await settled(stub.fail())
    left = await settled(stub.leave())
    await world.advance(0.020)
    return {"l": left, "n": await stub.tag()}


class Dying(Counted):
    async def slow(self) -> str:
        await trio.sleep(0.030)
        return "slow"

    def die(self) -> None:
        self.ctx.abort("because")


def all_but_fresh_fail(outcome: Any) -> str | None:
    """LC-32, RPC-8."""
    if "ok" in outcome["die"] or "ok" in outcome["sameStub"]:
        return "RPC-8: a call on a stub of the dead instance succeeded"
    return None if outcome["freshStub"] == {"ok": 2} else "RPC-9: a fresh stub did not reach a new instance"


@program(
    "abort-errors",
    bindings={"D": Dying},
    rules=("LC-32", "LC-45", "RPC-8", "LT-69"),
    forbidden=all_but_fresh_fail,
    also={SLOW_CALL: lambda o: o["slow"] == {"ok": "slow"}},
    exhaustive=True,
)
async def abort_errors(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    slow, die, behind = stub.slow(), stub.die(), stub.tag()
    outcome = {"slow": await settled(slow), "die": await settled(die), "behind": await settled(behind)}
    await world.advance(0.020)
    outcome["sameStub"] = await settled(stub.tag())
    return {**outcome, "freshStub": await settled(world.env.D.get_by_name("d").tag())}


class Reasons(DurableObject):
    def none(self) -> None:
        self.ctx.abort()

    def error(self) -> None:
        error = TypeError("e1")
        error.p = 1  # type: ignore[attr-defined]  # a property of any error; it is lost
        self.ctx.abort(error)

    def mapping(self) -> None:
        self.ctx.abort({"a": 1})


@program("abort-noreason", bindings={"D": Reasons}, rules=("LC-32",), exhaustive=True)
async def abort_noreason(world: World) -> Any:
    return [
        await settled(world.env.D.get_by_name("d1").none()),
        await settled(world.env.D.get_by_name("d2").error()),
        await settled(world.env.D.get_by_name("d3").mapping()),
    ]


class Afterwards(DurableObject):
    async def go(self) -> None:
        steps: list[str] = ISOLATE.setdefault("steps", [])
        steps.append("before")
        try:
            self.ctx.abort("x")
            steps.append("after")
        except Exception:
            steps.append("caught")
        steps.append("tail")
        await Pending.of(None)
        steps.append("micro")
        await trio.sleep(0.001)
        steps.append("timer")


@program(
    "abort-code-after",
    bindings={"D": Afterwards},
    rules=("LC-32", "LT-42"),
    forbidden=lambda o: None if o["list"] == ["before"] else "LT-42: code ran after abort()",
    note="without the `finally` block, which Python runs for frames that are on the stack",
    exhaustive=True,
)
async def abort_code_after(world: World) -> Any:
    result = await settled(world.env.D.get_by_name("d").go())
    await world.advance(0.020)
    return {"list": ISOLATE["steps"], "r": result}


class Passing(Counted):
    """A."""

    async def go(self) -> None:
        await self.env.B.get_by_name("b").die()

    async def look(self) -> Any:
        return (await settled(self.env.B.get_by_name("b").die()))["err"]


class Gone(DurableObject):
    """B."""

    def die(self) -> None:
        self.ctx.abort("b gone")


@program("abort-other-caller-chain", bindings={"A": Passing, "B": Gone}, rules=("LC-45",), exhaustive=True)
async def abort_other_caller_chain(world: World) -> Any:
    stub = world.env.A.get_by_name("a")
    worker = await settled(stub.go())
    return {"worker": worker, "seenByA": {"err": await stub.look()}, "tag": await stub.tag()}


class Forgetful(DurableObject):
    m = 0

    def set(self) -> None:
        self.m = 1
        self.ctx.storage.kv.put("k", 1)
        ISOLATE["g"] = 1

    def die(self) -> None:
        self.ctx.abort()

    def read(self) -> Any:
        return {"m": self.m, "k": self.ctx.storage.kv.get("k"), "g": ISOLATE.get("g", 0)}

    def glob(self) -> int:
        found: int = ISOLATE.get("g", 0)
        return found


@program(
    "state-loss-and-globals",
    bindings={"D": Forgetful},
    rules=("LC-13", "LC-32"),
    forbidden=lambda o: None if (o["same"]["m"], o["same"]["k"]) == (0, 1) else "LC-32: fields kept, or storage lost",
    exhaustive=True,
)
async def state_loss_and_globals(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.set()
    await settled(stub.die())
    same = await world.env.D.get_by_name("d").read()
    return {"same": same, "other": await world.env.D.get_by_name("other").glob(), "inWorker": ISOLATE["g"]}


class Named(DurableObject):
    def own_name(self) -> Any:
        return self.ctx.id.name


@program("ids", bindings={"D": Named}, rules=("LC-2", "LC-3", "LC-4", "LC-5"), exhaustive=True)
async def ids(world: World) -> Any:
    namespace = world.env.D
    first, again = namespace.id_from_name("RUNq"), namespace.id_from_name("RUNq")
    rebuilt = namespace.id_from_string(str(namespace.id_from_name("RUNx")))

    async def named(name: str) -> Any:
        return await namespace.get_by_name(name).own_name()

    via_string = await namespace.get(rebuilt).own_name()
    stub = namespace.get(first)
    try:
        namespace.id_from_string("zz")
        bad: Any = None
    except Exception as error:
        bad = {"err": description(error)}
    return {
        "viaStringFirst": via_string,
        "viaNameAfter": await named("RUNx"),
        "byName": await named("RUNw"),
        "unique": await namespace.get(namespace.new_unique_id()).own_name(),
        "same": first == again and first.equals(again),
        "hexLen": len(str(first)),
        "stubIdName": stub.id.name,
        "stubName": stub.name,
        "badString": bad,
        "emptyName": await settled(named("")),
    }


class LeftBehind(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.done: list[str] = []

    def go(self, kind: str) -> str:
        async def work() -> None:
            await trio.sleep(0.010)
            self.done.append(kind)

        if kind == "timer":
            self.ctx.set_timeout(lambda: self.done.append(kind), 0.010)
        elif kind == "waitUntil":
            self.ctx.wait_until(work())
        else:
            begin(work())
        return "ok"

    def rejecting(self) -> str:
        async def work() -> None:
            raise Exception("rejected")

        self.ctx.wait_until(work())
        return "ok"

    def ok2(self) -> str:
        return "ok2"

    def read(self) -> list[str]:
        return sorted(self.done)


@program(
    "waituntil-do",
    bindings={"D": LeftBehind},
    rules=("RPC-23", "LC-30"),
    also={SLOW_CALL: lambda o: o["r"] == ["ok", {"ok": "ok2"}] and not {*o["done"]} - {"float", "timer", "waitUntil"}},
)
async def waituntil_do(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await gather(*[stub.go(kind) for kind in ("float", "waitUntil", "timer")])
    await world.advance(0.025)
    done = await stub.read()
    return {"done": done, "r": [await stub.rejecting(), await settled(stub.ok2())]}


class SelfCalling(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    async def go(self) -> list[str]:
        self.log.append("a")
        inner = self.env.D.get(self.ctx.id).inner()
        self.log.append("b")
        await inner
        self.log.append("c")
        return self.log

    def inner(self) -> None:
        self.log.append("i")


@program(
    "self-call",
    bindings={"D": SelfCalling},
    rules=("RPC-10", "RPC-12"),
    forbidden=lambda o: None if o == ["a", "b", "i", "c"] else "RPC-10: a call ran inside its caller's turn, or never",
    exhaustive=True,
)
async def self_call(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class Stateless(WorkerEntrypoint):
    """W: leaves work behind its reply."""

    def go(self, name: str) -> None:
        async def kept() -> None:
            await trio.sleep(0.010)
            await self.env.D.get_by_name(name).note("waitUntil")

        self.floating(name, "float")
        self.ctx.wait_until(kept())

    def lone(self, name: str) -> None:
        self.floating(name, "lone")

    def unawaited(self, name: str) -> None:
        self.env.D.get_by_name(name).note("unawaited")

    def floating(self, name: str, kind: str) -> None:
        """A timer goes on by itself, which a coroutine of Python's does not."""
        self.ctx.set_timeout(lambda: self.env.D.get_by_name(name).note(kind), 0.010)


def left_behind(outcome: Any) -> bool:
    """What a Worker may leave behind."""
    return (
        not {*outcome["withWaitUntil"]} - {"float", "waitUntil"}
        and outcome["lone"] == []
        and outcome["unawaitedCall"] in ([], ["unawaited"])
    )


@program(
    "waituntil-worker",
    bindings={"W": Stateless, "D": Log},
    rules=("RPC-22", "RPC-24"),
    forbidden=lambda o: "RPC-24: floating work went on without a wait_until" if o["lone"] else None,
    also={"RPC-24: an issued call may get out; RPC-1: it may be under way for a while": left_behind},
)
async def waituntil_worker(world: World) -> Any:
    async def logged(method: str) -> Any:
        # An object of its own each, so that what comes late is not taken for another's.
        await getattr(world.env.W, method)(method)
        await world.advance(0.040)
        return sorted(await world.env.D.get_by_name(method).read())

    return {
        "withWaitUntil": await logged("go"),
        "lone": await logged("lone"),
        "unawaitedCall": await logged("unawaited"),
    }

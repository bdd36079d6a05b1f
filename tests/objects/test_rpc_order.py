"""The two channels of a stub, and when calls and requests leave their caller (RPC-1 to RPC-4, RPC-14a, IG-14)."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim import DurableObject, Mesh, WorkerEntrypoint, World, WorldOptions, gather, scenario
from lumenize_sim.errors import AppError
from lumenize_sim.explore.exhaustive import enumerate_behaviours
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.objects import Request, Response


class Log(DurableObject):
    """Writes down what arrives, and when it was built."""

    built = 0

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Log.built += 1
        self.log: list[str] = []

    def note(self, what: str) -> list[str]:
        self.log.append(what)
        return self.log

    def fetch(self, request: Request) -> Response:
        self.log.append(request.url.path[1:])
        return Response(200, ",".join(self.log))

    def read(self) -> list[str]:
        return self.log


class Caller(DurableObject):
    """Calls on one stub in one turn."""

    async def both(self) -> None:
        stub = self.env.LOG.get_by_name("l")
        await gather(stub.note("r0"), stub.fetch("https://l/f0"), stub.note("r1"), stub.fetch("https://l/f1"))

    async def between_writes(self) -> None:
        stub = self.env.LOG.get_by_name("l")
        calls = []
        for n in range(3):
            calls.append(stub.note(f"r{n}"))
            self.ctx.storage.kv.put("n", n)
        await gather(*calls)

    def write_and_call(self, kind: str) -> None:
        self.ctx.storage.kv.put("a", 1)
        stub = self.env.LOG.get_by_name("l")
        self.ctx.wait_until(stub.note("x") if kind == "call" else stub.fetch("https://l/x"))

    def call_and_abort(self, kind: str) -> None:
        stub = self.env.LOG.get_by_name("l")
        _ = stub.note("x") if kind == "call" else stub.fetch("https://l/x")
        self.ctx.abort("bye")


class Clerk(WorkerEntrypoint):
    async def both(self) -> None:
        stub = self.env.LOG.get_by_name("l")
        await gather(stub.note("r0"), stub.fetch("https://l/f0"), stub.note("r1"), stub.fetch("https://l/f1"))


BINDINGS: dict[str, type] = {"LOG": Log, "CALLER": Caller, "CLERK": Clerk}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Log.built = 0


def in_order(log: list[str]) -> bool:
    """At most once each, and each kind in the order made."""
    return all(
        [x for x in log if x[0] == kind] == [f"{kind}{n}" for n in range("".join(log).count(kind))] for kind in "rf"
    )


def behaviours(drive: Any) -> set[tuple[str, ...]]:
    """All logs that a drive can end with; every behaviour, not a sample."""
    met: set[tuple[str, ...]] = set()

    async def whole(world: World) -> None:
        await drive(world)
        met.add(tuple(await world.env.LOG.get_by_name("l").read()))
        Log.built = 0  # what a class keeps from run to run would put completeness in doubt

    found = enumerate_behaviours(scenario(Mesh(bindings=BINDINGS))(whole))
    assert found.complete
    return met


def test_a_worker_and_the_driver_send_requests_before_calls(passes: Any) -> None:
    """RPC-1a, LT-66: first come, first served, on a cold object and a warm one, all fetches of a turn arrive first."""

    async def drive(world: World) -> None:
        stub = world.env.LOG.get_by_name("l")
        await gather(stub.note("r0"), stub.fetch("https://l/f0"), stub.note("r1"), stub.fetch("https://l/f1"))
        assert await stub.read() == ["f0", "f1", "r0", "r1"]
        await world.env.CLERK.both()
        assert (await stub.read())[4:] == ["f0", "f1", "r0", "r1"]

    passes(drive, **BINDINGS)
    passes(drive, options=WorldOptions(runtime="workerd"), **BINDINGS)


@pytest.mark.parametrize(
    "kinds, merges",
    [
        ("rf", 2),
        pytest.param("rfr", 3, marks=pytest.mark.slow),
        pytest.param("frf", 3, marks=pytest.mark.slow),
        pytest.param("rfrf", 6, marks=pytest.mark.slow),
    ],
)
def test_each_kind_keeps_its_order_and_any_merge_is_possible(kinds: str, merges: int) -> None:
    """RPC-1, RPC-1a: of all behaviours, every merge of the two channels, and no disorder within a kind."""

    async def drive(world: World) -> None:
        stub = world.env.LOG.get_by_name("l")
        named = [f"{kind}{kinds[:nth].count(kind)}" for nth, kind in enumerate(kinds)]
        await gather(*(stub.note(n) if n[0] == "r" else stub.fetch(f"https://l/{n}") for n in named))

    met = behaviours(drive)
    assert len(met) == merges
    assert all(in_order(list(log)) for log in met)


def test_from_an_object_the_kinds_mix_too(roams: Any) -> None:
    """RPC-1a, IG-14: each fetch hops through the caller's gate first."""
    met: set[tuple[str, ...]] = set()

    async def drive(world: World) -> None:
        await world.env.CALLER.get_by_name("c").both()
        met.add(tuple(await world.env.LOG.get_by_name("l").read()))
        Log.built = 0  # what a class keeps from run to run would put completeness in doubt

    roams(drive, schedules=120, **BINDINGS)
    assert all(in_order(list(log)) for log in met)
    assert len(met) == 6


def test_calls_around_writes_keep_their_order(passes: Any) -> None:
    """RPC-4: each waits for the writes before it, the later ones for more."""

    async def drive(world: World) -> None:
        await world.env.CALLER.get_by_name("c").between_writes()
        assert await world.env.LOG.get_by_name("l").read() == ["r0", "r1", "r2"]

    passes(drive, plan={fault_label("slow-flush", "CALLER/c", 0): 2}, **BINDINGS)


@pytest.mark.parametrize("kind, built", [("call", 1), ("fetch", 0)])
def test_a_call_that_never_leaves_wakes_its_object_all_the_same(passes: Any, kind: str, built: int) -> None:
    """RPC-14a, LT-71a: the session opens at once, the method waits for the flush, which fails; a fetch just waits."""

    async def drive(world: World) -> None:
        with pytest.raises(AppError):
            await world.env.CALLER.get_by_name("c").write_and_call(kind)
        await world.settle()
        assert Log.built == built
        assert await world.env.LOG.get_by_name("l").read() == []

    passes(drive, plan={fault_label("failed-flush", "CALLER/c", 0): 1}, **BINDINGS)


@pytest.mark.parametrize("kind, built", [("call", 1), ("fetch", 0)])
def test_a_call_of_the_turn_of_an_abort_wakes_its_object_only(passes: Any, kind: str, built: int) -> None:
    """RPC-14a, LC-32: without any write as well."""

    async def drive(world: World) -> None:
        with pytest.raises(AppError):
            await world.env.CALLER.get_by_name("c").call_and_abort(kind)
        await world.settle()
        assert Log.built == built
        assert await world.env.LOG.get_by_name("l").read() == []

    passes(drive, **BINDINGS)


def test_a_call_that_waits_finds_its_object_awake(passes: Any) -> None:
    """RPC-14a: the session opens before the flush; the method runs after it, once."""

    async def drive(world: World) -> None:
        await world.env.CALLER.get_by_name("c").write_and_call("call")
        await world.settle()
        assert (Log.built, await world.env.LOG.get_by_name("l").read()) == (1, ["x"])

    passes(drive, plan={fault_label("slow-flush", "CALLER/c", 0): 2}, **BINDINGS)

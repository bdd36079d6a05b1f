"""Simulated servers: what a fetch of a node reaches, when, and what may go wrong (IG-8, IG-14, 3.1, RPC-27)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from lumenize_sim import (
    DurableObject,
    Faults,
    MachineOptions,
    Mesh,
    UsageError,
    WorkerEntrypoint,
    World,
    WorldOptions,
    explore,
    gather,
    scenario,
)
from lumenize_sim.errors import AppError
from lumenize_sim.explore.roaming import roam
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan, fault_label
from lumenize_sim.objects import Request, Response
from lumenize_sim.world.run import run_scenario
from lumenize_sim.world.servers import BAD_FETCH


class Asker(DurableObject):
    """Asks a server."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    async def ask(self, path: str = "/", **options: Any) -> Any:
        response = await self.ctx.fetch(f"https://api.example{path}", **options)
        return response.status, response.text

    async def failing(self, path: str = "/") -> list[Any]:
        try:
            return [(await self.ctx.fetch(f"https://api.example{path}")).status]
        except Exception as error:
            return [str(error), bool(getattr(error, "retryable", False))]

    async def write_then_ask(self) -> None:
        self.ctx.storage.kv.put("a", 1)
        await self.ctx.fetch("https://api.example/written")

    async def read_modify_write(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        await self.ctx.fetch("https://api.example/")
        self.ctx.storage.kv.put("n", n + 1)
        return n + 1

    async def ask_many(self, count: int) -> int:
        await gather(*(self.ctx.fetch(f"https://api.example/{n}") for n in range(count)))
        return count

    def elsewhere(self, url: str) -> None:
        self.ctx.fetch(url)

    async def section_and_fetch(self) -> list[str]:
        """The request of outside leaves only when the section is over: it has to pass the input gate (IG-14)."""
        self.ctx.fetch("https://api.example/outside")

        async def body() -> Any:
            await trio.sleep(1)
            return (await self.ctx.fetch("https://api.example/inside")).status

        await self.ctx.block_concurrency_while(body)
        return self.log


class Clerk(WorkerEntrypoint):
    async def ask(self) -> str:
        response = await self.ctx.fetch("https://api.example/worker", method="POST", body="hi", headers={"x": "1"})
        text: str = response.text
        return text


APP = Mesh(bindings={"ASKER": Asker, "CLERK": Clerk})
Drive = Callable[[World], Any]


def passes(drive: Drive, plan: dict[str, int] | None = None, options: WorldOptions | None = None) -> Any:
    outcome = run_scenario(scenario(APP, options=options)(drive), GuidedChooser(), plan=FaultPlan(plan), trace=True)
    if outcome.failed:
        raise outcome.error or AssertionError(f"{outcome.kind}: {outcome.message}")
    return outcome


def echo(request: Request) -> Response:
    return Response(200, f"{request.method} {request.url.path} {request.text}", {"x": request.headers.get("x", "")})


def test_a_fetch_reaches_the_handler_of_its_origin() -> None:
    """From an object, a Worker; method, headers and body arrive, and the server keeps a log."""

    async def drive(world: World) -> None:
        server = world.server("https://api.example", echo, latency_s=0.2)
        world.server("https://api.example:8443", lambda request: "other")
        asker = world.env.ASKER.get_by_name("a")
        began = world.now()
        assert await asker.ask("/x") == [200, "GET /x "]
        assert world.now() - began >= 0.2
        assert await world.env.CLERK.ask() == "POST /worker hi"
        first, second = server.requests
        assert (first.request.method, str(first.request.url), first.by) == ("GET", "https://api.example/x", "ASKER/a")
        assert first.at_s >= began + 0.1
        assert (second.request.headers["x"], second.request.body) == ("1", b"hi")
        assert "2 requests" in repr(server)

    passes(drive)


def test_handlers_may_take_their_time_and_answer_with_plain_values() -> None:
    async def slow(request: Request) -> Any:
        await trio.sleep(3)
        return {"a": [1]}

    async def drive(world: World) -> None:
        world.server("https://api.example", slow, latency_s=0)
        began = world.now()
        assert await world.env.ASKER.get_by_name("a").ask() == [200, '{"a": [1]}']
        assert world.now() - began >= 3

    passes(drive)


def test_without_a_server_the_error_says_how_to_add_one() -> None:
    async def drive(world: World) -> None:
        text, _ = await world.env.ASKER.get_by_name("a").failing("/x")
        assert text == (
            "no simulated server answers GET https://api.example/x: "
            "add one with world.server('https://api.example', handler)"
        )
        for url in ("api.example", "ftp://api.example/", "/x"):
            with pytest.raises(TypeError, match="give an absolute URL"):
                await world.env.ASKER.get_by_name("a").elsewhere(url)

    passes(drive)


def test_a_fetch_opens_the_gate() -> None:
    """IG-8, LT-2: what another event has written meanwhile is lost."""

    async def drive(world: World) -> None:
        world.server("https://api.example", echo)
        one, two = world.env.ASKER.get_by_name("a"), world.env.ASKER.get_by_name("a")
        assert await gather(one.read_modify_write(), two.read_modify_write()) == [1, 1]

    passes(drive)


def test_a_fetch_waits_for_the_writes_before_it() -> None:
    """3.1, LT-26: the flush fails, and the server has seen nothing; where it is slow, the request is late."""
    seen: list[float] = []

    async def drive(world: World) -> None:
        server = world.server("https://api.example", echo)
        call = world.env.ASKER.get_by_name("a").write_then_ask()
        try:
            await call
        except AppError:
            assert not server.requests
        else:
            seen.append(server.requests[0].at_s)

    passes(drive, {fault_label("failed-flush", "ASKER/a", 0): 1})
    assert not seen
    passes(drive, {fault_label("slow-flush", "ASKER/a", 0): 2})
    assert seen[0] >= 1


def test_a_fetch_passes_the_input_gate_once_more() -> None:
    """IG-14: one begun outside a section that is asked for in the same turn leaves when the section is over."""

    async def drive(world: World) -> None:
        server = world.server("https://api.example", echo)
        await world.env.ASKER.get_by_name("a").section_and_fetch()
        await world.settle()
        assert [seen.request.url.path for seen in server.requests] == ["/inside", "/outside"]

    passes(drive)


@pytest.mark.parametrize(
    "trouble, heard, reaches",
    [
        ("slow", [200], True),
        ("error", [503], False),
        ("lost", ["Network connection lost.", True], False),
        ("unanswered", ["Network connection lost.", True], True),
        ("timeout", ["Network connection lost.", True], True),
    ],
)
@pytest.mark.parametrize("planned", [True, False])
def test_trouble_is_planned_by_label_or_made_by_hand(trouble: Any, heard: Any, reaches: bool, planned: bool) -> None:
    """LC-41; the next request goes well again."""

    async def drive(world: World) -> None:
        server = world.server("https://api.example", echo)
        if not planned:
            server.trouble_next(trouble)
        asker = world.env.ASKER.get_by_name("a")
        began = world.now()
        assert await asker.failing() == heard
        took = world.now() - began
        assert (took >= 100) == (trouble == "timeout")
        assert (took >= 20) == (trouble in ("slow", "timeout"))
        assert len(server.requests) == reaches
        assert await asker.failing() == [200]

    plan = {fault_label("bad-fetch", "ASKER/a", 0): BAD_FETCH.index(trouble)} if planned else None
    assert passes(drive, plan).faults == ({"bad-fetch": 1} if planned else {})


def test_trouble_replays_and_is_found() -> None:
    """A sweep meets it, and its tape shows it again."""

    async def drive(world: World) -> None:
        server = world.server("https://api.example", echo)
        heard = await world.env.ASKER.get_by_name("a").failing()
        assert len(server.requests) == (heard == [200])

    made = scenario(APP, faults=Faults(kinds=("bad-fetch",), at_most=1))(drive)
    report = explore(made, schedules=200, verify=False)
    assert report.failures
    again = roam(made, "random", seed=3, planned={fault_label("bad-fetch", "ASKER/a", 0): 4})[0]
    assert again.failed


@pytest.mark.parametrize("limit", [6, 2, None])
def test_only_so_many_requests_wait_at_a_time(limit: int | None) -> None:
    """RPC-27: further ones queue, first come, first served."""
    running: list[int] = [0, 0]

    async def handler(request: Request) -> str:
        running[0] += 1
        running[1] = max(running)
        await trio.sleep(1)
        running[0] -= 1
        return "x"

    async def drive(world: World) -> None:
        server = world.server("https://api.example", handler, latency_s=0)
        assert await world.env.ASKER.get_by_name("a").ask_many(9) == 9
        assert [seen.request.url.path for seen in server.requests] == [f"/{n}" for n in range(9)]

    passes(drive, options=WorldOptions(objects=MachineOptions(connection_limit=limit)))
    assert running == [0, limit or 9]


def test_a_handler_that_raises_is_the_test_authors_failure() -> None:
    """ConnectionError breaks the connection; everything else ends the run and names the server."""

    async def drive(world: World) -> None:
        def break_off(request: Request) -> str:
            raise ConnectionError

        world.server("https://api.example", break_off)
        assert await world.env.ASKER.get_by_name("a").failing() == ["Network connection lost.", True]

    passes(drive)

    def wrong(answer: Any) -> Drive:
        async def drive(world: World) -> None:
            world.server("https://api.example", lambda request: answer)
            await world.env.ASKER.get_by_name("a").failing()

        return drive

    with pytest.raises(UsageError, match=r"answered with 7: return a Response"):
        passes(wrong(7))


def test_bad_servers_are_refused() -> None:
    async def drive(world: World) -> None:
        for origin in ("api.example", "https://api.example/path", "ftp://api.example"):
            with pytest.raises(UsageError, match="is no origin"):
                world.server(origin, echo)
        with pytest.raises(UsageError, match="cannot be called"):
            world.server("https://api.example", "text")  # type: ignore[arg-type]  # that is the mistake
        with pytest.raises(UsageError, match="must be 0 or more"):
            world.server("https://api.example", echo, latency_s=-1)
        server = world.server("https://api.example", echo)
        with pytest.raises(UsageError, match=r"there is a server at https://api\.example already"):
            world.server("https://api.example/", echo)
        with pytest.raises(UsageError, match="trouble 'fire' is unknown"):
            server.trouble_next("fire")  # type: ignore[arg-type]  # that is the mistake

    passes(drive)

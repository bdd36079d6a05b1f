"""``svc.fetch``: two one-way calls through a Worker, with an alarm as backstop (FE-1 … FE-10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lumenize_sim import RESULT, Faults, LumenizeDO, Mesh, Report, World, explore, mesh, scenario, simulate
from lumenize_sim.clone import Headers, RequestSync, ResponseSync
from lumenize_sim.mesh import FetchExecutor, LumenizeClient
from lumenize_sim.mesh.services import FetchTestMode, FetchTimeoutError

URL = "https://api.example/users/1"


class Reader(LumenizeDO):
    """Asks, and keeps what it hears."""

    @mesh
    def ask(self, url: str, timeout_ms: float = 30_000, mode: dict[str, Any] | None = None) -> str:
        return self.svc.fetch.proxy(
            url,
            self.ctn().heard(url, RESULT),
            timeout_ms=timeout_ms,
            test_mode=None if mode is None else FetchTestMode(**mode),
        )

    @mesh
    def post(self, body: Any) -> str:
        request = RequestSync(URL, "post", Headers({"content-type": "application/json"}), body)
        return self.svc.fetch.proxy(request, self.ctn().heard("post", RESULT), req_id="r-1")

    @mesh
    def ask_raising(self, url: str) -> str:
        return self.svc.fetch.proxy(url, self.ctn().raising(RESULT))

    @mesh
    def wrong(self) -> None:
        self.svc.fetch.proxy(URL, "heard")

    @mesh
    def direct(self) -> None:
        self.svc.fetch.direct(URL)

    def alone(self) -> None:
        self.svc.fetch.proxy(URL, self.ctn().heard(URL, RESULT))

    def heard(self, url: str, answer: Any) -> None:
        if isinstance(answer, ResponseSync):
            told: Any = [answer.status, answer.body]
        else:
            told = [getattr(answer, "name", type(answer).__name__), str(answer), getattr(answer, "url", None)]
        self.ctx.storage.kv.put("heard", [*self.heard_so_far(), [url, *told]])

    def heard_so_far(self) -> list[Any]:
        return self.ctx.storage.kv.get("heard") or []

    def raising(self, answer: Any) -> None:
        self.heard("raising", answer)
        raise ValueError("no use for it")


class Tab(LumenizeClient):
    """Makes the reader ask."""

    def tell(self, remote: Any) -> None:
        self.lmz.call("READER", "r", remote, self.ctn().done(RESULT))

    def done(self, result: Any) -> None:
        self.result = result


def app(compat: str | None = None) -> Mesh:
    return Mesh(bindings={"READER": Reader, "FETCH_EXECUTOR": FetchExecutor}, compat=compat)


Ask = Callable[[Any], Awaitable[Any]]


def passes(test: Callable[[World, Any], Awaitable[None]], *, compat: str | None = None) -> None:
    """Run ``test(world, ask)``, where ``await ask(lambda ctn: …)`` gives the result of a call by a client."""

    @scenario(app(compat))
    async def driven(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")

        def ask(make: Callable[[Any], Any]) -> Awaitable[Any]:
            return tab.lmz.call_raw("READER", "r", make(tab.ctn(Reader)))

        await test(world, ask)

    run = simulate(driven)
    if run.failure is not None:
        raise run.failure


def heard(world: World) -> list[Any]:
    return world.object("READER", "r").storage.kv.get("heard") or []


def test_the_answer_comes_back_as_a_call_and_the_backstop_is_gone() -> None:
    """FE-1 to FE-4, FE-6, FE-7: exactly one of answer and alarm."""

    async def drive(world: World, ask: Any) -> None:
        server = world.server("https://api.example", lambda request: {"name": "Ada"})
        req_id = await ask(lambda ctn: ctn.ask(URL))
        assert len(req_id) == 36
        assert heard(world) == []
        await world.settle(5)
        assert heard(world) == [[URL, 200, {"name": "Ada"}]]
        assert len(server.requests) == 1
        await world.advance(60)
        assert len(heard(world)) == 1

    passes(drive)


def test_a_request_in_memory_keeps_method_headers_and_body() -> None:
    """FE-1, SC-37: also a given id."""

    async def drive(world: World, ask: Any) -> None:
        server = world.server("https://api.example", lambda request: request.method)
        assert await ask(lambda ctn: ctn.post({"a": [1]})) == "r-1"
        await world.settle(5)
        (seen,) = server.requests
        request = seen.request
        assert (request.method, request.headers["content-type"], request.content) == (
            "POST", "application/json", b'{"a":[1]}',
        )  # fmt: skip
        assert heard(world) == [["post", 200, "POST"]]

    passes(drive)


def test_any_status_is_an_answer() -> None:
    """FE-4."""

    async def drive(world: World, ask: Any) -> None:
        from lumenize_sim.objects import Response

        world.server(
            "https://api.example", lambda request: Response(404, "no such user", {"content-type": "text/plain"})
        )
        await ask(lambda ctn: ctn.ask(URL))
        await world.settle(5)
        assert heard(world)[0][1:] == [404, "no such user"]

    passes(drive)


def test_a_network_failure_reaches_the_handler_as_an_error() -> None:
    """FE-4: nobody answers at all."""

    async def drive(world: World, ask: Any) -> None:
        await ask(lambda ctn: ctn.ask("https://nowhere.example/"))
        await world.settle(5)
        assert heard(world)[0][0] == "https://nowhere.example/"
        assert heard(world)[0][1] != 200

    passes(drive)


def test_a_slow_server_is_given_up_by_the_worker_and_the_handler_hears_of_one_of_the_two() -> None:
    """FE-4, FE-7, FE-8: abort and backstop are due at the same time; whoever comes first is the only one."""

    async def drive(world: World, ask: Any) -> None:
        world.server("https://api.example", lambda request: "late", latency_s=100)
        await ask(lambda ctn: ctn.ask(URL, 2_000))
        await world.advance(200)
        ((url, name, text, _),) = heard(world)
        assert url == URL
        assert (name, text) in {
            ("AbortError", "This operation was aborted"),
            ("FetchTimeoutError", "Fetch timeout - request exceeded 2000ms timeout period"),
        }

    passes(drive)


def test_an_answer_that_is_not_delivered_leaves_it_to_the_backstop() -> None:
    """FE-2, FE-5, FE-8: the error carries the address."""

    async def drive(world: World, ask: Any) -> None:
        world.server("https://api.example", lambda request: "fine")
        await ask(lambda ctn: ctn.ask(URL, 3_000, {"simulate_delivery_failure": True}))
        await world.advance(10)
        text = "Fetch timeout - request exceeded 3000ms timeout period"
        assert heard(world) == [[URL, "FetchTimeoutError", text, URL]]

    passes(drive)


def test_a_backstop_that_comes_early_wins_and_the_answer_is_dropped() -> None:
    """FE-2, FE-7: the other order of the race."""

    async def drive(world: World, ask: Any) -> None:
        world.server("https://api.example", lambda request: "fine", latency_s=5)
        await ask(lambda ctn: ctn.ask(URL, 30_000, {"alarm_timeout_ms": 1_000}))
        await world.advance(60)
        assert [entry[1] for entry in heard(world)] == ["FetchTimeoutError"]

    passes(drive)


def test_the_answer_finds_its_handler_after_the_object_has_lost_its_memory() -> None:
    """FE-7: the handler stands in the alarm's row."""

    async def drive(world: World, ask: Any) -> None:
        world.server("https://api.example", lambda request: "fine", latency_s=5)
        await ask(lambda ctn: ctn.ask(URL))
        world.object("READER", "r").hibernate()
        await world.advance(8)
        assert heard(world) == [[URL, 200, "fine"]]
        assert world.object("READER", "r").incarnations == 2

    passes(drive)


def test_a_handler_that_raises_is_not_run_again_by_the_backstop() -> None:
    """FE-6, FE-7: the row is gone before it runs."""

    async def drive(world: World, ask: Any) -> None:
        world.server("https://api.example", lambda request: "fine")
        await ask(lambda ctn: ctn.ask_raising(URL))
        await world.advance(60)
        assert [entry[0] for entry in heard(world)] == ["raising"]

    passes(drive)


def test_what_is_no_request_is_refused() -> None:
    """FE-1, FE-9."""

    async def drive(world: World, ask: Any) -> None:
        with pytest.raises(Exception, match=r"Invalid continuation: must be created with this\.ctn\(\)"):
            await ask(lambda ctn: ctn.wrong())
        with pytest.raises(Exception, match=r"Fetch\.direct\(\) is not yet implemented"):
            await ask(lambda ctn: ctn.direct())
        with pytest.raises(Exception, match=r"Cannot use proxy\(\) from DO without bindingName"):
            await world.env.READER.get_by_name("never called").alone()

    passes(drive)


@pytest.mark.parametrize("compat, hears", [(None, "fine"), ("0.26", "FetchTimeoutError")])
def test_the_answer_goes_to_the_name_where_the_original_sends_it_to_the_id(compat: str | None, hears: str) -> None:
    """FE-10: an object that has a stored name refuses another, and only ever hears the timeout."""

    async def drive(world: World, ask: Any) -> None:
        world.server("https://api.example", lambda request: "fine")
        await ask(lambda ctn: ctn.ask(URL, 2_000))
        await world.advance(10)
        ((_, *told),) = heard(world)
        assert hears in told

    passes(drive, compat=compat)


def test_a_stranger_cannot_settle_a_request_that_it_does_not_know() -> None:
    """FE-6: what takes the place of the original's way in through ``svc``."""

    async def drive(world: World, ask: Any) -> None:
        world.server("https://api.example", lambda request: "fine", latency_s=5)
        await ask(lambda ctn: ctn.ask(URL))
        await ask(lambda ctn: ctn.handle_proxy_fetch_result("00000000-0000-4000-8000-000000000000", "forged"))
        assert heard(world) == []
        with pytest.raises(Exception, match="not mesh-callable"):
            await ask(lambda ctn: ctn.svc.fetch.deliver("x", "forged"))
        await world.advance(8)
        assert heard(world) == [[URL, 200, "fine"]]

    passes(drive)


def test_exactly_one_answer_reaches_the_handler_whatever_fails(tmp_path: Path) -> None:
    """FE-7 under every fault: at most once, and once where the request was taken down."""

    @scenario(app(), faults=Faults.all(at_most=3))
    async def one_answer(world: World) -> None:
        world.server("https://api.example", lambda request: "fine")
        tab = await world.connect(Tab, sub="alice", wait=False)
        await world.settle(5)
        asked = False
        try:
            await world.env.READER.get_by_name("r").ping()
        except Exception:
            world.sometimes("the object was lost at once")
        tab.tell(tab.ctn(Reader).ask(URL, 5_000))
        await world.settle(1)
        asked = isinstance(getattr(tab, "result", None), str)
        world.quiet()
        await world.advance(300)
        answers = heard(world)
        assert len(answers) <= 1, answers
        assert answers or not asked

    report: Report = explore(one_answer, schedules=60, save=tmp_path, verify=False)
    assert report.failures == []


def test_the_error_is_registered_so_that_it_keeps_its_class() -> None:
    """FE-8, RES-4."""
    from lumenize_sim.clone import parse, stringify

    copy = parse(stringify(FetchTimeoutError("late", URL)))
    assert type(copy) is FetchTimeoutError
    assert (str(copy), copy.url) == ("late", URL)

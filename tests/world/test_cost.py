"""What runs cost: requests, duration and storage of simulated objects, by hand-computed amounts (BL-1 to BL-8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from lumenize_sim import (
    DurableObject,
    Mesh,
    RpcTarget,
    Run,
    UsageError,
    World,
    explore,
    scenario,
    simulate,
)
from lumenize_sim.explore import load_scenario
from lumenize_sim.objects import AlarmInfo
from lumenize_sim.objects.billing import Consumption
from lumenize_sim.objects.hibernation import WebSocketRequestResponsePair
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.prices import FREE
from lumenize_sim.objects.websocket import WebSocket, WebSocketPair

ROOT = Path(__file__).parents[2]


class Session(RpcTarget):
    """What a call returns to be called itself."""

    def next(self) -> int:
        return 1


class Shop(DurableObject):
    """Uses what is billed, on demand."""

    async def work(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def quick(self) -> None: ...

    def session(self) -> Session:
        return Session()

    def later(self, seconds: float) -> None:
        self.ctx.set_timeout(lambda: None, seconds)

    def rows(self) -> None:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
        sql.exec("CREATE INDEX i ON t(b)")

    def insert(self, count: int) -> None:
        for nth in range(count):
            self.ctx.storage.sql.exec("INSERT INTO t VALUES(?, ?)", nth, f"b{nth}")

    def select(self) -> int:
        return len(self.ctx.storage.sql.exec("SELECT * FROM t").to_array())

    async def entries(self) -> None:
        storage = self.ctx.storage
        await storage.put("a", 1)
        await storage.put({"b": 2, "c": 3})
        await storage.get("a")
        await storage.get(["b", "missing"])
        await storage.delete("c")

    async def wake_in(self, ms: int) -> None:
        await self.ctx.storage.set_alarm(self.ctx.host.now_ms() + ms)

    async def alarm(self, info: AlarmInfo) -> None:
        await trio.sleep(1)
        if info.retry_count < 2:
            raise ValueError("again")

    def fetch(self, request: Request) -> Response:
        if request.headers.get("upgrade") != "websocket":
            return Response(200)
        pair = WebSocketPair()
        if request.url.path.endswith("/standard"):
            pair[1].accept()
        else:
            self.ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))
            self.ctx.accept_web_socket(pair[1])
        return Response(101, web_socket=pair[0])

    def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        for _ in range(5):
            ws.send(message)


class OldShop(Shop):
    """The same on the legacy backend."""

    storage_backend = "kv"

    async def large(self) -> None:
        storage = self.ctx.storage
        await storage.put("large", b"x" * 9000)
        await storage.sync()
        await storage.get("large")
        await storage.get("missing")
        await storage.list()
        await storage.delete("large")


def run(drive: Any, **bindings: type) -> Run:
    made = simulate(scenario(Mesh(bindings=bindings or {"SHOP": Shop}))(drive))
    assert made.failure is None, made.outcome.message
    return made


def used(drive: Any, **bindings: type) -> Consumption:
    """What the object ``s`` used, without what it stores and its turns."""
    (one,) = [cost for cost in run(drive, **bindings).cost.objects if cost.name == "SHOP/s"]
    return one.used


def shop(world: World) -> Any:
    return world.env.SHOP.get_by_name("s")


# -- requests ----------------------------------------------------------------------------


def test_a_call_and_a_fetch_are_a_request_each() -> None:
    """BL-1, BL-2."""

    async def drive(world: World) -> None:
        await shop(world).quick()
        await shop(world).quick()
        await shop(world).fetch("https://shop/")

    amounts = used(drive)
    assert (amounts.rpc_sessions, amounts.http_requests, amounts.requests) == (2, 1, 3)


def test_calls_on_what_a_call_returned_are_free() -> None:
    """BL-2: also those that were made before it had returned."""

    async def drive(world: World) -> None:
        session = await shop(world).session()
        assert await session.next() == 1
        assert await session.next() == 1
        assert await shop(world).session().next() == 1

    assert used(drive).rpc_sessions == 2


def test_every_run_of_an_alarm_is_a_request() -> None:
    """BL-1: each retry too; and setting it is a row (BL-7)."""

    async def drive(world: World) -> None:
        await shop(world).wake_in(1000)
        await world.advance(60)

    amounts = used(drive)
    assert (amounts.alarms, amounts.rpc_sessions, amounts.requests) == (3, 1, 4)
    assert amounts.rows_written == 1
    assert amounts.active_us == 3_000_000


@pytest.mark.parametrize("kind", ["standard", "hibernatable"])
def test_twenty_messages_are_a_request_and_answers_and_pings_are_free(kind: str) -> None:
    """BL-1, BL-3: an upgrade is one; what an auto-response answers does not count."""

    async def drive(world: World) -> None:
        socket = await world.open_socket("SHOP", "s", f"/{kind}")
        for _ in range(30):
            socket.send("text")
        if kind == "hibernatable":
            for _ in range(50):
                socket.send("ping")
        await world.settle()
        socket.close()

    amounts = used(drive)
    assert (amounts.http_requests, amounts.socket_messages, amounts.requests) == (1, 30, 2.5)


class Listener(DurableObject):
    """Opens a socket to the shop, and hears five answers to everything."""

    async def listen(self) -> None:
        response = await self.env.SHOP.get_by_name("s").fetch("https://shop/", headers={"Upgrade": "websocket"})
        ws = response.web_socket
        ws.accept()
        self.heard: list[str] = []
        ws.add_event_listener("message", lambda event: self.heard.append(event.data))
        for _ in range(2):
            ws.send("hello")
        await trio.sleep(1)
        self.ctx.storage.kv.put("heard", len(self.heard))
        ws.close()


def test_what_comes_in_through_a_socket_of_ones_own_is_free() -> None:
    """BL-1, BL-3: its messages are outgoing ones of whoever was dialled; that one is billed for those it gets."""

    async def drive(world: World) -> None:
        await world.env.LISTENER.get_by_name("l").listen()
        await world.settle()
        assert world.object("LISTENER", "l").storage.kv.get("heard") == 10

    by_name = {cost.name: cost.used for cost in run(drive, SHOP=Shop, LISTENER=Listener).cost.objects}
    assert by_name["LISTENER/l"].socket_messages == 0
    assert (by_name["SHOP/s"].socket_messages, by_name["SHOP/s"].http_requests) == (2, 1)


# -- duration ----------------------------------------------------------------------------


def test_duration_is_wall_time_shared_by_all_requests_at_once() -> None:
    """BL-4: three calls of four seconds each, at one time, are four seconds; 128 MB is billed whatever is used."""

    async def drive(world: World) -> None:
        for pending in [shop(world).work(4) for _ in range(3)]:
            await pending
        await world.advance(100)

    amounts = used(drive)
    assert amounts.active_us == 4_000_000
    assert amounts.gb_s == pytest.approx(4 * 0.128)


def test_idle_time_is_free_where_the_object_could_hibernate() -> None:
    """BL-4: the ten seconds before it does included."""

    async def drive(world: World) -> None:
        await shop(world).quick()
        await world.advance(9)
        await shop(world).quick()
        await world.advance(100)
        assert not world.object("SHOP", "s").in_memory

    assert used(drive).active_us == 0


def test_idle_time_is_billed_where_a_timer_keeps_the_object() -> None:
    """BL-4, BL-6, LC-17."""

    async def drive(world: World) -> None:
        await shop(world).later(30)
        await world.advance(100)

    assert used(drive).active_us == 30_000_000


@pytest.mark.parametrize("kind, billed_s", [("standard", 60), ("hibernatable", 0)])
def test_a_standard_socket_is_billed_while_it_is_open(kind: str, billed_s: int) -> None:
    """BL-5."""

    async def drive(world: World) -> None:
        socket = await world.open_socket("SHOP", "s", f"/{kind}")
        await world.advance(60)
        socket.close()
        await world.settle()
        await world.advance(100)

    assert used(drive).active_us == billed_s * 1_000_000


def test_a_replaced_instance_is_billed_until_it_has_finished() -> None:
    """BL-4, LC-26: beside its successor."""

    async def drive(world: World) -> None:
        old = shop(world).work(10)
        await world.advance(4)
        world.deploy("SHOP")
        new = shop(world).work(10)
        await old
        await new

    assert used(drive).active_us == (4 + 2 * 6 + 4) * 1_000_000


# -- storage -----------------------------------------------------------------------------


def test_rows_are_counted_with_their_indexes() -> None:
    """BL-7: a row and its index entry are two."""

    async def drive(world: World) -> None:
        await shop(world).rows()

    async def more(world: World) -> None:
        await shop(world).rows()
        await shop(world).insert(10)
        assert await shop(world).select() == 10

    empty, full = used(drive), used(more)
    assert full.rows_written - empty.rows_written == 20
    assert full.rows_read - empty.rows_read == 10
    assert full.sql_bytes >= 12_000


def test_entries_are_rows_on_sqlite() -> None:
    """BL-7: three written, one deleted; four keys asked for, of which one is missing; a set alarm is one more."""

    async def drive(world: World) -> None:
        await shop(world).entries()

    amounts = used(drive)
    assert (amounts.rows_written, amounts.rows_read) == (4, 3)


def test_units_are_counted_on_the_legacy_backend() -> None:
    """BL-8: nine thousand bytes are three units, a missing key is one, a deletion is one whatever its size."""

    async def drive(world: World) -> None:
        await shop(world).large()

    amounts = used(drive, SHOP=OldShop)
    assert (amounts.write_units, amounts.read_units, amounts.deletes) == (3, 3 + 1 + 3, 1)
    assert (amounts.rows_read, amounts.rows_written, amounts.kv_bytes, amounts.sql_bytes) == (0, 0, 0, 0)


def test_what_the_driver_looks_at_is_not_billed() -> None:
    """A test may look as often as it likes."""

    async def drive(world: World) -> None:
        await shop(world).entries()
        for _ in range(10):
            assert world.object("SHOP", "s").storage.kv.get("a") == 1
        await world.advance(60)
        assert world.object("SHOP", "s").storage.kv.get("a") == 1

    assert used(drive).rows_read == 3


# -- reports -----------------------------------------------------------------------------


def cost_of(name: str) -> Any:
    run = simulate(load_scenario(ROOT / "scenarios" / f"{name}.py"))
    assert run.failure is None
    return run.cost


def test_two_one_way_calls_beat_the_awaited_round_trip() -> None:
    """BL-4, BL-6: twenty seconds of two objects against none, for one request more."""
    awaited, one_way = cost_of("slow_round_trip"), cost_of("slow_two_one_way")
    assert awaited.total.gb_s == pytest.approx(2 * 20 * 0.128)
    assert one_way.total.gb_s == 0
    assert one_way.total.requests == awaited.total.requests + 1
    assert awaited.month().usage > 50 > 1 > one_way.month().usage
    assert awaited.month(100_000).usage == pytest.approx(12.50)
    assert one_way.month(100_000).usage == 0


def test_a_report_adds_up_by_class_and_is_the_same_again() -> None:
    """By object, by class, altogether."""

    async def drive(world: World) -> None:
        for name in ("a", "b"):
            await world.env.SHOP.get_by_name(name).work(1)
        await world.env.OLD.get_by_name("c").large()

    runs = [run(drive, SHOP=Shop, OLD=OldShop) for _ in range(2)]
    report = runs[0].cost
    assert report == runs[1].cost
    assert [cost.name for cost in report.objects] == ["SHOP/a", "SHOP/b", "OLD/c"]
    assert report.classes["Shop"] == report.objects[0].used + report.objects[1].used
    assert report.total == report.classes["Shop"] + report.classes["OldShop"]
    document = report.to_json(1000, prices=FREE)
    assert document["classes"]["Shop"]["requests"] == 2
    assert document["month"]["runs"] == 1000
    assert {line["item"] for line in document["month"]["lines"] if line["exceeded"]} == {
        "read_units",
        "write_units",
        "deletes",
    }


def test_turns_can_be_taken_to_last() -> None:
    """In virtual time code takes none."""

    async def drive(world: World) -> None:
        await shop(world).quick()

    cost = run(drive).cost
    assert cost.total.turns == 2  # the constructor's and the call's
    (line,) = [line for line in cost.month(1000, turn_ms=10).lines if line.item == "duration"]
    assert line.amount == pytest.approx(1000 * 2 * 0.01 * 0.128)
    with pytest.raises(UsageError, match="runs is -1"):
        cost.month(-1)


def test_runs_that_nobody_records_are_not_metered_and_metered_ones_go_the_same_way() -> None:
    """A meter must not be seen in a digest, and costs nothing where nobody asks."""
    seen: list[bool] = []

    @scenario(Mesh(bindings={"SHOP": Shop}))
    async def drive(world: World) -> None:
        await shop(world).work(1)
        seen.append(world.object("SHOP", "s")._machine.meter is not None)

    explore(drive, schedules=3, save=None)
    assert seen == [False, False, False]
    simulate(drive)
    assert seen[-1]

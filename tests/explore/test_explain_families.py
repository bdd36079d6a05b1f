"""Explanations of bugs as apps have them: sockets by tag, calls within calls, memory, alarms that others make fail."""

from __future__ import annotations

from typing import Any

import trio

from lumenize_sim import (
    DurableObject,
    Faults,
    LumenizeClient,
    LumenizeDO,
    Mesh,
    Request,
    Response,
    Scenario,
    WebSocketPair,
    World,
    explore,
    gather,
    mesh,
    scenario,
    simulate,
)
from lumenize_sim.check.finding import Finding
from lumenize_sim.check.forgotten import forgotten
from lumenize_sim.check.recheck import stale_checks


def why(failing: Scenario, schedules: int = 400) -> Finding:
    failures = explore(failing, schedules=schedules, save=None).failures
    assert failures, "the bug was not found"
    found = failures[0].explanation
    assert found is not None
    return found


class Table(DurableObject):
    """Whoever comes first is the host; who that is is looked up before others are asked."""

    async def fetch(self, request: Request) -> Response:
        role = "guest" if self.ctx.get_web_sockets("host") else "host"
        await self.env.USERS.get_by_name("all").allowed()
        page, ours = WebSocketPair()
        self.ctx.accept_web_socket(ours, [role])
        ours.send(role)
        return Response(101, web_socket=page)


class Users(DurableObject):
    async def allowed(self) -> bool:
        allowed: bool = await self.env.BANS.get_by_name("all").allowed()
        return allowed


class Bans(DurableObject):
    async def allowed(self) -> bool:
        return True


@scenario(Mesh(bindings={"TABLE": Table, "USERS": Users, "BANS": Bans}))
async def tables(world: World) -> None:
    pages = []

    async def sit_down(name: str) -> None:
        pages.append(await world.open_socket("TABLE", "t", client=name))

    async with trio.open_nursery() as both:
        both.start_soon(sit_down, "ann")
        both.start_soon(sit_down, "bob")
    await world.settle()
    assert [message for page in pages for message in page.messages].count("host") == 1


def test_sockets_that_were_looked_up_by_tag_race_like_a_key_does() -> None:
    """WS-4.  The pair is flipped although others were asked in turn: what comes of an arrival that is held is held."""
    found = why(tables)
    assert (found.kind, found.object, found.key) == ("stale-write", "TABLE/t", "web sockets 'host'")
    assert "read at test_explain_families.py:" in found.message
    assert found.passing.startswith("with #1 ann~0/open before #2 bob~0/open")


class Meter(DurableObject):
    """Counts in the attachment of a socket what it has let pass, and asks before it writes it."""

    def fetch(self, request: Request) -> Response:
        page, ours = WebSocketPair()
        ours.serialize_attachment(0)
        self.ctx.accept_web_socket(ours)
        return Response(101, web_socket=page)

    async def web_socket_message(self, ws: Any, message: str) -> None:
        used = ws.deserialize_attachment()
        await self.env.BANS.get_by_name(message).allowed()
        ws.serialize_attachment(used + 1)

    def used(self) -> list[int]:
        return [ws.deserialize_attachment() for ws in self.ctx.get_web_sockets()]


@scenario(Mesh(bindings={"METER": Meter, "BANS": Bans}))
async def meters(world: World) -> None:
    page = await world.open_socket("METER", "m", client="page")
    page.send("one")
    page.send("two")
    await world.settle()
    meter: Any = world.env.METER.get_by_name("m")
    assert await meter.used() == [2]


def test_an_attachment_that_was_read_before_a_wait_is_a_key_like_others() -> None:
    """WS-8, WS-9."""
    found = why(meters)
    assert (found.kind, found.object, found.key) == ("stale-write", "METER/m", "attachment of web socket 1")


def test_a_socket_that_nobody_has_accepted_yet_has_no_accesses() -> None:
    """Its attachment is nobody else's business; what the list holds is."""
    run = simulate(meters)
    accesses = [(e.kind, e.get("op"), e.get("key")) for e in run.trace.events if e.get("store") == "socket"]
    assert accesses[0] == ("write", "accept", "web sockets")


class Hits(DurableObject):
    """A dictionary that is counted in, by a number that was read before a wait."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.totals: dict[str, int] = {}

    async def hit(self) -> None:
        before = self.totals.get("home", 0)
        await self.env.BANS.get_by_name("all").allowed()
        self.totals["home"] = before + 1

    async def total(self) -> int:
        return self.totals["home"]


@scenario(Mesh(bindings={"HITS": Hits, "BANS": Bans}))
async def hits(world: World) -> None:
    counter: Any = world.env.HITS.get_by_name("h")
    await gather(counter.hit(), counter.hit())
    assert await counter.total() == 2


def test_a_lost_update_that_puts_into_a_container_what_is_there_already_is_told() -> None:
    """Nothing has changed then, so that there is no write; the checker says so only where it may be in doubt."""
    found = why(hits)
    assert (found.kind, found.object, found.key) == ("stale-check", "HITS/h", "attr:totals")
    trace = simulate(hits).trace
    assert not stale_checks(trace)
    assert stale_checks(trace, doubtful=True)


class Quote(LumenizeDO):
    """Keeps in memory what it has been told so far."""

    def on_start(self) -> None:
        self.parts: list[int] = []

    @mesh
    def offer(self, price: int) -> None:
        self.parts.append(price)
        if len(self.parts) == 2:
            self.ctx.storage.kv.put("total", sum(self.parts))


class Supplier(LumenizeClient):
    def offer(self, price: int) -> None:
        self.lmz.call("QUOTE", "q", self.ctn(Quote).offer(price))


@scenario(Mesh(bindings={"QUOTE": Quote}), faults=Faults(kinds=("hibernate",), at_most=1, targets=("QUOTE/",)))
async def quotes(world: World) -> None:
    supplier = await world.connect(Supplier, sub="s")
    for price in (1, 2):
        supplier.offer(price)
        await world.advance(3)
    assert world.object("QUOTE", "q").storage.kv.get("total") == 3


def test_what_on_start_sets_anew_is_forgotten_all_the_same() -> None:
    """LC-14: `on_start` runs in a critical section of the constructor, and is part of it."""
    found = why(quotes)
    assert (found.kind, found.object, found.key) == ("forgotten", "QUOTE/q", "attr:parts")


class Voter(DurableObject):
    """Has its term in storage, and its vote in memory."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.term: int = ctx.storage.kv.get("term", 0)
        self.voted = ""

    async def vote(self, who: str) -> bool:
        self.ctx.storage.kv.put("term", 1)
        if not self.voted:
            self.voted = who
        return self.voted == who


class Candidate(DurableObject):
    async def stand(self) -> bool:
        self.ctx.storage.kv.put("stood", True)
        elected: bool = await self.env.VOTER.get_by_name("v").vote(self.ctx.id.name)
        return elected


slow = Faults(kinds=("slow-flush",), at_most=1, targets=("CANDIDATE/",))


@scenario(Mesh(bindings={"VOTER": Voter, "CANDIDATE": Candidate}), faults=slow)
async def elections(world: World) -> None:
    candidates: Any = world.env.CANDIDATE
    elected = await gather(candidates.get_by_name("c1").stand(), candidates.get_by_name("c2").stand())
    assert sum(elected) == 1


def test_what_somebody_else_forgot_while_a_fault_took_its_time_is_told() -> None:
    """The fault is the candidate's; the voter hibernates meanwhile by itself, and restores its term alone."""
    found = why(elections)
    assert (found.kind, found.object, found.key) == ("forgotten", "VOTER/v", "attr:voted")
    failures = explore(elections, schedules=100, save=None).failures
    assert not forgotten(failures[0].run.trace), "a constructor that reads storage has the benefit of the doubt"


class Payroll(DurableObject):
    async def begin(self) -> None:
        await self.ctx.storage.set_alarm(self.ctx.now() + 1000)

    async def alarm(self, info: Any) -> None:
        for who in ("ann", "bob"):
            await self.env.WALLET.get_by_name(who).pay(100)


class Wallet(DurableObject):
    async def pay(self, sum_: int) -> None:
        kv = self.ctx.storage.kv
        kv.put("balance", kv.get("balance", 0) + sum_)


refusals = Faults(kinds=("overload",), at_most=1, targets=("WALLET/bob",))


@scenario(Mesh(bindings={"PAYROLL": Payroll, "WALLET": Wallet}), faults=refusals)
async def paydays(world: World) -> None:
    await world.env.PAYROLL.get_by_name("p").begin()
    await world.advance(20)
    assert world.object("WALLET", "ann").storage.kv.get("balance") == 100


def test_an_alarm_that_a_fault_of_somebody_else_made_fail_is_told_with_what_it_did_twice() -> None:
    """AL-28: Bob's wallet is overloaded, and it is Ann who is paid twice."""
    found = why(paydays)
    assert (found.kind, found.object, found.key) == ("repeated-effect", "PAYROLL/p", "pay")
    assert "WALLET/ann" in found.message


class Order(DurableObject):
    """Decides by itself when nobody has told it for a while."""

    async def hold(self) -> None:
        await self.ctx.storage.put("state", "held")
        self.ctx.set_timeout(self.lapse, 3)

    async def lapse(self) -> None:
        if await self.ctx.storage.get("state") == "held":
            await self.ctx.storage.put("state", "lapsed")

    async def confirm(self) -> None:
        if await self.ctx.storage.get("state") == "held":
            await self.ctx.storage.put("state", "confirmed")


class Clerk(DurableObject):
    async def sign(self, left: int) -> None:
        if left:
            await self.env.CLERK.get_by_name(f"c{left}").sign(left - 1)
        else:
            await self.env.ORDER.get_by_name("o").confirm()


@scenario(Mesh(bindings={"ORDER": Order, "CLERK": Clerk}))
async def confirmations(world: World) -> None:
    order: Any = world.env.ORDER.get_by_name("o")
    await order.hold()
    await world.env.CLERK.get_by_name("c").sign(2)
    assert world.object("ORDER", "o").storage.kv.get("state") == "confirmed"


def test_a_timer_that_a_late_chain_let_fire_is_one_of_the_pair() -> None:
    """It has no arrival of its own: its turn goes on with the strand that has set it."""
    found = why(confirmations)
    assert (found.kind, found.object, found.key) == ("conflict", "ORDER/o", "state")
    assert "hold (driver) came before" in found.message
    assert "confirm (CLERK/" in found.message

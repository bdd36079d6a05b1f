"""Explanations name the pair that matters, and show a run that passes without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, Faults, Mesh, Scenario, World, explore, gather, scenario, simulate
from lumenize_sim.check.finding import Finding
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.run import Run

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def why(failing: Scenario, schedules: int = 400) -> tuple[Run, Finding]:
    failures = explore(failing, schedules=schedules, save=None).failures
    assert failures, "the bug was not found"
    run = failures[0].run
    assert run.explanation is not None
    return run, run.explanation


class Account(DurableObject):
    """One key with a harmless stale write, and one with the bug."""

    async def pay(self, amount: int) -> int:
        kv = self.ctx.storage.kv
        seen = kv.get("last", 0)
        await trio.sleep(0.01)
        kv.put("last", seen + 1)
        balance: int = kv.get("balance", 0)
        await trio.sleep(0.01)
        kv.put("balance", balance + amount)
        return balance + amount


@scenario(Mesh(bindings={"ACCOUNT": Account}))
async def payments(world: World) -> None:
    account: Any = world.env.ACCOUNT.get_by_name("a")
    await gather(account.pay(1), account.pay(1))
    assert world.object("ACCOUNT", "a").storage.kv.get("balance") == 2


def test_an_innocent_race_that_comes_first_is_not_named() -> None:
    """Both keys are lost updates; flipping the one of `last` changes nothing that anybody asserts."""
    run, found = why(payments)
    assert (found.kind, found.object, found.key) == ("stale-write", "ACCOUNT/a", "balance")
    assert run.flipped is not None
    assert run.flipped.failure is None
    assert "pay (driver)" in found.passing


def test_the_passing_run_has_the_pair_the_other_way_round() -> None:
    """Same events at the receiver, two of them swapped."""
    run, found = why(load_scenario(SCENARIOS / "subscribe_race.py"))
    assert found.passing == "with #2 subscribe (bob) before #1 post (alice)"
    assert run.flipped is not None
    first, second = found.first.event, found.second.event

    def order(of: Run) -> list[str]:
        return [label for _, label in of.outcome.log if label in (first, second)]

    assert order(run) == [first, second]
    assert order(run.flipped) == [second, first]


class Ledger(DurableObject):
    """Keeps the last message in memory only."""

    last = ""

    async def say(self, text: str) -> None:
        self.last = text

    async def told(self) -> str:
        return self.last


class Relay(DurableObject):
    """A longer way."""

    async def pass_on(self, text: str) -> None:
        await self.env.LEDGER.get_by_name("l").say(text)


@scenario(Mesh(bindings={"LEDGER": Ledger, "RELAY": Relay}))
async def overtaken(world: World) -> None:
    objects: Any = world.env
    await gather(
        objects.LEDGER.get_by_name("l").say("new"),
        objects.RELAY.get_by_name("r").pass_on("old"),
    )
    assert await objects.LEDGER.get_by_name("l").told() == "new"


def test_where_first_come_first_served_fails_the_pair_that_matters_is_found_by_flipping() -> None:
    """No choice on the tape says where to look: arrivals that touch the same key are flipped until one passes."""
    run = simulate(overtaken)
    assert run.outcome.failed
    assert not run.tape.choices
    found = run.explanation
    assert found is not None
    assert (found.kind, found.object, found.key) == ("conflict", "LEDGER/l", "attr:last")
    assert found.passing == "with #2 say (RELAY/r) before #1 say (driver)"
    assert run.flipped is not None
    assert run.flipped.failure is None


class Jar(DurableObject):
    """Takes coins while it sleeps on it."""

    async def coin(self) -> None:
        kv = self.ctx.storage.kv
        if kv.get("coins", []) == []:
            await trio.sleep(1)
            kv.put("coins", [*kv.get("coins", []), "first"])


@scenario(Mesh(bindings={"JAR": Jar}))
async def jars(world: World) -> None:
    jar: Any = world.env.JAR.get_by_name("j")
    await gather(jar.coin(), jar.coin())
    assert world.object("JAR", "j").storage.kv.get("coins") == ["first"]


def test_check_wait_act_is_told_although_the_write_is_up_to_date() -> None:
    _, found = why(jars)
    assert (found.kind, found.object, found.key) == ("stale-check", "JAR/j", "coins")
    assert found.first.where == f"test_explain.py:{_line('if kv.get')}"


class Diary(DurableObject):
    """Writes, and answers before that is durable."""

    async def write(self, text: str) -> str:
        self.ctx.storage.put("text", text, allow_unconfirmed=True)
        return "written"


@scenario(Mesh(bindings={"DIARY": Diary}), faults=Faults(kinds=("failed-flush", "crash"), at_most=1))
async def diaries(world: World) -> None:
    diary: Any = world.env.DIARY.get_by_name("d")
    said = None
    try:
        said = await diary.write("today")
    except Exception:
        return
    await world.settle()
    assert said is None or world.object("DIARY", "d").storage.kv.get("text") == "today"


def test_an_answer_that_went_round_the_gate_is_told_with_the_write_that_was_lost() -> None:
    """OG-18: whoever waives the confirmation answers for what the caller was told."""
    run, found = why(diaries)
    assert (found.kind, found.object, found.key) == ("early-output", "DIARY/d", "text")
    assert found.first.where == f"test_explain.py:{_line('allow_unconfirmed=True')}"
    assert found.passing.startswith("without ")
    assert run.flipped is not None


class Fork(DurableObject):
    """Held by one at a time; asks for the other one while it holds its gate."""

    async def take(self, other: str | None) -> None:
        async def both() -> None:
            await trio.sleep(0.1)
            if other is not None:
                await self.env.FORK.get_by_name(other).take(None)

        await self.ctx.block_concurrency_while(both)


@scenario(Mesh(bindings={"FORK": Fork}))
async def philosophers(world: World) -> None:
    forks: Any = world.env.FORK
    await gather(forks.get_by_name("left").take("right"), forks.get_by_name("right").take("left"))


class Theatre(DurableObject):
    """Keeps its seats in memory, beginning with what the class says."""

    seats = 3

    async def take(self) -> None:
        left = self.seats
        await trio.sleep(0.01)
        self.seats = left - 1


@scenario(Mesh(bindings={"THEATRE": Theatre}))
async def theatres(world: World) -> None:
    theatre: Any = world.env.THEATRE.get_by_name("t")
    await gather(theatre.take(), theatre.take())
    assert world.object("THEATRE", "t").instance.seats == 1


def test_a_lost_update_of_an_attribute_that_was_never_set_before_is_told() -> None:
    """The first read finds the default of the class; it is stale like any other."""
    _, found = why(theatres)
    assert (found.kind, found.object, found.key) == ("stale-write", "THEATRE/t", "attr:seats")
    assert found.first.where == f"test_explain.py:{_line('left = self.seats')}"


class Purse(DurableObject):
    """Money."""

    async def add(self, amount: int) -> None:
        self.ctx.storage.kv.put("money", self.ctx.storage.kv.get("money", 10) + amount)

    async def holds(self) -> int:
        money: int = self.ctx.storage.kv.get("money", 10)
        return money


class Clerk(DurableObject):
    """Looks into the purse, and then takes something out."""

    async def spend(self, amount: int) -> None:
        purse = self.env.PURSE.get_by_name("p")
        if await purse.holds() >= amount:
            await purse.add(-amount)


@scenario(Mesh(bindings={"PURSE": Purse, "CLERK": Clerk}))
async def purses(world: World) -> None:
    world.always("nobody owes", lambda: (world.object("PURSE", "p").storage.kv.get("money") or 0) >= 0)
    clerk: Any = world.env.CLERK.get_by_name("c")
    await gather(clerk.spend(7), clerk.spend(7))


def test_what_is_watched_after_every_turn_is_explained_in_the_one_order_of_everything() -> None:
    """Check here, act there: the pair meets in the purse, and neither of the two calls is stale by itself."""
    run, found = why(purses)
    assert (found.kind, found.object, found.key) == ("conflict", "PURSE/p", "money")
    assert run.flipped is not None
    assert run.flipped.failure is None


def test_objects_that_hold_their_gates_and_ask_each_other_are_told_as_a_circle() -> None:
    """IG-10: the platform ends the wait, so the failure is an error and no deadlock."""
    found = simulate(philosophers).explanation
    assert found is not None
    assert found.kind == "deadlock"
    assert found.message.startswith("deadlock: these wait for each other\n  FORK/left waits for take of FORK/right")


class Lease(DurableObject):
    """Remembers in memory who holds it."""

    holder: str | None = None

    async def acquire(self, who: str) -> bool:
        if self.holder is None:
            self.holder = who
        return self.holder == who


@scenario(Mesh(bindings={"LEASE": Lease}))
async def leases(world: World) -> None:
    lease: Any = world.env.LEASE.get_by_name("l")
    assert await lease.acquire("ann")
    await world.advance(15)
    assert not await lease.acquire("bob")


def test_what_an_idle_object_forgot_is_told_with_who_had_set_it_and_who_asked() -> None:
    """LC-14: nothing goes wrong, it is just idle for ten seconds."""
    found = simulate(leases).explanation
    assert found is not None
    assert (found.kind, found.object, found.key) == ("forgotten", "LEASE/l", "attr:holder")
    assert found.first.where == f"test_explain.py:{_line('self.holder = who')}"


class Job(DurableObject):
    """Is done when it says so, or when a crash says otherwise."""

    async def run(self) -> None:
        self.ctx.storage.kv.put("state", "running")
        await trio.sleep(5)
        self.ctx.storage.kv.put("state", "done")


@scenario(Mesh(bindings={"JOB": Job}), faults=Faults(kinds=("evict", "crash", "deploy"), at_most=1))
async def jobs(world: World) -> None:
    job: Any = world.env.JOB.get_by_name("j")
    kv = world.object("JOB", "j").storage.kv
    world.leads_to("what runs is done", lambda: kv.get("state") == "running", lambda: kv.get("state") == "done")
    try:
        await job.run()
    except Exception:
        world.sometimes("cut short")


def test_what_a_fault_has_done_is_told_with_the_line_of_the_app() -> None:
    """A write that was lost, or a handler that was cut short."""
    _, found = why(jobs)
    assert found.object == "JOB/j"
    assert found.first.where is not None
    assert found.first.where.startswith("test_explain.py:")
    assert found.passing.startswith("without ")


def test_a_passed_run_has_no_explanation() -> None:
    run = simulate(load_scenario(SCENARIOS / "subscribe_race.py"))
    assert run.explanation is None
    assert run.flipped is None


@pytest.mark.parametrize("name", ["subscribe_race", "hibernation_loses_reply", "double_charge"])
def test_an_explanation_is_the_same_each_time(name: str) -> None:
    """It runs the app, and is as deterministic as that."""
    run, found = why(load_scenario(SCENARIOS / f"{name}.py"))
    run._why.clear()
    assert run.explanation == found


def _line(piece: str) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if piece in line)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["registry", "stale_pong", "two_phase", "two_sockets", "reentrancy", "gate_leak"])
def test_the_benchmarks_pairs_are_confirmed_by_a_run_that_passes(name: str) -> None:
    """Whatever is named, there is a run in which it is different and which passes."""
    run, found = why(load_scenario(SCENARIOS / "bench" / f"{name}.py", name), schedules=3000)
    assert found.passing, found.message
    assert run.flipped is not None
    assert run.flipped.failure is None

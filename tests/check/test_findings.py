"""Checks that a scenario asks for, and findings that a run is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, Faults, Mesh, UsageError, World, explore, gather, scenario, simulate
from lumenize_sim.check import CHECKERS, Finding, find
from lumenize_sim.trace.trace import Trace


class Tally(DurableObject):
    """Counts what it is told, and loses some of it."""

    async def add(self) -> None:
        n: int = self.ctx.storage.kv.get("n", 0)
        await trio.sleep(0.01)
        self.ctx.storage.kv.put("n", n + 1)

    async def quick(self) -> str:
        self.ctx.storage.put("word", "yes", allow_unconfirmed=True)
        return "written"


app = Mesh(bindings={"TALLY": Tally})


async def two(world: World) -> None:
    """Nothing is asserted."""
    tally: Any = world.env.TALLY.get_by_name("t")
    await gather(tally.add(), tally.add())


def test_a_finding_fails_a_run_only_where_the_scenario_asks() -> None:
    quiet = simulate(scenario(app)(two))
    assert quiet.failure is None
    assert [finding.kind for finding in quiet.findings()] == ["stale-write"]
    assert quiet.findings("early-output", "lost-continuation") == ()
    run = simulate(scenario(app, checks=["stale-write"])(two))
    assert run.outcome.kind == "failed"
    assert run.explanation is not None
    assert (run.explanation.kind, run.explanation.key) == ("stale-write", "n")
    assert simulate(scenario(app, checks=["early-output"])(two)).failure is None


def test_checks_judge_every_schedule_of_an_exploration() -> None:
    """A promise that was broken only where a flush fails, in a driver that asserts nothing."""

    async def once(world: World) -> None:
        tally: Any = world.env.TALLY.get_by_name("t")
        try:
            await tally.quick()
        except Exception:
            world.sometimes("turned away")

    faults = Faults(kinds=("failed-flush",), at_most=1)
    asking = scenario(app, faults=faults, checks=["acknowledged-then-lost"])(once)
    (failure,) = explore(asking, schedules=100, save=None).failures
    found = failure.explanation
    assert found is not None
    assert (found.kind, found.object, found.key) == ("acknowledged-then-lost", "TALLY/t", "word")
    assert found.passing.startswith("without failed-flush at TALLY/t")
    assert not explore(scenario(app, faults=faults)(once), schedules=100, save=None).failures


def test_a_check_of_ones_own_is_a_function_of_a_trace() -> None:
    def loud(trace: Trace) -> list[Finding]:
        return [finding for finding in find(trace, ["stale-write"]) if finding.key == "n"]

    assert simulate(scenario(app, checks=[loud])(two)).outcome.kind == "failed"


def test_an_unknown_check_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=f"no check 'stale'; there is: {', '.join(CHECKERS)}"):
        scenario(app, checks=["stale"])
    with pytest.raises(UsageError, match="is one text; give a list"):
        scenario(app, checks="stale-write")


class Chain(DurableObject):
    """Asks the next one while its own gate is closed."""

    async def ask(self, names: list[str]) -> None:
        async def next_one() -> None:
            await trio.sleep(0.1)
            await self.env.CHAIN.get_by_name(names[0]).ask(names[1:])

        if names:
            await self.ctx.block_concurrency_while(next_one)


@scenario(Mesh(bindings={"CHAIN": Chain}))
async def locked(world: World) -> None:
    chain: Any = world.env.CHAIN
    await gather(chain.get_by_name("a").ask(["b"]), chain.get_by_name("b").ask(["a"]))


def test_what_is_found_in_a_run_says_who_waits_for_whom() -> None:
    """Two objects that hold their gates and ask each other; the platform ends that after 30 s (IG-10)."""
    run = simulate(locked)
    assert run.outcome.failed
    calls = [event for event in run.trace.events if event.kind == "send" and event.get("method") == "ask"]
    stuck = Trace(events=run.trace.events[: calls[-1].n + 1], header=run.trace.header)
    (found,) = find(stuck, ["deadlock"])
    assert found.message.splitlines()[0] == "deadlock: these wait for each other"
    assert "CHAIN/a waits for ask of CHAIN/b, called at test_findings.py:" in found.message

"""`explore` runs all orders where they are few, or where it is told to, and says whether that was everything."""

from __future__ import annotations

import contextlib
from typing import Any

import attrs
import pytest

from lumenize_sim import (
    DurableObject,
    Faults,
    Mesh,
    Scenario,
    UsageError,
    World,
    enumerate_behaviours,
    explore,
    gather,
    scenario,
)
from lumenize_sim.explore.exhaustive import LATE_IN_A_ROW, Search
from lumenize_sim.explore.shard import Shard
from lumenize_sim.explore.unit import SCHEDULES


class Shelf(DurableObject):
    """Keeps what came last."""

    def put(self, what: str) -> None:
        self.ctx.storage.kv.put("what", what)

    def get(self) -> Any:
        return self.ctx.storage.kv.get("what")


app = Mesh(bindings={"S": Shelf})


async def drive_puts(world: World, names: str) -> None:
    await gather(*[world.env.S.get_by_name("s").put(name) for name in names])


@scenario(app)
async def three_puts(world: World) -> None:
    """Holds in every order."""
    await drive_puts(world, "abc")
    assert await world.env.S.get_by_name("s").get() in "abc"


@scenario(app)
async def last_wins(world: World) -> None:
    """Fails in some orders, and not in that of arrival."""
    await drive_puts(world, "abc")
    assert await world.env.S.get_by_name("s").get() == "c"


@scenario(app, faults=Faults(kinds=("crash",)))
async def unsafe(world: World) -> None:
    """Fails where something crashes."""
    await world.env.S.get_by_name("s").put("a")


@scenario(app)
async def two_puts(world: World) -> None:
    """Holds in every order, and there are few."""
    await drive_puts(world, "ab")
    assert await world.env.S.get_by_name("s").get() in "ab"


@scenario(app, faults=Faults(kinds=("crash",)))
async def crashing(world: World) -> None:
    """Holds whatever happens."""
    with contextlib.suppress(Exception):
        await world.env.S.get_by_name("s").put("a")


def test_a_tiny_world_is_gone_through_after_one_unit_of_schedules() -> None:
    report = explore(two_puts, schedules=1000, save=None)
    everything = enumerate_behaviours(two_puts)
    assert everything.complete
    assert everything.runs <= 32
    assert report.complete
    assert report.exhaustive == str(everything) == f"complete: {len(everything.behaviours)} behaviours"
    assert report.schedules == SCHEDULES + everything.runs
    assert report.behaviours == len(everything.behaviours)
    assert not report.failures


def test_a_small_world_is_gone_through_after_half_of_the_schedules() -> None:
    report = explore(three_puts, schedules=1000, save=None)
    everything = enumerate_behaviours(three_puts)
    assert 32 < everything.runs <= 100
    assert report.exhaustive == str(everything)
    half = 500 - 500 % SCHEDULES
    assert half + everything.runs < report.schedules <= half + everything.runs + 32
    assert report.behaviours == len(everything.behaviours)


def test_all_runs_count_also_those_of_a_search_that_gave_up() -> None:
    """Not more than a tenth of the schedules; and one strategy alone means what it says."""
    for more in ({"schedules": 9}, {"schedules": 50}, {"schedules": 700}, {"schedules": 500, "strategy": "random"}):
        report = explore(three_puts, save=None, **more)  # type: ignore[arg-type]  # of several types
        assert (report.schedules, report.exhaustive, report.complete) == (more["schedules"], "", False)


def test_a_long_run_is_given_up_before_it_ends() -> None:
    """Its bookkeeping would cost more than the schedules."""
    seen: list[int] = []

    @scenario(app)
    async def long(world: World) -> None:
        for n in range(300):
            seen.append(n)
            await world.env.S.get_by_name("s").put("a")

    search = Search(long, limit=100, seed=0, small=True)
    assert list(search.behaviours()) == []
    assert search.runs == 1
    assert max(seen) < 250
    assert "not small" in search.why


def test_a_world_that_no_limit_would_suffice_for_is_not_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    exhaust = Shard.exhaust

    def counted(shard: Shard, search: Search, *args: Any, **options: Any) -> Any:
        searched.append(search.limit)
        return exhaust(shard, search, *args, **options)

    monkeypatch.setattr(Shard, "exhaust", counted)
    explore(three_puts, schedules=400, save=None)
    assert searched == [32, 40], "where more runs might do, more are tried"
    searched.clear()
    offered = attrs.evolve(three_puts.options, explore_tasks=True)
    explore(three_puts, schedules=400, options=offered, save=None)
    assert searched == [32]


def test_a_failure_among_all_orders_is_shrunk_like_any_other() -> None:
    search = Search(last_wins, limit=100, seed=0, small=True)
    (found,) = Shard(last_wins, seed=0).exhaust(search, before=64).found
    assert found.strategy == "exhaustive"
    assert len(found.choices) == 1
    assert 64 < found.schedule == 64 + search.runs < 64 + 32


def test_with_faults_the_orders_without_any_are_complete_and_the_rest_is_drawn() -> None:
    report = explore(crashing, schedules=300, save=None, verify=False)
    assert report.exhaustive.startswith("complete without faults: ")
    assert report.schedules == 300
    assert not report.complete
    assert report.faults["crash"] > 50


class Timer(DurableObject):
    """Sets an alarm, and asks itself something by way of a shelf."""

    async def start(self, alarm_s: int) -> None:
        self.ctx.storage.set_alarm(self.ctx.now() + 1000 * alarm_s)
        await self.env.S.get_by_name("s").put("a")

    async def alarm(self, info: Any = None) -> None: ...


def with_alarm(in_s: int) -> Scenario:
    @scenario(Mesh(bindings={"S": Shelf, "T": Timer}))
    async def alarmed(world: World) -> None:
        await world.env.T.get_by_name("t").start(in_s)

    return alarmed


def test_a_timer_that_only_several_late_messages_can_miss_is_told_and_the_rest_is_drawn() -> None:
    """Three messages of two seconds follow each other."""
    for in_s, without in ((1, ""), (3, LATE_IN_A_ROW), (4, LATE_IN_A_ROW), (7, "")):
        found = enumerate_behaviours(with_alarm(in_s))
        assert found.complete
        assert found.without == without, in_s
        report = explore(with_alarm(in_s), schedules=200, save=None)
        assert report.complete == (not without)
        assert (report.schedules == 200) == bool(without)
        behaviours = f"{len(found.behaviours)} behaviour{'s' * (len(found.behaviours) > 1)}"
        assert report.exhaustive == f"complete{f' without {without}' if without else ''}: {behaviours}"


def test_told_to_it_runs_all_orders_and_all_plans_of_faults() -> None:
    report = explore(unsafe, exhaustive=True, max_faults=1, max_failures=9, save=None, verify=False)
    assert report.complete
    assert report.failures
    assert all(failure.run.tape.non_default == 1 for failure in report.failures)
    assert report.behaviours == len(enumerate_behaviours(unsafe, max_faults=1).behaviours)


def test_it_stops_at_the_first_failure_or_at_the_limit_and_says_so() -> None:
    stopped = explore(last_wins, exhaustive=True, save=None, verify=False)
    assert stopped.exhaustive.startswith("not complete: ")
    assert len(stopped.failures) == 1
    limited = explore(three_puts, exhaustive=True, schedules=3, save=None)
    assert limited.exhaustive.endswith("in 3 runs, the limit of 3 runs was reached")


def test_what_cannot_be_combined_is_refused() -> None:
    with pytest.raises(UsageError, match="exhaustive=True"):
        explore(three_puts, max_faults=1)
    with pytest.raises(UsageError, match="leave out strategy"):
        explore(three_puts, exhaustive=True, strategy="pct")
    with pytest.raises(UsageError, match="say which kinds"):
        explore(three_puts, exhaustive=True, max_faults=1)
    timed = attrs.evolve(three_puts.options, network=attrs.evolve(three_puts.options.network, model="timed"))
    with pytest.raises(UsageError, match="model='asynchronous'"):
        explore(three_puts, exhaustive=True, options=timed)


kept: list[int] = []


@scenario(app)
async def remembering(world: World) -> None:
    """Keeps something in its module."""
    kept.append(1)
    await drive_puts(world, "ab")


def test_nothing_is_complete_where_the_app_keeps_something_between_runs() -> None:
    kept.clear()
    found = enumerate_behaviours(remembering)
    assert not found.complete
    assert "the app keeps something from run to run: " in found.why
    assert ".kept" in found.why


@scenario(app)
async def unsteady(world: World) -> None:
    """Does something else in every second run."""
    kept.append(1)
    await drive_puts(world, "ab" if len(kept) % 2 else "cde")


def test_steps_that_lead_elsewhere_the_second_time_end_the_search() -> None:
    kept.clear()
    found = enumerate_behaviours(unsteady)
    assert not found.complete
    assert "the same steps led to other events" in found.why
    assert any(name.endswith(".kept") for name in found.kept)

"""Alarms in drawn orders, under drawn faults, with drawn options: none is lost, and all replay (AL-8 to AL-28)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import (
    EXPLORED,
    DurableObject,
    Faults,
    MachineOptions,
    Mesh,
    World,
    WorldOptions,
    explore,
    replay,
    scenario,
    simulate,
)
from lumenize_sim.explore.roaming import census, draw_plan, roam
from lumenize_sim.objects import AlarmInfo
from lumenize_sim.world.faults import Faults as AllFaults

ALARM_KINDS = ("late-alarm", "twice-alarm", "unreached-alarm", "slow-scheduler", "failed-scheduler")


class Chime(DurableObject):
    """Strikes three times, one strike setting the next, and fails at first."""

    async def begin(self) -> None:
        await self.ctx.storage.set_alarm(self.ctx.host.now_ms() + 1000)

    async def move(self, ms: int) -> None:
        if await self.ctx.storage.get_alarm() is not None:
            await self.ctx.storage.set_alarm(self.ctx.host.now_ms() + ms)

    async def alarm(self, info: AlarmInfo) -> None:
        storage = self.ctx.storage
        struck = storage.kv.get("struck", 0)
        tried = storage.kv.get("tried", 0)
        storage.kv.put("tried", tried + 1)
        await trio.sleep(0.5)
        if tried == 0:
            raise ValueError("the first try fails")
        storage.kv.put("struck", struck + 1)
        if struck < 2:
            await storage.set_alarm(self.ctx.host.now_ms() + 2000)


def strikes(**options: Any) -> Any:
    @scenario(
        Mesh(bindings={"CHIME": Chime}),
        faults=Faults(
            kinds=(*ALARM_KINDS, "crash", "failed-flush", "slow-flush", "evict", "hibernate", "deploy", "relocate"),
            at_most=4,
        ),
        options=WorldOptions(objects=MachineOptions(**options)),
    )
    async def three(world: World) -> None:
        chime = world.env.CHIME.get_by_name("c")
        pending = [chime.begin(), chime.move(700), chime.move(1500)]
        begun = False
        for nth, call in enumerate(pending):
            try:
                await call
            except Exception:
                continue
            begun = begun or nth == 0
        await world.advance(400)
        world.quiet()
        await world.advance(2000)
        view = world.object("CHIME", "c")
        if begun:
            # At least once each: an effect whose run is cut off is repeated, or was durable before.
            assert view.storage.kv.get("struck", 0) >= 3, view.storage.kv.list()
        assert view.alarm_ms is None

    return three


@pytest.mark.parametrize("nth", range(24))
def test_every_roaming_run_replays_strictly(nth: int) -> None:
    """AL-8 to AL-15, AL-22: what the scheduler does, and the jitter it draws, is on the tape."""
    chosen = strikes()
    run = simulate(chosen, seed=nth)
    again = replay(run.tape, scenario=chosen)
    assert (again.outcome.kind, again.digest) == (run.outcome.kind, run.digest)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["production", "workerd"])
def test_alarms_strike_in_any_order_under_any_faults(runtime: Any) -> None:
    """AL-10, AL-11, AL-28: and each kind of fault has happened."""
    report = explore(strikes(runtime=runtime), schedules=1500, save=None)
    assert not report.failures, report.failures[0].message
    never = report.coverage["faults_never"]
    assert set(never) & set(ALARM_KINDS) == (set() if runtime == "production" else set(ALARM_KINDS))


@pytest.mark.parametrize("option", ["alarm_set_restarts_retries", "alarm_set_waits_for_retry", "alarm_retries_survive"])
def test_open_points_are_explored(option: str) -> None:
    """AL-21, AL-22, section 11: drawn for each run, both ways, and on the tape."""
    chosen = strikes(**{option: EXPLORED})
    _, boundaries, _ = census(chosen, seed=0)
    drawn = []
    for nth in range(12):
        planned = draw_plan(chosen, boundaries, seed=0, schedule=nth)
        drawn.append(any("option-" in label for label in planned))
        roam(chosen, "random", seed=0, schedule=nth, planned=planned)
    assert any(drawn)
    assert not all(drawn)


def test_the_kinds_of_alarms_are_in_the_table() -> None:
    """Whoever asks for all faults gets these too."""
    assert set(ALARM_KINDS) <= set(AllFaults.all().kinds)

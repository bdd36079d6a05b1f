"""Uncertain points as choices: drawn for each run, on the tape, and shrunk to the default."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import find, settings

from lumenize_sim import (
    EXPLORED,
    DurableObject,
    MachineOptions,
    Mesh,
    UsageError,
    World,
    WorldOptions,
    explore,
    replay,
    scenario,
    simulate,
)
from lumenize_sim.testing import simulations
from lumenize_sim.world.scenario import Scenario


class Keeper(DurableObject):
    """Remembers in memory, and throws."""

    kept = False

    def keep(self) -> None:
        self.kept = True
        raise ValueError("after it was kept")

    def kept_it(self) -> bool:
        return self.kept


def throwing(options: WorldOptions) -> Scenario:
    @scenario(Mesh(bindings={"KEEPER": Keeper}), options=options)
    async def memory_survives_a_throw(world: World) -> None:
        with pytest.raises(ValueError, match="kept"):
            await world.env.KEEPER.get_by_name("k").keep()
        assert await world.env.KEEPER.get_by_name("k").kept_it(), "memory is lost"

    return memory_survives_a_throw


BOTH = WorldOptions(objects=MachineOptions(reset_on_throw=EXPLORED, rpc_errors_wait=EXPLORED))


def test_an_explored_point_is_found_shrunk_to_itself_and_replayed(tmp_path: Path) -> None:
    report = explore(throwing(BOTH), schedules=40, save=tmp_path, verify=False)
    (failure,) = report.failures
    assert [choice.label for choice in failure.run.tape.choices] == ["options%option-reset-on-throw#0"]
    assert failure.run.tape.describe() == "in order, except: reset_on_throw is not its default"
    assert failure.run.path is not None
    again = replay(failure.run.path, scenario=throwing(BOTH))
    assert (again.digest, again.outcome.kind) == (failure.run.digest, "failed")


def test_the_first_run_has_every_default() -> None:
    assert simulate(throwing(BOTH)).failure is None
    assert simulate(throwing(WorldOptions(objects=MachineOptions(reset_on_throw=True)))).failure is not None


def test_hypothesis_draws_explored_points() -> None:
    found = find(simulations(throwing(BOTH)), lambda sim: sim.outcome.failed, settings=settings(database=None))
    assert [choice.label for choice in found.choices] == ["options%option-reset-on-throw#0"]


def test_one_runtime_may_be_given_in_either_place() -> None:
    assert WorldOptions(runtime="workerd").objects == MachineOptions(runtime="workerd")
    assert WorldOptions(objects=MachineOptions(runtime="workerd")).runtime == "workerd"
    assert WorldOptions.from_json(BOTH.to_json()) == BOTH
    with pytest.raises(UsageError, match="give one of them"):
        WorldOptions(runtime="workerd", objects=MachineOptions())

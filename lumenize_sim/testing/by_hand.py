"""`mesh_run`: one run in a test written by hand."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from lumenize_sim.check.findings import Check
from lumenize_sim.errors import UsageError
from lumenize_sim.explore.replaying import replay, simulate
from lumenize_sim.explore.run import Run, saved
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.testing.failure import Told, check, judged
from lumenize_sim.testing.marked import replay_command, scenario_from
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.scenario import Scenario

__all__ = ["MeshRun"]


class MeshRun:
    """The value of the fixture ``mesh_run``: call it to run something once."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def __call__(
        self,
        app_or_scenario: Mesh | Scenario,
        drive: Any = None,
        *,
        seed: int | None = None,
        strategy: str | None = None,
        faults: Faults | None = None,
        options: WorldOptions | None = None,
        checks: Sequence[Check] | None = None,
        must_pass: bool = True,
    ) -> Run:
        """Run ``async def drive(world)`` once, by default in the world without surprises.  No checkpoint.

        Args:
            app_or_scenario: the mesh, or a scenario (and then ``drive`` may be left out).
            seed, strategy, faults, options: as of `simulate`.
            checks: instead of the scenario's own; see `scenario`.
            must_pass: raise what a failed run failed with; False returns every run.

        Raises:
            UsageError: nothing that can be run.
            BaseException: the error of the failed run, explained.
        """
        __tracebackhide__ = True
        told = Told()
        scenario = _scenario(app_or_scenario, drive, faults, options, checks, told)
        tape = self._tape(scenario)
        if tape is None:
            run = simulate(scenario, seed=seed, strategy=strategy)
        else:
            run = replay(tape, scenario=scenario)
        if told.error is not None:
            raise told.error
        if not must_pass:
            return run
        if tape is None and run.outcome.failed:
            run = saved(run, self._item.config.rootpath / ".lumenize")
        command = None if run.path is None else replay_command(self._item, run.path)
        return check(attrs.evolve(run, scenario=attrs.evolve(scenario, drive=drive or scenario.drive)), replay=command)

    def _tape(self, scenario: Scenario) -> Path | None:
        """The tape of ``--mesh-replay``, where it is one of this scenario."""
        given = self._item.config.getoption("mesh_replay")
        if given is None:
            return None
        path = Path(self._item.config.invocation_params.dir, given)
        return path if Tape.read(path).scenario == scenario.name else None


def _scenario(
    app: Any,
    drive: Any,
    faults: Faults | None,
    options: WorldOptions | None,
    checks: Sequence[Check] | None,
    told: Told,
) -> Scenario:
    if not isinstance(app, Mesh | Scenario):
        raise UsageError(f"mesh_run takes the app first, a Mesh or a Scenario, not {app!r}")
    name, path = getattr(drive, "__name__", ""), None
    if drive is None:
        if not isinstance(app, Scenario):
            raise UsageError(
                "mesh_run needs to know what to do with the app: mesh_run(app, drive), with `async def drive(world)`"
            )
        drive, name, path = app.drive, app.name, app.path
    elif isinstance(drive, Scenario):
        drive, name, path = drive.drive, drive.name, drive.path
    if not inspect.iscoroutinefunction(drive):
        raise UsageError(f"mesh_run runs an `async def drive(world)`, not {drive!r}")
    return scenario_from(app, judged(drive, told), name=name, path=path, faults=faults, options=options, checks=checks)

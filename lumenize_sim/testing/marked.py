"""A test with the mark: read the mark, make a scenario of the test, run it under many schedules."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from lumenize_sim.check.findings import Check, checked
from lumenize_sim.errors import UsageError
from lumenize_sim.explore.explorer import explore
from lumenize_sim.explore.replaying import replay
from lumenize_sim.explore.report import Failure, Report
from lumenize_sim.explore.run import Run
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.testing.failure import Told, cli_finds, error_of, judged, shown, telling, users_frames, words
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.scenario import Scenario

__all__ = ["Mark", "mark_of", "replay_command", "run_marked", "safe_name", "scenario_from"]

_HOW = "write @pytest.mark.mesh(app), where app is a Mesh or a Scenario"


@attrs.frozen(kw_only=True)
class Mark:
    """What ``@pytest.mark.mesh`` says, with the command line on top.

    Attributes:
        app: the mesh, or a scenario that lends its app, faults, options and checks.
        schedules, seed, strategy: for `explore`.
        faults, options, checks: ``None`` takes the scenario's.
    """

    app: Mesh | Scenario
    schedules: int
    seed: int
    faults: Faults | None
    strategy: str | None
    options: WorldOptions | None
    checks: tuple[Check, ...] | None


def mark_of(item: pytest.Item) -> Mark:
    """The mark of a test: marks of function, class and module together, the nearest first.

    Raises:
        UsageError: the mark says nothing that can be run.
    """
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    for mark in item.iter_markers("mesh"):
        args = args or mark.args
        kwargs = {**mark.kwargs, **kwargs}
    try:
        read = _read(*args, **kwargs)
    except TypeError as error:
        raise UsageError(
            f"@pytest.mark.mesh of {item.name}: {str(error).replace('_read()', 'mesh()')}; {_HOW}"
        ) from None
    option = item.config.getoption
    schedules, seed = option("mesh_schedules"), option("mesh_seed")
    return attrs.evolve(
        read,
        schedules=read.schedules if schedules is None else schedules,
        seed=read.seed if seed is None else seed,
    )


def _read(
    app_or_scenario: Any,
    *,
    schedules: int = 100,
    seed: int = 0,
    faults: Faults | None = None,
    strategy: str | None = None,
    options: WorldOptions | None = None,
    checks: Sequence[Check] | None = None,
) -> Mark:
    """The signature of the mark."""
    if not isinstance(app_or_scenario, Mesh | Scenario):
        raise TypeError(f"the app is {app_or_scenario!r}")
    numbers: tuple[tuple[str, object], ...] = (("schedules", schedules), ("seed", seed))
    for name, value in numbers:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name}={value!r} is no number")
    for name, given, kind in (("faults", faults, Faults), ("options", options, WorldOptions)):
        if given is not None and not isinstance(given, kind):
            raise TypeError(f"{name}={given!r} is no {kind.__name__}")
    return Mark(
        app=app_or_scenario,
        schedules=schedules,
        seed=seed,
        faults=faults,
        strategy=strategy,
        options=options,
        checks=None if checks is None else checked(checks),
    )


def scenario_from(
    app: Mesh | Scenario,
    drive: Any,
    *,
    name: str,
    path: str | None,
    faults: Faults | None,
    options: WorldOptions | None,
    checks: Sequence[Check] | None,
) -> Scenario:
    """A scenario that borrows what is not given from ``app``, where that is one.

    Raises:
        UsageError: there is no such check.
    """
    mesh, own_faults, own_options, own_checks = (
        (app.app, app.faults, app.options, app.checks)
        if isinstance(app, Scenario)
        else (app, Faults(), WorldOptions(), ())
    )
    return Scenario(
        name=name,
        app=mesh,
        drive=drive,
        faults=own_faults if faults is None else faults,
        options=own_options if options is None else options,
        path=path,
        checks=own_checks if checks is None else checked(checks),
    )


def safe_name(item: pytest.Item) -> str:
    """The test's name within its file, fit for a file of its own."""
    _, _, inner = item.nodeid.partition("::")
    return re.sub(r"[^\w.-]+", "_", (inner or item.name).replace("::", "."))


def replay_command(item: pytest.Item, tape: str | os.PathLike[str]) -> str:
    """What to type in the directory where pytest was started."""
    start = item.config.invocation_params.dir
    _, _, inner = item.nodeid.partition("::")
    test = f"{shown(item.path, start)}::{inner}"
    return f"pytest {shlex.quote(test)} --mesh-replay {shlex.quote(shown(tape, start))}"


def run_marked(item: pytest.Function, function: Any) -> None:
    """Run a test once per schedule, or from the tape of ``--mesh-replay``.

    Raises:
        BaseException: the error of the shrunk failure, explained.
    """
    __tracebackhide__ = True
    wrong: UsageError | None = None
    frames = None
    told = Told()
    try:
        mark = mark_of(item)
        scenario = _scenario_of(item, function, mark, told)
        tape = item.config.getoption("mesh_replay")
        if tape is None:
            error = _explored(item, scenario, mark)
        else:
            error = _replayed(item, scenario, Path(item.config.invocation_params.dir, tape))
    except UsageError as refused:
        wrong, error = refused, None
        frames = users_frames(refused.__traceback__)
    if wrong is not None:
        if frames is None:
            pytest.fail(str(wrong), pytrace=False)
        raise wrong.with_traceback(frames)
    if told.error is not None:
        raise told.error
    if error is not None:
        raise error


def _scenario_of(item: pytest.Function, function: Any, mark: Mark, told: Told) -> Scenario:
    """The test as a scenario.

    Raises:
        UsageError: the test cannot be one.
    """
    name = item.name
    if not inspect.iscoroutinefunction(function):
        raise UsageError(
            f"{name} has @pytest.mark.mesh and is not async: write `async def {name}(world)`, "
            "or drop the mark and use the fixture mesh_run."
        )
    parameters = inspect.signature(function).parameters
    if "world" not in parameters:
        raise UsageError(f"{name} has @pytest.mark.mesh and takes no `world`: write `async def {name}(world)`.")
    given = {p: item.funcargs[p] for p in parameters if p != "world" and p in item.funcargs}
    for fixture, value in given.items():
        if type(value).__module__.startswith("pytest_trio"):
            raise UsageError(
                f"fixture {fixture!r} of {name} is async, and lives in no simulated world: make it a plain fixture, "
                "or do its work in the test."
            )
    own = mark.app if isinstance(mark.app, Scenario) and mark.app.drive is function else None

    async def drive(world: Any) -> None:
        await function(world=world, **given)

    return scenario_from(
        mark.app,
        judged(drive, told),
        name=own.name if own else safe_name(item),
        path=own.path if own and cli_finds(own) else None,
        faults=mark.faults,
        options=mark.options,
        checks=mark.checks,
    )


def _explored(item: pytest.Function, scenario: Scenario, mark: Mark) -> BaseException | None:
    report = explore(
        scenario,
        schedules=mark.schedules,
        seed=mark.seed,
        strategy=mark.strategy,
        save=item.config.rootpath / ".lumenize",
        verify=scenario.path is not None,
    )
    item.user_properties.append(("mesh_schedules", report.schedules))
    item.user_properties.append(("mesh_behaviours", report.behaviours))
    if not report.failures:
        return None
    failure = report.failures[0]
    return telling(error_of(failure.run), _told_of(item, report, failure, mark))


def _told_of(item: pytest.Function, report: Report, failure: Failure, mark: Mark) -> list[str]:
    run = failure.run
    found = f"failed on schedule {failure.schedule} of {mark.schedules} ({failure.strategy}), seed {report.seed}"
    needed = len(run.tape.choices)
    if failure.found_with != needed:
        found += f"; shrunk from {failure.found_with} to {needed} choices in {failure.replays} runs"
    lines = [found, *words(_seen_by_user(run, item))]
    if run.scenario.path is not None and failure.verified != "fresh process":
        lines.append(f"note: {failure.verified}")
    assert run.path is not None
    start = item.config.invocation_params.dir
    lines.append(f"tape: {shown(run.path, start)}")
    lines.append(f"replay: {replay_command(item, run.path)}")
    if run.scenario.path is not None:
        lines.append(f"    or: lumenize-sim replay {shlex.quote(shown(run.path, start))}")
    return lines


def _seen_by_user(run: Run, item: pytest.Function) -> Run:
    """The run with the test function itself as driver, so that its file is looked into."""
    return attrs.evolve(run, scenario=attrs.evolve(run.scenario, drive=item.function))


def _replayed(item: pytest.Function, scenario: Scenario, path: Path) -> BaseException | None:
    tape = Tape.read(path)
    if tape.scenario != scenario.name:
        raise UsageError(
            f"the tape {shown(path)} was recorded from {tape.scenario!r}, and this is {scenario.name!r}: "
            "give the tape that this test printed, or choose the test that printed this tape."
        )
    run = replay(tape, scenario=scenario)
    if run.outcome.kind == "diverged":
        raise UsageError(
            f"{run.outcome.message}\nThe test or the app has changed since {shown(path)} was recorded: "
            "run the test without --mesh-replay."
        )
    if not run.outcome.failed:
        return None
    lines = [f"replayed from {shown(path)}, seed {tape.seed}: the same run with the same digest {run.digest[:12]}"]
    return telling(error_of(run), [*lines, *words(_seen_by_user(run, item))])

"""Scenarios: an app, a driver, and what they must survive."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from lumenize_sim.check.findings import Check, checked
from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions

__all__ = ["Scenario", "scenario"]


@attrs.frozen(eq=False)
class Scenario:
    """A driver of an app.  Calling it calls the driver, so that one scenario may use another.

    Attributes:
        name: of the driver function.
        app: the mesh.
        drive: ``async def drive(world)``; what it asserts is the property.
        faults: what may go wrong while it runs.
        options: of the world.
        path: file that it is defined in, ``None`` where there is none.
        checks: what no run of it may show, beside what it asserts.
    """

    name: str
    app: Mesh
    drive: Callable[..., Awaitable[None]]
    faults: Faults
    options: WorldOptions
    path: str | None
    checks: tuple[Check, ...] = ()

    def __call__(self, world: Any) -> Awaitable[None]:
        return self.drive(world)


def scenario(
    app: Mesh,
    *,
    faults: Faults | None = None,
    options: WorldOptions | None = None,
    name: str | None = None,
    checks: Sequence[Check] = (),
) -> Callable[[Callable[..., Awaitable[None]]], Scenario]:
    """Make a scenario of an async function that takes the world.

    Args:
        app: the mesh.
        faults: what may go wrong.
        options: of the world.
        name: instead of the function's.
        checks: findings that fail a run, by name (see `lumenize_sim.check.CHECKERS`) or as functions of a trace.  Every
            run is traced then, which takes about a third more time.

    Raises:
        UsageError: ``app`` is no `Mesh`, the function is not async, or there is no such check.
    """
    if not isinstance(app, Mesh):
        raise UsageError(f"@scenario takes the app: @scenario(Mesh(bindings={{...}})), not {app!r}")

    wanted = checked(checks)

    def decorate(function: Callable[..., Awaitable[None]]) -> Scenario:
        if not inspect.iscoroutinefunction(function):
            raise UsageError(
                f"{getattr(function, '__qualname__', function)!r} must be `async def name(world)` to be a scenario"
            )
        code = function.__code__
        path = code.co_filename if not code.co_filename.startswith("<") else None
        return Scenario(
            name or function.__name__, app, function, faults or Faults(), options or WorldOptions(), path, wanted
        )

    return decorate

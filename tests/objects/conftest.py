"""Small worlds of plain objects: run a driver once in order, with a plan of faults, or in many orders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lumenize_sim import Mesh, World, WorldOptions, scenario
from lumenize_sim.explore.roaming import roam
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.run import Outcome, run_scenario
from lumenize_sim.world.seats import FreeSeat

Drive = Callable[[World], Awaitable[None]]


def _judged(outcome: Outcome) -> Outcome:
    if outcome.failed:
        raise outcome.error or AssertionError(f"{outcome.kind}: {outcome.message}")
    return outcome


@pytest.fixture
def passes() -> Callable[..., Outcome]:
    """``passes(drive, plan=..., options=..., trace=True, COUNTER=Counter)`` runs first come, first served."""

    def run(
        drive: Drive,
        *,
        plan: dict[str, int] | None = None,
        options: WorldOptions | None = None,
        trace: bool = True,
        **bindings: type,
    ) -> Outcome:
        made = scenario(Mesh(bindings=bindings), options=options)(drive)
        return _judged(run_scenario(made, GuidedChooser(), plan=FaultPlan(plan), trace=trace))

    return run


@pytest.fixture
def roams() -> Callable[..., list[Outcome]]:
    """``roams(drive, COUNTER=Counter)`` runs in sixty drawn orders."""

    def run(
        drive: Drive, *, schedules: int = 60, options: WorldOptions | None = None, **bindings: type
    ) -> list[Outcome]:
        made = scenario(Mesh(bindings=bindings), options=options)(drive)
        return [
            _judged(roam(made, ("random", "pos", "pct")[nth % 3], seed=nth, schedule=nth)[0])
            for nth in range(schedules)
        ]

    return run


class Page:
    """A browser's web socket, dialled by hand to any binding."""

    def __init__(self, world: World, binding: str, name: str, *, sub: str = "alice") -> None:
        seat = FreeSeat(world, f"{sub}.page{len(world.sockets.connections)}")
        token = world.entry.mint(seat, sub)
        self.got: list[Any] = []
        self.closed: tuple[int, str, bool] | None = None
        self.opened = False
        url = f"ws://mesh.simulated/gateway/{binding}/{name}"
        self.socket = world.host.open_socket(seat.owner, url, ["lmz", f"lmz.access-token.{token}"], self)
        self.connection = world.sockets.connections[-1]

    def on_open(self) -> None:
        self.opened = True

    def on_message(self, data: str | bytes) -> None:
        self.got.append(data)

    def on_close(self, code: int, reason: str, was_clean: bool) -> None:
        self.closed = (code, reason, was_clean)

    def on_error(self, error: Exception) -> None:
        self.got.append(error)

    def send(self, data: str | bytes) -> None:
        self.socket.send(data)


@pytest.fixture
def page() -> type[Page]:
    """See `Page`."""
    return Page

"""The search equals brute force, one run for each order, also where storage waits, objects end and links are held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lumenize_sim import Mesh, World, scenario
from lumenize_sim.explore.loading import load_module
from tests.explore.brute_force import Compared, compared

wide: Any = load_module(Path(__file__).parent / "data" / "wide_programs.py")


def sweep(seeds: range, limit: int) -> list[Compared]:
    """Those that are not too large; nothing is wrong with any of them."""
    each = []
    for seed in seeds:
        program = wide.generate(seed)
        found = compared(wide.scenario_of(program), limit)
        if found is not None:
            assert not found.wrong, f"{program}: {found.wrong}"
            each.append(found)
    return each


def test_programs_with_all_kinds_of_waiting_and_ending_go_as_brute_force_says() -> None:
    """Reads of the legacy backend, sections, alarms, timers called off, evictions, crashes, deploys, aborts."""
    found = sweep(range(20), 40)
    assert len(found) >= 6
    assert max(one.behaviours for one in found) > 5


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_many_more_programs_with_all_kinds_of_waiting_and_ending_go_as_brute_force_says(block: int) -> None:
    assert sweep(range(1000 + 50 * block, 1050 + 50 * block), 300)


@pytest.mark.parametrize("awaits", [False, True])
def test_what_a_driver_lets_go_could_not_have_come_before(awaits: bool) -> None:
    """A frame that is held in the turn that sends it becomes possible when the driver says so, and only then."""
    app = Mesh(bindings={name: type(name, (wide.Actor,), {"program": {"ops": [[("note",)]]}}) for name in "AB"})

    @scenario(app)
    async def drive(world: World) -> None:
        ws = await world.open_socket("A", "x", "/")
        reply = world.env.B.get_by_name("x").go(0)
        if not awaits:
            world.network.hold(ws)
        ws.send("w")
        await reply
        (world.network.hold if awaits else world.network.release)(ws)
        await world.env.B.get_by_name("x").go(0)
        world.network.release(ws)

    found = compared(drive, 4000)
    assert found is not None
    assert not found.wrong
    assert found.orders > 1

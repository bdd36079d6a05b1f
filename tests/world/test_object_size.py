"""What an object costs that is in memory and has nothing to do."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lumenize_sim import DurableObject, LumenizeDO, Mesh, World, WorldOptions, scenario
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.world.run import run_scenario

AT_MOST_BYTES = 25_000
PAGE_BYTES = 4096


class Plain(DurableObject):
    def touch(self, n: int) -> None:
        self.n = n
        self.ctx.storage.kv.put("n", n)


class Node(LumenizeDO):
    def touch(self, n: int) -> None:
        self.n = n
        self.ctx.storage.kv.put("n", n)


def bytes_each(cls: type, count: int, used: Callable[[], int]) -> float:
    """How much more is in use for each of ``count`` objects that keep a field and a stored value."""
    found: list[float] = []
    options = WorldOptions(step_limit=10_000_000, turn_limit_s=600, hibernate_after_s=1e9)

    @scenario(Mesh(bindings={"D": cls}), options=options)
    async def many(world: World) -> None:
        for nth in range(300):  # the pool of connections is full by then
            await world.env.D.get_by_name(f"first{nth}").touch(nth)
        gc.collect()
        before = used()
        for nth in range(count):
            await world.env.D.get_by_name(f"o{nth}").touch(nth)
        gc.collect()
        found.append((used() - before) / count)
        assert world.object("D", "o0").in_memory
        assert world.object("D", "o0").storage.kv.get("n") == 0

    outcome = run_scenario(many, GuidedChooser())
    assert outcome.kind == "passed", outcome.message
    return found[0]


@pytest.mark.parametrize("cls", [Plain, Node])
def test_an_idle_object_costs_at_most_25_kilobytes(cls: type) -> None:
    """Two thirds of them Python's, the rest the image of its storage."""
    tracemalloc.start()
    try:
        each = bytes_each(cls, 200, lambda: tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert each < AT_MOST_BYTES


def resident_bytes() -> int:
    """Of this process, what SQLite allocates included."""
    pages: Any = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * PAGE_BYTES


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says how much is resident")
def test_twenty_thousand_objects_live_in_one_world() -> None:
    """All in memory at once."""
    assert bytes_each(Plain, 20_000, resident_bytes) < AT_MOST_BYTES

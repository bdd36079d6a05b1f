"""Reads that wait are part of what is enumerated: tapes find what brute force finds, on the legacy backend too."""

from __future__ import annotations

import pytest

from lumenize_sim import DurableObject, Mesh, Scenario, World, gather, scenario
from lumenize_sim.explore.exhaustive import enumerate_behaviours
from tests.explore.brute_force import behaviours, brute_force


class Kept(DurableObject):
    """Reads, writes and removes, with others let in or not."""

    storage_backend = "kv"

    async def step(self, key: str, concurrent: bool) -> int:
        n: int = await self.ctx.storage.get(key, 0, allow_concurrency=concurrent)
        self.ctx.storage.put(key, n + 1)
        return n + 1

    async def remove(self, key: str, concurrent: bool) -> bool:
        return bool(await self.ctx.storage.delete(key, allow_concurrency=concurrent))

    async def both(self, first: str, second: str) -> list[int]:
        found: list[int] = await gather(self.ctx.storage.get(first, 0), self.ctx.storage.get(second, 0))
        return found


PROGRAMS = {
    "held": [("step", "n", False), ("step", "n", False)],
    "let in": [("step", "n", True), ("step", "n", True)],
    "one of each": [("step", "n", True), ("step", "n", False)],
    "removed meanwhile": [("step", "n", True), ("remove", "n", True)],
    "two reads of one turn": [("both", "a", "b"), ("step", "a", True)],
}


def scenario_of(name: str) -> Scenario:
    async def drive(world: World) -> None:
        calls = [getattr(world.env.D.get_by_name("a"), method)(*arguments) for method, *arguments in PROGRAMS[name]]
        await gather(*calls)

    return scenario(Mesh(bindings={"D": Kept}))(drive)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_tapes_find_every_behaviour(name: str) -> None:
    """IG-5, IG-7, IG-9."""
    chosen = scenario_of(name)
    raw = brute_force(chosen, 4000)
    assert raw is not None
    enumeration = enumerate_behaviours(chosen, limit=80_000)
    assert enumeration.complete
    assert behaviours(enumeration).keys() == raw.found.keys()
    assert len(raw.found) > 1

"""Whose turn it is follows the owner, also where somebody else asks for it."""

from __future__ import annotations

from lumenize_sim import LumenizeClient, Mesh, World, scenario, simulate
from lumenize_sim.objects.strand import current_strand


def test_a_timer_runs_as_its_owner_whoever_sets_it() -> None:
    """The driver sets a client's timer; the callback is a turn of the client."""
    ran_as: list[str] = []

    @scenario(Mesh(bindings={}))
    async def drives(world: World) -> None:
        alice = await world.connect(LumenizeClient, sub="alice", wait=False)

        def note() -> None:
            strand = current_strand()
            assert strand is not None
            ran_as.append(strand.owner.name)

        world.host.set_timer(alice._owner, 0.5, note)
        world.host.set_timer(alice._owner, 0.5, note, background=True)
        world.host.set_timer(world.driver.owner, 0.5, note)
        await world.advance(1)

    assert simulate(drives).failure is None
    assert sorted(ran_as) == ["alice.tab1", "alice.tab1", "driver"]

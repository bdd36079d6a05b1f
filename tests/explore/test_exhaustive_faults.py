"""Faults and explored options are enumerated too: every plan that some run can meet, as brute force finds them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from lumenize_sim import (
    EXPLORED,
    DurableObject,
    Faults,
    MachineOptions,
    Mesh,
    UsageError,
    World,
    WorldOptions,
    scenario,
)
from lumenize_sim.explore.exhaustive import enumerate_behaviours
from lumenize_sim.explore.replaying import record
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.world.faults import KINDS
from lumenize_sim.world.options import OPTIONS, option_kind
from tests.explore.brute_force import behaviours, brute_force, brute_force_with_faults, generated
from tests.explore.test_exhaustive import handmade


class Till(DurableObject):
    """Writes, and asks itself whether it did."""

    def add(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0) + 1
        self.ctx.storage.kv.put("n", n)
        return n

    def fail(self) -> None:
        self.lost = True
        raise ValueError("refused")

    def seen(self) -> bool:
        return getattr(self, "lost", False)


app = Mesh(bindings={"T": Till})


@scenario(app)
async def two_adds(world: World) -> None:
    """Two calls at once, which may fail."""
    for pending in [world.env.T.get_by_name("t").add() for _ in range(2)]:
        try:
            await pending
        except Exception:
            continue
    await world.settle()


def equal(chosen: Any, max_faults: int, limit: int = 400) -> int:
    """Number of behaviours, found in both ways."""
    raw = brute_force_with_faults(chosen, limit, max_faults)
    assert raw is not None, "too large for brute force"
    enumeration = enumerate_behaviours(chosen, limit=100_000, max_faults=max_faults)
    assert enumeration.complete, str(enumeration)
    found = behaviours(enumeration)
    missing = {key: raw[key] for key in raw if key not in found}
    assert not missing
    assert not [outcome.log for key, outcome in found.items() if key not in raw]
    return len(found)


@pytest.mark.parametrize(
    "kinds, max_faults", [(("crash", "lost-call"), 1), (("failed-flush", "slow-flush"), 1), (("crash",), 2)]
)
def test_every_plan_of_a_few_faults_is_gone_through(kinds: tuple[str, ...], max_faults: int) -> None:
    assert equal(attrs.evolve(two_adds, faults=Faults(kinds=kinds)), max_faults) > 10


@pytest.mark.parametrize("seed", [19, 26, 34])
def test_generated_programs_with_faults_go_as_brute_force_says(seed: int) -> None:
    """Also those with critical sections, relays and timers; a third of all kinds for each."""
    kinds = tuple(kind for nth, kind in enumerate(KINDS) if nth % 3 == seed % 3)
    chosen = generated.scenario_of(generated.generate(seed, late=bool(seed % 2)))
    assert equal(attrs.evolve(chosen, faults=Faults(kinds=kinds)), 1) > 1


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_many_more_generated_programs_with_faults_go_as_brute_force_says(block: int) -> None:
    for seed in range(60 + block * 25, 85 + block * 25):
        chosen = generated.scenario_of(generated.generate(seed, late=bool(seed % 2)))
        if brute_force(chosen, 20) is not None:
            kinds = tuple(kind for nth, kind in enumerate(KINDS) if nth % 3 == seed % 3)
            equal(attrs.evolve(chosen, faults=Faults(kinds=kinds)), 1)


def test_each_behaviour_with_a_fault_has_a_tape_and_those_with_fewer_come_first() -> None:
    chosen = attrs.evolve(two_adds, faults=Faults(kinds=("crash", "failed-flush")))
    enumeration = enumerate_behaviours(chosen, max_faults=2)
    assert enumeration.complete
    counts = []
    for behaviour in enumeration.behaviours:
        run = record(chosen, behaviour.choices, seed=0)
        assert run.digest == behaviour.digest
        counts.append(sum(behaviour.outcome.faults.values()))
    assert counts == sorted(counts)
    assert counts[-1] == 2


def test_explored_options_are_enumerated_without_being_asked_for() -> None:
    """LC-30: whether an uncaught exception resets its object is left open."""

    async def drive(world: World) -> None:
        stub = world.env.T.get_by_name("t")
        refused, seen = stub.fail(), stub.seen()
        with pytest.raises(ValueError, match="refused"):
            await refused
        try:
            assert await seen
        except ConnectionError:
            return

    options = WorldOptions(objects=MachineOptions(reset_on_throw=EXPLORED, web_sockets_newest_first=EXPLORED))
    chosen = scenario(app, options=options)(drive)
    enumeration = enumerate_behaviours(chosen)
    assert enumeration.complete
    assert enumeration.plans == 4
    raw: dict[Any, Any] = {}
    for name in (None, "reset_on_throw", "web_sockets_newest_first"):
        planned = {fault_label(option_kind(name), OPTIONS, 0): 1} if name else {}
        found = brute_force(chosen, 100, planned)
        assert found is not None
        raw.update(found.found)
    assert sorted(behaviours(enumeration)) == sorted(raw)
    assert len(raw) > 1


def test_faults_are_those_that_the_scenario_declares() -> None:
    chosen = attrs.evolve(two_adds, faults=Faults(kinds=("crash",), targets=("U/",)))
    assert enumerate_behaviours(chosen, max_faults=3).plans == 1
    with pytest.raises(UsageError, match="say which kinds"):
        enumerate_behaviours(two_adds, max_faults=1)
    with pytest.raises(UsageError, match="from 0 on"):
        enumerate_behaviours(two_adds, max_faults=-1)


def test_the_limit_is_one_for_all_plans() -> None:
    chosen = attrs.evolve(generated.scenario_of(handmade("relay")), faults=Faults(kinds=("crash",)))
    part = enumerate_behaviours(chosen, max_faults=1, limit=20)
    assert (part.complete, part.runs) == (False, 20)
    assert "the limit of 20 runs was reached" in str(part)
    assert str(enumerate_behaviours(chosen, max_faults=1)).startswith("complete: ")

"""State that outlives a run makes failures that do not come again; the app is told which state that is."""

from __future__ import annotations

import itertools
from typing import ClassVar

import pytest

from lumenize_sim import AppError, LumenizeClient, LumenizeDO, Mesh, World, explore, mesh, scenario
from lumenize_sim.explore.leaks import leaked, remembered

numbers = itertools.count()


class Counting(LumenizeDO):
    """Counts on its class, which all runs share."""

    hits: ClassVar[int] = 0

    @mesh
    def hit(self) -> int:
        Counting.hits += 1
        return Counting.hits


class Tab(LumenizeClient):
    """A page."""


@scenario(Mesh(bindings={"C": Counting}))
async def leaky(world: World) -> None:
    tab = await world.connect(Tab, sub="alice")
    hits = await tab.lmz.call_raw("C", "c", tab.ctn(Counting).hit())
    assert hits != 5, "the fifth"


def test_a_failure_that_does_not_come_again_blames_the_app_and_names_the_state() -> None:
    Counting.hits = 0
    with pytest.raises(AppError, match=r"did not when run again in the same order.*Counting\.hits"):
        explore(leaky, schedules=50, save=None)


def test_counters_of_modules_and_classes_are_noticed() -> None:
    before = remembered(leaky)
    Counting.hits += 1
    next(numbers)
    changed = leaked(before, remembered(leaky))
    assert "Counting.hits" in changed
    assert any(name.endswith(".numbers") for name in changed)


def test_what_stays_the_same_is_not_mentioned() -> None:
    assert leaked(remembered(leaky), remembered(leaky)) == []

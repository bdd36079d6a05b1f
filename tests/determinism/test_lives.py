"""However instances end, and however their clocks move: one tape, one digest."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest

from lumenize_sim import Faults, simulate
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.roaming import census
from lumenize_sim.world.randomness import generator
from tests.determinism.data.lives import LIVES
from tests.determinism.test_one_tape_one_digest import replays
from tests.explore.test_exhaustive import same_again

SCENARIO = Path(__file__).parent / "data" / "lives.py"


@pytest.mark.slow
def test_runs_in_which_instances_end_in_every_way_replay_in_other_processes(tmp_path: Path) -> None:
    """LC-14 to LC-38, TM-1: two processes, two hash seeds; every kind of fault has fired in one run or another."""
    cats = load_scenario(SCENARIO)
    tapes: list[Path] = []
    expected: dict[str, list[str]] = {}
    fired: set[str] = set()
    for seed in range(60):
        run = simulate(cats, seed=seed)
        assert run.outcome.kind == "passed", run.outcome.message
        fired |= set(run.outcome.faults)
        if len(run.outcome.faults) >= 2 and len(tapes) < 12:
            path = run.tape.write(tmp_path / f"cats-{seed}.tape")
            tapes.append(path)
            expected[str(path)] = [f"{run.digest}:passed"]
    assert {*LIVES} <= fired
    assert len(tapes) == 12
    for hash_seed in ("0", "77"):
        assert replays(sys.executable, tapes, 2, hash_seed) == expected


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random", "pos", "pct"])
def test_roaming_runs_in_which_instances_end_replay_strictly_from_their_tapes(strategy: str) -> None:
    """LC-14 to LC-38: whatever the order."""
    cats = attrs.evolve(load_scenario(SCENARIO), faults=Faults(kinds=LIVES[:-1], at_most=4))
    fired = 0
    for nth in range(12):
        _, boundaries, _ = census(cats, seed=nth)
        fired += len(same_again(cats, strategy, nth, cats.faults.draw(generator(nth, "faults"), boundaries)).faults)
    assert fired > 12


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    """TM-1: also where nothing is taped."""
    cats = load_scenario(SCENARIO)
    assert simulate(cats, seed=seed).digest == simulate(cats, seed=seed).digest

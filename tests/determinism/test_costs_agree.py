"""What a run costs is the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_COSTS = """
import json, sys
from lumenize_sim import simulate
from lumenize_sim.explore import load_scenario
for path in sys.argv[1:]:
    for seed in (None, 1, 2):
        run = simulate(load_scenario(path), seed=seed)
        print(run.digest, json.dumps(run.cost.to_json()))
"""


@pytest.mark.slow
def test_costs_agree_over_processes_and_hash_seeds() -> None:
    """BL-1 to BL-8: amounts, order of objects and classes, and the bill."""
    paths = [
        str(ROOT / "scenarios" / f"{name}.py") for name in ("slow_round_trip", "slow_two_one_way", "collab_editor")
    ]
    told = []
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _COSTS, *paths],
            capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0].count("\n") == 9
    assert told[0] == told[1] == told[2]

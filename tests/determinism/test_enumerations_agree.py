"""The exhaustive search finds the same in every process, in the same order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOUND = """
import attrs
from lumenize_sim import Faults, enumerate_behaviours
from tests.explore.brute_force import generated
for seed, late, limit, faults in ((0, False, 60, 0), (4, True, 60, 0), (11, False, 120, 1)):
    chosen = generated.scenario_of(generated.generate(seed, late=late))
    chosen = attrs.evolve(chosen, faults=Faults(kinds=("crash", "slow-flush", "lost-call")))
    found = enumerate_behaviours(chosen, limit=limit, max_faults=faults)
    print(found, found.runs, found.plans)
    for behaviour in found.behaviours:
        print(behaviour.digest, behaviour.outcome.kind, behaviour.planned, [c.to_list() for c in behaviour.choices])
"""


@pytest.mark.slow
def test_behaviours_agree_over_processes_and_hash_seeds() -> None:
    """Digests, faults, tapes, the number of runs, and the order of discovery; also where the limit cuts it short."""
    told = []
    for hash_seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _FOUND],
            capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0].count("\n") > 60
    assert told[0] == told[1]

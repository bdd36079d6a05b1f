"""One process with one hash seed, three with another: one report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def explored(name: str, hash_seed: str, jobs: int, folder: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [
            sys.executable, "-m", "lumenize_sim", "explore", str(ROOT / "scenarios" / f"{name}.py"),
            "--schedules", "200", "--max-failures", "2", "--jobs", str(jobs), "--save", str(folder), "--no-verify",
            "--json",
        ],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip
    report: dict[str, Any] = json.loads(done.stdout)
    del report["wall_s"]
    return report


@pytest.mark.slow
@pytest.mark.parametrize("name", ["subscribe_race", "double_charge", "collab_editor"])
def test_three_processes_and_another_hash_seed_change_nothing(name: str, tmp_path: Path) -> None:
    """Failures, their order, their tapes by digest, and coverage."""
    assert explored(name, "1", 1, tmp_path) == explored(name, "2", 3, tmp_path)

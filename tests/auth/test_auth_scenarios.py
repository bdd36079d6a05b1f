"""The scenarios with logins: the planted bug is found and replays anywhere, its twin survives (AU-13)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lumenize_sim import explore, replay
from lumenize_sim.explore import load_scenario

ROOT = Path(__file__).parents[2]
BUG, TWIN = (load_scenario(ROOT / "scenarios" / f"{name}.py") for name in ("shared_login", "shared_login_fixed"))
_DIGEST = "import sys, lumenize_sim; print(lumenize_sim.replay(sys.argv[1]).digest)"


def test_two_pages_that_refresh_at_once_lose_a_login(tmp_path: Path) -> None:
    """First come, first served shows it; the tape has the same digest here and in processes with other hash seeds."""
    report = explore(BUG, schedules=20, save=tmp_path, verify=False)
    (failure,) = report.failures
    assert "has lost its login" in str(failure.run.failure)
    assert failure.run.tape.non_default == 0
    assert failure.run.path is not None
    assert replay(failure.run.path).digest == failure.run.digest
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _DIGEST, str(failure.run.path)],
            capture_output=True, text=True, env=environment, cwd=ROOT, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == failure.run.digest


@pytest.mark.slow
def test_patient_pages_keep_their_login() -> None:
    """In every order that was tried."""
    assert not explore(TWIN, schedules=300).failures


def test_patient_pages_keep_their_login_in_a_few_orders() -> None:
    """The same, for every day."""
    assert not explore(TWIN, schedules=25).failures

"""The scenarios with logins: one survives what may go wrong, a planted bug is found, its twin survives (AU-13)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lumenize_sim import explore, replay, simulate
from lumenize_sim.explore import load_scenario

ROOT = Path(__file__).parents[2]
DIARY, BUG, TWIN = (
    load_scenario(ROOT / "scenarios" / f"{name}.py") for name in ("login", "shared_login", "shared_login_fixed")
)
_DIGEST = "import sys, lumenize_sim; print(lumenize_sim.replay(sys.argv[1]).digest)"


def test_a_login_and_a_call_survive_what_may_go_wrong() -> None:
    """LC-43, CL-20, AU-13: lost requests and answers, crashes, evictions, broken sockets."""
    assert not explore(DIARY, schedules=60).failures


@pytest.mark.slow
def test_a_login_and_a_call_survive_it_in_thousands_of_schedules() -> None:
    """The same; and every kind of fault happened."""
    report = explore(DIARY, schedules=3000)
    assert not report.failures
    assert report.coverage["faults_never"] == []


def test_runs_with_logins_and_faults_replay_to_the_same_digest() -> None:
    """Keys, cookies, ids and times are all the world's."""
    faults = 0
    for seed in range(12):
        run = simulate(DIARY, seed=seed)
        again = replay(run.tape, scenario=DIARY)
        assert (again.outcome.kind, again.digest) == ("passed", run.digest)
        faults += len(run.outcome.faults)
    assert faults >= 5


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

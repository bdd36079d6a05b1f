"""One tape gives one digest: over many replays, processes, hash seeds and Python versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lumenize_sim import explore, simulate
from lumenize_sim.explore import load_scenario

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "scenarios"
#: Replays every tape so many times and prints the digests it saw.
_REPLAYS = """
import sys
from lumenize_sim import replay
seen = {}
for path in sys.argv[2:]:
    for _ in range(int(sys.argv[1])):
        ballast = [object() for _ in range(_ % 97)]  # allocations that move every address
        run = replay(path)
        seen.setdefault(path, {})[(run.digest, run.outcome.kind)] = None
for path in seen:
    print(path, *(f"{digest}:{kind}" for digest, kind in seen[path]))
"""


def replays(python: str, tapes: list[Path], times: int, hash_seed: str) -> dict[str, list[str]]:
    """Digests seen in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, "-W", "error", "-c", _REPLAYS, str(times), *map(str, tapes)],
        capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Failures, one on the legacy backend and one of stubs and fetches, and a run of the editor that passed."""
    folder = tmp_path_factory.mktemp("tapes")
    found: list[Path] = []
    failing = ("lost_update", "subscribe_race", "hibernation_loses_reply", "cold_reads", "double_charge")
    # In the last one somebody waits while others go first.
    for path in (*(SCENARIOS / f"{name}.py" for name in failing), ROOT / "tests" / "explore" / "data" / "oversold.py"):
        report = explore(load_scenario(path), schedules=2000, save=folder, verify=False)
        path = report.failures[0].run.path
        assert path is not None
        found.append(path)
    editor = load_scenario(SCENARIOS / "collab_editor.py")
    for seed in range(50):
        run = simulate(editor, seed=seed)
        if len(run.outcome.faults) >= 2:
            found.append(run.tape.write(folder / f"editor-{seed}.tape"))
            break
    assert len(found) == 7
    return found


def test_a_thousand_replays_in_two_processes_and_three_hash_seeds_agree(tapes: list[Path]) -> None:
    """200 replays of each of seven tapes in one process, then again in another and a third with other hash seeds."""
    first = replays(sys.executable, tapes, 200, "0")
    second = replays(sys.executable, tapes, 25, "1")
    third = replays(sys.executable, tapes, 25, "4242")
    assert all(len(digests) == 1 for digests in first.values()), first
    assert first == second == third


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_version_agrees(tapes: list[Path], version: str) -> None:
    """The digest holds nothing that a Python version may change; skipped where that interpreter is missing."""
    python = interpreter(version)
    if python is None:
        pytest.skip(
            f"no Python {version} with this package's dependencies (set LUMENIZE_PYTHON_{version.replace('.', '_')})"
        )
    assert replays(python, tapes, 2, "0") == replays(sys.executable, tapes, 2, "0")


def interpreter(version: str) -> str | None:
    """A Python ``version`` that can import what the package needs."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    named = os.environ.get(f"LUMENIZE_PYTHON_{version.replace('.', '_')}")
    for candidate in (named, f"python{version}"):
        if candidate is None:
            continue
        needed = "trio, trio_websocket, attrs, cbor2, apsw, time_machine, click, rich"
        probe = f"import sys, {needed}; print(sys.version_info[:2])"
        try:
            done = subprocess.run([candidate, "-c", probe], capture_output=True, text=True, check=False, cwd="/")
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() == str(tuple(map(int, version.split(".")))):
            return candidate
    return None

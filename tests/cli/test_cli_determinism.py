"""``--check-determinism``: what it prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lumenize_sim.cli import main
from lumenize_sim.cli.exits import Exit

LEAKS = Path(__file__).parents[1] / "determinism" / "data" / "leaks.py"


def lumenize(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    return done.exit_code, done.output


def test_a_difference_is_printed_and_has_the_exit_code_of_divergence(tmp_path: Path) -> None:
    code, output = lumenize("run", f"{LEAKS}::set_order", "--check-determinism", "--save", str(tmp_path))
    assert code == Exit.DIVERGED
    assert "not deterministic: reply driver>TELLER/t#0/r at TELLER/t (leaks.py:" in output
    assert "it depends on the hash seed" in output


@pytest.mark.slow
def test_an_exploration_checks_before_it_explores(tmp_path: Path) -> None:
    """A leak makes failures that say nothing about races."""
    arguments = ["--check-determinism", "--save", str(tmp_path), "--json"]
    code, output = lumenize("explore", f"{LEAKS}::stored_only", "--schedules", "5", *arguments)
    assert code == Exit.DIVERGED
    assert json.loads(output)["determinism"]["label"] == "what is stored under 'token'"
    code, output = lumenize("explore", f"{LEAKS}::wall_clock", "--schedules", "5", *arguments)
    assert code == Exit.PASSED
    assert json.loads(output)["determinism"] is None


@pytest.mark.slow
def test_a_tape_is_checked_where_it_is_replayed(tmp_path: Path) -> None:
    lumenize("run", f"{LEAKS}::random_uuid", "--save", str(tmp_path))
    (tape,) = tmp_path.glob("*.tape")
    code, output = lumenize("replay", str(tape), "--check-determinism")
    assert code == Exit.PASSED
    assert "the same in two processes with different hash seeds" in output

"""The harness itself: it notices what it is there to notice, and says the same in every process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from lumenize_sim import DurableObject, World, gather
from tests.conformance.catalogue import catalogue
from tests.conformance.errors import NAMES, PROPERTIES
from tests.conformance.program import PROGRAMS, NotApplicable, Program, program
from tests.conformance.reach import Reached, plain, reachable
from tests.conformance.recorded import recordings
from tests.conformance.verdict import judge

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")


def test_every_recorded_program_has_a_row() -> None:
    """A program of ours, or the reason why there is none."""
    rows = catalogue()
    assert [name for name in recordings() if name not in rows] == []
    assert all(len(row.reason) > 20 for row in rows.values() if isinstance(row, NotApplicable))


def test_the_documented_table_of_errors_is_the_one_in_use() -> None:
    """Classes and properties, both ways."""
    pairs = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE.partition("## Values")[0], re.MULTILINE)
    classes = {here: there for there, here in pairs if here[0].isupper() and here != "Pending"}
    assert classes == NAMES
    assert {here: there for there, here in pairs if here[0].islower()} == PROPERTIES


class Race(DurableObject):
    """Two calls race."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[int] = []

    def note(self, i: int) -> list[int]:
        self.log.append(i)
        return self.log


async def race(world: World) -> Any:
    first, second = world.env.D.get_by_name("d"), world.env.D.get_by_name("d")
    await gather(first.note(1), second.note(2))
    return await first.note(0)


def raced(**changes: Any) -> Program:
    """A program with two outcomes."""
    made = program("race", bindings={"D": Race}, expected=[[1, 2, 0]])(race)
    del PROGRAMS["race"]
    return attrs.evolve(made, **changes)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({}, "unexplained"),
        ({"also": {"RPC-2": [[2, 1, 0]]}}, "conforms"),
        ({"also": {"RPC-2": {"workerd": lambda o: o == [2, 1, 0]}}}, "conforms"),
        ({"also": {"RPC-2": {"production": [[2, 1, 0]]}}}, "unexplained"),
        ({"also": {"RPC-2": lambda o: True}, "expected": {"workerd": ([0],)}}, "missing"),
        ({"forbidden": lambda o: "RPC-1" if o[0] == 2 else None}, "forbidden"),
    ],
)
def test_a_verdict_follows_from_what_came_out(changes: dict[str, Any], word: str) -> None:
    made = raced(**changes)
    assert judge(made, "workerd", reachable(made, "workerd", schedules=20)).word == word


def test_enumeration_and_schedules_find_the_same() -> None:
    """Complete where it says so."""
    schedules = reachable(raced(), "workerd", schedules=60)
    everything = reachable(raced(exhaustive=True), "workerd", enumerate_at_most=100)
    assert everything.complete
    assert everything.counts.keys() == schedules.counts.keys() == {plain([1, 2, 0]), plain([2, 1, 0])}


def test_a_run_that_breaks_is_never_explained() -> None:
    async def breaks(world: World) -> Any:
        raise ValueError("broken")

    made = raced(drive=breaks, also={"anything": lambda o: True}, expected={})
    verdict = judge(made, "workerd", reachable(made, "workerd", schedules=2))
    assert verdict.word == "unexplained"
    assert "ValueError: broken" in verdict.complaint()
    assert judge(made, "workerd", Reached({}, 0, complete=False)).word == "conforms"


_SETS = """
import json, sys
from tests.conformance.catalogue import catalogue
from tests.conformance.reach import reachable
counts = {}
for name in sys.argv[1:]:
    program = catalogue()[name]
    for runtime in program.runtimes:
        counts[f"{name} {runtime}"] = reachable(program, runtime, schedules=30, enumerate_at_most=60).counts
print(json.dumps(counts))
"""
_VARIED = ("gate-rmw-rpc", "eorder-two-callers", "alarm-throw-retry", "ws-supersede", "time-frozen", "ids")


@pytest.mark.slow
def test_outcomes_are_the_same_in_two_processes_with_two_hash_seeds() -> None:
    """The same outcomes, as often."""
    said = []
    for hash_seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", _SETS, *_VARIED],
            capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    assert said[0] == said[1]
    assert any(len(counts) > 1 for counts in said[0].values())

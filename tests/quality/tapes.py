"""The shortest known tape of each benchmark, on file.

python -m tests.quality.tapes               looks for one for each benchmark that has none
python -m tests.quality.tapes counter raft  looks for new ones for these
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lumenize_sim import explore
from tests.quality.cases import Case, cases_in

__all__ = ["TAPES", "main", "tape_of"]

TAPES: Final = Path(__file__).parent / "tapes"
_SEEDS = 5


def tape_of(case: Case) -> Path:
    """Where the tape of ``case`` lies."""
    return TAPES / f"{case.name}.tape"


def _record(case: Case) -> str:
    found: list[int] = []
    for seed in range(1, _SEEDS + 1):
        report = explore(case.bug, seed=seed, schedules=5_000, save=None)
        if report.failures:
            tape = report.failures[0].run.tape
            if not found or tape.non_default < min(found):
                tape.write(tape_of(case))
            found.append(tape.non_default)
            if tape.non_default <= case.depth:
                break
    shortest = min(found, default=None)
    return f"{case.name}: depth {case.depth}, the shortest tape of {len(found)} has {shortest} choices"


def main(arguments: Sequence[str]) -> int:
    """See the module."""
    for case in cases_in(only=arguments):
        if arguments or not tape_of(case).exists():
            sys.stdout.write(f"{_record(case)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

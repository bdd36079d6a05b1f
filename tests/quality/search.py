"""The exhaustive search against brute force, on generated programs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import attrs

from tests.explore.brute_force import tally

__all__ = ["Searched", "searched"]

#: Programs with more schedules than this are left out: brute force runs every one of them.
_LIMIT = 200
_BLOCK = 10


@attrs.frozen(kw_only=True)
class Searched:
    """What came of it.

    Attributes:
        programs: that brute force could go through.
        raw: schedules that it ran.
        runs: of the search.
        behaviours: that there are.
        unequal: where the two do not agree, in words.
    """

    programs: int = 0
    raw: int = 0
    runs: int = 0
    behaviours: int = 0
    unequal: tuple[str, ...] = ()

    def __add__(self, other: Searched) -> Searched:
        pairs = zip(attrs.astuple(self), attrs.astuple(other), strict=True)
        return Searched(**dict(zip(attrs.fields_dict(Searched), (a + b for a, b in pairs), strict=True)))

    def __str__(self) -> str:
        return (
            f"{self.programs} generated programs: {self.raw:,} schedules of brute force, {self.runs:,} runs of the "
            f"search, {self.behaviours:,} behaviours, {len(self.unequal)} unequal"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**attrs.asdict(self), "unequal": list(self.unequal)}


def _block(task: tuple[range, bool]) -> Searched:
    seeds, late = task
    found = tally(seeds, _LIMIT, late=late)
    return Searched(
        programs=found.programs, raw=found.raw, runs=found.runs, behaviours=found.behaviours, unequal=found.unequal
    )


def searched(programs: int, jobs: int) -> Searched:
    """Generate so many programs in which all is on time, and as many in which messages may be late."""
    tasks = [
        (range(first, min(first + _BLOCK, programs)), late)
        for first in range(0, programs, _BLOCK)
        for late in (False, True)
    ]
    return sum(_blocks(tasks, jobs), Searched())


def _blocks(tasks: Sequence[tuple[range, bool]], jobs: int) -> list[Searched]:
    if jobs == 1:
        return [_block(task) for task in tasks]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(_block, tasks))

"""Units: an exploration cut into ranges of schedules that anybody may run.

What a unit finds depends on scenario, seed and range alone, and not on who ran it, after
what, or how many worked at the same time.  One thing is learnt from earlier runs, the
corpus: orders for the strategy ``feedback``, and boundaries of faults.  So units come in
generations: each begins with the corpus of all generations before its own, and goes on
from there alone.  A generation is as large as all before it together, so that few wait
for others, and whatever is learnt is at hand for at least half of the runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

__all__ = ["SCHEDULES", "Unit", "units_of"]

#: Schedules of one unit.
SCHEDULES = 64
#: Units of the first generation.
_FIRST = 4


@attrs.frozen
class Unit:
    """A range of schedules.

    Attributes:
        index: from 0.
        first: the number of the first schedule, from 0.
        count: how many there are.
    """

    index: int
    first: int
    count: int

    @property
    def generation(self) -> int:
        """From 0; a unit waits for all units of the generations before."""
        return (self.index // _FIRST).bit_length()


def units_of(schedules: int, *, since: Sequence[Unit] = ()) -> list[Unit]:
    """``schedules`` in units, the last of them shorter where it must be; those that come behind the units ``since``."""
    first = since[-1].first + since[-1].count if since else 0
    return [
        Unit(index, first, min(SCHEDULES, schedules - first))
        for index, first in enumerate(range(first, schedules, SCHEDULES), len(since))
    ]

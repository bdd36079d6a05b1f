"""Tallies: what came of one unit, as plain values that may cross processes and stand in a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.kernel.choice import Choice

__all__ = ["Found", "Tally", "added"]


@attrs.frozen(kw_only=True)
class Found:
    """A failure, shrunk.

    Attributes:
        schedule: the number of the schedule that showed it, from 1.
        strategy: which strategy that was.
        found_with: choices before shrinking.
        replays: runs that shrinking took.
        choices: that are left.
        total: they are in total order, of a run that was watched after every turn.
        signature: what makes two failures the same: how it ended, and the explanation.
    """

    schedule: int
    strategy: str
    found_with: int
    replays: int
    choices: tuple[Choice, ...]
    total: bool
    signature: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **attrs.asdict(self, recurse=False),
            "choices": [choice.to_list() for choice in self.choices],
            "signature": list(self.signature),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Found:
        """The inverse of `to_json`."""
        choices = tuple(Choice(*entry) for entry in data["choices"])
        return cls(**{**data, "choices": choices, "signature": tuple(data["signature"])})


@attrs.frozen(kw_only=True)
class Tally:
    """What came of one unit.

    Attributes:
        ran: schedules; fewer than the unit has where failures ended it.
        behaviours: fingerprints of the orders per receiver, each once.
        faults: what went wrong, kind to count.
        marks: ``sometimes`` marks, name to how often.
        found: different failures, in order.
        novel: runs that showed the corpus something new, in order.
        boundaries: of faults, that the corpus did not know: kind and target to their numbers.
    """

    ran: int
    behaviours: tuple[str, ...] = ()
    faults: Mapping[str, int] = attrs.field(factory=dict)
    marks: Mapping[str, int] = attrs.field(factory=dict)
    found: tuple[Found, ...] = ()
    novel: tuple[Sighting, ...] = ()
    boundaries: Mapping[tuple[str, str], Sequence[int]] = attrs.field(factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "ran": self.ran,
            "behaviours": list(self.behaviours),
            "faults": dict(self.faults),
            "marks": dict(self.marks),
            "found": [found.to_json() for found in self.found],
            "novel": [run.to_json() for run in self.novel],
            "boundaries": [[*place, list(numbers)] for place, numbers in self.boundaries.items()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tally:
        """The inverse of `to_json`."""
        return cls(
            ran=data["ran"],
            behaviours=tuple(data["behaviours"]),
            faults=dict(data["faults"]),
            marks=dict(data["marks"]),
            found=tuple(Found.from_json(found) for found in data["found"]),
            novel=tuple(Sighting.from_json(run) for run in data["novel"]),
            boundaries={(kind, target): tuple(numbers) for kind, target, numbers in data["boundaries"]},
        )


def added(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add ``more`` to ``counts``."""
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count

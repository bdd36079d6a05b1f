"""The corpus: what runs showed that was new, for runs that go on from them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from lumenize_sim.explore.profile import kind_of
from lumenize_sim.explore.sighting import Sighting

__all__ = ["Boundaries", "Corpus"]

#: Kind and target of a fault, to the numbers of the boundaries where it was possible.
Boundaries = Mapping[tuple[str, str], Sequence[int]]
#: Runs that are kept; beyond, every second one is forgotten.  They travel to whoever runs units.
_MOST = 96


class Corpus:
    """What runs showed that was new.

    New is judged by fingerprints of orders per receiver: which kind of event came
    right after which other at one object.

    Attributes:
        runs: those that showed something new.
        pairs: receiver and two kinds of events that followed each other there, to how many runs showed it.
        boundaries: of faults, that runs came to.
    """

    __slots__ = ("boundaries", "pairs", "runs")

    def __init__(self) -> None:
        self.runs: list[Sighting] = []
        self.pairs: dict[tuple[str, str, str], int] = {}
        self.boundaries: dict[tuple[str, str], list[int]] = {}

    def take(self, run: Sighting) -> bool:
        """Look at a run; True where it showed something new, and was kept."""
        new = False
        last: dict[str, str] = {}
        seen: dict[tuple[str, str, str], None] = {}
        for receiver, label in run.log:
            if receiver is None:
                continue
            kind = kind_of(label)
            seen[kind_of(receiver), last.get(receiver, ""), kind] = None
            last[receiver] = kind
        for pair in seen:
            count = self.pairs.get(pair, 0)
            new = new or not count
            self.pairs[pair] = count + 1
        if new:
            if len(self.runs) >= _MOST:
                del self.runs[::2]
            self.runs.append(run)
        return new

    def meet(self, boundaries: Boundaries) -> dict[tuple[str, str], list[int]]:
        """Take the boundaries of a run; returns those that are new."""
        fresh: dict[tuple[str, str], list[int]] = {}
        for place, numbers in boundaries.items():
            known = self.boundaries.get(place)
            if known == numbers:
                continue
            new = [nth for nth in numbers if known is None or nth not in known]
            if new:
                fresh[place] = new
                self.boundaries[place] = sorted([*(known or ()), *new])
        return fresh

    def copy(self) -> Corpus:
        """One that learns apart."""
        other = Corpus()
        other.runs = list(self.runs)
        other.pairs = dict(self.pairs)
        other.boundaries = dict(self.boundaries)
        return other

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "runs": [run.to_json() for run in self.runs],
            "pairs": [[*pair, n] for pair, n in self.pairs.items()],
            "boundaries": [[*place, numbers] for place, numbers in self.boundaries.items()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Corpus:
        """The inverse of `to_json`."""
        corpus = cls()
        corpus.runs = [Sighting.from_json(run) for run in data["runs"]]
        corpus.pairs = {(receiver, before, after): n for receiver, before, after, n in data["pairs"]}
        corpus.boundaries = {(kind, target): list(numbers) for kind, target, numbers in data["boundaries"]}
        return corpus

    def draw(self, generator: random.Random) -> Sighting | None:
        """One of the runs, younger ones more often; ``None`` where there are none."""
        many = len(self.runs)
        return self.runs[max(generator.randrange(many), generator.randrange(many))] if many else None

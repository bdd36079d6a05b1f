"""Feedback: go on from a run that showed something new, but otherwise at one point.

After the corpus of coverage-guided fuzzers; for schedules: Wolff, Shi, Duck, Mathur,
Roychoudhury, Greybox Fuzzing for Concurrency Testing, ASPLOS 2024.

What is new is judged by fingerprints of orders per receiver: which kind of event came
right after which other at one object.  A run that shows a pair for the first time joins
the corpus.  A later run follows one of the corpus up to a random point, does something
else there, and then follows the rest of it as far as it still applies, or goes at random.
No guarantee; it climbs where rare orders are made of rare orders.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from lumenize_sim.explore.profile import kind_of
from lumenize_sim.kernel.event import Event

__all__ = ["Corpus", "Feedback"]

Log = Sequence[tuple[str | None, str]]
#: Runs that are kept; beyond, every second one is forgotten.
_MOST = 256


class Corpus:
    """Runs that showed something new.

    Attributes:
        runs: their events, by label, in order.
        pairs: receiver and two kinds of events that followed each other there, to how many runs showed it.
    """

    __slots__ = ("pairs", "runs")

    def __init__(self) -> None:
        self.runs: list[tuple[str, ...]] = []
        self.pairs: dict[tuple[str, str, str], int] = {}

    def take(self, log: Log) -> bool:
        """Look at a run; True where it showed something new, and was kept."""
        new = False
        last: dict[str, str] = {}
        seen: dict[tuple[str, str, str], None] = {}
        for receiver, label in log:
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
            self.runs.append(tuple(label for _, label in log))
        return new

    def copy(self) -> Corpus:
        """One that learns apart."""
        other = Corpus()
        other.runs = list(self.runs)
        other.pairs = dict(self.pairs)
        return other

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"runs": [list(run) for run in self.runs], "pairs": [[*pair, n] for pair, n in self.pairs.items()]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Corpus:
        """The inverse of `to_json`."""
        corpus = cls()
        corpus.runs = [tuple(run) for run in data["runs"]]
        corpus.pairs = {(receiver, before, after): n for receiver, before, after, n in data["pairs"]}
        return corpus

    def draw(self, generator: random.Random) -> tuple[str, ...]:
        """One of the runs, younger ones more often; an empty one where there are none."""
        many = len(self.runs)
        return self.runs[max(generator.randrange(many), generator.randrange(many))] if many else ()


class Feedback:
    """See the module."""

    __slots__ = ("_after", "_cut", "_follow", "_generator", "_step")

    def __init__(self, generator: random.Random, corpus: Corpus) -> None:
        self._generator = generator
        labels = corpus.draw(generator)
        self._cut = generator.randrange(len(labels)) if labels else 0
        self._follow = {label: n for n, label in enumerate(labels)} if generator.random() < 0.5 else {}
        self._after = {label: n for n, label in enumerate(labels[: self._cut])}
        self._step = 0

    def created(self, event: Event) -> None:
        """Events need no preparation."""

    def happens(self, event: Event) -> None:
        """One step more."""
        self._step += 1

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """Up to the cut as the run did; there something else; then as it did, or anything."""
        many = len(enabled)
        if self._step < self._cut:
            places = [self._after.get(event.label, -1) for event in enabled]
            known = [(place, index) for index, place in enumerate(places) if place >= 0]
            if known:
                return min(known)[1]
        elif self._step > self._cut and self._follow and self._generator.random() < 0.9:
            known = [
                (self._follow[event.label], index) for index, event in enumerate(enabled) if event.label in self._follow
            ]
            if known:
                return min(known)[1]
        return self._generator.randrange(many + time_step)

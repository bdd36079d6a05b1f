"""Profiles: what a run looked like, for strategies that weigh what is still to come.

Taken from the world without surprises.  Labels are local to an actor, so most of those
in one schedule are met in any other; the rest is judged by the mean of its kind, which
is the label without its numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guided import Guide, GuidedChooser

__all__ = ["EMPTY", "Noting", "Profile", "kind_of"]

_NUMBER = re.compile(r"\d+")


def kind_of(label: str) -> str:
    """A label without its numbers."""
    return _NUMBER.sub("#", label)


@attrs.frozen(eq=False)
class Profile:
    """One run, as far as strategies care.

    Attributes:
        labels: of the events that happened, in order.
        receivers: where each arrived, ``None`` for the driver's.
        causes: during which earlier event each was made, as a position; -1 for those made before the first.
        run: the same with what was made and did not happen.
        seed: of the exploration, for what is shuffled once in it.
    """

    labels: tuple[str, ...] = ()
    receivers: tuple[str | None, ...] = ()
    causes: tuple[int, ...] = ()
    run: Sighting = attrs.field(factory=Sighting)
    seed: int = 0

    @property
    def events(self) -> int:
        """How many there were."""
        return len(self.labels)

    def arrivals(self) -> dict[str, int]:
        """How many events arrived at each receiver, in order of first arrival."""
        counts: dict[str, int] = {}
        for receiver in self.receivers:
            if receiver is not None:
                counts[receiver] = counts.get(receiver, 0) + 1
        return counts

    def weights(self, counts: Callable[[str | None], bool] = lambda _: True) -> Weights:
        """For each event, how many of the events that came of it, itself included, arrived where ``counts`` says."""
        sizes = [int(counts(receiver)) for receiver in self.receivers]
        for n in range(len(sizes) - 1, -1, -1):
            if self.causes[n] >= 0:
                sizes[self.causes[n]] += sizes[n]
        return Weights(dict(zip(self.labels, sizes, strict=True)))


class Weights:
    """How much is still to come of an event, by its label or else by its kind."""

    __slots__ = ("_by_kind", "_by_label")

    def __init__(self, by_label: Mapping[str, int]) -> None:
        self._by_label = by_label
        sums: dict[str, tuple[int, int]] = {}
        for label, size in by_label.items():
            kind = kind_of(label)
            total, many = sums.get(kind, (0, 0))
            sums[kind] = (total + size, many + 1)
        self._by_kind = {kind: total / many for kind, (total, many) in sums.items()}

    def of(self, label: str, unknown: float = 1.0) -> float:
        """The weight of one event; ``unknown`` where the profiled run had nothing of its kind."""
        found = self._by_label.get(label)
        return found if found is not None else self._by_kind.get(kind_of(label), unknown)


EMPTY = Profile()


class Noting(GuidedChooser):
    """First come, first served, or as a guide says, noting what was made during what.

    Attributes:
        made: all events that became known, by label.
        parents: label of each, to that of the event during which it was made.
    """

    def __init__(self, guide: Guide | None = None, *, total: bool = False) -> None:
        super().__init__(guide, total=total)
        self.made: dict[str, Event] = {}
        self.parents: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._on: dict[Any, str] = {}

    def created(self, event: Event) -> None:
        """During the latest event that was picked."""
        self.made[event.label] = event
        if event.link is not None:
            if event.link in self._on:
                self._links[event.label] = self._on[event.link]
            self._on[event.link] = event.label
        if self.log:
            self.parents[event.label] = self.log[-1][1]

    def profile(self, seed: int = 0) -> Profile:
        """What was noted."""
        made = {label: event.receiver for label, event in self.made.items()}
        run = Sighting.of(self.log, made, self.parents, self._links)
        many = run.happened
        return Profile(run.labels[:many], run.receivers[:many], run.causes[:many], run, seed)

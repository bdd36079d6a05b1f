"""Sightings: what was made and what happened in one run, kept without holding on to the run."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import attrs

from lumenize_sim.kernel.chooser import Strategy
from lumenize_sim.kernel.event import Event

__all__ = ["Log", "Noted", "Race", "Sighting"]

Log = Sequence[tuple[str | None, str]]
#: Two labels, in their order in the run.
Race = tuple[str, str]
#: The driver waits for quiet: nothing can be held over it.
_QUIET = "driver!settle"
#: How far from an event of the driver, which races with everything, its rivals are looked for.
_NEAR = 12
#: Of the arrivals at one receiver so many on either side are rivals at most.
_FAR = 64


@attrs.frozen(slots=False)
class Sighting:
    """One run: its arrivals in order, then what was made and never happened, and of each what it came of.

    Attributes:
        labels: of the events.
        receivers: where each arrived, ``None`` for the driver's.
        causes: during which of them each was made, as a position; -1 for those made before the first.
        links: behind which of them each stood on a link, likewise.
        happened: how many did.
    """

    labels: tuple[str, ...] = ()
    receivers: tuple[str | None, ...] = ()
    causes: tuple[int, ...] = ()
    links: tuple[int, ...] = ()
    happened: int = 0

    @classmethod
    def of(cls, log: Log, made: Mapping[str, str | None], causes: Mapping[str, str], links: Mapping[str, str]) -> Self:
        """A run from its log, and by label the receivers, causes and predecessors of what was made."""
        happened = {label: n for n, (_, label) in enumerate(log)}
        left = [(receiver, label) for label, receiver in made.items() if label not in happened]
        entries = [*log, *left]
        places = dict(happened) if not left else {label: n for n, (_, label) in enumerate(entries)}
        labels = tuple(label for _, label in entries)

        def place(n: int, label: str | None) -> int:
            # A label that came twice would make a cause that is no earlier event.
            found = -1 if label is None else places.get(label, -1)
            return found if found < n else -1

        return cls(
            labels,
            tuple(receiver for receiver, _ in entries),
            tuple(place(n, causes.get(label)) for n, label in enumerate(labels)),
            tuple(place(n, links.get(label)) for n, label in enumerate(labels)),
            len(log),
        )

    def to_json(self) -> list[Any]:
        """Plain values."""
        return [list(self.labels), list(self.receivers), list(self.causes), list(self.links), self.happened]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Sighting:
        """The inverse of `to_json`."""
        labels, receivers, causes, links, happened = data
        return cls(tuple(labels), tuple(receivers), tuple(causes), tuple(links), happened)

    @property
    def log(self) -> list[tuple[str | None, str]]:
        """Arrivals, ``(receiver or None, label)``."""
        return list(zip(self.receivers[: self.happened], self.labels[: self.happened], strict=True))

    @cached_property
    def places(self) -> dict[str, int]:
        """Label to position, of what happened."""
        return {label: n for n, label in enumerate(self.labels[: self.happened])}

    @cached_property
    def races(self) -> list[list[Race]]:
        """Pairs of which the second could have come first, by receiver; last those with events of the driver.

        Neither did the second come of the first, nor did it stand behind it on a link, nor was
        everything quiet in between.  What was made and did not happen, such as a timer that was called off,
        could have been second.
        """
        before = self._before()
        epochs = self._epochs()
        arrivals: dict[str, list[int]] = {}
        driver: list[int] = []
        for n, receiver in enumerate(self.receivers):
            if receiver is not None:
                arrivals.setdefault(receiver, []).append(n)
            elif n < self.happened and not self.labels[n].startswith(_QUIET):
                driver.append(n)

        def racing(first: int, second: int) -> bool:
            return epochs[first] == epochs[second] and not before[second] >> first & 1

        found: list[list[Race]] = []
        for at in arrivals.values():
            pairs = [
                (self.labels[a], self.labels[b])
                for i, a in enumerate(at)
                if a < self.happened
                for b in at[i + 1 : i + 1 + _FAR]
                if racing(a, b)
            ]
            if pairs:
                found.append(pairs)
        beside = [
            (self.labels[min(n, other)], self.labels[max(n, other)])
            for n in driver
            for other in range(max(0, n - _NEAR), min(self.happened, n + _NEAR + 1))
            if other != n and not self.labels[other].startswith(_QUIET) and racing(min(n, other), max(n, other))
        ]
        return [*found, beside] if beside else found

    def race(self, generator: random.Random) -> Race | None:
        """One of the races, ``None`` where there are none; half the time each receiver is as likely."""
        races = self.races
        if not races:
            return None
        if generator.random() < 0.5:
            return generator.choice(generator.choice(races))
        return generator.choice(generator.choices(races, [len(pairs) for pairs in races])[0])

    def _before(self) -> list[int]:
        """For each event what it could not have happened without, as bits."""
        masks: list[int] = []
        for n in range(len(self.labels)):
            mask = 0
            for origin in (self.causes[n], self.links[n]):
                if origin >= 0:
                    mask |= masks[origin] | 1 << origin
            masks.append(mask)
        return masks

    def _epochs(self) -> list[int]:
        """For each event the quiet moments before it; what did not happen could have from when it was made."""
        epochs: list[int] = []
        epoch = 0
        for n, label in enumerate(self.labels):
            if n >= self.happened:
                cause = self.causes[n]
                epochs.append(epochs[cause] if cause >= 0 else 0)
                continue
            if self.receivers[n] is None and label.startswith(_QUIET):
                epoch += 1
            epochs.append(epoch)
        return epochs


class Noted:
    """A strategy, with a note of everything that is made."""

    __slots__ = ("_causes", "_links", "_made", "_now", "_on", "_strategy", "_told", "lateness_us", "pick")

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._told = getattr(strategy, "happens", None)
        self.pick = strategy.pick
        self.lateness_us = getattr(strategy, "lateness_us", None)
        self._now = ""
        self._made: dict[str, str | None] = {}
        self._causes: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._on: dict[Any, str] = {}

    def created(self, event: Event) -> None:
        """Made during what happened last."""
        label = event.label
        self._made[label] = event.receiver
        self._causes[label] = self._now
        link = event.link
        if link is not None:
            before = self._on.get(link)
            if before is not None:
                self._links[label] = before
            self._on[link] = label
        self._strategy.created(event)

    def happens(self, event: Event) -> None:
        """What is made from now on comes of it."""
        self._now = event.label
        if self._told is not None:
            self._told(event)

    def sighting(self, log: Log) -> Sighting:
        """What was noted of the run with this log."""
        return Sighting.of(log, self._made, self._causes, self._links)

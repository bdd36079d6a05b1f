"""Feedback: go on from a run that showed something new, but otherwise at one point.

After the corpus of coverage-guided fuzzers; for schedules: Wolff, Shi, Duck, Mathur,
Roychoudhury, Greybox Fuzzing for Concurrency Testing, ASPLOS 2024.

What is new is judged by fingerprints of orders per receiver (see `corpus`).  A run that shows one for the first time
joins the corpus.  A later run takes one of the corpus and turns one of its races round (see `reversal`), or follows
it up to a random point, does something else there, and then follows the rest of it as far as it still applies, or goes
at random.  No guarantee; it climbs where rare orders are made of rare orders.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.explore.strategies.corpus import Corpus
from lumenize_sim.explore.strategies.random_walk import RandomWalk
from lumenize_sim.explore.strategies.reversal import TurnedRound
from lumenize_sim.kernel.chooser import Strategy
from lumenize_sim.kernel.event import Event

__all__ = ["Cut", "feedback"]


def feedback(generator: random.Random, corpus: Corpus) -> Strategy:
    """See the module."""
    run = corpus.draw(generator)
    if run is None:
        return RandomWalk(generator)
    if generator.random() < 0.5:
        race = run.race(generator)
        if race is not None:
            return TurnedRound(generator, run.places, dict([race]))
    return Cut(generator, run)


class Cut:
    """Follows a run up to a point, and on from there or not."""

    __slots__ = ("_after", "_cut", "_follow", "_generator", "_step")

    def __init__(self, generator: random.Random, run: Sighting) -> None:
        self._generator = generator
        places = run.places
        self._cut = generator.randrange(len(places)) if places else 0
        self._follow = places if generator.random() < 0.5 else {}
        self._after = {label: n for label, n in places.items() if n < self._cut}
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

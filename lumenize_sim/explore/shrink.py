"""Shrinking: the fewest and mildest choices that still fail the same way.

A candidate is a subset of the choices (or the same with a smaller value), and what is accepted is what its run really
needed (see `attempts`); every accepted step has therefore been seen to fail.

First everything at once (most choices of a roaming run are noise).  Then, where many are
left, the pairs of events that stand the other way round than in a plain run take the
place of choices (see `flipping`), because each choice that is left out moves the places of all
others.  Then halves, quarters and single choices in the manner of delta debugging, then
values towards 0, then faults at earlier boundaries with little else, and again while that
helps.

Where nothing more can be left out, and three are left or more, that need not be the fewest.  So they are told in other
words: one choice gives way to a stand-in that makes another one superfluous (see `standins`), pairs are told by the
names that their events have without what was chosen at one receiver, one late message takes the place of all, and
one or two of the pairs of the best run do alone.  Whatever of that is shorter is shrunk from the beginning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs

from lumenize_sim.explore.attempts import Attempts, size_of
from lumenize_sim.explore.flipping import by_few_flips, by_flips, by_flips_elsewhere
from lumenize_sim.explore.standins import by_one_late, by_stand_ins
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import THE_END
from lumenize_sim.kernel.guide import orders_of
from lumenize_sim.world.scenario import Scenario

__all__ = ["BUDGET", "Shrunk", "shrink"]

#: Runs at most.
BUDGET = 400
#: So many boundaries back a fault is tried, where other choices stand beside it.
_EARLIER = 8
#: Of so many choices of order at most, pairs are tried of which one waits for both.
_FEW = 8


@attrs.frozen
class Shrunk:
    """The result.

    Attributes:
        choices: the fewest found.
        replays: runs that it took.
    """

    choices: tuple[Choice, ...]
    replays: int


class _Shrinker(Attempts):
    def shrink(self) -> Shrunk:
        """Leave out what can be left out."""
        first = self.best
        if first and not self.shorter(()):
            self.shorter([c for c in first if c.kind == "order"])
            self.shorter([c for c in first if c.kind == "fault"])
            by_flips(self)
            before: tuple[Choice, ...] | None = None
            while self.best != before:  # a smaller value may make another choice superfluous, and the other way round
                before = self.best
                self._waits()
                self._subsets()
                self._values()
                self._spans()
                self._takeovers()
                self._boundaries()
                for other_words in (by_stand_ins, by_flips_elsewhere, by_one_late, by_few_flips):
                    if self.best == before:
                        other_words(self)
        return Shrunk(self.best, self.replays)

    def _waits(self) -> None:
        """Say once that an event waits, instead of each time that another one goes first.

        What it was passed over for is known by the oldest only, so that one step uncovers the next: several are gone
        together, and judged by where they end.
        """
        choices = self.best
        for _ in range(len(self.best)):
            merged = _merged(choices)
            taken = None if merged is None else self.failing(merged)
            if taken is None:
                break
            choices = taken
            if size_of(choices) < size_of(self.best):
                self.best = choices
        for over in _often_passed(self.best):
            merged = _merged(self.best, over)
            if merged is not None:
                self.shorter(merged)

    def _takeovers(self) -> None:
        """Where two make room for something between them, let one do it alone, from the beginning on."""
        shorter = True
        while shorter:
            orders = [c for c in self.best if c.kind == "order" and c.over and c.pick != THE_END]
            shorter = len(orders) <= _FEW and any(
                self.shorter(_taken_over(self.best, gone, stays))
                for gone in orders
                for stays in orders
                if gone is not stays
            )

    def _spans(self) -> None:
        """Let no event wait for more than it must."""
        for label in [choice.label for choice in self.best if choice.spans > 1]:
            low = 0
            while True:
                index = next((i for i, choice in enumerate(self.best) if choice.label == label), None)
                if index is None or self.best[index].spans - low <= 1:
                    break
                choice = self.best[index]
                spans = (low + choice.spans) // 2 if low or choice.spans < 4 else 2
                # Which arrival is the last for which it waits is then another one; of one it must be said which.
                shorter = attrs.evolve(choice, spans=spans, pick="" if spans > 1 else self._arrival(choice))
                if not self.shorter((*self.best[:index], shorter, *self.best[index + 1 :])):
                    low = spans

    def _arrival(self, choice: Choice) -> str:
        """What arrives at the place of ``choice`` in the best run."""
        receiver, index = choice.place
        order = orders_of(self.looked_at(self.best).log).get(receiver, [])
        return order[index] if index < len(order) else choice.pick

    def _subsets(self) -> None:
        parts = 2
        while self.best and parts <= 2 * len(self.best):
            size = max(1, len(self.best) // parts)
            at = 0
            shorter = False
            while at < len(self.best):
                # From the end: what came late in the run is more often noise, and removing it moves nothing else.
                end = len(self.best) - at
                candidate = self.best[: max(0, end - size)] + self.best[end:]
                if self.shorter(candidate):
                    shorter = True
                else:
                    at += size
            if size == 1 and not shorter:
                return
            if not shorter:
                parts *= 2

    def _values(self) -> None:
        """Let nothing be later, or a fault severer, than it must.

        What lateness does changes only where something else happens at a certain time, and roaming runs are late by
        just so much.  So if the least will not do, and one less neither, nothing is looked for in between.
        """
        for label in [choice.label for choice in self.best if choice.kind != "order"]:
            low, tried = 0, [1, -1]
            while True:
                index = next((i for i, choice in enumerate(self.best) if choice.label == label), None)
                if index is None or self.best[index].value - low <= 1:
                    break
                choice = self.best[index]
                value = tried.pop(0) % choice.value if tried else (low + choice.value) // 2
                if not self.shorter((*self.best[:index], attrs.evolve(choice, value=value), *self.best[index + 1 :])):
                    low = value

    def _boundaries(self) -> None:
        """A fault at an earlier boundary of the same actor may need fewer choices beside it, or none."""
        for fault in [choice for choice in self.best if choice.kind == "fault"]:
            place, _, nth = fault.label.rpartition("#")
            for earlier in range(max(0, int(nth) - _EARLIER), int(nth)):
                if fault not in self.best or len(self.best) == 1:
                    break  # something shorter has been found, or nothing can be
                moved = attrs.evolve(fault, label=f"{place}#{earlier}")
                others = [choice for choice in self.best if choice is not fault]
                if not self.shorter([moved]) and len(others) > 1:
                    any(self.shorter([moved, other]) for other in others)


def _taken_over(choices: Sequence[Choice], gone: Choice, stays: Choice) -> tuple[Choice, ...]:
    """``choices`` without ``gone``, for which what waits by ``stays`` waits as well."""
    receiver, index = stays.place
    last = gone if gone.place[0] == receiver and gone.place[1] > index else stays
    label = f"{receiver}#0+{len(choices)}"
    longer = attrs.evolve(stays, label=label, spans=gone.spans + stays.spans, pick=last.pick)
    return tuple(longer if choice is stays else choice for choice in choices if choice is not gone)


def _often_passed(choices: Sequence[Choice]) -> list[tuple[str, str]]:
    """Receiver and event, where an event was passed over more than once."""
    passed = Counter((c.place[0], c.over) for c in choices if c.kind == "order" and c.over)
    return [key for key, times in passed.items() if times > 1]


def _merged(choices: Sequence[Choice], only: tuple[str, str] | None = None) -> tuple[Choice, ...] | None:
    """``choices``, where an event that was passed over repeatedly waits; ``None`` where there is none.

    An arrival that went before others as well goes before those.
    """
    last: dict[tuple[str, str], Choice] = {}
    spans: Counter[tuple[str, str]] = Counter()
    for choice in choices:
        if choice.kind == "order" and choice.over and choice.pick != THE_END:
            last[choice.place[0], choice.over] = choice
            spans[choice.place[0], choice.over] += choice.spans
    often = {key for key in _often_passed(choices) if only in (None, key) and key in last}
    if not often:
        return None
    merged: list[Choice] = []
    for choice in choices:
        key = (choice.place[0], choice.over) if choice.kind == "order" else None
        if key is None or key not in often:
            merged.append(choice)
        elif key in spans:
            receiver, index = choice.place
            label = f"{receiver}#{index}+{len(merged)}"
            merged.append(attrs.evolve(choice, label=label, spans=spans.pop(key), pick=last[key].pick))
        if key is not None and key in often and choice.spans == 1 and choice.value > 1:
            merged.append(choice)
    return tuple(merged)


def shrink(
    scenario: Scenario,
    choices: tuple[Choice, ...],
    signature: tuple[str, str, str],
    *,
    seed: int,
    total: bool = False,
    budget: int = BUDGET,
    tick: Callable[[int], None] = lambda _: None,
) -> Shrunk:
    """Shrink ``choices``, which fail with ``signature``.

    Args:
        total: in total order, for runs that are watched after every turn.
        budget: runs at most.
        tick: told the number of runs so far.
    """
    attempts = _Shrinker(scenario, choices, seed=seed, signature=signature, total=total, budget=budget, tick=tick)
    return attempts.shrink()

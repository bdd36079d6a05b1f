"""Stand-ins: choices that could be made in place of another one.

Leaving choices out ends where each that is left is needed beside the others, and that may be far from the fewest: two
questions that are late do what one late answer does, and neither can be left out first.  So one choice is told in other
words, which are no shorter by themselves: for an event that is late or waits, another one that comes of it or that it
comes of, or lateness for waiting.  Whether that still fails, and which of the others have become superfluous by it, is
for runs to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from lumenize_sim.explore.attempts import Attempts
from lumenize_sim.explore.flipping import MANY
from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.kernel.choice import Choice, key_of
from lumenize_sim.kernel.chooser import THE_END
from lumenize_sim.kernel.event import Event

__all__ = ["Telling", "by_stand_ins"]

#: The least that a message can be late: behind everything that happens before time passes.
_LEAST_US = 1
#: Messages that are tried alone at most.
_ONES = 40


@attrs.frozen
class Telling:
    """In which other words the choices of a run could be told.

    Attributes:
        runs: a plain one and the failing one; what comes of what has other numbers in each.
        made: every event by label.
    """

    runs: tuple[Sighting, ...]
    made: Mapping[str, Event]

    def stand_ins(self, choice: Choice) -> list[Choice]:
        """What could be chosen in place of ``choice``.

        That something is late which comes of the late event, or of which that comes; that it waits, where it cannot be.
        """
        late = _late(choice)
        if not late:
            return []
        amount = choice.value if choice.kind == "delay" else _LEAST_US
        events = dict.fromkeys((*self._effects(late), late, *self._causes(late)))
        found = [one for event in events for one in (*self.delays(event, amount), *self._waits(event))]
        return [one for one in found if (one.label, one.over) != (choice.label, choice.over)]

    def receiver(self, choice: Choice) -> str | None:
        """Where the late event arrives."""
        if choice.kind == "order":
            return choice.place[0]
        event = self.made.get(choice.site)
        return None if event is None else event.receiver

    def _effects(self, label: str) -> Iterator[str]:
        for run in self.runs:
            place = run.places.get(label)
            if place is not None:
                yield from (run.labels[n] for n in range(place + 1, run.happened) if run.causes[n] == place)

    def _causes(self, label: str) -> Iterator[str]:
        for run in self.runs:
            place = run.places.get(label)
            if place is not None and run.causes[place] >= 0:
                yield run.labels[run.causes[place]]

    def delays(self, label: str, late_us: int) -> Iterator[Choice]:
        """The choice that ``label`` is late by so much, or by as much as it can be; none where it cannot."""
        event = self.made.get(label)
        if event is not None and event.delay_limit_us:
            late_us = min(late_us, event.delay_limit_us)
            yield Choice(f"{label}@delay", late_us, event.delay_limit_us + 1, key_of([label]), f"{late_us} us")

    def _waits(self, label: str) -> Iterator[Choice]:
        """Until the one has come before which it came last; where it cannot be late."""
        run = self.runs[-1]
        place = run.places.get(label)
        if place is None or (label in self.made and self.made[label].delay_limit_us):
            return
        receiver = run.receivers[place]
        before = next((n for n in range(place - 1, -1, -1) if run.receivers[n] == receiver), None)
        if receiver is not None and before is not None:
            yield Choice(f"{receiver}#0+{place}", 1, 2, 0, run.labels[before], label, 2)


def by_stand_ins(attempts: Attempts) -> None:
    """Tell one choice of the best in other words, where another one becomes superfluous by that."""
    if len(attempts.best) < MANY:
        return
    rest = [choice for choice in attempts.best if choice.kind not in ("order", "delay")]
    plain, failing = (attempts.looked_at(choices) for choices in (rest, attempts.best))
    telling = Telling((plain.profile().run, failing.profile().run), {**plain.made, **failing.made})
    for choice in attempts.best:
        for other in telling.stand_ins(choice):
            told = attempts.failing([other if one is choice else one for one in attempts.best])
            if told is None:
                continue
            if len(told) < len(attempts.best) and attempts.take(told):
                return
            # What arrives at the same place first: two there have most often made up for each other.
            others = [one for one in told if (one.label, one.over) != (other.label, other.over)]
            others.sort(key=lambda one: telling.receiver(one) != telling.receiver(choice))
            for gone in others:
                if attempts.shorter([one for one in told if one is not gone]):
                    return


def by_one_late(attempts: Attempts) -> None:
    """One message that is late, as much as it can be or as the latest of the best is, may do what all of them do.

    What is late at several places has most often been in the way of something else that was late.
    """
    late_us = max((choice.value for choice in attempts.best if choice.kind == "delay"), default=0)
    if len(attempts.best) < MANY or not late_us:
        return
    rest = [choice for choice in attempts.best if choice.kind not in ("order", "delay")]
    plain = attempts.looked_at(rest)
    telling = Telling((plain.profile().run,), plain.made)
    places = {telling.receiver(choice): None for choice in attempts.best}
    labels = sorted(plain.made, key=lambda label: plain.made[label].receiver not in places)
    limit_us = max((plain.made[label].delay_limit_us for label in labels), default=0)
    ones = [one for amount in (limit_us, late_us) for label in labels for one in telling.delays(label, amount)]
    any(attempts.shorter([*rest, one]) for one in list(dict.fromkeys(ones))[:_ONES])


def _late(choice: Choice) -> str:
    """The event that comes later than it would by default; nothing where that is not said."""
    if choice.kind == "delay":
        return choice.site
    return choice.over if choice.kind == "order" and choice.pick != THE_END else ""

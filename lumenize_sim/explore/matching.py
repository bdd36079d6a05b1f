"""Matching: following a tape after the app was edited.

A strict replay names each event by its label, and each choice by its number at the
receiver.  A log line more, one more await or call, and both have moved, although the race is
still there.  So the events of the new run are matched with those of the recorded one as
they are made: by label where the cause is the same too, else by what they came of, which
survives renumbering.  Then a choice is no longer "at arrival 5" but what it meant: what
came after the picked event at that receiver waits until the picked event has come.  New events, which match
nothing, wait for nobody.  A fault falls at the same distance from the event that it followed.
What makes two events the same is told in `lumenize_sim.explore.matcher`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from lumenize_sim.explore.matcher import Matcher, contents_of
from lumenize_sim.explore.profile import Noting
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import EVERYTHING, THE_END, FreeChooser, Strategy
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guide import NobodyWaits
from lumenize_sim.kernel.guided import Guide, GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan, place_of
from lumenize_sim.kernel.tape import Tape

__all__ = ["Match", "MatchingChooser", "MatchingPlan", "Recording", "anchors_of"]


@attrs.frozen
class Match:
    """What became of one choice of a tape.

    Attributes:
        choice: the tape's.
        how: ``exact`` (label and cause), ``cause`` (it has another number now, and comes of the same event),
            ``label`` (its label, of another cause), ``number`` (the n-th at its place, as on the tape) or
            ``dropped`` (nothing of the kind came).
        found: what it is called in the new run.
    """

    choice: Choice
    how: str
    found: str = ""

    def __str__(self) -> str:
        if self.how == "dropped":
            return f"dropped, nothing matches it: {self.choice.describe()}"
        by = {
            "exact": "label and cause",
            "cause": f"its cause, now {self.found}",
            "label": "its label alone",
            "number": "its number alone",
        }
        return f"matched by {by[self.how]}: {self.choice.describe()}"


class _Guide(NobodyWaits):
    """What came after a picked event waits for it; so does what waited for several, the last of which was picked."""

    strict = False

    def __init__(self, tape: Tape, matcher: Matcher) -> None:
        self.late: Mapping[str, int] = {c.site: c.value for c in tape.choices if c.kind == "delay"}
        self._matcher = matcher
        self._waits: dict[str, list[tuple[int, Choice]]] = {}
        self.dropped: list[Choice] = []
        for choice in tape.choices:
            if choice.kind == "order":
                receiver = choice.place[0]
                place = matcher.many if choice.pick == THE_END else matcher.position(choice.pick)
                if place >= 0:
                    self._waits.setdefault(receiver, []).append((place, choice))
                else:
                    self.dropped.append(choice)
        for waits in self._waits.values():
            waits.sort(key=lambda wait: wait[0])

    def receivers(self) -> Sequence[str]:
        """Those where something is still waited for."""
        return [receiver for receiver in self._waits if self._first(receiver) is not None]

    def _first(self, receiver: str) -> int | None:
        waits = self._waits.get(receiver)
        while waits and self._matcher.happened(waits[0][0]):
            waits.pop(0)
        return waits[0][0] if waits else None

    def want(self, receiver: str, index: int, candidates: Callable[[], list[str]]) -> str | None:
        """The first candidate that need not wait; ``""`` where all must, ``None`` where the default need not."""
        place = self._first(receiver)
        if place is None:
            return None
        labels = candidates()
        for label in labels:
            n = self._matcher.found(label)
            if n is None or n <= place:
                return None if label == labels[0] else label
        return "" if labels else None

    def skip(self, receiver: str, index: int) -> None:
        """What is waited for does not come."""
        self.dropped.append(self._waits[receiver].pop(0)[1])

    def met(self, receiver: str, index: int) -> bool:
        """Nothing has to become a choice again: the order of the run does."""
        return False


class MatchingChooser(GuidedChooser):
    """First come, first served, except for what a tape says, whatever it is called now; then a strategy, if given."""

    def __init__(self, tape: Tape, matcher: Matcher, strategy: Strategy | None = None) -> None:
        self.waits = _Guide(tape, matcher)
        super().__init__(self.waits, total=bool(tape.options.get("total")))
        self.matcher = matcher
        self._free = None if strategy is None else FreeChooser(strategy)
        if self._free is not None:
            self._free.log, self._free.late = self.log, self.late

    def created(self, event: Event) -> None:
        """Match it."""
        receiver = EVERYTHING if self.total else event.receiver
        self.matcher.made(event.label, receiver, self.log[-1][1] if self.log else "", contents_of(event.about))
        if self._free is not None:
            self._free.created(event)

    def lateness_us(self, event: Event) -> int:
        """The tape's, of the event that it was there."""
        late = self.waits.late.get(self.matcher.old(event.label), 0)
        if late and event.delay_limit_us:
            late = self.late[event.label] = min(late, event.delay_limit_us)
            return late
        return 0 if self._free is None else self._free.lateness_us(event)

    def pick(self, agenda: Agenda) -> Any:
        """See `GuidedChooser`; on from the last choice as the strategy likes."""
        free = self._free is not None and not self.waits.receivers()
        picked = self._free.pick(agenda) if free and self._free is not None else super().pick(agenda)
        if isinstance(picked, Event):
            self.matcher.happens(picked.label)
        return picked

    def matches(self, tape: Tape, plan: FaultPlan) -> list[Match]:
        """What became of each choice of the tape."""
        fired = {choice.label for choice in plan.fired}
        found: list[Match] = []
        for choice in tape.choices:
            if choice.kind == "fault":
                found.append(_fault_match(choice, plan, fired))
                continue
            if choice.kind == "task":
                found.append(Match(choice, "number", choice.label))
                continue
            label = choice.site if choice.kind == "delay" else choice.pick
            if label == THE_END:
                found.append(Match(choice, "exact", THE_END))
                continue
            name, how = self.matcher.name(self.matcher.position(label))
            found.append(Match(choice, "dropped" if choice in self.waits.dropped else how, name))
        return found


def _fault_match(choice: Choice, plan: FaultPlan, fired: set[str]) -> Match:
    if choice.label in fired:
        return Match(choice, "exact", choice.label)
    moved = plan.moved.get(choice.label, "") if isinstance(plan, MatchingPlan) else ""
    return Match(choice, "cause" if moved else "dropped", moved)


class MatchingPlan(FaultPlan):
    """The faults of a tape, each as far behind the event that it followed as it was then.

    Attributes:
        moved: label on the tape to label here, where that is another.
    """

    __slots__ = ("_matcher", "_near", "moved")

    def __init__(self, planned: Mapping[str, int], tape: Tape, matcher: Matcher) -> None:
        super().__init__(planned, slide=True)
        self._matcher = matcher
        self.moved: dict[str, str] = {}
        self._near: dict[tuple[str, str], list[list[Any]]] = {}
        for label, value in planned.items():
            anchor, since = tape.anchors.get(label, (-1, int(label.rpartition("#")[2])))
            self._near.setdefault(place_of(label), []).append([anchor, since, value, label])

    def _slid(self, place: tuple[str, str], nth: int) -> int:
        for fault in self._near.get(place, ()):
            anchor, since, value, label = fault
            if anchor >= 0 and not self._matcher.happened(anchor):
                continue
            if since > 0:
                fault[1] -= 1
                continue
            self._near[place].remove(fault)
            here = f"{label.rpartition('#')[0]}#{nth}"
            if here != label:
                self.moved[label] = here
            return int(value)
        return 0


class Recording(Noting):
    """Keeps beside the choices of a run what it takes to match it with another one."""

    def __init__(self, guide: Guide | None = None, *, total: bool = False) -> None:
        super().__init__(guide, total=total)
        self._about: dict[str, str] = {}

    def created(self, event: Event) -> None:
        """Note it, and what it carries, which is gone once it has arrived."""
        super().created(event)
        said = contents_of(event.about)
        if said:
            self._about[event.label] = said

    @property
    def left(self) -> tuple[tuple[str | None, str], ...]:
        """What was made and did not arrive."""
        happened = {label for _, label in self.log}
        return tuple((event.receiver, label) for label, event in self.made.items() if label not in happened)

    @property
    def causes(self) -> tuple[int, ...]:
        """For all that happened and all that is left, the position of what made it."""
        places = {label: n for n, (_, label) in enumerate(self.log)}
        labels = [label for _, label in [*self.log, *self.left]]
        causes = [places.get(self.parents.get(label, ""), -1) for label in labels]
        return tuple(cause if cause < n else -1 for n, cause in enumerate(causes))

    @property
    def about(self) -> tuple[str, ...]:
        """For all of them what it carries."""
        return tuple(self._about.get(label, "") for _, label in [*self.log, *self.left])


def anchors_of(plan: FaultPlan, log: Sequence[tuple[str | None, str]]) -> dict[str, tuple[int, int]]:
    """For each fault that happened the arrival at its target before it, and how many boundaries lay between."""
    found: dict[str, tuple[int, int]] = {}
    for choice in plan.fired:
        place = place_of(choice.label)
        trail = plan.trail.get(place)
        if not trail:
            continue
        nth = plan.census[place].index(int(choice.label.rpartition("#")[2]))
        before = trail[nth]
        at = [n for n in range(before) if log[n][0] == place[1]]
        anchor = at[-1] if at else before - 1
        found[choice.label] = (anchor, sum(anchor < here for here in trail[:nth]))
    return found

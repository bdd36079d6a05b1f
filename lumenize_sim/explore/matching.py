"""Matching: following a tape after the app was edited.

A strict replay names each event by its label, and each choice by its number at the
receiver.  A log line more, one more await or call, and both have moved, although the race is
still there.  So the events of the new run are matched with those of the recorded one as
they are made: by label where the cause is the same too, else by what they came of, which
survives renumbering.  Then a choice is no longer "at arrival 5" but what it meant: what
came after the picked event at that receiver waits until the picked event has come.  New events, which match
nothing, wait for nobody.  A fault falls at the same distance from the event that it followed.

An event is what it was if it has the same shape (the label without its counters), the same receiver, the same
contents as far as they are named (the method of a call, what a frame carries), and
comes of the same event; or of something new that came of that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from lumenize_sim.explore.profile import Noting
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import EVERYTHING, THE_END, FreeChooser, Strategy
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guide import NobodyWaits
from lumenize_sim.kernel.guided import Guide, GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan, place_of
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.world.network import SimCall

__all__ = ["Match", "Matcher", "MatchingChooser", "MatchingPlan", "Recording", "anchors_of", "contents_of", "shape_of"]

_KEY = re.compile(r'"type":"get","key":"([^"]+)"')
_TYPE = re.compile(r'^\{"type":"([^"]+)"')
_COUNTERS = re.compile(r"(?<=#)\d+|(?<=\^)\d+|(?<=~)\d+|(?<=!timer)\d+|(?<=!section)\d+|(?<=v)\d+(?=\Z|/)")


def shape_of(label: str) -> str:
    """A label without its counters; names keep their numbers."""
    return _COUNTERS.sub("*", label)


def contents_of(about: Any) -> str:
    """What an event carries, in a word: the method of a call, what a frame is for."""
    if isinstance(about, SimCall):
        return about.subject
    if isinstance(about, str):
        found = _KEY.search(about) or _TYPE.search(about)
        return "" if found is None else found.group(1)
    return ""


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


class Matcher:
    """Which event of a tape is which of a run, as the run makes them."""

    def __init__(self, tape: Tape) -> None:
        entries = [*tape.log, *tape.left]
        self.many = len(tape.log)
        self._labels = [label for _, label in entries]
        self._receivers = [receiver for receiver, _ in entries]
        self._causes = list(tape.causes) or [-1] * len(entries)
        self._about = list(tape.about) or [""] * len(entries)
        self._caused = bool(tape.causes)
        self._shapes = [shape_of(label) for label in self._labels]
        self._by_label: dict[str, list[int]] = {}
        self._by_shape: dict[str, list[int]] = {}
        for n, label in enumerate(self._labels):
            self._by_label.setdefault(label, []).append(n)
            self._by_shape.setdefault(self._shapes[n], []).append(n)
        self._parents: dict[str, str] = {}
        self._found: dict[str, int] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._happened: dict[int, None] = {}

    def position(self, label: str) -> int:
        """Of an event of the tape, by its label there; -1 for none."""
        return next(iter(self._by_label.get(label, ())), -1)

    def made(self, label: str, receiver: str | None, parent: str, about: str) -> None:
        """The run has made an event, during ``parent``."""
        self._parents[label] = parent
        anchor = self._anchor(parent)
        for how, places in self._candidates(label, anchor):
            for n in places:
                if (
                    n not in self._names
                    and self._receivers[n] in (receiver, EVERYTHING)
                    and (not about or not self._about[n] or about == self._about[n])
                ):
                    self._found[label] = n
                    self._names[n] = (label, how)
                    return

    def _candidates(self, label: str, anchor: int) -> Iterator[tuple[str, Sequence[int]]]:
        same = self._by_label.get(label, ())
        alike = self._by_shape.get(shape_of(label), ())
        if not self._caused:
            yield "label", same
            yield "cause", alike
            return
        yield "exact", [n for n in same if self._causes[n] == anchor]
        yield "cause", [n for n in alike if self._causes[n] == anchor]
        yield "label", same
        yield "cause", [n for n in alike if self._descends(n, anchor)]

    def _anchor(self, label: str) -> int:
        """The nearest event of the tape that ``label`` is, or comes of."""
        while label and label not in self._found:
            label = self._parents.get(label, "")
        return self._found.get(label, -1)

    def _descends(self, n: int, ancestor: int) -> bool:
        while n >= 0:
            n = self._causes[n]
            if n == ancestor:
                return True
        return False

    def happens(self, label: str) -> None:
        """The run has come to an event."""
        n = self._found.get(label)
        if n is not None:
            self._happened[n] = None

    def happened(self, n: int) -> bool:
        """Whether the tape's event at ``n`` has happened here."""
        return n in self._happened

    def found(self, label: str) -> int | None:
        """The position on the tape of an event of the run, if it is there."""
        return self._found.get(label)

    def name(self, n: int) -> tuple[str, str]:
        """What the tape's event at ``n`` is called here, and how it was matched; empty where it is not."""
        return self._names.get(n, ("", "dropped"))

    def old(self, label: str) -> str:
        """What an event of the run was called on the tape."""
        n = self._found.get(label)
        return label if n is None else self._labels[n]


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

"""Who decides what happens next: a strategy that roams, or a guide that follows an order.

**Free.**  A strategy may pick any enabled event, or let time pass over messages that
may plausibly be that slow.  The only thing kept is the sequence of arrivals.

**Guided.**  First come, first served, except that a receiver may be held until a
certain event arrives there.  Two things make this the heart of the whole design:

*Only the order per receiver matters.*  Events that arrive at different actors commute
(what one turn does reaches another actor only through a later event), so two runs
with the same order at every receiver are one behaviour.  A roaming run is therefore
turned into a tape by running it again, guided by its orders per receiver.

*The guide records where it was needed.*  While it holds a receiver R for event L and
passes over some other event for R, the default would have gone wrong here: that is
one choice.  Where it never passes anything over, first come, first served would have
done the same and nothing is written.  The sparse tape replays the run step by step:
at each step both pick the oldest event that is not held, and the events held are the
same.  For suppose that the tape lets go of an event x for R that the orders held back.
Then R was passed over there, so its next arrival became a choice, and the tape holds R
until the candidates are those of that choice.  (Where R's turn never came again, the
choice says that nothing more arrives there.)

*One event may wait for several.*  A choice that spans several arrivals says who waits, and
until which of them has come; the others go by default.  It begins where its event is passed
over first, with the candidates of that moment, and is over after as many arrivals.

A message that was still under way when time passed is *late*: the lateness is a
choice of its own, and time itself then moves only when nothing else can happen.  So a
step of the clock, on which every reader of the clock depends, never needs recording.

Events of the driver (``receiver`` None) may touch any actor, so they take a place in
the order of every receiver, and in an order of their own.  First come, first served
holds at every receiver: while an event of the driver is held for one of them, younger
events do not overtake it at the others, unless the guide says so.

A run that is watched after every turn (an ``always`` monitor reads several actors at
once) sees the order between actors too.  Such a run is guided in *total* order: all
events are taken to have one receiver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs

from lumenize_sim.errors import SimulatorError
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.choice import Choice, key_of
from lumenize_sim.kernel.chooser import (
    DRIVER,
    EVERYTHING,
    THE_END,
    Diverged,
    FreeChooser,
    Strategy,
    _TimeStep,
)
from lumenize_sim.kernel.event import Event

__all__ = ["FollowingChooser", "Guide", "GuidedChooser", "describe_want"]


class Guide(Protocol):
    """An order to follow.

    Attributes:
        strict: stop at the first difference instead of going on by default.
    """

    strict: bool

    @property
    def late(self) -> Mapping[str, int]:
        """Messages that are late: label to microseconds."""
        ...

    @property
    def waiting(self) -> Mapping[str, Mapping[str, Choice]]:
        """By receiver, the labels of events that have to let others go first, and by which choice."""
        ...

    def overtaken(self, receiver: str, label: str, by: str, there: bool) -> bool:
        """``by`` arrives while ``label`` waits, which could have come if ``there``.  True if it has waited enough."""
        ...

    def let_go(self, receiver: str, label: str) -> None:
        """``label`` need not wait: it comes, or nothing else can."""
        ...

    def want(self, receiver: str, index: int, candidates: Any) -> str | None:
        """The label that must be arrival ``index`` at ``receiver``.

        ``""`` for one that cannot be named yet; ``None`` where the default is right.
        """
        ...

    def receivers(self) -> Sequence[str]:
        """Receivers whose order is given somewhere."""
        ...

    def skip(self, receiver: str, index: int) -> None:
        """The wanted event will not come: go on without it."""
        ...

    def met(self, receiver: str, index: int) -> bool:
        """Arrival ``index`` at ``receiver`` happens.  True where it must become a choice again."""
        ...


class GuidedChooser:
    """First come, first served, holding receivers as the guide says; records where that mattered."""

    def __init__(self, guide: Guide | None = None, *, total: bool = False) -> None:
        self.guide = guide
        self.total = total
        self.log: list[tuple[str | None, str]] = []
        self.late: dict[str, int] = {}
        self._choices: list[Choice] = []
        self._agenda: Agenda | None = None
        self._count: Counter[str] = Counter()
        self._driver = 0
        self._blocked: dict[str, None] = {}
        self._spans: dict[tuple[str, str], int] = {}  # who waits, to the position of that choice

    def created(self, event: Event) -> None:
        """Nothing to prepare."""

    def lateness_us(self, event: Event) -> int:
        """Microseconds that ``event`` is under way by the guide."""
        if self.guide is None or not event.delay_limit_us:
            return 0
        late = self.guide.late.get(event.label, 0)
        if late:
            self.late[event.label] = late
            label = f"{event.label}@delay"
            self._choices.append(Choice(label, late, event.delay_limit_us + 1, key_of([event.label]), f"{late} us"))
        return late

    def pick(self, agenda: Agenda) -> Event | _TimeStep | None:
        """The oldest event that is not held, taken off the agenda; ``None`` when all are held."""
        enabled = agenda.enabled
        if not enabled:
            return None
        guide = self.guide
        if guide is None:
            event = enabled.pop(0)
            self.log.append((EVERYTHING if self.total else event.receiver, event.label))
            return event
        self._agenda = agenda
        wants: dict[str, str | None] = {}
        overtaking = False  # some event of the driver is held

        def want(receiver: str) -> str | None:
            if receiver not in wants:
                index = self._count[receiver] + self._driver
                wants[receiver] = guide.want(receiver, index, lambda: self._rivals(agenda, receiver))
            return wants[receiver]

        for position, event in enumerate(enabled):
            receiver = EVERYTHING if self.total else event.receiver
            if receiver is None:
                if overtaking and want(DRIVER) != event.label:
                    continue
                held = [r for r in guide.receivers() if (w := want(r)) is not None and w != event.label]
                if held:
                    overtaking = True
                    first = want(DRIVER)
                    for r in held:
                        # Who waits for the driver's next event follows from the driver's own order.
                        if r == DRIVER or not first or want(r) != first:
                            self._blocked[r] = None
                    continue
            else:
                wanted = want(receiver)
                if wanted is None:
                    if overtaking or (guide.waiting and event.label in guide.waiting.get(receiver, ())):
                        continue
                elif wanted != event.label:
                    if not overtaking:
                        self._blocked[receiver] = None
                    continue
            self._deliver(agenda, position)
            return event
        return None

    def _rivals(self, agenda: Agenda, receiver: str) -> list[str]:
        if self.total:
            return [e.label for e in agenda.enabled]
        if receiver == DRIVER:
            return [e.label for e in agenda.enabled if e.receiver is None]
        return [e.label for e in agenda.enabled if e.receiver == receiver or e.receiver is None]

    def _deliver(self, agenda: Agenda, position: int) -> None:
        event = agenda.enabled[position]
        receiver = EVERYTHING if self.total else event.receiver
        guide = self.guide
        assert guide is not None
        for r in sorted({*guide.receivers(), *self._blocked}) if receiver is None else [receiver]:
            index = self._count[r] + self._driver
            chosen = guide.met(r, index)
            waiting = guide.waiting.get(r) if guide.waiting else None
            if waiting and guide.strict and not all((r, label) in self._spans for label in waiting):
                self._blocked.pop(r, None)  # it was held for those to be there who have to wait from here on
            if waiting:
                self._overtake(r, index, event.label, self._rivals(agenda, r))
            if r in self._blocked or chosen:
                self._blocked.pop(r, None)
                rivals = self._rivals(agenda, r)
                value = rivals.index(event.label)
                # Value 0 where what was passed over has been called off since, or has become the younger one.
                over = rivals[0] if value else ""
                if waiting and over in waiting:  # it is no news that those come later
                    over = next((other for other in rivals[:value] if other not in waiting), over)
                self._choices.append(Choice(f"{r}#{index}", value, len(rivals), key_of(rivals), event.label, over))
        del agenda.enabled[position]
        self.log.append((receiver, event.label))
        if receiver is None:
            self._driver += 1
        else:
            self._count[receiver] += 1

    def _overtake(self, receiver: str, index: int, label: str, rivals: list[str]) -> None:
        """``label`` arrives while others have to wait."""
        guide = self.guide
        assert guide is not None
        for other in list(guide.waiting[receiver]):
            if other == label:
                guide.let_go(receiver, label)
                self._spans.pop((receiver, label), None)
                continue
            there = other in rivals
            if there:
                position = self._spans.get((receiver, other))
                if position is None:
                    self._spans[receiver, other] = len(self._choices)
                    value = (
                        rivals.index(label) or 1
                    )  # 0 where an older one came first: who waits would have come, later
                    self._choices.append(
                        Choice(f"{receiver}#{index}+", value, len(rivals), key_of(rivals), label, other)
                    )
                else:
                    so_far = self._choices[position]
                    self._choices[position] = attrs.evolve(so_far, pick=label, spans=so_far.spans + 1)
            if guide.overtaken(receiver, other, label, there):
                self._spans.pop((receiver, other), None)

    @property
    def choices(self) -> list[Choice]:
        """What is not the default, so far.

        A receiver that is held now and whose turn has not come: were this the end, nothing more arrives there.
        """
        ends: list[Choice] = []
        for r in sorted(self._blocked):
            assert self._agenda is not None
            rivals = self._rivals(self._agenda, r)
            label = f"{r}#{self._count[r] + self._driver}"
            over = rivals[0] if rivals else ""
            ends.append(Choice(label, len(rivals), len(rivals) + 1, key_of([*rivals, THE_END]), THE_END, over))
        choices = list(self._choices)
        for position in self._spans.values():
            # Were this the end, who waits would never come: it waits for one more.
            choices[position] = attrs.evolve(choices[position], spans=choices[position].spans + 1)
        return [*_numbered(choices), *ends]

    def stuck(self, agenda: Agenda) -> bool:
        """Everything enabled is held.  Lets go of the oldest event, or says how the run differs.

        Returns True when something may be picked now.

        Raises:
            Diverged: the guide is strict.
        """
        guide = self.guide
        if guide is None or not agenda.enabled:
            return False
        event = agenda.enabled[0]
        receiver = EVERYTHING if self.total else event.receiver
        receivers = list(guide.receivers()) if receiver is None else [receiver]
        for receiver in receivers:
            index = self._count[receiver] + self._driver
            wanted = guide.want(receiver, index, lambda r=receiver: self._rivals(agenda, r))
            if wanted is None and event.label in guide.waiting.get(receiver, ()):
                if guide.strict:
                    choice = guide.waiting[receiver][event.label]
                    expected = f"{choice.pick} to come before {event.label}"
                    raise Diverged(
                        f"{receiver}#{index}", expected, ", ".join(self._rivals(agenda, receiver)), event.where
                    )
                guide.let_go(receiver, event.label)
                self._spans.pop((receiver, event.label), None)
                return True
            if wanted is None or wanted == event.label:
                continue
            if guide.strict:
                rivals = self._rivals(agenda, receiver)
                expected = describe_want(guide, receiver, index, wanted)
                raise Diverged(f"{receiver}#{index}", expected, ", ".join(rivals), event.where)
            guide.skip(receiver, index)
            return True
        raise SimulatorError(f"nothing holds {event.label}, and yet it was not picked")


class FollowingChooser(GuidedChooser):
    """Guided while the guide still has something to say, then a strategy roams.

    For going on from a tape: its prefix is followed by label, whatever has changed since.
    """

    def __init__(self, guide: Guide, strategy: Strategy) -> None:
        super().__init__(guide)
        self._free = FreeChooser(strategy)
        self._free.log = self.log
        self._free.late = self.late

    def created(self, event: Event) -> None:
        """The strategy knows every event from its beginning."""
        self._free.created(event)

    def lateness_us(self, event: Event) -> int:
        """The tape's, else the strategy's."""
        return super().lateness_us(event) or self._free.lateness_us(event)

    def pick(self, agenda: Agenda) -> Event | _TimeStep | None:
        """As the guide says, while it says anything."""
        assert self.guide is not None
        return super().pick(agenda) if self.guide.receivers() else self._free.pick(agenda)


def _numbered(choices: list[Choice]) -> list[Choice]:
    """Each with a label of its own: several may begin to wait at one arrival, and to let one go first is a pick."""
    numbers: Counter[str] = Counter()
    named: dict[str, Choice] = {}
    for choice in choices:
        label = choice.label
        if label.endswith("+"):
            label = label[:-1]
            if choice.spans > 1:
                number = numbers[label]
                numbers[label] += 1
                label = f"{label}+{number}"
            choice = attrs.evolve(choice, label=label)
        named.setdefault(label, choice)
    return list(named.values())


def describe_want(guide: Guide, receiver: str, index: int, wanted: str) -> str:
    """What the guide waits for, in words."""
    describe = getattr(guide, "describe", None)
    if describe is not None:
        text: str = describe(receiver, index)
        return text
    return wanted

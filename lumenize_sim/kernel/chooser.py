"""What the kernel asks which event comes next, and the answer of a run that roams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.event import Event

__all__ = ["DRIVER", "EVERYTHING", "THE_END", "TIME_STEP", "Chooser", "Diverged", "FreeChooser", "Strategy"]

#: The order of the driver's events among themselves.
DRIVER = "driver"


#: The one receiver of a run in total order.
EVERYTHING = "*"


#: What comes first where nothing more arrives.
THE_END = "the end"


class Strategy(Protocol):
    """How a roaming run picks.

    One that wants to know each event that happens, also where there was nothing to pick,
    has a method ``happens(event)`` as well; it is called before what the event makes is `created`.
    One that says of each message how long it is under way has ``lateness_us(event)``.
    """

    def created(self, event: Event) -> None:
        """``event`` has become known (it may not be enabled yet)."""
        ...

    def pick(self, enabled: Sequence[Event], time_step: bool) -> int:
        """Index of the event to happen next; ``len(enabled)`` lets time pass, allowed where ``time_step``."""
        ...


class Diverged(Exception):
    """A strict replay stands before a decision that its tape does not know.

    Attributes:
        expected, found: both contexts in words.
        where: file:line of the app code nearest to the difference, where known.
    """

    def __init__(self, at: str, expected: str, found: str, where: str | None = None) -> None:
        super().__init__(f"replay diverged at {at}: the tape expects {expected}; this run has {found}")
        self.at, self.expected, self.found, self.where = at, expected, found, where


class _TimeStep:
    def __repr__(self) -> str:
        return "TIME_STEP"


TIME_STEP = _TimeStep()


class Chooser(Protocol):
    """What the kernel asks.

    Attributes:
        log: arrivals so far, ``(receiver or None, label)``.
        late: messages that were made late, label to microseconds.
    """

    log: list[tuple[str | None, str]]
    late: dict[str, int]

    def pick(self, agenda: Agenda) -> Event | _TimeStep | None: ...
    def created(self, event: Event) -> None: ...
    def lateness_us(self, event: Event) -> int: ...
    def stuck(self, agenda: Agenda) -> bool: ...


class FreeChooser:
    """Lets a strategy roam and keeps the order of arrivals."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.created = strategy.created
        self.log: list[tuple[str | None, str]] = []
        self.late: dict[str, int] = {}
        self._timed = getattr(strategy, "lateness_us", None)
        self._happens = getattr(strategy, "happens", None)

    def lateness_us(self, event: Event) -> int:
        """Microseconds that the network takes over ``event``, where the strategy draws that."""
        if self._timed is None or not event.delay_limit_us:
            return 0
        late: int = self._timed(event)
        if late:
            self.late[event.label] = late
        return late

    def pick(self, agenda: Agenda) -> Event | _TimeStep | None:
        """The strategy's pick, taken off the agenda."""
        enabled = agenda.enabled
        if not enabled:
            return None
        step = False
        due = agenda.next_due_us()
        if due is not None:
            step = all(e.delay_limit_us and due - e.sent_us <= e.delay_limit_us for e in enabled)
        if len(enabled) == 1 and not step:
            event = enabled.pop()
        else:
            index = self.strategy.pick(enabled, step)
            if index == len(enabled) and step:
                assert due is not None
                for event in enabled:
                    self.late[event.label] = due - event.sent_us
                    agenda.wait(event, due, late=True)
                enabled.clear()
                return TIME_STEP
            event = enabled.pop(index)
        self.log.append((event.receiver, event.label))
        if self._happens is not None:
            self._happens(event)
        return event

    def stuck(self, agenda: Agenda) -> bool:
        """A roaming run holds nothing back."""
        return False

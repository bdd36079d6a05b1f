"""What happened in one run, and what could have: the material that races are made of.

A run is a sequence of steps.  A step is an event that happens, or a *time step*: time
passes over messages that may plausibly be that slow.  Of every event the record keeps
by whose turn it was made, from when to when it could have happened, and for which times
it waited, so that it can be asked afterwards what was possible at any state of the run,
also at states that the run went through in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from lumenize_sim.explore.wakeup import Path
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.chooser import EVERYTHING, TIME_STEP, Diverged
from lumenize_sim.kernel.event import Event

__all__ = ["NEVER", "TIME", "Happening", "Recording", "Step"]

#: The label of a time step; no event has it.
TIME: Final = ""
#: A step that does not come.
NEVER: Final = 1 << 60


class Happening:
    """What became of one event.

    Attributes:
        scope: its receiver; events of one scope depend on each other, and one without a scope on everything.
        creator: the step whose turn made it, -1 for none.
        enabled: when it could happen, as ``[after which step, until which]``; at the latter it happened, or was
            called off, or made late.
        waits: for which times it waited, as ``[after which step, time, called off by which]``.
        step: when it happened, -1 if it did not.
    """

    __slots__ = ("_open", "_waited", "_waiting", "creator", "enabled", "event", "scope", "step", "waits")

    def __init__(self, event: Event, scope: str | None, creator: int) -> None:
        self.event = event
        self.scope = scope
        self.creator = creator
        self.enabled: list[list[int]] = []
        self.waits: list[list[int]] = []
        self.step = -1
        self._open = False
        self._waiting = False
        self._waited = 0

    def observe(self, enabled: bool, last: int) -> None:
        """Its state after step ``last``."""
        event = self.event
        if enabled is not self._open:
            self._open = enabled
            if enabled:
                self.enabled.append([last, NEVER])
            else:
                self.enabled[-1][1] = last
        if event.waits != self._waited:
            # Also where it has waited and fallen due since it was last looked at.
            self._waited = event.waits
            self.waits.append([last, event.due_us, NEVER])
            self._waiting = True
        if self._waiting and not event.waiting:
            self._waiting = False
            if not enabled:
                self.waits[-1][2] = last

    def happens(self, step: int) -> None:
        """At this step."""
        self.step = step
        self.enabled[-1][1] = step
        self._open = False


@attrs.frozen(eq=False)
class Step:
    """One step of a run.

    Attributes:
        label, scope: of its event; a time step has neither.
        at_us: virtual time.
        barrier: it could not come before anything that did: time had passed, or it waited for everything else.
        after: the steps that had to come before it, -1 for none: its creator, whatever made it possible, its
            predecessor on a link.
        happening: its event, ``None`` for a time step.
    """

    label: str
    scope: str | None
    at_us: int
    barrier: bool
    after: tuple[int, ...]
    happening: Happening | None


class Recording:
    """The chooser of an exhaustive search: follows a `Path` to its end, then first come, first served.

    Args:
        path: the states from the beginning, and what is to be run from them.
        total: every order matters, as monitors watch.
        at_most: break the run off after so many steps.

    Attributes:
        steps: what happened.
        known: all events that became known, in order.
        log, late: see `Chooser`.
    """

    def __init__(self, path: Path, *, total: bool, at_most: int = NEVER) -> None:
        self.path = path
        self.at_most = at_most
        self.total = total
        self.steps: list[Step] = []
        self.known: list[Happening] = []
        self.log: list[tuple[str | None, str]] = []
        self.late: dict[str, int] = {}
        self._of: dict[Event, Happening] = {}
        self._alive: list[Happening] = []
        self._links: dict[Any, int] = {}
        self._now = 0
        self._gaps: list[tuple[int, int]] = []  # how far away a timer was that no message may be late for: step, us

    def created(self, event: Event) -> None:
        """Whose turn it is creates the event."""
        happening = Happening(event, EVERYTHING if self.total else event.receiver, len(self.steps) - 1)
        self.known.append(happening)
        self._alive.append(happening)
        self._of[event] = happening

    def lateness_us(self, event: Event) -> int:
        """Messages are made late by time steps only."""
        return 0

    def stuck(self, agenda: Agenda) -> bool:
        """Nothing is held back."""
        return False

    def pick(self, agenda: Agenda) -> Any:
        """The next step of the path."""
        enabled = agenda.enabled
        self._observe(enabled)
        due = agenda.next_due_us()
        passable = due is not None and all(
            event.delay_limit_us and due - event.sent_us <= event.delay_limit_us for event in enabled
        )
        if due is not None and not passable and all(event.delay_limit_us for event in enabled):
            self._gaps.append((len(self.steps), due - agenda.now_us))
        scopes = {event.label: EVERYTHING if self.total else event.receiver for event in enabled}
        label = self.path.step(scopes, passable) if len(self.steps) < self.at_most else None
        if label is None:
            raise Diverged("a state that is gone through elsewhere", "nothing", "nothing")
        if label == TIME:
            assert due is not None
            for event in enabled:
                self.late[event.label] = due - event.sent_us
                agenda.wait(event, due, late=True)
            enabled.clear()
            self.steps.append(Step(TIME, None, agenda.now_us, False, (), None))
            return TIME_STEP
        position = next(n for n, event in enumerate(enabled) if event.label == label)
        event = enabled.pop(position)
        self._happens(event, agenda.now_us)
        return event

    @property
    def late_in_a_row(self) -> bool:
        """Whether several late messages, of which each came of the one before, could have missed a timer.

        Time steps lead to timers only, and a message cannot be late beyond its own limit.
        """
        limits = [step.happening.event.delay_limit_us if step.happening is not None else 0 for step in self.steps]
        rows = limits.copy()  # how late the longest row can be that begins with a step
        latest = [0] * (len(rows) + 1)  # … and with that step or any behind it
        for n in range(len(rows) - 1, -1, -1):
            latest[n] = max(rows[n], latest[n + 1])
            for origin in self.steps[n].after:
                if origin >= 0:
                    rows[origin] = max(rows[origin], limits[origin] + rows[n])
        return any(latest[n] >= gap for n, gap in self._gaps)

    def _observe(self, enabled: Sequence[Event]) -> None:
        last = len(self.steps) - 1
        now = dict.fromkeys(enabled)
        gone = False
        for happening in self._alive:
            happening.observe(happening.event in now, last)
            gone = gone or happening.event.cancelled
        if gone:
            self._alive = [happening for happening in self._alive if not happening.event.cancelled]

    def _happens(self, event: Event, now_us: int) -> None:
        n = len(self.steps)
        happening = self._of.get(event)
        barrier = happening is None or now_us != self._now
        self._now = now_us
        if happening is None:
            # Somebody who waits for quiet: not made by anybody's turn, as it comes after everything.
            happening = Happening(event, None, n - 1)
            happening.enabled.append([n - 1, NEVER])
            self.known.append(happening)
        else:
            self._alive.remove(happening)
        happening.happens(n)
        # What made it possible: often that is its creator, and the driver where it lets go of a link.
        after: tuple[int, ...] = (happening.creator, happening.enabled[-1][0])
        if event.link is not None:
            after += (self._links.get(event.link, -1),)
        if event.link is not None:
            self._links[event.link] = n
        self.steps.append(Step(event.label, happening.scope, now_us, barrier, after, happening))
        self.log.append((happening.scope if self.total else event.receiver, event.label))

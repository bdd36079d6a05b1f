"""Events: what may happen next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Actor", "Event"]


class Actor(Protocol):
    """Where events arrive."""

    @property
    def name(self) -> str:
        """The receiver: events of one receiver race with each other, others do not."""
        ...

    def end_turn(self) -> bool:
        """No task of the turn can go on.  True when the actor has begun its next turn already."""
        ...


class Event:
    """One thing that may happen next: a delivered call, a resumed await, a timer, a flush, a fault.

    Attributes:
        label: stable name, made from its source and a counter there; never from a global step.
        actor: where it arrives and whose turn it begins.
        receiver: the scope in which its order matters; ``None`` for events of the
            driver, which may touch anything and so are ordered against everything.
        fire: begins the turn.  Runs in the kernel's task.
        seq: order of creation; first come, first served is by this.
        sent_us: virtual time at which it was created.
        delay_limit_us: how much later than ``sent_us`` it may plausibly arrive (0: it
            is local and cannot be late).
        due_us: for timers and delayed events, when it becomes enabled.
        background: housekeeping that a settled world need not wait for.
        link: the queue whose head it is, or ``None``.
        waiting, waits: whether the agenda holds it for its time, and how often it did.
        about: what it carries, for matching runs after edits: a call, or the text of a frame.
        not_before_us: local work that takes this long whatever the network does.
    """

    __slots__ = (
        "about",
        "actor",
        "background",
        "cancelled",
        "delay_limit_us",
        "due_us",
        "fire",
        "label",
        "link",
        "not_before_us",
        "priority",
        "receiver",
        "sent_us",
        "seq",
        "waiting",
        "waits",
        "where",
    )

    def __init__(
        self,
        label: str,
        actor: Actor,
        fire: Callable[[], None],
        *,
        receiver: str | None,
        delay_limit_us: int = 0,
        background: bool = False,
        link: Any = None,
    ) -> None:
        self.label = label
        self.actor = actor
        self.receiver = receiver
        self.fire = fire
        self.delay_limit_us = delay_limit_us
        self.background = background
        self.link = link
        self.seq = 0
        self.sent_us = 0
        self.due_us = 0
        self.not_before_us = 0
        self.cancelled = False
        self.waiting = False
        self.waits = 0
        self.priority = 0.0
        self.where: str | None = None
        self.about: Any = None

    def __lt__(self, other: Event) -> bool:
        return self.seq < other.seq

    def __repr__(self) -> str:
        return f"<Event {self.label} at {self.receiver}>"

"""A link: what keeps the order of messages."""

from __future__ import annotations

from collections import deque
from typing import Final

from lumenize_sim.kernel.event import Event

__all__ = ["Link"]

#: What nobody may append to: the queue of a link on which nothing was sent.
_NOTHING: Final[deque[Event]] = deque(maxlen=0)


class Link:
    """A queue whose head alone may arrive: one stub, or one direction of one socket."""

    __slots__ = ("held", "open", "queue")

    def __init__(self) -> None:
        self.queue: deque[Event] = _NOTHING  # an empty deque of its own takes more room than all the rest of a link
        self.held = False
        self.open = True

    def add(self, event: Event) -> None:
        """Behind all others."""
        if self.queue is _NOTHING:
            self.queue = deque()
        self.queue.append(event)

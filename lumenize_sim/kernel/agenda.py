"""The agenda: enabled events in order of creation, and those that wait for a time.

Plain data, no Trio.  Timers sit in a heap keyed (time, class, sequence), so that
equal times fire in the order in which they were set; an event that was made late
over the network comes after the timers that overtook it.
"""

from __future__ import annotations

from bisect import insort
from heapq import heappop, heappush

from lumenize_sim.kernel.event import Event

__all__ = ["Agenda"]

_TIMER, _LATE = 0, 1


class Agenda:
    """Enabled events and waiting ones.

    Attributes:
        now_us: virtual microseconds since the run began.
        enabled: in order of creation.
        foreground: how many waiting events a settled world waits for.
    """

    __slots__ = ("_heap", "_next_seq", "enabled", "foreground", "now_us")

    def __init__(self) -> None:
        self.now_us = 0
        self.enabled: list[Event] = []
        self._heap: list[tuple[int, int, int, int, Event]] = []
        self._next_seq = 0
        self.foreground = 0

    def stamp(self, event: Event) -> None:
        """Give ``event`` its place in the order of creation."""
        event.seq = self._next_seq
        self._next_seq += 1
        event.sent_us = self.now_us

    def enable(self, event: Event) -> None:
        """It may happen from now on."""
        enabled = self.enabled
        if not enabled or enabled[-1].seq < event.seq:
            enabled.append(event)
        else:
            insort(enabled, event)

    def wait(self, event: Event, due_us: int, *, late: bool = False) -> None:
        """It may happen from ``due_us`` on; ``late`` marks a message that is under way that long."""
        event.due_us = due_us
        event.waits += 1
        event.waiting = True
        if not event.background:
            self.foreground += 1
        heappush(self._heap, (due_us, _LATE if late else _TIMER, event.seq, event.waits, event))

    def withdraw(self, event: Event) -> None:
        """Take it off, whether it is enabled or waits; it may be enabled again later."""
        if event.waiting:
            event.waiting = False
            if not event.background:
                self.foreground -= 1
        elif event in self.enabled:
            self.enabled.remove(event)

    def cancel(self, event: Event) -> None:
        """It will not happen.  Idempotent; harmless once it has happened."""
        if not event.cancelled:
            event.cancelled = True
            self.withdraw(event)

    def next_due_us(self, *, foreground: bool = False) -> int | None:
        """The next time at which something becomes enabled, or ``None``."""
        heap = self._heap
        # An entry is stale when its event was withdrawn, or waits again under another number.
        while heap and not (heap[0][4].waiting and heap[0][4].waits == heap[0][3]):
            heappop(heap)
        if not heap:
            return None
        if not foreground or not heap[0][4].background:
            return heap[0][0]
        if self.foreground <= 0:
            return None
        return min(due for due, _, _, nth, e in heap if e.waiting and e.waits == nth and not e.background)

    def advance(self, to_us: int) -> None:
        """Let time pass; what falls due becomes enabled, timers before late messages."""
        self.now_us = max(self.now_us, to_us)
        heap = self._heap
        while heap and heap[0][0] <= self.now_us:
            _, _, _, nth, event = heappop(heap)
            if not event.waiting or event.waits != nth:
                continue
            event.waiting = False
            if not event.background:
                self.foreground -= 1
            # A new place in line: it could not have happened before now, whatever its age.
            event.seq = self._next_seq
            self._next_seq += 1
            self.enabled.append(event)

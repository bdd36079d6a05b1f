"""Timers of one owner: strictly in order of due time, ties in order of creation (TM-4).

Only the earliest one is armed with the host.  The next is armed when the callback of
this one has begun, so that a timer held up at a gate delays all later ones (TM-5), and
other events may come between two that are due at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from lumenize_sim.objects.host import TimerHandle

__all__ = ["OwnerTimers", "Timer"]


class Timer:
    """One timer; ``cancelled`` also while it waits at the gate."""

    __slots__ = ("callback", "cancelled", "due_us", "timers")

    def __init__(self, timers: OwnerTimers, due_us: int, callback: Callable[[], None]) -> None:
        self.timers = timers
        self.due_us = due_us
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Call it off; possible until its callback begins."""
        if not self.cancelled:
            self.cancelled = True
            self.timers.changed()


class OwnerTimers:
    """The timers of one owner.

    Args:
        arm: ``arm(due_us, nth, fire)`` asks the host for one event.
    """

    __slots__ = ("_arm", "_armed", "_fired", "_heap", "_next", "_passing", "dead")

    def __init__(self, arm: Callable[[int, int, Callable[[], None]], TimerHandle]) -> None:
        self._arm = arm
        self._heap: list[tuple[int, int, Timer]] = []
        self._next = 0
        self._fired = 0
        self._armed: tuple[Timer, TimerHandle] | None = None
        self._passing = False
        self.dead = False

    def set(self, due_us: int, callback: Callable[[], None]) -> Timer:
        """A timer; ``callback`` is called when the host's event has happened.

        Call `passed` when its turn has begun: only then is the next one armed.
        """
        timer = Timer(self, due_us, callback)
        heappush(self._heap, (due_us, self._next, timer))
        self._next += 1
        self.changed()
        return timer

    def __len__(self) -> int:
        """Timers whose callback has not begun and that were not called off."""
        return sum(1 for _, _, timer in self._heap if not timer.cancelled) + self._passing

    def passed(self) -> None:
        """The callback of the timer that fired has begun."""
        self._passing = False
        self.changed()

    def changed(self) -> None:
        """Have the earliest timer armed, and no other; none while one that fired waits at the gate."""
        if self._passing:
            return
        heap = self._heap
        while heap and heap[0][2].cancelled:
            heappop(heap)
        head = heap[0][2] if heap and not self.dead else None
        armed = self._armed
        if armed is not None:
            if armed[0] is head:
                return
            armed[1].cancel()
            self._armed = None
        if head is not None:
            self._armed = (head, self._arm(head.due_us, self._fired, self._fire))

    def _fire(self) -> None:
        armed = self._armed
        self._armed = None
        self._fired += 1
        if self.dead or armed is None:
            return
        timer = armed[0]
        heappop(self._heap)
        self._passing = True
        timer.callback()

    def drop(self) -> None:
        """The owner is gone."""
        self.dead = True
        self._passing = False
        self.changed()
        self._heap.clear()

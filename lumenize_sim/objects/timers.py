"""Timers of one owner: strictly in order of due time, ties in order of creation (TM-4).

Only the earliest one is armed with the host.  The next is armed when the callback of
this one has begun, so that a timer held up at a gate delays all later ones (TM-5), and
other events may come between two that are due at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from lumenize_sim.objects.host import TimerHandle

__all__ = ["MAX_TIMERS", "OwnerTimers", "Timer", "delay_ms"]

#: How many timers may be active in one object (TM-7).
MAX_TIMERS: Final = 10_000
_LONGEST_MS: Final = 100 * 365 * 24 * 3_600_000


def delay_ms(delay_s: float) -> int:
    """A delay in seconds as the platform takes it: whole milliseconds, cut off, from 0 to 100 years (TM-3).

    Not a number, or less than nothing, is 0.
    """
    if not delay_s > 0:
        return 0
    # Decimal seconds are no binary fractions: 1.001 s is 1001 ms, although the product is a little less.
    return min(round(min(delay_s, 4e9) * 1_000_000) // 1000, _LONGEST_MS)


class Timer:
    """One timer; ``cancelled`` also while it waits at the gate.

    Attributes:
        due_us: when.
        since_us: when it was set.
        queued: it is not due yet, or a timer before it has not run.
    """

    __slots__ = ("callback", "cancelled", "due_us", "queued", "since_us", "timers")

    def __init__(self, timers: OwnerTimers, due_us: int, callback: Callable[[], None], since_us: int) -> None:
        self.timers = timers
        self.since_us = since_us
        self.due_us = due_us
        self.callback = callback
        self.cancelled = False
        self.queued = True

    def cancel(self) -> None:
        """Call it off; possible until its callback begins."""
        if not self.cancelled:
            self.cancelled = True
            self.timers.called_off(self)


class OwnerTimers:
    """The timers of one owner.

    Args:
        arm: ``arm(due_us, nth, fire)`` asks the host for one event.

    Attributes:
        fired: how many have.
    """

    __slots__ = ("_active", "_arm", "_armed", "_heap", "_next", "_passing", "dead", "fired")

    def __init__(self, arm: Callable[[int, int, Callable[[], None]], TimerHandle]) -> None:
        self._arm = arm
        self._heap: list[tuple[int, int, Timer]] = []
        self._next = 0
        self._active = 0
        self._armed: tuple[Timer, TimerHandle] | None = None
        self._passing: Timer | None = None
        self.fired = 0
        self.dead = False

    def set(self, due_us: int, callback: Callable[[], None], since_us: int = 0) -> Timer:
        """A timer, set at ``since_us``; ``callback`` is called when the host's event has happened.

        Call `passed` when its turn has begun: only then is the next one armed.
        """
        timer = Timer(self, due_us, callback, since_us)
        self._queue(timer)
        return timer

    def again(self, timer: Timer, due_us: int, since_us: int) -> None:
        """One that has fired is set once more, behind all that were set meanwhile, unless it was called off (TM-6)."""
        if timer.cancelled or self.dead:
            return
        timer.due_us = due_us
        timer.since_us = since_us
        timer.queued = True
        self._queue(timer)

    def _queue(self, timer: Timer) -> None:
        heappush(self._heap, (timer.due_us, self._next, timer))
        self._next += 1
        self._active += 1
        self.changed()

    def called_off(self, timer: Timer) -> None:
        """``timer`` was cancelled."""
        if timer.queued:
            timer.queued = False
            self._active -= 1
            self.changed()

    def __len__(self) -> int:
        """Timers whose callback has not begun and that were not called off."""
        return self._active + (self._passing is not None)

    def earliest_us(self) -> int | None:
        """When the first of them is due, or was and waits for its turn."""
        if self._passing is not None:
            return self._passing.due_us
        return self._head().due_us if self._active else None

    def newest_us(self) -> int:
        """When the youngest that is not due yet was set; -1 if there is none."""
        return max((timer.since_us for _, _, timer in self._heap if not timer.cancelled), default=-1)

    def _head(self) -> Timer:
        heap = self._heap
        while heap[0][2].cancelled:
            heappop(heap)
        return heap[0][2]

    def passed(self) -> None:
        """The callback of the timer that fired has begun."""
        self._passing = None
        self.changed()

    def changed(self) -> None:
        """Have the earliest timer armed, and no other; none while one that fired waits at the gate."""
        if self._passing is not None:
            return
        head = self._head() if self._active and not self.dead else None
        armed = self._armed
        if armed is not None:
            if armed[0] is head:
                return
            armed[1].cancel()
            self._armed = None
        if head is not None:
            self._armed = (head, self._arm(head.due_us, self.fired, self._fire))

    def _fire(self) -> None:
        armed = self._armed
        self._armed = None
        self.fired += 1
        if self.dead or armed is None:
            return
        timer = armed[0]
        heappop(self._heap)
        timer.queued = False
        self._active -= 1
        self._passing = timer
        timer.callback()

    def drop(self) -> None:
        """The owner is gone."""
        self.dead = True
        if not self._next:
            return  # there was never one
        self._passing = None
        self.changed()
        self._heap.clear()
        self._active = 0

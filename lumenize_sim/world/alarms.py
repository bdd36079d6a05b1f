"""The simulated alarm scheduler: lags, fails, comes late or twice as planned, and draws the jitter of retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lumenize_sim.world.faults import LATE_ALARM_S, SLOW_SCHEDULER_S

if TYPE_CHECKING:
    from lumenize_sim.world.object_host import ObjectHostOf

__all__ = ["AlarmServiceOf"]


class AlarmServiceOf:
    """As one object meets it.  Where it is in the object's process nothing of this can happen (section 11).

    Attributes:
        next_late_us: how much later than due the driver wants the next alarm to come.
        fails_next: the driver wants it not to be told the next time.
    """

    __slots__ = ("_host", "_separate", "fails_next", "next_late_us")

    def __init__(self, host: ObjectHostOf) -> None:
        self._host = host
        self.next_late_us = 0
        self.fails_next = False
        self._separate = host.world.options.objects.alarm_scheduler == "service"

    def told_after_us(self) -> int:
        """Microseconds until it has answered, -1 where it cannot be told."""
        if self.fails_next:
            self.fails_next = False
            self._host.flush_events = self._host.by_hand = True  # where it fails a commit that is one, as by hand
            return -1
        slow = self._fault("slow-scheduler", 4)
        if self._fault("failed-scheduler"):
            return -1
        return round(SLOW_SCHEDULER_S[slow] * 1_000_000)

    def late_us(self) -> int:
        """Microseconds of delay, up to a minute (AL-11)."""
        by_hand_us, self.next_late_us = self.next_late_us, 0
        return max(by_hand_us, round(LATE_ALARM_S[self._fault("late-alarm", 4)] * 1_000_000))

    def reaches(self) -> bool:
        """Whether it reaches the object (AL-24)."""
        return not self._fault("unreached-alarm")

    def comes_twice(self) -> bool:
        """Whether it delivers a run twice (AL-15)."""
        return bool(self._fault("twice-alarm"))

    def jitter_ms(self, bound: int) -> int:
        """0 unless the run roams or the tape says otherwise (AL-22)."""
        return self._host.plan.draw("retry-jitter", self._host.name, bound)

    def _fault(self, kind: str, bound: int = 2) -> int:
        host = self._host
        return host.fault(kind, bound, possible=self._separate) if host.faulty else 0

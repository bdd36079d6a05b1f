"""What the clock of one incarnation says (TM-1, TM-2).

In production time stands still during a turn, and never passes the earliest timer that is
pending: a callback sees exactly the time at which it was due, however late it runs, and
so does everybody else while an overdue timer waits for the gate.  In the open-source
runtime the clock is a real one.  Code that runs costs no virtual time, so there each
*reading* takes some: a drawn part of two milliseconds for the first of a turn, if there
was one in an earlier turn; at least one for the second, so that code which measures what
it has just done never measures nothing; and a drawn tenth of one for each further.  What
never compares two readings is exact.  Such a clock may be ahead of virtual time, which
catches up with it; it never goes backwards, and who reads it before and after waiting for
somebody else never measures less than the wait took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation

__all__ = ["Clock"]


class Clock:
    """The clock of one incarnation.  No method is a checkpoint."""

    __slots__ = ("_epoch_ms", "_incarnation", "_now_us", "_readings", "_turn", "_was_read")

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation
        self._turn = -1
        self._epoch_ms = 0
        self._now_us = 0
        self._readings = 0
        self._was_read = False

    def now_us(self) -> int:
        """Microseconds since the host began, as this instance sees them; its code reads its clock."""
        now_us = self.base_us()
        machine = self._incarnation.machine
        if machine.options.moving_clock:
            drawn_us = machine.host.elapsed_us()
            readings = self._readings
            if readings == 0:
                now_us += 2 * drawn_us if self._was_read else 0
            else:
                now_us += 1000 + drawn_us if readings == 1 else drawn_us // 10
            self._now_us = now_us
            self._readings = readings + 1
            self._was_read = True
        return now_us

    def now_ms(self) -> int:
        """Epoch milliseconds, whole ones."""
        now_us = self.now_us()
        return self._epoch_ms + now_us // 1000

    def base_us(self) -> int:
        """The same for the platform, which sets a timer or an alarm: that takes no time."""
        if self._incarnation.machine.turns != self._turn:
            self._look(self._incarnation.timers.earliest_us())
        return self._now_us

    def base_ms(self) -> int:
        """`base_us` in epoch milliseconds."""
        now_us = self.base_us()
        return self._epoch_ms + now_us // 1000

    def ahead_us(self) -> int:
        """By how much this clock is ahead of virtual time."""
        return max(0, self._now_us - self._incarnation.machine.host.now_us())

    def stay_ahead(self, ahead_us: int) -> None:
        """The coming turn is the end of a wait that began when the clock was so far ahead.

        Without it, the time that code took before the wait would be missing from the time of the wait.
        """
        self._now_us = max(self._now_us, self._incarnation.machine.host.now_us() + ahead_us)

    def pin(self, due_us: int) -> None:
        """The present turn is the callback of a timer that was due then."""
        self._look(due_us)

    def _look(self, latest_us: int | None) -> None:
        """The first reading of a turn; not later than ``latest_us``, where the clock stands still."""
        machine = self._incarnation.machine
        self._turn = machine.turns
        self._readings = 0
        now_us = machine.host.now_us()
        # A real host's two clocks drift apart, and only one of them is read again during the turn.
        self._epoch_ms = machine.host.host.now_ms() - now_us // 1000
        if latest_us is not None and latest_us < now_us and not machine.options.moving_clock:
            now_us = latest_us
        if now_us > self._now_us:
            self._now_us = now_us

"""What the alarm scheduler has been told, so that it never wakes an object later than storage says (AL-8).

A commit that moves the alarm earlier is announced before it is durable, and cannot
become durable if the scheduler cannot be told.  One that moves it later, or deletes it,
is reported afterwards, and nobody minds where that fails: the scheduler then wakes the
object too early, and the object calls the run off (AL-9).  So whatever is lost between
the two steps, it is never the alarm (AL-10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lumenize_sim.objects.alarm import told_before_commit
from lumenize_sim.objects.host import TimerHandle

if TYPE_CHECKING:
    from lumenize_sim.objects.alarm_clock import AlarmClock
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["AlarmLedger"]


class AlarmLedger:
    """See the module.  Belongs to the clock of one object.  No method is a checkpoint.

    Attributes:
        known_ms: the time as last committed, durable or not; ``None`` for no alarm.
        behind: a commit has moved the time later, and the scheduler is to hear of it once that is durable.
    """

    __slots__ = ("_clock", "_machine", "_tells", "_under_way", "behind", "known_ms", "promised_ms")

    def __init__(self, machine: ObjectMachine, clock: AlarmClock) -> None:
        self._machine = machine
        self._clock = clock
        self.known_ms = machine.durable.alarm_ms
        #: No later than this the scheduler wakes the object, as far as the instance knows.
        self.promised_ms = self.known_ms
        self.behind = False
        self._tells = 0
        self._under_way: TimerHandle | None = None

    def committed(self, alarm_ms: int | None, flush_us: int | None) -> int | None:
        """A commit has set another time.  Returns how long its flush takes, where it would take ``flush_us``.

        As `ObjectHost.flush_after_us`: ``None`` at once, -1 where it fails.
        """
        self.known_ms = alarm_ms
        if alarm_ms is not None:
            self._clock.set_by_instance()
        if not told_before_commit(self.promised_ms, alarm_ms):
            self.behind = True
            return flush_us
        self._called_off()  # a later time on its way to the scheduler must not come after this one
        answer_us = self._machine.host.alarms.told_after_us()
        if answer_us < 0:
            return -1
        # It hears at once, and what the commit waits for is its answer: a crash in between makes the wake-up stale.
        self.promised_ms = alarm_ms
        self._clock.tell(alarm_ms)
        if not answer_us or flush_us == -1:
            return flush_us
        return (flush_us or 0) + answer_us

    def durable(self) -> None:
        """A flush has ended, and the scheduler is `behind`."""
        machine = self._machine
        alarm_ms = machine.durable.alarm_ms
        incarnation = machine.incarnation
        if incarnation is not None and incarnation.store.alarm_ms != alarm_ms:
            return  # a newer change is on its way, which sees to it
        self.behind = False
        if alarm_ms == self.promised_ms:
            return
        self.promised_ms = alarm_ms
        self._called_off()
        answer_us = machine.host.alarms.told_after_us()
        if answer_us == 0:
            self._clock.tell(alarm_ms)
        elif answer_us > 0:
            label = f"{machine.name}!alarm-told#{self._tells}"
            self._tells += 1
            self._under_way = machine.host.post_at(
                label, lambda: self._clock.tell(alarm_ms), machine.host.now_us() + answer_us
            )

    def settled(self) -> None:
        """Everything committed is durable at once, also what the scheduler could not be told of."""
        alarm_ms = self._machine.durable.alarm_ms
        if told_before_commit(self.promised_ms, alarm_ms):
            # In good order, so the announcement that had failed was made after all; else the alarm would be lost.
            self.promised_ms = alarm_ms
            self._called_off()
            self._clock.tell(alarm_ms)
        elif self.behind:
            self.durable()

    def reopened(self) -> None:
        """A crash has lost what was not durable; the next instance believes what storage says (AL-10)."""
        self.known_ms = self.promised_ms = self._machine.durable.alarm_ms
        self.behind = False

    def _called_off(self) -> None:
        if self._under_way is not None:
            self._under_way.cancel()
            self._under_way = None

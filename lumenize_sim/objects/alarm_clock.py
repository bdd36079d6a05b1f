"""The clock of one object's alarm: arms a timer, asks for the handler's turn, and hears how it ended.

`AlarmScheduler` decides; this carries out.  It belongs to the machine, so it outlives
every incarnation.  The time itself is in the store: a commit that changes it tells the
clock (`AlarmClock.changed`), and a crash that has lost such a commit does as well
(`AlarmClock.restored`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import outcome

from lumenize_sim.objects.alarm import (
    HANDLER_TIMEOUT_MESSAGE,
    HANDLER_TIMEOUT_S,
    AlarmPhase,
    AlarmScheduler,
    Arming,
    Failure,
    arming,
)
from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import Effect
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.rpc_errors import reset_error

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["AlarmClock"]


class AlarmClock:
    """See the module.  Armed at once if there is a durable time.  No method is a checkpoint.

    Attributes:
        scheduler: what it follows.
        timer: that of the armed alarm; ``None`` while none is armed.
        known_ms: the time as last committed, ``None`` for no alarm.
        gives_up: a run that is cut off now is not tried again (AL-26).
    """

    __slots__ = ("_limit", "_machine", "_timers", "gives_up", "known_ms", "scheduler", "timer")

    def __init__(self, machine: ObjectMachine) -> None:
        self._machine = machine
        self.scheduler = AlarmScheduler()
        self.timer: TimerHandle | None = None
        self._timers = 0
        self._limit: TimerHandle | None = None
        self.gives_up = False
        self.known_ms = machine.durable.alarm_ms
        if self.known_ms is not None:
            self.scheduler.schedule(self.known_ms)
            self._arm()

    def changed(self, alarm_ms: int | None) -> None:
        """A commit has set another time, or ``None``."""
        self.known_ms = alarm_ms
        if alarm_ms is None:
            self.scheduler.cancel()
        else:
            self.scheduler.schedule(alarm_ms)
        self._arm()

    def restored(self) -> None:
        """A crash has lost what was not durable: the scheduler follows what storage says (AL-10)."""
        stored, scheduler = self._machine.durable.alarm_ms, self.scheduler
        self.known_ms = stored
        if scheduler.queued_ms is not None and scheduler.queued_ms != stored:
            scheduler.cancel()  # set by the handler, and lost
        if scheduler.phase in (AlarmPhase.RUNNING, AlarmPhase.QUEUED):
            # The run that is cut off is told in a moment; an alarm it has deleted for good is called off then.
            if stored not in (None, scheduler.scheduled_ms, scheduler.queued_ms):
                scheduler.schedule(stored)
        elif stored != scheduler.scheduled_ms:
            self.changed(stored)

    def _arm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        wake_ms = self.scheduler.wake_ms
        if wake_ms is not None:
            host = self._machine.host
            due_us = host.now_us() + max(0, wake_ms - host.host.now_ms()) * 1000
            label = f"{self._machine.name}!alarm#{self._timers}"
            self._timers += 1
            self.timer = host.post_at(label, lambda: self._due(label), due_us)

    def _due(self, label: str) -> None:
        """The scheduler's clock has reached the alarm (AL-11, AL-12)."""
        machine, host = self._machine, self._machine.host
        self.timer = None
        info = self.scheduler.fire(host.host.now_ms())
        if info is None:
            self._arm()  # a real clock may have been set back
            return
        if host.tracing:
            host.record("alarm", label, {"retry": info.retry_count})

        def run(incarnation: Incarnation) -> None:
            store = incarnation.store
            clean = store.alarm_ms == machine.durable.alarm_ms
            verdict = arming(store.alarm_ms, info.scheduled_time, host.host.now_ms(), clean=clean)
            if verdict is not Arming.RUN or not incarnation.isolate.handles("alarm"):
                # AL-9, AL-27: called off, moved, or nobody to hear it.
                if verdict is Arming.RUN:
                    store.set_alarm(None, True)
                elif verdict is Arming.RESCHEDULE and store.alarm_ms is not None:
                    self.scheduler.schedule(store.alarm_ms)
                self.scheduler.succeed()
                self._arm()
                return
            if clean or store.alarm_ms == info.scheduled_time:
                store.arm()  # and otherwise a time is on its way to disk that this run must not delete (AL-9)
            self._limit = host.post_at(
                f"{label}/limit",
                lambda: self._overdue(incarnation),
                host.now_us() + HANDLER_TIMEOUT_S * 1_000_000,
                background=True,
            )
            incarnation.invoke(label, "alarm", (info,), None, ended=lambda result: self._ended(incarnation, result))

        machine.arrive(Arrival("alarm", label, None, run, lambda error: self._failed(None, error)))

    def _overdue(self, incarnation: Incarnation) -> None:
        self._limit = None
        if not incarnation.dead:
            self._machine.reset(reset_error(HANDLER_TIMEOUT_MESSAGE, overloaded=True), kind="alarm-timeout")

    def _ended(self, incarnation: Incarnation, result: Outcome) -> Effect | None:
        """The handler has ended, or its instance has before that was durable."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if type(result) is outcome.Error:
            self._failed(incarnation, result.error)
            return None
        incarnation.store.disarm(succeeded=True)
        # Reported only when the deletion is durable (AL-17); a failed flush means another run (AL-18).
        return self._succeeded

    def _failed(self, incarnation: Incarnation | None, error: BaseException) -> None:
        machine = self._machine
        alive = incarnation is not None and not incarnation.dead
        if incarnation is not None and alive:
            incarnation.store.disarm(succeeded=False)
        if self.gives_up:
            verdict = self.scheduler.abandon()  # AL-26
        else:
            # AL-24: a lost process or a failed flush is nobody's fault.
            counted = alive or machine.ended_by is None or machine.ended_by.counted
            verdict = self.scheduler.fail(machine.host.host.now_ms(), counted=counted, jitter=machine.host.jitter())
        if verdict is Failure.ABANDONED:
            if incarnation is not None and alive:
                incarnation.store.set_alarm(None, True)
            else:
                machine.durable.alarm_ms = self.known_ms = None
        self._arm()

    def _succeeded(self) -> None:
        scheduler, stored = self.scheduler, self._machine.durable.alarm_ms
        scheduler.succeed()
        if stored is not None and scheduler.wake_ms is None:
            scheduler.schedule(stored)  # the very same time was set again in the handler (AL-17)
        self._arm()

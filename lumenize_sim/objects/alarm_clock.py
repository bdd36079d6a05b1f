"""The clock of one object's alarm: arms a timer, asks for the handler's turn, and hears how it ended.

`AlarmScheduler` decides; this carries out.  It belongs to the machine, so it outlives
every incarnation.  The time itself is in the store; what the scheduler hears of it, and
when, is up to the `AlarmLedger`.  How well the scheduler does its work (late, twice, out
of reach) is up to the host (`AlarmService`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import outcome

from lumenize_sim.objects.alarm import (
    HANDLER_TIMEOUT_MESSAGE,
    HANDLER_TIMEOUT_S,
    AlarmInfo,
    AlarmPhase,
    AlarmScheduler,
    Arming,
    Failure,
    arming,
)
from lumenize_sim.objects.alarm_ledger import AlarmLedger
from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import Effect
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.rpc_errors import reset_error
from lumenize_sim.objects.storage import StoreHooks, open_store

if TYPE_CHECKING:
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["AlarmClock"]


class AlarmClock:
    """See the module.  Armed at once if there is a durable time.  No method is a checkpoint.

    Attributes:
        scheduler: what it follows.
        ledger: what it has been told.
        timer: that of the armed alarm; ``None`` while none is armed.
        gives_up: a run that is cut off now is not tried again (AL-26).
        wakes: the id of the instance that has set the alarm, which an instance built by the alarm has too (LC-5).
    """

    __slots__ = ("_limit", "_machine", "_run", "_timers", "gives_up", "ledger", "scheduler", "timer", "wakes")

    def __init__(self, machine: ObjectMachine) -> None:
        options = machine.options
        self._machine = machine
        self.scheduler = AlarmScheduler(
            set_restarts_retries=bool(options.alarm_set_restarts_retries),
            set_waits_for_retry=bool(options.alarm_set_waits_for_retry),
        )
        self.ledger = AlarmLedger(machine, self)
        self.timer: TimerHandle | None = None
        self._timers = 0
        self._run = ""
        self._limit: TimerHandle | None = None
        self.gives_up = False
        self.wakes: DurableObjectId | None = None
        self.tell(machine.durable.alarm_ms)

    # -- what the scheduler hears ------------------------------------------------------

    def tell(self, alarm_ms: int | None) -> None:
        """The scheduler hears of a time, or of ``None``."""
        if alarm_ms is None:
            self.scheduler.cancel()
        else:
            self.scheduler.schedule(alarm_ms)
        self._arm()

    def set_by_instance(self) -> None:
        """The present instance has set the alarm."""
        incarnation = self._machine.incarnation
        if incarnation is not None:
            self.wakes = incarnation.state.id

    def recovered(self) -> None:
        """Storage has gone back to an older state, the alarm in it as well (ST-30)."""
        self.ledger.reopened()
        self.tell(self._machine.durable.alarm_ms)

    def lost(self, kind: str) -> None:
        """The instance has ended as ``kind``, with what was not durable."""
        self.ledger.reopened()
        if kind == "crash" and not self._machine.options.alarm_retries_survive:
            self._run = ""
            self.scheduler.restart()
            self._arm()

    # -- what it does ------------------------------------------------------------------

    def _arm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        wake_ms = self.scheduler.wake_ms
        if wake_ms is not None:
            label = f"{self._machine.name}!alarm#{self._timers}"
            self._timers += 1
            self._fire_at(label, max(0, wake_ms - self._machine.host.host.now_ms()) * 1000, self._due)

    def _fire_at(self, label: str, in_us: int, fire: Callable[[str], None]) -> None:
        host = self._machine.host
        self.timer = host.post_at(label, lambda: fire(label), host.now_us() + in_us)

    def _due(self, label: str) -> None:
        """The scheduler's clock has reached the alarm (AL-11)."""
        late_us = self._machine.host.alarms.late_us()
        if late_us:
            self._fire_at(f"{label}/late", late_us, self._wake)
        else:
            self._wake(label)

    def _wake(self, label: str) -> None:
        """Wake the object (AL-12)."""
        host = self._machine.host
        self.timer = None
        info = self.scheduler.fire(host.host.now_ms())
        if info is None:
            self._arm()  # a real clock may have been set back
            return
        if not host.alarms.reaches():
            self._fail(counted=False)
            return
        if host.tracing:
            host.record("alarm", label, {"retry": info.retry_count})
        twice = host.alarms.comes_twice()
        self._run = label
        self._deliver(label, info)
        if twice:
            self._deliver(f"{label}/twin", info)

    def _deliver(self, label: str, info: AlarmInfo) -> None:
        machine = self._machine
        if machine.incarnation is None and self.wakes is not None:
            machine.id = self.wakes

        def run(incarnation: Incarnation) -> None:
            if label == self._run:
                self._begin(incarnation, label, info)
            # Else it is the twin of a run that goes on, which it joins, or of one that has ended (AL-15).

        def fail(_error: BaseException) -> None:
            if label == self._run:
                self._failed()

        machine.arrive(Arrival("alarm", label, None, run, fail))

    def _begin(self, incarnation: Incarnation, label: str, info: AlarmInfo) -> None:
        """The object's turn: it compares the time with its own and calls the handler, or calls the run off (AL-9)."""
        machine, host, store = self._machine, self._machine.host, incarnation.store
        clean = store.alarm_ms == machine.durable.alarm_ms
        verdict = arming(store.alarm_ms, info.scheduled_time, host.host.now_ms(), clean=clean)
        if verdict is not Arming.RUN:
            self._report(store.alarm_ms if verdict is Arming.RESCHEDULE else None)
            return
        if not incarnation.isolate.handles("alarm"):
            store.set_alarm(None, True)  # AL-27: nobody to hear it, and no retry
            self._report(None)
            return
        if clean or store.alarm_ms == info.scheduled_time:
            store.arm()  # and otherwise a time is on its way to disk that this run must not delete (AL-9)
        self._limit = host.post_at(
            f"{label}/limit",
            lambda: self._overdue(incarnation),
            host.now_us() + HANDLER_TIMEOUT_S * 1_000_000,
            background=True,
        )
        if machine.meter is not None:
            machine.meter.alarmed()
        incarnation.invoke(label, "alarm", (info,), None, ended=lambda result: self._ended(incarnation, result))

    def _overdue(self, incarnation: Incarnation) -> None:
        """AL-16."""
        self._limit = None
        if not incarnation.dead:
            self._machine.reset(reset_error(HANDLER_TIMEOUT_MESSAGE, overloaded=True), kind="alarm-timeout")

    # -- how it ended ------------------------------------------------------------------

    def _ended(self, incarnation: Incarnation, result: Outcome) -> Effect | None:
        """The handler has ended, or its instance has before that was durable.

        The scheduler hears of either end when all writes so far are durable (AL-17); so a flush that fails means
        another run, whatever the handler did (AL-18), and a time that it set is known before the retry (AL-21).
        """
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if incarnation.dead or incarnation.stale:
            self._failed()
            return None
        succeeded = type(result) is not outcome.Error
        incarnation.store.disarm(succeeded=succeeded)
        return self._succeeded if succeeded else self._threw

    def _succeeded(self) -> None:
        self._report(self._machine.durable.alarm_ms)

    def _threw(self) -> None:
        self._hears(lambda: self._fail(counted=True))

    def _failed(self) -> None:
        """The instance has died under the handler, or before it."""
        if self.gives_up:
            if self.scheduler.running:
                self._run = ""
                scheduled_ms = self.scheduler.scheduled_ms
                if self.scheduler.abandon() is Failure.ABANDONED:  # AL-26
                    self._abandoned(scheduled_ms)
                self._arm()
        else:
            # AL-24: a lost process or a failed flush is nobody's fault.
            ended_by = self._machine.succession.ended_by
            self._fail(counted=ended_by is None or ended_by.counted)

    def _fail(self, *, counted: bool) -> None:
        """The run is over and has failed; the scheduler knows."""
        scheduler, host = self.scheduler, self._machine.host
        self._run = ""
        if not scheduler.running:
            return  # it has lost its memory with the same process
        scheduled_ms = scheduler.scheduled_ms
        if scheduler.fail(host.host.now_ms(), counted=counted, jitter=host.alarms.jitter_ms) is Failure.ABANDONED:
            self._abandoned(scheduled_ms)
        self._arm()

    def _abandoned(self, scheduled_ms: int | None) -> None:
        """The alarm is deleted from storage as well, unless it is another one by now (AL-23)."""
        machine = self._machine
        label = f"{machine.name}!alarm-abandoned#{self._timers}"
        self._timers += 1

        def turn(incarnation: Incarnation) -> None:
            store = incarnation.store
            if store.alarm_ms == scheduled_ms:
                store.set_alarm(None, True)

        def fire() -> None:
            if machine.incarnation is None:
                self._delete(scheduled_ms)
            else:
                machine.arrive(Arrival("alarm-abandoned", label, None, turn))

        if machine.incarnation is None:
            self._delete(scheduled_ms)
        else:
            machine.host.post(label, fire)

    def _delete(self, scheduled_ms: int | None) -> None:
        """The same where there is no instance."""
        machine = self._machine
        durable = machine.durable
        if durable.alarm_ms == scheduled_ms:
            store = open_store(machine.cls, machine.options, durable, StoreHooks(), now_ms=machine.host.host.now_ms)
            store.set_alarm(None, True)
            store.commit()
            store.settle()
            store.close()
            self.ledger.reopened()
        elif durable.alarm_ms is not None:
            self.tell(durable.alarm_ms)

    def _report(self, stored_ms: int | None) -> None:
        """The scheduler is told that the run needs no retry, and which time stands now (AL-17)."""

        def done() -> None:
            scheduler = self.scheduler
            if scheduler.running:
                scheduler.succeed()
                if stored_ms is not None and scheduler.phase is AlarmPhase.IDLE:
                    # Moved meanwhile, or the very same time was set again in the handler (AL-17).
                    scheduler.schedule(stored_ms)
            self._arm()

        self._hears(done)

    def _hears(self, told: Callable[[], None]) -> None:
        """The scheduler hears how the run ended, at once, late, or never: then it thinks that it has to try again."""
        self._run = ""
        host = self._machine.host
        answer_us = host.alarms.told_after_us()
        if answer_us < 0:
            self._fail(counted=False)
        elif answer_us:
            label = f"{self._machine.name}!alarm-ended#{self._timers}"
            self._timers += 1
            host.post_at(label, told, host.now_us() + answer_us)
        else:
            told()

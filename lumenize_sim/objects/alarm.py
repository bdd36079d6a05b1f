"""An object's alarm, seen from the scheduler.

`AlarmScheduler` is the service that wakes the object and retries.  It outlives
instances.  The alarm time itself is a value in the object's storage, transactional
like every other.  The two may disagree for a moment, never so that an alarm is lost:
the scheduler is told of an earlier time before the commit and of a later one after it
(AL-8, `told_before_commit`), and a run that proves stale is called off (AL-9, `arming`).

Times are epoch milliseconds.  Nothing here sleeps: `AlarmScheduler.wake_ms` says when.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

import attrs

from lumenize_sim.errors import SimulatorError

__all__ = [
    "HANDLER_TIMEOUT_MESSAGE",
    "HANDLER_TIMEOUT_S",
    "MAX_COUNTED_RETRIES",
    "NO_HANDLER_MESSAGE",
    "TRANSITIONS",
    "AlarmInfo",
    "AlarmPhase",
    "AlarmScheduler",
    "Arming",
    "Failure",
    "arming",
    "jitter_bound_ms",
    "retry_delay_ms",
    "told_before_commit",
]

#: Retries that count against the limit; with the first run that makes seven (AL-23).
MAX_COUNTED_RETRIES: Final = 6
#: The handler may run this long (AL-16); then the object is reset and the retry counts.
HANDLER_TIMEOUT_S: Final = 15 * 60
#: Text of that error, which is an overloaded one (AL-16).
HANDLER_TIMEOUT_MESSAGE: Final = "Alarm exceeded its allowed execution time"
#: Text of the ``TypeError`` of ``set_alarm`` where the class has no handler (AL-3).
NO_HANDLER_MESSAGE: Final = "Your Durable Object class must have an alarm() handler in order to call setAlarm()"

_FIRST_DELAY_MS: Final = 2_000
_MAX_BACKOFF: Final = 9


@attrs.frozen
class AlarmInfo:
    """What the handler is told (AL-13).

    Attributes:
        retry_count: counted retries so far; 0 in the first run, and after failures that do not count.
        is_retry: ``retry_count > 0``, as the platform computes it.
        scheduled_time: the time that was set, in ms; also in retries.
    """

    retry_count: int
    is_retry: bool
    scheduled_time: int


class AlarmPhase(Enum):
    """What the scheduler is doing for one object."""

    IDLE = "idle"  #: no alarm
    ARMED = "armed"  #: waits for the time that was set
    RUNNING = "running"  #: the handler runs
    QUEUED = "queued"  #: the handler runs, and another time was set meanwhile (AL-15)
    BACKOFF = "backoff"  #: failed, waits for the next try; maybe with another time behind it


class Failure(Enum):
    """What becomes of an alarm whose handler failed."""

    RETRY = "retry"  #: it runs again after a delay (AL-22)
    REPLACED = "replaced"  #: a time set during the handler takes its place, counters restart (AL-21)
    ABANDONED = "abandoned"  #: the last counted retry has failed (AL-23), or no retry was wanted (AL-26)


_IDLE, _ARMED, _RUNNING, _QUEUED, _BACKOFF = AlarmPhase

#: All changes of phase.  A pair that is absent is a mistake of the caller, which is this package.
TRANSITIONS: Final[dict[tuple[AlarmPhase, str], AlarmPhase]] = {
    (_IDLE, "schedule"): _ARMED,
    (_IDLE, "cancel"): _IDLE,
    (_ARMED, "schedule"): _ARMED,  # AL-1
    (_ARMED, "cancel"): _IDLE,
    (_ARMED, "fire"): _RUNNING,
    (_RUNNING, "schedule"): _QUEUED,
    (_RUNNING, "cancel"): _RUNNING,  # AL-6: a running handler is not stopped
    (_RUNNING, "succeed"): _IDLE,
    (_RUNNING, "retry"): _BACKOFF,
    (_RUNNING, "abandon"): _IDLE,
    (_QUEUED, "schedule"): _QUEUED,  # AL-15: the newer time replaces the waiting one
    (_QUEUED, "cancel"): _RUNNING,  # AL-29
    (_QUEUED, "succeed"): _ARMED,  # AL-17
    (_QUEUED, "retry"): _ARMED,  # AL-21
    (_QUEUED, "abandon"): _ARMED,
    (_BACKOFF, "schedule"): _ARMED,
    (_BACKOFF, "cancel"): _IDLE,  # AL-30
    (_BACKOFF, "fire"): _RUNNING,
}


def retry_delay_ms(backoff: int, jitter_ms: int = 0) -> int:
    """How long to wait before a retry: 2 s doubled ``backoff`` times, 1024 s at most, plus ``jitter_ms`` (AL-22).

    Args:
        backoff: 0 for the first retry.
        jitter_ms: what to add, below `jitter_bound_ms`; drawn by the caller.

    Raises:
        SimulatorError: the jitter is out of range.
    """
    if not 0 <= jitter_ms < jitter_bound_ms(backoff):
        raise SimulatorError(f"alarm retry jitter is {jitter_ms!r} ms; must be below {jitter_bound_ms(backoff)}")
    return (_FIRST_DELAY_MS << min(backoff, _MAX_BACKOFF)) + jitter_ms


def jitter_bound_ms(backoff: int) -> int:
    """How many values the jitter of that retry may take: each millisecond from 0 to a quarter of the delay (AL-22)."""
    return (_FIRST_DELAY_MS << min(backoff, _MAX_BACKOFF)) // 4 + 1


def told_before_commit(confirmed_ms: int | None, new_ms: int | None) -> bool:
    """Whether the scheduler must know ``new_ms`` before the database commits it (AL-8).

    True where the alarm moves earlier, with no alarm being the latest time of all.  A scheduler that
    cannot be told then fails the commit.  Otherwise tell it after the commit and ignore a failure.
    """
    return new_ms is not None and (confirmed_ms is None or new_ms < confirmed_ms)


class AlarmScheduler:
    """The scheduler's side of one object's alarm.

    Args:
        set_restarts_retries: a time set while a run fails takes the place of its retry, and counters begin anew
            (AL-21).  Otherwise its run is the retry: not before the delay, and counted on.
        set_waits_for_retry: a time set between two tries waits for the next one, which the object then calls off
            where the new time has not come.  Otherwise it takes the place of the retry.

    Attributes:
        phase: what it is doing.
        scheduled_ms: the time set for the alarm that waits, runs or is retried; ``None`` when idle.
        queued_ms: the time set while the handler runs, or while a retry waits; else ``None``.
    """

    __slots__ = (
        "_backoff",
        "_counted",
        "_last_counted",
        "_retry_ms",
        "phase",
        "queued_ms",
        "scheduled_ms",
        "set_restarts_retries",
        "set_waits_for_retry",
    )

    def __init__(self, *, set_restarts_retries: bool = True, set_waits_for_retry: bool = False) -> None:
        self.set_restarts_retries = set_restarts_retries
        self.set_waits_for_retry = set_waits_for_retry
        self.phase = AlarmPhase.IDLE
        self.queued_ms: int | None = None
        self.scheduled_ms: int | None = None
        self._retry_ms: int | None = None
        self._counted = 0
        self._backoff = 0
        self._last_counted = False

    @property
    def wake_ms(self) -> int | None:
        """When `fire` is due next.  ``None`` if no alarm waits: a queued one begins with the end of the run."""
        if self.phase is AlarmPhase.ARMED:
            return self.scheduled_ms
        return self._retry_ms if self.phase is AlarmPhase.BACKOFF else None

    @property
    def running(self) -> bool:
        """Whether the object handles the alarm now, as far as the scheduler knows."""
        return self.phase is AlarmPhase.RUNNING or self.phase is AlarmPhase.QUEUED

    def schedule(self, at_ms: int) -> None:
        """Wake the object at ``at_ms`` instead of what was set before; counters restart (AL-1, AL-15, AL-21)."""
        if self.phase is AlarmPhase.BACKOFF and self.set_waits_for_retry:
            self.queued_ms = at_ms
            return
        self._move("schedule")
        if self.phase is AlarmPhase.QUEUED:
            self.queued_ms = at_ms
        else:
            self._rearm(at_ms)

    def cancel(self) -> None:
        """Remove what waits: the alarm, its retry, or the one queued behind a run (AL-6, AL-29, AL-30)."""
        self._move("cancel")
        self.queued_ms = None
        if self.phase is AlarmPhase.IDLE:
            self._rearm(None)

    def fire(self, now_ms: int) -> AlarmInfo | None:
        """The clock has reached ``now_ms``: begin the run if one is due (AL-11).

        Returns:
            What to tell the handler, or ``None`` if nothing is due (a timer of an alarm since replaced).
        """
        wake_ms = self.wake_ms
        if wake_ms is None or now_ms < wake_ms:
            return None
        self._move("fire")
        if self.queued_ms is not None:
            self._move("schedule")
        assert self.scheduled_ms is not None
        return AlarmInfo(self._counted, self._counted > 0, self.scheduled_ms)

    def succeed(self) -> None:
        """The run is over and needs no other one: it succeeded, was called off, or has no handler (AL-27)."""
        self._move("succeed")
        self._next()

    def fail(self, now_ms: int, *, counted: bool, jitter: Callable[[int], int]) -> Failure:
        """The run failed at ``now_ms``.

        Args:
            now_ms: the delay of the retry counts from here (AL-22).
            counted: False only for a broken output gate that is neither the user's fault nor a resource limit,
                and where the object could not be reached (AL-24).  Such failures are retried without limit.
            jitter: ``jitter(bound)`` draws the milliseconds to add, below ``bound``; asked where there is a retry.
        """
        queued_ms = self.queued_ms
        if queued_ms is not None and self.set_restarts_retries:
            self._move("retry")
            self._next()
            return Failure.REPLACED
        if counted and self._counted >= MAX_COUNTED_RETRIES:
            return self.abandon()
        if queued_ms is not None:
            self._move("cancel")  # the retry is that of the new time
            self.scheduled_ms, self.queued_ms = queued_ms, None
        self._move("retry")
        if counted:
            self._counted += 1
            if not self._last_counted:
                # An earlier failure was not the user's; its long delays are not to be theirs either (AL-25).
                self._backoff = 0
        self._last_counted = counted
        retry_ms = now_ms + retry_delay_ms(self._backoff, jitter(jitter_bound_ms(self._backoff)))
        self._retry_ms = retry_ms if queued_ms is None else max(retry_ms, queued_ms)
        self._backoff += 1
        return Failure.RETRY

    def abandon(self) -> Failure:
        """The run failed and is not to be retried: ``ctx.abort(..., retry_alarm=False)`` (AL-26)."""
        self._move("abandon")
        outcome = Failure.REPLACED if self.phase is AlarmPhase.ARMED else Failure.ABANDONED
        self._next()
        return outcome

    def restart(self) -> None:
        """Its process was lost, with all that it keeps in memory: times stay, runs and counters do not (section 11)."""
        at_ms = self.scheduled_ms if self.queued_ms is None else self.queued_ms
        self.phase = AlarmPhase.IDLE if at_ms is None else AlarmPhase.ARMED
        self.queued_ms = None
        self._rearm(at_ms)

    def _next(self) -> None:
        self._rearm(self.queued_ms)
        self.queued_ms = None

    def _rearm(self, at_ms: int | None) -> None:
        self.scheduled_ms = at_ms
        self._retry_ms = None
        self._counted = 0
        self._backoff = 0
        self._last_counted = False

    def _move(self, verb: str) -> None:
        phase = TRANSITIONS.get((self.phase, verb))
        if phase is None:
            raise SimulatorError(f"{verb} on an alarm that is {self.phase.value}; no such transition")
        self.phase = phase


class Arming(Enum):
    """What the object makes of a wake-up by the scheduler (AL-9)."""

    RUN = "run"  #: call the handler
    CALL_OFF = "call off"  #: the alarm was deleted; the handler is not called
    RESCHEDULE = "reschedule"  #: the alarm was moved; tell the scheduler its time again


def arming(stored_ms: int | None, scheduled_ms: int, now_ms: int, *, clean: bool) -> Arming:
    """What the object makes of the alarm set for ``scheduled_ms`` when it fires (AL-9).

    Args:
        stored_ms: the alarm time in storage.
        scheduled_ms: `AlarmInfo.scheduled_time`.
        now_ms: the time of this turn.
        clean: whether the stored time is committed; an unconfirmed change does not call the run off.
    """
    if stored_ms != scheduled_ms and clean:
        if stored_ms is None:
            return Arming.CALL_OFF
        if stored_ms > now_ms:
            return Arming.RESCHEDULE
    return Arming.RUN

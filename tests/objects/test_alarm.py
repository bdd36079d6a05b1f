"""Alarms against their rules (AL-*): the scheduler's side, the object's side, and both together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.alarm import (
    MAX_COUNTED_RETRIES,
    TRANSITIONS,
    AlarmInfo,
    AlarmPhase,
    AlarmScheduler,
    Arming,
    Failure,
    arming,
    jitter_bound_ms,
    retry_delay_ms,
    told_before_commit,
)
from lumenize_sim.objects.storage import Durable, Storage, Store, StoreHooks

T = 1_700_000_000_000


def nominal(_bound: int) -> int:
    """No jitter."""
    return 0


class Stored:
    """The object's side on a real store, every change committed and durable at once."""

    def __init__(self, alarm_ms: int | None = None, durable: Durable | None = None) -> None:
        self.durable = durable or Durable()
        if durable is None:
            self.durable.alarm_ms = alarm_ms
        self.store = Store(self.durable, hooks=StoreHooks())

    def get(self) -> int | None:
        return self.store.get_alarm()

    def set(self, at_ms: int, now_ms: int) -> bool:
        """Whether it was a write."""
        outcomes: list[Any] = []
        Storage(self.store, now_ms=lambda: now_ms).set_alarm(at_ms).when_done(outcomes.append)
        outcomes[0].unwrap()
        return self._commit()

    def delete(self) -> bool:
        """Whether it was a write."""
        self.store.set_alarm(None, True)
        return self._commit()

    def begin(self, scheduled_ms: int, now_ms: int) -> Arming:
        """The scheduler wakes the object."""
        verdict = arming(self.store.alarm_ms, scheduled_ms, now_ms, clean=True)
        if verdict is Arming.RUN:
            self.store.arm()
        return verdict

    def end(self, *, succeeded: bool) -> bool:
        """The handler ended; whether that was a write."""
        self.store.disarm(succeeded=succeeded)
        return self._commit()

    def restarted(self) -> Stored:
        """The process is gone, and another one opens the same state."""
        self.store.crash()
        return Stored(durable=self.durable)

    def _commit(self) -> bool:
        number = self.store.commit()
        if number is not None:
            self.store.flushed(number)
        return number is not None


def running(at_ms: int = T) -> AlarmScheduler:
    scheduler = AlarmScheduler()
    scheduler.schedule(at_ms)
    assert scheduler.fire(at_ms) == AlarmInfo(0, False, at_ms)
    return scheduler


# ------------------------------------------------------------------------------------------- scheduler


def test_an_alarm_never_fires_early_and_once_when_due() -> None:
    """AL-11, AL-13, LT-52."""
    scheduler = AlarmScheduler()
    assert scheduler.wake_ms is None
    assert scheduler.fire(T) is None
    scheduler.schedule(T)
    assert scheduler.wake_ms == T
    assert scheduler.fire(T - 1) is None
    assert scheduler.fire(T + 5) == AlarmInfo(retry_count=0, is_retry=False, scheduled_time=T)
    assert scheduler.wake_ms is None
    assert scheduler.fire(T + 6) is None
    scheduler.succeed()
    assert (scheduler.phase, scheduler.scheduled_ms) == (AlarmPhase.IDLE, None)


def test_a_second_time_replaces_the_first() -> None:
    """AL-1, LT-53."""
    scheduler = AlarmScheduler()
    scheduler.schedule(T)
    scheduler.schedule(T + 40)
    assert scheduler.fire(T) is None
    assert scheduler.fire(T + 40) is not None


def test_a_deleted_alarm_does_not_run() -> None:
    """AL-6."""
    scheduler = AlarmScheduler()
    scheduler.cancel()
    scheduler.schedule(T)
    scheduler.cancel()
    assert scheduler.wake_ms is None


def test_a_time_set_in_the_handler_waits_for_its_end() -> None:
    """AL-15, AL-17, LT-57: also if it is due at once, and the newest one wins."""
    scheduler = running()
    scheduler.schedule(T + 1)
    scheduler.schedule(T)
    assert scheduler.wake_ms is None
    assert scheduler.fire(T + 100) is None
    assert scheduler.queued_ms == T
    scheduler.succeed()
    assert scheduler.queued_ms is None
    assert scheduler.fire(T + 100) == AlarmInfo(0, False, T)


def test_deleting_in_the_handler_removes_what_is_queued_and_not_the_run() -> None:
    """AL-29."""
    scheduler = running()
    scheduler.schedule(T + 1)
    scheduler.cancel()
    assert scheduler.phase is AlarmPhase.RUNNING
    scheduler.cancel()
    scheduler.succeed()
    assert scheduler.wake_ms is None


def test_a_handler_that_always_throws_runs_seven_times_with_doubled_delays() -> None:
    """AL-22, AL-23, LT-55."""
    scheduler = running()
    now = T
    counts, delays = [0], []
    while (outcome := scheduler.fail(now, counted=True, jitter=nominal)) is Failure.RETRY:
        wake = scheduler.wake_ms
        assert wake is not None
        delays.append((wake - now) // 1000)
        now = wake
        assert scheduler.fire(now - 1) is None
        info = scheduler.fire(now)
        assert info is not None
        assert info.is_retry
        assert info.scheduled_time == T
        counts.append(info.retry_count)
    assert outcome is Failure.ABANDONED
    assert counts == [0, 1, 2, 3, 4, 5, 6]
    assert delays == [2, 4, 8, 16, 32, 64]
    assert (scheduler.phase, scheduler.wake_ms, scheduler.scheduled_ms) == (AlarmPhase.IDLE, None, None)


def test_the_delay_counts_from_the_failure() -> None:
    """AL-22."""
    scheduler = running()
    scheduler.fail(T + 60_000, counted=True, jitter=lambda bound: bound - 1)
    assert scheduler.wake_ms == T + 62_500


@given(st.integers(0, 40), st.data())
def test_delays_stay_between_nominal_and_a_quarter_more(backoff: int, data: st.DataObject) -> None:
    """AL-22: and every millisecond of that range can be drawn."""
    nominal_ms = min(2_000 * 2**backoff, 1_024_000)
    bound = jitter_bound_ms(backoff)
    assert bound == nominal_ms // 4 + 1
    jitter_ms = data.draw(st.integers(0, bound - 1))
    assert retry_delay_ms(backoff, jitter_ms) == nominal_ms + jitter_ms <= nominal_ms * 1.25


@pytest.mark.parametrize("jitter_ms", [-1, 501])
def test_a_jitter_out_of_range_is_refused(jitter_ms: int) -> None:
    """AL-22."""
    with pytest.raises(SimulatorError, match=r"must be below 501"):
        retry_delay_ms(0, jitter_ms)


def test_failures_that_do_not_count_are_retried_without_limit() -> None:
    """AL-24: backoff grows to its cap, the count stays 0."""
    scheduler = running()
    now = T
    delays = []
    for _ in range(12):
        assert scheduler.fail(now, counted=False, jitter=nominal) is Failure.RETRY
        assert scheduler.wake_ms is not None
        delays.append((scheduler.wake_ms - now) // 1000)
        now = scheduler.wake_ms
        assert scheduler.fire(now) == AlarmInfo(0, False, T)
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]


def test_a_counted_failure_after_an_uncounted_one_restarts_the_backoff() -> None:
    """AL-25: once; the next counted one goes on from there, and an uncounted one does not restart it."""
    scheduler = running()
    now = T
    delays = []
    for counted in (False, False, False, True, True, False, True):
        scheduler.fail(now, counted=counted, jitter=nominal)
        assert scheduler.wake_ms is not None
        delays.append((scheduler.wake_ms - now) // 1000)
        now = scheduler.wake_ms
        scheduler.fire(now)
    assert delays == [2, 4, 8, 2, 4, 8, 2]


def test_the_seventh_failure_is_retried_if_it_does_not_count() -> None:
    """AL-24."""
    scheduler = running()
    for _ in range(MAX_COUNTED_RETRIES):
        scheduler.fail(T, counted=True, jitter=nominal)
        scheduler.fire(T * 2)
    assert scheduler.fail(T, counted=False, jitter=nominal) is Failure.RETRY
    assert scheduler.fire(T * 2) == AlarmInfo(6, True, T)
    assert scheduler.fail(T, counted=True, jitter=nominal) is Failure.ABANDONED


def test_a_time_set_before_the_throw_replaces_the_retry() -> None:
    """AL-21, LT-58: counters restart; also after the last counted retry."""
    scheduler = running()
    for _ in range(MAX_COUNTED_RETRIES):
        scheduler.fail(T, counted=True, jitter=nominal)
        scheduler.fire(T * 2)
    scheduler.schedule(T + 5)
    assert scheduler.fail(T, counted=True, jitter=nominal) is Failure.REPLACED
    assert scheduler.wake_ms == T + 5
    assert scheduler.fire(T + 5) == AlarmInfo(0, False, T + 5)


def test_between_retries_the_alarm_can_be_deleted_or_set_anew() -> None:
    """AL-30, LT-56."""
    scheduler = running()
    scheduler.fail(T, counted=True, jitter=nominal)
    assert scheduler.phase is AlarmPhase.BACKOFF
    scheduler.cancel()
    assert scheduler.wake_ms is None
    scheduler = running()
    scheduler.fail(T, counted=True, jitter=nominal)
    scheduler.schedule(T + 9)
    assert scheduler.fire(T + 9) == AlarmInfo(0, False, T + 9)


def test_an_abort_without_retry_abandons_the_alarm() -> None:
    """AL-26, LT-64."""
    scheduler = running()
    assert scheduler.abandon() is Failure.ABANDONED
    assert scheduler.wake_ms is None
    scheduler = running()
    scheduler.schedule(T + 1)
    assert scheduler.abandon() is Failure.REPLACED
    assert scheduler.wake_ms == T + 1


@pytest.mark.parametrize("phase", list(AlarmPhase))
@pytest.mark.parametrize("verb", ["succeed", "abandon", "fail"])
def test_only_a_run_can_end(phase: AlarmPhase, verb: str) -> None:
    scheduler = AlarmScheduler()
    scheduler.phase = phase
    calls = {
        "succeed": scheduler.succeed,
        "abandon": scheduler.abandon,
        "fail": lambda: scheduler.fail(T, counted=True, jitter=nominal),
    }
    if phase in (AlarmPhase.RUNNING, AlarmPhase.QUEUED):
        scheduler.scheduled_ms = scheduler.queued_ms = T
        calls[verb]()
    else:
        with pytest.raises(SimulatorError, match="no such transition"):
            calls[verb]()


def test_every_phase_can_be_scheduled_and_cancelled() -> None:
    for phase in AlarmPhase:
        assert (phase, "schedule") in TRANSITIONS
        assert (phase, "cancel") in TRANSITIONS


@pytest.mark.parametrize(
    "before, after, told",
    [(None, T, True), (T, T - 1, True), (T, T + 1, False), (T, T, False), (T, None, False), (None, None, False)],
)
def test_the_scheduler_hears_of_an_earlier_time_before_the_commit(
    before: int | None, after: int | None, told: bool
) -> None:
    """AL-8."""
    assert told_before_commit(before, after) is told


# ------------------------------------------------------------------------------------------- stored


def test_a_past_time_becomes_now() -> None:
    """AL-2, LT-54."""
    stored = Stored()
    assert stored.get() is None
    assert stored.set(1, T)
    assert stored.get() == T


@pytest.mark.parametrize("at_ms", [0, -1])
def test_a_time_that_is_not_positive_is_refused(at_ms: int) -> None:
    """AL-2."""
    stored = Stored(T)
    with pytest.raises(TypeError, match=r"^setAlarm\(\) cannot be called with an alarm time <= 0$"):
        stored.set(at_ms, T)
    assert stored.get() == T


def test_setting_the_same_time_again_is_no_write() -> None:
    """AL-7."""
    stored = Stored()
    assert stored.set(T + 1, T)
    assert not stored.set(T + 1, T)
    assert stored.delete()
    assert not stored.delete()


def test_in_the_handler_the_alarm_is_gone_and_after_success_it_is() -> None:
    """AL-5, AL-17."""
    stored = Stored(T)
    assert stored.begin(T, T) is Arming.RUN
    assert stored.get() is None
    assert stored.store.alarm_ms == T
    assert stored.end(succeeded=True)
    assert (stored.get(), stored.store.alarm_ms) == (None, None)


def test_after_a_failure_the_time_is_seen_again() -> None:
    """AL-5, LT-56."""
    stored = Stored(T)
    stored.begin(T, T)
    assert not stored.end(succeeded=False)
    assert stored.get() == T


def test_a_time_set_in_the_handler_stands() -> None:
    """AL-17, LT-57; also the very same time again."""
    for at_ms in (T, T + 50):
        stored = Stored(T)
        stored.begin(T, T)
        assert stored.set(at_ms, T) is (at_ms != T)
        assert stored.get() == at_ms
        assert not stored.end(succeeded=True)
        assert stored.get() == at_ms


def test_after_a_deletion_in_the_handler_the_retry_is_called_off() -> None:
    """AL-29."""
    stored = Stored(T)
    stored.begin(T, T)
    assert stored.delete()
    assert not stored.end(succeeded=False)
    assert stored.get() is None
    assert stored.begin(T, T + 2000) is Arming.CALL_OFF


def test_a_rolled_back_transaction_puts_time_and_deletion_back() -> None:
    """AL-4, AL-20, LT-61."""
    stored = Stored(T)
    frame = stored.store.push(explicit=False)
    stored.set(T + 5, T)
    stored.store.undo(frame)
    assert stored.get() == T
    stored.begin(T, T)
    frame = stored.store.push(explicit=False)
    stored.set(T + 5, T)
    stored.store.undo(frame)
    assert stored.get() is None
    assert stored.end(succeeded=True)


@pytest.mark.parametrize(
    "value, clean, expected",
    [
        (T, True, Arming.RUN),
        (T, False, Arming.RUN),
        (T + 5000, True, Arming.RESCHEDULE),
        (T + 5, True, Arming.RUN),  # past by now
        (T + 5000, False, Arming.RUN),
        (None, True, Arming.CALL_OFF),
        (None, False, Arming.RUN),
    ],
)
def test_a_wake_up_is_compared_with_the_stored_time(value: int | None, clean: bool, expected: Arming) -> None:
    """AL-9, AL-10: the clock shows ten milliseconds more than the time that fired."""
    assert arming(value, T, T + 10, clean=clean) is expected


# ------------------------------------------------------------------------------------------- both


@given(st.lists(st.sampled_from(["set", "delete", "throw", "internal", "return", "crash", "wait"]), max_size=40))
@settings(max_examples=200, deadline=None)
def test_an_alarm_that_is_set_is_never_lost(steps: list[str]) -> None:
    """AL-8, AL-10, AL-11, AL-28: while `get` shows a time, the scheduler is going to wake the object.

    Commits are instant here; what `get` shows outside a run is exactly what the scheduler has.
    """
    now = T
    scheduler, stored = AlarmScheduler(), Stored()
    running: AlarmInfo | None = None
    for step in steps:
        if step == "set":
            if stored.set(now + 3000, now):
                scheduler.schedule(now + 3000)
        elif step == "delete":
            stored.delete()
            scheduler.cancel()
        elif running is None:
            if step == "crash":
                stored = stored.restarted()
            else:
                now = max(now, scheduler.wake_ms or now)
                running = scheduler.fire(now)
                if running is not None:
                    verdict = stored.begin(running.scheduled_time, now)
                    if verdict is not Arming.RUN:
                        assert verdict is Arming.CALL_OFF
                        scheduler.succeed()
                        running = None
        elif step == "return":
            stored.end(succeeded=True)
            scheduler.succeed()
            running = None
        elif step != "wait":
            if step == "crash":
                stored = stored.restarted()
            else:
                stored.end(succeeded=False)
            if scheduler.fail(now, counted=step == "throw", jitter=nominal) is Failure.ABANDONED:
                stored.delete()
            running = None
        shown = stored.get()
        if running is None:
            if shown is not None:
                assert scheduler.wake_ms is not None
                assert scheduler.scheduled_ms == shown
        else:
            assert shown == scheduler.queued_ms

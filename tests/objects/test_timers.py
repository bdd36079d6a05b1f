"""Timers of one owner against a naive model: a list that is searched each time (TM-3 to TM-6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lumenize_sim.objects.timers import OwnerTimers, Timer, delay_ms


class Handle:
    """What a host gives for one event."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def cancel(self) -> None:
        self.host.armed = None


class Host:
    """Arms one event at a time."""

    def __init__(self) -> None:
        self.armed: tuple[int, Callable[[], None]] | None = None
        self.now_us = 0

    def arm(self, due_us: int, nth: int, fire: Callable[[], None]) -> Handle:
        assert self.armed is None, "one at a time (TM-4)"
        self.armed = (due_us, fire)
        return Handle(self)


class Histories(RuleBasedStateMachine):
    """Sets, calls off, fires and passes timers in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.host = Host()
        self.timers = OwnerTimers(self.host.arm)
        self.pending: list[tuple[int, int, Timer]] = []
        self.sets = 0
        self.waits_at_gate: Timer | None = None
        self.ran: list[int] = []

    def _set(self, due_us: int) -> None:
        timer: Timer = self.timers.set(due_us, lambda: None, self.host.now_us)
        timer.callback = lambda: self._fired(timer)
        self.pending.append((due_us, self.sets, timer))
        self.sets += 1

    def _fired(self, timer: Timer) -> None:
        expected = min(self.pending)
        assert expected[2] is timer, "not the first by due time, and then by creation"
        self.pending.remove(expected)
        self.waits_at_gate = timer

    @rule(delay_us=st.integers(0, 5))
    def set(self, delay_us: int) -> None:
        self._set(self.host.now_us + delay_us)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def call_off(self, data: Any) -> None:
        chosen = data.draw(st.sampled_from(range(len(self.pending))))
        _, _, timer = self.pending.pop(chosen)
        timer.cancel()
        timer.cancel()

    @precondition(lambda self: self.host.armed is not None)
    @rule()
    def fire(self) -> None:
        assert self.host.armed is not None
        due_us, fire = self.host.armed
        self.host.armed = None
        self.host.now_us = max(self.host.now_us, due_us)
        fire()

    @precondition(lambda self: self.waits_at_gate is not None)
    @rule(again_us=st.one_of(st.none(), st.integers(1, 4)), cancelled=st.booleans())
    def begin(self, again_us: int | None, cancelled: bool) -> None:
        """The gate lets it through; an interval is set again, unless it was called off meanwhile."""
        timer, self.waits_at_gate = self.waits_at_gate, None
        assert timer is not None
        if cancelled:
            timer.cancel()
        if again_us is not None:
            self.timers.again(timer, self.host.now_us + again_us, self.host.now_us)
            if not cancelled:
                self.pending.append((self.host.now_us + again_us, self.sets, timer))
                self.sets += 1
        self.timers.passed()

    @invariant()
    def one_is_armed_and_it_is_the_first(self) -> None:
        gate = self.waits_at_gate
        assert len(self.timers) == len(self.pending) + (gate is not None)
        earliest = min(self.pending)[0] if self.pending else None
        if gate is not None:
            assert self.host.armed is None, "a timer that waits at the gate delays all later ones (TM-5)"
            assert self.timers.earliest_us() == gate.due_us
        else:
            assert self.timers.earliest_us() == earliest
            assert (self.host.armed is None) == (not self.pending)
            assert self.host.armed is None or self.host.armed[0] == earliest
        newest = max((timer.since_us for _, _, timer in self.pending), default=-1)
        assert self.timers.newest_us() == newest

    def teardown(self) -> None:
        self.timers.drop()
        assert (self.host.armed, len(self.timers), self.timers.earliest_us()) == (None, 0, None)


TestHistories = Histories.TestCase


@pytest.mark.parametrize(
    "delay_s, expected_ms",
    [
        (0, 0), (-1, 0), (float("nan"), 0), (float("-inf"), 0), (0.0009, 0), (0.001, 1), (0.0019, 1), (0.057, 57),
        (1.001, 1001), (16.1, 16_100), (float("inf"), 3_153_600_000_000), (1e300, 3_153_600_000_000),
    ],
)  # fmt: skip
def test_delays_are_whole_milliseconds(delay_s: float, expected_ms: int) -> None:
    """TM-3."""
    assert delay_ms(delay_s) == expected_ms

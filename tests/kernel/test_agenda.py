"""The agenda: enabled events in order of creation, waiting ones by time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.event import Event


def event(label: str, *, background: bool = False) -> Event:
    actor: Any = None
    return Event(label, actor, lambda: None, receiver="r", background=background)


def waiting(agenda: Agenda, label: str, due_us: int, *, late: bool = False, background: bool = False) -> Event:
    made = event(label, background=background)
    agenda.stamp(made)
    agenda.wait(made, due_us, late=late)
    return made


def labels(agenda: Agenda) -> list[str]:
    return [e.label for e in agenda.enabled]


def test_enabled_events_stand_in_order_of_creation_whenever_they_are_enabled() -> None:
    """First come, first served is by creation: the head of a link that was freed late is older than newer events."""
    agenda = Agenda()
    made = [event(name) for name in "abc"]
    for e in made:
        agenda.stamp(e)
    for index in (2, 0, 1):
        agenda.enable(made[index])
    assert labels(agenda) == ["a", "b", "c"]


def test_timers_of_one_time_fire_in_the_order_in_which_they_were_set() -> None:
    """Trio would order them by object address."""
    agenda = Agenda()
    for name in "cab":
        waiting(agenda, name, 5)
    assert agenda.next_due_us() == 5
    agenda.advance(5)
    assert labels(agenda) == ["c", "a", "b"]


def test_a_message_made_late_comes_after_the_timers_that_overtook_it() -> None:
    """Lateness is chosen so that the timer wins; equal times must not undo that."""
    agenda = Agenda()
    waiting(agenda, "message", 5, late=True)
    waiting(agenda, "timer", 5)
    agenda.advance(5)
    assert labels(agenda) == ["timer", "message"]


def test_what_falls_due_gets_a_new_place_in_line() -> None:
    """A timer set long ago could not have happened before now, so it is no older than what is enabled already."""
    agenda = Agenda()
    waiting(agenda, "timer", 5)
    later = event("message")
    agenda.stamp(later)
    agenda.enable(later)
    agenda.advance(5)
    assert labels(agenda) == ["message", "timer"]


def test_time_never_runs_backwards() -> None:
    agenda = Agenda()
    agenda.advance(7)
    agenda.advance(3)
    assert agenda.now_us == 7


def test_a_cancelled_event_never_happens_and_cancelling_again_changes_nothing() -> None:
    agenda = Agenda()
    timer, enabled = waiting(agenda, "timer", 5), event("enabled")
    agenda.stamp(enabled)
    agenda.enable(enabled)
    for _ in range(2):
        agenda.cancel(timer)
        agenda.cancel(enabled)
    assert labels(agenda) == []
    assert agenda.next_due_us() is None
    assert agenda.foreground == 0
    agenda.advance(9)
    assert labels(agenda) == []


def test_cancelling_what_has_happened_is_harmless() -> None:
    agenda = Agenda()
    timer = waiting(agenda, "timer", 5)
    agenda.advance(5)
    agenda.enabled.clear()
    agenda.cancel(timer)
    assert agenda.foreground == 0


def test_a_cancelled_event_behind_the_head_is_passed_over_when_time_comes() -> None:
    agenda = Agenda()
    waiting(agenda, "first", 1)
    agenda.cancel(waiting(agenda, "second", 2))
    waiting(agenda, "third", 3)
    agenda.advance(3)
    assert labels(agenda) == ["first", "third"]


def test_housekeeping_does_not_count_as_foreground() -> None:
    """A settled world need not wait for heartbeats."""
    agenda = Agenda()
    waiting(agenda, "beat", 1, background=True)
    assert agenda.next_due_us() == 1
    assert agenda.next_due_us(foreground=True) is None
    waiting(agenda, "timer", 4)
    assert agenda.next_due_us(foreground=True) == 4
    agenda.advance(1)
    assert agenda.next_due_us(foreground=True) == 4
    assert agenda.foreground == 1
    beat = waiting(agenda, "beat", 9, background=True)
    agenda.cancel(beat)
    assert agenda.foreground == 1


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.booleans(), st.booleans()), max_size=12),
    st.lists(st.integers(0, 25), max_size=6),
)
def test_every_waiting_event_comes_once_in_order_of_time_unless_cancelled(
    timers: list[tuple[int, bool, bool, bool]], steps: list[int]
) -> None:
    """Whatever is set, cancelled and advanced: (time, timers before late ones, order of creation)."""
    agenda = Agenda()
    expected: list[tuple[int, bool, int]] = []
    for nth, (due, late, background, cancelled) in enumerate(timers):
        made = waiting(agenda, str(nth), due + 1, late=late, background=background)
        if cancelled:
            agenda.cancel(made)
        else:
            expected.append((due + 1, late, nth))
    for to in sorted(steps):
        agenda.advance(to)
    agenda.advance(100)
    assert labels(agenda) == [str(nth) for _, _, nth in sorted(expected)]
    assert agenda.foreground == 0
    assert agenda.next_due_us() is None

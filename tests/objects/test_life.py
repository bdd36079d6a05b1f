"""The tables of life and of endings, without a machine (LC-10 to LC-37, table 1.4)."""

from __future__ import annotations

import pytest

from lumenize_sim.objects.ending import ENDINGS
from lumenize_sim.objects.life import PASSAGES, Kept, Life
from lumenize_sim.objects.work import Work

IN_MEMORY = [Life.CONSTRUCTING, Life.ACTIVE, Life.IDLE_HIBERNATEABLE, Life.IDLE_NON_HIBERNATEABLE]
ASLEEP = [Life.INACTIVE, Life.HIBERNATED]


def test_every_state_is_reached_and_left() -> None:
    """1.3."""
    # What an idle object is called depends on what it waits for, so the table has one of the two.
    assert {passage.to for passage in PASSAGES.values()} == {*Life} - {Life.IDLE_NON_HIBERNATEABLE}
    assert {state for state, _ in PASSAGES} == {*Life}


def test_every_ending_has_a_row_from_some_state() -> None:
    """1.4."""
    assert {ending.verb for ending in ENDINGS.values()} == {"hibernate", "evict", "replace", "break"}
    for ending in ENDINGS.values():
        assert any(verb == ending.verb for _, verb in PASSAGES)


@pytest.mark.parametrize("state", ASLEEP)
def test_who_is_not_in_memory_wakes_by_an_event_and_by_nothing_else(state: Life) -> None:
    """LC-24: the constructor runs on every wake; what was kept is still there."""
    passage = PASSAGES[state, "event"]
    assert (passage.to, passage.kept.memory, passage.kept.sockets) == (Life.CONSTRUCTING, False, True)
    assert (state, "hibernate") not in PASSAGES
    assert (state, "break") not in PASSAGES


@pytest.mark.parametrize("state", IN_MEMORY)
def test_whoever_is_in_memory_may_break(state: Life) -> None:
    """LC-31 to LC-37: memory, unflushed writes and sockets are lost."""
    passage = PASSAGES[state, "break"]
    assert (passage.to, passage.kept) == (Life.INACTIVE, Kept())


def test_only_who_is_hibernateable_hibernates_and_only_who_is_idle_is_evicted() -> None:
    """LC-14, LC-15, LC-17, LC-20: sockets stay in the one case."""
    assert [state for state, verb in PASSAGES if verb == "hibernate"] == [Life.IDLE_HIBERNATEABLE]
    kept = PASSAGES[Life.IDLE_HIBERNATEABLE, "hibernate"].kept
    assert kept == Kept(unflushed=True, sockets=True)
    evicted = [state for state, verb in PASSAGES if verb == "evict"]
    assert evicted == [Life.IDLE_HIBERNATEABLE, Life.IDLE_NON_HIBERNATEABLE, Life.HIBERNATED]
    assert {PASSAGES[state, "evict"].kept for state in evicted} == {Kept(unflushed=True)}


def test_a_throw_changes_nothing_and_a_replacement_lets_finish() -> None:
    """LC-11, LC-26, LC-30."""
    assert PASSAGES[Life.ACTIVE, "throw"].kept == Kept(memory=True, unflushed=True, sockets=True, in_flight=True)
    assert PASSAGES[Life.ACTIVE, "replace"].kept == Kept(unflushed=True, in_flight=True)


def test_gentle_ends_break_no_stub() -> None:
    """RPC-8."""
    assert [kind for kind, ending in ENDINGS.items() if not ending.breaks_stubs] == ["hibernate", "evict"]


def test_lost_processes_and_failed_flushes_cost_an_alarm_no_retry() -> None:
    """AL-24, AL-28."""
    uncounted = {kind for kind, ending in ENDINGS.items() if not ending.counted}
    assert uncounted == {"hibernate", "evict", "deploy", "relocate", "flush-failed", "lock-timeout", "crash"}


def test_work_is_counted_and_the_youngest_known() -> None:
    """LC-18."""
    work = Work()
    assert (work.pending, work.newest_us()) == (0, -1)
    first, second = work.begin(5), work.begin(7)
    assert (work.pending, work.newest_us()) == (2, 7)
    work.end(second)
    work.end(second)
    assert (work.pending, work.newest_us()) == (1, 5)
    work.end(first)
    assert (work.pending, work.newest_us()) == (0, -1)
    assert "pending=0" in repr(work)

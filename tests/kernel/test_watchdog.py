"""The watchdog: a turn that spins is broken off, one that moves is not."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from lumenize_sim.kernel import watchdog
from lumenize_sim.kernel.watchdog import TurnTimeout, watching


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def never() -> None:
    raise AssertionError("nobody asked for this")


def test_a_turn_that_never_moves_is_broken_off() -> None:
    with pytest.raises(TurnTimeout, match="never waited"), watching(0.1, lambda: (1, 1), never):
        spin(10)


def test_a_run_that_moves_is_left_alone() -> None:
    counter = iter(range(1_000_000))
    with watching(0.1, lambda: (next(counter), 0), never):
        spin(0.8)


def test_a_turn_whose_tasks_take_steps_is_cut_short_by_the_queue() -> None:
    """An exception raised from outside might hit Trio itself."""
    steps = iter(range(1_000_000))
    asked = threading.Event()
    with watching(0.1, lambda: (7, next(steps)), asked.set):
        assert asked.wait(5)


def test_the_block_stops_watching_when_it_is_left() -> None:
    with watching(0.05, lambda: (1, 1), never):
        pass
    spin(0.6)
    assert watchdog._watches == []


def test_two_threads_are_watched_apart() -> None:
    ends: dict[str, Any] = {}

    def watched(name: str, progress: Any) -> None:
        try:
            with watching(0.1, progress, never):
                spin(1.0)
        except TurnTimeout as error:
            ends[name] = error

    counter = iter(range(1_000_000))
    threads = [
        threading.Thread(target=watched, args=("stuck", lambda: (1, 1))),
        threading.Thread(target=watched, args=("busy", lambda: (next(counter), 0))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(ends) == ["stuck"]


def test_the_thread_goes_when_nobody_has_been_watched_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that simulated something must not keep a thread for ever."""
    sleeps = iter(range(100))

    def quick(_: float) -> None:
        next(sleeps)

    monkeypatch.setattr(watchdog.time, "sleep", quick)
    monkeypatch.setattr(watchdog, "_thread", threading.current_thread())
    watchdog._watch()
    assert watchdog._thread is None

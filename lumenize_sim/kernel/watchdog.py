"""Breaks off a turn that never yields: `while True: pass` in a handler.

A spinning turn cannot be noticed from inside, so a thread watches whether the counters
of the run move.  When no event has happened for too long and no task has taken a step
either, the exception `TurnTimeout` is raised in the running thread, which then is in code
of the app.  Where tasks do take steps it might be in Trio, which would not survive that, so
the run queue is asked to end the turn.  This is the only use of real time in a run, and
it can only turn a hang into an ending.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["TurnTimeout", "watching"]


class TurnTimeout(BaseException):
    """A turn took longer than its budget of real time."""

    def __init__(self) -> None:
        super().__init__("a turn has been running for longer than its budget and never waited")


class _Watch:
    """One watched run."""

    __slots__ = ("cut_short", "events", "limit_s", "progress", "since", "stepped", "steps", "thread_id")

    def __init__(
        self, thread_id: int, limit_s: float, progress: Callable[[], tuple[int, int]], cut_short: Callable[[], None]
    ) -> None:
        self.thread_id = thread_id
        self.limit_s = limit_s
        self.progress = progress
        self.cut_short = cut_short
        self.events = self.steps = -1
        self.since = self.stepped = 0.0

    def look(self, now: float) -> None:
        """See whether the run has moved."""
        events, steps = self.progress()
        if steps != self.steps:
            self.steps, self.stepped = steps, now
        if events != self.events:
            self.events, self.since = events, now
        elif now - self.since > self.limit_s:
            if now - self.stepped > self.limit_s:
                self.stepped = now
                raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
                raise_in(ctypes.c_ulong(self.thread_id), ctypes.py_object(TurnTimeout))
            else:
                self.cut_short()


_lock = threading.Lock()
_watches: list[_Watch] = []
_thread: threading.Thread | None = None
_monotonic = time.monotonic


def _watch() -> None:
    global _thread
    idle = 0
    while True:
        time.sleep(0.25)
        with _lock:
            now = _monotonic()
            idle = 0 if _watches else idle + 1
            if idle > 40:
                _thread = None
                return
            for watch in _watches:
                watch.look(now)


@contextmanager
def watching(
    limit_s: float, progress: Callable[[], tuple[int, int]], cut_short: Callable[[], None]
) -> Generator[None, None, None]:
    """Watch the calling thread until the block is left.

    Args:
        limit_s: real seconds without an event after which to act.
        progress: counts of events and of task steps so far.
        cut_short: asks the run to end a turn whose tasks still take steps.
    """
    global _thread
    watch = _Watch(threading.get_ident(), limit_s, progress, cut_short)
    with _lock:
        _watches.append(watch)
        if _thread is None:
            _thread = threading.Thread(target=_watch, name="lumenize-sim-watchdog", daemon=True)
            _thread.start()
    try:
        yield
    finally:
        with _lock:
            _watches.remove(watch)

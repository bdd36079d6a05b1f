"""Breaks off a turn that never yields: `while True: pass` in a handler.

A spinning turn cannot be noticed from inside, so a thread watches whether the step
counter of the run moves.  When it has not for too long, the exception `TurnTimeout`
is raised in the running thread.  This is the only use of real time in a run, and it
can only turn a hang into an ending.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["TurnTimeout", "watching"]


class TurnTimeout(BaseException):
    """A turn took longer than its budget of real time."""

    def __init__(self) -> None:
        super().__init__("a turn has been running for longer than its budget and never waited")


class _Watch:
    """One watched run."""

    __slots__ = ("last", "limit_s", "since", "steps", "thread_id")

    def __init__(self, thread_id: int, limit_s: float, steps: Callable[[], int]) -> None:
        self.thread_id = thread_id
        self.limit_s = limit_s
        self.steps = steps
        self.last = -1
        self.since = 0.0


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
                steps = watch.steps()
                if steps != watch.last:
                    watch.last, watch.since = steps, now
                elif now - watch.since > watch.limit_s:
                    watch.since = now
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(watch.thread_id), ctypes.py_object(TurnTimeout)
                    )


@contextmanager
def watching(limit_s: float, steps: Callable[[], int]) -> Iterator[None]:
    """Watch the calling thread until the block is left."""
    global _thread
    watch = _Watch(threading.get_ident(), limit_s, steps)
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

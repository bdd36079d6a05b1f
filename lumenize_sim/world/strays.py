"""Strays: the clock and the randomness that app code reaches for by habit are virtual too.

Time goes through time-machine, because patching attributes reaches neither captured
references nor `datetime`.  Randomness: the module-level generator of `random` is
reseeded, and `os.urandom` and `random._urandom` (which `uuid` and `secrets` end in)
draw from the run.

Not virtual: `time.monotonic`, `time.perf_counter` and friends; `random.Random()` without
a seed (the interpreter reads the system's entropy in C); `uuid.uuid1` and `uuid.getnode`;
file-system order, environment variables, process ids.
"""

from __future__ import annotations

import os
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import time_machine

from lumenize_sim.errors import AppError

__all__ = ["Strays"]

_real_urandom = os.urandom
_real_thread_start = threading.Thread.start
_real_unawaited: Any = getattr(warnings, "_warn_unawaited_coroutine", None)


class Strays:
    """The stray effects of one run.

    Args:
        epoch_ms: what the clock says first.
        seed: for the generators.
        on_unawaited: told of a coroutine of the app that nobody awaited.
    """

    def __init__(self, epoch_ms: int, seed: int, on_unawaited: Callable[[Any], None]) -> None:
        self._epoch_ms = epoch_ms
        self._seed = seed
        self._on_unawaited = on_unawaited
        self._clock: Any = None

    def move(self, now_us: int) -> None:
        """Virtual time has moved."""
        self._clock.move_to(self._epoch_ms / 1000 + now_us / 1_000_000)

    @contextmanager
    def virtual(self) -> Iterator[None]:
        """Within the block, on this thread, strays belong to the run."""
        bytes_of = random.Random(self._seed).randbytes
        thread = threading.get_ident()

        def urandom(size: int) -> bytes:
            return bytes_of(size) if threading.get_ident() == thread else _real_urandom(size)

        def start(self: threading.Thread) -> None:
            if threading.get_ident() == thread and self.name != "lumenize-sim-watchdog":
                raise AppError(
                    f"thread {self.name!r} was started in simulated code: threads cannot be replayed. "
                    "Do the work in the handler, or call a Worker."
                )
            _real_thread_start(self)

        state = random.getstate()
        random.seed(self._seed)
        traveller = time_machine.travel(self._epoch_ms / 1000, tick=False)
        self._clock = traveller.start()
        os.urandom = urandom
        random._urandom = urandom  # type: ignore[attr-defined]  # what uuid and secrets end in
        threading.Thread.start = start  # type: ignore[method-assign]  # refused by name
        warnings._warn_unawaited_coroutine = self._on_unawaited  # type: ignore[attr-defined]  # the interpreter looks it up here
        try:
            yield
        finally:
            warnings._warn_unawaited_coroutine = _real_unawaited  # type: ignore[attr-defined]  # as above
            threading.Thread.start = _real_thread_start  # type: ignore[method-assign]  # as above
            random._urandom = _real_urandom  # type: ignore[attr-defined]  # as above
            os.urandom = _real_urandom
            traveller.stop()
            random.setstate(state)

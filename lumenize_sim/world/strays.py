"""Strays: the clock and the randomness that app code reaches for by habit are virtual too.

Time goes through time-machine, because patching attributes reaches neither captured
references nor `datetime`.  Randomness: the functions of the module `random`, `os.urandom`
and `random._urandom` (which `uuid` and `secrets` end in) draw from a generator of whoever
runs.  One stream for everybody would hand out its values in the order of the schedule, so
that two actors that never meet would still not commute.

A function of `random` that was captured before the run (`from random import choice`)
draws from a seeded stream for all.

Not virtual: `time.monotonic`, `time.perf_counter` and friends; `random.Random()` without
a seed (the interpreter reads the system's entropy in C); `uuid.uuid1` and `uuid.getnode`;
file-system order, environment variables, process ids.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import time_machine

from lumenize_sim.errors import AppError
from lumenize_sim.objects.strand import strand_var
from lumenize_sim.world.randomness import generator

__all__ = ["Strays"]

#: Functions of the module `random`, which are bound methods of one hidden generator.
_FUNCTIONS = tuple(
    name for name in random.__all__ if callable(getattr(random, name)) and not isinstance(getattr(random, name), type)
)
_real_functions = {name: getattr(random, name) for name in _FUNCTIONS}
_real_urandom = os.urandom
_real_thread_start = threading.Thread.start
_real_unawaited: Any = getattr(warnings, "_warn_unawaited_coroutine", None)


#: Ways out of the process: owner, attribute, and what to say.
_WAYS_OUT: tuple[tuple[Any, str, str], ...] = (
    (subprocess.Popen, "__init__", "a subprocess"),
    (os, "system", "os.system"),
    (os, "fork", "os.fork"),
    (socket.socket, "connect", "a real socket"),
    (socket.socket, "bind", "a real socket"),
)


class _OwnersRandom(random.Random):
    """A generator that is, at each draw, the one of whoever runs.  The rest of its methods end in these."""

    def __init__(self, of_running: Callable[[], random.Random]) -> None:
        self._of_running = of_running
        super().__init__(0)

    def random(self) -> float:
        return self._of_running().random()

    def getrandbits(self, k: int, /) -> int:
        return self._of_running().getrandbits(k)

    def seed(self, a: Any = None, version: int = 2) -> None:
        if self.__dict__:
            self._of_running().seed(0 if a is None else a, version)

    def getstate(self) -> Any:
        return self._of_running().getstate()

    def setstate(self, state: Any) -> None:
        self._of_running().setstate(state)


def _refusing(thread: int, what: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """``real`` for other threads; refused by name on the one that simulates."""

    def refuse(*args: Any, **options: Any) -> Any:
        if threading.get_ident() != thread:
            return real(*args, **options)
        raise AppError(
            f"{what} was used in simulated code: what is outside the process cannot be replayed. "
            "Put it behind a Worker of your own, and simulate that."
        )

    return refuse


class Strays:
    """The stray effects of one run.

    Args:
        epoch_ms: what the clock says first.
        seed: for the generators.
        now_us: microseconds since then, as whoever reads the clock sees them.
        on_unawaited: told of a coroutine of the app that nobody awaited.
    """

    def __init__(
        self, epoch_ms: int, seed: int, now_us: Callable[[], int], on_unawaited: Callable[[Any], None]
    ) -> None:
        self._epoch_ms = epoch_ms
        self._seed = seed
        self._now_us = now_us
        self._on_unawaited = on_unawaited

    @contextmanager
    def virtual(self) -> Generator[None, None, None]:
        """Within the block, on this thread, strays belong to the run."""
        thread = threading.get_ident()
        streams: dict[str, random.Random] = {}

        def of_running() -> random.Random:
            strand = strand_var.get()
            name = "" if strand is None else strand.owner.name
            if name not in streams:
                streams[name] = generator(self._seed, name)
            return streams[name]

        def urandom(size: int) -> bytes:
            return of_running().randbytes(size) if threading.get_ident() == thread else _real_urandom(size)

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
        clock: Any = traveller.start()
        # Asked at each reading, because the clocks of two owners need not agree.
        clock.time_ns = lambda: self._epoch_ms * 1_000_000 + self._now_us() * 1000
        ways = [(owner, name, getattr(owner, name)) for owner, name, _ in _WAYS_OUT if hasattr(owner, name)]
        for owner, name, what in _WAYS_OUT:
            if hasattr(owner, name):
                setattr(owner, name, _refusing(thread, what, getattr(owner, name)))
        owners = _OwnersRandom(of_running)
        for name in _FUNCTIONS:
            setattr(random, name, getattr(owners, name))
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
            for owner, name, way in ways:
                setattr(owner, name, way)
            os.urandom = _real_urandom
            for name, function in _real_functions.items():
                setattr(random, name, function)
            traveller.stop()
            random.setstate(state)

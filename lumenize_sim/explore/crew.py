"""Crews: who runs the units of a sweep, on one machine or on many.

All have the same interface, that of `concurrent.futures`: a task goes in, a future of its
answer comes out.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from queue import SimpleQueue
from typing import Any, Protocol

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.hand import Hand, run_apart

__all__ = ["Crew", "Executors", "Hands", "crew_of"]

#: An executor that breaks so often without anything done in between is not made anew.
_TRIES = 5


class Crew(Protocol):
    """Whoever runs tasks.

    Attributes:
        width: tasks that should be under way at a time.
    """

    @property
    def width(self) -> int: ...

    def submit(self, task: str) -> Future[str]:
        """Begin with a task.  Raises `BrokenExecutor` where nobody is there any more."""
        ...

    def renew(self) -> None:
        """After `BrokenExecutor`: others take over."""

    def stop(self) -> None:
        """Nothing more is wanted; what is under way is dropped.  May be called twice."""


class Hands:
    """Processes on this machine."""

    def __init__(self, jobs: int) -> None:
        self.width = jobs
        self._hands = [Hand() for _ in range(jobs)]
        self._free: SimpleQueue[Hand] = SimpleQueue()
        for hand in self._hands:
            self._free.put(hand)
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="lumenize-sim-hand")

    def submit(self, task: str) -> Future[str]:
        """A thread waits for the answer of a hand."""
        return self._threads.submit(self._run, task)

    def _run(self, task: str) -> str:
        hand = self._free.get()
        try:
            return hand.run(task)
        finally:
            self._free.put(hand)

    def renew(self) -> None:
        """A hand that died is started anew at its next task; threads do not break."""

    def stop(self) -> None:
        """Kill all."""
        for hand in self._hands:
            hand.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for hand in self._hands:
            hand.close()


class Executors:
    """An executor of somebody else, and where it is a process pool that breaks, others like it.

    Args:
        executor: any; what it runs must find this package and the scenario's file.
        width: tasks under way at a time; by default what the executor says of itself.
        client: closed in the end.
    """

    def __init__(self, executor: Executor, *, width: int | None = None, client: Any = None) -> None:
        workers = getattr(executor, "_max_workers", None)
        self._workers = workers if isinstance(workers, int) else os.cpu_count() or 1
        self.width = width or 2 * self._workers
        self._executor = executor
        self._own: list[Executor] = []
        self._client = client
        self._broken = 0
        self._futures: list[Future[str]] = []

    def submit(self, task: str) -> Future[str]:
        """Hand it on."""
        self._futures = [future for future in self._futures if not future.done()]
        future: Future[str] = self._executor.submit(run_apart, task)
        self._futures.append(future)
        return future

    def renew(self) -> None:
        """Another process pool.

        Raises:
            UsageError: it was no process pool, or pools break all the time.
        """
        self._broken += 1
        if not isinstance(self._executor, ProcessPoolExecutor) or self._broken >= _TRIES:
            raise UsageError(
                f"{type(self._executor).__name__} is broken, and nothing runs on it any more: explore again with "
                "another executor; with a journal nothing that was done is lost."
            )
        self._executor = ProcessPoolExecutor(self._workers)
        self._own.append(self._executor)

    def stop(self) -> None:
        """Cancel what has not begun, and close what is our own."""
        for future in self._futures:
            future.cancel()
        for executor in self._own:
            executor.shutdown(wait=False, cancel_futures=True)
        client, self._client = self._client, None
        if client is not None:
            client.close()


def crew_of(jobs: int, on: Executor | str | None) -> Crew | None:
    """The crew that is asked for; ``None`` where this process does everything itself.

    Raises:
        UsageError: there is no such crew, or a library is missing.
    """
    if jobs < 1:
        raise UsageError(f"jobs={jobs}: give at least 1")
    if on is None:
        return None if jobs == 1 else Hands(jobs)
    if jobs != 1:
        raise UsageError(f"jobs={jobs} and on={on!r}: whoever runs the schedules knows how many there are; give one")
    if isinstance(on, str):
        return _dask(on)
    if not isinstance(on, Executor):
        raise UsageError(f"on={on!r}: give an executor of concurrent.futures, or an address like dask://host:8786")
    return Executors(on)


def _dask(address: str) -> Crew:
    scheme, separator, place = address.partition("://")
    if scheme != "dask" or not separator or not place:
        raise UsageError(
            f"on={address!r} is no address of a cluster: write dask://host:port, as in dask://10.0.0.7:8786"
        )
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise UsageError(
            f"{address} needs the library distributed, which cannot be imported ({error}): "
            "pip install 'lumenize_sim[dask]'"
        ) from None
    try:
        client: Any = distributed.Client(f"tcp://{place}", timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({error!r}): start one with `dask scheduler`, or mend the address."
        ) from None
    threads = sum(client.nthreads().values())
    return Executors(client.get_executor(pure=False), width=2 * max(1, threads), client=client)

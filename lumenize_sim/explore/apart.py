"""Work done where no event loop is: in a thread of its own where one runs already."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

import trio

__all__ = ["apart"]

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """Do ``work`` here, or in a fresh thread where a Trio or asyncio run is current."""
    busy = trio.lowlevel.in_trio_run()
    if not busy:
        with contextlib.suppress(RuntimeError):
            import asyncio

            asyncio.get_running_loop()
            busy = True
    if not busy:
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="lumenize-sim-run")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]

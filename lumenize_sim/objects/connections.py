"""The connections of one invocation or instance: only so many requests wait for their response at a time (RPC-27)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["UNLIMITED", "Connections"]


class Connections:
    """First come, first served.

    Args:
        limit: how many; ``None`` for any number.
    """

    __slots__ = ("_free", "_queue")

    def __init__(self, limit: int | None) -> None:
        self._free = limit
        self._queue: deque[Callable[[], None]] | None = None

    def take(self, send: Callable[[], None]) -> None:
        """Send now, or once a connection is free."""
        if self._free is None:
            send()
        elif self._free:
            self._free -= 1
            send()
        else:
            if self._queue is None:
                self._queue = deque()
            self._queue.append(send)

    def give(self) -> None:
        """A response has its headers: the connection is the next one's."""
        if self._queue:
            self._queue.popleft()()
        elif self._free is not None:
            self._free += 1


#: Any number: with nothing to count, everybody can share it.
UNLIMITED: Final = Connections(None)

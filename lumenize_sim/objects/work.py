"""What keeps an idle instance in memory: the work that it has under way (LC-17 to LC-22)."""

from __future__ import annotations

from typing import Final

__all__ = ["KEEP_ALIVE_S", "Work"]

#: For how long one pending operation keeps its object in memory, where pending I/O does so at all (LC-18).
KEEP_ALIVE_S: Final = 900


class Work:
    """Counts of one incarnation.  Timers count themselves.

    Attributes:
        clients: open connections and sessions of others with this instance that are not hibernatable: web sockets
            that were ``accept()``ed (WS-33), RPC sessions, and functions or targets of it that somebody holds
            (LC-22, RPC-14b).  Whoever opens one adds one, and takes it off at the end.
    """

    __slots__ = ("_next", "_since", "clients")

    def __init__(self) -> None:
        self.clients = 0
        self._next = 0
        self._since: dict[int, int] = {}

    def begin(self, now_us: int) -> int:
        """An operation begins that leads outside, or that `wait_until` was given; `end` takes what this returns.

        Outgoing calls and fetches, outgoing web sockets while they are open.
        """
        token = self._next
        self._next = token + 1
        self._since[token] = now_us
        return token

    def end(self, token: int) -> None:
        """That operation has ended.  Idempotent."""
        self._since.pop(token, None)

    @property
    def pending(self) -> int:
        """How many operations are under way."""
        return len(self._since)

    def newest_us(self) -> int:
        """When the youngest of them began; -1 if there is none.

        They begin in order, so the last in the dictionary is the youngest, and all protection ends with its.
        """
        return next(reversed(self._since.values()), -1)

    def __repr__(self) -> str:
        return f"<Work clients={self.clients} pending={len(self._since)}>"

"""What the stores of one host share: a bound on open connections, so that an idle object costs only its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lumenize_sim.objects.storage.legacy.cache import CacheMemory

if TYPE_CHECKING:
    from lumenize_sim.objects.storage.store import Store

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """Stores with an open connection, the least recently used first.

    Over ``limit`` the oldest that can do without gives its connection up; it opens
    another at its next use.  A store in the middle of a transaction, with commits
    that are not durable or with a cursor being read keeps its own, so that the limit
    may be exceeded for a while.
    """

    __slots__ = ("_memories", "_open", "limit")

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self._open: dict[Store, None] = {}
        self._memories: dict[type, CacheMemory] = {}

    def __len__(self) -> int:
        return len(self._open)

    def shared_memory(self, cls: type, limit_bytes: int) -> CacheMemory:
        """The memory for entries of the legacy backend that the objects of ``cls`` share, as one isolate (ST-31)."""
        memory = self._memories.get(cls)
        if memory is None:
            memory = self._memories[cls] = CacheMemory(limit_bytes)
        return memory

    def used(self, store: Store) -> None:
        """``store`` has opened its connection, or committed through it."""
        opened = self._open
        opened.pop(store, None)
        opened[store] = None
        if len(opened) > self.limit:
            for other in list(opened):
                if other is not store and other.release() and len(opened) <= self.limit:
                    break

    def forget(self, store: Store) -> None:
        """``store`` has closed its connection."""
        self._open.pop(store, None)

"""What an object knows of its disk without asking: single keys, and ranges of which it knows every key (ST-31).

A clean entry of the cache is what the disk holds, so values are not kept twice: the cache
is the *knowledge*.  Dirty entries are not in it at all but in the batches that will be
flushed, and so can never be evicted.
"""

from __future__ import annotations

from collections.abc import Callable

from lumenize_sim.objects.storage.legacy.disk import Bounds, Disk

__all__ = ["Cache", "CacheMemory"]


class CacheMemory:
    """The memory that clean entries take, of one cache or of several that share an isolate; the oldest go first.

    Args:
        limit_bytes: of keys and values.
    """

    __slots__ = ("_entries", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._entries: dict[tuple[Cache, str], int] = {}  # the least recently used first

    def touch(self, cache: Cache, key: str, size_bytes: int) -> None:
        """``key`` of ``cache`` is used, and takes so much."""
        place = (cache, key)
        self.used_bytes += size_bytes - self._entries.pop(place, 0)
        self._entries[place] = size_bytes
        while self.used_bytes > self.limit_bytes and len(self._entries) > 1:
            other, oldest = next(iter(self._entries))
            other.evict(oldest)

    def forget(self, cache: Cache, key: str) -> None:
        """``key`` of ``cache`` takes nothing any more."""
        self.used_bytes -= self._entries.pop((cache, key), 0)


class Cache:
    """See the module.

    Args:
        disk: what it knows about.
        memory: what its entries take memory from.
        now_ms: the clock.
        stale_ms: how long an entry that is not used stays.
    """

    __slots__ = ("_disk", "_keys", "_memory", "_now_ms", "_ranges", "_stale_ms")

    def __init__(self, disk: Disk, memory: CacheMemory, now_ms: Callable[[], int], stale_ms: int) -> None:
        self._disk = disk
        self._memory = memory
        self._now_ms = now_ms
        self._stale_ms = stale_ms
        self._keys: dict[str, int] = {}  # to when it was last used
        self._ranges: list[tuple[Bounds, int]] = []  # ascending and apart; the same

    def knows(self, key: str) -> bool:
        """Whether it knows what the disk has at ``key``, an entry or none; counts as a use."""
        now_ms = self._now_ms()
        if self._fresh(key, now_ms):
            self.learn(key)
            return True
        return self._disk.get(key) is None and self._range(Bounds(key, key + "\0"), now_ms)

    def learn(self, key: str) -> None:
        """What the disk has at ``key`` is known from now on."""
        self._keys[key] = self._now_ms()
        self._memory.touch(self, key, len(key) + len(self._disk.get(key) or b""))

    def knows_all(self, bounds: Bounds, but: dict[str, bytes | None]) -> bool:
        """Whether it knows every entry of the range, those of ``but`` aside; counts as a use of all."""
        now_ms = self._now_ms()
        if not self._range(bounds, now_ms):
            return False
        inside = [key for key in self._disk.keys(bounds) if key not in but]
        stale = [key for key in inside if not self._fresh(key, now_ms)]
        if stale:
            return False
        for key in inside:
            self.learn(key)
        return True

    def learn_all(self, bounds: Bounds) -> None:
        """Every entry of the range is known from now on, and what is not there as well."""
        for key in self._disk.keys(bounds):
            self.learn(key)
        start, end = bounds.start, bounds.end
        kept: list[tuple[Bounds, int]] = []
        for other, used_ms in self._ranges:
            if (other.end is not None and other.end < start) or (end is not None and other.start > end):
                kept.append((other, used_ms))
                continue
            start = min(start, other.start)
            end = None if end is None or other.end is None else max(end, other.end)
        kept.append((Bounds(start, end), self._now_ms()))
        self._ranges = sorted(kept, key=_start)

    def evict(self, key: str) -> None:
        """Forget what is at ``key``.  A range around it goes on to know everything else."""
        self._keys.pop(key, None)
        self._memory.forget(self, key)

    def clear(self) -> None:
        """Forget everything, and give the memory back."""
        for key in self._keys:
            self._memory.forget(self, key)
        self._keys.clear()
        self._ranges.clear()

    def _fresh(self, key: str, now_ms: int) -> bool:
        used_ms = self._keys.get(key)
        if used_ms is None:
            return False
        if now_ms - used_ms >= self._stale_ms:
            self.evict(key)
            return False
        return True

    def _range(self, bounds: Bounds, now_ms: int) -> bool:
        for index, (known, used_ms) in enumerate(self._ranges):
            if known.covers(bounds):
                if now_ms - used_ms >= self._stale_ms:
                    del self._ranges[index]
                    return False
                self._ranges[index] = (known, now_ms)
                return True
        return False


def _start(entry: tuple[Bounds, int]) -> str:
    return entry[0].start

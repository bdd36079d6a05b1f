"""The durable entries of one object on the legacy backend, in UTF-8 byte order of keys (ST-10)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import attrs

__all__ = ["Bounds", "Disk"]


@attrs.frozen
class Bounds:
    """A range of keys, from ``start`` up to but not including ``end``; no ``end`` is the end of all keys."""

    start: str = ""
    end: str | None = None

    @property
    def empty(self) -> bool:
        """Whether no key can be in it."""
        return self.end is not None and self.end <= self.start

    def __contains__(self, key: str) -> bool:
        return key >= self.start and (self.end is None or key < self.end)

    def covers(self, other: Bounds) -> bool:
        """Whether every key of ``other`` is in it."""
        return self.start <= other.start and (self.end is None or (other.end is not None and other.end <= self.end))


class Disk:
    """Keys and serialised values.  Code points sort as their UTF-8 does, so that `str` order is byte order."""

    __slots__ = ("_keys", "_values")

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._keys: list[str] = []

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> bytes | None:
        """The value at ``key``."""
        return self._values.get(key)

    def put(self, key: str, data: bytes | None) -> None:
        """Store ``data``, or remove the entry where there is none."""
        known = key in self._values
        if data is None:
            if known:
                del self._values[key]
                del self._keys[bisect_left(self._keys, key)]
            return
        if not known:
            insort(self._keys, key)
        self._values[key] = data

    def keys(self, bounds: Bounds | None = None) -> Sequence[str]:
        """The keys of a range, ascending."""
        if bounds is None:
            return self._keys[:]
        first = bisect_left(self._keys, bounds.start)
        last = len(self._keys) if bounds.end is None else bisect_left(self._keys, bounds.end)
        return self._keys[first:last]

    def clear(self, count: int | None = None) -> None:
        """Remove everything, or the first ``count`` entries (ST-26: a removal of all may end half way)."""
        if count is None:
            self._values.clear()
            self._keys.clear()
            return
        for key in self._keys[:count]:
            del self._values[key]
        del self._keys[:count]

    def items(self) -> Iterator[tuple[str, bytes]]:
        """All entries, ascending."""
        for key in self._keys:
            yield key, self._values[key]

"""What one flush of the legacy backend writes, in one transaction: everything dirty when it starts (OG-21, OG-22)."""

from __future__ import annotations

from lumenize_sim.objects.storage.legacy.disk import Disk

__all__ = ["Batch"]


class Batch:
    """Writes that wait for a flush, or are being flushed.

    Attributes:
        number: of the commit that it is; 0 until the first turn that wrote in it has ended.
        writes: key to serialised value, ``None`` to remove; the last write of a key stands.
        wiped: everything older goes first (ST-26).
        passing: keys not to be kept in the cache once they are written (``no_cache``).
        alarm_ms: the alarm time that it writes.
        size_bytes: of its keys and values, for back-pressure (ST-9).
        write_units: what it costs, once it is durable (BL-8).
    """

    __slots__ = ("alarm_ms", "number", "passing", "size_bytes", "wiped", "write_units", "writes")

    def __init__(self) -> None:
        self.number = 0
        self.writes: dict[str, bytes | None] = {}
        self.wiped = False
        self.passing: dict[str, None] = {}
        self.alarm_ms: int | None = None
        self.size_bytes = 0
        self.write_units = 0

    def put(self, key: str, data: bytes | None, *, passing: bool) -> None:
        """Write or remove one entry."""
        if key in self.writes:
            self.size_bytes -= len(key) + len(self.writes[key] or b"")
        self.writes[key] = data
        self.size_bytes += len(key) + len(data or b"")
        if passing:
            self.passing[key] = None
        else:
            self.passing.pop(key, None)

    def wipe(self) -> None:
        """Remove everything, what it was to write included."""
        self.wiped = True
        self.writes.clear()
        self.passing.clear()
        self.size_bytes = 0

    def apply(self, disk: Disk) -> None:
        """Write it, all or nothing."""
        if self.wiped:
            disk.clear()
        for key, data in self.writes.items():
            disk.put(key, data)

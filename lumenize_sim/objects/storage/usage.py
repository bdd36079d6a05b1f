"""What storage costs, as the billing meter hears of it (BL-7, BL-8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

__all__ = ["UNIT_BYTES", "Usage", "UsageKind", "units"]

#: ``rows-read`` and ``rows-written`` on SQLite; ``read-units``, ``write-units`` and ``deletes`` on the legacy backend.
UsageKind = Literal["rows-read", "rows-written", "read-units", "write-units", "deletes"]
#: ``usage(kind, amount)``
Usage = Callable[[UsageKind, int], None]

#: One unit of the legacy backend (BL-8).
UNIT_BYTES: Final = 4096


def units(size_bytes: int) -> int:
    """Units for ``size_bytes``: begun ones count, and there is at least one."""
    return max(1, -(-size_bytes // UNIT_BYTES))

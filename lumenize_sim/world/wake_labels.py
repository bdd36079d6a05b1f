"""Labels of wake-ups, made from who woke whom: that order is the same in every schedule."""

from __future__ import annotations

from lumenize_sim.kernel.runqueue import RunQueue
from lumenize_sim.objects.strand import Owner

__all__ = ["WakeLabels"]


class WakeLabels:
    """Of one run."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._counts: dict[str, int] = {}

    def __call__(self, owner: Owner) -> str:
        """A label for a wake-up of ``owner`` by whoever runs now."""
        current = self._queue.current
        pair = f"{owner.name}!wake<{current.name if current is not None else 'kernel'}"
        nth = self._counts.get(pair, -1) + 1
        self._counts[pair] = nth
        return f"{pair}#{nth}"

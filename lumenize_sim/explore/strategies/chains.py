"""Causal chains: a partition of the events of a run into sequences in which each brings about the next."""

from __future__ import annotations

from lumenize_sim.kernel.event import Event

__all__ = ["Chains"]


class Chains:
    """Sorts events into chains as they become known.

    An event goes to the end of the chain of the event during which it was made, if that
    is the end of it, else it begins a chain.  Greedy, so there may be more chains than the run is
    wide; for the trees that calls form there are as many as leaves.

    Attributes:
        count: chains so far.
    """

    __slots__ = ("_chain", "_ends", "_now", "count")

    def __init__(self) -> None:
        self.count = 0
        self._chain: dict[str, int] = {}
        self._ends: list[str] = []
        self._now = ""

    def of(self, event: Event) -> int:
        """The chain of ``event``; ask when it becomes known, since what is made later may go on the same chain."""
        label = event.label
        known = self._chain.get(label)
        if known is not None:
            return known
        parent = self._chain.get(self._now, -1)
        if parent >= 0 and self._ends[parent] == self._now:
            self._ends[parent] = label
            self._chain[label] = parent
            return parent
        chain = self.count
        self.count += 1
        self._ends.append(label)
        self._chain[label] = chain
        return chain

    def happens(self, event: Event) -> None:
        """``event`` was picked: what is made from now on comes of it."""
        self._now = event.label

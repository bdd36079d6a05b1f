"""Awaited writes that are commits of their own, where the platform might do so (OG-16).

Documentation says that an ``await`` between two writes ends what commits together; the
open-source runtime commits once, at the end of the turn, and production is not known
(open point 1).  With ``MachineOptions(awaited_writes_split=True)`` awaiting what a write
has returned commits all that the turn has written so far.  No turn ends there, and nobody
is let in; only a crash can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.storage.async_kv import EntriesAPI

__all__ = ["SplitWrites"]


class _Written(Pending[Any]):
    """What a write returns: settled already, and a commit when it is awaited."""

    __slots__ = ("_split",)

    def __init__(self, settled: Pending[Any], split: Callable[[], None]) -> None:
        super().__init__(settled.label)
        settled.when_done(self.settle)
        self._split = split

    def __await__(self) -> Generator[Any, Any, Any]:
        self._split()
        return (yield from super().__await__())


class SplitWrites:
    """`EntriesAPI` of one incarnation.

    Args:
        entries: those of its backend.
        split: commits what the running turn has written so far.
    """

    __slots__ = ("_entries", "_split", "get", "get_alarm", "list")

    def __init__(self, entries: EntriesAPI, split: Callable[[], None]) -> None:
        self._entries = entries
        self._split = split
        self.get = entries.get
        self.list = entries.list
        self.get_alarm = entries.get_alarm

    def _written(self, pending: Pending[Any]) -> Pending[Any]:
        # One that has to wait ends the turn, and with it the commit.
        return _Written(pending, self._split) if pending.done else pending

    def put(
        self,
        key: str | Mapping[str, Any],
        value: Any,
        confirmed: bool,
        concurrent: bool = False,
        no_cache: bool = False,
    ) -> Pending[None]:
        """See `EntriesAPI`."""
        return self._written(self._entries.put(key, value, confirmed, concurrent, no_cache))

    def delete(self, key: str | Iterable[str], confirmed: bool, concurrent: bool = False) -> Pending[Any]:
        """See `EntriesAPI`."""
        return self._written(self._entries.delete(key, confirmed, concurrent))

    def set_alarm(self, alarm_ms: int | None, confirmed: bool, concurrent: bool = False) -> Pending[None]:
        """See `EntriesAPI`."""
        return self._written(self._entries.set_alarm(alarm_ms, confirmed, concurrent))

"""One id per browser tab: kept over a reload, never shared with a duplicated tab (CL-46 to CL-49).

A duplicated tab starts with a copy of the original's session storage, so the
stored id alone proves nothing.  Every tab therefore listens on a broadcast
channel named by its id, and whoever finds an id in storage asks there first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.strand import Owner

__all__ = ["PROBE_TIMEOUT_S", "TAB_ID_KEY", "BroadcastChannel", "SessionStorage", "find_tab_id", "fresh_tab_id"]

TAB_ID_KEY = "lmz_tab"
PROBE_TIMEOUT_S = 0.05


class SessionStorage(Protocol):
    """The tab's own string store."""

    def get_item(self, key: str) -> str | None: ...
    def set_item(self, key: str, value: str) -> None: ...


class BroadcastChannel(Protocol):
    """One end of a named channel between the tabs of an origin.

    ``on_message`` is called with the data of every message that another end posted, as one turn of the owner.
    """

    on_message: Callable[[Any], None] | None

    def post_message(self, data: Any) -> None: ...
    def close(self) -> None: ...


def fresh_tab_id(host: Host, owner: Owner) -> str:
    """Eight random hexadecimal digits (CL-11)."""
    return host.uuid(owner)[:8]


def find_tab_id(
    host: Host,
    owner: Owner,
    storage: SessionStorage | None,
    open_channel: Callable[[str], BroadcastChannel] | None,
    found: Callable[[str], None],
) -> None:
    """Call ``found(tab_id)`` once; at once unless a stored id has to be probed.

    Without storage or channels the id is random and not kept (CL-49).  Not a checkpoint.
    """
    if storage is None or open_channel is None:
        found(fresh_tab_id(host, owner))
        return
    stored = storage.get_item(TAB_ID_KEY)
    if stored:
        _Probe(host, owner, storage, open_channel, found, stored)
    else:
        _renew(host, owner, storage, open_channel, found)


def _renew(
    host: Host,
    owner: Owner,
    storage: SessionStorage,
    open_channel: Callable[[str], BroadcastChannel],
    found: Callable[[str], None],
) -> None:
    tab_id = fresh_tab_id(host, owner)
    storage.set_item(TAB_ID_KEY, tab_id)
    _listen(open_channel, tab_id)
    found(tab_id)


def _listen(open_channel: Callable[[str], BroadcastChannel], tab_id: str) -> None:
    """Answer every later probe for this id (CL-48).  The channel stays open as long as the tab."""
    channel = open_channel(tab_id)
    channel.on_message = lambda _: channel.post_message("in-use")


class _Probe:
    """Ask the other tabs whether one of them has this id (CL-47)."""

    def __init__(
        self,
        host: Host,
        owner: Owner,
        storage: SessionStorage,
        open_channel: Callable[[str], BroadcastChannel],
        found: Callable[[str], None],
        tab_id: str,
    ) -> None:
        self._host = host
        self._owner = owner
        self._storage = storage
        self._open_channel = open_channel
        self._found = found
        self._tab_id = tab_id
        self._channel = open_channel(tab_id)
        self._channel.on_message = self._taken
        self._timer: TimerHandle = host.set_timer(owner, PROBE_TIMEOUT_S, self._free)
        self._channel.post_message("probe")

    def _taken(self, _: Any) -> None:
        self._timer.cancel()
        self._channel.on_message = None
        self._channel.close()
        _renew(self._host, self._owner, self._storage, self._open_channel, self._found)

    def _free(self) -> None:
        self._channel.on_message = None
        self._channel.close()
        _listen(self._open_channel, self._tab_id)
        self._found(self._tab_id)

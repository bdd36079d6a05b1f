"""What the tabs of a browser keep and share: session storage and broadcast channels (TS-6 to TS-8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lumenize_sim.clone import structured_clone
from lumenize_sim.errors import AppError

if TYPE_CHECKING:
    from lumenize_sim.world.seats import FreeSeat

__all__ = ["Channel", "Channels", "InvalidStateError", "SessionStorage"]


class InvalidStateError(AppError):
    """A ``DOMException`` of that name: the channel is closed."""


class SessionStorage:
    """The string store of one tab.  Values are texts, as in a browser."""

    def __init__(self, items: dict[str, str] | None = None) -> None:
        self._items = dict(items or {})

    def get_item(self, key: str) -> str | None:
        """The value, or ``None``."""
        return self._items.get(str(key))

    def set_item(self, key: str, value: Any) -> None:
        """Keep a value, as text."""
        self._items[str(key)] = str(value)

    def remove_item(self, key: str) -> None:
        """Forget a value; nothing where there is none."""
        self._items.pop(str(key), None)

    def key(self, index: int) -> str | None:
        """The key at a place in the order of setting, or ``None``."""
        keys = list(self._items)
        return keys[index] if 0 <= index < len(keys) else None

    def clear(self) -> None:
        """Forget all."""
        self._items.clear()

    def copy(self) -> SessionStorage:
        """An independent one with the same items: what a duplicated tab begins with."""
        return SessionStorage(self._items)

    def __len__(self) -> int:
        return len(self._items)


class Channel:
    """One end of a named channel between the tabs of one origin in one browser.

    Delivery is asynchronous: each message is an event of the tab that hears it.  The sender hears nothing.

    Attributes:
        on_message: called with the data, in a turn of the tab.
    """

    def __init__(self, channels: Channels, seat: FreeSeat, name: str) -> None:
        self.name = name
        self.on_message: Callable[[Any], None] | None = None
        self._channels = channels
        self._seat = seat
        self._open = True

    def post_message(self, data: Any) -> None:
        """Send a copy of ``data`` to all other open ends.

        Raises:
            InvalidStateError: this end is closed.
            DataCloneError: ``data`` cannot be copied.
        """
        if not self._open:
            raise InvalidStateError(f"Failed to execute 'postMessage' on 'BroadcastChannel': {self.name!r} is closed")
        self._channels.post(self, data)

    def close(self) -> None:
        """Hear nothing any more; what is under way to this end is dropped.  Idempotent."""
        if self._open:
            self._open = False
            self._channels.remove(self)

    def _hear(self, data: Any) -> None:
        if self._open and self.on_message is not None:
            self.on_message(data)


class Channels:
    """All open channels of one origin in one browser."""

    def __init__(self) -> None:
        self._ends: dict[str, list[Channel]] = {}
        self._posted = 0

    def open(self, seat: FreeSeat, name: str) -> Channel:
        """One more end of the channel ``name``, in the tab of ``seat``."""
        end = Channel(self, seat, name)
        self._ends.setdefault(name, []).append(end)
        return end

    def remove(self, end: Channel) -> None:
        """It is closed."""
        ends = self._ends[end.name]
        ends.remove(end)
        if not ends:
            del self._ends[end.name]

    def close_of(self, seat: FreeSeat) -> None:
        """Close all ends of one tab."""
        for end in [end for ends in self._ends.values() for end in ends if end._seat is seat]:
            end.close()

    def post(self, sender: Channel, data: Any) -> None:
        """Deliver to all ends but the sender."""
        nth = self._posted
        self._posted += 1
        for end in self._ends[sender.name]:
            if end is not sender:
                copy = structured_clone(data)
                seat = end._seat
                # Within one machine: no timer is faster, so a probe of 50 ms is answered (CL-47).
                seat.post(f"{sender._seat.name}>{seat.name}!channel#{nth}", end._hear, copy)

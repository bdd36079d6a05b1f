"""What the tabs of a browser keep and share: session storage and broadcast channels (TS-6 to TS-8)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lumenize_sim.clone import structured_clone
from lumenize_sim.errors import AppError
from lumenize_sim.kernel.link import Link

if TYPE_CHECKING:
    from lumenize_sim.world.seats import FreeSeat

__all__ = ["Channel", "Channels", "InvalidStateError", "Page", "SessionStorage"]


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

    Delivery is asynchronous, through the browser: each message is an event of the tab that hears it.  The sender
    hears nothing.

    Attributes:
        on_message: called with the data, in a turn of the tab.
    """

    def __init__(self, channels: Channels, page: Page, name: str) -> None:
        self.name = name
        self.on_message: Callable[[Any], None] | None = None
        self.page = page
        self._channels = channels
        self._open = True
        page.channels.append(self)
        page.tell(lambda: channels.add(self))

    def post_message(self, data: Any) -> None:
        """Send a copy of ``data`` to all other open ends.

        Raises:
            InvalidStateError: this end is closed.
            DataCloneError: ``data`` cannot be copied.
        """
        if not self._open:
            raise InvalidStateError(f"Failed to execute 'postMessage' on 'BroadcastChannel': {self.name!r} is closed")
        copy = structured_clone(data)
        self.page.tell(lambda: self._channels.deliver(self, copy))

    def close(self) -> None:
        """Hear nothing any more; what is under way to this end is dropped.  Idempotent."""
        if self._open:
            self._open = False
            self.page.channels.remove(self)
            self.page.tell(lambda: self._channels.remove(self))

    def hear(self, data: Any) -> None:
        """A message arrives, in a turn of the tab."""
        if self._open and self.on_message is not None:
            self.on_message(data)


class Channels:
    """All open channels of one origin in one browser.  Read and written in turns of the browser only.

    Were a tab to look who listens, that would depend on the order of two tabs, which nothing orders.
    """

    def __init__(self) -> None:
        self._ends: dict[str, list[Channel]] = {}

    def add(self, end: Channel) -> None:
        """It listens."""
        self._ends.setdefault(end.name, []).append(end)

    def remove(self, end: Channel) -> None:
        """It is closed."""
        self._ends[end.name].remove(end)

    def deliver(self, sender: Channel, data: Any) -> None:
        """To all ends but the sender."""
        for end in self._ends[sender.name]:
            if end is not sender:
                end.page.hear(partial(end.hear, structured_clone(data)))


class Page:
    """One page, as long as it is loaded: an actor, and its way to the browser and back.

    Within one machine: no timer is faster, so a probe of 50 ms is answered in time (CL-47).

    Attributes:
        seat: where its code runs.
        channels: its open ends; its own turns write them.
    """

    def __init__(self, seat: FreeSeat, browser: FreeSeat) -> None:
        self.seat = seat
        self.channels: list[Channel] = []
        self._browser = browser
        self._up, self._down = Link(), Link()
        self._told = self._heard = 0

    def tell(self, act: Callable[[], None]) -> None:
        """``act`` in a turn of the browser, after what this page has told it before."""
        label = f"{self.seat.name}>{self._browser.name}!page#{self._told}"
        self._told += 1
        self.seat.world.kernel.post_on(self._up, self._browser.event(label, act))

    def hear(self, act: Callable[[], None]) -> None:
        """``act`` in a turn of the page, after what the browser has told it before.  Not if it was left meanwhile."""
        label = f"{self._browser.name}>{self.seat.name}!page#{self._heard}"
        self._heard += 1
        self.seat.world.kernel.post_on(self._down, self.seat.event(label, act))

"""One simulated web socket: two links, what their senders do to them, and who stands at the ends.

Each field says whose turns write it, and only those read it: see `lumenize_sim.world.sockets`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.kernel import Link
from lumenize_sim.objects.http import Response
from lumenize_sim.objects.websocket import (
    ABNORMAL_CODE,
    ABNORMAL_REASON,
    NO_STATUS_CODE,
    Acceptance,
    SocketRecord,
)

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = [
    "CLOSED",
    "CLOSING",
    "CONNECTING",
    "DOWN",
    "OPEN",
    "OTHER",
    "UP",
    "Connection",
    "End",
    "NodeEnd",
    "Way",
]

CONNECTING: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3

UP: Final = "^"  #: from whoever dialled
DOWN: Final = "v"  #: from whoever was asked
OTHER: Final = {UP: DOWN, DOWN: UP}


class End(Protocol):
    """Who stands at one end.  What arrives does so in an event of the end's own, made by `event`."""

    @property
    def name(self) -> str:
        """Of the actor."""
        ...

    def event(self, label: str, function: Callable[[], None], cause: int, limit_us: int) -> Event:
        """An event of this end, not posted yet."""
        ...

    def later(self, label: str, act: Callable[[], None], due_us: int) -> None:
        """Something that happens at this end by itself."""
        ...

    def accepted(self, label: str, response: Response) -> None:
        """The upgrade is accepted."""
        ...

    def refused(self, label: str, response: Response) -> None:
        """The upgrade is refused, or failed."""
        ...

    def received(self, label: str, data: str | bytes) -> None:
        """One message."""
        ...

    def close_received(self, label: str, code: int | None, reason: str) -> None:
        """The other end's close frame."""
        ...

    def ended(self, label: str) -> None:
        """The other end has hung up after both close frames."""
        ...

    def lost(self, label: str) -> None:
        """The connection is gone without a close frame."""
        ...


class Connection:
    """One web socket.

    Attributes:
        id: ``"alice.tab1~0"``: who dialled and the number of its dialling.
        ends: who sends in either direction; the one that was asked is unknown until the answer.
        ways: what the sender of either direction does to its frames.
        asked: where the upgrade was asked for: an `ObjectHostOf` or a `FreeSeat`.
        told: written by whoever dialled: the answer has arrived.
        early: written by whoever was asked: what the dialling end did before the answer.
    """

    def __init__(self, name: str, nth: int) -> None:
        self.id = f"{name}~{nth}"
        self.ends: dict[str, End] = {}
        self.ways = {UP: Way(), DOWN: Way()}
        self.asked: Any = None
        self.told = False
        self.early: list[tuple[str, Callable[[End, str], None]]] = []


class Way:
    """What the sender of one direction does to its frames.  Written and read in its own turns.

    Attributes:
        link: the queue.
        frames: sent so far.
        silent: nothing that is sent arrives any more.
        held_until_us: frames arrive after this time at the earliest.
        latency_us: what the network adds to every frame.
        stalled: what the sender cannot get rid of because the other end does not read; ``None`` while it does.
    """

    __slots__ = ("frames", "held_until_us", "latency_us", "link", "silent", "stalled")

    def __init__(self) -> None:
        self.link = Link()
        self.frames = 0
        self.silent = False
        self.held_until_us = 0
        self.latency_us = 0
        self.stalled: list[Event] | None = None


class NodeEnd:
    """An end in the code of an object, a Worker or a driver.

    Args:
        place: where that code runs: an `ObjectHostOf` or a `FreeSeat`.
        record: its end.

    Attributes:
        gone: cut off with its instance; nothing arrives any more.
    """

    def __init__(self, world: World, place: Any, record: SocketRecord) -> None:
        self._world = world
        self.place = place
        self.record = record
        self.gone = False
        self._unread: list[tuple[str, Callable[[str], None]]] = []

    @property
    def name(self) -> str:
        """Of the actor."""
        name: str = self.place.name
        return name

    def event(self, label: str, function: Callable[[], None], cause: int, limit_us: int) -> Event:
        """An event of the node."""
        event: Event = self.place.event(label, function, cause=cause, limit_us=limit_us)
        return event

    def later(self, label: str, act: Callable[[], None], due_us: int) -> None:
        """An event of the node."""
        self._world.kernel.post_at(self.event(label, act, -1, 0), due_us)

    def _arrives(self, label: str, take: Callable[[str], None]) -> None:
        if self.gone:
            return
        if self.record.acceptance is Acceptance.NONE and self.record.ready_state != 0:
            self._unread.append((label, take))  # until somebody accepts it
        else:
            take(label)

    def read_on(self) -> None:
        """It was accepted: what has arrived before is read now."""
        unread, self._unread = self._unread, []
        for label, take in unread:
            function = _taking(take, f"{label}'")
            self._world.kernel.post(self.event(f"{label}'", function, -1, 0))

    def accepted(self, label: str, response: Response) -> None:
        """The listeners hear it."""
        if not self.gone:
            self.place.frames.answered(label, self.record, None, cause=self._world.cause)

    def refused(self, label: str, response: Response) -> None:
        """The listeners hear an error."""
        if not self.gone:
            error = ConnectionError(f"the upgrade was refused with status {response.status}")
            self.place.frames.answered(label, self.record, error, cause=self._world.cause)

    def received(self, label: str, data: str | bytes) -> None:
        """Handlers or listeners hear it."""
        self._arrives(label, lambda label: self.place.frames.message(label, self.record, data, cause=self._world.cause))

    def close_received(self, label: str, code: int | None, reason: str) -> None:
        """Handlers or listeners hear it."""
        seen = NO_STATUS_CODE if code is None else code
        self._arrives(
            label,
            lambda label: self.place.frames.closed(label, self.record, seen, reason, True, cause=self._world.cause),
        )

    def ended(self, label: str) -> None:
        """Nobody hears of it: this end has heard the close frame."""

    def lost(self, label: str) -> None:
        """Handlers or listeners hear of a close without a frame."""
        self._arrives(
            label,
            lambda label: self.place.frames.closed(
                label, self.record, ABNORMAL_CODE, ABNORMAL_REASON, False, cause=self._world.cause
            ),
        )


def _taking(take: Callable[[str], None], label: str) -> Callable[[], None]:
    return lambda: take(label)

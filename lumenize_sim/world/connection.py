"""One simulated web socket: two links, what their senders do to them, and who stands at the ends.

Each field says whose turns write it, and only those read it: see `lumenize_sim.world.sockets`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.link import Link
from lumenize_sim.objects.http import Response
from lumenize_sim.objects.socket_record import ABNORMAL_CODE, ABNORMAL_REASON, NO_STATUS_CODE, Acceptance, SocketRecord

if TYPE_CHECKING:
    from lumenize_sim.world.wires import Wires
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
    "RelayEnd",
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
    """Who stands at one end.  What arrives does so in an event of its place, by `run`.

    Attributes:
        waits_for_end: whether `ended` may mean something to it.  The same for all that stand there one after another.
    """

    waits_for_end: bool

    @property
    def name(self) -> str:
        """Of the actor."""
        ...

    @property
    def place(self) -> Any:
        """Where it is: an `ObjectHostOf` or a `FreeSeat`.  Never changes while the connection lives."""
        ...

    def run(self, label: str, act: Callable[[], None]) -> None:
        """``act`` in a turn of the place, which an event has begun."""
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
        ends: who sends in either direction, written at its own place; the one that was asked is unknown until the
            answer.
        ways: what the sender of either direction does to its frames.
        asked: where the end is that was asked: an `ObjectHostOf` or a `FreeSeat`; ``None`` where nobody was.
        early: written by whoever was asked: what the dialling end did before the answer.
    """

    def __init__(self, name: str, nth: int) -> None:
        self.id = f"{name}~{nth}"
        self.ends: dict[str, End] = {}
        self.ways = {UP: Way(), DOWN: Way()}
        self.asked: Any = None
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

    waits_for_end = True

    def __init__(self, world: World, place: Any, record: SocketRecord) -> None:
        self._world = world
        self.place = place
        self.record = record
        self.gone = False
        self._unread: list[tuple[str, Callable[[End, str], None]]] = []

    @property
    def name(self) -> str:
        """Of the actor."""
        name: str = self.place.name
        return name

    def run(self, label: str, act: Callable[[], None]) -> None:
        """Gates of an object decide for themselves when it is its turn; others are in it already."""
        run = getattr(self.place, "run", None)
        if run is None:
            act()
        else:
            run(label, act)

    def _unaccepted(self, label: str, arrive: Callable[[End, str], None]) -> bool:
        """Whether it has to wait until somebody accepts this end, or passes it on."""
        waits = self.record.acceptance is Acceptance.NONE and self.record.ready_state != 0
        if waits and not self.gone:
            self._unread.append((label, arrive))
        return waits or self.gone

    def unread(self) -> list[tuple[str, Callable[[End, str], None]]]:
        """What has arrived and nobody has read; it is the caller's from now on."""
        unread, self._unread = self._unread, []
        return unread

    def accepted(self, label: str, response: Response) -> None:
        """The listeners hear it."""
        if not self.gone:
            self.place.frames.answered(label, self.record, None, cause=self._world.chronicle.cause)

    def refused(self, label: str, response: Response) -> None:
        """The listeners hear an error."""
        if not self.gone:
            error = ConnectionError(f"the upgrade was refused with status {response.status}")
            self.place.frames.answered(label, self.record, error, cause=self._world.chronicle.cause)

    def received(self, label: str, data: str | bytes) -> None:
        """Handlers or listeners hear it."""
        if not self._unaccepted(label, lambda end, label: end.received(label, data)):
            self.place.frames.message(label, self.record, data, cause=self._world.chronicle.cause)

    def close_received(self, label: str, code: int | None, reason: str) -> None:
        """Handlers or listeners hear it."""
        if not self._unaccepted(label, lambda end, label: end.close_received(label, code, reason)):
            seen = NO_STATUS_CODE if code is None else code
            self.place.frames.closed(label, self.record, seen, reason, True, cause=self._world.chronicle.cause)

    def ended(self, label: str) -> None:
        """Nobody hears of it, unless this end is passed on: it has heard the close frame."""
        self._unaccepted(label, lambda end, label: end.ended(label))

    def lost(self, label: str) -> None:
        """Handlers or listeners hear of a close without a frame."""
        if not self._unaccepted(label, lambda end, label: end.lost(label)):
            self.place.frames.closed(
                label, self.record, ABNORMAL_CODE, ABNORMAL_REASON, False, cause=self._world.chronicle.cause
            )


class RelayEnd:
    """In place of an end that was passed on: what arrives goes on by another connection (WS-35).

    The code that has passed it on is not in the way, and may have ended: only its place is.

    Args:
        wires: what carries it on.
        place: of the code that has passed it on.
        connection, way: where it goes on.
    """

    waits_for_end = True

    def __init__(self, wires: Wires, place: Any, connection: Connection, way: str) -> None:
        self._wires = wires
        self._on = connection
        self._way = way
        self.place = place
        self.name: str = place.name

    def run(self, label: str, act: Callable[[], None]) -> None:
        """At once, whether the owner of the place lives or not."""
        act()

    def accepted(self, label: str, response: Response) -> None:
        """Known already."""

    def refused(self, label: str, response: Response) -> None:
        """Known already."""

    def received(self, label: str, data: str | bytes) -> None:
        """One message goes on."""
        self._wires.send(self._on, self._way, data)

    def close_received(self, label: str, code: int | None, reason: str) -> None:
        """A close frame goes on."""
        self._wires.close(self._on, self._way, code, reason)

    def ended(self, label: str) -> None:
        """The end of the connection goes on."""
        self._wires.hang_up(self._on, self._way)

    def lost(self, label: str) -> None:
        """Its loss goes on."""
        self._wires.vanish(self._on, self._way)

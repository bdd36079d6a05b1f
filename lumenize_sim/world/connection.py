"""One simulated web socket: two links, what their senders do to them, and the client's end.

Each field says whose turns write it, and only those read it: see `lumenize_sim.world.sockets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.kernel import Link
from lumenize_sim.objects.http import Response
from lumenize_sim.objects.websocket import ABNORMAL_CODE, NO_STATUS_CODE, SocketRecord

if TYPE_CHECKING:
    from lumenize_sim.objects.host import SocketEvents
    from lumenize_sim.world.seats import FreeSeat
    from lumenize_sim.world.sockets import Sockets

__all__ = ["CLOSED", "CLOSING", "CONNECTING", "OPEN", "ClientEnd", "ClientSocket", "Connection", "Way"]

CONNECTING: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3


class Connection:
    """One web socket.

    Attributes:
        id: ``"alice.tab1~0"``: the client and the number of its dialling.
        seat: where the client's turns are.
        up, down: towards the object, towards the client.
        client: the client's end; its own turns write it.
        record, server_gone: the object's: its end, and whether that is gone.
        said_close, heard_close: the object's: whether its close frame has left, and the client's has arrived.
        early: the object's: what the client did before the upgrade was answered.
        ways: what the sender of either direction does to its frames, by ``"^"`` and ``"v"``.
    """

    def __init__(self, seat: FreeSeat, nth: int) -> None:
        self.id = f"{seat.name}~{nth}"
        self.seat = seat
        self.up = Link()
        self.down = Link()
        self.client: ClientEnd
        self.machine: Any = None
        self.record: SocketRecord | None = None
        self.server_gone = False
        self.said_close = False
        self.heard_close = False
        self.early: list[Event] = []
        self.ways = {"^": Way(self.up), "v": Way(self.down)}


class Way:
    """What the sender of one direction does to its frames.  Written and read in its own turns.

    Attributes:
        frames: sent so far.
        silent: nothing that is sent arrives any more.
        held_until_us: frames arrive after this time at the earliest.
        latency_us: what the network adds to every frame.
    """

    __slots__ = ("frames", "held_until_us", "latency_us", "link", "silent")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.frames = 0
        self.silent = False
        self.held_until_us = 0
        self.latency_us = 0


class ClientEnd:
    """The client's end: what a web socket library does by itself, whoever uses it.

    Attributes:
        ready_state: 0 connecting, 1 open, 2 closing, 3 closed.
        waits_for_end: whether it is closed only when the connection ends.  Otherwise the close frame ends it, which
            is as good where nobody looks, and costs no event.
    """

    waits_for_end = False

    def __init__(self, sockets: Sockets, connection: Connection) -> None:
        self._sockets = sockets
        self._connection = connection
        self.ready_state = CONNECTING
        connection.client = self

    def send(self, data: str | bytes) -> None:
        """Queue one frame; nothing on a socket that is not open."""
        if self.ready_state == OPEN:
            self._sockets.client_sends(self._connection, data)

    # What arrives, each in a turn of the client's.

    def accepted(self, response: Response) -> None:
        """The upgrade is accepted."""
        if self.ready_state == CONNECTING:
            self.ready_state = OPEN
            self.tell_open(response)

    def refused(self, response: Response) -> None:
        """The upgrade is refused, or failed."""
        if self.ready_state != CLOSED:
            self.ready_state = CLOSED
            self.tell_refusal(response)

    def received(self, data: str | bytes) -> None:
        """One message."""
        if self.ready_state == OPEN:
            self.tell_message(data)

    def close_received(self, code: int | None, reason: str) -> None:
        """The object's close frame: answered unless it is itself an answer; then the socket is closed."""
        if self.ready_state in (OPEN, CLOSING):
            was_open = self.ready_state == OPEN
            self.ready_state = CLOSED
            if was_open:
                self._sockets.client_answers(self._connection, code, reason)
            self.tell_close(NO_STATUS_CODE if code is None else code, reason, True)

    def ended(self) -> None:
        """The server has ended the connection after both close frames."""

    def lost(self) -> None:
        """The connection is gone without a close frame."""
        if self.ready_state != CLOSED:
            told = self.ready_state != CLOSING
            self.ready_state = CLOSED
            if told:
                self.tell_close(ABNORMAL_CODE, "", False)

    # What the user of the socket hears.

    def tell_open(self, response: Response) -> None: ...
    def tell_refusal(self, response: Response) -> None: ...
    def tell_message(self, data: str | bytes) -> None: ...
    def tell_close(self, code: int, reason: str, was_clean: bool) -> None: ...


class ClientSocket(ClientEnd):
    """A socket as the code of a client has it: a `SocketPort`, whose owner hears through `SocketEvents`."""

    def __init__(self, sockets: Sockets, connection: Connection, events: SocketEvents) -> None:
        super().__init__(sockets, connection)
        self._events = events

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame; what arrives afterwards is not delivered."""
        if self.ready_state in (CONNECTING, OPEN):
            self.ready_state = CLOSING
            self._sockets.client_closes(self._connection, code, reason or "")

    def tell_open(self, response: Response) -> None:
        """The owner hears it."""
        self._events.on_open()

    def tell_refusal(self, response: Response) -> None:
        """The owner hears an error, and then that the socket is closed."""
        self._events.on_error(ConnectionError(f"upgrade refused with status {response.status}"))
        self._events.on_close(ABNORMAL_CODE, "", False)

    def tell_message(self, data: str | bytes) -> None:
        """The owner hears it."""
        self._events.on_message(data)

    def tell_close(self, code: int, reason: str, was_clean: bool) -> None:
        """The owner hears it."""
        self._events.on_close(code, reason, was_clean)

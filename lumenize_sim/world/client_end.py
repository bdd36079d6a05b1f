"""The client's end of a simulated web socket: what a web socket library does by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lumenize_sim.objects.http import Response
from lumenize_sim.objects.socket_record import ABNORMAL_CODE, NO_STATUS_CODE
from lumenize_sim.world.connection import CLOSED, CLOSING, CONNECTING, OPEN, UP, Connection

if TYPE_CHECKING:
    from lumenize_sim.objects.host import SocketEvents
    from lumenize_sim.world.seats import FreeSeat
    from lumenize_sim.world.wires import Wires

__all__ = ["ClientEnd", "ClientSocket"]

GOING_AWAY: Final = 1001  #: what a browser says for a page that is left


class ClientEnd:
    """The client's end: what a web socket library does by itself, whoever uses it.  Its own turns write it.

    Attributes:
        ready_state: 0 connecting, 1 open, 2 closing, 3 closed.
        waits_for_end: whether it is closed only when the connection ends.  Otherwise the close frame ends it, which
            is as good where nobody looks, and costs no event.
    """

    waits_for_end = False

    def __init__(self, wires: Wires, connection: Connection, seat: FreeSeat) -> None:
        self._wires = wires
        self._connection = connection
        self._seat = seat
        self.ready_state = CONNECTING
        connection.ends[UP] = self

    @property
    def name(self) -> str:
        """Of the actor."""
        return self._seat.name

    @property
    def place(self) -> FreeSeat:
        """Where its turns are."""
        return self._seat

    def run(self, label: str, act: Callable[[], None]) -> None:
        """A turn of the client."""
        self._seat.run(label, act)

    def send(self, data: str | bytes) -> None:
        """Queue one frame; nothing on a socket that is not open."""
        if self.ready_state == OPEN:
            self._wires.send(self._connection, UP, data)

    def leave(self) -> None:
        """The page is left: the browser says 1001, and nobody hears anything any more."""
        if self.ready_state in (CONNECTING, OPEN):
            self._wires.close(self._connection, UP, GOING_AWAY, "")
        self.ready_state = CLOSED

    def accepted(self, label: str, response: Response) -> None:
        """The upgrade is accepted."""
        if self.ready_state == CONNECTING:
            self.ready_state = OPEN
            self.tell_open(response)

    def refused(self, label: str, response: Response) -> None:
        """The upgrade is refused, or failed."""
        if self.ready_state != CLOSED:
            self.ready_state = CLOSED
            self.tell_refusal(response)

    def received(self, label: str, data: str | bytes) -> None:
        """One message."""
        if self.ready_state == OPEN:
            self.tell_message(data)

    def close_received(self, label: str, code: int | None, reason: str) -> None:
        """The object's close frame: answered unless it is itself an answer; then the socket is closed."""
        if self.ready_state in (OPEN, CLOSING):
            was_open = self.ready_state == OPEN
            self.ready_state = CLOSED
            if was_open:
                self._wires.answer_close(self._connection, UP, code, reason)
            self.tell_close(NO_STATUS_CODE if code is None else code, reason, True)

    def ended(self, label: str) -> None:
        """The server has ended the connection after both close frames."""

    def lost(self, label: str) -> None:
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

    def __init__(self, wires: Wires, connection: Connection, seat: FreeSeat, events: SocketEvents) -> None:
        super().__init__(wires, connection, seat)
        self._events = events

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame; what arrives afterwards is not delivered."""
        if self.ready_state in (CONNECTING, OPEN):
            self.ready_state = CLOSING
            self._wires.close(self._connection, UP, code, reason or "")

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

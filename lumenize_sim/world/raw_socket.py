"""Web sockets that the driver of a scenario holds in its own hands: a browser without a mesh."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import outcome

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.http import Headers, Request, Response
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.socket_record import ABNORMAL_CODE, NO_STATUS_CODE
from lumenize_sim.world.client_end import ClientEnd
from lumenize_sim.world.connection import CLOSED, CLOSING, CONNECTING, UP, Connection

if TYPE_CHECKING:
    from lumenize_sim.world.seats import FreeSeat
    from lumenize_sim.world.wires import Wires

__all__ = ["RawSocket", "UpgradeRefusedError", "upgrade_request"]

_ORIGIN: Final = "https://simulated"


class UpgradeRefusedError(ConnectionError):
    """The answer to an upgrade was no web socket.

    Attributes:
        response: what it was instead; status 500 where the handler failed.
    """

    def __init__(self, url: str, response: Response) -> None:
        text = response.text
        super().__init__(f"{url} refused the upgrade with status {response.status}" + (f": {text}" if text else ""))
        self.response = response


class RawSocket(ClientEnd):
    """A web socket of a simulated browser; see `World.open_socket`.

    The driver may call everything here at any time.  What arrives, arrives in turns of an actor of its own,
    over the same links and with the same faults as the frames of mesh clients.

    Attributes:
        name: of that actor, for ``world.network`` and the trace.
        ready_state: 0 connecting, 1 open, 2 closing, 3 closed.
        response: the answer to the upgrade; ``None`` before it.
        messages: everything received so far, text or bytes.
        close_frame: ``(code, reason)`` of the server's close frame, with code 1005 for an empty one; ``None``
            where none has come.
        close_code, close_reason, was_clean: how the connection ended; ``None`` before the end.  1006 where it
            ended without a close frame.
        auto_reply: whether the browser answers a close frame by itself, as they all do.  Where it does not, call
            `close`.
        on_message: called with each message, in a turn of the browser; may send.
        on_close: called with code, reason and whether it was clean, in a turn of the browser.
    """

    waits_for_end = True

    def __init__(self, wires: Wires, connection: Connection, seat: FreeSeat, url: str, *, auto_reply: bool) -> None:
        super().__init__(wires, connection, seat)
        self.url = url
        self.response: Response | None = None
        self.messages: list[str | bytes] = []
        self.close_frame: tuple[int, str] | None = None
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.was_clean: bool | None = None
        self.auto_reply = auto_reply
        self.on_message: Callable[[str | bytes], Any] | None = None
        self.on_close: Callable[[int, str, bool], Any] | None = None
        self._said_close = False
        self._read = 0
        self._readers: deque[Pending[str | bytes]] = deque()
        self._opening: Pending[RawSocket] = Pending(f"{self.name} to open")
        self._closing: Pending[tuple[int, str, bool]] = Pending(f"{self.name} to close")

    @property
    def connection(self) -> Connection:
        """The connection behind it.  For the world."""
        return self._connection

    # -- what the driver does ------------------------------------------------------------

    def send(self, data: str | bytes) -> None:
        """Send one message.  Nothing where the socket closes or is closed, as in a browser.

        Raises:
            UsageError: it is not open yet, or ``data`` is neither text nor bytes.
        """
        if not isinstance(data, str | bytes):
            raise UsageError(f"a message is str or bytes, not {type(data).__name__}")
        if self.ready_state == CONNECTING:
            raise UsageError(f"{self.name} is not open yet: `await {self.name}.opened()` before it sends")
        super().send(data)

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Begin or answer the close handshake; nothing where this end has done so already.

        Any code may be sent: what a browser would refuse is of use in tests.  ``None`` sends an empty close frame.
        """
        if self.ready_state == CONNECTING:
            self.terminate()
        elif not self._said_close and self.ready_state != CLOSED:
            self._said_close = True
            self.ready_state = CLOSING
            self._wires.close(self._connection, UP, code, reason)

    def terminate(self) -> None:
        """The connection dies at this end, without a close frame: closed at once, and the object hears of it."""
        if self.ready_state != CLOSED:
            self._wires.vanish(self._connection, UP)
            self._finish(ABNORMAL_CODE, "", False)

    def opened(self) -> Pending[RawSocket]:
        """Settles when the upgrade is answered; with this socket, or `UpgradeRefusedError`."""
        return self._opening

    def closed(self) -> Pending[tuple[int, str, bool]]:
        """Settles with ``(close_code, close_reason, was_clean)`` when the connection has ended."""
        return self._closing

    def receive(self) -> Pending[str | bytes]:
        """The next message that no `receive` has taken; fails with `ConnectionError` if the connection ends first."""
        if self._read < len(self.messages) and not self._readers:
            self._read += 1
            return Pending.of(self.messages[self._read - 1])
        if self.ready_state == CLOSED:
            return Pending.failed(self._gone())
        reader: Pending[str | bytes] = Pending(f"{self.name} to receive")
        self._readers.append(reader)
        return reader

    # -- what arrives --------------------------------------------------------------------

    def close_received(self, label: str, code: int | None, reason: str) -> None:
        """The server's close frame: the connection ends when both have sent one and the server hangs up."""
        if self.ready_state == CLOSED or self.close_frame is not None:
            return
        self.close_frame = (NO_STATUS_CODE if code is None else code, reason)
        self.ready_state = CLOSING
        if self.auto_reply and not self._said_close:
            self._said_close = True
            self._wires.answer_close(self._connection, UP, code, reason)

    def ended(self, label: str) -> None:
        """The server has hung up after both close frames."""
        if self.ready_state != CLOSED:
            assert self.close_frame is not None, "the server hangs up behind its close frame"
            self._finish(*self.close_frame, True)

    def lost(self, label: str) -> None:
        """The connection is gone; clean only if both close frames had passed."""
        if self.ready_state != CLOSED:
            if self.close_frame is not None:
                self._finish(*self.close_frame, self._said_close)
            else:
                self._finish(ABNORMAL_CODE, "", False)

    def tell_open(self, response: Response) -> None:
        """The driver's `open_socket` goes on."""
        self.response = response
        self._opening.settle(outcome.Value(self))

    def tell_refusal(self, response: Response) -> None:
        """The driver's `open_socket` raises."""
        self.response = response
        self._finish(ABNORMAL_CODE, "", False)

    def tell_message(self, data: str | bytes) -> None:
        """One message: kept, and given to whoever waits for it."""
        self.messages.append(data)
        if self._readers:
            self._read += 1
            self._readers.popleft().settle(outcome.Value(data))
        if self.on_message is not None:
            self.on_message(data)

    def _finish(self, code: int, reason: str, was_clean: bool) -> None:
        self.ready_state = CLOSED
        self.close_code, self.close_reason, self.was_clean = code, reason, was_clean
        self._opening.settle(outcome.Error(UpgradeRefusedError(self.url, self.response or Response(500))))
        self._closing.settle(outcome.Value((code, reason, was_clean)))
        while self._readers:
            self._readers.popleft().settle(outcome.Error(self._gone()))
        if self.on_close is not None:
            self.on_close(code, reason, was_clean)

    def _gone(self) -> ConnectionError:
        return ConnectionError(f"{self.name} is closed ({self.close_code}); it has received {len(self.messages)}")

    def __repr__(self) -> str:
        return f"<RawSocket {self.name} {('connecting', 'open', 'closing', 'closed')[self.ready_state]}>"


def upgrade_request(path: str, protocols: Sequence[str], headers: Mapping[str, str] | None) -> Request:
    """The request of a browser that asks for a web socket."""
    if isinstance(protocols, str):
        raise UsageError(f"protocols are a sequence of texts; write [{protocols!r}]")
    fields = Headers(headers or {})
    fields["Upgrade"] = "websocket"
    if protocols:
        fields["Sec-WebSocket-Protocol"] = ", ".join(protocols)
    return Request("GET", path if "://" in path else _ORIGIN + path, fields)

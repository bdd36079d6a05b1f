"""Web sockets as an object's code sees them: what lives as long as an incarnation.

A `SocketRecord` is the connection: tags, attachment, which directions are closed.  It
survives hibernation.  A `WebSocket` is the object that user code holds: there is one per
record and incarnation, so it is identical within an incarnation and new in the next one
(WS-7).  `lumenize_sim.objects.hibernation` keeps the records and makes the wrappers.

Nothing here sends.  What user code sends leaves through the `SocketHome` of whoever runs:
for an object that is its machine, which puts it through the output gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from lumenize_sim.clone import decode_cbor, encode_cbor
from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.message_size import message_bytes
from lumenize_sim.objects.refusal import Error, InvalidAccessError
from lumenize_sim.objects.socket_home import SocketHome, SocketRules, current_home, home_var
from lumenize_sim.objects.socket_record import Acceptance, SocketRecord, SocketState

__all__ = ["MAX_ATTACHMENT_BYTES", "MAX_REASON_BYTES", "WebSocket", "WebSocketPair"]

MAX_ATTACHMENT_BYTES: Final = 16_384  #: WS-8
MAX_REASON_BYTES: Final = 123  #: WS-28

_RESERVED_CODES: Final = (1004, 1005, 1006, 1015)
_NOT_ACCEPTED: Final = (
    "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages."
)

_CONNECTING, _RELEASED = SocketState.CONNECTING, SocketState.RELEASED
#: Where ``close()`` has been called, so that ``send()`` is a mistake worth an error (WS-26).
_CLOSED_HERE: Final = (SocketState.CLOSE_SENT, SocketState.CLOSED)


class WebSocket:
    """One end of a web socket, as given to user code.

    Not built by users: see `WebSocketPair`, ``ctx.get_web_sockets``, the ``web_socket`` of a response, and
    ``ctx.web_socket``.  Attributes that user code sets on it are lost with the incarnation (WS-7).

    Attributes:
        on_open, on_message, on_close, on_error: heard before the listeners of that kind; standard API only.
        half_open: the runtime does not answer the peer's close frame, whatever the compatibility date (WS-16).
    """

    on_open: Callable[..., Any] | None = None
    on_message: Callable[..., Any] | None = None
    on_close: Callable[..., Any] | None = None
    on_error: Callable[..., Any] | None = None
    _home: SocketHome | None
    _listeners: dict[str, list[Callable[..., Any]]]
    _peer: WebSocket | None
    _record: SocketRecord

    def __init__(self, record: SocketRecord, home: SocketHome | None = None) -> None:
        self._record = record
        self._home = home
        self._listeners = {}
        self._peer = None
        self.half_open = False

    @property
    def home(self) -> SocketHome | None:
        """By what its frames leave; ``None`` until somebody has taken it.  For hosts."""
        return self._home

    def belong(self, home: SocketHome) -> None:
        """Its frames leave by ``home`` from now on.  For the machine."""
        self._home = home

    @property
    def record(self) -> SocketRecord:
        """What survives hibernation.  For the machine."""
        return self._record

    @property
    def peer(self) -> WebSocket | None:
        """The other end, if both were made in this incarnation.  For the machine."""
        return self._peer

    @property
    def ready_state(self) -> int:
        """0 connecting, 1 open, 2 closing (one direction is closed), 3 closed (WS-29)."""
        return self._record.ready_state

    def accept(self, *, allow_half_open: bool | None = None) -> None:
        """Take this end over with the standard API: events go to listeners, and the object cannot hibernate (WS-33).

        Twice is as good as once.

        Args:
            allow_half_open: the runtime leaves the peer's close frame to your ``close()``, as a proxy needs it; by
                default the compatibility date says (WS-16).

        Raises:
            TypeError: it is hibernatable already, was used in a response, or has not connected yet.
        """
        record = self._record
        if record.state is _CONNECTING:
            raise TypeError("Websockets obtained from the 'new WebSocket()' constructor cannot call accept")
        if record.acceptance is Acceptance.STANDARD:
            return
        if record.acceptance is Acceptance.HIBERNATABLE:
            raise TypeError("Can't accept() WebSocket after enabling hibernation.")
        if record.acceptance is Acceptance.COUPLED:
            raise TypeError("Can't accept() WebSocket that was already used in a response.")
        record.acceptance = Acceptance.STANDARD
        if allow_half_open is not None:
            self.half_open = allow_half_open
        self._send("accept", self)

    def couple(self) -> WebSocket | None:
        """This end is used in a `Response`: it now belongs to whoever asked for the upgrade.  For the machine.

        Returns:
            The other end, if both were made in this incarnation.

        Raises:
            TypeError: this end was accepted or used already.
        """
        record = self._record
        if record.state is _CONNECTING:
            raise TypeError("Can't return WebSocket in a Response if it was created with `new WebSocket()`")
        if record.acceptance is Acceptance.COUPLED:
            raise TypeError("Can't return WebSocket that was already used in a response.")
        if record.acceptance is Acceptance.HIBERNATABLE:
            raise TypeError("Can't return WebSocket in a Response after calling acceptWebSocket().")
        if record.acceptance is not Acceptance.NONE:
            raise TypeError("Can't return WebSocket in a Response after calling accept().")
        record.acceptance = Acceptance.COUPLED
        return self._peer

    def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Send one message.  Never blocks; the bytes are copied now (WS-25).

        After the peer closed it is allowed (WS-27), on a released socket it does nothing.

        Raises:
            TypeError: after own ``close()``, before the socket was accepted (WS-26), or neither text nor bytes.
        """
        if not isinstance(data, str):
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"WebSocket.send() takes str or bytes, not {type(data).__name__}")
            data = bytes(data)
        record = self._record
        if record.state in _CLOSED_HERE:
            raise TypeError("Can't call WebSocket send() after close().")
        if not record.writable and record.state is not _CONNECTING:
            return
        self._require_accepted()
        self._send("message", data)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Begin or answer the close handshake; a second call does nothing (WS-28).

        Args:
            code: 1000 to 4999 without the reserved ones; ``None`` for an empty close frame, seen as 1005.
            reason: at most 123 bytes of UTF-8; needs a code.

        Raises:
            InvalidAccessError: the code is not allowed (fewer are under ``pedantic_wpt``), or there is a reason
                without code.
            SyntaxError: the reason is too long.
            TypeError: the socket was not accepted.
        """
        # Before the state: a bad second close throws, a good one is ignored.
        _check_close(code, reason, _PLAIN if self._home is None else self._home.rules)
        record = self._record
        if record.state in _CLOSED_HERE or record.state is _RELEASED:
            return
        if record.state is _CONNECTING:
            record.apply("close")  # called off
            return
        self._require_accepted()
        writable = record.writable
        record.apply("close")
        if writable:
            self._send("close", (code, reason or ""))

    def serialize_attachment(self, value: Any) -> None:
        """Keep a copy of ``value`` with the connection, over hibernation.  Not a storage write (WS-8).

        Raises:
            Error: more than 16,384 bytes serialised.  The attachment before stays.
            Exception: what `lumenize_sim.clone.encode_cbor` raises for values that cannot be cloned.
        """
        data: bytes = encode_cbor(value, stored=True)
        # The limit is on the platform's own serialisation, which may be longer, but not by this much.
        if len(data) > MAX_ATTACHMENT_BYTES // 8:
            size = message_bytes(decode_cbor(data))
            if size > MAX_ATTACHMENT_BYTES:
                raise Error(
                    f"A WebSocket 'attachment' cannot be larger than {MAX_ATTACHMENT_BYTES} bytes."
                    f"'attachment' was {size} bytes."
                )
        self._tell_access("attach")
        self._record.attachment = data

    def deserialize_attachment(self) -> Any:
        """A fresh copy of the attachment, or ``None`` (WS-9)."""
        self._tell_access("attachment")
        data = self._record.attachment
        return None if data is None else decode_cbor(data)

    def add_event_listener(self, kind: str, listener: Callable[..., Any]) -> None:
        """Hear ``"open"``, ``"message"``, ``"close"`` or ``"error"``, with one argument, the event.

        Standard API only: a hibernatable socket calls none (WS-10).  The same listener twice is heard once.
        """
        listeners = self._listeners.setdefault(kind, [])
        if listener not in listeners:
            listeners.append(listener)

    def remove_event_listener(self, kind: str, listener: Callable[..., Any]) -> None:
        """Hear it no more; nothing where it was not there."""
        listeners = self._listeners.get(kind, [])
        if listener in listeners:
            listeners.remove(listener)

    def listeners(self, kind: str) -> tuple[Callable[..., Any], ...]:
        """Whom to call for an event, in the order added.  For the machine."""
        if self._record.acceptance is Acceptance.HIBERNATABLE:
            return ()
        first: Callable[..., Any] | None = getattr(self, f"on_{kind}", None)
        added = self._listeners.get(kind, ())
        return tuple(added) if first is None else (first, *added)

    def _tell_access(self, kind: str) -> None:
        # Before it is accepted nobody else knows of it.
        if self._record.id and self._home is not None and self._home.access is not None:
            self._home.access(kind, f"attachment of web socket {self._record.id}")

    def _require_accepted(self) -> None:
        if self._record.acceptance not in (Acceptance.STANDARD, Acceptance.HIBERNATABLE):
            raise TypeError(_NOT_ACCEPTED)

    def _send(self, kind: str, payload: Any) -> None:
        home = self._home
        if home is None:
            home = self._home = current_home()
        if home is None:
            raise SimulatorError(f"a WebSocket has nowhere to send its {kind!r} to; set home_var around the turn")
        home.emit(self._record, kind, payload)

    def __repr__(self) -> str:
        record = self._record
        return f"<WebSocket {record.id} {record.acceptance.value} {record.state.value}>"


_PLAIN: Final = SocketRules()


def _check_close(code: int | None, reason: str | None, rules: SocketRules) -> None:
    if code is None:
        if reason is not None:
            raise InvalidAccessError("If you specify a WebSocket close reason, you must also specify a code.")
        return
    if rules.strict_codes:
        allowed = code == 1000 or 3000 <= code <= 4999
    else:
        allowed = 1000 <= code <= 4999 and code not in _RESERVED_CODES
    if not allowed:
        raise InvalidAccessError(f"Invalid WebSocket close code: {code}.")
    if not rules.short_reasons or reason is None:
        return
    if len(reason.encode("utf-8", "surrogatepass")) > MAX_REASON_BYTES:
        raise SyntaxError(
            f"WebSocket close reason must not be longer than {MAX_REASON_BYTES} bytes when UTF-8 encoded."
        )


class WebSocketPair(Sequence[WebSocket]):
    """Two ends of a new connection: return ``pair[0]`` to the client, accept ``pair[1]`` (WS-1)."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        home = home_var.get()
        client, server = WebSocket(SocketRecord(), home), WebSocket(SocketRecord(), home)
        client._peer, server._peer = server, client
        self._ends = (client, server)

    def __getitem__(self, index: Any) -> Any:
        return self._ends[index]

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[WebSocket]:
        return iter(self._ends)

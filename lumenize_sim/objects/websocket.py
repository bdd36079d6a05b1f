"""Web sockets as an object's code sees them, and what of them survives hibernation.

A `SocketRecord` is the connection: tags, attachment, which directions are closed.  It
survives hibernation.  A `WebSocket` is the object that user code holds: there is one per
record and incarnation, so it is identical within an incarnation and new in the next one
(WS-7).  `lumenize_sim.objects.hibernation` keeps the records and makes the wrappers.

Nothing here sends.  What user code sends leaves through the `SocketHome` of whoever runs:
for an object that is its machine, which puts it through the output gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from enum import Enum
from typing import Any, Final, Protocol

import attrs

from lumenize_sim.clone import decode_cbor, encode_cbor
from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.message_size import message_bytes
from lumenize_sim.objects.refusal import Error, InvalidAccessError
from lumenize_sim.objects.strand import strand_var

__all__ = [
    "ABNORMAL_CODE",
    "ABNORMAL_REASON",
    "MAX_ATTACHMENT_BYTES",
    "MAX_REASON_BYTES",
    "NO_STATUS_CODE",
    "TRANSITIONS",
    "Acceptance",
    "SocketHome",
    "SocketRecord",
    "SocketRules",
    "SocketState",
    "WebSocket",
    "WebSocketPair",
    "home_var",
]

MAX_ATTACHMENT_BYTES: Final = 16_384  #: WS-8
MAX_REASON_BYTES: Final = 123  #: WS-28
NO_STATUS_CODE: Final = 1005  #: what a close frame without a code is seen as (WS-14)
ABNORMAL_CODE: Final = 1006  #: what a connection that ended without a close frame is seen as (WS-14)
ABNORMAL_REASON: Final = "WebSocket disconnected without sending Close frame."  #: the reason seen with it

_RESERVED_CODES: Final = (1004, 1005, 1006, 1015)
_NOT_ACCEPTED: Final = (
    "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages."
)


class Acceptance(Enum):
    """Who reads this end of a socket."""

    NONE = "none"  #: nobody yet
    STANDARD = "standard"  #: ``accept()``: listeners of this incarnation, which it keeps in memory (WS-33)
    HIBERNATABLE = "hibernatable"  #: ``ctx.accept_web_socket()``: handlers of the class
    COUPLED = "coupled"  #: used in a `Response`: the peer beyond the network


class SocketState(Enum):
    """Which directions of a connection are closed, seen from this end."""

    CONNECTING = "connecting"  #: ``ctx.web_socket(url)`` before the answer
    OPEN = "open"
    CLOSE_SENT = "close sent"  #: own ``close()``; the peer has not answered
    CLOSE_RECEIVED = "close received"  #: the peer's close frame; own ``close()`` is still possible
    LOST = "lost"  #: the peer vanished without a close frame
    CLOSED = "closed"  #: both directions
    RELEASED = "released"  #: an error, or the connection was cut


_CONNECTING, _OPEN, _CLOSE_SENT, _CLOSE_RECEIVED, _LOST, _CLOSED, _RELEASED = SocketState

#: All changes of state.  A close that comes twice changes nothing.
TRANSITIONS: Final[dict[tuple[SocketState, str], SocketState]] = {
    (_CONNECTING, "open"): _OPEN,
    (_CONNECTING, "close"): _RELEASED,
    (_CONNECTING, "lose"): _RELEASED,
    (_CONNECTING, "release"): _RELEASED,
    (_OPEN, "close"): _CLOSE_SENT,
    (_OPEN, "peer close"): _CLOSE_RECEIVED,
    (_OPEN, "lose"): _LOST,
    (_OPEN, "release"): _RELEASED,
    (_CLOSE_SENT, "peer close"): _CLOSED,
    (_CLOSE_SENT, "lose"): _CLOSED,
    (_CLOSE_SENT, "release"): _RELEASED,
    (_CLOSE_RECEIVED, "close"): _CLOSED,
    (_CLOSE_RECEIVED, "lose"): _LOST,
    (_CLOSE_RECEIVED, "release"): _RELEASED,
    (_LOST, "close"): _CLOSED,
    (_LOST, "release"): _RELEASED,
    (_CLOSED, "release"): _RELEASED,
}
#: ``ready_state`` (WS-29): 0 connecting, 1 open, 2 closing (one direction closed), 3 closed.
_READY: Final = {_CONNECTING: 0, _OPEN: 1, _CLOSE_SENT: 2, _CLOSE_RECEIVED: 2, _LOST: 2, _CLOSED: 3, _RELEASED: 3}
#: Where frames of this end still reach somebody (WS-27).
_WRITABLE: Final = (_OPEN, _CLOSE_RECEIVED)
#: Where ``close()`` has been called, so that ``send()`` is a mistake worth an error (WS-26).
_CLOSED_HERE: Final = (_CLOSE_SENT, _CLOSED)


@attrs.define(eq=False, slots=True)
class SocketRecord:
    """One end of a connection: what survives hibernation.

    Attributes:
        id: number within the object, in order of acceptance; 0 before.
        tags: distinct, in the order given.
        attachment: serialised, ``None`` if never set (WS-9).
        acceptance: who reads this end.
        state: which directions are closed.
        auto_response_ms: when the last auto-response was sent (WS-21).
        close_left: a close frame of this end is on its way; it may be held back for a while after ``close()``.
        told: the event that ends it was dispatched; there is no other (WS-15).
        close_heard: it was the peer's close frame.
    """

    id: int = 0
    tags: tuple[str, ...] = ()
    attachment: bytes | None = None
    acceptance: Acceptance = Acceptance.NONE
    state: SocketState = SocketState.OPEN
    auto_response_ms: int | None = None
    close_left: bool = False
    told: bool = False
    close_heard: bool = False

    @property
    def ready_state(self) -> int:
        """0 connecting, 1 open, 2 closing, 3 closed (WS-29)."""
        return _READY[self.state]

    @property
    def writable(self) -> bool:
        """Whether a frame sent from this end still reaches somebody."""
        return self.state in _WRITABLE

    def apply(self, event: str) -> bool:
        """Something opened or closed: ``"open"``, ``"close"`` (own), ``"peer close"``, ``"lose"`` or ``"release"``.

        The machine applies the events of the network; own closes come from `WebSocket.close`.

        Returns:
            Whether it changed anything.  A second termination does not (WS-15).
        """
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True


@attrs.frozen
class SocketRules:
    """What compatibility flags decide about ``close()`` (WS-28).

    Attributes:
        strict_codes: allow 1000 and 3000 to 4999 only.
        short_reasons: refuse reasons of more than 123 bytes.
    """

    strict_codes: bool = False
    short_reasons: bool = True


class SocketHome(Protocol):
    """Where the code that uses a socket runs."""

    rules: SocketRules

    @property
    def access(self) -> Callable[[str, str], None] | None:
        """Hears of what user code looks at and changes; ``None`` where nobody listens.

        It is told ``"sockets"``, ``"accept"``, ``"attachment"`` or ``"attach"``, and a key.
        """
        ...

    def emit(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """User code does something: ``"message"`` with text or bytes, ``"close"`` with ``(code, reason)`` (``None, ""``
        for an empty close frame), or ``"accept"`` with the `WebSocket` when it is taken over by the standard API.
        """
        ...


#: The home of the instance whose code runs.  The machine sets it for each turn, so that a pair made by user
#: code knows where its frames go before it is accepted.
home_var: ContextVar[SocketHome | None] = ContextVar("lumenize_sim_socket_home", default=None)


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
        state = self._record.state
        if state in _CLOSED_HERE:
            raise TypeError("Can't call WebSocket send() after close().")
        if state not in _WRITABLE and state is not _CONNECTING:
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
            home = self._home = _current_home()
        if home is None:
            raise SimulatorError(f"a WebSocket has nowhere to send its {kind!r} to; set home_var around the turn")
        home.emit(self._record, kind, payload)

    def __repr__(self) -> str:
        record = self._record
        return f"<WebSocket {record.id} {record.acceptance.value} {record.state.value}>"


_PLAIN: Final = SocketRules()


def _current_home() -> SocketHome | None:
    """That of the code that runs: of its instance, or of the seat of a Worker or a driver."""
    home = home_var.get()
    strand = strand_var.get()
    if home is None and strand is not None:
        home = getattr(strand.owner.seat, "frames", None)
    return home


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

"""One end of a connection, as it survives hibernation: tags, attachment, which directions are closed."""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs

__all__ = [
    "ABNORMAL_CODE",
    "ABNORMAL_REASON",
    "NO_STATUS_CODE",
    "TRANSITIONS",
    "Acceptance",
    "SocketRecord",
    "SocketState",
]

NO_STATUS_CODE: Final = 1005  #: what a close frame without a code is seen as (WS-14)
ABNORMAL_CODE: Final = 1006  #: what a connection that ended without a close frame is seen as (WS-14)
ABNORMAL_REASON: Final = "WebSocket disconnected without sending Close frame."  #: the reason seen with it


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

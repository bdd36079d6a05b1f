"""What happens to a client's connection, and what its shell shall do about it: plain values.

`lumenize_sim.mesh.client_connection.ClientConnection` takes each `Input` and answers with
`Command`s; the client carries them out.
"""

from __future__ import annotations

from typing import Literal

import attrs

from lumenize_sim.mesh.errors import LoginRequiredError

__all__ = [
    "BackoffElapsed",
    "Command",
    "ConnectRequested",
    "ConnectionState",
    "Dial",
    "DisconnectRequested",
    "FindTabId",
    "Hangup",
    "Input",
    "Refresh",
    "RefreshFailed",
    "RejectCalls",
    "RequireLogin",
    "RequireSubscription",
    "SendQueue",
    "SocketClosed",
    "SocketOpened",
    "StartBackoff",
    "StartHeartbeat",
    "StateChanged",
    "StatusArrived",
    "StopBackoff",
    "StopHeartbeat",
    "TabIdFound",
    "TokenArrived",
    "WokenUp",
]

ConnectionState = Literal["connecting", "connected", "reconnecting", "disconnected"]


# What happens to the machine.


@attrs.frozen
class ConnectRequested:
    """``connect()`` was called, or the client was built (CL-1, CL-3)."""


@attrs.frozen
class DisconnectRequested:
    """``disconnect()`` was called (CL-29)."""


@attrs.frozen
class WokenUp:
    """The page came back to life: shown or focused, or (``online``) the network returned (CL-15)."""

    online: bool = False


@attrs.frozen
class TabIdFound:
    """Answer to `FindTabId`."""

    tab_id: str


@attrs.frozen
class TokenArrived:
    """Answer to `Refresh`; ``None`` or empty where the answer held no token."""

    token: str | None


@attrs.frozen
class RefreshFailed:
    """The other answer to `Refresh`."""

    error: Exception


@attrs.frozen
class SocketOpened:
    """The socket of that `Dial` is open."""

    socket: int


@attrs.frozen
class StatusArrived:
    """A ``connection_status`` frame came over that socket (CL-36)."""

    socket: int
    subscription_required: bool


@attrs.frozen
class SocketClosed:
    """The socket of that `Dial` is closed, or never opened."""

    socket: int
    code: int
    reason: str


@attrs.frozen
class BackoffElapsed:
    """The timer of `StartBackoff` fired."""


Input = (
    ConnectRequested
    | DisconnectRequested
    | WokenUp
    | TabIdFound
    | TokenArrived
    | RefreshFailed
    | SocketOpened
    | StatusArrived
    | SocketClosed
    | BackoffElapsed
)


# What the shell shall do.


@attrs.frozen
class FindTabId:
    """Find the tab's id and answer with `TabIdFound`."""


@attrs.frozen
class Refresh:
    """Get a new token and answer with `TokenArrived` or `RefreshFailed`; join a refresh that is under way."""


@attrs.frozen
class Dial:
    """Open a socket; its events carry the number ``socket``."""

    socket: int
    url: str
    protocols: tuple[str, ...]


@attrs.frozen
class Hangup:
    """Detach from that socket and close it if it is open or connecting."""

    socket: int
    code: int
    reason: str


@attrs.frozen
class StartBackoff:
    """Answer with `BackoffElapsed` after ``delay_s``."""

    delay_s: float


@attrs.frozen
class StopBackoff:
    """Call that timer off."""


@attrs.frozen
class StartHeartbeat:
    """Send pings over the open socket from now on (CL-44)."""


@attrs.frozen
class StopHeartbeat:
    """Send no more pings."""


@attrs.frozen
class SendQueue:
    """Send what ``ClientConnection.take_queue`` yields, in that order."""


@attrs.frozen
class RejectCalls:
    """Every call without an answer fails with this message."""

    message: str


@attrs.frozen
class StateChanged:
    """Tell the user the new state."""

    state: ConnectionState


@attrs.frozen
class RequireLogin:
    """Tell the user that only a new login helps."""

    error: LoginRequiredError


@attrs.frozen
class RequireSubscription:
    """Tell the user to subscribe again."""


Command = (
    FindTabId
    | Refresh
    | Dial
    | Hangup
    | StartBackoff
    | StopBackoff
    | StartHeartbeat
    | StopHeartbeat
    | SendQueue
    | RejectCalls
    | StateChanged
    | RequireLogin
    | RequireSubscription
)

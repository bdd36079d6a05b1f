"""The life of one client's connection as a state machine: inputs in, commands out, no I/O.

A client shows four states; the machine distinguishes seven phases beneath
them, because what a close or a token means depends on what was under way::

    idle --connect--> preparing --tab id, token--> dialling --open--> open --status--> online
    dialling | open | online --close(other)--> backing_off --timer--> preparing
    dialling | open | online --close(4401)--> renewing --token--> preparing
    any --close 4400/4403, login refused, disconnect--> idle

`_TABLE` lists which input means something in which phase; every other pair is
ignored.  Commands come in the order in which the shell must carry them out:
effects first, then what the user is told, so that a callback that calls back
in (``connect()``, ``disconnect()``) finds a machine that has finished moving.

Deliberately better than upstream, where the behaviour was an accident: there is
never more than one socket (upstream leaks one when ``connect()`` is called
while a reconnect is dialling), ``disconnect()`` also cancels an attempt that is
still waiting for its token (CL-30), a tab id once found is kept over failed
attempts, an unreadable refreshed token is not kept, and ``online`` does not
revive a client that was told to disconnect (CL-15).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from lumenize_sim.mesh.client_events import (
    BackoffElapsed,
    Command,
    ConnectionState,
    ConnectRequested,
    Dial,
    DisconnectRequested,
    FindTabId,
    Hangup,
    Input,
    Refresh,
    RefreshFailed,
    RejectCalls,
    RequireLogin,
    RequireSubscription,
    SendQueue,
    SocketClosed,
    SocketOpened,
    StartBackoff,
    StartHeartbeat,
    StateChanged,
    StatusArrived,
    StopBackoff,
    StopHeartbeat,
    TabIdFound,
    TokenArrived,
    WokenUp,
)
from lumenize_sim.mesh.errors import LoginRequiredError, MeshError
from lumenize_sim.mesh.tokens import decode_payload

__all__ = [
    "BACKOFF_CAP_S",
    "BACKOFF_FIRST_S",
    "QUEUE_LIMIT",
    "QUEUE_TIMEOUT_S",
    "TOKEN_MARGIN_S",
    "ClientConnection",
    "Phase",
]

QUEUE_LIMIT = 100
QUEUE_TIMEOUT_S = 30.0
BACKOFF_FIRST_S = 1.0
BACKOFF_CAP_S = 30.0
TOKEN_MARGIN_S = 30

Phase = Literal["idle", "preparing", "dialling", "open", "online", "backing_off", "renewing"]


class ClientConnection:
    """The state machine of one client.

    Attributes:
        state: what the user sees.
        phase: what is under way.
        instance_name: configured, or ``{sub}.{tabId}`` from the first attempt that got that far.
        token: the current access token.
        claims: its payload, unverified, read-only (CL-25).
        socket: number of the current socket, ``None`` without one.
    """

    __slots__ = (
        "_attempts",
        "_awaiting_tab",
        "_awaiting_token",
        "_base_url",
        "_binding",
        "_dialled",
        "_queue",
        "_reauthenticated",
        "_revives",
        "_searching_tab",
        "_tab_id",
        "_told_to_disconnect",
        "claims",
        "instance_name",
        "phase",
        "socket",
        "state",
        "token",
    )

    def __init__(
        self,
        *,
        base_url: str,
        binding: str,
        instance_name: str | None = None,
        token: str | None = None,
        revives: bool = False,
    ) -> None:
        """``revives``: the return of the network also wakes a client that was told to disconnect (CL-15)."""
        self._base_url = _socket_url(base_url)
        self._binding = binding
        self.instance_name = instance_name
        self.token = token or None
        self.claims: Mapping[str, Any] | None = _claims_of(token) if token else None
        self.state: ConnectionState = "disconnected"
        self.phase: Phase = "idle"
        self.socket: int | None = None
        self._dialled = 0
        self._attempts = 0
        self._reauthenticated = False
        self._tab_id: str | None = None
        self._searching_tab = False
        self._awaiting_tab = False
        self._awaiting_token = False
        self._told_to_disconnect = False
        self._revives = revives
        self._queue: dict[str, str] = {}

    def feed(self, event: Input, now_ms: int) -> list[Command]:
        """Take one input at epoch time ``now_ms`` and say what to do about it."""
        socket = getattr(event, "socket", self.socket)
        if socket != self.socket:
            return []  # an event of a socket that was given up (CL-14)
        handler = _TABLE[type(event)].get(self.phase)
        commands: list[Command] = []
        if handler is not None:
            handler(self, event, now_ms, commands)
        return commands

    # The queue of frames that wait for the connection (CL-31 to CL-35).

    def enqueue(self, call_id: str, text: str) -> bool:
        """Keep a frame until `SendQueue`; false where the queue is full (CL-33)."""
        if len(self._queue) >= QUEUE_LIMIT:
            return False
        self._queue[call_id] = text
        return True

    def withdraw(self, call_id: str) -> bool:
        """Take one frame out again; false where it has left already."""
        return self._queue.pop(call_id, None) is not None

    def take_queue(self) -> list[tuple[str, str]]:
        """All waiting frames in the order of their calls, as (call id, text); the queue is empty afterwards."""
        queue, self._queue = self._queue, {}
        return list(queue.items())

    # Tokens.

    def needs_refresh(self, now_ms: int) -> bool:
        """No token, or one whose readable expiry is at most 30 s away (CL-8)."""
        if not self.token:
            return True
        expiry = self.claims.get("exp") if self.claims is not None else None
        if not isinstance(expiry, int | float) or isinstance(expiry, bool):
            return False
        return expiry - TOKEN_MARGIN_S <= now_ms // 1000

    def drop_token(self) -> None:
        """Forget the token; the claims stay readable until the next one comes."""
        self.token = None

    def clear_token(self) -> None:
        """Forget token and claims; the connection is not touched (CL-26)."""
        self.token = None
        self.claims = None

    # Transitions.  Each appends to `out`.

    def _connect(self, _event: Any, now_ms: int, out: list[Command]) -> None:
        self._told_to_disconnect = False
        if self.phase == "backing_off":
            out.append(StopBackoff())
        self._begin(_event, now_ms, out)

    def _begin(self, _event: Any, now_ms: int, out: list[Command]) -> None:
        self.phase = "preparing"
        named = self.instance_name is not None
        self._awaiting_tab = not named and self._tab_id is None
        self._awaiting_token = self.needs_refresh(now_ms) if named else self.token is None
        if self._awaiting_tab and not self._searching_tab:
            self._searching_tab = True
            out.append(FindTabId())
        if self._awaiting_token:
            out.append(Refresh())
        self._dial_if_ready(out)
        self._show("reconnecting" if self.state == "reconnecting" else "connecting", out)

    def _dial_if_ready(self, out: list[Command]) -> None:
        if self._awaiting_tab or self._awaiting_token:
            return
        if self.instance_name is None:
            sub = (self.claims or {}).get("sub", "undefined")
            self.instance_name = f"{sub}.{self._tab_id}"
        protocols = ("lmz",) if not self.token else ("lmz", f"lmz.access-token.{self.token}")
        self._dialled += 1
        self.socket = self._dialled
        self.phase = "dialling"
        out.append(Dial(self._dialled, f"{self._base_url}/gateway/{self._binding}/{self.instance_name}", protocols))

    def _tab_found(self, event: TabIdFound, _now_ms: int, out: list[Command]) -> None:
        self._searching_tab = False
        self._tab_id = event.tab_id
        if self.phase == "preparing" and self._awaiting_tab:
            self._awaiting_tab = False
            self._dial_if_ready(out)

    def _token_came(self, event: TokenArrived, now_ms: int, out: list[Command]) -> None:
        problem = self._remember(event.token)
        if problem is not None:
            handler = _TABLE[RefreshFailed].get(self.phase)
            if handler is not None:
                handler(self, RefreshFailed(problem), now_ms, out)
        elif self.phase == "renewing":
            changed = self.state != "reconnecting"
            self.state = "reconnecting"
            self._begin(event, now_ms, out)
            if changed:
                out.append(StateChanged("reconnecting"))
        elif self.phase == "preparing" and self._awaiting_token:
            self._awaiting_token = False
            self._dial_if_ready(out)

    def _remember(self, token: str | None) -> Exception | None:
        if not token:
            return MeshError("Refresh returned no token")
        claims = _claims_of(token)
        if claims is None:
            return MeshError("Refresh returned a malformed access_token")
        self.token = token
        self.claims = claims
        return None

    def _attempt_failed(self, event: RefreshFailed, _now_ms: int, out: list[Command]) -> None:
        if not self._awaiting_token:
            return
        if isinstance(event.error, LoginRequiredError):
            self._login(event.error, out)
        else:
            self._back_off(out)

    def _renewal_failed(self, _event: RefreshFailed, _now_ms: int, out: list[Command]) -> None:
        self._login(LoginRequiredError("Token refresh failed", 401, "Refresh token expired or invalid"), out)

    def _opened(self, _event: SocketOpened, _now_ms: int, out: list[Command]) -> None:
        self.phase = "open"
        self._attempts = 0
        self._reauthenticated = False
        out.append(StartHeartbeat())

    def _status(self, event: StatusArrived, _now_ms: int, out: list[Command]) -> None:
        self.phase = "online"
        self._show("connected", out)
        out.append(SendQueue())
        if event.subscription_required:
            out.append(RequireSubscription())

    def _closed(self, event: SocketClosed, _now_ms: int, out: list[Command]) -> None:
        self.socket = None
        out.append(StopHeartbeat())
        _AFTER_CLOSE.get(event.code, ClientConnection._after_drop)(self, event, out)

    def _after_refusal(self, event: SocketClosed, out: list[Command]) -> None:
        error = LoginRequiredError(f"Authentication failed: {event.reason}", event.code, event.reason)
        self._login(error, out)

    def _after_expiry(self, _event: SocketClosed, out: list[Command]) -> None:
        # The state shown does not change before the refresh has ended (CL-18).
        self.token = None
        self.phase = "renewing"
        self._awaiting_token = True
        out.append(Refresh())

    def _after_drop(self, _event: SocketClosed, out: list[Command]) -> None:
        self._back_off(out)

    def _back_off(self, out: list[Command]) -> None:
        if self._attempts >= 1 and self.token and not self._reauthenticated:
            self._reauthenticated = True  # the server may have turned against this very token (CL-13)
            self.token = None
        # Doubling stops early: 2.0 ** n overflows after a thousand failures.
        delay_s = min(BACKOFF_FIRST_S * 2.0 ** min(self._attempts, 10), BACKOFF_CAP_S)
        self._attempts += 1
        self.phase = "backing_off"
        out.append(StartBackoff(delay_s))
        self._show("reconnecting", out)

    def _login(self, error: LoginRequiredError, out: list[Command]) -> None:
        self.phase = "idle"
        self._show("disconnected", out)
        out.append(RequireLogin(error))

    def _disconnect(self, _event: DisconnectRequested, _now_ms: int, out: list[Command]) -> None:
        self._told_to_disconnect = True
        if self.phase == "backing_off":
            out.append(StopBackoff())
        out.append(StopHeartbeat())
        if self.socket is not None:
            out.append(Hangup(self.socket, 1000, "Client disconnect"))
            self.socket = None
        self.phase = "idle"
        self._queue.clear()
        out.append(RejectCalls("Client disconnected"))
        self._show("disconnected", out)

    def _wake(self, event: WokenUp, now_ms: int, out: list[Command]) -> None:
        if self.state != "reconnecting" and not (
            event.online and self.state == "disconnected" and (self._revives or not self._told_to_disconnect)
        ):
            return
        self._attempts = 0
        if self.phase in ("preparing", "open", "renewing"):
            return  # already as far as a new attempt would get
        if self.phase == "backing_off":
            out.append(StopBackoff())
        elif self.socket is not None:
            # It was dialled into a network that may be gone; its failure could take minutes to show.
            out.append(Hangup(self.socket, 1000, "Client disconnect"))
            self.socket = None
        self._begin(event, now_ms, out)

    def _show(self, state: ConnectionState, out: list[Command]) -> None:
        if self.state != state:
            self.state = state
            out.append(StateChanged(state))


_Transition = Callable[[ClientConnection, Any, int, list[Command]], None]
_C = ClientConnection
_EVERYWHERE: tuple[Phase, ...] = ("idle", "preparing", "dialling", "open", "online", "backing_off", "renewing")

_TABLE: Mapping[type[Input], Mapping[Phase, _Transition]] = {
    ConnectRequested: {"idle": _C._connect, "backing_off": _C._connect},
    DisconnectRequested: dict.fromkeys(_EVERYWHERE, _C._disconnect),
    WokenUp: dict.fromkeys(_EVERYWHERE, _C._wake),
    TabIdFound: dict.fromkeys(_EVERYWHERE, _C._tab_found),
    TokenArrived: dict.fromkeys(_EVERYWHERE, _C._token_came),
    RefreshFailed: {"preparing": _C._attempt_failed, "renewing": _C._renewal_failed},
    SocketOpened: {"dialling": _C._opened},
    StatusArrived: {"dialling": _C._status, "open": _C._status, "online": _C._status},
    SocketClosed: {"dialling": _C._closed, "open": _C._closed, "online": _C._closed},
    BackoffElapsed: {"backing_off": _C._begin},
}

_AFTER_CLOSE: Mapping[int, Callable[[ClientConnection, SocketClosed, list[Command]], None]] = {
    4400: _C._after_refusal,
    4401: _C._after_expiry,
    4403: _C._after_refusal,
}


def _socket_url(base_url: str) -> str:
    if base_url.startswith("https://"):
        return "wss://" + base_url[len("https://") :]
    if base_url.startswith("http://"):
        return "ws://" + base_url[len("http://") :]
    return base_url


def _claims_of(token: str) -> Mapping[str, Any] | None:
    try:
        payload = decode_payload(token)
    except ValueError:
        return None
    return MappingProxyType(payload) if isinstance(payload, dict) else None

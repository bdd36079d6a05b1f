"""Web sockets that a node opens: a client's connection to its gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionRejected, HandshakeError, WebSocketConnection, wrap_client_stream

from lumenize_sim.live.loop import Loop
from lumenize_sim.live.seats import FreeSeat
from lumenize_sim.live.wire import ABNORMAL, NO_STATUS, Wire
from lumenize_sim.objects.host import SocketEvents

__all__ = ["CONNECT_TIMEOUT_S", "DialledSocket", "dial"]

CONNECT_TIMEOUT_S: Final = 30.0

_Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
_CONNECTING, _OPEN, _CLOSING, _CLOSED = range(4)


class DialledSocket:
    """The dialling end, as the client sees it: the states change in its own turns only.

    Attributes:
        ended: set when nothing of it is left.
    """

    def __init__(self, seat: FreeSeat, events: SocketEvents) -> None:
        self._seat = seat
        self._events = events
        self._state = _CONNECTING
        self._wire = Wire()
        self._dialling = trio.CancelScope()
        self.ended = trio.Event()

    @property
    def ready_state(self) -> int:
        """0 connecting, 1 open, 2 closing, 3 closed."""
        return self._state

    def send(self, data: str | bytes) -> None:
        """Queue one frame."""
        if self._state == _OPEN:
            self._wire.send(data)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame; what arrives afterwards is not delivered."""
        if self._state == _CONNECTING:
            self._dialling.cancel()
        if self._state in (_CONNECTING, _OPEN):
            self._state = _CLOSING
            self._wire.close(NO_STATUS if code is None else code, reason or "")

    def cut(self) -> None:
        """The owner is gone."""
        self._dialling.cancel()
        self._wire.cut()

    async def run(self, url: str, protocols: Sequence[str]) -> None:
        """Dial, and stay until the end."""
        try:
            await self._run(url, protocols)
        finally:
            self.ended.set()
            self._seat.sockets.pop(self, None)

    async def _run(self, url: str, protocols: Sequence[str]) -> None:
        end: tuple[int, str, bool] = (ABNORMAL, "", False)
        stream: _Stream | None = None
        try:
            async with trio.open_nursery() as nursery:
                socket: WebSocketConnection | None = None
                with self._dialling, trio.fail_after(CONNECT_TIMEOUT_S):
                    stream, host, target = await _connect(url)
                    socket = await wrap_client_stream(nursery, stream, host, target, subprotocols=protocols)
                if socket is not None and stream is not None:
                    self._tell("open", self._opened)
                    end = await self._wire.run(socket, stream, self._received)
                nursery.cancel_scope.cancel()
            self._tell("close", self._ended, *end)
        except* (HandshakeError, OSError, trio.BrokenResourceError, trio.TooSlowError) as group:
            error = group.exceptions[0]
            why = f"upgrade refused with status {error.status_code}" if isinstance(error, ConnectionRejected) else error
            self._tell("close", self._failed, ConnectionError(f"{url}: {why or type(error).__name__}"))
        finally:
            if stream is not None:
                await trio.aclose_forcefully(stream)

    def _tell(self, what: str, function: Callable[..., None], *args: Any) -> None:
        self._seat.post(f"{self._seat.name}!socket {what}", function, *args)

    def _opened(self) -> None:
        if self._state == _CONNECTING:
            self._state = _OPEN
            self._events.on_open()

    def _received(self, data: str | bytes, taken: Callable[[], None]) -> None:
        def deliver() -> None:
            taken()
            if self._state == _OPEN:
                self._events.on_message(data)

        self._tell("message", deliver)

    def _failed(self, error: ConnectionError) -> None:
        if self._state != _CLOSED:
            self._state = _CLOSED
            self._events.on_error(error)
            self._events.on_close(ABNORMAL, "", False)

    def _ended(self, code: int, reason: str, was_clean: bool) -> None:
        if self._state != _CLOSED:
            self._state = _CLOSED
            self._events.on_close(code, reason, was_clean)


async def _connect(url: str) -> tuple[_Stream, str, str]:
    """A stream to where ``url`` points; the Host field and the target of the request."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme in ("wss", "https")
    stream: _Stream
    if secure:
        stream = await trio.open_ssl_over_tcp_stream(host, parts.port or 443, https_compatible=True)
    else:
        stream = await trio.open_tcp_stream(host, parts.port or 80)
    return stream, parts.netloc.rpartition("@")[2], (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def dial(loop: Loop, seat: Any, url: str, protocols: Sequence[str], events: SocketEvents) -> DialledSocket:
    """Open a web socket.  Acts at once; the outcome arrives through ``events``."""
    socket = DialledSocket(seat, events)
    seat.sockets[socket] = None
    loop.start_infrastructure(socket.run, url, list(protocols))
    return socket

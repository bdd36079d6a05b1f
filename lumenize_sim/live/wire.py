"""One open web socket of trio-websocket, driven by a reader and a writer that belong to nobody.

Node code never waits for the network: what it sends is queued here, and what arrives is
handed on as an event.  A reader that is far ahead of the loop waits for it, so that a
peer who floods one connection delays nobody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection
from wsproto.frame_protocol import CloseReason

__all__ = ["ABNORMAL", "AHEAD", "CLOSE_TIMEOUT_S", "NO_STATUS", "Wire"]

AHEAD: Final = 16  #: frames of one connection that may wait for the loop
CLOSE_TIMEOUT_S: Final = 5.0  #: how long the peer may take to answer a close frame
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006

Received = Callable[[str | bytes, Callable[[], None]], None]


class Wire:
    """Frames out, frames in, and the end."""

    def __init__(self) -> None:
        self._out: deque[str | bytes] = deque()
        self._close: tuple[int, str] | None = None
        self._stir = trio.Event()
        self._cut = False
        self._scope = trio.CancelScope()

    def send(self, data: str | bytes) -> None:
        """Queue one frame."""
        if self._close is None:
            self._out.append(data)
            self._stir.set()

    def close(self, code: int, reason: str) -> None:
        """Begin the close handshake behind what is queued.  A second call does nothing."""
        if self._close is None:
            self._close = (code, reason)
            self._stir.set()

    def cut(self) -> None:
        """Drop the connection; no close frame is sent."""
        self._cut = True
        self._scope.cancel()

    async def run(
        self, socket: WebSocketConnection, stream: trio.abc.Stream, received: Received
    ) -> tuple[int, str, bool]:
        """Run the open ``socket`` to its end.

        Args:
            stream: what lies below, so that `cut` can cut it.
            received: is given each frame, and what to call when the loop has taken it.

        Returns:
            Close code and reason, and whether there was a close frame of the peer's.
        """
        ahead = trio.Semaphore(AHEAD)

        async def read() -> None:
            try:
                while True:
                    await ahead.acquire()
                    received(await socket.get_message(), ahead.release)
            except ConnectionClosed:
                if self._close is None:
                    self._scope.cancel()

        async with trio.open_nursery() as nursery:
            with self._scope:
                nursery.start_soon(read)
                await self._write(socket)
            if self._cut:
                await trio.aclose_forcefully(stream)
            nursery.cancel_scope.cancel()
        seen = socket.closed
        if self._cut or seen is None or seen.code == ABNORMAL:
            return ABNORMAL, "", False
        return seen.code, seen.reason or "", True

    async def _write(self, socket: WebSocketConnection) -> None:
        try:
            while True:
                while self._out:
                    await socket.send_message(self._out.popleft())
                if self._close is not None:
                    code, reason = self._close
                    with trio.move_on_after(CLOSE_TIMEOUT_S) as patience:
                        await socket.aclose(CloseReason.NO_STATUS_RCVD if code == NO_STATUS else code, reason or None)
                    # trio-websocket reports its own code where the peer never answered.
                    self._cut = self._cut or patience.cancelled_caught
                    return
                self._stir = trio.Event()
                await self._stir.wait()
        except ConnectionClosed:
            return

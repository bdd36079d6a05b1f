"""A web socket of a page, with the manners of the web API (TS-9), and what is counted of a browser (TS-10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.testing.tab_stores import InvalidStateError
from lumenize_sim.world.connection import CLOSED, CLOSING, CONNECTING, Connection
from lumenize_sim.world.raw_socket import RawSocket

if TYPE_CHECKING:
    from lumenize_sim.world.seats import FreeSeat
    from lumenize_sim.world.wires import Wires

__all__ = ["NO_SOCKET_CODE", "Metrics", "PageSocket"]

NO_SOCKET_CODE: Final = 1011  #: how a socket closes whose upgrade was answered with something else


@attrs.define
class Metrics:
    """What one browser has sent and received; preflights and redirects count as requests of their own."""

    http_requests: int = 0
    round_trips: int = 0
    payload_bytes_sent: int = 0
    payload_bytes_received: int = 0
    ws_upgrade_requests: int = 0
    ws_sent_messages: int = 0
    ws_received_messages: int = 0
    ws_sent_payload_bytes: int = 0
    ws_received_payload_bytes: int = 0


class PageSocket(RawSocket):
    """See `Browser.web_socket`.

    Unlike a `RawSocket` it keeps what is sent before it is open, refuses what is sent after its close, and
    closes with 1011, after `on_error`, where the answer to its upgrade is no web socket.

    Attributes:
        request: that asked for it.
        on_open: called when it is open.
        on_error: called with what went wrong.
    """

    def __init__(
        self,
        wires: Wires,
        connection: Connection,
        seat: FreeSeat,
        request: Request,
        metrics: Metrics,
        max_queue_bytes: int | None,
    ) -> None:
        super().__init__(wires, connection, seat, str(request.url), auto_reply=True)
        self.request = request
        self.on_open: Callable[[], Any] | None = None
        self.on_error: Callable[[Exception], Any] | None = None
        self._metrics = metrics
        self._queue: list[str | bytes] = []
        self._queued_bytes = 0
        self._max_queue_bytes = max_queue_bytes

    def send(self, data: str | bytes) -> None:
        """Send one message, or keep it until the socket is open.

        Raises:
            InvalidStateError: the socket closes or is closed.
            UsageError: more is kept than the context allows; or ``data`` is neither text nor bytes.
        """
        if self.ready_state in (CLOSING, CLOSED):
            raise InvalidStateError(f"send() on {self.name}: the WebSocket is closing or closed")
        if self.ready_state == CONNECTING and isinstance(data, str | bytes):
            size = self._queued_bytes + _size(data)
            if self._max_queue_bytes is not None and size > self._max_queue_bytes:
                raise UsageError(
                    f"{size} bytes wait for {self.name} to open; max_queue_bytes is {self._max_queue_bytes}"
                )
            self._queued_bytes = size
            self._queue.append(data)
            return
        super().send(data)
        self._metrics.ws_sent_messages += 1
        self._metrics.ws_sent_payload_bytes += _size(data)

    def tell_open(self, response: Response) -> None:
        """What has waited goes first."""
        super().tell_open(response)
        queue, self._queue = self._queue, []
        for data in queue:
            self.send(data)
        if self.on_open is not None:
            self.on_open()

    def tell_refusal(self, response: Response) -> None:
        """An error, then the close."""
        self.response = response
        if self.on_error is not None:
            self.on_error(ConnectionError(f"the upgrade was answered with status {response.status}"))
        self._finish(NO_SOCKET_CODE, "", False)

    def tell_message(self, data: str | bytes) -> None:
        """Counted."""
        self._metrics.ws_received_messages += 1
        self._metrics.ws_received_payload_bytes += _size(data)
        super().tell_message(data)


def _size(data: str | bytes) -> int:
    return len(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))

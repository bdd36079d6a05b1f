"""Web sockets of Workers and drivers: the standard API, without gates."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from lumenize_sim.objects.isolate import is_awaitable
from lumenize_sim.objects.socket_events import CloseEvent, MessageEvent
from lumenize_sim.objects.socket_home import SocketRules
from lumenize_sim.objects.socket_record import NO_STATUS_CODE, SocketRecord, SocketState
from lumenize_sim.objects.websocket import WebSocket

if TYPE_CHECKING:
    from lumenize_sim.world.seats import FreeSeat

__all__ = ["SeatFrames"]


class SeatFrames:
    """What arrives at the web sockets of one seat, and leaves by them.  A `SocketHome`.

    A Worker's invocation goes on while one of them is open.

    Attributes:
        rules: of ``close()``.
        unclaimed: what the owner was answered: its end, and the label of the call.  Some may be taken since.
    """

    def __init__(self, seat: FreeSeat) -> None:
        options = seat.world.options.objects
        self.rules = SocketRules(
            strict_codes=options.flag("pedantic_wpt"),
            short_reasons=options.flag("websocket_close_reason_byte_limit"),
        )
        # Such sockets cannot hibernate: nobody else has them, and they have no attachment to keep.
        self.access = None
        self._answers = options.flag("web_socket_auto_reply_to_close")
        self._seat = seat
        self.unclaimed: list[tuple[SocketRecord, str]] = []
        self._accepted: dict[SocketRecord, WebSocket] = {}

    def emit(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """User code does something to a socket: nothing holds it back."""
        if kind == "accept":
            self._accepted[record] = payload
            self._seat.socket_opened()
        self._seat.world.sockets.node_does(self._seat, record, kind, payload)
        if kind == "close":
            record.close_left = True
            self._maybe_end(record)

    def coupled(self, record: SocketRecord) -> None:
        """The peer of a socket made here is somewhere else now."""

    def message(self, label: str, record: SocketRecord, data: str | bytes, *, cause: int = -1) -> None:
        """A message arrives."""
        self._tell(label, record, "message", MessageEvent(data))

    def closed(
        self, label: str, record: SocketRecord, code: int, reason: str, was_clean: bool, *, cause: int = -1
    ) -> None:
        """The peer's close frame, or the loss of the connection (WS-14)."""
        ws = self._accepted.get(record)
        if ws is None or not record.apply("peer close" if was_clean else "lose"):
            return
        if record.told:
            self._forget(record)  # once is enough (WS-15)
            return
        record.told = True
        if was_clean and self._answers and not ws.half_open and record.state is SocketState.CLOSE_RECEIVED:
            record.apply("close")
            self.emit(record, "close", (None if code == NO_STATUS_CODE else code, reason))
        self._tell(label, record, "close", CloseEvent(code, reason, was_clean))
        if was_clean:
            record.close_heard = True
            self._maybe_end(record)
        else:
            self._forget(record)

    def drop(self) -> None:
        """The owner is gone: its sockets are cut, and those that it has not taken are lost (RPC-24)."""
        for record, label in self.unclaimed:
            self._seat.world.sockets.lose(record, label)
        self.unclaimed.clear()
        for record in list(self._accepted):
            if record.apply("release"):
                self._seat.world.sockets.node_does(self._seat, record, "cut", None)
            del self._accepted[record]

    def _maybe_end(self, record: SocketRecord) -> None:
        if record.close_left and record.close_heard:
            self._seat.world.sockets.node_does(self._seat, record, "end", None)
            self._forget(record)

    def _forget(self, record: SocketRecord) -> None:
        if self._accepted.pop(record, None) is not None:
            self._seat.socket_closed()

    def _tell(self, label: str, record: SocketRecord, kind: str, event: Any) -> None:
        ws = self._accepted.get(record)
        for listener in ws.listeners(kind) if ws is not None else ():
            try:
                result = listener(event)
            except (Exception, SystemExit) as error:
                self._seat.listener_failed(label, error)
                continue
            if is_awaitable(result):
                self._seat.owner.spawn(self._await, label, result)

    async def _await(self, label: str, result: Awaitable[Any]) -> None:
        try:
            await result
        except Exception as error:
            self._seat.listener_failed(label, error)

"""The line of a client to its gateway: one socket at a time, its heartbeat, and the pause before the next one."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from lumenize_sim.mesh import client_events as events
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.mesh.client_connection import ClientConnection
from lumenize_sim.objects.host import SocketPort, TimerHandle

__all__ = ["ClientLine", "LineUser"]


@attrs.frozen
class LineUser:
    """Who hears what happens on a line.

    Attributes:
        feed: the connection has an input.
        received: a frame, and the number of the socket that it came over.
        failed: the socket has reported an error.
        not_sent: a ping was not sent, and why.
    """

    feed: Callable[[events.Input], None]
    received: Callable[[str | bytes, int], None]
    failed: Callable[[], None]
    not_sent: Callable[[Exception], None]


class ClientLine:
    """Carries out what a `ClientConnection` wants of sockets and timers."""

    def __init__(self, config: ClientConfig, connection: ClientConnection, user: LineUser) -> None:
        self._host = config.host
        self._owner = config.owner
        self._interval_s = config.heartbeat_interval_s
        self._connection = connection
        self._user = user
        self._port: SocketPort | None = None
        self._backoff: TimerHandle | None = None
        self._heartbeat: TimerHandle | None = None

    @property
    def open_port(self) -> SocketPort | None:
        """The socket, where it is open."""
        port = self._port
        return port if port is not None and port.ready_state == 1 else None

    def dial(self, command: events.Dial) -> None:
        """Open a socket."""
        heard = _SocketEvents(self._connection, self._user, command.socket)
        self._port = self._host.open_socket(self._owner, command.url, command.protocols, heard)

    def hangup(self, command: events.Hangup) -> None:
        """Close it."""
        port, self._port = self._port, None
        if port is not None and port.ready_state in (0, 1):
            port.close(command.code, command.reason)

    def start_backoff(self, command: events.StartBackoff) -> None:
        """Wait before the next one."""
        self._backoff = self._host.set_timer(self._owner, command.delay_s, self._backoff_elapsed)

    def _backoff_elapsed(self) -> None:
        self._backoff = None
        self._user.feed(events.BackoffElapsed())

    def stop_backoff(self, _: events.StopBackoff) -> None:
        """Wait no longer."""
        if self._backoff is not None:
            self._backoff.cancel()
            self._backoff = None

    def start_heartbeat(self, _: events.StartHeartbeat) -> None:
        """Send pings from now on."""
        if self._interval_s > 0:
            self._heartbeat = self._host.set_timer(self._owner, self._interval_s, self._beat, background=True)

    def _beat(self) -> None:
        self.start_heartbeat(events.StartHeartbeat())
        try:
            if self._port is not None:
                self._port.send(messages.WS_HEARTBEAT_PING)
        except Exception as error:
            self._user.not_sent(error)

    def stop_heartbeat(self, _: events.StopHeartbeat) -> None:
        """No more pings."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None


@attrs.frozen
class _SocketEvents:
    """The events of one dialled socket, told apart from those of its successors by its number (CL-14)."""

    connection: ClientConnection
    user: LineUser
    number: int

    def on_open(self) -> None:
        self.user.feed(events.SocketOpened(self.number))

    def on_message(self, data: str | bytes) -> None:
        if self.connection.socket == self.number:
            self.user.received(data, self.number)

    def on_close(self, code: int, reason: str, was_clean: bool) -> None:
        self.user.feed(events.SocketClosed(self.number, code, reason))

    def on_error(self, error: Exception) -> None:
        if self.connection.socket == self.number:
            self.user.failed()

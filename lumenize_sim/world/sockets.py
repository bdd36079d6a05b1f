"""Simulated web sockets between clients and objects: two links, and what can happen to them.

A connection is two queues.  Frames keep their order in each; nothing orders the two.
It can be cut after a delivered prefix (the receiver hears 1006 in place of the frame
that did not make it, the other side behind everything already under way), go half-open
(nothing arrives any more, and both sides learn of it much later), or be partitioned
(a direction is held, and healed).  Each of these begins at a frame of one direction,
never at a moment of the whole connection, so it means the same in every schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.kernel import Link
from lumenize_sim.objects.host import SocketEvents
from lumenize_sim.objects.http import Response
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.websocket import ABNORMAL_CODE, ABNORMAL_REASON, SocketRecord
from lumenize_sim.world.faults import HALF_OPEN_S, PARTITION_S
from lumenize_sim.world.network import render

if TYPE_CHECKING:
    from lumenize_sim.world.seats import FreeSeat
    from lumenize_sim.world.world import World

__all__ = ["ClientSocket", "Connection", "Sockets"]

_CONNECTING, _OPEN, _CLOSING, _CLOSED = range(4)


class Connection:
    """One web socket.

    Attributes:
        id: ``"alice.tab1~0"``: the client and the number of its dialling.
        up, down: towards the object, towards the client.
        record: the object's end, once the upgrade is accepted.
        latency_us: what the network adds to every frame.
    """

    def __init__(self, seat: FreeSeat, nth: int, events: SocketEvents) -> None:
        self.id = f"{seat.name}~{nth}"
        self.seat = seat
        self.events = events
        self.up = Link()
        self.down = Link()
        self.state = _CONNECTING
        self.record: SocketRecord | None = None
        self.machine: Any = None
        self.client_gone = False
        self.server_gone = False
        self.silent = False
        self.latency_us = 0
        self.frames = {"up": 0, "down": 0}


class ClientSocket:
    """The client's end."""

    def __init__(self, sockets: Sockets, connection: Connection) -> None:
        self._sockets = sockets
        self._connection = connection

    @property
    def ready_state(self) -> int:
        """0 connecting, 1 open, 2 closing, 3 closed."""
        return self._connection.state

    def send(self, data: str | bytes) -> None:
        """Queue one frame."""
        if self._connection.state == _OPEN:
            self._sockets.client_sends(self._connection, data)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame; what arrives afterwards is not delivered."""
        connection = self._connection
        if connection.state in (_CONNECTING, _OPEN):
            connection.state = _CLOSING
            self._sockets.client_closes(connection, 1005 if code is None else code, reason or "")


class Sockets:
    """All connections of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kernel = world.kernel
        self._limit_us = round(world.options.network.max_delay_s * 1_000_000)
        self._dialled: dict[str, int] = {}
        self._by_record: dict[SocketRecord, Connection] = {}
        self._early: dict[SocketRecord, list[tuple[str, Any]]] = {}
        self.connections: list[Connection] = []
        self.wire: list[tuple[str, str, str]] | None = None

    def of(self, client: str) -> list[Connection]:
        """Connections of a client that are not closed on both sides."""
        return [c for c in self.connections if c.seat.name == client and c.state != _CLOSED]

    # -- opening -----------------------------------------------------------------------

    def dial(self, seat: FreeSeat, url: str, protocols: Sequence[str], events: SocketEvents) -> ClientSocket:
        """A client opens a web socket."""
        world = self._world
        nth = self._dialled.get(seat.name, -1) + 1
        self._dialled[seat.name] = nth
        connection = Connection(seat, nth, events)
        self.connections.append(connection)
        label = f"{connection.id}/open"
        cause = -1
        if world.tracing:
            cause = world.record("connect", seat.name, label, {"from": seat.name, "to": url.rpartition("/gateway/")[2]})
        request = world.entry.admit(url, protocols)
        if isinstance(request, Response):
            self._refused(connection, request.status)
            return ClientSocket(self, connection)
        machine = connection.machine = world.entry.machine(request)
        host = machine.host

        def fire() -> None:
            world.deliver(machine.name, label, cause)
            machine.call(label, "fetch", (request,), lambda result: self._answered(connection, result), cause=world.cause)

        self._kernel.post_on(connection.up, Event(label, host, fire, receiver=machine.name, delay_limit_us=self._limit_us))
        return ClientSocket(self, connection)

    def _answered(self, connection: Connection, result: Outcome) -> None:
        if type(result) is outcome.Error or not isinstance(result.value, Response) or result.value.web_socket is None:
            response = None if type(result) is outcome.Error else result.value
            self._refused(connection, getattr(response, "status", 500))
            return
        server = result.value.web_socket.couple()
        assert server is not None
        record = connection.record = server.record
        self._by_record[record] = connection

        def opened() -> None:
            if connection.state == _CONNECTING:
                connection.state = _OPEN
                connection.events.on_open()

        self._to_client(connection, f"{connection.id}/opened", opened)
        if connection.client_gone:
            self._post_up(connection, f"{connection.id}/gone", lambda label: connection.machine.socket_closed(label, record, ABNORMAL_CODE, ABNORMAL_REASON, False))
        for kind, payload in self._early.pop(record, ()):
            self.server_sends(record, kind, payload)

    def _refused(self, connection: Connection, status: int) -> None:
        def refused() -> None:
            if connection.state in (_CONNECTING, _OPEN):
                connection.state = _CLOSED
                connection.events.on_error(ConnectionError(f"upgrade refused with status {status}"))
                connection.events.on_close(ABNORMAL_CODE, "", False)

        self._to_client(connection, f"{connection.id}/refused", refused)

    # -- frames ------------------------------------------------------------------------

    def client_sends(self, connection: Connection, data: str | bytes) -> None:
        """One frame towards the object."""
        nth = connection.frames["up"]
        connection.frames["up"] = nth + 1
        label = f"{connection.id}^{nth}"
        if self.wire is not None:
            self.wire.append((connection.id, "client->gateway", data if isinstance(data, str) else data.hex()))
        cause = self._record_frame(connection, connection.seat.name, label, data)
        if connection.silent or (self._world.plan and self._frame_fault(connection, connection.up, f"{connection.id}^")):
            return
        self._post_up(
            connection, label, lambda event: connection.machine.socket_message(event, connection.record, data, cause=self._world.cause), cause
        )

    def server_sends(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """One frame, or the close frame, towards the client."""
        connection = self._by_record.get(record)
        if connection is None:
            self._early.setdefault(record, []).append((kind, payload))
            return
        if kind == "close":
            self._server_closes(connection, record, *payload)
            return
        if kind != "message" or connection.server_gone:
            return
        nth = connection.frames["down"]
        connection.frames["down"] = nth + 1
        label = f"{connection.id}v{nth}"
        if self.wire is not None:
            self.wire.append((connection.id, "gateway->client", payload if isinstance(payload, str) else payload.hex()))
        cause = self._record_frame(connection, connection.machine.name, label, payload)
        if connection.silent or (self._world.plan and self._frame_fault(connection, connection.down, f"{connection.id}v")):
            return

        def received() -> None:
            if connection.state == _OPEN:
                connection.events.on_message(payload)

        self._to_client(connection, label, received, cause)

    def _record_frame(self, connection: Connection, sender: str, label: str, data: Any) -> int:
        world = self._world
        if not world.tracing:
            return -1
        to = connection.machine.name if sender == connection.seat.name else connection.seat.name
        return world.record("frame", sender, label, {"from": sender, "to": to, "text": render(data, 4000)})

    def _post_up(self, connection: Connection, label: str, arrive: Callable[[str], None], cause: int = -1) -> None:
        world, machine = self._world, connection.machine

        def fire() -> None:
            world.deliver(machine.name, label, cause)
            if connection.record is not None and not connection.server_gone:
                arrive(label)

        self._send_on(connection, connection.up, Event(label, machine.host, fire, receiver=machine.name, delay_limit_us=self._limit_us))

    def _send_on(self, connection: Connection, link: Link, event: Event) -> None:
        if connection.latency_us:
            event.not_before_us = self._kernel.now_us + connection.latency_us
        self._kernel.post_on(link, event)

    def _to_client(self, connection: Connection, label: str, function: Callable[[], None], cause: int = -1) -> None:
        self._send_on(connection, connection.down, connection.seat.event(label, function, cause=cause, limit_us=self._limit_us))

    # -- closing -----------------------------------------------------------------------

    def client_closes(self, connection: Connection, code: int, reason: str) -> None:
        """The client's close frame goes up behind what it sent."""
        self._record_close(connection, connection.seat.name, code, reason)
        if connection.machine is not None:
            def closed(event: str) -> None:
                assert connection.record is not None
                connection.machine.socket_closed(event, connection.record, code, reason, True, cause=self._world.cause)

            self._post_up(connection, f"{connection.id}^close", closed)

    def _server_closes(self, connection: Connection, record: SocketRecord, code: int | None, reason: str) -> None:
        """The object's close frame goes down; the client's library answers it."""
        self._record_close(connection, connection.machine.name, code or 1005, reason)
        seen = 1005 if code is None else code

        def closed() -> None:
            if connection.state in (_OPEN, _CLOSING):
                was_open = connection.state == _OPEN
                connection.state = _CLOSED
                if was_open:
                    self._post_up(
                        connection, f"{connection.id}^echo",
                        lambda event: connection.machine.socket_closed(event, record, seen, reason, True, cause=self._world.cause),
                    )
                connection.events.on_close(seen, reason, True)

        self._to_client(connection, f"{connection.id}vclose", closed)

    def _record_close(self, connection: Connection, actor: str, code: int, reason: str) -> None:
        if self._world.tracing:
            self._world.record("close", actor, f"{connection.id}/close", {"code": code, "reason": reason})

    def server_lost(self, record: SocketRecord) -> None:
        """The object's end is gone with its instance (WS-32): the client hears 1006 behind what was sent."""
        connection = self._by_record.get(record)
        if connection is not None and not connection.server_gone:
            connection.server_gone = True
            self._tell_client_lost(connection)

    def cut(self, connection: Connection) -> None:
        """The connection breaks; each side hears of it behind what is under way to it."""
        self._tell_client_lost(connection)
        self._tell_server_lost(connection)

    def _tell_client_lost(self, connection: Connection) -> None:
        def lost() -> None:
            if connection.state in (_CONNECTING, _OPEN, _CLOSING):
                told = connection.state != _CLOSING
                connection.state = _CLOSED
                connection.client_gone = True
                if told:
                    connection.events.on_close(ABNORMAL_CODE, "", False)

        self._to_client(connection, f"{connection.id}vlost", lost)

    def _tell_server_lost(self, connection: Connection) -> None:
        if connection.machine is None:
            return

        def lost(event: str) -> None:
            assert connection.record is not None
            connection.machine.socket_closed(event, connection.record, ABNORMAL_CODE, ABNORMAL_REASON, False)

        self._post_up(connection, f"{connection.id}^lost", lost)

    # -- faults ------------------------------------------------------------------------

    def _frame_fault(self, connection: Connection, link: Link, target: str) -> bool:
        """The boundary before a frame.  True when the frame is lost."""
        plan, world = self._world.plan, self._world
        held = plan.at("partition", target, len(PARTITION_S))
        if held and not link.held:
            world.fault_fired("partition", target, held)
            self.hold_for(connection, link, target, PARTITION_S[held])
        if plan.at("disconnect", target):
            world.fault_fired("disconnect", target, 1)
            connection.silent = True
            self.cut(connection)
            return True
        if plan.at("half-open", target):
            world.fault_fired("half-open", target, 1)
            connection.silent = True
            seat = connection.seat
            seat.post_at(f"{connection.id}/dead", self._kernel.now_us + round(HALF_OPEN_S * 1_000_000), lambda: self.cut(connection), False)
            return True
        return False

    def hold_for(self, connection: Connection, link: Link, target: str, seconds: float) -> None:
        """Hold one direction, and heal it after ``seconds``."""
        world = self._world
        self._kernel.hold(link)

        def heal() -> None:
            world.fault_fired("heal", target, 1)
            self._kernel.release(link)

        connection.seat.post_at(f"{target}/heal", self._kernel.now_us + round(seconds * 1_000_000), heal, False)

"""Simulated web sockets between clients and objects: two links, and what can happen to them.

A connection is two queues.  Frames keep their order in each; nothing orders the two.
It can be cut after a delivered prefix, go half-open (one direction silently loses
everything, and both sides learn of it much later), or be partitioned (one direction is
held for a while, then healed).

Each of these begins at a frame of one direction, in a turn of its sender, and changes
only what that sender does from then on; the other side hears of it by an event.  Were a
flag set here that the other side reads, the behaviour would depend on the order of two
actors that nothing orders, and a run could not be replayed from its orders per receiver.
So every field of a connection below says whose turns write it, and only those read it.
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
        state: the client's: 0 connecting … 3 closed.
        record, server_gone: the object's: its end, and whether that is gone.
        ends: what the sender of either direction does to its frames.
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
        self.server_gone = False
        self.ends = {"^": _End(self.up), "v": _End(self.down)}


class _End:
    """What the sender of one direction does to its frames.  Written and read in its own turns.

    Attributes:
        frames: sent so far.
        silent: nothing that is sent arrives any more.
        held_until_us: frames arrive after this time at the earliest.
        latency_us: what the network adds to every frame.
    """

    __slots__ = ("frames", "held_until_us", "latency_us", "link", "silent")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.frames = 0
        self.silent = False
        self.held_until_us = 0
        self.latency_us = 0


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
            machine.call(
                label, "fetch", (request,), lambda result: self._answered(connection, result), cause=world.cause
            )

        self._kernel.post_on(
            connection.up, Event(label, host, fire, receiver=machine.name, delay_limit_us=self._limit_us)
        )
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
        """One frame towards the object, in a turn of the client (or of the driver)."""
        label = self._frame(connection, "^", connection.seat.name, data)
        if label is None:
            return
        name, cause = label

        def arrive(event: str) -> None:
            connection.machine.socket_message(event, connection.record, data, cause=self._world.cause)

        self._post_up(connection, name, arrive, cause)

    def server_sends(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """One frame, or the close frame, towards the client, in a turn of the object."""
        connection = self._by_record.get(record)
        if connection is None:
            self._early.setdefault(record, []).append((kind, payload))
            return
        if kind == "close":
            self._server_closes(connection, record, *payload)
            return
        if kind != "message" or connection.server_gone:
            return
        label = self._frame(connection, "v", connection.machine.name, payload)
        if label is None:
            return

        def received() -> None:
            if connection.state == _OPEN:
                connection.events.on_message(payload)

        self._to_client(connection, label[0], received, label[1])

    def _frame(self, connection: Connection, way: str, sender: str, data: Any) -> tuple[str, int] | None:
        """Count, record and maybe lose one frame; its label and record, or ``None`` if it is lost."""
        end = connection.ends[way]
        label = f"{connection.id}{way}{end.frames}"
        end.frames += 1
        if self.wire is not None:
            direction = "client->gateway" if way == "^" else "gateway->client"
            self.wire.append((connection.id, direction, data if isinstance(data, str) else data.hex()))
        cause = self._record_frame(connection, sender, label, data)
        if end.silent or (self._world.plan and self._frame_fault(connection, way)):
            return None
        return label, cause

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

        self._send_on(
            connection.ends["^"], Event(label, machine.host, fire, receiver=machine.name, delay_limit_us=self._limit_us)
        )

    def _send_on(self, end: _End, event: Event) -> None:
        now_us = self._kernel.now_us
        if end.latency_us or end.held_until_us > now_us:
            event.not_before_us = max(now_us + end.latency_us, end.held_until_us)
        self._kernel.post_on(end.link, event)

    def _to_client(self, connection: Connection, label: str, function: Callable[[], None], cause: int = -1) -> None:
        self._send_on(
            connection.ends["v"], connection.seat.event(label, function, cause=cause, limit_us=self._limit_us)
        )

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
                        connection,
                        f"{connection.id}^echo",
                        lambda event: connection.machine.socket_closed(
                            event, record, seen, reason, True, cause=self._world.cause
                        ),
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
            self._to_client(connection, f"{connection.id}vlost", self._client_hears(connection))

    def cut(self, connection: Connection, way: str | None = None) -> None:
        """The connection breaks.

        ``way``: as the sender of that direction sees it: he hears of it by an event of his own, the
        other side behind what is under way to it.  Without: the driver cuts it, and is ordered
        against both.
        """
        if way == "v":
            self._kernel.post(self._server_event(connection, f"{connection.id}/cut"))
        elif connection.machine is not None:
            self._post_up(connection, f"{connection.id}^lost", self._server_hears(connection))
        if way == "^":
            self._kernel.post(connection.seat.event(f"{connection.id}/cut", self._client_hears(connection)))
        else:
            self._to_client(connection, f"{connection.id}vlost", self._client_hears(connection))

    def _client_hears(self, connection: Connection) -> Callable[[], None]:
        def lost() -> None:
            if connection.state in (_CONNECTING, _OPEN, _CLOSING):
                told = connection.state != _CLOSING
                connection.state = _CLOSED
                if told:
                    connection.events.on_close(ABNORMAL_CODE, "", False)

        return lost

    def _server_hears(self, connection: Connection) -> Callable[[str], None]:
        def lost(event: str) -> None:
            assert connection.record is not None
            connection.machine.socket_closed(event, connection.record, ABNORMAL_CODE, ABNORMAL_REASON, False)

        return lost

    def _server_event(self, connection: Connection, label: str) -> Event:
        world, machine = self._world, connection.machine
        hears = self._server_hears(connection)

        def fire() -> None:
            world.deliver(machine.name, label, -1)
            if connection.record is not None and not connection.server_gone:
                hears(label)

        return Event(label, machine.host, fire, receiver=machine.name)

    # -- faults ------------------------------------------------------------------------

    def _frame_fault(self, connection: Connection, way: str) -> bool:
        """The boundary before a frame, in a turn of its sender.  True when the frame is lost."""
        plan, world, now_us = self._world.plan, self._world, self._kernel.now_us
        end, target = connection.ends[way], f"{connection.id}{way}"
        held = plan.at("partition", target, len(PARTITION_S))
        if held and end.held_until_us <= now_us:
            world.fault_fired("partition", target, held)
            end.held_until_us = now_us + round(PARTITION_S[held] * 1_000_000)
            self._later(connection, way, "heal", end.held_until_us, lambda: world.fault_fired("heal", target, 1))
        if plan.at("disconnect", target):
            world.fault_fired("disconnect", target, 1)
            end.silent = True
            self.cut(connection, way)
            return True
        if plan.at("half-open", target):
            world.fault_fired("half-open", target, 1)
            end.silent = True
            due_us = now_us + round(HALF_OPEN_S * 1_000_000)
            self._later(connection, way, "dead", due_us, lambda: self.cut(connection, way))
            return True
        return False

    def _later(self, connection: Connection, way: str, what: str, due_us: int, act: Callable[[], None]) -> None:
        """Something that happens to a direction at its sender's end, by itself."""
        label = f"{connection.id}{way}/{what}"
        if way == "^":
            connection.seat.post_at(label, due_us, act, False)
        else:
            connection.machine.host.post_at(label, act, due_us)

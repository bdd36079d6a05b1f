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
from lumenize_sim.objects.host import SocketEvents
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.websocket import ABNORMAL_CODE, ABNORMAL_REASON, NO_STATUS_CODE, SocketRecord
from lumenize_sim.world.connection import CLOSED, ClientSocket, Connection, Way
from lumenize_sim.world.faults import HALF_OPEN_S, PARTITION_S
from lumenize_sim.world.network import render
from lumenize_sim.world.raw_socket import RawSocket

if TYPE_CHECKING:
    from lumenize_sim.world.seats import FreeSeat
    from lumenize_sim.world.world import World

__all__ = ["Sockets"]


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
        return [c for c in self.connections if c.seat.name == client and c.client.ready_state != CLOSED]

    # -- opening -----------------------------------------------------------------------

    def dial(self, seat: FreeSeat, url: str, protocols: Sequence[str], events: SocketEvents) -> ClientSocket:
        """A client opens a web socket to the mesh."""
        connection = self._connection(seat)
        socket = ClientSocket(self, connection, events)
        cause = self._record_open(connection, url.rpartition("/gateway/")[2])
        request = self._world.entry.admit(url, protocols)
        if isinstance(request, Response):
            self._refused(connection, request)
        else:
            self._ask(connection, self._world.entry.machine(request), request, cause)
        return socket

    def open_raw(self, seat: FreeSeat, machine: Any, request: Request, *, auto_reply: bool) -> RawSocket:
        """A browser opens a web socket to one object, past every entry."""
        connection = self._connection(seat)
        socket = RawSocket(self, connection, str(request.url), auto_reply=auto_reply)
        self._ask(connection, machine, request, self._record_open(connection, machine.name))
        return socket

    def _connection(self, seat: FreeSeat) -> Connection:
        nth = self._dialled[seat.name] = self._dialled.get(seat.name, -1) + 1
        connection = Connection(seat, nth)
        self.connections.append(connection)
        return connection

    def _record_open(self, connection: Connection, to: str) -> int:
        if not self._world.tracing:
            return -1
        name = connection.seat.name
        return self._world.record("connect", name, f"{connection.id}/open", {"from": name, "to": to})

    def _ask(self, connection: Connection, machine: Any, request: Request, cause: int) -> None:
        world, label = self._world, f"{connection.id}/open"
        connection.machine = machine

        def fire() -> None:
            world.deliver(machine.name, label, cause)
            machine.call(
                label, "fetch", (request,), lambda result: self._answered(connection, result), cause=world.cause
            )

        self._kernel.post_on(
            connection.up, Event(label, machine.host, fire, receiver=machine.name, delay_limit_us=self._limit_us)
        )

    def _answered(self, connection: Connection, result: Outcome) -> None:
        response = None if type(result) is outcome.Error else result.value
        if not isinstance(response, Response) or response.web_socket is None:
            self._refused(connection, response if isinstance(response, Response) else Response(500))
            return
        server = response.web_socket.couple()
        assert server is not None
        record = connection.record = server.record
        self._by_record[record] = connection
        self._to_client(connection, f"{connection.id}/opened", lambda: connection.client.accepted(response))
        for kind, payload in self._early.pop(record, ()):
            self.server_sends(record, kind, payload)
        for event in connection.early:
            self._kernel.post(event)
        connection.early.clear()

    def _refused(self, connection: Connection, response: Response) -> None:
        self._to_client(connection, f"{connection.id}/refused", lambda: connection.client.refused(response))

    # -- frames ------------------------------------------------------------------------

    def client_sends(self, connection: Connection, data: str | bytes) -> None:
        """One frame towards the object, in a turn of the client (or of the driver)."""
        label = self._frame(connection, "^", connection.seat.name, data)
        if label is None:
            return
        name, cause = label

        def arrive(event: str) -> None:
            connection.machine.frames.message(event, connection.record, data, cause=self._world.cause)

        self._post_up(connection, name, arrive, cause)

    def server_sends(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """One frame, or the close frame, towards the client, in a turn of the object."""
        connection = self._by_record.get(record)
        if connection is None:
            self._early.setdefault(record, []).append((kind, payload))
            return
        if kind == "close":
            self._server_closes(connection, *payload)
            return
        if kind != "message" or connection.server_gone:
            return
        label = self._frame(connection, "v", connection.machine.name, payload)
        if label is not None:
            self._to_client(connection, label[0], lambda: connection.client.received(payload), label[1])

    def _frame(self, connection: Connection, way: str, sender: str, data: Any) -> tuple[str, int] | None:
        """Count, record and maybe lose one frame; its label and record, or ``None`` if it is lost."""
        end = connection.ways[way]
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
        self._send_on(connection.ways["^"], self._server_event(connection, label, arrive, cause, self._limit_us))

    def _server_event(
        self, connection: Connection, label: str, arrive: Callable[[str], None], cause: int = -1, limit_us: int = 0
    ) -> Event:
        world, machine = self._world, connection.machine

        def fire() -> None:
            world.deliver(machine.name, label, cause)
            if connection.record is None:
                # The upgrade is not answered yet: only then is there an end that could hear of it.
                connection.early.append(self._server_event(connection, f"{label}'", arrive))
            elif not connection.server_gone:
                arrive(label)

        return Event(label, machine.host, fire, receiver=machine.name, delay_limit_us=limit_us)

    def _send_on(self, end: Way, event: Event) -> None:
        now_us = self._kernel.now_us
        if end.latency_us or end.held_until_us > now_us:
            event.not_before_us = max(now_us + end.latency_us, end.held_until_us)
        self._kernel.post_on(end.link, event)

    def _to_client(self, connection: Connection, label: str, function: Callable[[], None], cause: int = -1) -> None:
        self._send_on(
            connection.ways["v"], connection.seat.event(label, function, cause=cause, limit_us=self._limit_us)
        )

    # -- closing -----------------------------------------------------------------------

    def client_closes(self, connection: Connection, code: int | None, reason: str) -> None:
        """The client's close frame goes up behind what it sent."""
        self._record_close(connection, connection.seat.name, code, reason)
        if connection.machine is not None:
            self._close_up(connection, f"{connection.id}^close", code, reason)

    def client_answers(self, connection: Connection, code: int | None, reason: str) -> None:
        """The client's library answers a close frame."""
        self._close_up(connection, f"{connection.id}^echo", code, reason)

    def client_dies(self, connection: Connection) -> None:
        """The client is gone without a word; the object hears of it behind what was sent."""
        connection.ways["^"].silent = True
        if connection.machine is not None:
            self._post_up(connection, f"{connection.id}^lost", self._server_hears(connection))

    def _close_up(self, connection: Connection, label: str, code: int | None, reason: str) -> None:
        if connection.ways["^"].silent:
            return

        def closed(event: str) -> None:
            assert connection.record is not None
            seen = NO_STATUS_CODE if code is None else code
            connection.machine.frames.closed(event, connection.record, seen, reason, True, cause=self._world.cause)
            connection.heard_close = True
            self._maybe_end(connection)

        self._post_up(connection, label, closed)

    def _server_closes(self, connection: Connection, code: int | None, reason: str) -> None:
        """The object's close frame goes down."""
        self._record_close(connection, connection.machine.name, code, reason)
        if connection.server_gone or connection.ways["v"].silent:
            return
        self._to_client(connection, f"{connection.id}vclose", lambda: connection.client.close_received(code, reason))
        connection.said_close = True
        self._maybe_end(connection)

    def _maybe_end(self, connection: Connection) -> None:
        """After both close frames the server hangs up."""
        if connection.said_close and connection.heard_close and connection.client.waits_for_end:
            self._to_client(connection, f"{connection.id}vend", connection.client.ended)

    def _record_close(self, connection: Connection, actor: str, code: int | None, reason: str) -> None:
        if self._world.tracing:
            seen = NO_STATUS_CODE if code is None else code
            self._world.record("close", actor, f"{connection.id}/close", {"code": seen, "reason": reason})

    def server_lost(self, record: SocketRecord) -> None:
        """The object's end is gone with its instance (WS-32): the client hears 1006 behind what was sent."""
        connection = self._by_record.get(record)
        if connection is not None and not connection.server_gone:
            connection.server_gone = True
            self._to_client(connection, f"{connection.id}vlost", connection.client.lost)

    def cut(self, connection: Connection, way: str | None = None) -> None:
        """The connection breaks.

        ``way``: as the sender of that direction sees it: he hears of it by an event of his own, the
        other side behind what is under way to it.  Without: the driver cuts it, and is ordered
        against both.
        """
        if way == "v":
            self._kernel.post(self._server_event(connection, f"{connection.id}/cut", self._server_hears(connection)))
        elif connection.machine is not None:
            self._post_up(connection, f"{connection.id}^lost", self._server_hears(connection))
        if way == "^":
            self._kernel.post(connection.seat.event(f"{connection.id}/cut", connection.client.lost))
        else:
            self._to_client(connection, f"{connection.id}vlost", connection.client.lost)

    def _server_hears(self, connection: Connection) -> Callable[[str], None]:
        def lost(event: str) -> None:
            assert connection.record is not None
            connection.machine.frames.closed(event, connection.record, ABNORMAL_CODE, ABNORMAL_REASON, False)

        return lost

    # -- faults ------------------------------------------------------------------------

    def _frame_fault(self, connection: Connection, way: str) -> bool:
        """The boundary before a frame, in a turn of its sender.  True when the frame is lost."""
        plan, world, now_us = self._world.plan, self._world, self._kernel.now_us
        end, target = connection.ways[way], f"{connection.id}{way}"
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

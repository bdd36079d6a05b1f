"""Who is connected with whom by a simulated web socket: clients, browsers, objects, Workers, the driver.

The answer to an upgrade carries one end of a pair; the other end is in the code that
answered.  The connection is made as the answer leaves; what was sent before goes first
(WS-25).  Whoever asked gets a socket of his own, and what arrives waits until he accepts it.
Or he passes it on to somebody who asked him: then it goes on at his place, past his code
(WS-35).  So no end has to look at another to know where its frames go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.host import SocketEvents
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.rpc_errors import across
from lumenize_sim.objects.socket_record import Acceptance, SocketRecord
from lumenize_sim.objects.websocket import WebSocket
from lumenize_sim.world.client_end import ClientEnd, ClientSocket
from lumenize_sim.world.connection import CLOSED, DOWN, OTHER, UP, Connection, NodeEnd, RelayEnd
from lumenize_sim.world.raw_socket import RawSocket, upgrade_request
from lumenize_sim.world.seats import FreeSeat
from lumenize_sim.world.wires import Wires

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Sockets"]

S = TypeVar("S", bound=RawSocket)

_NOT_ASKED: Final = (
    "Worker tried to return a WebSocket in a response to a request which did not contain the header "
    '"Upgrade: websocket".'
)


class Sockets:
    """All connections of one world.

    Attributes:
        wires: what carries their frames.
        connections: all that were ever dialled, in that order.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._kernel = world.kernel
        self._limit_us = round(world.options.network.max_delay_s * 1_000_000)
        self._dialled: dict[str, int] = {}
        self._at: dict[SocketRecord, tuple[Connection, str]] = {}
        self._early: dict[SocketRecord, list[tuple[str, Any]]] = {}
        self.wires = Wires(world)
        self.connections: list[Connection] = []

    def of(self, client: str) -> list[Connection]:
        """Connections of a client that are not closed on both sides."""
        found = [(c, c.ends[UP]) for c in self.connections]
        return [
            c for c, end in found if isinstance(end, ClientEnd) and end.name == client and end.ready_state != CLOSED
        ]

    # -- asking ------------------------------------------------------------------------

    def dial(self, seat: FreeSeat, url: str, protocols: Sequence[str], events: SocketEvents) -> ClientSocket:
        """A client opens a web socket to the mesh; from a page of a browser, with what that adds to every request."""
        connection = self._connection(seat.name)
        socket = ClientSocket(self.wires, connection, seat, events)
        request = upgrade_request(url, protocols, None)
        if seat.visitor is not None:
            seat.visitor.prepare_upgrade(request)
        self._ask_url(connection, request)
        return socket

    def open_url(self, seat: FreeSeat, request: Request, make: Callable[[Wires, Connection], S]) -> S:
        """A browser opens a web socket where the URL leads to: to the mesh, or to a simulated server.

        ``make`` makes its end.
        """
        connection = self._connection(seat.name)
        socket = make(self.wires, connection)
        self._ask_url(connection, request)
        return socket

    def open_raw(self, seat: FreeSeat, target: Any, request: Request, *, auto_reply: bool) -> RawSocket:
        """A browser opens a web socket to one object, past every entry; or to a Worker, by the name of its binding."""
        connection = self._connection(seat.name)
        socket = RawSocket(self.wires, connection, seat, str(request.url), auto_reply=auto_reply)
        self._ask(connection, target, request)
        return socket

    def _connection(self, name: str) -> Connection:
        nth = self._dialled[name] = self._dialled.get(name, -1) + 1
        connection = Connection(name, nth)
        self.connections.append(connection)
        return connection

    def _ask_url(self, connection: Connection, asked: Request) -> None:
        world, entry = self._world, self._world.entry
        if not entry.answers(asked.url):
            self._ask_server(connection, asked)
            return
        request = asked if entry.door.asks_worker else entry.door.admit(asked)
        if isinstance(request, Response):
            self._record_open(connection, str(asked.url).rpartition("/gateway/")[2])
            self.wires.opened(connection, request)
        else:
            self._ask(connection, world.entry.target(request), request)

    def _ask_server(self, connection: Connection, request: Request) -> None:
        world = self._world
        server = world.servers.at(request.url)
        if server is None:
            self._record_open(connection, request.url.host)
            self.wires.opened(connection, Response(502, world.servers.unknown(request)))
            return
        label = f"{connection.id}/open"
        cause = self._record_open(connection, server.seat.name)
        connection.asked = server.seat
        event = server.seat.event(
            label,
            lambda: world.servers.upgrade(
                server, label, request, connection.id, lambda result: self._answered(connection, result)
            ),
            cause=cause,
            limit_us=self._limit_us,
        )
        event.not_before_us = self._kernel.now_us + round(server.latency_s * 500_000)
        self._kernel.post_on(connection.ways[UP].link, event)

    def _ask(self, connection: Connection, target: Any, request: Request) -> None:
        world, label = self._world, f"{connection.id}/open"
        event: Event
        if isinstance(target, str):
            cause = self._record_open(connection, target)
            event = world.workers.invocation(
                target, label, "fetch", (request,), lambda result: self._answered(connection, result), cause,
                self._limit_us,
            )  # fmt: skip
            connection.asked = event.actor
        else:
            cause = self._record_open(connection, target.name)

            def fire() -> None:
                target.call(
                    label,
                    "fetch",
                    (request,),
                    lambda result: self._answered(connection, result),
                    cause=world.chronicle.cause,
                )

            connection.asked = target.host
            event = target.host.event(label, fire, cause=cause, limit_us=self._limit_us)
        self._kernel.post_on(connection.ways[UP].link, event)

    def _record_open(self, connection: Connection, to: str) -> int:
        if not self._world.chronicle.tracing:
            return -1
        name = connection.ends[UP].name
        return self._world.chronicle.record("connect", name, f"{connection.id}/open", {"from": name, "to": to})

    # -- answering ---------------------------------------------------------------------

    def _answered(self, connection: Connection, result: Outcome) -> None:
        response = result.value if type(result) is outcome.Value else None
        if not isinstance(response, Response):
            response = Response(500)
            if type(result) is outcome.Error:
                self._world.host.log_unseen(connection.asked, "an upgrade", result.error)
        if response.web_socket is not None:
            try:
                response.web_socket.couple()
            except TypeError as error:
                response = Response(500, f"{type(error).__name__}: {error}")
        self.wires.opened(connection, response)
        if response.web_socket is not None:
            self._join(connection, response.web_socket)

    def hand_over(self, result: Outcome, place: Any, request: Any, caller: Any, label: str) -> Outcome:
        """A response on its way from ``place`` to a node that asked there: its web socket becomes the asker's end.

        A TypeError where ``request`` did not ask for one, or the socket has been used (WS-2).
        """
        response: Any = result.value  # type: ignore[union-attr]  # it is one
        if not isinstance(response, Response) or response.web_socket is None:
            return result
        try:
            if not (isinstance(request, Request) and request.is_web_socket_upgrade):
                raise TypeError(_NOT_ASKED)
            response.web_socket.couple()
        except TypeError as error:
            return outcome.Error(across(error))
        ws = WebSocket(SocketRecord())
        connection = Connection(label, 0)
        self.connections.append(connection)
        connection.asked = place
        self._stand(connection, UP, NodeEnd(self._world, caller.actor, ws.record))
        self._join(connection, response.web_socket)
        return outcome.Value(Response(response.status, None, response.headers, ws))

    def _join(self, connection: Connection, ws: WebSocket) -> None:
        """``ws``, which leaves the place that was asked, is what ``connection`` leads to from now on."""
        place = connection.asked
        at = self._at.get(ws.record)
        if at is None:
            assert ws.peer is not None, "a socket that nobody was answered has a peer"
            place.frames.coupled(ws.peer.record)
            self._stand(connection, DOWN, NodeEnd(self._world, place, ws.peer.record))
        else:
            inner, way = at
            before = inner.ends[way]
            assert isinstance(before, NodeEnd)
            onward = inner.ends[way] = RelayEnd(self.wires, place, connection, DOWN)
            connection.ends[DOWN] = RelayEnd(self.wires, place, inner, way)
            for label, arrive in before.unread():
                arrive(onward, label)
        early, connection.early = connection.early, []
        for label, arrive in early:
            self._kernel.post(self.wires.event(connection, UP, f"{label}'", arrive, local=True))

    def _stand(self, connection: Connection, way: str, end: NodeEnd) -> None:
        """``end`` sends in that direction; what it has sent before goes first."""
        connection.ends[way] = end
        self._at[end.record] = (connection, way)
        for kind, payload in self._early.pop(end.record, ()):
            self.node_does(None, end.record, kind, payload)

    def arrived(self, result: Outcome, caller: Any, label: str) -> None:
        """The response is with whoever asked; where he is gone, or ends without taking the socket, that is lost."""
        if caller.owner.dead:
            self.drop(result, label)
        elif isinstance(caller, FreeSeat) and type(result) is outcome.Value:
            caller.frames.unclaimed.append((result.value.web_socket.record, label))

    def drop(self, result: Outcome, label: str) -> None:
        """The response gets lost on its way, and its web socket with it."""
        response: Any = getattr(result, "value", None)
        if isinstance(response, Response) and response.web_socket is not None:
            self.lose(response.web_socket.record, label)

    def lose(self, record: SocketRecord, label: str) -> None:
        """Nobody takes the end that was handed over; the other end hears of it.  Nothing where somebody has."""
        if record.acceptance is Acceptance.NONE:
            self.node_does(None, record, "cut", None)

    # -- what nodes do -----------------------------------------------------------------

    def node_does(self, place: Any, record: SocketRecord, kind: str, payload: Any) -> None:
        """Something leaves an end in a node's code, or happens to it, in a turn of the node.

        ``"message"``, ``"close"``, ``"end"`` (it hangs up after both close frames), ``"cut"`` (it is gone
        without a word), ``"accept"`` and ``"dial"``; payloads as `SocketHome` has them.
        """
        if kind == "accept":
            self._accept(place, payload)
            return
        if kind == "dial":
            self._dial(place, record, *payload)
            return
        at = self._at.get(record)
        if at is None:
            self._early.setdefault(record, []).append((kind, payload))
            return
        connection, way = at
        end = connection.ends[way]
        assert isinstance(end, NodeEnd)
        if end.gone:
            return
        if kind == "message":
            self.wires.send(connection, way, payload)
        elif kind == "close":
            self.wires.close(connection, way, *payload)
        elif kind == "end":
            self.wires.hang_up(connection, way)
        else:
            end.gone = True
            self.wires.vanish(connection, way)

    def _accept(self, place: Any, ws: WebSocket) -> None:
        record, peer = ws.record, ws.peer
        at = self._at.get(record)
        if at is not None:
            connection, way = at
            end = connection.ends[way]
            assert isinstance(end, NodeEnd)
            for label, arrive in end.unread():
                self._kernel.post(self.wires.event(connection, OTHER[way], f"{label}'", arrive, local=True))
            return
        if peer is None or peer.record.acceptance not in (Acceptance.STANDARD, Acceptance.HIBERNATABLE):
            return  # connected when its peer is given away, or accepted
        connection = self._connection(place.name)
        connection.asked = place
        self._stand(connection, UP, NodeEnd(self._world, place, record))
        self._stand(connection, DOWN, NodeEnd(self._world, place, peer.record))

    def _dial(self, place: Any, record: SocketRecord, url: str, protocols: Sequence[str]) -> None:
        connection = self._connection(place.name)
        self._stand(connection, UP, NodeEnd(self._world, place, record))
        self._ask_url(connection, upgrade_request(url, protocols, None))

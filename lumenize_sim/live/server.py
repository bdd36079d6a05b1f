"""A real server for a mesh: a listener, one web socket for each client, the objects behind them."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import outcome
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, wrap_server_stream

from lumenize_sim.errors import UsageError
from lumenize_sim.live.files import Files
from lumenize_sim.live.host import LiveHost
from lumenize_sim.live.http import IDLE_S, HttpConnection
from lumenize_sim.live.loop import Loop, running_loop
from lumenize_sim.live.machines import EVICT_AFTER_S, HIBERNATE_AFTER_S, Machines
from lumenize_sim.live.seats import FreeSeat
from lumenize_sim.live.wire import NO_STATUS, Wire
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.machine import ObjectMachine
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.socket_record import ABNORMAL_REASON, SocketRecord
from lumenize_sim.routing.door import Door, LocalDoor, has_keys
from lumenize_sim.routing.path import path_of
from lumenize_sim.routing.route import BINDING_HEADER, INSTANCE_HEADER

__all__ = ["LiveServer", "serve_app"]

HANDSHAKE_TIMEOUT_S: Final = 10.0
TOKEN_LIFE_S: Final = 24 * 3600
GOODBYE_S: Final = 2.0  #: how long clients may take to answer the close frame of a server that stops
GOING_AWAY: Final = 1001

_log = logging.getLogger("lumenize_sim.live")


class Connection:
    """One web socket, from its upgrade to its end.

    Attributes:
        machine: the object behind it; ``None`` until a Worker has said which.
        client: the instance that it asked for, ``"alice.tab1"``.
        record: the object's end, once the upgrade is accepted.
        told: the object knows of the end already, or is not there any more to be told.
    """

    def __init__(self, label: str, machine: ObjectMachine | None, client: str) -> None:
        self.label = label
        self.machine = machine
        self.client = client
        self.wire = Wire()
        self.record: SocketRecord | None = None
        self.refusal: Response | None = None
        self.subprotocol: str | None = None
        self.answered = trio.Event()
        self.told = False


class LiveServer:
    """A running server.

    Attributes:
        app: the mesh.
        url: ``http://127.0.0.1:8787``; clients take it as their ``base_url``.
        machines: the objects.
    """

    def __init__(self, loop: Loop, app: Mesh, machines: Machines, door: Door) -> None:
        self.app = app
        self.url = ""
        self.machines = machines
        self._loop = loop
        self._door = door
        self._connections: dict[Connection, None] = {}
        self._by_record: dict[SocketRecord, Connection] = {}
        self._early: dict[SocketRecord, list[tuple[str, Any]]] = {}
        self._accepted = 0
        self._asked = 0
        self._opening = 0
        self._closing = False
        self._listening = trio.CancelScope()
        self._empty = trio.Event()
        machines.on_frame = self._frame
        machines.on_cut = self._cut

    def mint(self, sub: str, *, life_s: int = TOKEN_LIFE_S, claims: Mapping[str, Any] | None = None) -> str:
        """An access token for ``sub``, accepted here for ``life_s`` seconds."""
        return self._door.mint(sub, now_ms=_now_ms(), token_id=str(uuid4()), life_s=life_s, claims=claims)

    def disconnect(self, client: str) -> int:
        """Cut every connection of one client instance (``"alice.tab1"``), without a close frame; returns how many."""
        found = [c for c in self._connections if c.client == client]
        for connection in found:
            connection.wire.cut()
        return len(found)

    @property
    def clients(self) -> list[str]:
        """Client instances that have a connection, in the order in which they came."""
        return [c.client for c in self._connections]

    # -- connections -------------------------------------------------------------------

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Accept connections until told to stop."""
        with self._listening:
            # Connections outlive the listener: they are told goodbye.
            await trio.serve_listeners(self._serve, listeners, handler_nursery=self._loop.nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        http, within_s = HttpConnection(stream, self.url), HANDSHAKE_TIMEOUT_S
        try:
            while (request := await http.next_request(within_s)) is not None:
                if request.is_web_socket_upgrade:
                    await self._serve_socket(request, http, stream)
                    break
                if not await http.respond(await self._answer(request)) or self._closing:
                    break
                within_s = IDLE_S
        except* (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer has gone in the middle of the handshake
        except* Exception as group:
            _log.error("a connection broke off", exc_info=group)
        finally:
            await trio.aclose_forcefully(stream)

    async def _answer(self, request: Request) -> Response:
        """The entry Worker's answer to a request that asks for no web socket."""
        self._asked += 1
        seat = FreeSeat(self._loop, self.machines.host, f"http~{self._asked}")
        try:
            sent = seat.context("fetch").run(self.machines.calls.entry_for(seat).fetch, request)
            return Response.of(await sent)
        except Exception as error:
            _log.error("%s %s: %s: %s", request.method, request.url, type(error).__name__, error)
            return Response(500, "Internal Server Error")
        finally:
            seat.finish()

    async def _serve_socket(self, asked: Request, http: HttpConnection, stream: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            request = None
            with trio.move_on_after(HANDSHAKE_TIMEOUT_S):
                request = await wrap_server_stream(nursery, http.replayed())
            if request is not None:
                await self._upgrade(asked, request, stream)
            nursery.cancel_scope.cancel()

    async def _upgrade(self, asked: Request, request: WebSocketRequest, stream: trio.SocketStream) -> None:
        machine: ObjectMachine | None = None
        admitted = asked
        if self._door.asks_worker:
            client = path_of(asked.url).rpartition("/")[2]
        else:
            verdict = self._door.admit(asked)
            if isinstance(verdict, Response):
                await _reject(request, verdict)
                return
            admitted, client = verdict, verdict.headers[INSTANCE_HEADER]
            machine = self.machines.named(verdict.headers[BINDING_HEADER], client)
        self._accepted += 1
        connection = Connection(f"{client}~{self._accepted}", machine, client)
        self._connections[connection] = None
        try:
            await self._converse(connection, admitted, request, stream)
        finally:
            if connection.record is not None:
                self._by_record.pop(connection.record, None)
            del self._connections[connection]
            if not self._connections:
                self._empty.set()

    async def _converse(
        self, connection: Connection, admitted: Request, request: WebSocketRequest, stream: trio.SocketStream
    ) -> None:
        self._opening += 1
        machine = connection.machine
        if machine is None:
            await self._ask_worker(connection, admitted)
        else:
            label = f"{connection.label}/open"
            self._tell(
                machine,
                lambda: machine.call(label, "fetch", (admitted,), lambda result: self._answered(connection, result)),
            )
            await connection.answered.wait()
        if connection.record is None:
            await _reject(request, connection.refusal or Response(503, "Service Unavailable"))
            return
        end: tuple[int, str, bool] = (1006, "", False)
        try:
            socket = await request.accept(subprotocol=connection.subprotocol)
            end = await connection.wire.run(socket, stream, lambda data, taken: self._received(connection, data, taken))
        finally:
            self._ended(connection, *end)

    async def _ask_worker(self, connection: Connection, request: Request) -> None:
        """The entry Worker decides about the upgrade; the object that it asks says more by the socket it gives."""
        seat = FreeSeat(self._loop, self.machines.host, connection.label)
        try:
            sent = seat.context("fetch").run(self.machines.calls.entry_for(seat).fetch, request)
            sent.when_done(lambda result: self._answered(connection, result))
            await connection.answered.wait()
        finally:
            seat.finish()

    def _answered(self, connection: Connection, result: Outcome) -> None:
        """The answer to the upgrade, in a turn of the loop."""
        self._opening -= 1
        response = None if type(result) is outcome.Error else result.value
        connection.answered.set()
        if not isinstance(response, Response) or response.web_socket is None:
            connection.refusal = response if isinstance(response, Response) else Response(500, "Internal Server Error")
            return
        try:
            server = response.web_socket.couple()
        except TypeError as error:
            connection.refusal = Response(500, str(error))
            return
        assert server is not None
        if connection.machine is None:
            # Only objects answer for a socket here: a Worker that keeps its end would be gone with its answer.
            connection.machine = next((m for m in self.machines.by_key.values() if m.frames is server.home), None)
            if connection.machine is None:
                _log.error("%s: a Worker's own web socket has no object behind it", connection.label)
                connection.refusal = Response(500, "Internal Server Error")
                return
        record = connection.record = server.record
        connection.machine.frames.coupled(record)
        connection.subprotocol = response.headers.get("Sec-WebSocket-Protocol")
        self._by_record[record] = connection
        for kind, payload in self._early.pop(record, ()):
            self._frame(record, kind, payload)
        if not self._opening:
            self._early.clear()

    def _received(self, connection: Connection, data: str | bytes, taken: Callable[[], None]) -> None:
        machine = connection.machine
        assert machine is not None, "it has answered"

        def fire() -> None:
            taken()
            if not connection.told and not self._closing:
                assert connection.record is not None
                machine.frames.message(f"{connection.label}^", connection.record, data)

        self._tell(machine, fire)

    def _ended(self, connection: Connection, code: int, reason: str, was_clean: bool) -> None:
        machine = connection.machine
        assert machine is not None, "it has answered"

        def fire() -> None:
            if not connection.told:
                connection.told = True
                assert connection.record is not None
                machine.frames.closed(
                    f"{connection.label}/end",
                    connection.record,
                    code,
                    reason if was_clean else ABNORMAL_REASON,
                    was_clean,
                )

        if not self._closing:
            self._tell(machine, fire)

    def _tell(self, machine: ObjectMachine, fire: Callable[[], None]) -> None:
        host: Any = machine.host
        self._loop.post(host, fire)

    # -- what objects do to their sockets ----------------------------------------------

    def _frame(self, record: SocketRecord, kind: str, payload: Any) -> None:
        connection = self._by_record.get(record)
        if connection is None:
            # The first frames of a socket leave before the answer to the upgrade does (WS-25).
            if self._opening and kind != "accept":
                self._early.setdefault(record, []).append((kind, payload))
        elif kind == "message":
            connection.wire.send(payload)
        elif kind == "close":
            code, reason = payload
            connection.wire.close(NO_STATUS if code is None else code, reason)

    def _cut(self, record: SocketRecord) -> None:
        connection = self._by_record.pop(record, None)
        self._early.pop(record, None)
        if connection is not None:
            connection.told = True
            connection.wire.cut()

    # -- the end -----------------------------------------------------------------------

    async def aclose(self) -> None:
        """Stop listening, say goodbye (1001), close every store.

        Objects hear nothing of it, as in a deployment: their sockets are simply not there any more afterwards (WS-32).
        """
        self._closing = True
        self._listening.cancel()
        for connection in self._connections:
            connection.wire.close(GOING_AWAY, "Server is going away")
        with trio.move_on_after(GOODBYE_S):
            while self._connections:
                self._empty = trio.Event()
                await self._empty.wait()
        for connection in self._connections:
            connection.wire.cut()
            connection.answered.set()
        self.machines.stop()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def door_of(app: Mesh, secret: str | None) -> Door:
    """The app's own door where it has keys or a login service, else one with a secret."""
    if not has_keys(app):
        return LocalDoor(app, secret or secrets.token_urlsafe(32), _now_ms)
    from lumenize_sim.auth.door import KeyedDoor  # needs the extra `auth`

    return KeyedDoor(app, _now_ms)


async def _reject(request: WebSocketRequest, response: Response) -> None:
    headers = {"content-type": "text/plain;charset=UTF-8", **response.headers}
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    await request.reject(response.status, extra_headers=fields, body=response.body)


@asynccontextmanager
async def serve_app(
    app: Mesh,
    *,
    host: str = "127.0.0.1",
    port: int = 8787,
    data: str | Path | None = None,
    secret: str | None = None,
    hibernate_after_s: float = HIBERNATE_AFTER_S,
    evict_after_s: float = EVICT_AFTER_S,
) -> AsyncGenerator[LiveServer, None]:
    """Serve ``app`` for as long as the block runs.

    Args:
        host: the address to listen on; the loopback interface unless told otherwise.
        port: 0 takes a free one; see `LiveServer.url`.
        data: a folder for one SQLite file per object; ``None`` keeps them in memory.
        secret: what tokens are signed with (HS256); by default drawn anew, so that only `LiveServer.mint` makes them.
        hibernate_after_s, evict_after_s: idle times (LC-14, LC-15).

    Raises:
        UsageError: the address or port cannot be had, or the folder.
    """
    files = Files(None if data is None else Path(data))
    async with running_loop() as loop:
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host} port {port}: {error.strerror or error}. Choose another with --port."
            ) from None
        machines = Machines(
            loop,
            LiveHost(loop, app.compat),
            app,
            files,
            hibernate_after_s=hibernate_after_s,
            evict_after_s=evict_after_s,
        )
        door = door_of(app, secret)
        machines.calls.entry_class = door.worker
        server = LiveServer(loop, app, machines, door)
        bound = listeners[0].socket.getsockname()[1]
        server.url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        machines.wake_alarms()
        loop.start_infrastructure(server.run, listeners)
        try:
            yield server
        finally:
            with trio.CancelScope(shield=True):
                await server.aclose()

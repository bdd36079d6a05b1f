"""Servers beyond the mesh, which an app asks with ``fetch``: their handlers are the test's, their faults the plan's."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import httpx
import outcome

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_errors import disconnected
from lumenize_sim.world.app_line import app_line
from lumenize_sim.world.faults import FETCH_TIMEOUT_S, SLOW_FETCH_S
from lumenize_sim.world.seats import FreeSeat

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["BAD_FETCH", "Seen", "Server", "Servers"]

#: What may go wrong with one request, by the value of the fault ``bad-fetch``.
BAD_FETCH: Final = ("", "slow", "error", "lost", "unanswered", "timeout")
Trouble = Literal["slow", "error", "lost", "unanswered", "timeout"]
Handler = Callable[[Request], Any]
_OF_SERVERS: Final = "server:"


@attrs.frozen
class Seen:
    """One request as a server saw it.

    Attributes:
        request: with method, url, headers, body.
        at_s: virtual seconds since the run began.
        by: the node that sent it.
    """

    request: Request
    at_s: float
    by: str


class Server:
    """One simulated server.

    Attributes:
        origin: scheme, host and port.
        requests: what it has seen, in order.
        seat: where its handler runs.  For the world.
        latency_s: from when a request leaves until its response arrives, without the handler's own time.
    """

    def __init__(self, world: World, origin: str, handler: Handler, latency_s: float) -> None:
        self.origin = origin
        self.requests: list[Seen] = []
        self.latency_s = latency_s
        self._handler = handler
        self.seat = FreeSeat(world, f"{_OF_SERVERS}{origin.partition('://')[2]}")
        self._next: deque[Trouble] = deque()

    def trouble_next(self, *kinds: Trouble) -> None:
        """What goes wrong with the next requests to leave for it, one each.

        ``"slow"``: its answer takes 20 s more.  ``"error"``: it answers 503 without looking.  ``"lost"``: the request
        never reaches it, and the connection is lost.  ``"unanswered"``: the handler runs, then the connection is lost.
        ``"timeout"``: the handler runs, and no answer comes for 100 s; then the connection is lost.
        """
        for kind in kinds:
            if kind not in BAD_FETCH[1:]:
                raise UsageError(f"trouble {kind!r} is unknown; there is: {', '.join(BAD_FETCH[1:])}")
        self._next.extend(kinds)

    def __repr__(self) -> str:
        return f"<Server {self.origin}, {len(self.requests)} requests>"


class Servers:
    """All of one world, by origin."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_origin: dict[str, Server] = {}

    def add(self, origin: str, handler: Handler, latency_s: float) -> Server:
        """See `World.server`."""
        url = httpx.URL(origin)
        if url.scheme not in ("http", "https") or not url.host or url.path not in ("", "/") or url.query:
            raise UsageError(f"{origin!r} is no origin: give scheme and host, such as 'https://api.example'")
        if not callable(handler):
            raise UsageError(f"handler={handler!r} cannot be called: give a function of the request")
        if not latency_s >= 0:
            raise UsageError(f"latency_s is {latency_s!r}; must be 0 or more")
        name = _origin(url)
        if name in self._by_origin:
            raise UsageError(f"there is a server at {name} already")
        server = self._by_origin[name] = Server(self._world, name, handler, latency_s)
        return server

    def at(self, url: httpx.URL) -> Server | None:
        """The server that answers ``url``, over http or as a web socket."""
        scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
        return self._by_origin.get(_origin(url.copy_with(scheme=scheme)))

    def unknown(self, request: Request) -> str:
        """What is said where there is none."""
        return (
            f"no simulated server answers {request.method} {request.url}: "
            f"add one with world.server({_origin(request.url)!r}, handler)"
        )

    def upgrade(
        self, server: Server, label: str, request: Request, by: str, answered: Callable[[Outcome], None]
    ) -> None:
        """A request for a web socket reaches ``server``, in a turn of its own: what it answers goes to ``answered``."""

        def handled(result: Outcome) -> None:
            if type(result) is outcome.Error and not isinstance(result.error, ConnectionError):
                self._world.judge.app_error(server.seat.name, label, result.error)
                return
            answered(result if type(result) is outcome.Error else outcome.Value(_response(result.value)))

        server.requests.append(Seen(Request.of(request), self._world.now(), by.partition("~")[0]))
        server.seat.serve(label, None, lambda: server._handler(request), handled)

    def fetch(self, seat: Any, request: Request) -> Pending[Response]:
        """One request of the owner of ``seat``."""
        spent = seat.spend()
        if spent is not None:
            return Pending.failed(spent)
        origin = _origin(request.url)
        server = self._by_origin.get(origin)
        label = f"{seat.name}>{origin}#{seat.next_call(origin)}"
        pending, arrived = seat.wait_for(label)
        exchange = _Exchange(self._world, seat, server, request, label, arrived)
        seat.emit_fetch(exchange)
        answer: Pending[Response] = pending
        return answer


class _Exchange:
    """One request and its response.  What leaves the caller's gates as a call does."""

    def __init__(
        self,
        world: World,
        seat: Any,
        server: Server | None,
        request: Request,
        label: str,
        arrived: Callable[[str, Outcome], None],
    ) -> None:
        self.label = label
        self._world = world
        self._seat = seat
        self._server = server
        self._request = request
        self._arrived = arrived
        self._trouble = ""
        self._where = app_line() if world.chronicle.tracing else None

    def leave(self) -> None:
        """The gates let it go; it may have to wait for one of the caller's connections (RPC-27)."""
        self._seat.connections.take(self._send)

    def _send(self) -> None:
        world, seat, server, request = self._world, self._seat, self._server, self._request
        value = world.plan.at("bad-fetch", seat.name, len(BAD_FETCH)) if world.plan else 0
        if value:
            world.chronicle.fault_fired("bad-fetch", seat.name, value)
            self._trouble = BAD_FETCH[value]
        elif server is not None and server._next:
            self._trouble = server._next.popleft()
        cause = -1
        name = _OF_SERVERS + request.url.host if server is None else server.seat.name
        if world.chronicle.tracing:
            asked = f"{request.method} {request.url.raw_path.decode('ascii', 'replace')}"
            data = {"from": seat.name, "to": name, "method": asked, "args": []}
            cause = world.chronicle.record("send", seat.name, self.label, data, where=self._where)
        if server is None:
            self._answer(outcome.Error(ConnectionError(world.servers.unknown(request))), 0)
        elif self._trouble == "lost":
            self._answer(outcome.Error(disconnected()), 0)
        elif self._trouble == "error":
            self._answer(outcome.Value(Response(503, "Service Unavailable")), round(server.latency_s * 1_000_000))
        else:
            self._deliver(server, cause)

    def _deliver(self, server: Server, cause: int) -> None:
        world, seat = self._world, server.seat

        def fire() -> None:
            world.chronicle.deliver(seat.name, self.label, cause)
            server.requests.append(Seen(Request.of(self._request), world.now(), self._seat.name))
            seat.serve(self.label, None, lambda: server._handler(self._request), self._handled)

        event = Event(self.label, seat, fire, receiver=seat.receiver, delay_limit_us=world.calls.limit_us)
        event.not_before_us = world.kernel.now_us + round(server.latency_s * 500_000)
        world.kernel.post(event)

    def _handled(self, result: Outcome) -> None:
        server = self._server
        assert server is not None, "somebody has handled it"
        after_us = round(server.latency_s * 500_000)
        if type(result) is outcome.Error:
            if not isinstance(result.error, ConnectionError):
                self._world.judge.app_error(server.seat.name, self.label, result.error)
                return
            result = outcome.Error(disconnected())
        else:
            try:
                result = outcome.Value(_response(result.value))
            except Exception as error:
                self._world.judge.app_error(server.seat.name, self.label, error)
                return
        if type(result) is outcome.Value and result.value.web_socket is not None:
            result = self._world.sockets.hand_over(result, server.seat, self._request, self._seat, self.label)
        if self._trouble in ("unanswered", "timeout"):
            self._world.sockets.drop(result, self.label)
        if self._trouble == "unanswered":
            result = outcome.Error(disconnected())
        elif self._trouble == "timeout":
            result, after_us = outcome.Error(disconnected()), round(FETCH_TIMEOUT_S * 1_000_000)
        elif self._trouble == "slow":
            after_us += round(SLOW_FETCH_S * 1_000_000)
        self._answer(result, after_us)

    def _answer(self, result: Outcome, after_us: int) -> None:
        world, seat, label = self._world, self._seat, f"{self.label}/r"
        cause = -1
        if world.chronicle.tracing:
            by = self._server.seat.name if self._server is not None else seat.name
            said = (
                {"error": type(result.error).__name__}
                if type(result) is outcome.Error
                else {"value": result.unwrap().status}
            )
            cause = world.chronicle.record("reply", by, label, {"from": by, "to": seat.name, **said})

        def fire() -> None:
            world.chronicle.deliver(seat.name, label, cause)
            if not seat.owner.dead:
                seat.connections.give()
            self._arrived(label, result)

        event = Event(label, seat.actor, fire, receiver=seat.receiver, delay_limit_us=world.calls.limit_us)
        event.not_before_us = world.kernel.now_us + after_us
        world.kernel.post(event)


def _origin(url: httpx.URL) -> str:
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}"


def _response(value: Any) -> Response:
    """What a handler has answered with: a response, text, bytes, or what becomes JSON."""
    if isinstance(value, httpx.Response):
        return Response.of(value)
    if isinstance(value, str):
        return Response(200, value, {"content-type": "text/plain;charset=UTF-8"})
    if isinstance(value, bytes):
        return Response(200, value)
    if isinstance(value, (dict, list)):
        return Response(200, json.dumps(value), {"content-type": "application/json"})
    raise UsageError(
        f"the handler of a simulated server answered with {value!r}: return a Response, text, bytes, a dict or a list"
    )

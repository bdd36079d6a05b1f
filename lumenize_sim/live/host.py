"""The real `Host` that nodes see: wall clock, system randomness, web sockets, HTTP, the log."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx
import outcome

from lumenize_sim.live.dial import dial
from lumenize_sim.live.loop import Loop
from lumenize_sim.live.seats import Seat
from lumenize_sim.objects.host import SocketEvents, SocketPort, TimerHandle
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.seats import Arrived
from lumenize_sim.objects.strand import Owner

__all__ = ["FETCH_TIMEOUT_S", "LiveHost"]

FETCH_TIMEOUT_S = 30.0

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class LiveHost:
    """The surroundings of all nodes of one loop."""

    def __init__(self, loop: Loop, compat: str | None = None) -> None:
        self._loop = loop
        self.compat = compat
        self._random = random.SystemRandom()

    def now_ms(self) -> int:
        """Epoch milliseconds; stands still during a turn (TM-1)."""
        return self._loop.now_ms()

    def random(self, owner: Owner) -> random.Random:
        """The system's generator."""
        return self._random

    def uuid(self, owner: Owner) -> str:
        """A random version-4 UUID."""
        return str(uuid4())

    def set_timer(
        self, owner: Owner, delay_s: float, callback: Callable[[], None], *, background: bool = False
    ) -> TimerHandle:
        """A timer whose callback is one turn of ``owner``."""
        return _seat(owner).set_timer(self._loop.now_us() + max(0, round(delay_s * 1_000_000)), callback)

    def spawn(self, owner: Owner, async_fn: Callable[..., Any], *args: Any) -> None:
        """A task of ``owner`` in the caller's context."""
        _seat(owner).spawn(async_fn, args)

    def open_socket(self, owner: Owner, url: str, protocols: Sequence[str], events: SocketEvents) -> SocketPort:
        """Dial a web socket."""
        return dial(self._loop, owner.seat, url, protocols, events)

    def fetch(
        self,
        owner: Owner,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Pending[Any]:
        """An HTTP request; settles with a `Response`, or fails with a ConnectionError.  Redirects are followed."""
        seat = _seat(owner)
        pending, arrived = seat.wait_for(f"{method} {url}")
        seat.emit_fetch(_Exchange(self._loop, seat, Request(method, url, headers, body), pending.label, arrived))
        return pending

    def log(self, owner: Owner, level: str, namespace: str, message: str, data: Mapping[str, Any]) -> None:
        """One line of debug output, to the logger of that namespace; an ``error`` in ``data`` brings its traceback."""
        error = data.get("error")
        logging.getLogger(namespace).log(
            _LEVELS[level], "%s: %s %s", owner.name, message, {k: v for k, v in data.items() if v is not error},
            exc_info=error if isinstance(error, BaseException) else None,
        )  # fmt: skip


def _seat(owner: Owner) -> Seat:
    seat: Seat = owner.seat
    return seat


class _Exchange:
    """One request and its response.  What leaves the caller's gates as a call does."""

    def __init__(self, loop: Loop, seat: Seat, request: Request, label: str, arrived: Arrived) -> None:
        self.label = label
        self._loop = loop
        self._seat = seat
        self._request = request
        self._arrived = arrived

    def leave(self) -> None:
        """The gates let it go; it may have to wait for one of the caller's connections (RPC-27)."""
        self._seat.connections.take(lambda: self._loop.start_infrastructure(self._ask))

    async def _ask(self) -> None:
        request = self._request
        result: outcome.Value[Response] | outcome.Error
        try:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S, follow_redirects=True) as client:
                answer = await client.request(
                    request.method, request.url, headers=request.headers, content=request.body
                )
            result = outcome.Value(Response.of(answer))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            result = outcome.Error(ConnectionError(f"{request.method} {request.url}: {error}"))

        def fire() -> None:
            if not self._seat.owner.dead:
                self._seat.connections.give()
            self._arrived(self.label, result)

        self._loop.post(self._seat.actor, fire)

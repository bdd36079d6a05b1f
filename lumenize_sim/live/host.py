"""The real `Host` that nodes see: wall clock, system randomness, web sockets, HTTP, the log."""

from __future__ import annotations

import logging
import random
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import outcome
import trio

from lumenize_sim.live.dial import dial
from lumenize_sim.live.loop import Loop
from lumenize_sim.live.seats import Seat
from lumenize_sim.objects.host import SocketEvents, SocketPort, TimerHandle
from lumenize_sim.objects.http import Response
from lumenize_sim.objects.pending import Pending
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
        """An HTTP request, in a thread; settles with a `Response`, or a ConnectionError."""
        seat = _seat(owner)
        pending, arrived = seat.wait_for(f"{method} {url}")

        async def ask() -> None:
            result: outcome.Value[Response] | outcome.Error
            try:
                result = outcome.Value(
                    await trio.to_thread.run_sync(
                        _request, url, method, dict(headers or {}), body, abandon_on_cancel=True
                    )
                )
            except (OSError, ValueError) as error:
                result = outcome.Error(ConnectionError(f"{method} {url}: {error}"))
            self._loop.post(seat.actor, lambda: arrived(pending.label, result))

        seat.emit(lambda: self._loop.start_infrastructure(ask))
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


def _request(url: str, method: str, headers: dict[str, str], body: bytes | None) -> Response:
    if not url.startswith(("http://", "https://")):
        raise ValueError("only http: and https: can be fetched")
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=FETCH_TIMEOUT_S) as answer:
            return _response(answer.status, answer.headers.items(), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _response(error.code, error.headers.items(), error.read())


def _response(status: int, headers: Any, body: bytes) -> Response:
    return Response(status, body or None, list(headers))

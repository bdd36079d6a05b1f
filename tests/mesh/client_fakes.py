"""Surroundings for one gateway or one client: a clock that is turned by hand, timers, sockets, tasks without Trio."""

from __future__ import annotations

import heapq
import random
from contextvars import copy_context
from typing import Any

from lumenize_sim.objects.hibernation import HibernationRegistry
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.socket_home import SocketRules
from lumenize_sim.objects.strand import Owner


def owner(host: FakeHost, name: str = "node") -> Owner:
    return Owner(name, start=lambda fn, args: host.spawn(None, fn, *args), on_wake=lambda owner: None)


class FakeTimer:
    def __init__(self, due_ms: int, callback: Any, background: bool) -> None:
        self.due_ms = due_ms
        self.callback = callback
        self.background = background
        self.cancelled = False
        self.fired = False

    def cancel(self) -> None:
        self.cancelled = True


class FakePort:
    """The client's end of a socket; the test plays the other end."""

    def __init__(self, url: str, protocols: tuple[str, ...], events: Any) -> None:
        self.url = url
        self.protocols = protocols
        self.events = events
        self.ready_state = 0
        self.sent: list[str] = []
        self.closed: tuple[Any, Any] | None = None

    def send(self, data: str) -> None:
        if self.ready_state != 1:
            raise RuntimeError("not open")
        self.sent.append(data)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        self.closed = (code, reason)
        self.ready_state = 2

    # What the network does.

    def open(self) -> None:
        self.ready_state = 1
        self.events.on_open()

    def receive(self, data: str | bytes) -> None:
        self.events.on_message(data)

    def status(self, required: bool = True) -> None:
        flag = "true" if required else "false"
        self.receive(f'{{"type":"connection_status","subscriptionRequired":{flag}}}')

    def drop(self, code: int = 1006, reason: str = "") -> None:
        self.ready_state = 3
        self.events.on_close(code, reason, code != 1006)


class Parked:
    """Something to await in a fake task, until `release`."""

    def __init__(self) -> None:
        self.resume: Any = None
        self.value: Any = None
        self.error: Exception | None = None

    def __await__(self) -> Any:
        yield self
        if self.error is not None:
            raise self.error
        return self.value

    def release(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error
        self.resume()


class FakeHost:
    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.ms = now_ms
        self.heap: list[tuple[int, int, FakeTimer]] = []
        self.ports: list[FakePort] = []
        self.fetches: list[tuple[str, str, dict[str, str], Pending[Any]]] = []
        self.logs: list[tuple[str, str, str, dict[str, Any]]] = []
        self.tasks = 0
        self.ids: list[str] = []
        self.later: list[Any] = []
        self._count = 0
        self._random = random.Random(1)

    def now_ms(self) -> int:
        return self.ms

    def random(self, owner: Owner) -> random.Random:
        return self._random

    def uuid(self, owner: Owner) -> str:
        if self.ids:
            return self.ids.pop(0)
        self._count += 1
        return f"{self._count:08x}-0000-4000-8000-000000000000"

    def set_timer(self, owner: Owner, delay_s: float, callback: Any, *, background: bool = False) -> FakeTimer:
        self._count += 1
        timer = FakeTimer(self.ms + round(delay_s * 1000), callback, background)
        heapq.heappush(self.heap, (timer.due_ms, self._count, timer))
        return timer

    def timers(self, background: bool = False) -> list[int]:
        """Milliseconds until each waiting timer."""
        return [due - self.ms for due, _, t in sorted(self.heap) if not t.cancelled and t.background is background]

    def advance(self, seconds: float) -> None:
        until = self.ms + round(seconds * 1000)
        while self.heap and self.heap[0][0] <= until:
            due, _, timer = heapq.heappop(self.heap)
            if not timer.cancelled:
                self.ms = due
                timer.callback()
                self.drain()
        self.ms = until

    def spawn(self, owner: Owner | None, async_fn: Any, *args: Any) -> None:
        """A task runs when the test drains, as a real one runs after the code that began it."""
        self.tasks += 1
        context = copy_context()
        coroutine = context.run(async_fn, *args)
        self.later.append(lambda: self._step(context, coroutine))

    def drain(self) -> None:
        while self.later:
            self.later.pop(0)()

    def _step(self, context: Any, coroutine: Any) -> None:
        try:
            parked = context.run(coroutine.send, None)
        except StopIteration:
            return
        parked.resume = lambda: self._step(context, coroutine)

    def open_socket(self, owner: Owner, url: str, protocols: Any, events: Any) -> FakePort:
        port = FakePort(url, tuple(protocols), events)
        self.ports.append(port)
        return port

    def fetch(self, owner: Owner, url: str, *, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        pending: Pending[Any] = Pending("fetch")
        self.fetches.append((method, url, dict(headers or {}), pending))
        return pending

    def log(self, owner: Owner, level: str, namespace: str, message: str, data: Any) -> None:
        self.logs.append((level, namespace, message, dict(data)))


class FakeStorage:
    def __init__(self) -> None:
        self.alarm_ms: int | None = None

    def get_alarm(self) -> Pending[int | None]:
        return Pending.of(self.alarm_ms)

    def set_alarm(self, at_ms: int) -> None:
        self.alarm_ms = at_ms

    def delete_alarm(self) -> None:
        self.alarm_ms = None


class FakeCtx:
    """The state object of a Durable Object with real hibernatable sockets; what they send is in ``wire``."""

    def __init__(self, host: FakeHost, name: str = "alice.tab1") -> None:
        self.host = host
        self.owner = owner(host, name)
        self.storage = FakeStorage()
        self.wire: list[tuple[int, str, Any]] = []
        self.rules = SocketRules()
        self.access = None
        self.registry = HibernationRegistry(self)
        self.accept_web_socket = self.registry.accept_web_socket
        self.get_web_sockets = self.registry.get_web_sockets
        self.set_web_socket_auto_response = self.registry.set_web_socket_auto_response

    def emit(self, record: Any, kind: str, payload: Any) -> None:
        self.wire.append((record.id, kind, payload))

    def sent(self, socket_id: int | None = None) -> list[str]:
        """Text frames that left, of one socket or of all, and forgets nothing."""
        return [p for i, kind, p in self.wire if kind == "message" and socket_id in (None, i)]


class FakeTarget:
    """A stub whose calls the test settles."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls: list[tuple[str, Any, Pending[Any]]] = []

    def call(self, method: str, envelope: Any) -> Pending[Any]:
        pending: Pending[Any] = Pending(self.name)
        self.calls.append((method, envelope, pending))
        return pending


class FakeNamespace:
    def __init__(self) -> None:
        self.targets: dict[str, FakeTarget] = {}

    def get_by_name(self, name: str) -> FakeTarget:
        return self.targets.setdefault(name, FakeTarget(name))

    def id_from_string(self, text: str) -> tuple[str, str]:
        return ("id", text)

    def get(self, object_id: tuple[str, str]) -> FakeTarget:
        return self.targets.setdefault(f"#{object_id[1]}", FakeTarget(object_id[1]))

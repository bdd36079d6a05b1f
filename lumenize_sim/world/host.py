"""The simulated `Host` that nodes see."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lumenize_sim.objects.host import SocketEvents, SocketPort, TimerHandle
from lumenize_sim.objects.http import Request
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.strand import Owner
from lumenize_sim.trace.texts import text_of
from lumenize_sim.world.descriptions import logged
from lumenize_sim.world.randomness import generator

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["SimHost", "SkewedHost"]


class SimHost:
    """Virtual time, a simulated network, generators of each owner's own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._epoch_ms = world.options.epoch_ms
        self._generators: dict[Owner, random.Random] = {}
        self._names: dict[str, int] = {}
        self.compat = world.app.compat

    def now_ms(self) -> int:
        """Epoch milliseconds of virtual time."""
        return self._epoch_ms + self._world.kernel.agenda.now_us // 1000

    def random(self, owner: Owner) -> random.Random:
        """The owner's own generator; a new incarnation gets a new one."""
        found = self._generators.get(owner)
        if found is None:
            nth = self._names.get(owner.name, -1) + 1
            self._names[owner.name] = nth
            found = self._generators[owner] = generator(self._world.seed, "app", owner.name, str(nth))
        return found

    def uuid(self, owner: Owner) -> str:
        """A version-4 UUID from the owner's generator."""
        return str(UUID(int=self.random(owner).getrandbits(128), version=4))

    def set_timer(
        self, owner: Owner, delay_s: float, callback: Callable[[], None], *, background: bool = False
    ) -> TimerHandle:
        """A timer whose callback is one turn of ``owner``."""
        due_us = self._world.kernel.agenda.now_us + max(0, round(delay_s * 1_000_000))
        timer: TimerHandle = owner.seat.set_timer(due_us, callback, background)
        return timer

    def spawn(self, owner: Owner, async_fn: Callable[..., Any], *args: Any) -> None:
        """A task of ``owner`` in the caller's context."""
        owner.seat.spawn(async_fn, args)

    def open_socket(self, owner: Owner, url: str, protocols: Sequence[str], events: SocketEvents) -> SocketPort:
        """Dial the mesh."""
        return self._world.sockets.dial(owner.seat, url, protocols, events)

    def fetch(
        self,
        owner: Owner,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Pending[Any]:
        """To the entry of the mesh, or a simulated server (`World.server`); without one it is a ConnectionError."""
        world, seat, request = self._world, owner.seat, Request(method, url, headers, body)
        if seat.visitor is not None and seat.visitor.answers(request.url):
            answer: Pending[Any] = seat.visitor.send(seat, request)
            return answer
        return world.send(seat, request)

    def log(self, owner: Owner, level: str, namespace: str, message: str, data: Mapping[str, Any]) -> None:
        """A line of debug output becomes a record of the trace."""
        world = self._world
        if level == "error":
            world.chronicle.errors_logged.append(f"{owner.name}: {message} {text_of(dict(data), 1000)}")
        if world.chronicle.tracing:
            world.chronicle.record(
                "log",
                owner.name,
                namespace,
                {"level": level, "message": message, "data": {k: logged(v) for k, v in data.items()}},
            )

    def log_unseen(self, owner: Any, what: str, error: BaseException) -> None:
        """An error of which whoever asked for ``what`` sees no more than status 500."""
        data = {"error": f"{type(error).__name__}: {error}"}
        self.log(owner, "error", "lumenize_sim.world", f"{what} is answered with status 500", data)


class SkewedHost:
    """The host of a client whose clock is wrong by ``skew_us``; its timers last as long as anybody's."""

    def __init__(self, host: SimHost, skew_us: int) -> None:
        self._host = host
        self._skew_ms = skew_us // 1000

    def now_ms(self) -> int:
        """Epoch milliseconds on the client's clock."""
        return self._host.now_ms() + self._skew_ms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

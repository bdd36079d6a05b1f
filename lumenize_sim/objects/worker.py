"""Stateless Workers: the class that apps extend, and what ``ctx`` offers them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.isolate import is_awaitable
from lumenize_sim.objects.outgoing import fetch
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.strand import Owner

__all__ = ["WorkerContext", "WorkerEntrypoint"]


@attrs.define(eq=False)
class WorkerContext:
    """``ctx`` of a Worker.

    Attributes:
        host: the surroundings; for libraries such as the mesh.
        owner: this invocation, for the same.
    """

    host: Host
    owner: Owner
    _wait: Callable[[Any], None]

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep the invocation alive until ``awaitable`` has ended, at most 30 s after the response (RPC-22).

        In ``runtime="workerd"`` for as long as it takes (`MachineOptions.wait_until_limit_s`).

        While it is pending other floating work goes on too (RPC-24).
        """
        self._wait(awaitable)

    def pass_through_on_exception(self) -> None:
        """Let the origin answer where this Worker throws; here there is none, so it changes nothing."""

    def fetch(self, request: Request | str, **options: Any) -> Pending[Response]:
        """An HTTP request to the outside, or one for a URL with ``method``, ``headers``, ``body``.  Acts at once."""
        return fetch(self.host, self.owner, request, options)

    def set_timeout(self, callback: Callable[[], Any], delay_s: float = 0.0) -> TimerHandle:
        """Run ``callback``, sync or async, after ``delay_s``, unless the invocation has ended (TM-3, RPC-24).

        Returns:
            A handle with ``cancel()``; `clear_timeout` does the same.
        """

        def run() -> None:
            result = callback()
            if is_awaitable(result):
                self.owner.spawn(_await, result)

        return self.host.set_timer(self.owner, delay_s, run)

    def clear_timeout(self, timer: TimerHandle | None) -> None:
        """Call a timer off.  ``None``, and one that has run or was called off, change nothing."""
        if timer is not None:
            timer.cancel()


async def _await(awaitable: Awaitable[Any]) -> None:
    await awaitable


class WorkerEntrypoint:
    """Base class of plain Workers: keeps ``ctx`` and ``env``.

    Each call runs on an instance of its own, which ends when nothing of it is left: what it keeps on
    ``self`` is gone with the next call.  Work that nobody waits for ends with the response (RPC-24).

    ``fetch(request)``, synchronous or async, answers HTTP requests; all other public methods and
    properties can be reached over RPC (RPC-13).

    Attributes:
        ctx: a `WorkerContext`.
        env: the app's bindings.
    """

    #: It never leaves by value, not even as an attrs class or dataclass.
    __platform_name__ = "WorkerEntrypoint"

    ctx: WorkerContext
    env: Any

    def __init__(self, ctx: Any, env: Any) -> None:
        self.ctx = ctx
        self.env = env

"""Workers: one instance and one actor for each call; nothing of it survives (LMZ-2, RPC-24)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs
import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.isolate import PythonIsolate
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.reach import refusal_of
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import across
from lumenize_sim.objects.strand import Owner
from lumenize_sim.trace.event import error_data
from lumenize_sim.world.seats import FreeSeat

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["WorkerContext", "Workers"]

#: What was given to `wait_until` may go on for so long after the response (RPC-22).
_GRACE_S = 30


@attrs.define(eq=False)
class WorkerContext:
    """``ctx`` of a Worker.

    Attributes:
        host: the surroundings.
        owner: this invocation.
    """

    host: Host
    owner: Owner
    _wait: Callable[[Any], None]

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep the invocation alive until ``awaitable`` has ended, at most 30 s after the response (RPC-22)."""
        self._wait(awaitable)


class Workers:
    """Begins invocations."""

    def __init__(self, world: World) -> None:
        self._world = world

    def invocation(
        self,
        binding: str,
        label: str,
        method: str,
        args: tuple[Any, ...],
        reply: Callable[[Outcome], None],
        cause: int,
        limit_us: int,
    ) -> Event:
        """An event that runs ``method`` on a fresh instance.  It races with nothing: its receiver is its own."""
        world = self._world
        seat = FreeSeat(world, f"{binding}~{label}")
        cls = world.app.bindings[binding]
        kept = 1  # the response, and everything given to wait_until
        limit: TimerHandle | None = None

        def let_go(result: Outcome | None = None) -> None:
            nonlocal kept
            kept -= 1
            if type(result) is outcome.Error:
                error = f"{type(result.error).__name__}: {result.error}"
                world.host.log(seat.owner, "error", "lumenize_sim.world", "unhandled", {"error": error})
            if not kept:
                finish()

        def finish() -> None:
            seat.finish()
            world.kernel.queue.drop_ready()
            if limit is not None:
                limit.cancel()

        def wait(awaitable: Any) -> None:
            nonlocal kept
            kept += 1
            isolate.take_turn(seat.context(label), lambda: awaitable, (), let_go)

        isolate = PythonIsolate(
            lambda: cls(WorkerContext(world.host, seat.owner, wait), world.env_for(seat)),
            seat.owner,
            wrote=lambda: False,
            interrupt=world.kernel.interrupt,
        )

        def done(result: Outcome) -> None:
            nonlocal limit
            if world.tracing:
                data = error_data(result.error) if type(result) is outcome.Error else {"ok": True}
                world.record("end", seat.name, label, data)
            if type(result) is outcome.Error:
                result = outcome.Error(across(result.error))
            reply(result)
            let_go()
            if kept:
                due_us = world.kernel.now_us + _GRACE_S * 1_000_000
                limit = seat.post_at(f"{seat.name}/limit", due_us, finish, True)

        def begin() -> None:
            try:
                isolate.construct(seat.context(label))
            except Exception as error:
                done(outcome.Error(error))
                return
            refused = refusal_of(cls, method)
            if refused is not None:
                done(outcome.Error(Error(refused) if method == "fetch" else TypeError(refused)))
                return
            isolate.take_turn(seat.context(label), method, args, done)

        def fire() -> None:
            world.deliver(seat.name, label, cause)
            world.kernel.queue.begin_turn(seat.owner)
            begin()

        return Event(label, seat, fire, receiver=seat.name, delay_limit_us=limit_us)

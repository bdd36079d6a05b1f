"""One invocation of a Worker: a fresh instance, which ends when nothing of the call is left (LMZ-2, RPC-22, RPC-24)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, Final, Protocol

import attrs
import outcome

from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.isolate import PythonIsolate
from lumenize_sim.objects.namespace import Env
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.reach import refusal_of
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import across
from lumenize_sim.objects.strand import Owner

__all__ = ["GRACE_US", "Invocation", "InvocationSeat", "WorkerContext"]

#: What was given to `wait_until` may go on for so long after the response (RPC-22).
GRACE_US: Final = 30_000_000


class InvocationSeat(Protocol):
    """Where one invocation runs, and what its host does for it."""

    owner: Owner

    def context(self, label: str) -> Context:
        """A context in which the owner runs."""
        ...

    def interrupt(self, error: BaseException) -> None:
        """Ctrl-C, or a turn broken off, reached the Worker's code."""
        ...

    def ended(self, label: str, result: Outcome) -> None:
        """The method has ended; its answer is about to leave."""
        ...

    def unhandled(self, error: BaseException) -> None:
        """What was given to `wait_until` has failed, and nobody waits for it."""
        ...

    def set_limit(self, after_us: int, fire: Callable[[], None]) -> TimerHandle:
        """``fire`` as housekeeping of the host, ``after_us`` from now."""
        ...

    def finish(self) -> None:
        """The owner is gone: nothing of it runs again.  Idempotent."""
        ...


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


class Invocation:
    """One call of one Worker.

    Args:
        cls: the Worker.
        env: its bindings, on behalf of the seat's owner.
        label: of the call.
        reply: hears the outcome, once; an error is a copy already (RPC-19).
    """

    __slots__ = ("_cls", "_held", "_isolate", "_kept", "_label", "_limit", "_reply", "_seat")

    def __init__(
        self,
        cls: type,
        host: Host,
        seat: InvocationSeat,
        env: Env,
        label: str,
        reply: Callable[[Outcome], None],
    ) -> None:
        make: Any = cls
        self._cls = cls
        self._seat = seat
        self._label = label
        self._reply = reply
        self._kept = 1  # the response, and everything given to wait_until
        self._held = 0  # open web sockets
        self._limit: TimerHandle | None = None
        self._isolate = PythonIsolate(
            lambda: make(WorkerContext(host, seat.owner, self._wait), env),
            seat.owner,
            wrote=lambda: False,
            interrupt=seat.interrupt,
        )

    def begin(self, method: str, args: tuple[Any, ...]) -> None:
        """Construct the instance and run ``method``, in a turn of the seat's owner."""
        try:
            self._isolate.construct(self._seat.context(self._label))
        except Exception as error:
            self._done(outcome.Error(error))
            return
        refused = refusal_of(self._cls, method)
        if refused is not None:
            self._done(outcome.Error(Error(refused) if method == "fetch" else TypeError(refused)))
            return
        self._isolate.take_turn(self._seat.context(self._label), method, args, self._done)

    def _done(self, result: Outcome) -> None:
        self._seat.ended(self._label, result)
        self._reply(outcome.Error(across(result.error)) if type(result) is outcome.Error else result)
        self._kept -= 1
        if self._kept:
            self._limit = self._seat.set_limit(GRACE_US, self._overdue)
        self._maybe_finish()

    def _wait(self, awaitable: Any) -> None:
        self._kept += 1
        self._isolate.take_turn(self._seat.context(self._label), lambda: awaitable, (), self._waited)

    def _waited(self, result: Outcome) -> None:
        if type(result) is outcome.Error:
            self._seat.unhandled(result.error)
        self._kept -= 1
        self._maybe_finish()

    def _overdue(self) -> None:
        self._kept = 0
        self._maybe_finish()

    def hold(self) -> None:
        """A web socket of its own is open: it goes on until `let_go`, however long that is."""
        self._held += 1

    def let_go(self) -> None:
        """That is closed."""
        self._held -= 1
        self._maybe_finish()

    def _maybe_finish(self) -> None:
        if self._kept <= 0 and not self._held:
            if self._limit is not None:
                self._limit.cancel()
            self._seat.finish()

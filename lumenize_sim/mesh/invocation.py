"""One invocation of a Worker: a fresh instance, which ends when nothing of the call is left (LMZ-2, RPC-22, RPC-24)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any, Final, Protocol

import outcome

from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.http import answered
from lumenize_sim.objects.isolate import PythonIsolate
from lumenize_sim.objects.namespace import Env
from lumenize_sim.objects.options import MachineOptions
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.reach import call_member, refusal_of
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import across
from lumenize_sim.objects.rpc_stub import Path
from lumenize_sim.objects.strand import Owner
from lumenize_sim.objects.worker import WorkerContext

__all__ = ["Invocation", "InvocationSeat"]

_DEFAULTS: Final = MachineOptions()


class InvocationSeat(Protocol):
    """Where one invocation runs, and what its host does for it."""

    owner: Owner
    sessions: int
    lonely: Callable[[], None] | None

    @property
    def enhanced(self) -> bool:
        """What errors keep when they cross (RPC-19)."""
        ...

    def drop_calls(self) -> None:
        """Calls of the present turn never leave (RPC-24)."""
        ...

    def context(self, label: str) -> Context:
        """A context in which the owner runs."""
        ...

    def interrupt(self, error: BaseException) -> None:
        """Ctrl-C, or a turn broken off, reached the Worker's code."""
        ...

    def handled(self, label: str, result: Outcome) -> None:
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


class Invocation:
    """One call of one Worker.

    Args:
        cls: the Worker.
        env: its bindings, on behalf of the seat's owner.
        label: of the call.
        reply: hears the outcome, once; an error is a copy already (RPC-19).
        options: what platforms do differently.
    """

    __slots__ = (
        "_answered", "_by_fetch", "_cls", "_held", "_isolate", "_kept", "_label", "_limit", "_options", "_reply",
        "_seat",
    )  # fmt: skip

    def __init__(
        self,
        cls: type,
        host: Host,
        seat: InvocationSeat,
        env: Env,
        label: str,
        reply: Callable[[Outcome], None],
        *,
        options: MachineOptions = _DEFAULTS,
    ) -> None:
        make: Any = cls
        self._cls = cls
        self._seat = seat
        self._label = label
        self._reply = reply
        self._options = options
        self._by_fetch = False
        self._answered = False
        self._kept = 1  # the response, and everything given to wait_until
        self._held = 0  # open web sockets
        self._limit: TimerHandle | None = None
        self._isolate = PythonIsolate(
            lambda: make(WorkerContext(host, seat.owner, self._wait), env),
            seat.owner,
            wrote=_never,
            interrupt=seat.interrupt,
        )

    def begin(self, method: str | Path, args: tuple[Any, ...] | None) -> None:
        """Construct the instance and run ``method``, in a turn of the seat's owner.

        A path reaches further than a method; without arguments it is read (RPC-13).
        """
        try:
            self._isolate.construct(self._seat.context(self._label))
        except Exception as error:
            self._done(outcome.Error(error))
            return
        handler: str | Callable[..., Any]
        if type(method) is tuple:
            instance, path, given = self._isolate.instance, method, args
            handler, args = lambda: call_member(instance, path, given), ()
        else:
            assert args is not None, "only paths are read"
            handler = str(method)
            self._by_fetch = handler == "fetch"
            refused = refusal_of(self._cls, handler)
            if refused is not None:
                self._done(outcome.Error(Error(refused) if self._by_fetch else TypeError(refused)))
                return
        self._isolate.take_turn(self._seat.context(self._label), handler, args, self._done)

    def _done(self, result: Outcome) -> None:
        seat = self._seat
        seat.handled(self._label, result)
        if type(result) is outcome.Error:
            result = outcome.Error(across(result.error, enhanced=seat.enhanced))
        elif self._by_fetch:
            result = answered(result)
        self._reply(result)
        if not self._answered:
            self._response_over()

    def caller_gone(self) -> None:
        """Nobody waits for the response: what is pending ends, unless `wait_until` was given something (RPC-22)."""
        if not self._answered:
            self._response_over()

    def _response_over(self) -> None:
        seat = self._seat
        self._answered = True
        self._kept -= 1
        seat.lonely = self._maybe_finish
        limit_s = self._options.wait_until_limit_s
        if self._kept and limit_s is not None:
            self._limit = seat.set_limit(round(limit_s * 1_000_000), self._overdue)
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
        # What it has given away, or somebody's session with it, keeps it too (RPC-14b).
        if self._kept <= 0 and not self._held and not self._seat.sessions:
            if self._limit is not None:
                self._limit.cancel()
            self._end()

    def _end(self) -> None:
        floating = self._options.floating_calls
        if floating == "lost" or (floating == "by_fetch" and not self._by_fetch):
            self._seat.drop_calls()
        self._seat.finish()


def _never() -> bool:
    return False

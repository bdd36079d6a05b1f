"""The outer seam: all that nodes, gateways and clients may ask of their surroundings.

`world` implements it over virtual time and a simulated network, `live` over the
wall clock and trio-websocket.  There is no third way out: code in `objects` and
`mesh` never looks which of the two it has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Any, Protocol

from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.strand import Owner

__all__ = ["AlarmService", "Host", "ObjectHost", "SocketEvents", "SocketPort", "TimerHandle"]


class TimerHandle(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Call it off.  Idempotent; no effect once it has fired."""
        ...


class SocketEvents(Protocol):
    """What the owner of an outgoing web socket wants to hear.  Each call is one turn of the owner."""

    def on_open(self) -> None: ...
    def on_message(self, data: str | bytes) -> None: ...
    def on_close(self, code: int, reason: str, was_clean: bool) -> None: ...
    def on_error(self, error: Exception) -> None: ...


class SocketPort(Protocol):
    """The sending half of a web socket.  ``ready_state``: 0 connecting, 1 open, 2 closing, 3 closed."""

    @property
    def ready_state(self) -> int: ...
    def send(self, data: str | bytes) -> None:
        """Queue one frame.  Never blocks."""
        ...

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Begin the close handshake."""
        ...


class Host(Protocol):
    """The surroundings of nodes.

    ``compat`` is a release of the original mesh whose quirks are wanted, or ``None``.
    """

    @property
    def compat(self) -> str | None: ...

    def now_ms(self) -> int:
        """Epoch milliseconds; does not move during a turn (TM-1)."""
        ...

    def random(self, owner: Owner) -> random.Random:
        """The owner's own generator."""
        ...

    def uuid(self, owner: Owner) -> str:
        """A random version-4 UUID as text, from the owner's own generator."""
        ...

    def set_timer(
        self, owner: Owner, delay_s: float, callback: Callable[[], None], *, background: bool = False
    ) -> TimerHandle:
        """Run ``callback`` as one turn of ``owner``.

        ``background`` marks periodic housekeeping (heartbeats) that a settled world need not wait for.
        """
        ...

    def spawn(self, owner: Owner, async_fn: Callable[..., Any], *args: Any) -> None:
        """Begin a task of ``owner`` in the caller's context."""
        ...

    def open_socket(self, owner: Owner, url: str, protocols: Sequence[str], events: SocketEvents) -> SocketPort:
        """Dial a web socket.  Acts at once; the outcome arrives through ``events``."""
        ...

    def fetch(
        self,
        owner: Owner,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Pending[Any]:
        """An HTTP request; settles with a response that has ``status``, ``headers`` and ``body``."""
        ...

    def log(self, owner: Owner, level: str, namespace: str, message: str, data: Mapping[str, Any]) -> None:
        """One line of debug output (``level``: ``debug``, ``info``, ``warn``, ``error``)."""
        ...


class AlarmService(Protocol):
    """The platform's alarm scheduler, as one object meets it: it may lag, fail, or come twice (AL-8 to AL-15)."""

    def told_after_us(self) -> int:
        """It is told a time, or the end of a run: how long until it has answered, -1 where it cannot be told."""
        ...

    def late_us(self) -> int:
        """How much later than due it comes this time (AL-11)."""
        ...

    def reaches(self) -> bool:
        """Whether it reaches the object this time; else it tries again, uncounted (AL-24)."""
        ...

    def comes_twice(self) -> bool:
        """Whether it delivers this run twice (AL-15)."""
        ...

    def jitter_ms(self, bound: int) -> int:
        """What it adds to the delay of a retry, below ``bound`` (AL-22)."""
        ...


class ObjectHost(Protocol):
    """What one object machine asks for: turns, events, timers, faults, the trace.

    ``tracing`` and ``faulty`` say whether `record` and `fault` do anything at all, so
    that callers can skip the work of preparing their arguments.
    """

    tracing: bool
    faulty: bool

    @property
    def alarms(self) -> AlarmService:
        """The alarm scheduler."""
        ...

    @property
    def host(self) -> Host:
        """What nodes see of the same surroundings."""
        ...

    def now_us(self) -> int:
        """Microseconds since the run began."""
        ...

    def elapsed_us(self) -> int:
        """How long the code between two readings of a moving clock took; drawn where time is virtual."""
        ...

    def begin_turn(self, owner: Owner) -> None:
        """Tasks of ``owner`` may run until nothing of it is runnable."""
        ...

    def class_of(self, cls: type) -> type:
        """The class to instantiate for ``cls``: itself, or a subclass that watches it."""
        ...

    def start(self, context: Context, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Begin a task in ``context``."""
        ...

    def admit(self, task: Any) -> None:
        """A task that was held back runs in the present turn."""
        ...

    def drop_ready(self) -> None:
        """Forget runnable tasks of owners that have died."""
        ...

    def interrupt(self, error: BaseException) -> None:
        """Ctrl-C, or a turn broken off, reached node code."""
        ...

    def wake_label(self, owner: Owner) -> str:
        """A label for the wake-up of ``owner`` by whoever's turn it is."""
        ...

    def cause(self) -> int:
        """The record of the trace that led to the event which happens now."""
        ...

    def caused(self, effect: Callable[[], None]) -> Callable[[], None]:
        """``effect`` for later, in the trace still brought about by what happens now."""
        ...

    def post(self, label: str, fire: Callable[[], None], *, cause: int = -1) -> None:
        """An event of this object that may happen from now on."""
        ...

    def post_hop(self, label: str, fire: Callable[[], None]) -> None:
        """The same for what has left the output gate; such events happen in the order in which they are posted."""
        ...

    def post_flush(self, label: str, fire: Callable[[], None], after_us: int) -> None:
        """The end of a flush that takes ``after_us``; flushes end in the order in which they are posted (OG-20)."""
        ...

    def post_at(self, label: str, fire: Callable[[], None], due_us: int, *, background: bool = False) -> TimerHandle:
        """An event of this object that may happen from ``due_us`` on."""
        ...

    def post_read(self, label: str, fire: Callable[[], None]) -> None:
        """A read of this object has to wait for the disk, for as long as the host sees fit (IG-5)."""
        ...

    def flush_after_us(self, commit: int) -> int | None:
        """How long the flush of a commit takes, or ``None`` when it is durable at once; -1 when it fails."""
        ...

    def fault(self, kind: str, bound: int = 2, *, possible: bool = True) -> int:
        """A boundary at this object where something may go wrong; 0 when nothing does."""
        ...

    def overload(self) -> int:
        """Why the object refuses the call that arrives (1 to 4, of `rpc_errors.OVERLOADS`); 0 where it does not."""
        ...

    def isolate_gone(self, *, spared: bool = False) -> None:
        """The isolate has used too much memory: every object in it will be reset (LC-37).

        ``spared``: but this one, which has been already.
        """
        ...

    def record(self, kind: str, label: str, data: Any = None, cause: int = -1, where: str | None = None) -> int:
        """One line of the trace; returns its number."""
        ...

    def record_end(self, label: str, result: Any) -> None:
        """A handler has ended with an outcome."""
        ...

    def record_access(self, kind: str, key: str, strand: Any) -> None:
        """Storage or the list or an attachment of web sockets is accessed by ``strand``, in a run that is traced."""
        ...

    def socket_send(self, record: Any, kind: str, payload: Any) -> None:
        """A frame or a close leaves through a web socket of this object."""
        ...

    def socket_cut(self, record: Any) -> None:
        """The connection of a web socket is lost with its instance."""
        ...

    def idle(self) -> None:
        """The object has nothing to do from now on; the host watches how long (LC-14, LC-15)."""
        ...

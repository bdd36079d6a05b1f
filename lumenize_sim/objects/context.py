"""The context API: what ``ctx`` offers to the code of an object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from lumenize_sim.clone import error_message, error_name
from lumenize_sim.objects.hibernation import HibernationRegistry, WebSocketRequestResponsePair
from lumenize_sim.objects.host import Host, TimerHandle
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.outgoing import fetch
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.refusal import QuotaExceededError, must_be_function
from lumenize_sim.objects.rpc_errors import reset_error
from lumenize_sim.objects.socket_record import SocketRecord
from lumenize_sim.objects.storage import Storage, storage_over
from lumenize_sim.objects.storage.sql_values import string_of
from lumenize_sim.objects.strand import Owner
from lumenize_sim.objects.timers import MAX_TIMERS, delay_ms
from lumenize_sim.objects.websocket import WebSocket

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["DurableObject", "DurableObjectState"]

T = TypeVar("T")


class DurableObjectState:
    """``ctx``.

    Attributes:
        id: the object's id.
        storage: its storage.
        host: the surroundings; for libraries such as the mesh.
        owner: this incarnation, for the same.
        sockets: its hibernatable web sockets; for the machine.
    """

    def __init__(self, machine: ObjectMachine, incarnation: Incarnation) -> None:
        self._machine = machine
        self._incarnation = incarnation
        self.id: DurableObjectId = machine.id
        # The constructor may set an alarm whatever the class has (AL-3).
        self.storage: Storage = storage_over(incarnation.store, machine.cls, machine.options, incarnation.clock.base_ms)
        self.host: Host = machine.host.host
        self.owner: Owner = incarnation.owner
        # Not the machine's of the moment: an instance that was replaced has no part in those of the next one.
        self.sockets: HibernationRegistry = machine.sockets

    def block_concurrency_while(self, callback: Callable[[], Awaitable[T] | T]) -> Pending[T]:
        """Run ``callback`` in a later turn while nothing else is delivered (IG-19).

        If it raises, or takes more than 30 s, the instance is reset and nobody awaiting
        the result ever resumes (IG-20, IG-21).

        Raises:
            TypeError: ``callback`` is no function, but a coroutine, say; nothing is reset.
            Error: sections are nested too deeply (IG-27).
        """
        must_be_function("block_concurrency_while", callback)
        return self._incarnation.sections.block(callback)

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep ``awaitable`` going.  Its failure is logged and changes nothing (RPC-23)."""
        self._incarnation.spawn_background(awaitable)

    def abort(self, reason: object = None, *, retry_alarm: bool = True) -> NoReturn:
        """Reset this instance; never returns (LC-32).

        Nothing of the instance has an effect afterwards.  Python runs ``finally`` blocks
        of the frames that are on the stack now; the platform would not.

        Callers see ``String(reason)``: an error as ``Name: text``, a dict as ``[object Object]``.

        ``retry_alarm`` False abandons the alarm whose handler runs (AL-26).
        """
        if reason is None:
            text = "Application called abort() to reset Durable Object."
        elif isinstance(reason, BaseException):
            text = f"{error_name(reason)}: {error_message(reason)}".removesuffix(": ")
        else:
            text = string_of(reason)
        if not self._incarnation.dead:
            self._machine.abort(self._incarnation, reset_error(text), retry_alarm=retry_alarm)
        raise InstanceGone

    def fetch(self, request: Request | str, **options: Any) -> Pending[Response]:
        """An HTTP request to the outside, or one for a URL with ``method``, ``headers``, ``body``.  Acts at once.

        It leaves when the writes before it are durable, and behind a hop through the input gate
        (IG-14); awaiting it opens the gate (IG-8).
        """
        self._alive()
        return fetch(self.host, self.owner, request, options)

    def accept_web_socket(self, ws: WebSocket, tags: Sequence[str] = ()) -> None:
        """Make ``ws`` hibernatable: its events go to the handlers of the class (WS-1 to WS-3)."""
        self._alive()
        self.sockets.accept_web_socket(ws, tags)

    def get_web_sockets(self, tag: str | None = None) -> list[WebSocket]:
        """All attached sockets, or those with ``tag`` (WS-4)."""
        self._alive()
        return self.sockets.get_web_sockets(tag)

    def get_tags(self, ws: WebSocket) -> list[str]:
        """The tags of a hibernatable socket (WS-6)."""
        return self.sockets.get_tags(ws)

    def set_web_socket_auto_response(self, pair: WebSocketRequestResponsePair | None = None) -> None:
        """Let the platform answer one message by itself, without waking the object (WS-20)."""
        self.sockets.set_web_socket_auto_response(pair)

    def get_web_socket_auto_response(self) -> WebSocketRequestResponsePair | None:
        """The pair that is set."""
        return self.sockets.get_web_socket_auto_response()

    def get_web_socket_auto_response_timestamp(self, ws: WebSocket) -> int | None:
        """Epoch milliseconds of the last auto-response on ``ws`` (WS-21)."""
        return self.sockets.get_web_socket_auto_response_timestamp(ws)

    def set_hibernatable_web_socket_event_timeout(self, timeout_ms: int | None = None) -> None:
        """Limit the handlers of hibernatable sockets to ``timeout_ms``; 0 or ``None`` for no limit (WS-17).

        One that takes longer ends the instance.  Kept over hibernation.

        Raises:
            RangeError: negative, or more than seven days.
        """
        self.sockets.set_event_timeout(timeout_ms)

    def get_hibernatable_web_socket_event_timeout(self) -> int | None:
        """That limit, in milliseconds, or ``None``."""
        return self.sockets.event_timeout_ms

    def web_socket(self, url: str, protocols: Sequence[str] = ()) -> WebSocket:
        """Open a web socket to ``url``, when the output gate lets it (3.1).

        It is connecting at first; listeners for ``"open"``, ``"message"``, ``"close"`` and ``"error"`` hear the rest.
        While it is open the object cannot hibernate, and with the instance it is gone (WS-33).

        Raises:
            SyntaxError: the URL is not one of ``ws:`` or ``wss:``.
        """
        self._alive()
        if not url.startswith(("ws://", "wss://")):
            raise SyntaxError("WebSocket Constructor: The url scheme must be ws or wss.")
        if isinstance(protocols, str):
            protocols = (protocols,)
        return self._machine.frames.dial(self._incarnation, url, protocols)

    def now(self) -> int:
        """Epoch milliseconds, as ``Date.now()``: in production the same during a whole turn (TM-1, TM-2)."""
        return self._incarnation.clock.now_ms()

    def set_timeout(self, callback: Callable[[], Any], delay_s: float = 0.0) -> TimerHandle:
        """Run ``callback``, sync or async, as one turn after ``delay_s``, in whole milliseconds (TM-3).

        Timers of one object run strictly in order of due time, and wait for the input gate (TM-4, TM-5).
        What ``callback`` raises is logged and changes nothing (LC-30).

        Returns:
            A handle with ``cancel()``; `clear_timeout` does the same.

        Raises:
            QuotaExceededError: 10,000 timers are active (TM-7).
            TypeError: ``callback`` is no function.
        """
        return self._timer(callback, delay_ms(delay_s), None)

    def set_interval(self, callback: Callable[[], Any], period_s: float) -> TimerHandle:
        """Run ``callback`` again and again, each time ``period_s`` after the turn before (TM-6).

        A late one shifts all later ones; errors do not stop it.  A period of less than a millisecond is one.

        Returns, Raises:
            As `set_timeout`.
        """
        # A real clock moves on between two rounds of a period of zero; a virtual one would stand still for ever.
        every_ms = max(1, delay_ms(period_s))
        return self._timer(callback, every_ms, every_ms)

    def clear_timeout(self, timer: TimerHandle | None) -> None:
        """Call a timer off.  ``None``, and one that has run or was called off, change nothing."""
        if timer is not None:
            timer.cancel()

    #: One set of handles, as on the platform.
    clear_interval = clear_timeout

    def _timer(self, callback: Callable[[], Any], after_ms: int, every_ms: int | None) -> TimerHandle:
        self._alive()
        must_be_function("set_timeout" if every_ms is None else "set_interval", callback)
        incarnation = self._incarnation
        active = len(incarnation.timers)
        if active >= MAX_TIMERS:
            raise QuotaExceededError(
                f"You have exceeded the number of active timeouts you may set. max active timeouts: {MAX_TIMERS}, "
                f"current active timeouts: {active}, finished timeouts: {incarnation.timers.fired}"
            )
        due_us = self._machine.host.now_us() + after_ms * 1000
        return incarnation.timers.call_at(due_us, callback, every_ms=every_ms)

    def socket(self, record: SocketRecord) -> WebSocket:
        """The object that stands for ``record`` in this incarnation.  For the machine."""
        return self.sockets.wrapper(record)

    def _alive(self) -> None:
        if self._incarnation.dead:
            raise InstanceGone


class DurableObject:
    """Base class of plain objects: keeps ``ctx`` and ``env``.

    Handlers, each synchronous or async: ``fetch(request)``, ``alarm(info)``,
    ``web_socket_message(ws, message)``, ``web_socket_close(ws, code, reason, was_clean)``,
    ``web_socket_error(ws, error)``; all other public methods may be called over RPC.
    """

    #: It never leaves by value, not even as an attrs class or dataclass, whose fields would be its state.
    __platform_name__ = "DurableObject"

    ctx: DurableObjectState
    env: Any

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        self.ctx = ctx
        self.env = env

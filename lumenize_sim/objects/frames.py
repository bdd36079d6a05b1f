"""What arrives at the web sockets of one object, and what leaves by them.

Arriving
    The frames of one socket are read one at a time: the next asks for its turn only when
    the first turn of the one before is over (WS-11), so an event of somebody else may come
    between them, and handlers overlap at real waits.  A hibernatable socket calls handlers
    of the class and wakes the object; one of the standard API calls the listeners of the
    instance that accepted it, in the critical section where it did (WS-34).

Leaving
    What user code sends waits for the output gate, message by message (3.1).  What the
    platform sends by itself does not, unless the socket stands still because a message
    before it waits: then it queues behind that (OG-7).

Who answers a close frame is the business of `lumenize_sim.objects.handshake`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.gate import Gate
from lumenize_sim.objects.handshake import Handshake
from lumenize_sim.objects.hibernation import HibernationRegistry
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import DurableObjectError
from lumenize_sim.objects.socket_events import CloseEvent, ErrorEvent, MessageEvent, OpenEvent
from lumenize_sim.objects.socket_home import SocketRules
from lumenize_sim.objects.socket_record import ABNORMAL_CODE, Acceptance, SocketRecord, SocketState
from lumenize_sim.objects.strand import strand_var
from lumenize_sim.objects.websocket import WebSocket

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["TOO_LARGE_CODE", "Frames"]

TOO_LARGE_CODE: Final = 1009  #: what the peer of a message over the limit hears (WS-30)
EVENT_TIMEOUT: Final = "Actor exceeded event execution time and was disconnected."  #: WS-17
#: The reason with a close code that is sent where the instance is lost (LC-29).
CONNECTION_RESET: Final = "Durable Object connection closed because the object was reset."
#: Handlers of the class by the kind of event (WS-10).
_HANDLERS: Final = {"message": "web_socket_message", "close": "web_socket_close", "error": "web_socket_error"}


class _Frame:
    """One frame on its way through the output gate."""

    __slots__ = ("behind", "frames", "kind", "payload", "record")

    def __init__(self, frames: Frames, record: SocketRecord, kind: str, payload: Any) -> None:
        self.frames = frames
        self.record = record
        self.kind = kind
        self.payload = payload
        self.behind: list[tuple[str, Any]] = []

    def hold(self) -> None:
        """It has to wait, and so does everything behind it on the same socket."""
        self.frames._stalled[self.record] = self

    def __call__(self) -> None:
        frames, record = self.frames, self.record
        if frames._stalled.get(record) is self:
            del frames._stalled[record]
        frames._leave(record, self.kind, self.payload)
        for kind, payload in self.behind:
            frames._leave(record, kind, payload)


class _Accepted:
    """A socket of the standard API, which lives and dies with its incarnation (WS-33).

    Where its peer is somewhere else it keeps the incarnation in memory until `forget`.

    Attributes:
        section: the gate or critical section in which it was accepted.
    """

    __slots__ = ("_client", "_token", "incarnation", "section", "ws")

    def __init__(self, ws: WebSocket, incarnation: Incarnation) -> None:
        strand = strand_var.get()
        self.ws = ws
        self.incarnation = incarnation
        self.section: Gate[Arrival] = incarnation.gate if strand is None else strand.section
        self._client = False
        self._token: int | None = None

    def by_client(self) -> None:
        """Its peer is somebody who has asked for the upgrade."""
        if not self._client:
            self._client = True
            self.incarnation.work.clients += 1

    @property
    def is_client(self) -> bool:
        """Whether its peer is somebody who has asked for the upgrade."""
        return self._client

    def by_itself(self, now_us: int) -> None:
        """The instance has dialled."""
        self._token = self.incarnation.work.begin(now_us)

    def forget(self) -> None:
        """It is closed."""
        if self._client:
            self.incarnation.work.clients -= 1
        if self._token is not None:
            self.incarnation.work.end(self._token)


class Frames:
    """Frames of one object, over all its incarnations.  A `SocketHome`.

    Attributes:
        rules: of ``close()``.
        access: see `SocketHome`; only while the run is traced.
    """

    __slots__ = ("_accepted", "_handshake", "_inboxes", "_machine", "_stalled", "access", "rules")

    def __init__(self, machine: ObjectMachine) -> None:
        options = machine.options
        self._machine = machine
        self.rules = SocketRules(
            strict_codes=options.flag("pedantic_wpt"),
            short_reasons=options.flag("websocket_close_reason_byte_limit"),
        )
        self.access: Callable[[str, str], None] | None = self._accessed if machine.host.tracing else None
        self._accepted: dict[SocketRecord, _Accepted] = {}
        self._handshake = Handshake(machine, self)
        # Of sockets with a frame whose first turn is not over: what has arrived since, and its labels.
        self._inboxes: dict[SocketRecord, deque[tuple[str, Callable[[], bool]]]] = {}
        self._stalled: dict[SocketRecord, _Frame] = {}

    def _accessed(self, kind: str, key: str) -> None:
        if self._machine.running is not None:
            self._machine.host.record_access(kind, key, strand_var.get())

    # -- arriving ------------------------------------------------------------------------

    def message(self, label: str, record: SocketRecord, data: str | bytes, *, cause: int = -1) -> None:
        """A message arrives.  An auto-response does not wake the object (WS-20)."""
        self._read(record, label, lambda: self._message(label, record, data, cause))

    def closed(
        self, label: str, record: SocketRecord, code: int, reason: str, was_clean: bool, *, cause: int = -1
    ) -> None:
        """The peer's close frame, or the loss of the connection (WS-14)."""
        args = (code, reason, was_clean)
        self._read(record, label, lambda: self._closed(label, record, args, cause))

    def answered(self, label: str, record: SocketRecord, error: Exception | None, *, cause: int = -1) -> None:
        """The upgrade that the instance asked for is accepted, or was refused with ``error``."""
        if error is None:
            self._read(record, label, lambda: self._ask(label, "open", record, (), cause))
        else:
            self._read(record, label, lambda: self._ask(label, "refused", record, (error,), cause))

    def _read(self, record: SocketRecord, label: str, take: Callable[[], bool]) -> None:
        inbox = self._inboxes.get(record)
        if inbox is None:
            take()
        else:
            inbox.append((label, take))

    def _message(self, label: str, record: SocketRecord, data: str | bytes, cause: int) -> bool:
        machine = self._machine
        if record.acceptance is Acceptance.HIBERNATABLE:
            if record not in machine.sockets:
                return False
            answer = machine.sockets.answer(record, data, machine.host.host.now_ms())
            if answer is not None:
                self.by_itself(record, "message", answer)
                return False
        if machine.meter is not None and self._from_outside(record):
            machine.meter.messaged()
        limit = machine.options.web_socket_max_bytes
        # Text is measured only where it might be too long: a character has four bytes at most.
        if len(data) > limit or (type(data) is str and 4 * len(data) > limit and len(data.encode()) > limit):
            error = Error(f"WebSocket message is too large; the limit is {limit} bytes.")
            return self._ask(label, "error", record, (error,), cause)
        return self._ask(label, "message", record, (data,), cause)

    def _closed(self, label: str, record: SocketRecord, args: tuple[int, str, bool], cause: int) -> bool:
        if not record.told:
            return self._ask(label, "close", record, args, cause)
        # Told once is enough (WS-15); nothing that is sent reaches anybody any more.
        record.apply("lose")
        self._handshake.half_open.pop(record, None)
        self.forget(record)
        return False

    def _from_outside(self, record: SocketRecord) -> bool:
        """Whether somebody else has opened the socket, so that its messages are billed (BL-1)."""
        accepted = self._accepted.get(record)
        return record.acceptance is Acceptance.HIBERNATABLE if accepted is None else accepted.is_client

    def _ask(self, label: str, kind: str, record: SocketRecord, args: tuple[Any, ...], cause: int) -> bool:
        """Ask for the turn of one event; whether there will be one."""
        if record.state is SocketState.RELEASED:
            return False
        accepted = self._accepted.get(record)
        if accepted is None and record not in self._machine.sockets:
            return False  # or it is that of an instance that was replaced, and is lost with it
        if accepted is not None and accepted.incarnation.stale and kind not in ("open", "refused"):
            # What it had begun may go on, but no new event starts in an instance that was replaced (LC-10).
            record.apply("release")
            self.forget(record)
            self._cut([record])
            return False
        self._inboxes.setdefault(record, deque())

        def run(incarnation: Incarnation) -> None:
            incarnation.read_sockets.append((record, kind, args))
            if record.state is not SocketState.RELEASED:
                self._dispatch(incarnation, label, kind, record, args)

        if accepted is None:
            self._machine.arrive(Arrival(kind, label, None, run, cause=cause))
        else:
            accepted.incarnation.arrive(Arrival(kind, label, accepted.section, run, cause=cause))
        return True

    def _dispatch(
        self, incarnation: Incarnation, label: str, kind: str, record: SocketRecord, args: tuple[Any, ...]
    ) -> None:
        accepted = self._accepted.get(record)
        if kind == "close":
            record.apply("peer close" if args[2] else "lose")
            self._handshake.begin(record, incarnation, args)
        elif kind == "error":
            self.by_itself(record, "close", (TOO_LARGE_CODE, "Message is too large"))
            self.by_itself(record, "end", None)
            record.apply("release")
        elif kind == "open":
            record.apply("open")
            record.acceptance = Acceptance.STANDARD
        elif kind == "refused":
            record.apply("lose")
        if accepted is not None:
            self._tell(accepted, label, kind, args)
        elif incarnation.isolate.handles(_HANDLERS[kind]):
            self._handle(incarnation, label, kind, record, args)
        elif kind == "close":
            self._handshake.handled(record, incarnation)

    def _handle(
        self, incarnation: Incarnation, label: str, kind: str, record: SocketRecord, args: tuple[Any, ...]
    ) -> None:
        """Call a handler of the class; what it raises is logged, and the socket stays open (WS-13)."""
        machine = self._machine
        timeout_ms = machine.sockets.event_timeout_ms
        timer = None
        if timeout_ms is not None:
            due_us = machine.host.now_us() + timeout_ms * 1000
            timer = machine.host.post_at(f"{label}/timeout", lambda: self._overdue(incarnation), due_us)

        def ended(result: Outcome) -> None:
            if timer is not None:
                timer.cancel()
            if not incarnation.dead:
                incarnation.background_ended(result)
                if kind == "close":
                    self._handshake.handled(record, incarnation)

        incarnation.invoke(label, _HANDLERS[kind], (machine.sockets.wrapper(record), *args), None, ended=ended)

    def _overdue(self, incarnation: Incarnation) -> None:
        """A handler took longer than the object allows (WS-17)."""
        if not incarnation.dead:
            error = DurableObjectError(EVENT_TIMEOUT, retryable=True, durable_object_reset=True)
            incarnation.broken_by(error, "event-timeout")

    def _tell(self, accepted: _Accepted, label: str, kind: str, args: tuple[Any, ...]) -> None:
        """Call the listeners of a standard socket, in its own section."""
        events: list[Any]
        if kind == "message":
            events = [MessageEvent(*args)]
        elif kind == "close":
            events = [CloseEvent(*args)]
        elif kind == "open":
            events = [OpenEvent()]
        else:
            events = [ErrorEvent(str(args[0]), args[0])]
            if kind == "refused":
                events.append(CloseEvent(ABNORMAL_CODE, "Failed to establish websocket connection", False))
        incarnation = accepted.incarnation
        for event in events:
            for listener in accepted.ws.listeners(event.type):
                context = incarnation.context(label, accepted.section)
                incarnation.isolate.take_turn(context, listener, (event,), incarnation.background_ended)
                if incarnation.dead:
                    return

    def turn_over(self, incarnation: Incarnation) -> None:
        """The first turns of some frames are over: their sockets are read on, or have ended (WS-5, WS-11)."""
        read, incarnation.read_sockets = incarnation.read_sockets, []
        for record, kind, args in read:
            if kind in ("close", "error", "refused"):
                self._terminated(record, incarnation, kind, args)
                continue
            inbox = self._inboxes.get(record)
            if inbox:
                self._machine.host.post(f"{inbox[0][0]}'", partial(self._read_on, record))
            elif inbox is not None:
                del self._inboxes[record]

    def _read_on(self, record: SocketRecord) -> None:
        inbox = self._inboxes.get(record)
        while inbox:
            if inbox.popleft()[1]():
                return  # the next follows when its turn is over
        self._inboxes.pop(record, None)

    # -- ending --------------------------------------------------------------------------

    def _terminated(self, record: SocketRecord, incarnation: Incarnation, kind: str, args: tuple[Any, ...]) -> None:
        """The event that ends a socket was dispatched."""
        record.told = True
        self._inboxes.pop(record, None)
        self._machine.sockets.remove(record)
        if kind != "close" or not args[2]:
            self.forget(record)
        else:
            self._handshake.dispatched(record, incarnation, args)

    def forget(self, record: SocketRecord) -> None:
        """It is over."""
        accepted = self._accepted.pop(record, None)
        if accepted is not None:
            accepted.forget()

    def instance_ended(self, incarnation: Incarnation | None, *, keeps_sockets: bool) -> None:
        """The current instance is gone.  Hibernatable sockets outlive it or not; others never do (WS-32, WS-33)."""
        # A hibernatable socket that has heard the peer's close is the instance's own: nobody would wake for it.
        half_open = self._handshake.half_open
        cut = [*half_open, *(record for record in self._accepted_by(incarnation) if record not in half_open)]
        for record in cut:
            record.apply("release")
            self.forget(record)
        half_open.clear()
        self._stalled.clear()
        if keeps_sockets:
            self._machine.sockets.hibernate()
        else:
            cut += self._machine.sockets.disconnect()
            if incarnation is not None and incarnation.stale:
                self._machine.sockets = self.registry()
        self._cut(cut)

    def registry(self) -> HibernationRegistry:
        """A place for the hibernatable sockets of the object, over all instances that follow each other idle."""
        return HibernationRegistry(self, newest_first=self._machine.options.web_sockets_newest_first is not False)

    def stale_ended(self, incarnation: Incarnation) -> None:
        """An instance that was replaced is gone, and what it has accepted since then with it (LC-11, LC-27, WS-33)."""
        cut = self._accepted_by(incarnation)
        for record in cut:
            record.apply("release")
            self.forget(record)
        self._cut(cut + incarnation.state.sockets.disconnect())

    def _accepted_by(self, incarnation: Incarnation | None) -> list[SocketRecord]:
        return [record for record, accepted in self._accepted.items() if accepted.incarnation is incarnation]

    def _cut(self, cut: list[SocketRecord]) -> None:
        host, code = self._machine.host, self._machine.options.web_socket_lost_code
        for record in cut:
            self._inboxes.pop(record, None)
            if code != ABNORMAL_CODE:
                host.socket_send(record, "close", (code, CONNECTION_RESET))
                host.socket_send(record, "end", None)
            host.socket_cut(record)

    # -- leaving -------------------------------------------------------------------------

    def emit(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """User code does something to a socket: an effect of the running turn (3.1), but for `WebSocket.accept`."""
        incarnation = self._machine.running
        if incarnation is None:
            return
        if kind != "accept":
            self.through_gate(incarnation, record, kind, payload)
            return
        ws: WebSocket = payload
        if record.acceptance is Acceptance.STANDARD:
            accepted = self._accepted[record] = _Accepted(ws, incarnation)
            if ws.peer is None:
                accepted.by_itself(self._machine.host.now_us())
            elif ws.peer.record.acceptance is Acceptance.COUPLED:
                accepted.by_client()
        self._machine.host.socket_send(record, "accept", ws)

    def dial(self, incarnation: Incarnation, url: str, protocols: Sequence[str]) -> WebSocket:
        """Ask for a web socket at ``url``, when the output gate lets it."""
        ws = WebSocket(SocketRecord(state=SocketState.CONNECTING), self)
        self._accepted[ws.record] = accepted = _Accepted(ws, incarnation)
        accepted.by_itself(self._machine.host.now_us())
        self.through_gate(incarnation, ws.record, "dial", (url, tuple(protocols)))
        return ws

    def coupled(self, record: SocketRecord) -> None:
        """The peer of a socket made here now belongs to whoever asked for the upgrade."""
        accepted = self._accepted.get(record)
        if accepted is not None:
            accepted.by_client()

    def half_opens(self, record: SocketRecord) -> bool | None:
        """Whether a standard socket leaves the peer's close frame to its user; ``None`` for a hibernatable one."""
        accepted = self._accepted.get(record)
        return None if accepted is None else accepted.ws.half_open

    def through_gate(self, incarnation: Incarnation, record: SocketRecord, kind: str, payload: Any) -> None:
        """Something leaves when what the running turn has seen is durable."""
        incarnation.isolate.emit(_Frame(self, record, kind, payload))

    def by_itself(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """The platform sends: past the output gate, unless the socket stands still already (OG-7)."""
        stalled = self._stalled.get(record)
        if stalled is None:
            self._leave(record, kind, payload)
        else:
            stalled.behind.append((kind, payload))

    def _leave(self, record: SocketRecord, kind: str, payload: Any) -> None:
        self._machine.host.socket_send(record, kind, payload)
        if kind == "close":
            record.close_left = True
            self._handshake.maybe_end(record)

"""What arrives at the web sockets of one object, and what leaves by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.websocket import SocketRecord, SocketState

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["Frames"]


class Frames:
    """Frames of one object, over all its incarnations."""

    __slots__ = ("_machine",)

    def __init__(self, machine: ObjectMachine) -> None:
        self._machine = machine

    def message(self, label: str, record: SocketRecord, data: str | bytes, *, cause: int = -1) -> None:
        """A frame arrives on a hibernatable socket.  An auto-response does not wake the object (WS-20)."""
        machine = self._machine
        answer = machine.sockets.answer(record, data, machine.host.host.now_ms())
        if answer is not None:
            machine.host.socket_send(record, "message", answer)
            return
        self._event(label, "message", "web_socket_message", record, (data,), cause)

    def closed(
        self, label: str, record: SocketRecord, code: int, reason: str, was_clean: bool, *, cause: int = -1
    ) -> None:
        """The peer's close frame, or the loss of the connection (WS-14)."""
        self._event(label, "close", "web_socket_close", record, (code, reason, was_clean), cause)

    def _event(
        self, label: str, kind: str, handler: str, record: SocketRecord, args: tuple[Any, ...], cause: int
    ) -> None:
        machine = self._machine

        def run(incarnation: Incarnation) -> None:
            if record.state is SocketState.RELEASED:
                return
            if kind == "close":
                record.apply("peer close" if args[2] else "lose")
            if incarnation.isolate.handles(handler):

                def ended(result: Outcome) -> None:
                    incarnation.background_ended(result)  # WS-13

                incarnation.invoke(label, handler, (machine.sockets.wrapper(record), *args), None, ended=ended)
            if kind == "close":
                # WS-5: listed during the first turn of the handler, gone afterwards.
                incarnation.closed_sockets.append(record)

        if record.state is not SocketState.RELEASED:
            machine.arrive(Arrival(kind, label, None, run, cause=cause))

    def emit(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """User code sends on a socket: an effect of the running turn (3.1)."""
        machine = self._machine
        incarnation = machine.running
        if incarnation is not None:
            incarnation.isolate.emit(lambda: machine.host.socket_send(record, kind, payload))

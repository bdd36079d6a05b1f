"""The close handshake of an object's web sockets: who answers the peer's close frame, and when it is over.

Whoever answers, both directions are closed then, and the connection ends once the event
has been dispatched and the answer has left.  Who answers depends on the date, the runtime
and the kind of socket (WS-16).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumenize_sim.objects.socket_record import NO_STATUS_CODE, SocketRecord, SocketState

if TYPE_CHECKING:
    from lumenize_sim.objects.frames import Frames
    from lumenize_sim.objects.incarnation import Incarnation
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["Handshake"]


class Handshake:
    """Of all sockets of one object.

    Attributes:
        half_open: told of the peer's close frame, and the connection has not ended.  They are the instance's own from
            then on: nobody would wake for them.  A dictionary for its order.
    """

    __slots__ = ("_frames", "_machine", "half_open")

    def __init__(self, machine: ObjectMachine, frames: Frames) -> None:
        self._machine = machine
        self._frames = frames
        self.half_open: dict[SocketRecord, None] = {}

    def begin(self, record: SocketRecord, incarnation: Incarnation, args: tuple[int, str, bool]) -> None:
        """The peer's close frame is about to be handled, or the loss of the connection."""
        how = self._how(record)
        if how in ("before", "gated"):
            self._answer(record, incarnation, args, gated=how == "gated")

    def dispatched(self, record: SocketRecord, incarnation: Incarnation, args: tuple[int, str, bool]) -> None:
        """The first turn of the event of the peer's close frame is over."""
        if self._how(record) == "after":
            self._answer(record, incarnation, args, gated=True)
        record.close_heard = True
        self.half_open[record] = None
        self.maybe_end(record)

    def handled(self, record: SocketRecord, incarnation: Incarnation) -> None:
        """The handler has ended; where nobody has answered or will, the connection ends (WS-16)."""
        if record.state is not SocketState.CLOSE_RECEIVED or not self._machine.options.web_socket_hangs_up:
            return
        if self._how(record) == "after":
            return

        def cut() -> None:
            if record.apply("release"):
                self.half_open.pop(record, None)
                self._machine.host.socket_cut(record)

        incarnation.isolate.emit(cut)

    def maybe_end(self, record: SocketRecord) -> None:
        """Where both close frames have passed, and the event was dispatched, the connection is over."""
        if record.close_left and record.close_heard:
            self._machine.host.socket_send(record, "end", None)
            self.half_open.pop(record, None)
            self._frames.forget(record)

    def _how(self, record: SocketRecord) -> str:
        """How the platform answers the close frame that has come, if it is its business."""
        options = self._machine.options
        if record.state is not SocketState.CLOSE_RECEIVED or not options.flag("web_socket_auto_reply_to_close"):
            return "never"
        half_open = self._frames.half_opens(record)
        if half_open is not None:
            return "never" if half_open else "gated"
        how: Any = options.web_socket_close_reply  # decided, where it is explored
        return str(how)

    def _answer(
        self, record: SocketRecord, incarnation: Incarnation, args: tuple[int, str, bool], *, gated: bool
    ) -> None:
        code, reason, _ = args
        payload = (None if code == NO_STATUS_CODE else code, reason)
        record.apply("close")
        if gated:
            self._frames.through_gate(incarnation, record, "close", payload)
        else:
            self._frames.by_itself(record, "close", payload)

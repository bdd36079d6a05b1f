"""What carries the frames of simulated web sockets, and what can happen to them on the way.

A connection is two queues.  Frames keep their order in each; nothing orders the two.
It can be cut after a delivered prefix, go half-open (one direction silently loses
everything, and both sides learn of it much later), or be partitioned (one direction is
held for a while, then healed).  Where the other end does not read, what is sent stays with
its sender, and is lost with it.

Each of these begins at a frame of one direction, in a turn of its sender, and changes
only what that sender does from then on; the other side hears of it by an event.  Were a
flag set here that the other side reads, the behaviour would depend on the order of two
actors that nothing orders, and a run could not be replayed from its orders per receiver.
So every field of a connection says whose turns write it, and only those read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lumenize_sim.kernel.event import Event
from lumenize_sim.objects.http import Response
from lumenize_sim.objects.socket_record import NO_STATUS_CODE
from lumenize_sim.world.connection import DOWN, OTHER, UP, Connection, End, Way
from lumenize_sim.world.descriptions import render
from lumenize_sim.world.faults import CLOG_S, CLOGGED_FOR_S, HALF_OPEN_S, PARTITION_S, SLOW_READER_S

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Wires"]

Arrive = Callable[[End, str], None]


class Wires:
    """Carries frames.  Every method that begins with a connection and a way is called in a turn of that way's sender.

    Attributes:
        tapped: every data frame in the order sent: connection, direction, text; ``None`` where nobody listens.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._kernel = world.kernel
        self._limit_us = round(world.options.network.max_delay_s * 1_000_000)
        self.tapped: list[tuple[str, str, str]] | None = None

    # -- frames ------------------------------------------------------------------------

    def send(self, connection: Connection, way: str, data: str | bytes) -> None:
        """One message."""
        end = connection.ways[way]
        label = f"{connection.id}{way}{end.frames}"
        end.frames += 1
        if self.tapped is not None:
            direction = "client->gateway" if way == UP else "gateway->client"
            self.tapped.append((connection.id, direction, data if isinstance(data, str) else data.hex()))
        cause = self._record_frame(connection, way, label, data)
        if not (end.silent or (self._world.plan and self._fault(connection, way))):
            self.carry(connection, way, label, lambda far, label: far.received(label, data), cause, about=data)

    def _record_frame(self, connection: Connection, way: str, label: str, data: Any) -> int:
        if not self._world.chronicle.tracing:
            return -1
        sender, to = self._names(connection, way)
        return self._world.chronicle.record(
            "frame", sender, label, {"from": sender, "to": to, "text": render(data, 4000)}
        )

    def _names(self, connection: Connection, way: str) -> tuple[str, str]:
        up, down = connection.ends[UP].name, getattr(connection.asked, "name", "")
        return (up, down) if way == UP else (down, up)

    def carry(
        self, connection: Connection, way: str, label: str, arrive: Arrive, cause: int = -1, *, about: Any = None
    ) -> None:
        """Something that arrives at the other end behind what is under way to it."""
        if way == DOWN or connection.asked is not None:
            event = self.event(connection, way, label, arrive, cause)
            event.about = about
            self._send_on(connection.ways[way], event)

    def opened(self, connection: Connection, response: Response) -> None:
        """The answer to an upgrade, accepted or not, goes down."""
        if response.web_socket is None:
            self.carry(connection, DOWN, f"{connection.id}/refused", lambda far, label: far.refused(label, response))
        else:
            self.carry(connection, DOWN, f"{connection.id}/opened", lambda far, label: far.accepted(label, response))

    def event(
        self, connection: Connection, way: str, label: str, arrive: Arrive, cause: int = -1, *, local: bool = False
    ) -> Event:
        """What arrives at the end to which ``way`` leads, not posted yet; ``local`` where it is there already.

        Who that end is, is looked up when it arrives: whoever was asked may not have answered yet, or may have passed
        the socket on.  Where it is, is known from the beginning.
        """
        world, to = self._world, OTHER[way]
        place: Any = connection.asked if way == UP else connection.ends[UP].place

        def fire() -> None:
            world.chronicle.deliver(place.name, label, cause)
            end = connection.ends.get(to)
            if end is None:
                connection.early.append((label, arrive))  # before the answer
            else:
                end.run(label, lambda: arrive(end, label))

        return Event(label, place, fire, receiver=place.receiver, delay_limit_us=0 if local else self._limit_us)

    def _send_on(self, way: Way, event: Event) -> None:
        if way.stalled is not None:
            way.stalled.append(event)
            return
        now_us = self._kernel.now_us
        if way.latency_us or way.held_until_us > now_us:
            event.not_before_us = max(now_us + way.latency_us, way.held_until_us)
        self._kernel.post_on(way.link, event)

    def stall(self, connection: Connection, way: str) -> None:
        """The other end does not read: what is sent stays with its sender, and is lost with it (WS-31)."""
        if connection.ways[way].stalled is None:
            connection.ways[way].stalled = []

    def resume(self, connection: Connection, way: str) -> None:
        """The other end reads again."""
        end = connection.ways[way]
        if end.stalled is not None:
            events, end.stalled = end.stalled, None
            for event in events:
                self._send_on(end, event)

    # -- closing -----------------------------------------------------------------------

    def close(self, connection: Connection, way: str, code: int | None, reason: str) -> None:
        """A close frame, behind what was sent before."""
        if self._world.chronicle.tracing:
            seen = NO_STATUS_CODE if code is None else code
            self._world.chronicle.record(
                "close", self._names(connection, way)[0], f"{connection.id}/close", {"code": seen, "reason": reason}
            )
        self._close(connection, way, f"{connection.id}{way}close", code, reason)

    def answer_close(self, connection: Connection, way: str, code: int | None, reason: str) -> None:
        """A client's library answers a close frame."""
        self._close(connection, way, f"{connection.id}{way}echo", code, reason)

    def _close(self, connection: Connection, way: str, label: str, code: int | None, reason: str) -> None:
        if not connection.ways[way].silent:
            self.carry(connection, way, label, lambda far, label: far.close_received(label, code, reason))

    def hang_up(self, connection: Connection, way: str) -> None:
        """The sender ends the connection, after both close frames.

        Only browsers care, and they have dialled; one may be behind an end that was passed on.
        """
        if way == DOWN and connection.ends[UP].waits_for_end and not connection.ways[way].silent:
            self.carry(connection, way, f"{connection.id}{way}end", lambda far, label: far.ended(label))

    def vanish(self, connection: Connection, way: str) -> None:
        """The sender is gone without a word; what it could not get rid of is lost (WS-31, WS-32)."""
        end = connection.ways[way]
        end.silent = True
        end.stalled = None
        self.carry(connection, way, f"{connection.id}{way}lost", _lost)

    def cut(self, connection: Connection, way: str | None = None) -> None:
        """The connection breaks.

        ``way``: as the sender of that direction sees it: he hears of it by an event of his own, the
        other side behind what is under way to it.  Without: the driver cuts it, and is ordered
        against both.
        """
        for sender in (UP, DOWN):
            if way is None or sender == way:
                self.carry(connection, sender, f"{connection.id}{sender}lost", _lost)
            else:
                # The event of whoever cuts it, as if it had come from the other end.
                self._kernel.post(self.event(connection, sender, f"{connection.id}/cut", _lost, local=True))

    # -- faults ------------------------------------------------------------------------

    def _fault(self, connection: Connection, way: str) -> bool:
        """The boundary before a frame.  True when the frame is lost."""
        plan, world, now_us = self._world.plan, self._world, self._kernel.now_us
        end, target = connection.ways[way], f"{connection.id}{way}"
        if way == DOWN:
            slow = plan.at("slow-reader", target, len(SLOW_READER_S))
            if slow and end.stalled is None:
                world.chronicle.fault_fired("slow-reader", target, slow)
                self.stall(connection, way)
                due_us = now_us + round(SLOW_READER_S[slow] * 1_000_000)
                self._later(connection, way, "reads", due_us, lambda: self.resume(connection, way))
        slow = plan.at("clog", target, len(CLOG_S))
        if slow and not end.latency_us:
            world.chronicle.fault_fired("clog", target, slow)
            end.latency_us = round(CLOG_S[slow] * 1_000_000)
            self._later(connection, way, "unclog", now_us + round(CLOGGED_FOR_S * 1_000_000), lambda: _unclog(end))
        held = plan.at("partition", target, len(PARTITION_S))
        if held and end.held_until_us <= now_us:
            world.chronicle.fault_fired("partition", target, held)
            self._hold(connection, way, PARTITION_S[held])
        held = plan.at("cut-off", target, len(PARTITION_S))
        if held and end.held_until_us <= now_us:
            world.chronicle.fault_fired("cut-off", target, held)
            self._hold(connection, way, PARTITION_S[held])
            # The other direction is held by its own sender, who hears of it by an event.
            other, seconds = OTHER[way], PARTITION_S[held]
            self._later(connection, other, "cut-off", now_us, lambda: self._hold(connection, other, seconds))
        if plan.at("disconnect", target):
            world.chronicle.fault_fired("disconnect", target, 1)
            end.silent = True
            self.cut(connection, way)
            return True
        if plan.at("half-open", target):
            world.chronicle.fault_fired("half-open", target, 1)
            end.silent = True
            due_us = now_us + round(HALF_OPEN_S * 1_000_000)
            self._later(connection, way, "dead", due_us, lambda: self.cut(connection, way))
            return True
        return False

    def _hold(self, connection: Connection, way: str, seconds: float) -> None:
        """Nothing passes in one direction for so long, if that is not so anyway."""
        end, target, now_us = connection.ways[way], f"{connection.id}{way}", self._kernel.now_us
        if end.held_until_us <= now_us:
            end.held_until_us = now_us + round(seconds * 1_000_000)
            self._later(
                connection, way, "heal", end.held_until_us, lambda: self._world.chronicle.fault_fired("heal", target, 1)
            )

    def _later(self, connection: Connection, way: str, what: str, due_us: int, act: Callable[[], None]) -> None:
        """Something that happens to a direction at its sender's end, by itself."""
        event = self.event(connection, OTHER[way], f"{connection.id}{way}/{what}", lambda _, __: act(), local=True)
        self._kernel.post_at(event, due_us)


def _lost(far: End, label: str) -> None:
    far.lost(label)


def _unclog(way: Way) -> None:
    way.latency_us = 0

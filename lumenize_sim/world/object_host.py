"""The `ObjectHost` that machines see: a simulated one for each object."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

import outcome

from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.link import Link
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.strand import Owner
from lumenize_sim.trace.event import error_data
from lumenize_sim.world.alarms import AlarmServiceOf
from lumenize_sim.world.app_line import app_line
from lumenize_sim.world.deploy import isolate_gone
from lumenize_sim.world.faults import FLUSH_KINDS, FLUSHES, SLOW_FLUSH_S, SLOW_READ_S

if TYPE_CHECKING:
    from lumenize_sim.objects.frames import Frames
    from lumenize_sim.objects.machine import ObjectMachine
    from lumenize_sim.world.world import World

__all__ = ["ObjectHostOf", "host_of"]

#: Kind of access to its store and the kind of its record.
_OPS: Final = {
    "get": ("kv", "read"),
    "list": ("kv", "read"),
    "sql-read": ("sql", "read"),
    "put": ("kv", "write"),
    "sql-write": ("sql", "write"),
    "delete": ("kv", "delete"),
    "sockets": ("socket", "read"),
    "accept": ("socket", "write"),
    "attachment": ("socket", "read"),
    "attach": ("socket", "write"),
}


class ObjectHostOf:
    """What one machine asks; also the kernel's actor for it.

    Attributes:
        flush_events: commits become durable by an event of their own.  Off where nothing
            planned could tell the difference, since the flush commutes with everything else.
        refuses_next: why the object refuses the next call, as the driver wants it; 0 where it does not.
        next_flush_us: how long the driver wants the next flush to take, -1 for one that fails.
        next_reads_us: how long the driver wants the next reads to take that wait for the disk.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.kernel = world.kernel
        self.plan = world.plan
        self.host = world.host
        self.tracing = world.chronicle.tracing
        self.machine: ObjectMachine = None  # type: ignore[assignment]  # set right after, by whoever makes both
        self.faulty = bool(world.plan)
        planned = world.plan.concerns(name, FLUSH_KINDS) and not world.plan.quiet
        self.flush_events = world.tapes_flushes or planned
        if planned:
            world.plan.at(FLUSHES, name)  # so that it is on the tape
        self.next_flush_us: int | None = None
        self.refuses_next = 0
        self.next_reads_us: list[int] = []
        self.by_hand = False
        self._flushes = Link()
        self._hops = Link()
        self.alarms = AlarmServiceOf(self)
        self.metering = world.metering
        self._rests = world.idleness.rests

    # -- the kernel's actor ----------------------------------------------------------

    def end_turn(self) -> bool:
        """See `ObjectMachine.end_turn`."""
        if self.tracing:
            self.world.chronicle.note_changes()
        return self.machine.end_turn()

    # -- what the machine asks ---------------------------------------------------------

    def now_us(self) -> int:
        """Virtual microseconds."""
        return self.kernel.agenda.now_us

    def elapsed_us(self) -> int:
        """Up to a millisecond, from a generator of the object's own."""
        return self.world.drawn("clock", self.name).randrange(1000)

    def begin_turn(self, owner: Owner) -> None:
        """See `RunQueue.begin_turn`."""
        self.kernel.queue.begin_turn(owner)
        if self.metering is not None:
            self.metering.woke(self.machine)

    def start(self, context: Context, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Begin a task."""
        self.kernel.start(context, async_fn, args)

    def admit(self, task: Any) -> None:
        """See `RunQueue.admit`."""
        self.kernel.queue.admit(task)

    def drop_ready(self) -> None:
        """See `RunQueue.drop_ready`."""
        self.kernel.queue.drop_ready()

    def class_of(self, cls: type) -> type:
        """The class to instantiate: ``cls``, or its watched twin while tracing."""
        if not self.tracing:
            return cls
        from lumenize_sim.world.attributes import watched

        return watched(cls)

    def interrupt(self, error: BaseException) -> None:
        """See `Kernel.interrupt`."""
        self.kernel.interrupt(error)

    def wake_label(self, owner: Owner) -> str:
        """A label for a wake-up of ``owner``, made from who woke it."""
        return self.world.wake_label(owner)

    def cause(self) -> int:
        """The record that led to the present event."""
        return self.world.chronicle.cause

    def caused(self, effect: Callable[[], None]) -> Callable[[], None]:
        """``effect`` under the present cause."""
        if not self.tracing:
            return effect
        world, cause = self.world, self.world.chronicle.cause

        def later() -> None:
            world.chronicle.cause = cause
            effect()

        return later

    def record_access(self, kind: str, key: str, strand: Any) -> None:
        """One access, with the line of the app that makes it; that a node reads its own name is no news.

        Nor are those of the gateway to its sockets.
        """
        if kind == "get" and key.startswith("__lmz_"):
            return
        store, op = _OPS[kind]
        where = app_line()
        if store == "socket" and where is None:
            return
        data = {
            "key": key,
            "op": kind,
            "store": store,
            "strand": strand.event if strand else "",
        }
        self.world.chronicle.record(op, self.name, data["strand"], data, where=where)

    def post(self, label: str, fire: Callable[[], None], *, cause: int = -1) -> None:
        """An event of this object."""
        self.kernel.post(Event(label, self, self.caused(fire), receiver=self.name))

    def post_hop(self, label: str, fire: Callable[[], None]) -> None:
        """Hops keep their order, or requests on one stub would overtake each other on the way out (RPC-1, IG-14)."""
        self.kernel.post_on(self._hops, Event(label, self, self.caused(fire), receiver=self.name))

    def post_at(self, label: str, fire: Callable[[], None], due_us: int, *, background: bool = False) -> TimerHandle:
        """A later event of this object."""
        event = Event(label, self, self.caused(fire), receiver=self.name, background=background)
        self.kernel.post_at(event, due_us)
        return _Cancellable(self, event)

    def post_flush(self, label: str, fire: Callable[[], None], after_us: int) -> None:
        """Flushes end in order (OG-20)."""
        if self.by_hand:
            # An event in every run of the scenario, whatever is planned: so its place belongs on the tape.
            label = label.replace("!flush", "!driven-flush")
        event = Event(label, self, self.caused(fire), receiver=self.name)
        event.not_before_us = self.kernel.agenda.now_us + after_us
        self.kernel.post_on(self._flushes, event)

    def post_read(self, label: str, fire: Callable[[], None]) -> None:
        """How long a read takes is the driver's wish, a fault, or drawn; by default only its order counts."""
        after_us = self.next_reads_us.pop(0) if self.next_reads_us else 0
        shortest, longest = self.world.options.objects.kv_read_s
        if longest:
            after_us = after_us or round(self.world.drawn("read", self.name).uniform(shortest, longest) * 1_000_000)
        slow = self.fault("slow-read", 4) if self.faulty else 0
        after_us = max(after_us, round(SLOW_READ_S[slow] * 1_000_000))
        event = Event(label, self, self.caused(fire), receiver=self.name)
        if after_us:
            self.kernel.post_at(event, self.kernel.agenda.now_us + after_us)
        else:
            self.kernel.post(event)

    def flush_after_us(self, commit: int) -> int | None:
        """What the plan says about the flush of ``commit``."""
        if self.next_flush_us is not None:
            # What is committed from now on must not be durable before this one: each flush is an event.
            self.flush_events = self.by_hand = True
            after_us, self.next_flush_us = self.next_flush_us, None
            return after_us
        if not self.faulty:
            return 0 if self.flush_events else None
        slow = self.fault("slow-flush", 4)
        if self.fault("failed-flush"):
            return -1
        if slow:
            return round(SLOW_FLUSH_S[slow] * 1_000_000)
        return 0 if self.flush_events else None

    def fault(self, kind: str, bound: int = 2, *, possible: bool = True) -> int:
        """One boundary of this object."""
        value = self.plan.at(kind, self.name, bound, possible=possible)
        if value:
            self.world.chronicle.fault_fired(kind, self.name, value)
        return value

    def overload(self) -> int:
        """As the driver wants it, else as it is planned."""
        if self.refuses_next:
            reason, self.refuses_next = self.refuses_next, 0
            return reason
        return self.fault("overload", 5)

    def isolate_gone(self, *, spared: bool = False) -> None:
        """Every object in it will be reset."""
        isolate_gone(self.world, self.machine, spared=spared)

    def record(self, kind: str, label: str, data: Any = None, cause: int = -1, where: str | None = None) -> int:
        """One line of the trace."""
        return self.world.chronicle.record(kind, self.name, label, data, cause, where)

    def record_end(self, label: str, result: Outcome) -> None:
        """A handler has ended."""
        data = error_data(result.error) if isinstance(result, outcome.Error) else {"ok": True}
        self.world.chronicle.record("end", self.name, label, data)

    def socket_send(self, record: Any, kind: str, payload: Any) -> None:
        """A frame or close leaves, or something happens to a socket."""
        self.world.sockets.node_does(self, record, kind, payload)

    def socket_cut(self, record: Any) -> None:
        """The object's end is gone."""
        self.world.sockets.node_does(self, record, "cut", None)

    @property
    def receiver(self) -> str:
        """Its events race with each other."""
        return self.name

    @property
    def frames(self) -> Frames:
        """Where frames arrive."""
        return self.machine.frames

    def event(self, label: str, function: Callable[[], None], *, cause: int = -1, limit_us: int = 0) -> Event:
        """Something that arrives here over the network, not posted yet."""
        world = self.world

        def fire() -> None:
            world.chronicle.deliver(self.name, label, cause)
            function()

        return Event(label, self, fire, receiver=self.name, delay_limit_us=limit_us)

    def idle(self) -> None:
        """Watch how long."""
        self._rests(self.machine)


def host_of(machine: ObjectMachine) -> ObjectHostOf:
    """The host of a machine in a simulated world."""
    host: Any = machine.host
    assert isinstance(host, ObjectHostOf)
    return host


class _Cancellable:
    __slots__ = ("event", "owner")

    def __init__(self, owner: ObjectHostOf, event: Event) -> None:
        self.owner = owner
        self.event = event

    def cancel(self) -> None:
        """Call it off."""
        self.owner.kernel.cancel(self.event)

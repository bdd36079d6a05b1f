"""One incarnation of an object: its gates, its open store, its timers, its code.

Everything here dies with it.  What survives (durable storage, hibernated sockets,
the scheduler's alarm) belongs to the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.objects.answers import Answer, End, Ended, Reply
from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.birth import instance_of, store_of
from lumenize_sim.objects.clock import Clock
from lumenize_sim.objects.commits import Commits
from lumenize_sim.objects.gate import Gate
from lumenize_sim.objects.hop import Hop
from lumenize_sim.objects.instance_timers import InstanceTimers
from lumenize_sim.objects.isolate import PythonIsolate
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_errors import Inaccessible, across, heard
from lumenize_sim.objects.sections import Sections
from lumenize_sim.objects.socket_home import home_var
from lumenize_sim.objects.socket_record import SocketRecord
from lumenize_sim.objects.storage import INACCESSIBLE, AccessKind, StoreHooks
from lumenize_sim.objects.strand import Owner, Strand, strand_var
from lumenize_sim.objects.work import Work

if TYPE_CHECKING:
    from lumenize_sim.objects.context import DurableObjectState
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["Incarnation"]


class Incarnation:
    """See the module.

    Attributes:
        number: 0 for the first of its object.
        owner: whose tasks run.
        gate: the root input gate.
        commits: what was written, and what leaves because of it.
        work: what it has under way outside.
        clock: what time it is for its code.
        timers: those that its code has set.
        store: its storage.
        inflight: replies owed to callers, in order of arrival.
        handling: handlers that have begun and not ended.
        invoked: how many handlers have begun.
        following: turns that own the lock already: continuations of sections, and what the gate granted.
        unended: who hears how a handler ended, until the end is durable.
        read_sockets: whose frames have begun their first turn in this one: the record, and what it was (WS-11).
        state: ``ctx``, once the constructor has begun.
        constructed: the constructor has returned.
        stale: another instance has taken its place; what is in flight goes on without storage (LC-11).
    """

    __slots__ = (
        "_base",
        "_sections",
        "_sections_begun",
        "clock",
        "commits",
        "constructed",
        "following",
        "gate",
        "handling",
        "inflight",
        "invoked",
        "isolate",
        "machine",
        "number",
        "owner",
        "read_sockets",
        "stale",
        "state",
        "store",
        "timers",
        "unended",
        "work",
    )

    state: DurableObjectState

    def __init__(self, machine: ObjectMachine, number: int) -> None:
        self.machine = machine
        self.number = number
        self.owner = Owner(machine.name, self._start, self._wake)
        self.gate: Gate[Arrival] = Gate(max_depth=machine.options.max_section_depth)
        self.commits = Commits(self)
        self.work = Work()
        self.clock = Clock(self)
        self.inflight: dict[int, Reply] = {}
        self.following: list[Arrival] = []
        self.unended: dict[int, Ended] = {}
        self.read_sockets: list[tuple[SocketRecord, str, tuple[Any, ...]]] = []
        self.handling = 0
        self.constructed = False
        self.stale = False
        self.timers = InstanceTimers(self)
        self.store = store_of(self)
        self.isolate = PythonIsolate(instance_of(self), self.owner, wrote=self._wrote, interrupt=machine.host.interrupt)
        self._base = copy_context()
        self._base.run(home_var.set, machine.frames)
        self.invoked = 0
        self._sections: Sections | None = None
        self._sections_begun = 0

    @property
    def dead(self) -> bool:
        """It does not run any more."""
        return self.owner.dead

    @property
    def busy(self) -> bool:
        """Something is being handled here or waits to be; calls it made may be under way besides (LC-19)."""
        return bool(
            self.handling
            or self.gate.locks
            or self.gate.waiting
            or self.following
            or self.store.unflushed
            or self.commits.held
            or self.work.clients
        )

    @property
    def held(self) -> bool:
        """It is not hibernateable, idle or not (LC-17)."""
        return bool(self.work.pending or len(self.timers))

    def context(self, label: str, section: Gate[Arrival]) -> Context:
        """A context for the event ``label``, whose awaits re-enter ``section``."""
        return Strand(self.owner, label, section).context(self._base)

    def arrive(self, arrival: Arrival) -> None:
        """An event of this very incarnation asks for its turn."""
        gate = arrival.gate
        if gate is None:
            gate = arrival.gate = self.gate
        arrival.home = self
        if gate.arrive(arrival):
            self.machine.begin(arrival)

    def broken_by(self, error: BaseException, kind: str) -> None:
        """Its code has broken it; ``kind`` is of `lumenize_sim.objects.ending.ENDINGS`."""
        self.machine.broken(self, error, kind)

    def _wrote(self) -> bool:
        return self.store.dirty and self.store.confirmed

    # -- tasks and timers ----------------------------------------------------------

    def _start(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.machine.host.start(copy_context(), async_fn, args)

    def _wake(self, task: Any) -> None:
        """A task of ours was woken across a border, or slept for zero seconds."""
        machine = self.machine
        strand: Strand = task.context[strand_var]
        if machine.in_turn_of(self):
            # Ours to wake: so it sleeps for zero seconds, in the order of all timers (TM-4).
            self.timers.admit(task, strand)
            return
        label = machine.host.wake_label(self.owner)

        def fire() -> None:
            if not self.owner.dead:
                arrival = Arrival("wake", label, strand.section, lambda _: machine.host.admit(task))
                arrival.strand = strand.event
                self.arrive(arrival)

        machine.host.post(label, fire)

    # -- calls in --------------------------------------------------------------------

    def invoke(
        self,
        label: str,
        handler: str | Callable[..., Any],
        args: tuple[Any, ...],
        reply: Reply | None,
        *,
        ended: Ended | None = None,
        section: Gate[Arrival] | None = None,
    ) -> None:
        """Begin a handler in the present turn.

        ``reply`` hears the outcome when the output gate lets it, or that the instance died
        before.  ``ended`` is asked in the turn in which the handler ends, or told that the
        instance died; where it answers with an effect, that effect is the end, and death
        before it leaves is still told.
        """
        key = self.invoked
        self.invoked += 1
        if reply is not None:
            self.inflight[key] = reply
        if ended is not None:
            self.unended[key] = ended
        self.handling += 1
        isolate = self.isolate

        def done(result: Outcome) -> None:
            if self.owner.dead:
                return
            self.handling -= 1
            if not self.machine.ended(self, label, result):
                return
            if ended is not None and key in self.unended:
                effect = ended(result)
                if effect is None:
                    del self.unended[key]
                else:
                    isolate.emit(End(self.unended, key, effect))
            if reply is None:
                return
            at_once = False
            if isinstance(result, outcome.Error):
                machine = self.machine
                result = outcome.Error(across(result.error, enhanced=machine.enhanced))
                if machine.options.error_object_ids:
                    result.error.durable_object_id = str(machine.id)  # type: ignore[attr-defined]  # on any error
                at_once = handler != "fetch" and not self.machine.options.rpc_errors_wait
            answer = Answer(self.inflight, key, result)
            if handler == "fetch":
                isolate.emit(Hop(self, f"{label}/answer", answer), answer=True)
            elif at_once:
                answer()  # OG-8: the path of an error does not wait for the gate
            else:
                isolate.emit(answer, answer=True)

        isolate.take_turn(self.context(label, section or self.gate), handler, args, done)

    # -- waiting ---------------------------------------------------------------------

    def wait_for(
        self, label: str, pending: Pending[Any] | None = None
    ) -> tuple[Pending[Any], Callable[[str, Outcome], None]]:
        """A `Pending` of this instance, and what the host calls, as an event here, when its outcome arrives.

        ``pending``: one to use.
        """
        strand = strand_var.get()
        section = self.gate if strand is None else strand.section
        if pending is None:
            pending = Pending(label)
        token = self.work.begin(self.machine.host.now_us())
        ahead_us = self.clock.ahead_us() if self.machine.options.moving_clock else 0

        def arrived(event: str, result: Outcome) -> None:
            if self.owner.dead:
                return
            self.work.end(token)
            isolate = self.isolate

            def resume(_: Incarnation) -> None:
                if ahead_us:
                    self.clock.stay_ahead(ahead_us)
                isolate.resume(pending, result)

            arrival = Arrival("resume", event, section, resume, cause=self.machine.host.cause())
            arrival.strand = strand.event if strand is not None else None
            self.arrive(arrival)

        return pending, arrived

    def wait_with_lock(self, label: str) -> tuple[Pending[Any], Callable[[str, Outcome], None]]:
        """The same for storage that has to wait: nothing else is delivered until it has gone on (IG-5 to IG-7).

        The turn that goes on has a reference to the lock of the present one, and does not queue for it.
        """
        turn = self.machine.turn_of(self)
        if turn is None:
            return self.wait_for(label)
        gate = turn.gate
        gate.hold()
        strand = strand_var.get()
        pending: Pending[Any] = Pending(label)

        def arrived(event: str, result: Outcome) -> None:
            if self.owner.dead:
                return
            isolate = self.isolate
            arrival = Arrival(
                "resume", event, gate, lambda _: isolate.resume(pending, result), cause=self.machine.host.cause()
            )
            arrival.home = self
            arrival.strand = strand.event if strand is not None else None
            self.machine.begin(arrival)

        return pending, arrived

    # -- sections, storage that waits ------------------------------------------------

    @property
    def sections(self) -> Sections:
        """Its critical sections."""
        if self._sections is None:
            self._sections = Sections(self)
        return self._sections

    def look_for_hang(self) -> None:
        """See `Sections.look_for_hang`."""
        if self._sections is not None:
            self._sections.look_for_hang()

    def next_section(self) -> int:
        """A number for a label, no two alike in this incarnation."""
        number = self._sections_begun
        self._sections_begun = number + 1
        return number

    def hooks(self) -> StoreHooks:
        """What the store tells and asks."""
        access = self._accessed if self.machine.host.tracing else None
        meter = self.machine.meter
        return StoreHooks(
            usage=None if meter is None else meter.used,
            access=access,
            sync=self._sync,
            transaction=self._transaction,
            cold=self._cold,
            durable=self._durable,
            split=self._split,
        )

    def _cold(self, finish: Callable[[], Any], concurrent: bool) -> Pending[Any]:
        host = self.machine.host
        pending, arrived = self.wait_for("storage") if concurrent else self.wait_with_lock("storage")
        label = f"{self.machine.name}!read{self.number}#{self.next_section()}"

        def read() -> None:
            if not self.owner.dead:
                arrived(label, outcome.capture(finish))

        host.post_read(label, read)
        return pending

    def _durable(self, finish: Callable[[], Any], concurrent: bool) -> Pending[Any]:
        return self.commits.when_durable("write", finish, concurrent)

    def _split(self) -> None:
        if not self.stale and self.machine.in_turn_of(self):
            self.commits.split()

    def _sync(self) -> Pending[None]:
        return self.commits.sync()

    def _transaction(self, fn: Callable[[Any], Any]) -> Pending[Any]:
        return self.sections.transaction(fn)

    def _accessed(self, kind: AccessKind, key: str) -> None:
        self.machine.host.record_access(kind, key, strand_var.get())

    # -- in the background -----------------------------------------------------------

    def spawn_background(self, awaitable: Any) -> None:
        """`wait_until`: keep ``awaitable`` going; its failure is logged and changes nothing (RPC-23)."""
        token = self.work.begin(self.machine.host.now_us())

        def done(result: Outcome) -> None:
            self.work.end(token)
            self.background_ended(result)

        self.isolate.take_turn(copy_context(), lambda: awaitable, (), done)

    def background_ended(self, result: Outcome) -> None:
        """Something that nobody awaits has ended; a failure is logged and changes nothing (LC-30)."""
        if type(result) is outcome.Error and not self.owner.dead:
            error = result.error
            heard(error, False)
            self.machine.log("error", "unhandled", {"error": f"{type(error).__name__}: {error}"}, self)

    # -- the end -----------------------------------------------------------------------

    def replaced(self) -> None:
        """Another instance has the storage from now on: this one goes on without, and can never commit (LC-12)."""
        self.stale = True
        self.commits.settle()
        self.store.crash(error=Inaccessible(INACCESSIBLE))

    def drop(self) -> list[Arrival]:
        """It is dead: call off what it waits for in time, let go what it holds.  Returns what was queued (IG-32)."""
        for effect, _ in self.isolate.effects():
            abandon = getattr(effect, "abandon", None)
            if abandon is not None:
                abandon()  # RPC-14a: a call of the last turn never leaves, and its session opens
        self.owner.dead = True
        seat = self.owner.seat
        if seat is not None and (seat.held or seat.asked):
            seat.ended()
        self.timers.drop()
        if self._sections is not None:
            self._sections.drop()
        queued = [*self.following, *self.gate.drop()]
        self.following.clear()
        return queued

"""One incarnation of an object: its gates, its open store, its timers, its code.

Everything here dies with it.  What survives (durable storage, hibernated sockets,
the scheduler's alarm) belongs to the machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.gate import SECTION_TIMEOUT_MESSAGE, SECTION_TIMEOUT_S, Gate
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.isolate import Effect, PythonIsolate, is_awaitable
from lumenize_sim.objects.output_gate import OutputGate
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.rpc_errors import across, reset_error
from lumenize_sim.objects.storage import AccessKind, StorageTransaction, StoreHooks
from lumenize_sim.objects.strand import Owner, Strand, strand_var
from lumenize_sim.objects.timers import OwnerTimers, Timer
from lumenize_sim.objects.websocket import SocketRecord, emit_var

if TYPE_CHECKING:
    from lumenize_sim.objects.context import DurableObjectState
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["Ended", "Incarnation", "Reply"]

Reply = Callable[[Outcome], None]
#: Hears how a handler ended; may answer with an effect that makes the end known outside.
Ended = Callable[[Outcome], "Effect | None"]


class _Answer:
    """A reply on its way through the output gate.

    Owed until it really leaves: a caller whose answer is held when the instance dies hears that.
    """

    __slots__ = ("inflight", "key", "result")

    def __init__(self, inflight: dict[int, Reply], key: int, result: Outcome) -> None:
        self.inflight = inflight
        self.key = key
        self.result = result

    def __call__(self) -> None:
        reply = self.inflight.pop(self.key, None)
        if reply is not None:
            reply(self.result)

    def hold(self) -> None:
        """It has to wait: later changes of the result are not to be seen (RPC-6)."""
        snapshot = getattr(self.inflight.get(self.key), "snapshot", None)
        if snapshot is not None:
            self.result = snapshot(self.result)


class _End:
    """The end of a handler on its way through the output gate."""

    __slots__ = ("effect", "key", "unended")

    def __init__(self, unended: dict[int, Ended], key: int, effect: Effect) -> None:
        self.unended = unended
        self.key = key
        self.effect = effect

    def __call__(self) -> None:
        if self.unended.pop(self.key, None) is not None:
            self.effect()


class Incarnation:
    """See the module.

    Attributes:
        number: 0 for the first of its object.
        owner: whose tasks run.
        gate: the root input gate.
        output: the output gate.
        inflight: replies owed to callers, in order of arrival.
        outgoing: calls of this instance that have not been answered.
        following: turns that own the lock already: continuations of sections, and what the gate granted.
        unended: who hears how a handler ended, until the end is durable.
        closed_sockets: to be taken off the list when the turn ends (WS-5).
        state: ``ctx``, once the constructor has begun.
    """

    state: DurableObjectState

    def __init__(self, machine: ObjectMachine, number: int) -> None:
        host = machine.host
        self.machine = machine
        self.number = number
        self.owner = Owner(machine.name, self._start, self._wake)
        self.gate: Gate[Arrival] = Gate()
        self.output: OutputGate[Effect] = OutputGate()
        self.inflight: dict[int, Reply] = {}
        self.outgoing = 0
        self.waits = 0
        self.following: deque[Arrival] = deque()
        self.unended: dict[int, Ended] = {}
        self.closed_sockets: list[SocketRecord] = []
        self.asked_syncs: list[Callable[[], None]] = []
        self._syncs: deque[tuple[int, Callable[[], None]]] = deque()
        self._section_timers: dict[str, TimerHandle] = {}
        self.timers = OwnerTimers(self._arm)
        self.store = machine.open_store(self)
        self.isolate = PythonIsolate(
            machine.make_instance(self), self.owner, wrote=self._wrote, interrupt=host.interrupt
        )
        self._base = copy_context()
        self._base.run(emit_var.set, machine.sockets._emit)
        self._calls = 0
        self._sections = 0

    @property
    def dead(self) -> bool:
        """It does not run any more."""
        return self.owner.dead

    def context(self, label: str, section: Gate[Arrival]) -> Context:
        """A context for the event ``label``, whose awaits re-enter ``section``."""
        return Strand(self.owner, label, section).context(self._base)

    def _wrote(self) -> bool:
        return self.store.dirty and self.store.confirmed

    # -- tasks and timers ----------------------------------------------------------

    def _start(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.machine.host.start(copy_context(), async_fn, args)

    def _wake(self, task: Any) -> None:
        """A task of ours was woken across a border, or slept for zero seconds."""
        machine = self.machine
        strand: Strand = task.context[strand_var]
        if machine.in_turn:
            # Ours to wake: so it sleeps for zero seconds, in the order of all timers (TM-4).
            self._set_timer(machine.host.now_us(), lambda: machine.host.admit(task), strand)
            return
        label = machine.host.wake_label(self.owner)

        def fire() -> None:
            if not self.owner.dead:
                arrival = Arrival("wake", label, strand.section, lambda: machine.host.admit(task))
                arrival.strand = strand.event
                machine.arrive(arrival)

        machine.host.post(label, fire)

    def _arm(self, due_us: int, nth: int, fire: Callable[[], None]) -> TimerHandle:
        # The number of the incarnation keeps labels apart after a reset.
        return self.machine.host.post_at(f"{self.machine.name}!timer{self.number}#{nth}", fire, due_us)

    def set_timer(self, due_us: int, callback: Callable[[], Any]) -> TimerHandle:
        """Run ``callback`` in the caller's context, as a turn that re-enters the caller's section (TM-5).

        It may be async.  What it raises is logged and changes nothing (LC-30).
        """
        strand = strand_var.get()
        if strand is None or strand.owner is not self.owner:
            strand = Strand(self.owner, f"{self.machine.name}!timer{self.number}", self.gate)
            context = strand.context(self._base)
        else:
            context = copy_context()
        return self._set_timer(
            due_us, lambda: self.isolate.take_turn(context, callback, (), self.background_ended), strand
        )

    def _set_timer(self, due_us: int, run: Callable[[], None], strand: Strand) -> Timer:
        timer: Timer

        def turn() -> None:
            if not timer.cancelled:
                run()
            self.timers.passed()

        def fired() -> None:
            arrival = Arrival("timer", f"{self.machine.name}!timer{self.number}", strand.section, turn)
            arrival.strand = strand.event
            self.machine.arrive(arrival)

        timer = self.timers.set(due_us, fired)
        return timer

    # -- calls in --------------------------------------------------------------------

    def invoke(
        self,
        label: str,
        handler: str | Callable[..., Any],
        args: tuple[Any, ...],
        reply: Reply | None,
        *,
        ended: Ended | None = None,
    ) -> None:
        """Begin a handler in the present turn.

        ``reply`` hears the outcome when the output gate lets it, or that the instance died
        before.  ``ended`` is asked in the turn in which the handler ends, or told that the
        instance died; where it answers with an effect, that effect is the end, and death
        before it leaves is still told.
        """
        key = self._calls
        self._calls += 1
        if reply is not None:
            self.inflight[key] = reply
        if ended is not None:
            self.unended[key] = ended
        isolate = self.isolate

        def done(result: Outcome) -> None:
            if self.owner.dead:
                return
            self.machine.ended(label, result)
            if self.machine.incarnation is not self:
                return
            if ended is not None:
                effect = ended(result)
                if effect is None:
                    del self.unended[key]
                else:
                    isolate.emit(_End(self.unended, key, effect))
            if reply is None:
                return
            at_once = False
            if isinstance(result, outcome.Error):
                result = outcome.Error(across(result.error))
                at_once = handler != "fetch" and not self.machine.options.rpc_errors_wait
            answer = _Answer(self.inflight, key, result)
            if at_once:
                answer()  # OG-8: the path of an error does not wait for the gate
            else:
                isolate.emit(answer, answer=True)

        isolate.take_turn(self.context(label, self.gate), handler, args, done)

    # -- waiting ---------------------------------------------------------------------

    def wait_for(self, label: str) -> tuple[Pending[Any], Callable[[str, Outcome], None]]:
        """A `Pending` of this instance, and what the host calls, as an event here, when its outcome arrives."""
        strand = strand_var.get()
        section = self.gate if strand is None else strand.section
        pending: Pending[Any] = Pending(label)
        self.outgoing += 1

        def arrived(event: str, result: Outcome) -> None:
            if self.owner.dead:
                return
            self.outgoing -= 1
            isolate = self.isolate
            arrival = Arrival(
                "resume", event, section, lambda: isolate.resume(pending, result), cause=self.machine.host.cause()
            )
            arrival.strand = strand.event if strand is not None else None
            self.machine.arrive(arrival)

        return pending, arrived

    # -- critical sections -----------------------------------------------------------

    def block(self, callback: Callable[[], Any], *, resets: bool = True) -> Pending[Any]:
        """`block_concurrency_while`: nothing else is delivered until ``callback`` has ended (IG-18 to IG-30)."""
        machine = self.machine
        strand = strand_var.get()
        parent: Gate[Arrival] = (self.gate if strand is None else strand.section).live()
        label = f"{machine.name}!section{self.number}#{self._sections}"
        self._sections += 1
        pending: Pending[Any] = Pending(label)
        context = copy_context()
        arrival = Arrival("section", label, None, lambda: None)
        section, granted = parent.enter(arrival)
        assert not granted, "the calling turn holds the lock (IG-19)"
        arrival.gate = section

        def run() -> None:
            self._section_timers[label] = machine.host.post_at(
                f"{label}/timeout", timed_out, machine.host.now_us() + SECTION_TIMEOUT_S * 1_000_000
            )
            inner = context.copy()
            inner.run(strand_var.set, Strand(self.owner, label, section))
            self.isolate.take_turn(inner, callback, (), ended)

        def timed_out() -> None:
            if not self.owner.dead:
                machine.reset(reset_error(SECTION_TIMEOUT_MESSAGE, overloaded=True))

        def ended(result: Outcome) -> None:
            if self.owner.dead:
                return
            self._section_timers.pop(label).cancel()
            machine.ended(label, result)
            if machine.incarnation is not self:
                return
            if type(result) is outcome.Error and resets:
                machine.reset(result.error)
                return
            adopter = section.succeed()
            after = Arrival("section-end", f"{label}/end", adopter, lambda: self.isolate.resume(pending, result))
            after.strand = strand.event if strand is not None else None
            self.following.append(after)

        arrival.run = run
        return pending

    # -- storage that waits ------------------------------------------------------------

    def hooks(self) -> StoreHooks:
        """What the store tells and asks."""
        access = self._accessed if self.machine.host.tracing else None
        return StoreHooks(access=access, sync=self.sync, transaction=self.transaction)

    def _accessed(self, kind: AccessKind, key: str) -> None:
        self.machine.host.record_access(kind, key, strand_var.get())

    def sync(self) -> Pending[None]:
        """Settles when all writes up to now are durable; always ends the turn (IG-12, OG-26)."""
        pending, arrived = self.wait_for("sync")
        label = f"{self.machine.name}!sync{self.number}#{self._sections}"
        self._sections += 1

        def asked() -> None:
            # When the turn is over: the writes of this very turn are commits by then.
            number = self.store.durable.number

            def tell() -> None:
                self.machine.host.post(label, lambda: arrived(label, outcome.Value(None)))

            if self.store.unflushed:
                self._syncs.append((number, tell))
            else:
                tell()

        self.asked_syncs.append(asked)
        return pending

    def turn_over(self) -> None:
        """What the turn asked `sync` for is known now."""
        asked, self.asked_syncs = self.asked_syncs, []
        for ask in asked:
            ask()

    def drop(self) -> None:
        """It is dead: call off what it waits for in time."""
        self.timers.drop()
        for timer in self._section_timers.values():
            timer.cancel()
        self._section_timers.clear()

    def synced(self, number: int) -> None:
        """Commits up to ``number`` are durable."""
        while self._syncs and self._syncs[0][0] <= number:
            self._syncs.popleft()[1]()

    def transaction(self, fn: Callable[[Any], Any]) -> Pending[Any]:
        """`storage.transaction`: a critical section around a transaction; a failure rolls back only (OG-28, IG-30)."""

        async def body() -> Any:
            txn = StorageTransaction(self.state.storage)
            try:
                result = fn(txn)
                if is_awaitable(result):
                    result = await result
            except BaseException:
                txn.abandon()
                raise
            txn.keep()
            return result

        return self.block(body, resets=False)

    def spawn_background(self, awaitable: Any) -> None:
        """`wait_until`: keep ``awaitable`` going; its failure is logged and changes nothing (RPC-23)."""

        def done(result: Outcome) -> None:
            self.waits -= 1
            self.background_ended(result)

        self.waits += 1
        self.isolate.take_turn(copy_context(), lambda: awaitable, (), done)

    def background_ended(self, result: Outcome) -> None:
        """Something that nobody awaits has ended; a failure is logged and changes nothing (LC-30)."""
        if type(result) is outcome.Error and not self.owner.dead:
            error = result.error
            self.machine.log("error", "unhandled", {"error": f"{type(error).__name__}: {error}"})

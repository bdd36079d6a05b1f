"""The object machine: one Durable Object, across all its incarnations.

Events come in by `call`, `frames.message`, `alarms` …, each of which
makes an `Arrival` and asks the input gate.  Whoever is granted takes one turn.  When
the host says that nothing of the turn can go on, `end_turn` releases the gate, commits
the implicit transaction, sends what came out through the output gate, and begins the
next granted turn if there is one.  The order in there is the platform's: the gate is
released first (and grants at once, IG-3), then the commit, then the effects.

A dead instance never runs again: its owner is marked, its tasks stay where they are,
its queued arrivals fail, its callers are told, its store is closed or crashed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import outcome

from lumenize_sim.objects.alarm_clock import AlarmClock
from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.context import DurableObjectState
from lumenize_sim.objects.frames import Frames
from lumenize_sim.objects.hibernation import HibernationRegistry
from lumenize_sim.objects.host import Host, ObjectHost
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.incarnation import Incarnation, Reply
from lumenize_sim.objects.isolate import Effect, InstanceGone
from lumenize_sim.objects.options import MachineOptions
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.reach import refusal_of
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import across, disconnected, fallen, reset_error
from lumenize_sim.objects.storage import ConnectionPool, Durable, Storage, StorageError, Store
from lumenize_sim.objects.strand import Owner

__all__ = ["ObjectMachine"]

FLUSH_FAILED = "Internal error in Durable Object storage write caused object to be reset."


class _LateGenerator:
    """The owner's generator, made only if SQL asks for randomness."""

    __slots__ = ("_host", "_owner")

    def __init__(self, host: Host, owner: Owner) -> None:
        self._host = host
        self._owner = owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host.random(self._owner), name)


class _ByFetch:
    """The reply to a stub's ``fetch``: a reset is ``remote`` as well there (LC-45 a)."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def __call__(self, result: Outcome) -> None:
        if type(result) is outcome.Error and getattr(result.error, "durable_object_reset", False):
            result.error.remote = True  # type: ignore[attr-defined]  # the platform sets it on any error object
        self.reply(result)


class ObjectMachine:
    """See the module.

    Attributes:
        name: stable, ``"BINDING/instance"``.
        durable: what survives every incarnation.
        sockets: hibernatable web sockets; they survive hibernation only.
        frames: what arrives and leaves by them.
        generation: counts resets; a stub bound before one stays broken (RPC-8).
        reset_kind: how the last incarnation ended, as the trace calls it; empty before the first end.
        alarms: wakes the object at the time it set.
    """

    def __init__(
        self,
        host: ObjectHost,
        name: str,
        cls: type,
        object_id: DurableObjectId,
        make_env: Callable[[Incarnation], Any],
        *,
        options: MachineOptions | None = None,
        durable: Durable | None = None,
        pool: ConnectionPool | None = None,
    ) -> None:
        self.host = host
        self.name = name
        self.cls = cls
        self.id = object_id
        self.make_env = make_env
        self.options = options or MachineOptions()
        self.durable = durable or Durable()
        self.pool = pool
        self.frames = Frames(self)
        self.sockets = HibernationRegistry(self.frames.emit)
        self.calls_made: dict[str, int] = {}
        self.incarnation: Incarnation | None = None
        self.generation = 0
        self.last_reset: BaseException | None = None
        self.reset_kind = ""
        self.incarnations = 0
        self._turn: Arrival | None = None
        self.alarms = AlarmClock(self)

    # -- events in ---------------------------------------------------------------------

    def arrive(self, arrival: Arrival) -> None:
        """An event asks for its turn.  Builds an instance if there is none."""
        incarnation = self.incarnation
        if incarnation is None:
            incarnation = self._wake_up()
            if incarnation is None:
                assert self.last_reset is not None
                if arrival.fail is not None:
                    arrival.fail(self.last_reset)
                return
        if arrival.gate is None:
            arrival.gate = incarnation.gate
        if arrival.gate.arrive(arrival):
            self._begin(incarnation, arrival)

    def call(self, label: str, handler: str, args: tuple[Any, ...], reply: Reply, *, cause: int = -1) -> None:
        """A call arrives; ``reply`` hears its outcome.  The handler ``"fetch"`` is the HTTP one."""
        refused = refusal_of(self.cls, handler)
        fetched = handler == "fetch"

        def run() -> None:
            incarnation = self.incarnation
            assert incarnation is not None
            if refused is None:
                incarnation.invoke(label, handler, args, answer)
            else:
                # By the callee, whose constructor has run: so it is remote (RPC-13, RPC-20).
                error = Error(refused) if fetched else TypeError(refused)
                incarnation.isolate.emit(lambda: reply(outcome.Error(across(error))), answer=True)

        def fail(error: BaseException) -> None:
            answer(outcome.Error(fallen(error)))

        answer = _ByFetch(reply) if fetched else reply
        self.arrive(Arrival("fetch" if fetched else "call", label, None, run, fail, cause))

    # -- turns ---------------------------------------------------------------------------

    def _begin(self, incarnation: Incarnation, arrival: Arrival) -> None:
        self._turn = arrival
        host = self.host
        host.begin_turn(incarnation.owner)
        if host.tracing:
            kind = "resume" if arrival.kind in ("resume", "section-end", "wake", "timer") else "turn"
            host.record(kind, arrival.strand or arrival.label, None, arrival.cause)
        try:
            arrival.run()
        except InstanceGone:
            return  # what user code called back into has ended the instance (LC-32)

    def end_turn(self) -> bool:
        """No task of the turn can go on.  True when the next granted turn has begun."""
        arrival, self._turn = self._turn, None
        incarnation = self.incarnation
        if arrival is None or incarnation is None:
            return False
        granted = arrival.gate.release()
        for record in incarnation.closed_sockets:
            self.sockets.remove(record)
        incarnation.closed_sockets.clear()
        store = incarnation.store
        effects = incarnation.isolate.effects()
        if store.dirty:
            self._commit(incarnation, effects)
        elif effects:
            snapshot = incarnation.output.snapshot()
            for effect, _ in effects:
                self._leave(incarnation, effect, snapshot)
        if self.incarnation is not incarnation:
            return False
        if incarnation.asked_syncs:
            incarnation.turn_over()
        following = incarnation.following
        if granted is not None:
            following.append(granted)
        if self.host.faulty and self._go_wrong(incarnation):
            return False
        if not following:
            if not incarnation.inflight and not incarnation.gate.locks:
                self.host.idle()
            return False
        self._begin(incarnation, following.popleft())
        return True

    def _commit(self, incarnation: Incarnation, effects: list[tuple[Effect, bool]]) -> None:
        store, output, host = incarnation.store, incarnation.output, self.host
        before = output.snapshot()
        confirmed = store.confirmed
        try:
            number = store.commit()
        except StorageError as error:
            self.reset(reset_error(str(error)), kind="constraint")
            return
        if number is None:
            for effect, _ in effects:
                self._leave(incarnation, effect, before)
            return
        after_us = host.flush_after_us(number)
        if host.tracing:
            host.record("commit", f"{self.name}!commit#{number}")
        if store.alarm_ms != self.alarms.known_ms:
            self.alarms.changed(store.alarm_ms)
        if after_us is None:
            store.flushed(number)
            for effect, _ in effects:
                self._leave(incarnation, effect, before)
            return
        if confirmed:
            output.lock(number)
        for effect, wrote in effects:
            self._leave(incarnation, effect, number if wrote and confirmed else before)
        label = f"{self.name}!flush{incarnation.number}#{number}"
        if after_us < 0:
            host.post_flush(label, lambda: self._flush_failed(incarnation, number), 0)
        else:
            host.post_flush(label, lambda: self._flushed(incarnation, number), after_us)

    def _leave(self, incarnation: Incarnation, effect: Effect, after: int) -> None:
        if after:
            hold = getattr(effect, "hold", None)
            if hold is not None:
                hold()
        if after and self.host.tracing:
            effect = self.host.caused(effect)
        if incarnation.output.emit(effect, after):
            effect()
        elif self.host.tracing:
            self.host.record("output-held", f"{self.name}!held", {"commit": after})

    def _flushed(self, incarnation: Incarnation, number: int) -> None:
        if incarnation.dead:
            return
        incarnation.store.flushed(number)
        if self.host.tracing:
            self.host.record("flush", f"{self.name}!flush#{number}")
        for effect in incarnation.output.durable(number):
            if self.host.tracing:
                self.host.record("output-released", f"{self.name}!held", {"commit": number})
            effect()
        incarnation.synced(number)
        if self.incarnation is incarnation and not incarnation.inflight and not incarnation.gate.locks:
            self.host.idle()

    def _flush_failed(self, incarnation: Incarnation, number: int) -> None:
        if not incarnation.dead:
            incarnation.output.fail(number, reset_error(FLUSH_FAILED))
            self.reset(reset_error(FLUSH_FAILED), kind="flush-failed")

    # -- life cycle ----------------------------------------------------------------------

    def _wake_up(self) -> Incarnation | None:
        """Build the next incarnation; its constructor takes the first turn (IG-16)."""
        incarnation = Incarnation(self, self.incarnations)
        self.incarnations += 1
        self.incarnation = incarnation
        label = f"{self.name}!start#{incarnation.number}"
        if self.host.tracing:
            self.host.record("start", label, {"class": self.cls.__name__})

        def construct() -> None:
            try:
                incarnation.isolate.construct(incarnation.context(label, incarnation.gate))
            except Exception as error:
                self.reset(error, kind="constructor")  # LC-31
            else:
                if not incarnation.dead:
                    incarnation.state.storage.has_alarm_handler = incarnation.isolate.handles("alarm")

        arrival = Arrival("start", label, incarnation.gate, construct)
        incarnation.gate.arrive(arrival)
        self._begin(incarnation, arrival)
        return self.incarnation

    @property
    def in_turn(self) -> bool:
        """Whether it is this object's turn."""
        return self._turn is not None

    def open_store(self, incarnation: Incarnation) -> Store:
        """The store of a new incarnation, on what is durable."""
        return Store(
            self.durable,
            hooks=incarnation.hooks(),
            pool=self.pool,
            now_ms=self.host.host.now_ms,
            generator=_LateGenerator(self.host.host, incarnation.owner),  # type: ignore[arg-type]  # answers to what SQL asks
        )

    def storage_for(self, incarnation: Incarnation) -> Storage:
        """``ctx.storage`` of a new incarnation."""
        return Storage(
            incarnation.store,
            now_ms=self.host.host.now_ms,  # the constructor may set an alarm whatever the class has (AL-3)
        )

    def make_instance(self, incarnation: Incarnation) -> Callable[[], Any]:
        """How to construct the instance: the class with its context and env, then its second half if it has one."""

        def make() -> Any:
            state = incarnation.state = DurableObjectState(self, incarnation)
            instance = self.host.class_of(self.cls)(state, self.make_env(incarnation))
            after = getattr(instance, "_after_construct", None)
            if after is not None:
                after()
            return instance

        return make

    def reset(self, error: BaseException, *, kind: str = "reset") -> None:
        """Memory, unflushed writes and sockets are lost; callers see ``error`` (LC-31 to LC-35)."""
        self.generation += 1
        self.last_reset = error
        self._end(error, kind, cut=True, crash=True)

    def abort(self, error: BaseException, *, retry_alarm: bool) -> None:
        """`ctx.abort`: a reset, after which the alarm whose handler ran is retried or not (LC-32, AL-26)."""
        self.alarms.gives_up = not retry_alarm
        self.reset(error, kind="abort")
        self.alarms.gives_up = False

    def evict(self) -> bool:
        """Become inactive: memory and sockets are lost, storage is kept (LC-15).  False where the object is busy."""
        if self.incarnation is None or not self._idle(self.incarnation):
            return False
        self._end(disconnected(), "evict", cut=True, crash=False)
        return True

    def hibernate(self) -> bool:
        """Memory is lost, sockets are kept (LC-14).  False where something blocks it (LC-17)."""
        incarnation = self.incarnation
        if incarnation is None or not self._hibernateable(incarnation):
            return False
        self._end(disconnected(), "hibernate", cut=False, crash=False)
        return True

    def crash(self) -> bool:
        """The process is gone, in the middle of whatever it did."""
        if self.incarnation is None:
            return False
        self.generation += 1
        self.last_reset = disconnected()
        self._end(self.last_reset, "crash", cut=True, crash=True)
        return True

    def stop(self) -> None:
        """The run is over: release what is held open, tell nobody."""
        incarnation = self.incarnation
        if incarnation is not None:
            self.incarnation = None
            self._turn = None
            incarnation.owner.dead = True
            incarnation.gate.drop()
            incarnation.store.crash()

    def _end(self, error: BaseException, kind: str, *, cut: bool, crash: bool) -> None:
        incarnation = self.incarnation
        if incarnation is None:
            return
        host = self.host
        if host.tracing:
            host.record(kind if kind in ("evict", "hibernate") else "reset", f"{self.name}!{kind}#{incarnation.number}")
        self.reset_kind = kind
        self.incarnation = None
        self._turn = None
        incarnation.owner.dead = True
        host.drop_ready()
        incarnation.drop()
        queued = [*incarnation.following, *incarnation.gate.drop()]
        if crash:
            incarnation.store.crash()
            self.alarms.restored()
        else:
            incarnation.store.close()
        replies = list(incarnation.inflight.values())
        incarnation.inflight.clear()
        ended = list(incarnation.unended.values())
        incarnation.unended.clear()
        if cut:
            for record in self.sockets.disconnect():
                host.socket_cut(record)
        else:
            self.sockets.hibernate()
        for arrival in queued:
            if arrival.fail is not None:
                arrival.fail(error)
        for reply in replies:
            reply(outcome.Error(fallen(error)))
        for tell in ended:
            tell(outcome.Error(error))

    def _idle(self, incarnation: Incarnation) -> bool:
        """Nothing is being handled here; calls it made may be under way (LC-19)."""
        return (
            self._turn is None
            and not incarnation.isolate.pending
            and not incarnation.gate.locks
            and not incarnation.gate.waiting
            and not incarnation.store.unflushed
            and not incarnation.output.held
        )

    def _hibernateable(self, incarnation: Incarnation) -> bool:
        return (
            self._idle(incarnation)
            and not incarnation.outgoing
            and not len(incarnation.timers)
            and not incarnation.waits
        )

    def _go_wrong(self, incarnation: Incarnation) -> bool:
        """The boundary between two turns, as the fault plan sees it.  True when the instance is gone."""
        host = self.host
        free = not incarnation.following
        if host.fault("hibernate", possible=free and self._hibernateable(incarnation)):
            return self.hibernate()
        if host.fault("evict", possible=free and self._idle(incarnation)):
            return self.evict()
        return bool(host.fault("crash")) and self.crash()

    # -- the rest ------------------------------------------------------------------------

    def ended(self, label: str, result: Outcome) -> None:
        """A handler has ended; for the trace, and for the option to reset on a throw."""
        if self.host.tracing:
            self.host.record_end(label, result)
        if self.options.reset_on_throw and type(result) is outcome.Error:
            self.reset(result.error)

    def log(self, level: str, message: str, data: dict[str, Any]) -> None:
        """One line of debug output of this object."""
        if self.incarnation is not None:
            self.host.host.log(self.incarnation.owner, level, "lumenize_sim.objects", message, data)

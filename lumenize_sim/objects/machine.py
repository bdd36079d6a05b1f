"""The object machine: one Durable Object, across all its incarnations.

Events come in by `call`, `frames.message`, `alarms` …, each of which makes an
`Arrival` and asks the input gate.  Whoever is granted takes one turn.  When the host
says that nothing of the turn can go on, `end_turn` releases the gate, commits the
implicit transaction, sends what came out through the output gate, and begins the next
granted turn if there is one.  The order in there is the platform's: the gate is
released first (and grants at once, IG-3), then the commit, then the effects.

How an instance may end, and what is left then, stands in the tables of `ending` and
`life`.  A dead one never runs again: its owner is marked, its tasks stay where they
are, its queued arrivals fail, its callers are told, its store is closed or crashed.
One that was *replaced* while something was in flight lives on beside its successor,
without storage (LC-11).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import outcome

from lumenize_sim.objects.alarm_clock import AlarmClock
from lumenize_sim.objects.answers import Reply
from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.billing import Meter
from lumenize_sim.objects.birth import construct
from lumenize_sim.objects.ending import ENDINGS, Ending
from lumenize_sim.objects.frames import Frames
from lumenize_sim.objects.host import ObjectHost
from lumenize_sim.objects.http import answered
from lumenize_sim.objects.ids import DurableObjectId
from lumenize_sim.objects.incarnation import Incarnation
from lumenize_sim.objects.isolate import InstanceGone
from lumenize_sim.objects.life import Life
from lumenize_sim.objects.options import MachineOptions
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.reach import call_member, refusal_of
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import across, disconnected, fallen, overloaded
from lumenize_sim.objects.rpc_stub import Path
from lumenize_sim.objects.storage import ConnectionPool, Durable
from lumenize_sim.objects.succession import Succession

__all__ = ["ObjectMachine"]


class _ByFetch:
    """The reply to a stub's ``fetch``: a response and nothing else; a reset is ``remote`` as well there (LC-45 a)."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def __call__(self, result: Outcome) -> None:
        if type(result) is not outcome.Error:
            result = answered(result)
        elif getattr(result.error, "durable_object_reset", False):
            result.error.remote = True  # type: ignore[attr-defined]  # the platform sets it on any error object
        self.reply(result)


class ObjectMachine:
    """See the module.

    Attributes:
        name: stable, ``"BINDING/instance"``.
        cls: whose instances are built from now on.
        id: that of the stub whose event built the instance (LC-5).
        durable: what survives every incarnation.
        enhanced: what errors keep when they cross (RPC-19).
        sockets: hibernatable web sockets; they survive hibernation only.
        frames: what arrives and leaves by them.
        incarnation: the current one, ``None`` while the object is not in memory.
        succession: how one ends and another follows.
        alarms: wakes the object at the time it set.
        meter: counts what is billed, if anybody wants to know.
        incarnations: how many there have been.
        turns: how many have begun.
    """

    __slots__ = (
        "_turn",
        "alarms",
        "calls_made",
        "cls",
        "durable",
        "enhanced",
        "frames",
        "host",
        "id",
        "incarnation",
        "incarnations",
        "make_env",
        "meter",
        "name",
        "options",
        "pool",
        "sockets",
        "succession",
        "turns",
    )

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
        self.meter: Meter | None = None
        self.name = name
        self.cls = cls
        self.id = object_id
        self.make_env = make_env
        self.options = options or MachineOptions()
        self.enhanced = self.options.flag("enhanced_error_serialization")
        self.durable = durable or Durable()
        self.pool = pool
        self.frames = Frames(self)
        self.sockets = self.frames.registry()
        self.calls_made: dict[str, int] = {}
        self.incarnation: Incarnation | None = None
        self.succession = Succession(self)
        self.incarnations = 0
        self.turns = 0
        self._turn: Arrival | None = None
        self.alarms = AlarmClock(self)

    # -- events in ---------------------------------------------------------------------

    def arrive(self, arrival: Arrival, object_id: DurableObjectId | None = None) -> None:
        """An event from outside asks for its turn.  Builds an instance if there is none.

        ``object_id`` is that of the stub it came through: the id of an instance that it builds (LC-5).
        """
        incarnation = self.incarnation
        if incarnation is None:
            if object_id is not None:
                self.id = object_id
            incarnation = self._wake_up()
            if incarnation is None:
                if arrival.fail is not None and self.last_reset is not None:
                    arrival.fail(self.last_reset)
                return
        elif self.succession.shutdown is not None:
            self.succession.shutdown.waiting.append(arrival)
            return
        incarnation.arrive(arrival)

    def call(
        self,
        label: str,
        handler: str | Path,
        args: tuple[Any, ...] | None,
        reply: Reply,
        *,
        cause: int = -1,
        object_id: DurableObjectId | None = None,
    ) -> None:
        """A call arrives; ``reply`` hears its outcome.  The handler ``"fetch"`` is the HTTP one.

        A path reaches further than a method; without arguments it is read (RPC-13).  ``object_id``: of the stub.
        """
        if self.host.faulty:
            reason = self.host.overload()
            if reason:
                reply(outcome.Error(overloaded(reason)))
                return
        if self.meter is not None:
            self.meter.requested(by_fetch=handler == "fetch")
        if type(handler) is tuple:
            self._reach(label, handler, args, reply, cause, object_id)
            return
        assert args is not None, "only paths are read"
        name = str(handler)
        refused = refusal_of(self.cls, name)
        fetched = handler == "fetch"

        def run(incarnation: Incarnation) -> None:
            if refused is None:
                incarnation.invoke(label, name, args, answer)
            else:
                # By the callee, whose constructor has run: so it is remote (RPC-13, RPC-20).
                error = Error(refused) if fetched else TypeError(refused)
                incarnation.isolate.emit(lambda: reply(outcome.Error(across(error))), answer=True)

        def fail(error: BaseException) -> None:
            answer(outcome.Error(self.fallen(error)))

        answer = _ByFetch(reply) if fetched else reply
        self.arrive(Arrival("fetch" if fetched else "call", label, None, run, fail, cause), object_id)

    def _reach(
        self,
        label: str,
        path: Path,
        args: tuple[Any, ...] | None,
        reply: Reply,
        cause: int,
        object_id: DurableObjectId | None,
    ) -> None:
        def run(incarnation: Incarnation) -> None:
            instance = incarnation.isolate.instance
            incarnation.invoke(label, lambda: call_member(instance, path, args), (), reply)

        def fail(error: BaseException) -> None:
            reply(outcome.Error(self.fallen(error)))

        self.arrive(Arrival("call", label, None, run, fail, cause), object_id)

    def open_session(self, label: str, object_id: DurableObjectId | None = None) -> None:
        """A call is about to come, perhaps: the object wakes, and nothing else happens (RPC-14a)."""
        self.arrive(Arrival("session", label, None, lambda _: None), object_id)

    def fallen(self, error: BaseException, ending: Ending | None = None) -> BaseException:
        """The error of an ending, the last one by default, as a direct caller over RPC sees it (LC-45)."""
        ending = ending or self.succession.ended_by
        # A section that took too long was ended by the platform, and is overloaded (LC-44).
        thrown = ending is not None and ending.thrown and not getattr(error, "overloaded", False)
        return fallen(error, remote=thrown and self.options.reset_errors_remote)

    def last_error(self) -> BaseException:
        """The same of the last reset, for stubs that are bound to what was there before (RPC-8)."""
        return self.fallen(self.last_reset or disconnected())

    # -- turns ---------------------------------------------------------------------------

    @property
    def running(self) -> Incarnation | None:
        """Whose turn it is, else the current incarnation."""
        turn = self._turn
        return self.incarnation if turn is None else turn.home

    def in_turn_of(self, incarnation: Incarnation) -> bool:
        """Whether it is the turn of ``incarnation``."""
        return self._turn is not None and self._turn.home is incarnation

    def turn_of(self, incarnation: Incarnation) -> Arrival | None:
        """The turn that ``incarnation`` takes now."""
        turn = self._turn
        return turn if turn is not None and turn.home is incarnation else None

    def begin(self, arrival: Arrival) -> None:
        """The turn of ``arrival``, which has the lock."""
        self._turn = arrival
        self.turns += 1
        incarnation = arrival.home
        assert incarnation is not None, "only what has arrived is granted"
        host = self.host
        host.begin_turn(incarnation.owner)
        if host.tracing:
            kind = "resume" if arrival.kind in ("resume", "section-end", "wake", "timer") else "turn"
            host.record(kind, arrival.strand or arrival.label, None, arrival.cause)
        try:
            arrival.run(incarnation)
        except InstanceGone:
            return  # what user code called back into has ended the instance (LC-32)

    def end_turn(self) -> bool:
        """No task of the turn can go on.  True when the next granted turn has begun."""
        arrival, self._turn = self._turn, None
        if arrival is None:
            return False
        incarnation = arrival.home
        if incarnation is None or incarnation.owner.dead:
            return False
        granted = arrival.gate.release()
        if incarnation.read_sockets:
            self.frames.turn_over(incarnation)
        if not incarnation.commits.turn_ended():
            return False
        following = incarnation.following
        if granted is not None:
            following.append(granted)
        if self.host.faulty and not incarnation.stale and self._go_wrong(incarnation) and incarnation.dead:
            return False  # one that was replaced goes on with what has the lock already (LC-26)
        if following:
            self.begin(following.pop(0))
            return True
        if not incarnation.inflight:
            self.rested(incarnation)
        if self.options.hung_sections_break:
            incarnation.look_for_hang()
        return False

    def rested(self, incarnation: Incarnation) -> None:
        """A turn or a flush of ``incarnation`` is over, and no turn follows at once."""
        if incarnation.inflight or incarnation.gate.locks:
            return
        if incarnation is self.incarnation:
            self.host.idle()
        elif not incarnation.busy:
            self.succession.drop(incarnation, ENDINGS["relocate"], disconnected())

    # -- life cycle ----------------------------------------------------------------------

    @property
    def life(self) -> Life:
        """Where the object is in its life (1.3)."""
        incarnation = self.incarnation
        if incarnation is None:
            return self.succession.asleep
        if not incarnation.constructed:
            return Life.CONSTRUCTING
        if self._turn is not None or incarnation.busy:
            return Life.ACTIVE
        return Life.IDLE_NON_HIBERNATEABLE if incarnation.held else Life.IDLE_HIBERNATEABLE

    def _wake_up(self) -> Incarnation | None:
        """Build the next incarnation; its constructor takes the first turn (IG-16)."""
        self.durable.name = self.id.name  # LC-5: an alarm that it sets knows it
        incarnation = self.incarnation = Incarnation(self, self.incarnations)
        self.incarnations += 1
        construct(incarnation)
        return self.incarnation

    @property
    def generation(self) -> int:
        """See `Succession`."""
        return self.succession.generation

    @property
    def last_reset(self) -> BaseException | None:
        """See `Succession`."""
        return self.succession.last_reset

    def end(self, kind: str, error: BaseException | None = None) -> bool:
        """See `Succession.end`."""
        return self.succession.end(kind, error)

    def forget_turn_of(self, incarnation: Incarnation) -> None:
        """It has died in its turn, which commits nothing and sends nothing."""
        if self.in_turn_of(incarnation):
            self._turn = None

    def broken(self, incarnation: Incarnation, error: BaseException, kind: str) -> None:
        """The code of ``incarnation`` has broken it (LC-31 to LC-34): callers see ``error``."""
        if incarnation is self.incarnation:
            self.end(kind, error)
        else:
            self.succession.drop(incarnation, ENDINGS[kind], error)

    def reset(self, error: BaseException, *, kind: str = "reset") -> None:
        """Memory, unflushed writes and sockets are lost; callers see ``error`` (LC-31 to LC-35)."""
        self.end(kind, error)

    def abort(self, incarnation: Incarnation, error: BaseException, *, retry_alarm: bool) -> None:
        """`ctx.abort`: a reset, after which the alarm whose handler ran is retried or not (LC-32, AL-26)."""
        self.alarms.gives_up = not retry_alarm
        self.broken(incarnation, error, "abort")
        self.alarms.gives_up = False

    def evict(self) -> bool:
        """Become inactive: memory and sockets are lost, storage is kept (LC-15, LC-20).  False where it is busy."""
        return self.end("evict")

    def hibernate(self) -> bool:
        """Memory is lost, sockets are kept (LC-14).  False where something blocks it (LC-17)."""
        return self.end("hibernate")

    def crash(self) -> bool:
        """The process is gone, in the middle of whatever it did."""
        return self.end("crash")

    def deploy(self, cls: type) -> None:
        """New code: the next instance is of ``cls``, and the present one is replaced (LC-25 to LC-29)."""
        self.cls = cls
        self.end("deploy")

    def stop(self) -> None:
        """The run is over: release what is held open, tell nobody."""
        self._turn = None
        self.succession.stop()

    def _go_wrong(self, incarnation: Incarnation) -> bool:
        """The boundary between two turns, as the fault plan sees it.  True when the instance is gone."""
        fault = self.host.fault
        idle = not incarnation.busy
        if fault("hibernate", possible=idle and not incarnation.held):
            return self.end("hibernate")
        if fault("evict", possible=idle):
            return self.end("evict")
        for kind in ("relocate", "deploy", "cpu-limit", "crash"):
            if fault(kind):
                return self.end(kind) and self.incarnation is not incarnation
        if fault("memory-limit"):
            self.host.isolate_gone()
        return False

    # -- the rest ------------------------------------------------------------------------

    def ended(self, incarnation: Incarnation, label: str, result: Outcome) -> bool:
        """A handler has ended; for trace and option to reset on a throw.  Whether its instance lives on."""
        if self.host.tracing:
            self.host.record_end(label, result)
        if self.options.reset_on_throw and type(result) is outcome.Error:
            self.broken(incarnation, result.error, "throw")
            return False
        return True

    def log(self, level: str, message: str, data: dict[str, Any], incarnation: Incarnation | None = None) -> None:
        """One line of debug output of this object."""
        incarnation = incarnation or self.incarnation
        if incarnation is not None:
            self.host.host.log(incarnation.owner, level, "lumenize_sim.objects", message, data)

"""Which instance of an object comes after which: how one ends, and what of it goes on.

`Succession.end` looks up what happens in the tables of `ending` and `life`, and carries it
out: the instance is dropped with everybody told who waits for it, or, where another one
takes over while something is in flight, becomes *stale* and finishes without storage
(LC-11, LC-26).  A class with ``pre_shutdown`` is given its last word first (LC-23).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.objects.ending import ENDINGS, NO_LONGER_ACTIVE, Ending
from lumenize_sim.objects.life import PASSAGES, Kept, Life, Passage
from lumenize_sim.objects.rpc_errors import disconnected
from lumenize_sim.objects.shutdown import PLANNED, Shutdown
from lumenize_sim.objects.work import KEEP_ALIVE_S

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["Succession"]


class Succession:
    """See the module.  No method is a checkpoint.

    Attributes:
        asleep: what the object is while it is not in memory.
        ended_by: how the last incarnation ended; ``None`` before the first end.
        generation: counts ends that break stubs; one bound before stays broken (RPC-8).
        last_reset: what such a stub hears.
        shutdown: the instance has its last word now; events wait for the next one.
        stale: those that were replaced and still have something in flight.
    """

    __slots__ = ("_machine", "asleep", "ended_by", "generation", "last_reset", "shutdown", "stale")

    def __init__(self, machine: ObjectMachine) -> None:
        self._machine = machine
        self.asleep = Life.INACTIVE
        self.ended_by: Ending | None = None
        self.generation = 0
        self.last_reset: BaseException | None = None
        self.shutdown: Shutdown | None = None
        self.stale: tuple[Incarnation, ...] = ()

    def end(self, kind: str, error: BaseException | None = None) -> bool:
        """End the current instance in the way ``kind`` (of `ENDINGS`); ``error`` is what its callers hear.

        False, and nothing happens, where the table of `life` has no such transition: the object is
        busy, or not in memory.
        """
        machine, ending = self._machine, ENDINGS[kind]
        passage = PASSAGES.get((machine.life, ending.verb))
        if passage is None:
            return False
        incarnation = machine.incarnation
        if ending.verb in PLANNED and incarnation is not None:
            if self.shutdown is not None:
                return False
            if incarnation.isolate.handles("pre_shutdown"):
                self.shutdown = Shutdown(machine, incarnation, ending, passage)
                return True
        self.leave(ending, passage, error)
        return True

    def protected_us(self) -> int:
        """How much longer pending work keeps an idle instance in memory (LC-18); 0 where it does not (LC-19).

        Whoever watches how long it is idle asks.  An instance may be lost for other reasons at any time.
        """
        machine = self._machine
        incarnation = machine.incarnation
        if incarnation is None or not machine.options.flag("durable_object_io_tasks_prevent_eviction"):
            return 0
        newest_us = max(incarnation.work.newest_us(), incarnation.timers.newest_us())
        return 0 if newest_us < 0 else max(0, newest_us + KEEP_ALIVE_S * 1_000_000 - machine.host.now_us())

    def leave(self, ending: Ending, passage: Passage, error: BaseException | None = None) -> None:
        """Carry ``passage`` out."""
        machine = self._machine
        host = machine.host
        error = ending.error() if error is None else error
        self.ended_by = ending
        self.asleep = passage.to
        if ending.breaks_stubs:
            self.generation += 1
            self.last_reset = disconnected(NO_LONGER_ACTIVE) if ending.verb == "replace" else error
        incarnation, machine.incarnation = machine.incarnation, None
        if host.tracing:
            number = machine.incarnations - 1 if incarnation is None else incarnation.number
            kind = ending.kind if ending.kind in ("hibernate", "evict") else "reset"
            host.record(kind, f"{machine.name}!{ending.kind}#{number}")
        recovering = machine.durable.restoring is not None
        if incarnation is not None:
            if passage.kept.in_flight and incarnation.handling:
                self._let_finish(incarnation, ending)
            else:
                self.drop(incarnation, ending, error, passage.kept)
        if recovering:
            machine.alarms.recovered()
        machine.frames.instance_ended(incarnation, keeps_sockets=passage.kept.sockets)
        shutdown, self.shutdown = self.shutdown, None
        if shutdown is not None:
            shutdown.over()

    def _let_finish(self, incarnation: Incarnation, ending: Ending) -> None:
        machine, host = self._machine, self._machine.host
        incarnation.replaced()
        machine.alarms.lost(ending.kind)
        self.stale = (*self.stale, incarnation)
        error = ending.error()
        self._tell_ends(incarnation, error)
        if ending.kind == "deploy":
            grace_s: Any = machine.options.deploy_grace_s  # decided, where it is explored
            label = f"{machine.name}!grace{incarnation.number}"
            due_us = host.now_us() + round(grace_s * 1_000_000)
            host.post_at(label, lambda: self.drop(incarnation, ending, error), due_us, background=True)

    def drop(self, incarnation: Incarnation, ending: Ending, error: BaseException, kept: Kept | None = None) -> None:
        """``incarnation`` is dead from now on: nothing of it runs again, and everybody who waits for it is told.

        ``kept`` None: it is a stale one, whose storage is another's already.
        """
        if incarnation.dead:
            return
        machine = self._machine
        self.stale = tuple(other for other in self.stale if other is not incarnation)
        queued = incarnation.drop()
        machine.forget_turn_of(incarnation)
        machine.host.drop_ready()
        if kept is not None:
            if kept.unflushed:
                incarnation.commits.settle()
                incarnation.store.close()
            else:
                if incarnation.store.wiping:
                    incarnation.store.tear(machine.host.fault("torn-delete-all", 4), 4)
                survives = machine.options.flush_survives_reset and not ending.loses_flush
                incarnation.store.crash(keep=incarnation.store.unflushed if survives else 0)
                machine.alarms.lost(ending.kind)
        else:
            machine.frames.stale_ended(incarnation)
        replies = list(incarnation.inflight.values())
        incarnation.inflight.clear()
        for arrival in queued:
            if arrival.fail is not None:
                arrival.fail(error)
        for reply in replies:
            reply(outcome.Error(machine.fallen(error, ending)))
        self._tell_ends(incarnation, error)

    def _tell_ends(self, incarnation: Incarnation, error: BaseException) -> None:
        unended = list(incarnation.unended.values())
        incarnation.unended.clear()
        for tell in unended:
            tell(outcome.Error(error))

    def stop(self) -> None:
        """The run is over: release what is held open, tell nobody."""
        machine = self._machine
        current, machine.incarnation = machine.incarnation, None
        for incarnation in (*self.stale, *(() if current is None else (current,))):
            incarnation.drop()
            incarnation.store.crash()
        self.stale = ()

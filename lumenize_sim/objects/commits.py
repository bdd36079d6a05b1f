"""What one incarnation has written, and what may leave because of it.

Where a turn ends its writes are committed, and what came out of it is sent through the
output gate: each effect waits for the commits that existed when it was issued, that of
its own turn included if a confirmed write came before it (OG-1, OG-9, OG-23).  A flush
makes a commit durable later, or fails, which ends the instance (OG-10).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import outcome

from lumenize_sim.objects.ending import FLUSH_FAILED
from lumenize_sim.objects.isolate import Effect, InstanceGone
from lumenize_sim.objects.output_gate import LOCK_TIMEOUT_MESSAGE, LOCK_TIMEOUT_S, OutputGate
from lumenize_sim.objects.pending import Pending
from lumenize_sim.objects.rpc_errors import reset_error
from lumenize_sim.objects.storage import StorageError

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation

__all__ = ["Commits"]

_LOCK_US: Final = LOCK_TIMEOUT_S * 1_000_000


class Commits:
    """See the module.  No method is a checkpoint.

    Attributes:
        gate: the output gate.
    """

    __slots__ = ("_asked", "_durable_by_us", "_incarnation", "_locked_us", "_lost", "_syncs", "_waiting_us", "gate")

    def __init__(self, incarnation: Incarnation) -> None:
        self.gate: OutputGate[Effect] = OutputGate()
        self._incarnation = incarnation
        self._durable_by_us = 0
        self._locked_us = 0  # when the lock of the newest confirmed commit began
        self._waiting_us = 0  # what the alarm scheduler adds to the flush that waits, -1 where it fails it (AL-8)
        self._lost = 0  # connections that the flush to begin next will lose
        self._asked: list[Callable[[], None]] = []
        self._syncs: deque[tuple[int, Callable[[], None]]] | None = None

    @property
    def held(self) -> int:
        """How many effects wait."""
        return self.gate.held

    def turn_ended(self) -> bool:
        """Commit what the turn wrote, and send what came out of it.  False where that was the instance's end."""
        incarnation = self._incarnation
        if incarnation.stale and not self._refusals_heard():
            return False
        effects = incarnation.isolate.effects()
        if incarnation.store.dirty:
            self._commit(effects)
        elif effects:
            self._leave_all(effects, self.gate.snapshot())
        if incarnation.owner.dead:
            return False
        if self._asked:
            asked, self._asked = self._asked, []
            for ask in asked:
                ask()
        return True

    def _refusals_heard(self) -> bool:
        """Whether the application knows of every access that was refused to it; if not, that is its end (LC-26).

        What it tells others from now on would rest on a write that never happens (LC-12, OG-1).
        """
        incarnation = self._incarnation
        for error in incarnation.store.refused:
            if not error.heard:
                incarnation.broken_by(error, "inaccessible")
                return False
        return True

    def split(self) -> None:
        """Commit what the running turn has written so far; what came out of it leaves, as at the end of a turn (OG-16).

        Nothing happens within an explicit transaction.

        Raises:
            InstanceGone: that was the instance's end.
        """
        incarnation = self._incarnation
        if incarnation.store.dirty and not incarnation.store.in_transaction:
            self._commit(incarnation.isolate.effects())
            if incarnation.owner.dead:
                raise InstanceGone

    def _commit(self, effects: list[tuple[Effect, bool]]) -> None:
        incarnation = self._incarnation
        machine, store, gate = incarnation.machine, incarnation.store, self.gate
        host = machine.host
        before = gate.snapshot()
        confirmed = store.confirmed
        try:
            number = store.commit()
        except StorageError as error:
            overflow = getattr(error, "overloaded", False)
            machine.reset(reset_error(str(error), overloaded=overflow), kind="constraint")
            if overflow and machine.options.kv_overflow_resets_isolate:
                host.isolate_gone(spared=True)
            return
        if number is None:
            self._leave_all(effects, before)
            return
        flush = store.next_flush()
        after_us = self._flush_after_us(flush) if flush is not None else 0
        ledger = machine.alarms.ledger
        if store.alarm_ms != ledger.known_ms:
            after_us = ledger.committed(store.alarm_ms, after_us)
        if host.tracing:
            host.record("commit", f"{machine.name}!commit#{number}", None if after_us is None else {"durable": False})
        if after_us is None:
            self._durable(number)
            self._leave_all(effects, before)
            return
        if confirmed:
            if gate.snapshot() != number:
                self._locked_us = host.now_us()
            gate.lock(number)
        for effect, wrote in effects:
            self._leave(effect, number if wrote and confirmed else before)
        if flush is not None:
            self._begin(flush, after_us, confirmed)
        else:
            self._waiting_us = -1 if after_us < 0 or self._waiting_us < 0 else max(self._waiting_us, after_us)

    def _durable(self, number: int) -> None:
        """The flush of ``number`` is over."""
        self._incarnation.store.flushed(number)
        ledger = self._incarnation.machine.alarms.ledger
        if ledger.behind:
            ledger.durable()

    def _flush_after_us(self, number: int) -> int | None:
        """How long the flush of ``number`` takes, -1 for one that fails, ``None`` for one that need be no event."""
        store, host = self._incarnation.store, self._incarnation.machine.host
        after_us = host.flush_after_us(number)
        if host.faulty and store.flush_retries:
            self._lost = host.fault("lost-flush", store.flush_retries + 2)
            if self._lost > store.flush_retries:
                return -1
            if self._lost and after_us is None:
                return 0
        return after_us

    def _begin(self, number: int, after_us: int, confirmed: bool) -> None:
        """A flush begins, and is over later."""
        incarnation = self._incarnation
        host = incarnation.machine.host
        label = f"{incarnation.machine.name}!flush{incarnation.number}#{number}"
        lost, self._lost = self._lost, 0
        if after_us < 0:
            host.post_flush(label, lambda: self._failed(number), 0)
            return
        if lost:
            self._try_again(label, number, lost, after_us)
        else:
            host.post_flush(label, lambda: self._flushed(number), after_us)
        now_us = host.now_us()
        self._durable_by_us = max(self._durable_by_us, now_us + after_us)
        if confirmed and self._durable_by_us - self._locked_us >= _LOCK_US:
            # Flushes end in order, so it is known already that this lock lasts too long (OG-5).
            host.post_at(f"{label}/timeout", lambda: self._overdue(number), max(now_us, self._locked_us + _LOCK_US))

    def _try_again(self, label: str, number: int, lost: int, after_us: int) -> None:
        """The connection is lost ``lost`` times before the flush gets through (OG-11)."""
        host = self._incarnation.machine.host
        if not lost:
            host.post_flush(label, lambda: self._flushed(number), after_us)
            return

        def again() -> None:
            if not self._incarnation.dead:
                self._try_again(label, number, lost - 1, after_us)

        host.post_flush(f"{label}/lost{lost}", again, 0)

    def _leave_all(self, effects: list[tuple[Effect, bool]], after: int) -> None:
        if after:
            for effect, _ in effects:
                self._leave(effect, after)
        else:
            for effect, _ in effects:
                effect()  # nothing is under way: the gate would say so for each

    def _leave(self, effect: Effect, after: int) -> None:
        host = self._incarnation.machine.host
        if after:
            hold = getattr(effect, "hold", None)
            if hold is not None:
                hold()
            if host.tracing:
                effect = host.caused(effect)
        if self.gate.emit(effect, after):
            effect()
        elif host.tracing:
            host.record("output-held", f"{self._incarnation.machine.name}!held", {"commit": after})

    def _flushed(self, number: int) -> None:
        incarnation = self._incarnation
        if incarnation.dead or incarnation.stale:
            return
        machine = incarnation.machine
        self._durable(number)
        if machine.host.tracing:
            machine.host.record("flush", f"{machine.name}!flush#{number}")
        self._release(number)
        if not incarnation.dead:
            self._flush_waiting()
            machine.rested(incarnation)

    def _flush_waiting(self) -> None:
        """What was written while a flush was under way is flushed now (OG-21)."""
        store = self._incarnation.store
        number = store.next_flush() if store.flush_retries else None
        if number is None:
            return
        waiting_us, self._waiting_us = self._waiting_us, 0
        after_us = self._flush_after_us(number)
        if waiting_us:
            after_us = -1 if waiting_us < 0 or after_us == -1 else (after_us or 0) + waiting_us
        if after_us is None:
            self._durable(number)
            self._release(number)
        else:
            self._begin(number, after_us, store.durable.log[0].confirmed)

    def _release(self, number: int) -> None:
        machine = self._incarnation.machine
        for effect in self.gate.durable(number):
            if machine.host.tracing:
                machine.host.record("output-released", f"{machine.name}!held", {"commit": number})
            effect()
        while self._syncs and self._syncs[0][0] <= number:
            self._syncs.popleft()[1]()

    def _failed(self, number: int) -> None:
        incarnation = self._incarnation
        if not incarnation.dead and not incarnation.stale:
            self.gate.fail(number, reset_error(FLUSH_FAILED))
            incarnation.machine.reset(reset_error(FLUSH_FAILED), kind="flush-failed")

    def _overdue(self, number: int) -> None:
        incarnation = self._incarnation
        if incarnation.dead or incarnation.stale or self.gate.snapshot() < number:
            return
        error = reset_error(LOCK_TIMEOUT_MESSAGE, overloaded=True)
        self.gate.fail(number, error)
        incarnation.machine.reset(error, kind="lock-timeout")

    def settle(self) -> None:
        """Everything committed is durable from now on, and leaves: another instance takes over in good order."""
        store = self._incarnation.store
        if store.unflushed:
            number = store.durable.number
            store.settle()
            self._incarnation.machine.alarms.ledger.settled()
            self._release(number)

    def sync(self) -> Pending[None]:
        """Settles when all writes up to now are durable; always ends the turn (IG-12, OG-26)."""
        return self.when_durable("sync", lambda: None, True)

    def when_durable(self, what: str, finish: Callable[[], Any], concurrent: bool) -> Pending[Any]:
        """Settles with what ``finish()`` returns when all writes up to now are durable; always ends the turn.

        Nothing else is delivered meanwhile unless ``concurrent`` (IG-5, IG-9).
        """
        incarnation = self._incarnation
        host = incarnation.machine.host
        pending, arrived = incarnation.wait_for(what) if concurrent else incarnation.wait_with_lock(what)
        label = f"{incarnation.machine.name}!{what}{incarnation.number}#{incarnation.next_section()}"

        def happens() -> None:
            if not incarnation.dead:
                arrived(label, outcome.capture(finish))

        def tell() -> None:
            host.post(label, happens)

        def asked() -> None:
            # When the turn is over: the writes of this very turn are commits by then.
            store = incarnation.store
            if not store.unflushed:
                tell()
                return
            if self._syncs is None:
                self._syncs = deque()
            self._syncs.append((store.durable.number, tell))

        self._asked.append(asked)
        return pending

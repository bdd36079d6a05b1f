"""What the stores of both backends have in common: the turn's transaction, as a whole, and the alarm time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.rpc_errors import Inaccessible
from lumenize_sim.objects.storage.durable import Durable
from lumenize_sim.objects.storage.hooks import StoreHooks
from lumenize_sim.objects.storage.limits import Limits

__all__ = ["ObjectStore"]


class ObjectStore(ABC):
    """Opened on a `Durable` by one incarnation.  No method is a checkpoint.

    Attributes:
        durable: what it was opened on.
        hooks: what the machine wants to know.
        limits: how much fits in.
        dirty: the turn has written something, and its end has to `commit`.
        confirmed: a confirmed write is among it, so that outputs from now on wait for it (OG-25).
        broken: what every call raises after a crash, a failed flush, or the end (OG-13).
        alarm_ms: the alarm time in this process, in epoch milliseconds (AL-1).
        flush_retries: how often a flush that has lost its connection is tried again (OG-11).
        refused: what was raised where another instance has the storage (LC-11), each time afresh.
        armed: the alarm handler runs, and no alarm was set during it: ``get_alarm`` hides the time (AL-5).
    """

    __slots__ = ("alarm_ms", "armed", "broken", "confirmed", "dirty", "durable", "hooks", "limits", "refused")

    flush_retries: ClassVar[int] = 0

    def __init__(self, durable: Durable, hooks: StoreHooks, limits: Limits | None) -> None:
        """Opens ``durable``.

        Raises:
            SimulatorError: another incarnation still has it open.
        """
        if durable.opened_by is not None:
            raise SimulatorError("a second store was opened on one durable object: close or crash the first")
        durable.opened_by = self
        self.durable = durable
        self.hooks = hooks
        self.limits = limits or Limits()
        self.dirty = False
        self.confirmed = False
        self.broken: BaseException | None = None
        self.refused: tuple[Inaccessible, ...] = ()
        self.alarm_ms = durable.alarm_ms
        self.armed = False

    # ------------------------------------------------------------------ what a backend adds

    @abstractmethod
    def commit(self) -> int | None:
        """End of a turn: commit what it wrote locally (OG-16).

        Returns the number of the commit, or ``None`` where nothing was written or a transaction goes on.
        """

    @abstractmethod
    def flushed(self, number: int) -> None:
        """Commits up to ``number`` are durable from now on (OG-20)."""

    def next_flush(self) -> int | None:
        """The number of the commit whose flush begins now; for the machine, after a commit and after a flush.

        ``None`` where the flush before has to end first (OG-21).  On SQLite each commit has a flush of its own.
        """
        return self.durable.number

    def settle(self) -> None:
        """Everything that is committed is durable from now on."""
        if self.durable.log:
            self.flushed(self.durable.number)

    @property
    def wiping(self) -> bool:
        """A flush is under way that removes everything in more than one step (ST-26)."""
        return False

    def tear(self, part: int, parts: int) -> None:
        """That flush had done ``part`` of ``parts`` of its work when it was broken off."""
        raise SimulatorError(f"{type(self).__name__} does everything in one step")

    @abstractmethod
    def crash(self, keep: int = 0, error: BaseException | None = None) -> None:
        """Lose what is not durable but the first ``keep`` commits, which become so.  Idempotent.

        Every later call raises ``error``, or what it raised already, by default that storage is no longer
        accessible (LC-39).
        """

    @abstractmethod
    def close(self) -> None:
        """The incarnation ends idle.

        Raises:
            SimulatorError: there are writes that are not durable.
        """

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction of the application is open."""

    @contextmanager
    def aside(self) -> Generator[None]:
        """Somebody looks from outside: nobody is told, nothing waits, and the cache stays as it is."""
        hooks, self.hooks = self.hooks, StoreHooks()
        try:
            yield
        finally:
            self.hooks = hooks

    # ------------------------------------------------------------------ the turn

    def check(self) -> None:
        """Raises `broken`, if set."""
        broken = self.broken
        if broken is None:
            return
        if isinstance(broken, Inaccessible):
            # Not twice the same: whether each was heard is another question.
            broken = Inaccessible(str(broken))
            self.refused = (*self.refused, broken)
        raise broken

    def mark(self, confirmed: bool) -> None:
        """A write of any kind begins (OG-23, OG-25)."""
        if not self.dirty:
            self.check()
            self.hooks.on_write()
            self.dirty = True
        if confirmed:
            self.confirmed = True

    @property
    def unflushed(self) -> int:
        """How many commits are not durable yet."""
        return len(self.durable.log)

    # ------------------------------------------------------------------ alarm

    def get_alarm(self) -> int | None:
        """The alarm time as the application sees it (AL-5)."""
        self.check()
        return None if self.armed else self.alarm_ms

    def set_alarm(self, alarm_ms: int | None, confirmed: bool) -> None:
        """Set or remove the alarm, in the transaction of this turn (AL-4).  The same time again is no write (AL-7)."""
        self.check()
        if alarm_ms != self.alarm_ms:
            self.mark(confirmed)
            self.alarm_ms = alarm_ms
        elif not self.armed:
            return
        self.armed = False
        self.hooks.on_alarm(alarm_ms)

    def arm(self) -> None:
        """The alarm handler is about to run (AL-5)."""
        self.armed = True

    def disarm(self, *, succeeded: bool) -> None:
        """The alarm handler has ended: delete the alarm, unless it was set or deleted meanwhile (AL-17).

        After a failure the time stands again (AL-5).
        """
        if self.armed and succeeded:
            self.set_alarm(None, True)
        self.armed = False

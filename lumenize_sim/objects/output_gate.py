"""The output gate: an effect leaves when every write that it could have seen is durable.

Commits carry rising numbers and become durable in order (OG-20), so "the locks that exist
at this moment" (OG-1) is a single number: the newest confirmed commit so far.  An effect
remembers it when it is issued and leaves when that commit is durable.  A later commit does
not delay it (OG-9), and one that failed later does not stop it (OG-3).

One channel's effects take rising numbers, so they leave in order although each waits for
itself alone (RPC-4, WS-25).  An effect with a *lower* number than one issued before it is
of another channel (its snapshot is older because it crossed the input gate in between,
IG-14) and is not held back by it.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.refusal import Error

__all__ = ["LOCK_CANCELED_MESSAGE", "LOCK_TIMEOUT_MESSAGE", "LOCK_TIMEOUT_S", "OutputGate"]

T = TypeVar("T")

#: A single lock may last this long (OG-5).  The machine keeps the timer and calls `OutputGate.fail`.
LOCK_TIMEOUT_S: Final = 30
#: Text of the overloaded error that then resets the object (OG-5).
LOCK_TIMEOUT_MESSAGE: Final = "Durable Object storage operation exceeded timeout which caused object to be reset."
#: Text of the error when a locked operation is cancelled (OG-4).
LOCK_CANCELED_MESSAGE: Final = "output lock was canceled before completion"


class OutputGate(Generic[T]):
    """The output gate of one instance.  Effects are opaque.

    Attributes:
        broken: the error of the flush that failed, if one did (OG-3).  Later failures leave it as it is.
        held: how many effects wait.
    """

    __slots__ = ("_durable", "_failed", "_held", "_locked", "_sequence", "broken", "held")

    def __init__(self) -> None:
        self.broken: BaseException | None = None
        self.held: int = 0
        self._locked = 0
        self._durable = 0
        self._failed: int | None = None
        self._sequence = 0
        # Effects by the commit they wait for.  Keys nearly always arrive rising; values are in order of issue.
        self._held: dict[int, list[tuple[int, T]]] = {}

    def lock(self, commit: int) -> None:
        """A confirmed commit is under way: effects issued from now on wait for it (OG-1).

        Call it at the first confirmed write of the transaction (OG-25); again for the same commit it does
        nothing.  A commit of unconfirmed writes only does not lock, but its number may `fail` (OG-12, OG-23).

        Raises:
            BaseException: the error that broke the gate (OG-13).
            SimulatorError: ``commit`` is older than one locked or durable already.
        """
        if self.broken is not None:
            raise self.broken
        if commit < self._locked or commit <= self._durable:
            raise SimulatorError(
                f"lock({commit}) after commit {max(self._locked, self._durable)}; commits are numbered in order"
            )
        self._locked = commit

    def snapshot(self) -> int:
        """The commit an effect issued now must wait for; 0 if none.

        On a broken gate it is the commit that failed, so that nothing issued from now on leaves (OG-10).
        """
        if self._failed is not None:
            return self._failed
        return self._locked if self._locked > self._durable else 0

    def emit(self, effect: T, after: int) -> bool:
        """An effect whose `snapshot` was ``after`` wants to leave.  O(1).

        Returns:
            True: it may leave at once.  False: it is held, and some later `durable` or `fail` returns it.

        Raises:
            BaseException: the error that broke the gate, if ``after`` is the failed commit or a later one.
                An older effect goes its way also on a broken gate (OG-3).
            SimulatorError: ``after`` was never locked.
        """
        if after <= self._durable:
            return True
        if self._failed is not None and after >= self._failed:
            assert self.broken is not None
            raise self.broken
        if after > self._locked:
            raise SimulatorError(f"emit(after={after}), but the newest locked commit is {self._locked}")
        self._sequence += 1
        self._held.setdefault(after, []).append((self._sequence, effect))
        self.held += 1
        return False

    def durable(self, commit: int) -> list[T]:
        """All commits up to this one are durable (OG-2).

        Returns:
            The effects that may leave now, in the order issued.  Send all of them before anything else is
            issued, or a new effect overtakes them.

        Raises:
            SimulatorError: that commit, or one before it, has failed.
        """
        if self._failed is not None and commit >= self._failed:
            raise SimulatorError(f"durable({commit}), but commit {self._failed} has failed; a crash leaves a prefix")
        if commit <= self._durable:
            return []
        self._durable = commit
        return self._take([after for after in self._held if after <= commit])

    def fail(self, commit: int, error: BaseException) -> list[T]:
        """The flush of ``commit`` failed; so has every later one (OG-10).  Also for unconfirmed commits (OG-12).

        Effects that wait for earlier commits stay held, and leave when those are durable (OG-3).

        Returns:
            The effects dropped, in the order issued: those that need this commit or a later one.

        Raises:
            SimulatorError: ``commit`` is durable already.
        """
        if commit <= self._durable:
            raise SimulatorError(f"fail({commit}), but commit {self._durable} is durable already")
        if self.broken is None:
            self.broken = error
        if self._failed is None or commit < self._failed:
            self._failed = commit
        return self._take([after for after in self._held if after >= commit])

    def cancel(self, commit: int) -> list[T]:
        """The flush of ``commit`` was called off before it had ended: that counts as a failure (OG-4).

        Returns, Raises:
            As `fail`.
        """
        return self.fail(commit, Error(LOCK_CANCELED_MESSAGE))

    def _take(self, commits: list[int]) -> list[T]:
        if not commits:
            return []
        taken = self._held.pop(commits[0])
        if len(commits) > 1:
            for after in commits[1:]:
                taken += self._held.pop(after)
            taken.sort(key=_sequence)
        self.held -= len(taken)
        return [effect for _, effect in taken]

    def __repr__(self) -> str:
        state = "" if self.broken is None else f" broken at {self._failed}"
        return f"<OutputGate locked={self._locked} durable={self._durable} held={self.held}{state}>"


def _sequence(entry: tuple[int, object]) -> int:
    return entry[0]

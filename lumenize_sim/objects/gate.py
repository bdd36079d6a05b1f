"""The input gate: which event may run now, and which have to wait.

What
====

An object runs one turn at a time, but that alone does not keep its code correct: between
two turns of a handler that waits for storage, another request could read the value that
the first is about to overwrite.  So the platform gives each instance a counted lock.
An event needs it before its turn (IG-1); a storage operation that really waits keeps a
reference to it (IG-5), so nothing else is delivered meanwhile; waiting for anything else
lets it go (IG-8).  ``block_concurrency_while`` nests a second lock inside the first: while
the section runs it owns one reference to the outer lock, and only what was begun inside
competes for the inner one (IG-22).

`Gate` is one such lock, the root of an instance or one section of it.  It is sans-IO: the
*items* it queues are opaque (anything but ``None``), it starts nothing, and whatever
it grants it returns to the caller.

Who owns what: a worked example
===============================

``root.locks`` and ``cs.locks`` after each step; items are quoted.

1. ``root.arrive("A")`` is ``True``.  A's turn owns the only reference.        root 1
2. ``root.arrive("B")`` is ``False``: B queues.                                root 1
3. A calls ``block_concurrency_while``: ``root.enter("cb")`` gives ``(cs, False)``.  The
   callback cannot begin yet, since A's own turn is what it waits for (IG-19).  root 1
4. A's turn ends: ``root.release()`` drops A's reference and returns ``"cb"``, because
   children go before waiters (IG-3).  Two references exist now.  The *section* owns the
   one of the root, and keeps it until it has finished.  The *first turn* of the callback
   owns the one of the section.                                                root 1, cs 1
5. The callback awaits a fetch.  Its turn ends: ``cs.release()`` is ``None``.  Nothing
   can run: B queues on the root, which is not free.                           root 1, cs 0
6. The fetch answers: ``cs.arrive("F")`` is ``True``, and the callback goes on.  root 1, cs 1
7. In F's turn the callback returns: ``cs.succeed()`` gives ``root``.  The references of
   the section become references of the root (one: F's turn, which is still running), and
   the one the section owned now belongs to A's continuation.                  root 2
8. F's turn ends: ``cs.release()``.  The handle forwards to the root.          root 1
9. The machine runs A's continuation.  It must not ask for the lock, because it has it;
   that is why nobody gets between the section and the code behind it (IG-25).
10. A's continuation ends: ``root.release()`` returns ``"B"``.                 root 1

The order of 7 and 8 does not matter.  Were F's turn ended first, ``cs`` would go to 0 and
be adopted with nothing.  A storage operation that the callback left behind keeps its
reference over step 7 as F's turn does, and B waits for it too.

Had the callback thrown, ``cs.fail(error)`` would have broken the section, the root and
everything between, and returned ``["B"]`` for the machine to fail (IG-20, IG-29).  A
``storage.transaction`` whose callback throws *succeeds* as far as the gate is concerned:
it rolls back and rejects, and the object lives on (IG-30).

Handles forward
===============

A task begun in a section remembers the section, and may outlive it (IG-26).  Its next
event then belongs to the nearest enclosing section that still runs.  Patching every such
task when a section ends would cost a walk over all of them, so a finished gate forwards
instead, and every method of a finished gate acts on the gate that adopted it.  Chains are
as short as the nesting, and are cut when followed.

Rejected
========

* *A semaphore or Trio's ``Lock``.*  They wake a waiter and let it race for the lock.
  Here the grant itself is synchronous, so a newcomer cannot barge in (IG-3).
* *One queue with priorities.*  Sections are not just urgent events: they stay first when
  they are moved to another gate, and they carry a gate of their own.
* *A separate class for sections.*  Sections nest by the same rules (IG-23); two classes
  would hold the same code.
* *A stack of gates in the instance.*  Which gate an event needs depends on where it was
  begun, not on what runs now.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final, Generic, TypeVar

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.refusal import Error

__all__ = [
    "MAX_SECTION_DEPTH",
    "SECTION_TIMEOUT_MESSAGE",
    "SECTION_TIMEOUT_S",
    "TRANSITIONS",
    "Gate",
    "GateState",
]

T = TypeVar("T")

#: Sections may nest this deep (IG-27).  The recorded runtime is older than the limit and has none.
MAX_SECTION_DEPTH: Final = 64
#: From the start of a section's callback, not from the call (IG-21).  The machine keeps the timer.
SECTION_TIMEOUT_S: Final = 30
#: Text of the overloaded error that then fails the section (IG-21).
SECTION_TIMEOUT_MESSAGE: Final = (
    "A call to blockConcurrencyWhile() in a Durable Object waited for too long. "
    "The call was canceled and the Durable Object was reset."
)


class GateState(Enum):
    """Where a gate is in its life.  A root begins ``OPEN``, a section ``QUEUED``."""

    QUEUED = "queued"  #: a section whose callback has not begun; it waits among its parent's children
    OPEN = "open"  #: grants its lock: the root of a live instance, or a running section
    ADOPTED = "adopted"  #: a section that succeeded; forwards to the gate that adopted it
    BROKEN = "broken"  #: a section of this instance failed; everything queued has failed with it
    GONE = "gone"  #: the instance is gone


_QUEUED, _OPEN, _ADOPTED, _BROKEN, _GONE = GateState

#: All changes of state.  A pair that is absent is a mistake of the caller, which is this package.
TRANSITIONS: Final[dict[tuple[GateState, str], GateState]] = {
    (_QUEUED, "begin"): _OPEN,
    (_OPEN, "succeed"): _ADOPTED,
    (_QUEUED, "fail"): _BROKEN,
    (_OPEN, "fail"): _BROKEN,
    (_BROKEN, "fail"): _BROKEN,
    (_GONE, "fail"): _GONE,
    (_QUEUED, "drop"): _GONE,
    (_OPEN, "drop"): _GONE,
    (_BROKEN, "drop"): _GONE,
    (_GONE, "drop"): _GONE,
}


class Gate(Generic[T]):
    """One input gate: the root of an instance, or one critical section.

    Build the root with ``Gate()``; sections come from `enter`.

    Attributes:
        depth: 0 for the root, one more for each section around.
        locks: references to the lock, 0 when it is free.  0 for an adopted gate.
        broken: the error of the section that failed, on every gate of the instance then.
        max_depth: how deep sections may nest, ``None`` for no limit (IG-27).
    """

    __slots__ = ("_children", "_inner", "_parent", "_state", "_waiters", "broken", "depth", "locks", "max_depth")

    def __init__(self, parent: Gate[T] | None = None, *, max_depth: int | None = MAX_SECTION_DEPTH) -> None:
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.max_depth: int | None = max_depth if parent is None else parent.max_depth
        self.locks: int = 0
        self.broken: BaseException | None = None
        self._parent = parent
        self._state = _OPEN if parent is None else _QUEUED
        # Made when something queues, which it rarely does: an empty deque takes more room than all the rest.
        self._children: deque[tuple[Gate[T], T]] | None = None
        self._waiters: deque[T] | None = None
        # The section that runs inside.  There is one at most, since it owns a reference to this lock.
        self._inner: Gate[T] | None = None

    @property
    def state(self) -> GateState:
        """Where this very handle is in its life; adopted handles do not forward it."""
        return self._state

    @property
    def waiting(self) -> int:
        """How many items queue on this gate, sections and events together.  0 for an adopted gate."""
        return len(self._children or ()) + len(self._waiters or ())

    def live(self) -> Gate[T]:
        """This gate, or the nearest enclosing one that adopted it and is unfinished itself (IG-26).

        May be a broken gate or one that is gone: those are never adopted.
        """
        gate = self
        while gate._state is _ADOPTED:
            assert gate._parent is not None
            gate = gate._parent
        if self is not gate:
            self._parent = gate
        return gate

    def arrive(self, item: T) -> bool:
        """An event asks for the lock (IG-1).  O(1).

        Returns:
            True: granted, ``item`` owns the only reference (IG-2).  False: queued, in order of arrival;
            some later `release` returns it.

        Raises:
            BaseException: the error that broke the gate (IG-20).
            SimulatorError: the section has not begun, or the instance is gone.
        """
        gate = self if self._state is _OPEN else self._usable("arrive")
        if gate.locks:
            if gate._waiters is None:
                gate._waiters = deque()
            gate._waiters.append(item)
            return False
        gate.locks = 1
        return True

    def hold(self) -> None:
        """One more reference: a storage operation of the running turn really waits (IG-5).

        It is dropped by one more `release`, after the turn of the completion, which runs with this
        reference and does not `arrive` (IG-6).

        Raises:
            SimulatorError: nobody has the lock, so there is no turn that could have begun the operation.
        """
        gate = self if self._state is _OPEN else self.live()
        if not gate.locks:
            raise SimulatorError(f"hold() on {gate!r}, whose lock nobody has; only a running turn may hold it longer")
        gate.locks += 1

    def release(self) -> T | None:
        """Drop one reference; if it was the last, pass the lock on at once (IG-3, IG-4).  O(1).

        Returns:
            The one item that now owns the lock: the start of the oldest waiting section, else the
            oldest event, else ``None``.  For a section's start the reference granted is that of the
            *section's* lock; the section itself has taken the one of this gate.

        Raises:
            SimulatorError: nobody has the lock.
        """
        gate = self if self._state is _OPEN else self.live()
        locks = gate.locks - 1
        if locks > 0:
            gate.locks = locks
            return None
        if locks < 0:
            raise SimulatorError(f"release() on {gate!r}, whose lock nobody has; one turn released it twice")
        if gate._children:
            section, item = gate._children.popleft()
            gate._begin(section)
            return item
        waiters = gate._waiters
        if waiters:
            item = waiters.popleft()
            if not waiters:
                gate._waiters = None
            return item
        gate.locks = 0
        return None

    def enter(self, item: T) -> tuple[Gate[T], bool]:
        """Begin a critical section under this gate; ``item`` stands for the first turn of its callback.

        Returns:
            The section, and whether it has begun.  Where a turn calls this it has the lock itself, so
            the section queues among the children and begins later (IG-19).

        Raises:
            Error: sections would nest deeper than ``max_depth`` (IG-27).  Nothing has changed then.
            BaseException: the error that broke the gate.
            SimulatorError: this section has not begun, or the instance is gone.
        """
        gate = self if self._state is _OPEN else self._usable("enter")
        if gate.max_depth is not None and gate.depth >= gate.max_depth:
            raise Error("blockConcurrencyWhile() calls are nested too deeply.")
        section = Gate(gate)
        if gate.locks:
            if gate._children is None:
                gate._children = deque()
            gate._children.append((section, item))
            return section, False
        gate.locks = 1
        gate._begin(section)
        return section, True

    def succeed(self) -> Gate[T]:
        """The section has finished (IG-25, IG-26).

        What queued on it goes to the end of the adopting gate's queues, the references to its lock
        become references to that one's, and this handle forwards from now on.

        Returns:
            The gate that adopted it, on which the awaiting caller now owns the reference that the
            section had.  Run the caller's turn without asking for the lock, then ``release()``
            that gate.  Where nobody awaits the section, ``release()`` it all the same.

        Raises:
            SimulatorError: this is no running section.
        """
        parent = self._parent
        if parent is None:
            raise SimulatorError("succeed() on the root gate of an instance; only sections finish")
        self._move("succeed")
        adopter = self._parent = parent.live()
        if self._children:
            adopter._children = adopter._children or deque()
            adopter._children.extend(self._children)
        if self._waiters:
            adopter._waiters = adopter._waiters or deque()
            adopter._waiters.extend(self._waiters)
        self._children = self._waiters = None
        adopter.locks += self.locks
        self.locks = 0
        # A section that runs inside goes on under the adopter, and must be found if that one breaks.
        adopter._inner, self._inner = self._inner, None
        return adopter

    def fail(self, error: BaseException) -> list[T]:
        """A section failed, or the root is broken from outside: no gate of this instance grants any more.

        Breaks this gate and every one around it (IG-20, IG-29).  Sections inside are broken as well: the
        instance is reset, so a lock they granted would be of no use.  Later `arrive` and `enter` raise
        ``error``; `release` stays allowed for the turn that is still running, and grants nothing.

        Returns:
            All queued items: innermost gate first, and in each sections before events, oldest first.
            Empty if the gate was broken already; the first error stays.

        Raises:
            SimulatorError: the section has succeeded before (its timer was not called off).
        """
        broken_before = self._state is _BROKEN or self._state is _GONE
        if self._state is _ADOPTED:
            raise SimulatorError(f"fail() on {self!r}, which has succeeded")
        return [] if broken_before else self._end("fail", error)

    def drop(self) -> list[T]:
        """The instance is gone (hibernated, evicted, aborted): nothing is granted any more (IG-32).

        Returns:
            All queued items, in the order of `fail`.  Waiters die with their instance: fail them, do not
            bring them to the next one.
        """
        return self._end("drop", None)

    def _begin(self, section: Gate[T]) -> None:
        """Start ``section``, which owns the only reference to this lock."""
        section._move("begin")
        section.locks = 1
        self._inner = section

    def _end(self, verb: str, error: BaseException | None) -> list[T]:
        gate = self.live()
        while gate._parent is not None:
            gate = gate._parent.live()
        lineage = [gate]
        while (inner := lineage[-1]._inner) is not None:
            lineage.append(inner)
        items: list[T] = []
        for gate in reversed(lineage):
            for section, item in gate._children or ():
                section._move(verb)
                section.broken = error
                items.append(item)
            items.extend(gate._waiters or ())
            gate._children = gate._waiters = None
            gate._move(verb)
            gate.broken = gate.broken or error
        return items

    def _move(self, verb: str) -> None:
        state = TRANSITIONS.get((self._state, verb))
        if state is None:
            raise SimulatorError(f"{verb} on {self!r}; no such transition")
        self._state = state

    def _usable(self, verb: str) -> Gate[T]:
        gate = self.live()
        if gate._state is _OPEN:
            return gate
        if gate.broken is not None:
            raise gate.broken
        raise SimulatorError(f"{verb}() on {gate!r}; only a live instance's gate or running section grants a lock")

    def __repr__(self) -> str:
        return f"<Gate depth={self.depth} {self._state.value} locks={self.locks} waiting={self.waiting}>"

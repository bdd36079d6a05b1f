"""The inner seam: all that the object machine asks of the code it runs.

A node is somebody else's code in some engine.  The machine gives it one event at a
time and takes what comes out; it never sees a coroutine, a task or a frame.  Today
the engine is a Python class whose async handlers are Trio tasks (`PythonIsolate`).
An engine with an explicit job queue fits behind the same five verbs.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import lru_cache
from typing import Any, Final, Protocol

import outcome
import trio

from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import Owner

__all__ = ["Effect", "InstanceGone", "Isolate", "PythonIsolate", "is_awaitable"]

#: Something that leaves the object when its output gate lets it.
Effect = Callable[[], None]

#: Handlers that the platform calls, with arguments that they need not declare.
_HANDLERS: Final = frozenset(
    {"alarm", "fetch", "pre_shutdown", "web_socket_close", "web_socket_error", "web_socket_message"}
)


class InstanceGone(BaseException):
    """Unwinds the frames of an instance that has just been reset.  Never reaches an application's caller."""


class Isolate(Protocol):
    """One instance's code."""

    def construct(self, context: Context) -> None:
        """Run the constructor, one turn.  Raises what it raises."""
        ...

    def handles(self, handler: str) -> bool:
        """Whether the class has ``handler``."""
        ...

    def take_turn(
        self,
        context: Context,
        handler: str | Callable[..., Any],
        args: tuple[Any, ...],
        done: Callable[[Outcome], None],
    ) -> None:
        """Begin ``handler`` in ``context``; ``done`` hears its outcome, in this turn or a later one."""
        ...

    def resume(self, wait: Pending[Any], result: Outcome) -> None:
        """Resume whoever awaits ``wait``, in a turn that the machine has begun."""
        ...

    def emit(self, effect: Effect, *, answer: bool = False) -> None:
        """An effect came out of the running turn; ``answer``: it answers the call that began the turn."""
        ...

    def effects(self) -> list[tuple[Effect, bool]]:
        """What came out since the last call: the effect, and whether a write of this very turn preceded it.

        Answers come first: a call needs a hop more than an answer (IG-14, RPC-1a), so where nothing
        else decides, the answer of a turn is ahead of the calls it made.
        """
        ...

    @property
    def pending(self) -> int:
        """How many handlers have begun and not ended."""
        ...


def is_awaitable(value: object) -> bool:
    """Whether ``value`` must be awaited: a coroutine, a `Pending`, or anything with ``__await__``."""
    return hasattr(type(value), "__await__")


@lru_cache(maxsize=4096)
def _declared(cls: type, handler: str) -> int | None:
    """How many arguments ``handler`` of ``cls`` takes by position, or ``None`` where that is not to be known.

    In JavaScript a function that declares fewer parameters than it is given ignores the rest: ``alarm()`` and
    ``webSocketClose(ws, code)`` are usual.
    """
    found = inspect.getattr_static(cls, handler, None)
    if not inspect.isfunction(found):
        return None
    taken = 0
    for parameter in inspect.signature(found).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return None
        taken += parameter.kind is not inspect.Parameter.KEYWORD_ONLY and (
            parameter.kind is not inspect.Parameter.VAR_KEYWORD
        )
    return max(0, taken - 1)


class PythonIsolate:
    """A Python class; synchronous handlers run inline, async ones as Trio tasks of the owner.

    Args:
        make: ``make()`` constructs the instance.
        owner: whose tasks they are.
        wrote: whether the running turn has made a confirmed write so far.
        interrupt: hears Ctrl-C that reached node code.
    """

    __slots__ = ("_answers", "_effects", "_interrupt", "_make", "_owner", "_wrote", "instance", "pending")

    def __init__(
        self,
        make: Callable[[], Any],
        owner: Owner,
        *,
        wrote: Callable[[], bool],
        interrupt: Callable[[BaseException], None],
    ) -> None:
        self._make = make
        self._owner = owner
        self._wrote = wrote
        self._interrupt = interrupt
        self._effects: list[tuple[Effect, bool]] = []
        self._answers = 0
        self.instance: Any = None
        self.pending = 0

    def construct(self, context: Context) -> None:
        """Run the constructor."""
        try:
            self.instance = context.run(self._make)
        except InstanceGone:
            return

    def handles(self, handler: str) -> bool:
        """Whether the class defines ``handler``; instance attributes do not count (RPC-13)."""
        return callable(inspect.getattr_static(type(self.instance), handler, None))

    def take_turn(
        self,
        context: Context,
        handler: str | Callable[..., Any],
        args: tuple[Any, ...],
        done: Callable[[Outcome], None],
    ) -> None:
        """Begin ``handler``; a task is made only for what must be awaited."""
        try:
            if isinstance(handler, str):
                function = getattr(self.instance, handler)
                if handler in _HANDLERS:
                    args = args[: _declared(type(self.instance), handler)]  # type: ignore[arg-type]  # classes can be hashed
            else:
                function = handler
            result = context.run(function, *args)
        except (Exception, SystemExit) as error:
            # An app that calls sys.exit() must not end the simulator with exit code 0.
            done(outcome.Error(error))
            return
        except InstanceGone:
            return
        if is_awaitable(result):
            if isinstance(result, Pending):
                if result.done:
                    result.when_done(done)
                else:
                    self.pending += 1
                    context.run(result.when_done, self._counted(done))
                return
            self.pending += 1
            context.run(self._owner.spawn, self._drive, result, done)
        else:
            done(outcome.Value(result))

    def _counted(self, done: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        def ended(result: Outcome) -> None:
            self.pending -= 1
            done(result)

        return ended

    async def _drive(self, awaitable: Awaitable[Any], done: Callable[[Outcome], None]) -> None:
        try:
            value = await awaitable
        except trio.Cancelled:
            # Nobody cancels handlers but the end of the run, when nobody listens.
            raise
        except InstanceGone:
            return
        except (Exception, SystemExit) as error:
            self.pending -= 1
            done(outcome.Error(error))
        except BaseException as error:
            # A nursery wraps what comes out of its children, and what ended the instance as well.
            if not isinstance(error, BaseExceptionGroup) or error.split(InstanceGone)[1] is not None:
                self._interrupt(error)
        else:
            self.pending -= 1
            done(outcome.Value(value))

    def resume(self, wait: Pending[Any], result: Outcome) -> None:
        """Settle ``wait``."""
        wait.settle(result)

    def emit(self, effect: Effect, *, answer: bool = False) -> None:
        """Keep ``effect`` until the turn ends."""
        if answer:
            self._effects.insert(self._answers, (effect, self._wrote()))
            self._answers += 1
        else:
            self._effects.append((effect, self._wrote()))

    def effects(self) -> list[tuple[Effect, bool]]:
        """What came out of the turn."""
        effects = self._effects
        if effects:
            self._effects = []
            self._answers = 0
        return effects

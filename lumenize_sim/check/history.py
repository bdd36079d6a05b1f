"""Histories: who asked what and was answered what, recorded while a scenario runs, and judged at its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, cast

import attrs
import outcome

from lumenize_sim.check.linearizability import Verdict, linearizable
from lumenize_sim.check.model import Model
from lumenize_sim.check.operation import Operation, calls_in
from lumenize_sim.errors import UsageError
from lumenize_sim.trace.trace import Trace

__all__ = ["History"]

T = TypeVar("T")


class History:
    """What concurrent callers saw of something that a `Model` describes.

    ::

        history = world.history(Register(initial=0))
        await history.do("alice", "write", 1, call=register.write(1))
        assert await history.do("bob", "read", call=register.read()) in (0, 1)
        history.check()

    Args:
        model: what it should behave like.
        note: told of each question and answer; a world records them in the trace.
        line: answers with the line of the app that asks.
    """

    def __init__(
        self,
        model: Model,
        *,
        note: Callable[[str], None] = lambda _: None,
        line: Callable[[], str | None] = lambda: None,
    ) -> None:
        if not isinstance(model, Model):
            raise UsageError(f"{model!r} is no model: give Register(), Map(), … or a class with `initial` and `apply`")
        self.model = model
        self._note = note
        self._line = line
        self._operations: list[Operation] = []
        self._clock = 0
        self._gone: dict[int, None] = {}

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All so far, in the order in which they were asked; without those that certainly did not happen."""
        return tuple(op for nth, op in enumerate(self._operations) if nth not in self._gone)

    def do(self, process: object, op: str, *args: Any, call: Awaitable[T] | Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Record a call that is made now; await it (or `gather` several) for what the call answers.

        Args:
            process: who asks: a name, a client or anything with a ``name``.
            op, args: what is asked, in words of the model.
            call: the call that was just made, or a function that makes it.

        A call that raises counts as unanswered, since it may have done its work before; one that its object has
        refused as overloaded, as one that did not happen (LC-38).
        """
        nth = self.invoke(process, op, *args)
        # What a stub returns can be called and awaited: it is a call already.
        pending: Any = call if hasattr(type(call), "__await__") else cast("Callable[[], Awaitable[T]]", call)()
        when_done = getattr(pending, "when_done", None)
        if when_done is None:
            return self._await(nth, pending)
        when_done(lambda result: self._settled(nth, result))
        awaitable: Awaitable[T] = pending
        return awaitable

    async def _await(self, nth: int, awaitable: Awaitable[T]) -> T:
        try:
            value = await awaitable
        except Exception as error:
            self._settled(nth, outcome.Error(error))
            raise
        self._settled(nth, outcome.Value(value))
        return value

    def _settled(self, nth: int, result: outcome.Value[Any] | outcome.Error) -> None:
        if isinstance(result, outcome.Value):
            self.answer(nth, result.value)
        elif getattr(result.error, "overloaded", False) is True:
            self.refuse(nth)

    # -- by hand, where an answer comes by another way than the question went ---------------------

    def invoke(self, process: object, op: str, *args: Any) -> int:
        """Somebody asks; the number is for `answer` and `refuse`."""
        self._clock += 1
        operation = Operation(_name(process), op, args, self._clock, where=self._line())
        self._operations.append(operation)
        self._note(f"{operation.process}: {op}({', '.join(map(repr, args))})")
        return len(self._operations) - 1

    def answer(self, nth: int, result: Any = None) -> None:
        """Question ``nth`` was answered; a second answer is ignored."""
        held = self._operations[nth]
        if held.pending:
            self._clock += 1
            answered = self._operations[nth] = attrs.evolve(held, returned=self._clock, result=result)
            self._note(str(answered))

    def refuse(self, nth: int) -> None:
        """Question ``nth`` certainly did nothing."""
        self._gone[nth] = None

    # -- judging ----------------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        """Whether what was answered so far has an order that explains it (see `Verdict`)."""
        return linearizable(self.operations, self.model)

    def check(self) -> Verdict:
        """`verdict`, and an AssertionError with its message where there is no such order."""
        verdict = self.verdict()
        if not verdict.holds:
            raise AssertionError(verdict.message)
        return verdict

    @classmethod
    def of_calls(
        cls,
        trace: Trace,
        to: str,
        model: Model,
        *,
        methods: Iterable[str] = (),
        read: Callable[[Operation], Operation] = lambda op: op,
    ) -> History:
        """The history of the calls of one actor that a recorded trace shows (see `calls_in`).

        Args:
            read: makes the operation of the model of each call, which is named like the method.
        """
        return cls.of(map(read, calls_in(trace, to, methods=methods)), model)

    @classmethod
    def of(cls, operations: Iterable[Operation], model: Model) -> History:
        """A history of operations recorded by other means."""
        history = cls(model)
        history._operations = list(operations)
        history._clock = max((max(op.invoked, op.returned or 0) for op in history._operations), default=0)
        return history


def _name(process: object) -> str:
    if isinstance(process, str):
        return process
    for path in (("name",), ("lmz", "instance_name")):
        found: Any = process
        for part in path:
            found = getattr(found, part, None)
        if isinstance(found, str):
            return found
    return type(process).__name__

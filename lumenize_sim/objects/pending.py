"""Operations act when called: the awaitable they return is only their result.

A JavaScript promise may be awaited later, many times, or never, and the work
behind it happens all the same.  A Python coroutine that nobody awaits does
nothing.  So every operation of the platform (async storage, stub calls,
`call_raw`, fetch, `block_concurrency_while`) is a plain function that acts at
once and returns a `Pending`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Generic, Self, TypeVar

import outcome
import trio

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.rpc_errors import heard
from lumenize_sim.objects.strand import strand_var

__all__ = ["Pending", "begin", "gather"]

T = TypeVar("T")
Outcome = outcome.Value[Any] | outcome.Error


class Pending(Generic[T]):
    """The result of an operation that has already begun.

    Awaiting it parks the task until the host settles it (a checkpoint that ends
    the turn), or continues at once, in the same turn, where it is settled already.
    """

    __slots__ = ("_callbacks", "_outcome", "_waiters", "label")

    def __init__(self, label: str = "") -> None:
        self.label = label
        self._outcome: Outcome | None = None
        self._waiters: list[trio.lowlevel.Task] = []
        self._callbacks: list[tuple[Context, Callable[[Outcome], None]]] = []

    @classmethod
    def of(cls, value: T) -> Self:
        """One that is settled with ``value`` already."""
        self = cls()
        self._outcome = outcome.Value(value)
        return self

    @classmethod
    def failed(cls, error: BaseException) -> Self:
        """One that is settled with ``error`` already."""
        self = cls()
        self._outcome = outcome.Error(error)
        heard(error, False)
        return self

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    def settle(self, result: Outcome) -> None:
        """Fix the outcome, run callbacks, make waiters runnable.  For hosts, within a turn of the owner."""
        if self._outcome is not None:
            return
        self._outcome = result
        if type(result) is outcome.Error:
            heard(result.error, False)
        callbacks, self._callbacks = self._callbacks, []
        if callbacks:
            strand = strand_var.get()
            for context, callback in callbacks:
                captured = context.get(strand_var)
                if strand is not None and (captured is None or captured.owner is not strand.owner):
                    # Somebody else called a method of ours (a driver clicked): what follows is our own doing.
                    context.run(strand_var.set, strand)
                context.run(callback, result)
        waiters, self._waiters = self._waiters, []
        for task in waiters:
            trio.lowlevel.reschedule(task)

    def when_done(self, callback: Callable[[Outcome], None]) -> None:
        """Run ``callback(outcome)`` in the turn that settles this, in a copy of the caller's context.

        Where it is settled already the callback runs at once.  The callback must not raise.
        """
        if self._outcome is None:
            self._callbacks.append((copy_context(), callback))
        else:
            callback(self._outcome)

    def __await__(self) -> Generator[Any, Any, T]:
        if self._outcome is None:
            task = trio.lowlevel.current_task()
            self._waiters.append(task)

            def abort(_: Any) -> trio.lowlevel.Abort:
                self._waiters.remove(task)
                return trio.lowlevel.Abort.SUCCEEDED

            yield from trio.lowlevel.wait_task_rescheduled(abort).__await__()  # noqa: ASYNC105  # `yield from` awaits it
        result = self._outcome
        assert result is not None
        if isinstance(result, outcome.Error):
            heard(result.error)
            raise result.error
        value: T = result.value
        return value

    def __repr__(self) -> str:
        state = "pending" if self._outcome is None else repr(self._outcome)
        return f"<Pending {self.label} {state}>"


def begin(awaitable: Awaitable[T]) -> Pending[T]:
    """Let ``awaitable`` go on by itself, as an async function of JavaScript does that is called and not awaited.

    A coroutine becomes a task of whoever runs: it begins in this turn, once the running code waits or ends, and ends
    with its node.  It keeps nothing alive; ``ctx.wait_until`` does.  Its failure is the outcome, and if nobody asks
    for that, nothing happens (LC-30).

    Raises:
        UsageError: called outside of every node and driver.
    """
    if isinstance(awaitable, Pending):
        return awaitable
    read: Callable[[Any], Pending[T]] | None = getattr(type(awaitable), "read", None)
    if read is not None:
        return read(awaitable)  # a property of a stub, which is read when asked for
    strand = strand_var.get()
    if strand is None:
        close = getattr(awaitable, "close", None)
        if close is not None:
            close()
        raise UsageError("begin() was called outside of every node and driver, so nobody can run it; await it there")
    begun: Pending[T] = Pending(getattr(awaitable, "__qualname__", "task"))

    async def run() -> None:
        try:
            value = await awaitable
        except Exception as error:
            begun.settle(outcome.Error(error))
        else:
            begun.settle(outcome.Value(value))

    strand.owner.spawn(run)
    return begun


def gather(*awaitables: Awaitable[Any]) -> Pending[list[Any]]:
    """All results in the order given, as `Promise.all`: the first error to arrive settles it.

    What has not begun yet, such as a coroutine, begins now (`begin`).
    """
    together: Pending[list[Any]] = Pending("gather")
    left = len(awaitables)
    values: list[Any] = [None] * left
    if not left:
        return Pending.of([])

    def arrived(index: int, result: Outcome) -> None:
        nonlocal left
        if isinstance(result, outcome.Error):
            together.settle(result)
            return
        values[index] = result.value
        left -= 1
        if not left:
            together.settle(outcome.Value(values))

    for index, awaitable in enumerate(awaitables):
        begin(awaitable).when_done(partial(arrived, index))
    return together

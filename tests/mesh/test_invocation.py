"""An invocation ends when nothing of it is left, and not before (RPC-22, RPC-24)."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

import outcome
import pytest

from lumenize_sim.mesh.invocation import Invocation
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import Owner, Strand

WAITS: list[Pending[Any]] = []


class Clerk:
    """Answers at once; goes on for as long as what it was told to wait for."""

    def __init__(self, ctx: Any, env: Any) -> None:
        self.ctx = ctx

    def work(self, waits: int) -> str:
        for _ in range(waits):
            WAITS.append(Pending("wait"))
            self.ctx.wait_until(WAITS[-1])
        return "done"


class Broken(Clerk):
    """Cannot be made."""

    def __init__(self, ctx: Any, env: Any) -> None:
        raise ValueError("no env")


class Seat:
    """Writes down what it is asked; also its own timer handle."""

    enhanced = False
    sessions = 0
    lonely: Any = None

    def __init__(self) -> None:
        self.owner = Owner("CLERK~1", lambda fn, args: None, lambda task: None)
        self.heard: list[Any] = []

    def context(self, label: str) -> Context:
        return Strand(self.owner, label).context(copy_context())

    def interrupt(self, error: BaseException) -> None:
        raise error

    def handled(self, label: str, result: Outcome) -> None:
        self.heard.append("ended")

    def unhandled(self, error: BaseException) -> None:
        self.heard.append(str(error))

    def set_limit(self, after_us: int, fire: Callable[[], None]) -> Seat:
        self.heard.append(after_us)
        return self

    def cancel(self) -> None:
        self.heard.append("cancel")

    def drop_calls(self) -> None:
        self.heard.append("drop")

    def finish(self) -> None:
        self.heard.append("finish")


def invoked(cls: type, method: str, *args: Any) -> tuple[Seat, list[Outcome]]:
    WAITS.clear()
    seat, replies = Seat(), []
    host: Any = None
    env: Any = None
    Invocation(cls, host, seat, env, "call", replies.append).begin(method, args)
    return seat, replies


def test_without_anything_to_wait_for_it_ends_with_its_answer() -> None:
    """The answer leaves first; no limit is set."""
    seat, replies = invoked(Clerk, "work", 0)
    assert replies == [outcome.Value("done")]
    assert seat.heard == ["ended", "finish"]


def test_the_last_thing_waited_for_ends_it_and_calls_the_limit_off() -> None:
    """A failure is heard by the host, and does not end the others (RPC-22)."""
    seat, replies = invoked(Clerk, "work", 2)
    assert replies == [outcome.Value("done")]
    assert seat.heard == ["ended", 30_000_000]
    WAITS[0].settle(outcome.Error(ValueError("late")))
    assert seat.heard[2:] == ["late"]
    WAITS[1].settle(outcome.Value(None))
    assert seat.heard[3:] == ["cancel", "finish"]


@pytest.mark.parametrize(
    "cls, method, text",
    [
        (Clerk, "nothing", 'The RPC receiver does not implement the method "nothing".'),
        (Clerk, "fetch", "Handler does not export a fetch() function."),
        (Broken, "work", "no env"),
    ],
)
def test_what_cannot_run_fails_with_a_copy_of_the_reason(cls: type, method: str, text: str) -> None:
    """RPC-13, RPC-19, RPC-20."""
    seat, replies = invoked(cls, method, 0)
    assert isinstance(replies[0], outcome.Error)
    assert str(replies[0].error) == text
    assert getattr(replies[0].error, "remote", False) is True
    assert seat.heard == ["ended", "finish"]

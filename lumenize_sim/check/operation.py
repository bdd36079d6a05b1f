"""Operations of concurrent callers: what was asked, when, and what was answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from lumenize_sim.trace.texts import text_of
from lumenize_sim.trace.trace import Trace

__all__ = ["Operation", "calls_in"]


@attrs.frozen(eq=False)
class Operation:
    """One operation, as its caller saw it.

    Attributes:
        process: who asked.
        op: what, as the model knows it.
        args: with what.
        invoked: position of the question among all questions and answers.
        returned: position of the answer, or ``None`` where none came: it may have happened, at any time after
            ``invoked``, or not.
        result: of an operation that has returned.
        where: ``"file.py:line"`` that asked, where known.
    """

    process: str
    op: str
    args: tuple[Any, ...]
    invoked: int
    returned: int | None = None
    result: Any = None
    where: str | None = None

    @property
    def pending(self) -> bool:
        """Whether nobody knows if it happened."""
        return self.returned is None

    def __str__(self) -> str:
        call = f"{self.process}: {self.op}({', '.join(map(text_of, self.args))})"
        return f"{call} unanswered" if self.pending else f"{call} → {text_of(self.result)}"

    def to_json(self) -> dict[str, Any]:
        """One entry per attribute; values as text."""
        return {
            "process": self.process,
            "op": self.op,
            "args": [text_of(arg) for arg in self.args],
            "invoked": self.invoked,
            "returned": self.returned,
            "result": None if self.pending else text_of(self.result),
            "where": self.where,
        }


def calls_in(trace: Trace, to: str, *, methods: Iterable[str] = ()) -> tuple[Operation, ...]:
    """The calls of one actor that a trace shows, as operations named like the methods.

    Arguments and results are as traces hold them: ``None``, numbers and short texts are themselves, of anything else
    there is only a description.  A call that failed counts as unanswered: it may have done its work before.

    Args:
        to: the actor, such as ``"COUNTER/c1"``.
        methods: only these; by default all.
    """
    wanted = tuple(methods)
    sent: dict[str, tuple[int, Any]] = {}
    answers: dict[str, Any] = {}
    arrived: dict[str, int] = {}
    for event in trace.events:
        if event.kind == "send" and event.get("to") == to:
            if not wanted or event.get("method") in wanted:
                sent.setdefault(event.label, (event.n, event))
        elif event.kind == "reply" and "error" not in (event.data or {}):
            answers[event.label] = event.get("value")
        elif event.kind == "deliver" and event.label.endswith("/r"):
            arrived.setdefault(event.label, event.n)
    found: list[Operation] = []
    for label, (n, event) in sent.items():
        answer = f"{label}/r"
        known = answer in answers and answer in arrived
        found.append(
            Operation(
                process=event.actor,
                op=str(event.get("method")),
                args=tuple(event.get("args") or ()),
                invoked=n,
                returned=arrived[answer] if known else None,
                result=answers[answer] if known else None,
                where=event.where,
            )
        )
    return tuple(found)

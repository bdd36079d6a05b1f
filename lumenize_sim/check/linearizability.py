"""Linearizability: is there one order of all operations that explains every answer?

The search of Wing and Gong, with the memo of Lowe ("Testing for linearizability", 2017): an order is grown from the
front; an operation may come next if it was asked before any other that is left was answered; what has been placed,
together with the state that this led to, is never looked at twice.  Operations without an answer may be placed
anywhere after their question, or nowhere.

The problem is NP-complete, so a history of many operations that all overlap may take long.  Two things keep it short:
a model that partitions is checked part by part (a history is linearizable if each part of it is: Herlihy and Wing,
theorem 1), and the memo.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import attrs

from lumenize_sim.check.model import Model, accepts
from lumenize_sim.check.operation import Operation
from lumenize_sim.errors import UsageError

__all__ = ["Verdict", "linearizable"]


@attrs.frozen
class Verdict:
    """Whether a history is linearizable.

    Attributes:
        holds: whether it is.
        order: one order that explains it (of each part one after the other); where it does not hold, one that
            explains as much of ``prefix`` as ends before the operation that cannot be placed.
        prefix: the shortest beginning of the history that has no such order, as operations; empty where it holds.
        stuck: the operation whose answer ends ``prefix`` and cannot be placed.
        part: of the state, where the model partitions.
    """

    holds: bool
    order: tuple[Operation, ...]
    prefix: tuple[Operation, ...] = ()
    stuck: Operation | None = None
    part: Hashable | None = None

    @property
    def message(self) -> str:
        """In words, a line for each operation."""
        if self.stuck is None:
            return f"linearizable: {len(self.order)} operations have an order that explains them"
        where = f" ({self.stuck.where})" if self.stuck.where else ""
        left = [op for op in self.prefix if op is not self.stuck and op not in self.order and not op.pending]
        lines = [f"not linearizable: {self.stuck}{where} cannot be placed"]
        lines += ["  all that was answered before it has an order:"] if self.order else ["  nothing came before it"]
        lines += [f"    {op}" for op in self.order]
        lines += [f"  also under way: {op}" for op in left]
        return "\n".join(lines)


def linearizable(operations: Sequence[Operation], model: Model) -> Verdict:
    """Judge a history.

    Raises:
        UsageError: the model does not know an operation, or a state of it cannot be hashed.
    """
    order: list[Operation] = []
    worst: Verdict | None = None
    for part, own in _parts(operations, model):
        verdict = _judge(own, model, part)
        if verdict.holds:
            order += verdict.order
        elif worst is None or _end(verdict) < _end(worst):
            worst = verdict
    return Verdict(True, tuple(order)) if worst is None else worst


def _end(verdict: Verdict) -> int:
    assert verdict.stuck is not None
    assert verdict.stuck.returned is not None
    return verdict.stuck.returned


def _parts(operations: Sequence[Operation], model: Model) -> list[tuple[Hashable | None, list[Operation]]]:
    partition: Callable[[str, tuple[Any, ...]], Hashable | None] | None = getattr(model, "partition", None)
    if partition is None:
        return [(None, list(operations))]
    parts: dict[Hashable | None, list[Operation]] = {}
    for operation in operations:
        parts.setdefault(partition(operation.op, operation.args), []).append(operation)
    if None in parts:
        return [(None, list(operations))]
    return list(parts.items())


def _judge(operations: Sequence[Operation], model: Model, part: Hashable | None) -> Verdict:
    found = _order(operations, model)
    if found is not None:
        return Verdict(True, found, part=part)
    # What has no order keeps having none whatever comes behind it, so the shortest beginning is found by halving.
    ends = sorted(op.returned for op in operations if op.returned is not None)
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if _order(_until(operations, ends[middle]), model) is None:
            high = middle
        else:
            low = middle + 1
    prefix = _until(operations, ends[low])
    stuck = next(op for op in prefix if op.returned == ends[low])
    before = _order(_until(operations, ends[low] - 1), model)
    return Verdict(False, before or (), tuple(prefix), stuck, part)


def _until(operations: Sequence[Operation], end: int) -> list[Operation]:
    """The history up to position ``end``: what was answered later is unanswered there."""
    return [
        op if op.returned is None or op.returned <= end else attrs.evolve(op, returned=None, result=None)
        for op in operations
        if op.invoked < end or op.returned == end
    ]


def _order(operations: Sequence[Operation], model: Model) -> tuple[Operation, ...] | None:
    """One order that explains every answer, or ``None``."""
    ops = sorted(operations, key=lambda op: op.invoked)
    never = 1 + max((op.returned or op.invoked for op in ops), default=0)
    ends = [never if op.returned is None else op.returned for op in ops]
    answered = sum(1 << i for i, op in enumerate(ops) if op.returned is not None)
    seen: set[tuple[int, Any]] = set()
    # Depth first, with a stack of our own: a history may be longer than the interpreter's.
    placed: list[int] = []
    stack: list[tuple[int, Any, list[int]]] = [(0, model.initial, _next(ops, ends, 0))]
    while stack:
        done, state, candidates = stack[-1]
        if done & answered == answered:
            return tuple(ops[i] for i in placed)
        if not candidates:
            stack.pop()
            if placed:
                placed.pop()
            continue
        i = candidates.pop()
        op = ops[i]
        after, expected = model.apply(state, op.op, op.args)
        if op.returned is not None and not accepts(expected, op.result):
            continue
        mark = (done | 1 << i, after)
        try:
            if mark in seen:
                continue
            seen.add(mark)
        except TypeError:
            raise UsageError(
                f"{type(model).__name__}.apply made the state {after!r:.100}, which cannot be hashed: "
                "use tuples and frozensets instead of lists, dicts and sets"
            ) from None
        placed.append(i)
        stack.append((mark[0], after, _next(ops, ends, mark[0])))
    return None


def _next(ops: Sequence[Operation], ends: Sequence[int], done: int) -> list[int]:
    """Which of the operations that are left may come next, the likeliest last."""
    found: list[int] = []
    first_end: int | None = None
    for i, op in enumerate(ops):
        if first_end is not None and op.invoked > first_end:
            break  # asked after something that is left was answered, as all that follow
        if not done >> i & 1:
            found.append(i)
            if first_end is None or ends[i] < first_end:
                first_end = ends[i]
    # Whoever was answered first was most likely first; the unanswered come last.
    found.sort(key=lambda i: -ends[i])
    return found

"""Histories judged against sequential models, and against every order there is."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.check.history import History
from lumenize_sim.check.linearizability import linearizable
from lumenize_sim.check.model import ANY, Counter, Map, Model, Queue, Register, Set, accepts
from lumenize_sim.check.operation import Operation
from lumenize_sim.errors import UsageError


def naive(operations: list[Operation], model: Model) -> bool:
    """The definition, word for word: every order of all that was answered and any of the rest."""
    answered = [op for op in operations if not op.pending]
    pending = [op for op in operations if op.pending]
    for count in range(len(pending) + 1):
        for some in itertools.combinations(pending, count):
            for order in itertools.permutations([*answered, *some]):
                if _explains(order, model):
                    return True
    return False


def _explains(order: tuple[Operation, ...], model: Model) -> bool:
    for i, one in enumerate(order):
        if any(other.returned is not None and other.returned < one.invoked for other in order[i + 1 :]):
            return False
    state = model.initial
    for op in order:
        state, expected = model.apply(state, op.op, op.args)
        if not op.pending and not accepts(expected, op.result):
            return False
    return True


values = st.sampled_from([None, 0, 1, 2])
CALLS: dict[str, tuple[Model, list[tuple[str, int, Any]]]] = {
    # op, number of arguments, results that are worth trying
    "register": (Register(0), [("read", 0, values), ("write", 1, st.none()), ("cas", 2, st.booleans())]),
    "counter": (Counter(), [("add", 0, values), ("read", 0, values)]),
    "map": (Map(), [("get", 1, values), ("put", 2, st.none()), ("delete", 1, st.sampled_from([True, False, None]))]),
    "queue": (Queue(), [("put", 1, st.none()), ("take", 0, values)]),
    "set": (
        Set(),
        [
            ("add", 1, st.booleans()),
            ("remove", 1, st.booleans()),
            ("has", 1, st.booleans()),
            ("members", 0, st.lists(st.integers(0, 1), unique=True, max_size=2)),
        ],
    ),
}


@st.composite
def histories(draw: st.DrawFn, kind: str) -> list[Operation]:
    """Up to four operations with overlaps; answers are drawn, so that some fit and some do not."""
    calls = CALLS[kind][1]
    count = draw(st.integers(1, 4))
    marks = draw(st.permutations(range(2 * count)))
    found = []
    for nth in range(count):
        op, arity, results = draw(st.sampled_from(calls))
        first, second = sorted(marks[2 * nth : 2 * nth + 2])
        pending = draw(st.integers(0, 4)) == 0
        args = tuple(draw(st.integers(0, 1)) for _ in range(arity))
        found.append(
            Operation(f"p{nth}", op, args, first, None if pending else second, None if pending else draw(results))
        )
    return found


@pytest.mark.parametrize("kind", list(CALLS))
def test_the_verdict_is_that_of_trying_every_order(kind: str) -> None:
    """Differential: memo, partitions and unanswered operations change nothing."""
    model = CALLS[kind][0]

    @settings(max_examples=100, deadline=None)
    @given(histories(kind))
    def agree(operations: list[Operation]) -> None:
        verdict = linearizable(operations, model)
        assert verdict.holds is naive(operations, model)
        if verdict.holds:
            assert {id(op) for op in operations if not op.pending} <= {id(op) for op in verdict.order}
        else:
            assert verdict.stuck is not None
            end = verdict.stuck.returned
            assert end is not None
            assert not naive(list(verdict.prefix), model), "what is named is no offence by itself"
            shorter = [
                attrs.evolve(op, returned=None, result=None) if op.returned is None or op.returned >= end else op
                for op in operations
                if op.invoked < end
            ]
            assert naive(shorter, model), "a shorter beginning offends already"

    agree()


def test_a_stale_read_is_named_with_what_came_before_it() -> None:
    """The shortest offending prefix ends with the read that cannot be placed."""
    ops = [
        Operation("alice", "write", (1,), 1, 2),
        Operation("bob", "read", (), 3, 4, 0, "app.py:7"),
        Operation("bob", "read", (), 5, 6, 7),
    ]
    verdict = linearizable(ops, Register(0))
    assert verdict.stuck is ops[1]
    assert verdict.message == (
        "not linearizable: bob: read() → 0 (app.py:7) cannot be placed\n"
        "  all that was answered before it has an order:\n"
        "    alice: write(1) → None"
    )


def test_an_unanswered_write_may_have_happened_or_not() -> None:
    """Who was not answered does not know, and neither do we."""
    lost = Operation("alice", "write", (1,), 1)
    for seen in ((0, 0), (0, 1), (1, 1)):
        reads = [Operation("bob", "read", (), 2 + 2 * i, 3 + 2 * i, value) for i, value in enumerate(seen)]
        assert linearizable([lost, *reads], Register(0)).holds
    back = [Operation("bob", "read", (), 2, 3, 1), Operation("bob", "read", (), 4, 5, 0)]
    assert not linearizable([lost, *back], Register(0)).holds


def test_two_hundred_operations_that_overlap_in_threes_are_judged_quickly() -> None:
    """The memo keeps what is usual linear."""
    ops = [Operation(f"p{i % 3}", "add", (), 3 * i, 3 * i + 8, i + 1) for i in range(200)]
    assert linearizable(ops, Counter()).holds
    ops[150] = attrs.evolve(ops[150], result=9)
    assert linearizable(ops, Counter()).stuck is ops[150]


def test_parts_are_judged_apart() -> None:
    """P-compositionality: forty writers of keys of their own are forty small problems."""
    ops = [Operation(f"p{i}", "put", (f"k{i}", i), i, 1000 + i) for i in range(40)]
    ops += [Operation("r", "get", (f"k{i}",), 2000 + 2 * i, 2001 + 2 * i, i) for i in range(40)]
    assert linearizable(ops, Map()).holds
    ops[-1] = attrs.evolve(ops[-1], result=None)
    verdict = linearizable(ops, Map())
    assert (verdict.part, len(verdict.prefix)) == (("key", "k39"), 2)


@attrs.frozen
class _Lock:
    """A model as a user would write it."""

    initial: Any = None

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        if op == "lock":
            return (args[0], True) if state is None else (state, False)
        return None, ANY


def test_a_model_of_ones_own() -> None:
    """A lock that two hold at once."""
    ops = [Operation("a", "lock", ("a",), 1, 3, True), Operation("b", "lock", ("b",), 2, 4, True)]
    assert not linearizable(ops, _Lock()).holds
    assert linearizable([ops[0], Operation("a", "unlock", (), 5, 6), attrs.evolve(ops[1], returned=7)], _Lock()).holds


class _Lists:
    initial: Any = ()

    def apply(self, state: Any, op: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
        return [*state, 1], ANY


def test_what_is_wrong_with_a_model_is_said() -> None:
    """Blames the author of the test, with the next step."""
    op = Operation("a", "pop", (), 1, 2)
    with pytest.raises(UsageError, match="Queue knows no operation 'pop': use put or take"):
        linearizable([op], Queue())
    with pytest.raises(UsageError, match="cannot be hashed: use tuples"):
        linearizable([op], _Lists())
    with pytest.raises(UsageError, match="is no model"):
        History(object())  # type: ignore[arg-type]  # the mistake under test

"""What reads of growing lists betray, against every serial order there is."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.check.list_append import Transaction, list_append_anomalies


def kinds(*transactions: Transaction) -> list[str]:
    return [anomaly.kind for anomaly in list_append_anomalies(transactions)]


def txn(name: str, *steps: tuple[str, Any, Any], **more: Any) -> Transaction:
    return Transaction(name, steps, **more)


def test_appends_that_follow_each_other_in_a_circle_are_g0() -> None:
    """G0: write cycle over two lists."""
    found = list_append_anomalies(
        [
            txn("T1", ("append", "x", 1), ("append", "y", 1)),
            txn("T2", ("append", "x", 2), ("append", "y", 2)),
            txn("R", ("read", "x", [1, 2]), ("read", "y", [2, 1])),
        ]
    )
    assert [a.kind for a in found] == ["G0"]
    assert found[0].transactions == ("T1", "T2")
    assert found[0].message == (
        "G0: each of T1, T2 must have come before the next, in a circle\n"
        "  T1 appended 1 to 'x' before T2 appended 2\n"
        "  T2 appended 2 to 'y' before T1 appended 1"
    )


def test_reading_what_was_aborted_is_g1a() -> None:
    assert kinds(txn("T1", ("append", "x", 1), status="aborted"), txn("T2", ("read", "x", [1]))) == ["G1a"]


def test_reading_between_two_appends_of_one_transaction_is_g1b() -> None:
    found = kinds(txn("T1", ("append", "x", 1), ("append", "x", 2)), txn("T2", ("read", "x", [1])))
    assert "G1b" in found


def test_two_that_read_each_other_are_g1c() -> None:
    found = kinds(
        txn("T1", ("append", "x", 1), ("read", "y", [1])),
        txn("T2", ("append", "y", 1), ("read", "x", [1])),
    )
    assert found == ["G1c"]


def test_a_read_that_misses_half_of_a_transaction_is_g_single() -> None:
    found = kinds(
        txn("T1", ("append", "x", 1), ("append", "y", 1)),
        txn("T2", ("read", "x", [1]), ("read", "y", [])),
        txn("T3", ("read", "y", [1])),
    )
    assert found == ["G-single"]


def test_two_that_miss_each_other_are_g2() -> None:
    """Write skew."""
    found = kinds(
        txn("T1", ("read", "x", []), ("append", "y", 1)),
        txn("T2", ("read", "y", []), ("append", "x", 1)),
        txn("R", ("read", "x", [1]), ("read", "y", [1])),
    )
    assert found == ["G2"]


def test_single_reads_that_cannot_be() -> None:
    t1, t2 = txn("T1", ("append", "x", 1)), txn("T2", ("append", "x", 2))
    assert kinds(t1, txn("R", ("read", "x", [1, 1]))) == ["duplicate-append"]
    assert kinds(t1, txn("R", ("read", "x", [1, 9]))) == ["phantom"]
    assert "incompatible-order" in kinds(t1, t2, txn("R", ("read", "x", [1, 2])), txn("S", ("read", "x", [2, 1])))
    assert kinds(txn("T", ("append", "x", 1), ("read", "x", []))) == ["internal"]
    assert kinds(t1, txn("T", ("read", "x", []), ("read", "x", [1]))) == ["internal", "G-single"]


def test_an_acknowledged_append_that_no_later_read_shows_is_lost() -> None:
    """Only a read that began after the answer tells; one that overlaps may have come first."""
    lost = txn("T1", ("append", "x", 1), invoked=1, returned=3)
    assert kinds(lost, txn("R", ("read", "x", []), invoked=4, returned=5)) == ["lost-append"]
    assert kinds(lost, txn("R", ("read", "x", []), invoked=2, returned=5)) == []
    unanswered = txn("T1", ("append", "x", 1), status="unknown", invoked=1)
    assert kinds(unanswered, txn("R", ("read", "x", []), invoked=4, returned=5)) == []


def serial(transactions: list[Transaction]) -> bool:
    """Whether some order of the transactions, one after the other, explains every read."""
    return any(_explains(order) for order in itertools.permutations(transactions))


def _explains(order: tuple[Transaction, ...]) -> bool:
    lists: dict[Any, list[Any]] = {}
    for transaction in order:
        for op, key, value in transaction.steps:
            if op == "append":
                lists.setdefault(key, []).append(value)
            elif lists.get(key, []) != list(value):
                return False
    return True


@st.composite
def programs(draw: st.DrawFn) -> list[Transaction]:
    """Up to four transactions; reads are those of some order of single steps, and sometimes changed."""
    count = draw(st.integers(1, 4))
    plans = [
        draw(st.lists(st.tuples(st.sampled_from(["append", "read"]), st.sampled_from("xy")), min_size=1, max_size=3))
        for _ in range(count)
    ]
    order = draw(st.permutations([t for t, plan in enumerate(plans) for _ in plan]))
    lists: dict[str, list[int]] = {"x": [], "y": []}
    steps: list[list[tuple[str, Any, Any]]] = [[] for _ in plans]
    value = 0
    for t in order:
        op, key = plans[t][len(steps[t])]
        if op == "append":
            value += 1
            lists[key].append(value)
            steps[t].append((op, key, value))
        else:
            seen = list(lists[key])
            if seen and draw(st.integers(0, 3)) == 0:
                seen.pop()
            steps[t].append((op, key, seen))
    return [Transaction(f"T{t}", tuple(own)) for t, own in enumerate(steps)]


@settings(max_examples=150, deadline=None)
@given(programs())
def test_nothing_is_wrong_where_and_only_where_a_serial_order_explains_all(transactions: list[Transaction]) -> None:
    """Differential: no false alarm, and nothing missed."""
    found = list_append_anomalies(transactions)
    assert (not found) is serial(transactions), found

"""The output gate against its rules (OG-*), and against a naive model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.errors import AppError, SimulatorError
from lumenize_sim.objects.output_gate import OutputGate


class Boom(Exception):
    pass


def issue(gate: OutputGate[str], effect: str) -> bool:
    """Snapshot and emission in one turn, as a send does."""
    return gate.emit(effect, gate.snapshot())


def test_without_a_write_effects_leave_at_once() -> None:
    gate: OutputGate[str] = OutputGate()
    assert gate.snapshot() == 0
    assert issue(gate, "reply")
    assert gate.held == 0


def test_an_effect_waits_for_the_commits_that_exist_when_it_is_issued() -> None:
    """OG-1, OG-9, LT-28."""
    gate: OutputGate[str] = OutputGate()
    assert issue(gate, "before")
    gate.lock(1)
    assert not issue(gate, "between")
    gate.lock(2)
    assert not issue(gate, "after")
    assert gate.held == 2
    assert gate.durable(1) == ["between"]
    assert gate.durable(2) == ["after"]
    assert (gate.held, gate.snapshot()) == (0, 0)


def test_a_snapshot_taken_before_a_lock_is_not_held_by_it() -> None:
    """OG-9, IG-14: an older snapshot that is emitted later does not wait for what came in between."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    old = gate.snapshot()
    gate.lock(2)
    assert not issue(gate, "new")
    assert not gate.emit("old", old)
    assert gate.durable(1) == ["old"]
    assert gate.durable(2) == ["new"]


def test_a_wait_after_two_locks_needs_both() -> None:
    """OG-2: commits become durable in order, so the second one implies the first."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    issue(gate, "a")
    gate.lock(2)
    issue(gate, "b")
    assert gate.durable(2) == ["a", "b"]
    assert gate.durable(1) == []
    assert gate.emit("c", 2)  # an old report does not undo a newer one


def test_effects_released_together_keep_the_order_of_issue() -> None:
    """RPC-4, WS-25; also where snapshots fall."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    gate.lock(2)
    for effect, after in (("a", 2), ("b", 1), ("c", 2), ("d", 1)):
        assert not gate.emit(effect, after)
    assert gate.durable(2) == ["a", "b", "c", "d"]


def test_a_failed_flush_drops_what_needs_it_and_no_more() -> None:
    """OG-3, LT-30."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    issue(gate, "needs 1")
    early = gate.snapshot()
    gate.lock(2)
    issue(gate, "needs 2")
    gate.lock(3)
    issue(gate, "needs 3")
    error = Boom()
    assert gate.fail(2, error) == ["needs 2", "needs 3"]
    assert gate.broken is error
    assert gate.held == 1
    assert not gate.emit("taken before the failed lock", early)
    assert gate.durable(1) == ["needs 1", "taken before the failed lock"]
    assert gate.emit("still", early)


def test_nothing_issued_on_a_broken_gate_leaves() -> None:
    """OG-10, OG-13."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    gate.fail(1, Boom())
    with pytest.raises(Boom):
        issue(gate, "reply")
    with pytest.raises(Boom):
        gate.lock(2)
    assert repr(gate) == "<OutputGate locked=1 durable=0 held=0 broken at 1>"


def test_an_unconfirmed_commit_does_not_lock_but_its_failure_breaks() -> None:
    """OG-12, OG-23, LT-31."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    gate.durable(1)
    # Commit 2 is unconfirmed: nobody calls lock(2).
    assert issue(gate, "ok")
    assert gate.fail(2, Boom()) == []
    with pytest.raises(Boom):
        issue(gate, "too late")


def test_the_first_failure_is_the_one_that_is_shown() -> None:
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    issue(gate, "a")
    gate.lock(2)
    issue(gate, "b")
    first = Boom("first")
    assert gate.fail(2, first) == ["b"]
    assert gate.fail(1, Boom("second")) == ["a"]
    assert gate.fail(2, Boom("third")) == []
    assert gate.broken is first


def test_locking_the_same_commit_again_does_nothing() -> None:
    """OG-25: each confirmed write of a transaction may say so."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(3)
    gate.lock(3)
    assert gate.snapshot() == 3
    assert repr(gate) == "<OutputGate locked=3 durable=0 held=0>"


def test_a_flush_that_is_called_off_counts_as_failed() -> None:
    """OG-4."""
    gate: OutputGate[str] = OutputGate()
    gate.lock(1)
    assert not gate.emit("reply", gate.snapshot())
    assert gate.cancel(1) == ["reply"]
    assert str(gate.broken) == "output lock was canceled before completion"
    with pytest.raises(AppError, match="output lock was canceled"):
        issue(gate, "another")


def test_misuse_is_named() -> None:
    gate: OutputGate[str] = OutputGate()
    gate.lock(2)
    with pytest.raises(SimulatorError, match="numbered in order"):
        gate.lock(1)
    with pytest.raises(SimulatorError, match="newest locked commit is 2"):
        gate.emit("x", 3)
    gate.durable(2)
    with pytest.raises(SimulatorError, match="numbered in order"):
        gate.lock(2)
    with pytest.raises(SimulatorError, match="durable already"):
        gate.fail(2, Boom())
    gate.fail(3, Boom())
    with pytest.raises(SimulatorError, match="a crash leaves a prefix"):
        gate.durable(4)


class Naive:
    """Promises, as the reference has them: each effect knows the set of commits it still waits for."""

    def __init__(self) -> None:
        self.pending: list[int] = []
        self.effects: list[tuple[str, list[int]]] = []

    def emit(self, effect: str, needs: list[int]) -> bool:
        needs = [commit for commit in needs if commit in self.pending]
        if needs:
            self.effects.append((effect, needs))
        return not needs

    def durable(self, commit: int) -> list[str]:
        self.pending = [other for other in self.pending if other > commit]
        ready = [effect for effect, needs in self.effects if not any(need in self.pending for need in needs)]
        self.effects = [entry for entry in self.effects if entry[0] not in ready]
        return ready

    def fail(self, commit: int) -> list[str]:
        lost = [effect for effect, needs in self.effects if any(need >= commit for need in needs)]
        self.effects = [entry for entry in self.effects if entry[0] not in lost]
        return lost


@given(
    st.lists(
        st.tuples(st.sampled_from(["lock", "send", "snapshot", "late send", "durable"]), st.integers(0, 9)), max_size=60
    ),
    st.integers(1, 9),
)
@settings(max_examples=200, deadline=None)
def test_any_history_agrees_with_the_naive_model(steps: list[tuple[str, int]], failing: int) -> None:
    gate: OutputGate[str] = OutputGate()
    naive = Naive()
    commit = durable = 0
    snapshots: list[tuple[int, list[int]]] = [(0, [])]
    for number, (verb, pick) in enumerate(steps):
        effect = f"{verb} {number}"
        if verb == "lock":
            commit += 1 + pick % 2  # some commits are unconfirmed and never lock
            gate.lock(commit)
            naive.pending.append(commit)
        elif verb == "send":
            assert gate.emit(effect, gate.snapshot()) is naive.emit(effect, list(naive.pending))
        elif verb == "snapshot":
            snapshots.append((gate.snapshot(), list(naive.pending)))
        elif verb == "late send":
            after, needs = snapshots[pick % len(snapshots)]
            assert gate.emit(effect, after) is naive.emit(effect, needs)
        elif durable < commit:
            durable += 1 + pick % (commit - durable)
            assert gate.durable(durable) == naive.durable(durable)
        assert gate.held == len(naive.effects)
    assert gate.fail(durable + failing, Boom()) == naive.fail(durable + failing)
    assert gate.held == len(naive.effects)
    if failing > 1:
        assert gate.durable(durable + failing - 1) == naive.durable(durable + failing - 1)
    assert gate.held == 0

"""The input gate against its rules (IG-*), and against a naive model of the reference algorithm."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.gate import MAX_SECTION_DEPTH, TRANSITIONS, Gate, GateState
from lumenize_sim.objects.refusal import Error


class Boom(Exception):
    pass


def running_section(root: Gate[str]) -> Gate[str]:
    """A section whose first turn runs, on a root that was free."""
    assert root.arrive("caller")
    section, begun = root.enter("callback")
    assert not begun
    assert root.release() == "callback"
    return section


# ------------------------------------------------------------------------------------------- events


def test_a_free_lock_is_granted_at_once_and_a_taken_one_queues() -> None:
    """IG-1, IG-2."""
    root: Gate[str] = Gate()
    assert (root.locks, root.waiting, root.depth, root.broken) == (0, 0, 0, None)
    assert root.arrive("a")
    assert not root.arrive("b")
    assert (root.locks, root.waiting) == (1, 1)


def test_waiters_are_granted_one_by_one_in_the_order_they_came() -> None:
    """IG-3, LT-10."""
    root: Gate[str] = Gate()
    root.arrive("a")
    for item in "bcd":
        root.arrive(item)
    assert [root.release() for _ in range(4)] == ["b", "c", "d", None]
    assert root.locks == 0


def test_a_newcomer_cannot_barge_in_between_release_and_turn() -> None:
    """IG-3: the grant is part of the release."""
    root: Gate[str] = Gate()
    root.arrive("a")
    root.arrive("b")
    assert root.release() == "b"
    assert not root.arrive("newcomer")


def test_a_pending_storage_operation_keeps_the_lock_after_its_turn() -> None:
    """IG-4, IG-5, IG-6: the completion runs with the reference it owns, and does not queue."""
    root: Gate[str] = Gate()
    root.arrive("a")
    root.hold()
    assert root.release() is None  # the turn has ended
    assert not root.arrive("b")
    assert root.release() == "b"  # the completion's turn has ended


def test_an_event_between_two_storage_completions_waits_for_both() -> None:
    """IG-7, LT-9."""
    root: Gate[str] = Gate()
    root.arrive("a")
    root.hold()
    root.hold()
    assert root.release() is None
    root.arrive("fetch response")
    assert root.release() is None  # x has completed
    assert root.release() == "fetch response"  # and y


def test_waiting_on_anything_else_lets_other_events_in() -> None:
    """IG-8, LT-7: a c b."""
    root: Gate[str] = Gate()
    assert root.arrive("a")
    assert root.release() is None  # sleeps
    assert root.arrive("c")
    assert not root.arrive("b")  # the timer, while c runs
    assert root.release() == "b"


# ------------------------------------------------------------------------------------------- sections


def test_oldest_critical_section_is_granted_before_older_events() -> None:
    """IG-3, IG-18: the constructor's sections begin before a thousand events that were there first."""
    root: Gate[Any] = Gate()
    assert root.arrive("constructor")
    for event in range(1000):
        root.arrive(event)
    first, _ = root.enter("first")
    second, _ = root.enter("second")
    assert root.release() == "first"
    assert first.release() is None
    assert first.succeed() is root
    assert root.release() == "second"
    second.succeed()
    assert second.release() is None
    assert [root.release() for _ in range(3)] == [0, 1, 2]


def test_a_section_begins_only_after_the_turn_and_its_storage_operations() -> None:
    """IG-19, LT-15."""
    root: Gate[str] = Gate()
    root.arrive("handler")
    root.hold()
    section, begun = root.enter("callback")
    assert not begun
    assert section.state is GateState.QUEUED
    assert root.release() is None
    assert root.release() == "callback"
    assert section.state is GateState.OPEN
    assert (root.locks, section.locks) == (1, 1)


def test_a_section_on_a_free_gate_begins_at_once() -> None:
    """Appendix A 6: takes the lock if it is free."""
    root: Gate[str] = Gate()
    section, begun = root.enter("callback")
    assert begun
    assert (root.locks, section.locks, section.depth) == (1, 1, 1)


def test_outside_events_wait_for_the_section_and_inside_ones_do_not() -> None:
    """IG-22."""
    root: Gate[str] = Gate()
    section = running_section(root)
    assert not root.arrive("earlier timer")
    assert section.release() is None
    assert section.arrive("fetch begun inside")
    assert root.locks == 1


def test_storage_operations_inside_a_section_block_its_own_events() -> None:
    """IG-23."""
    root: Gate[str] = Gate()
    section = running_section(root)
    section.hold()
    assert section.release() is None
    assert not section.arrive("fetch begun inside")
    assert section.release() == "fetch begun inside"


def test_the_caller_goes_on_before_any_queued_event() -> None:
    """IG-25, LT-17: the worked example of the module, in numbers."""
    root: Gate[str] = Gate()
    assert root.arrive("A")
    assert not root.arrive("B")
    section, begun = root.enter("cb")
    assert (begun, root.locks) == (False, 1)
    assert root.release() == "cb"
    assert (root.locks, section.locks) == (1, 1)
    assert section.release() is None
    assert (root.locks, section.locks) == (1, 0)
    assert section.arrive("F")
    assert section.succeed() is root
    assert root.locks == 2
    assert section.release() is None  # forwards
    assert root.locks == 1
    assert root.release() == "B"
    assert root.locks == 1


def test_the_end_of_the_last_turn_and_success_may_come_in_either_order() -> None:
    """IG-25."""
    root: Gate[str] = Gate()
    section = running_section(root)
    root.arrive("B")
    assert section.release() is None
    section.succeed()
    assert root.locks == 1
    assert root.release() == "B"


def test_unfinished_tasks_of_a_section_are_adopted_at_the_end_of_the_queue() -> None:
    """IG-26."""
    root: Gate[str] = Gate()
    section = running_section(root)
    root.arrive("outer 1")
    section.arrive("inner 1")
    nested, _ = section.enter("nested")
    assert (root.waiting, section.waiting) == (1, 2)
    section.succeed()
    assert (section.waiting, section.locks) == (0, 0)
    assert section.live() is root
    assert not section.arrive("inner 2")
    assert section.release() is None  # the callback's last turn
    assert root.release() == "nested"  # the caller's continuation has ended
    assert nested.release() is None
    assert nested.succeed() is root
    assert [root.release() for _ in range(4)] == ["outer 1", "inner 1", "inner 2", None]


def test_a_storage_operation_left_behind_by_a_section_holds_the_parent() -> None:
    """IG-26: its reference is adopted too."""
    root: Gate[str] = Gate()
    section = running_section(root)
    root.arrive("B")
    section.hold()
    section.succeed()
    assert section.release() is None
    assert root.release() is None  # the caller's continuation
    assert section.release() == "B"  # the completion


def test_a_section_that_still_runs_is_adopted_with_the_lock_it_owns() -> None:
    """IG-26: an inner section that nobody awaited goes on under the root."""
    root: Gate[str] = Gate()
    outer = running_section(root)
    inner, _ = outer.enter("inner")
    assert outer.release() == "inner"
    assert outer.succeed() is root
    assert root.locks == 2  # the inner section, and the caller's continuation
    root.arrive("B")
    assert root.release() is None
    assert inner.succeed() is root
    assert inner.release() is None
    assert root.release() == "B"
    assert inner.live() is root


def test_sections_nest_64_deep_and_one_more_is_refused_without_a_trace() -> None:
    """IG-27, LT-22."""
    gate: Gate[int] = Gate()
    gate.arrive(0)
    for depth in range(1, MAX_SECTION_DEPTH + 1):
        section, _ = gate.enter(depth)
        assert gate.release() == depth
        assert section.depth == depth
        gate = section
    with pytest.raises(Error, match=r"^blockConcurrencyWhile\(\) calls are nested too deeply\.$"):
        gate.enter(65)
    assert (gate.locks, gate.waiting) == (1, 0)


def test_the_depth_limit_can_be_lifted() -> None:
    """Appendix C: the recorded runtime has none."""
    gate: Gate[int] = Gate(max_depth=None)
    for depth in range(200):
        gate, begun = gate.enter(depth)
        assert begun
        assert gate.release() is None
    assert gate.depth == 200


def test_finished_sections_do_not_count_as_depth() -> None:
    """IG-26, IG-27: a task of a finished section begins new ones where it was adopted."""
    root: Gate[str] = Gate()
    section = running_section(root)
    section.succeed()
    again, _ = section.enter("again")
    assert again.depth == 1


def test_two_sections_of_one_turn_run_in_order_with_nothing_between() -> None:
    """IG-28, LT-16."""
    root: Gate[str] = Gate()
    root.arrive("handler")
    root.arrive("request")
    a, _ = root.enter("a")
    b, _ = root.enter("b")
    assert root.release() == "a"
    assert a.release() is None  # awaits a fetch
    assert a.arrive("fetched")
    assert a.release() is None
    a.succeed()
    assert root.release() == "b"
    b.release()
    b.succeed()
    assert root.release() == "request"


# ------------------------------------------------------------------------------------------- failure


def test_a_failure_breaks_the_section_and_everything_around_it() -> None:
    """IG-20, IG-29."""
    root: Gate[str] = Gate()
    outer = running_section(root)
    inner, _ = outer.enter("inner")
    outer.release()
    root.arrive("request 1")
    later, _ = root.enter("later")
    root.arrive("request 2")
    outer.arrive("outer event")
    inner.arrive("inner event")
    error = Boom()
    assert inner.fail(error) == ["inner event", "outer event", "later", "request 1", "request 2"]
    for gate in (root, outer, inner, later):
        assert gate.broken is error
        assert gate.state is GateState.BROKEN
        assert gate.waiting == 0
        with pytest.raises(Boom):
            gate.arrive("too late")
        with pytest.raises(Boom):
            gate.enter("too late")


def test_a_broken_gate_stays_broken_with_its_first_error() -> None:
    """IG-29: the outer callback cannot rescue it."""
    root: Gate[str] = Gate()
    outer = running_section(root)
    first = Boom("first")
    outer.fail(first)
    assert outer.fail(Boom("second")) == []
    assert root.broken is first
    with pytest.raises(SimulatorError, match="no such transition"):
        outer.succeed()


def test_the_running_turn_of_a_broken_gate_ends_and_grants_nothing() -> None:
    root: Gate[str] = Gate()
    section = running_section(root)
    root.arrive("request")
    section.fail(Boom())
    section.hold()
    assert section.release() is None
    assert section.release() is None
    assert root.release() is None


def test_a_section_inside_the_failed_one_is_broken_too() -> None:
    """The instance is reset: what waits inside must not be forgotten (IG-32)."""
    root: Gate[str] = Gate()
    outer = running_section(root)
    inner, _ = outer.enter("inner")
    outer.release()
    inner.arrive("inner event")
    assert outer.fail(Boom()) == ["inner event"]
    assert inner.broken is not None


def test_a_section_that_was_adopted_while_it_ran_is_broken_too() -> None:
    """IG-26, IG-32: the gate that adopts finds what runs inside."""
    root: Gate[str] = Gate()
    outer = running_section(root)
    inner, _ = outer.enter("inner")
    outer.release()
    outer.succeed()
    inner.arrive("inner event")
    error = Boom()
    assert root.fail(error) == ["inner event"]
    assert inner.broken is error


def test_a_task_of_a_finished_section_gets_the_error_of_the_gate_that_adopted_it() -> None:
    """IG-20: future waits fail as well."""
    root: Gate[str] = Gate()
    section = running_section(root)
    section.succeed()
    root.fail(Boom())
    with pytest.raises(Boom):
        section.arrive("late reply")


def test_a_section_that_has_not_begun_may_fail_with_its_caller() -> None:
    root: Gate[str] = Gate()
    root.arrive("handler")
    section, _ = root.enter("callback")
    assert section.fail(Boom()) == ["callback"]
    assert root.broken is section.broken is not None


def test_waiters_die_with_their_instance() -> None:
    """IG-32."""
    root: Gate[str] = Gate()
    section = running_section(root)
    root.arrive("request")
    section.arrive("reply")
    done, _ = section.enter("nested")
    assert section.drop() == ["nested", "reply", "request"]
    assert root.drop() == []
    assert root.fail(Boom()) == []
    assert (root.state, section.state, done.state) == (GateState.GONE,) * 3
    assert section.release() is None
    for gate in (root, section, done):
        with pytest.raises(SimulatorError, match="only a live instance"):
            gate.arrive("late")
        with pytest.raises(SimulatorError, match="only a live instance"):
            gate.enter("late")


def test_a_broken_instance_that_is_dropped_still_tells_why() -> None:
    root: Gate[str] = Gate()
    root.fail(Boom())
    assert root.drop() == []
    with pytest.raises(Boom):
        root.arrive("late")


# ------------------------------------------------------------------------------------------- misuse


def test_misuse_is_named_and_changes_nothing() -> None:
    root: Gate[str] = Gate()
    with pytest.raises(SimulatorError, match="whose lock nobody has"):
        root.release()
    with pytest.raises(SimulatorError, match="whose lock nobody has"):
        root.hold()
    with pytest.raises(SimulatorError, match="root gate"):
        root.succeed()
    assert (root.locks, root.waiting) == (0, 0)
    root.arrive("handler")
    section, _ = root.enter("callback")
    with pytest.raises(SimulatorError, match="only a live instance's gate or running section"):
        section.arrive("before it has begun")
    with pytest.raises(SimulatorError, match="no such transition"):
        section.succeed()
    assert root.release() == "callback"
    section.succeed()
    with pytest.raises(SimulatorError, match="which has succeeded"):
        section.fail(Boom())
    with pytest.raises(SimulatorError, match="no such transition"):
        section.succeed()
    assert repr(section) == "<Gate depth=1 adopted locks=0 waiting=0>"


def test_no_transition_leads_out_of_an_adopted_gate() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is GateState.ADOPTED]


def test_chains_of_finished_sections_are_cut_when_followed() -> None:
    """IG-26: a long-lived handle does not keep the whole nesting alive."""
    root: Gate[int] = Gate()
    gates = [root]
    for depth in range(10):
        gate, begun = gates[-1].enter(depth)
        assert begun
        assert gate.release() is None
        gates.append(gate)
    assert gates[-1].arrive(10)
    for gate in reversed(gates[1:]):
        gate.succeed()
    deepest = gates[-1]
    assert deepest.live() is root
    assert deepest._parent is root
    # The turn that runs in the deepest one, and ten callers that go on.
    assert root.locks == 11


def test_a_waiter_costs_the_same_however_many_wait() -> None:
    """Arrive and release are O(1): a list instead of the deque makes this ratio grow a hundredfold."""

    def per_item(count: int) -> float:
        best = float("inf")
        for _ in range(3):
            root: Gate[int] = Gate()
            root.arrive(-1)
            begin = time.perf_counter()
            for item in range(count):
                root.arrive(item)
            for _ in range(count):
                root.release()
            best = min(best, (time.perf_counter() - begin) / count)
        return best

    assert per_item(100_000) < 10 * per_item(1_000)


# ------------------------------------------------------------------------------------------- model


class Naive:
    """Appendix A word for word, with a list of everybody who has a lock instead of a count.

    A holder is ``[gate, who]``.  Gates are numbered; 0 is the root.
    """

    def __init__(self) -> None:
        self.holders: list[list[Any]] = []
        self.parents: list[int | None] = [None]
        self.children: list[list[tuple[int, str]]] = [[]]
        self.waiters: list[list[str]] = [[]]
        self.status = ["running"]
        self.dead = False

    def resolve(self, gate: int) -> int:
        """Step 5: the gate itself while it runs, else its nearest unfinished ancestor."""
        while self.status[gate] == "finished":
            parent = self.parents[gate]
            assert parent is not None
            gate = parent
        return gate

    def locks(self, gate: int) -> int:
        return sum(1 for holder in self.holders if holder[0] == gate)

    def wait(self, gate: int, item: str) -> bool:
        gate = self.resolve(gate)
        if self.locks(gate) == 0:
            self.holders.append([gate, item])
            return True
        self.waiters[gate].append(item)
        return False

    def hold(self, gate: int, who: str) -> None:
        self.holders.append([self.resolve(gate), who])

    def release(self, who: str) -> str | None:
        holder = next(holder for holder in self.holders if holder[1] == who)
        self.holders.remove(holder)
        gate = holder[0]
        if self.locks(gate):
            return None
        if self.children[gate]:
            section, item = self.children[gate].pop(0)
            self.start(gate, section, item)
            return item
        if self.waiters[gate]:
            item = self.waiters[gate].pop(0)
            self.holders.append([gate, item])
            return item
        return None

    def start(self, gate: int, section: int, item: str) -> None:
        self.parents[section] = gate
        self.status[section] = "running"
        self.holders.append([gate, f"section {section}"])
        self.holders.append([section, item])

    def enter(self, gate: int, item: str) -> bool:
        gate = self.resolve(gate)
        section = len(self.parents)
        self.parents.append(gate)
        self.children.append([])
        self.waiters.append([])
        self.status.append("waiting")
        if self.locks(gate) == 0:
            self.start(gate, section, item)
            return True
        self.children[gate].append((section, item))
        return False

    def succeed(self, section: int, caller: str) -> int:
        parent = self.parents[section]
        assert parent is not None
        parent = self.resolve(parent)
        self.status[section] = "finished"
        self.children[parent] += self.children[section]
        self.waiters[parent] += self.waiters[section]
        self.children[section], self.waiters[section] = [], []
        for holder in self.holders:
            if holder[0] == section:
                holder[0] = parent
            if holder[1] == f"section {section}":
                holder[1] = caller
        return parent

    def queued(self) -> list[str]:
        return [item for queue in self.children for _, item in queue] + [
            item for queue in self.waiters for item in queue
        ]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "arrive", "hold", "release", "release", "release", "enter", "succeed"]),
        st.integers(0, 30),
    ),
    max_size=80,
)


@given(OPERATIONS, st.sampled_from(["fail", "drop"]), st.integers(0, 30))
@settings(max_examples=300, deadline=None)
def test_any_history_agrees_with_the_naive_model(operations: list[tuple[str, int]], ending: str, where: int) -> None:
    """Grants, queue lengths and references agree after each step; the end returns all that waits."""
    gates: list[Gate[str]] = [Gate()]
    naive = Naive()
    granted: list[str] = []
    for number, (verb, pick) in enumerate(operations):
        begun = [index for index, status in enumerate(naive.status) if status != "waiting"]
        index = begun[pick % len(begun)]
        item = f"{verb} {number}"
        if verb == "arrive":
            assert gates[index].arrive(item) is naive.wait(index, item)
        elif verb == "hold":
            if naive.locks(naive.resolve(index)):
                naive.hold(index, item)
                gates[index].hold()
        elif verb == "enter":
            section, begins = gates[index].enter(item)
            gates.append(section)
            assert begins is naive.enter(index, item)
        elif verb == "release":
            # Whoever has a lock may end its turn; sections give theirs up by succeeding only.
            turns = [holder for holder in naive.holders if not holder[1].startswith("section")]
            if turns:
                gate, who = turns[pick % len(turns)]
                result = gates[gate].release()
                assert result == naive.release(who)
                if result is not None:
                    granted.append(result)
        else:
            sections = [index for index, status in enumerate(naive.status) if status == "running" and index]
            if sections:
                index = sections[pick % len(sections)]
                adopter = gates[index].succeed()
                assert adopter is gates[naive.succeed(index, item)]
        for index, gate in enumerate(gates):
            assert gate.locks == naive.locks(index)
            assert gate.waiting == len(naive.children[index]) + len(naive.waiters[index])
            assert gate.live() is gates[naive.resolve(index)]
    assert len(granted) == len(set(granted))
    live = [index for index, status in enumerate(naive.status) if status != "finished"]
    gate = gates[live[where % len(live)]]
    rest = gate.drop() if ending == "drop" else gate.fail(Boom())
    assert sorted(rest) == sorted(naive.queued())
    assert all(gate.waiting == 0 for gate in gates)


@given(st.lists(st.booleans(), max_size=40))
@settings(max_examples=100, deadline=None)
def test_nobody_waits_at_a_free_gate(moves: list[bool]) -> None:
    """IG-3: a lock that is free has an empty queue."""
    root: Gate[int] = Gate()
    order: list[int] = []
    for number, arrives in enumerate(moves):
        if arrives:
            if root.arrive(number):
                order.append(number)
        elif root.locks:
            item = root.release()
            if item is not None:
                order.append(item)
        assert root.locks or not root.waiting
    assert all(a < b for a, b in pairwise(order))

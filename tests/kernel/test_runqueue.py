"""The run queue: whose task runs next, decided without Trio's help."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from lumenize_sim.kernel.runqueue import CLOSING_STEPS, RunQueue

strand_var: ContextVar[Any] = ContextVar("strand", default=None)


class Owner:
    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.woken: list[Any] = []

    def on_wake(self, task: Any) -> None:
        self.woken.append(task)


def task_of(owner: Owner | None, name: str = "") -> Any:
    context = copy_context()
    if owner is not None:
        context.run(strand_var.set, SimpleNamespace(owner=owner))
    return SimpleNamespaceTask(context=context, coro=None, name=name)


class SimpleNamespaceTask(SimpleNamespace):
    """Hashable by identity, as Trio's tasks are."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a namespace has none

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.fixture
def queue() -> RunQueue:
    made = RunQueue(strand_var)
    made.kernel_task = task_of(None, "kernel")
    return made


def ticks(queue: RunQueue, limit: int = 50) -> list[str]:
    """Names of the tasks that would run, one for each tick."""
    names = []
    while queue and len(names) < limit:
        (task,) = list(queue)
        queue.clear()
        names.append(task.name)
    return names


def test_the_kernel_runs_only_when_nothing_else_may(queue: RunQueue) -> None:
    a = Owner("a")
    queue.begin_turn(a)
    queue.append(queue.kernel_task)
    queue.append(task_of(a, "x"))
    assert len(queue) == 2
    assert ticks(queue) == ["x", "kernel"]
    assert list(queue) == []


def test_a_tick_releases_one_task_so_that_a_shuffle_changes_nothing(queue: RunQueue) -> None:
    a = Owner("a")
    queue.begin_turn(a)
    for name in "xyz":
        queue.append(task_of(a, name))
    assert ticks(queue) == ["x", "y", "z"]
    assert queue.steps == 3


def test_tasks_woken_together_run_in_the_order_in_which_they_began_to_wait(queue: RunQueue) -> None:
    """Trio walks a set of waiters, whose order is that of addresses."""
    a = Owner("a")
    queue.begin_turn(a)
    tasks = [task_of(a, name) for name in "xyz"]
    for task in tasks:
        queue.append(task)
    assert ticks(queue) == ["x", "y", "z"]
    for index in (2, 0, 1):
        queue.append(tasks[index])
    assert ticks(queue) == ["x", "y", "z"]


def test_a_task_of_another_owner_is_told_to_its_host_and_does_not_run(queue: RunQueue) -> None:
    a, b = Owner("a"), Owner("b")
    queue.begin_turn(a)
    task = task_of(b)
    queue.append(task)
    assert b.woken == [task]
    assert not queue
    queue.begin_turn(b)
    queue.admit(task)
    assert queue.ready
    assert ticks(queue) == [""]


def test_a_dead_owners_task_never_runs_and_nobody_is_told(queue: RunQueue) -> None:
    a = Owner("a")
    a.dead = True
    queue.append(task_of(a))
    assert not queue
    assert a.woken == []


def test_what_was_runnable_when_its_owner_died_is_dropped(queue: RunQueue) -> None:
    a = Owner("a")
    queue.begin_turn(a)
    queue.append(task_of(a, "x"))
    list(queue)
    queue.append(task_of(a, "y"))
    queue.admit(task_of(a, "z"))
    queue.append(task_of(None, "trio"))
    a.dead = True
    queue.drop_ready()
    assert ticks(queue) == ["trio"]


def test_trios_own_tasks_run_at_once(queue: RunQueue) -> None:
    queue.append(task_of(None, "init"))
    assert ticks(queue) == ["init"]


def test_the_kernel_steps_aside_while_somebody_waits_for_all_tasks_to_be_blocked(queue: RunQueue) -> None:
    """`wait_all_tasks_blocked` is woken only where Trio believes that nothing is runnable."""
    queue.append(queue.kernel_task)
    queue.idle = ["somebody"]
    assert not queue
    queue.idle = []
    assert queue


def test_the_order_within_a_turn_can_be_a_choice(queue: RunQueue) -> None:
    """Only where there is more than one, and never once the run is closing."""
    a = Owner("a")
    bounds: list[int] = []

    def last(bound: int) -> int:
        bounds.append(bound)
        return bound - 1

    queue.choose = last
    queue.begin_turn(a)
    for name in "xyz":
        queue.append(task_of(a, name))
    assert ticks(queue) == ["z", "y", "x"]
    assert bounds == [3, 2]
    queue.close()
    for name in "xy":
        queue.append(task_of(a, name))
    assert ticks(queue) == ["x", "y"]


def test_a_turn_past_its_limit_leaves_only_the_kernel(queue: RunQueue) -> None:
    a = Owner("a")
    queue.turn_limit = 3
    queue.begin_turn(a)
    queue.append(queue.kernel_task)
    spinner = task_of(a, "spin")
    for _ in range(3):
        queue.append(spinner)
        (task,) = list(queue)
        assert task is spinner
    queue.append(spinner)
    assert [task.name for task in queue] == ["spin"]
    assert queue.overrun
    queue.append(spinner)
    assert [task.name for task in queue] == ["kernel"]


def test_a_new_turn_has_steps_of_its_own(queue: RunQueue) -> None:
    a = Owner("a")
    queue.turn_limit = 1
    for _ in range(5):
        queue.begin_turn(a)
        queue.append(task_of(a, "x"))
        list(queue)
    assert not queue.overrun


def test_a_turn_can_be_cut_short_from_outside(queue: RunQueue) -> None:
    a = Owner("a")
    queue.begin_turn(a)
    queue.cut_short()
    queue.append(task_of(a, "x"))
    list(queue)
    assert queue.overrun
    assert queue.turn_limit == 1


def test_once_the_run_closes_everybody_runs_whoever_the_owner_is(queue: RunQueue) -> None:
    a, b = Owner("a"), Owner("b")
    b.dead = True
    queue.close()
    for task in (task_of(a, "x"), task_of(b, "y"), task_of(None, "trio")):
        queue.append(task)
    assert [task.name for task in queue.tasks()] == ["x", "y", "trio"]
    assert ticks(queue) == ["x", "y", "trio"]


def test_a_task_that_swallows_its_end_is_given_up(queue: RunQueue) -> None:
    """Each has a hundred steps to end; then whoever replaces it in Trio's books may wake others."""
    a = Owner("a")
    queue.close()
    stubborn, other = task_of(a, "stubborn"), task_of(a, "other")
    given_up: list[Any] = []

    def give_up(task: Any) -> None:
        given_up.append(task)
        queue.append(stubborn)  # a child of its nursery exits and wakes it once more
        queue.append(other)

    queue.give_up = give_up
    for _ in range(CLOSING_STEPS):
        queue.append(stubborn)
        assert [task.name for task in queue] == ["stubborn"]
    queue.append(stubborn)
    assert ticks(queue) == ["other"]
    assert given_up == [stubborn]


def test_a_queue_hands_over_everything_that_is_runnable() -> None:
    """In real time a run goes on when the world in it has ended."""
    queue = RunQueue(strand_var)
    queue.kernel_task = task_of(None, "kernel")
    a = Owner("a")
    a.dead = True
    queue.unwinds = True
    queue.append(task_of(a, "unwinding"))
    queue.append(queue.kernel_task)
    assert [task.name for task in queue.drain()] == ["unwinding", "kernel"]
    assert not queue
    assert queue.drain() == []


def test_bookkeeping_of_exited_tasks_is_dropped_now_and_then(queue: RunQueue) -> None:
    a = Owner("a")
    queue.begin_turn(a)
    tasks = [task_of(a, str(nth)) for nth in range(300)]
    for task in tasks:
        queue.append(task)
    ticks(queue, 400)
    living = dict.fromkeys(tasks[:2])
    queue.forget_exited(living)
    assert len(queue._parked) == 2
    queue.forget_exited({})
    assert len(queue._parked) == 2


def test_five_thousand_waiting_tasks_cost_nothing_per_step(queue: RunQueue) -> None:
    """A step touches the ready tasks only: a wait of thousands at a gate is thousands of entries nobody looks at."""
    a = Owner("a")
    operations = 0

    class Counting(dict[Any, int]):
        def __setitem__(self, key: Any, value: int) -> None:
            nonlocal operations
            operations += 1
            super().__setitem__(key, value)

        def __iter__(self) -> Any:
            raise AssertionError("a step walks over all waiting tasks")

    queue._parked = Counting()
    queue.begin_turn(a)
    for nth in range(5000):
        queue.append(task_of(a, str(nth)))
    ticks(queue, 6000)
    operations = 0
    runner = task_of(a, "runner")
    for _ in range(100):
        queue.append(runner)
        list(queue)
    assert operations <= 2 * 100

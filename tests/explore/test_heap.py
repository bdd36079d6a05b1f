"""The heap is set aside while many runs follow one another, and given back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from lumenize_sim.explore.heap import settled_heap


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_was_there_is_left_out_of_collections_until_the_end() -> None:
    counts: list[int] = []

    def work() -> None:
        with settled_heap():
            counts.append(gc.get_freeze_count())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert counts[0] > 1000
    assert gc.get_freeze_count() == 0


def test_a_heap_that_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    with settled_heap():
        pass
    assert gc.get_freeze_count() > 1000


def test_garbage_of_runs_is_collected_meanwhile() -> None:
    class Node:
        pass

    with settled_heap():
        node = Node()
        node.itself = node  # type: ignore[attr-defined]  # a cycle
        del node
        assert gc.collect() >= 1


def test_what_runs_left_in_cycles_is_gone_in_the_end_however_often_the_heap_is_set_aside() -> None:
    """Units are short, and each sets back the counts by which a full collection would be due.

    Twelve gigabytes of such cycles once ended a sweep of a million schedules.
    """

    class Node:
        pass

    gone = []
    for _ in range(3):
        with settled_heap():
            node = Node()
            node.itself = node  # type: ignore[attr-defined]  # a cycle
            gone.append(weakref.ref(node))
            gc.collect(1)  # it is alive, and old from now on
            del node
            gc.collect(1)  # too young to matter
    assert [ref() for ref in gone] == [None] * 3

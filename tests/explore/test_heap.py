"""The heap is set aside while many runs follow one another, and given back."""

from __future__ import annotations

import gc
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

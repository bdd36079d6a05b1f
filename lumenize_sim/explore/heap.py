"""The heap while many runs follow one another."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["settled_heap"]


@contextmanager
def settled_heap() -> Generator[None, None, None]:
    """Leave out of automatic collections what is there already: the modules of the app, of this package, of a test run.

    Each run leaves some hundred objects in cycles, so that a full collection comes after
    every few dozen runs, and would go through all that was there before them as well.
    Nothing of a run depends on it: collections within one come at fixed steps.  Where
    somebody else has frozen the heap it stays as it is.

    Freezing sets back the counts by which the collector knows that a full collection is due, so that there would never
    be one: what the runs have left is collected in the end, before the rest is let go of.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()

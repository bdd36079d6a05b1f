"""Namesakes: what an event of one run is called in another one of the same app.

Labels are numbered where they are made, so that one event more, or fewer, renames all that come behind it on its way.
An event is the same that came of the same one as the same of its kind; so its name can be told wherever that happened.
"""

from __future__ import annotations

from collections import Counter

from lumenize_sim.explore.matcher import shape_of
from lumenize_sim.explore.profile import Noting

__all__ = ["namesakes"]


def namesakes(there: Noting, here: Noting) -> dict[str, str]:
    """The events of ``here`` that were made in ``there`` too, by their labels in both."""
    known: dict[tuple[int, str, int], int] = {}
    labels = {path: label for label, path in _paths(there, known).items()}
    return {label: labels[path] for label, path in _paths(here, known).items() if path in labels}


def _paths(noting: Noting, known: dict[tuple[int, str, int], int]) -> dict[str, int]:
    """Each event by what it came of, its kind, and its number among those; as numbers, of which many runs know."""
    paths: dict[str, int] = {}
    siblings: Counter[tuple[int, str]] = Counter()
    for label in noting.made:
        kind = (paths.get(noting.parents.get(label, ""), -1), shape_of(label))
        paths[label] = known.setdefault((*kind, siblings[kind]), len(known))
        siblings[kind] += 1
    return paths

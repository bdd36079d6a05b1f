"""What could have gone differently in a run: pairs that race, messages that may be late, boundaries of faults.

Counted in the world without surprises.  A deviation names a place in that run, and means
something similar in a run that has deviated already, because labels and places are local
to an actor; where it means nothing it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from lumenize_sim.explore.profile import Noting
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guide import orders_of
from lumenize_sim.kernel.plan import FaultPlan, fault_label
from lumenize_sim.world.faults import KINDS, Faults
from lumenize_sim.world.run import run_scenario
from lumenize_sim.world.scenario import Scenario

__all__ = ["Census", "Place", "fault_choice", "late_choice", "order_choice", "take_census"]

_WAITS_FOR_QUIET = "driver!settle"


@attrs.frozen
class Place:
    """One arrival that something else could have come before.

    Attributes:
        receiver: where.
        index: of the arrival there.
        label: what arrived.
        rivals: what could have come first, nearest first.
    """

    receiver: str
    index: int
    label: str
    rivals: tuple[str, ...]


@attrs.frozen
class Census:
    """Everything that a plan may draw from.

    Attributes:
        places: by receiver, those with rivals only.
        late: messages, label to the longest plausible lateness in milliseconds.
        boundaries: kind of fault, to target, to the numbers of the boundaries where it was possible.
    """

    places: dict[str, tuple[Place, ...]]
    late: dict[str, int]
    boundaries: dict[str, dict[str, tuple[int, ...]]]


def take_census(scenario: Scenario, *, seed: int) -> Census:
    """Run ``scenario`` once without surprises, and count."""
    chooser, plan = Noting(), FaultPlan(census=True)
    run_scenario(scenario, chooser, plan=plan, seed=seed)
    late = {
        label: event.delay_limit_us // 1000 for label, event in chooser.made.items() if event.delay_limit_us >= 1000
    }
    return Census(places=_places(chooser), late=late, boundaries=_boundaries(scenario.faults, plan.census))


def _places(seen: Noting) -> dict[str, tuple[Place, ...]]:
    at = {label: n for n, (_, label) in enumerate(seen.log)}
    quiet = [n for n, (_, label) in enumerate(seen.log) if label.startswith(_WAITS_FOR_QUIET)]
    earliest = _earliest(seen, at, quiet)
    found: dict[str, tuple[Place, ...]] = {}
    for receiver, order in orders_of(seen.log).items():
        places = []
        for index, label in enumerate(order):
            rivals = tuple(
                rival
                for rival in order[index + 1 :]
                if not rival.startswith(_WAITS_FOR_QUIET)
                and at[label] not in earliest[rival]
                and not _in_line(seen.made, label, rival)
            )
            if rivals:
                places.append(Place(receiver, index, label, rivals))
        if places:
            found[receiver] = tuple(places)
    return found


class _Causes:
    """Positions in the log of what must come before an event."""

    def __init__(self, settled: int, positions: frozenset[int]) -> None:
        self._settled = settled
        self._positions = positions

    def __contains__(self, position: int) -> bool:
        return position <= self._settled or position in self._positions


def _earliest(seen: Noting, at: Mapping[str, int], quiet: Sequence[int]) -> dict[str, _Causes]:
    """For each arrival what it is a consequence of; what came after a quiet moment is one of all before it."""
    causes: dict[str, _Causes] = {}
    for n, (_, label) in enumerate(seen.log):
        settled = max((q for q in quiet if q < n), default=-1)
        positions = []
        parent = seen.parents.get(label)
        while parent is not None and parent in at:
            positions.append(at[parent])
            parent = seen.parents.get(parent)
        causes[label] = _Causes(settled, frozenset(positions))
    return causes


def _in_line(events: Mapping[str, Event], label: str, rival: str) -> bool:
    """Whether one queue holds both, so that they cannot overtake."""
    one, other = events.get(label), events.get(rival)
    return one is not None and other is not None and one.link is not None and one.link is other.link


def _boundaries(
    faults: Faults, counted: Mapping[tuple[str, str], Sequence[int]]
) -> dict[str, dict[str, tuple[int, ...]]]:
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    if not faults:
        return found
    for kind in faults.kinds:
        targets = {
            target: tuple(possible)
            for (k, target), possible in sorted(counted.items())
            if k == kind and (not faults.targets or target.startswith(faults.targets))
        }
        if targets:
            found[kind] = targets
    return found


def order_choice(place: Place, rival: str) -> Choice:
    """``rival`` comes before what came at ``place``.  For a lenient guide: bound and key say nothing."""
    return Choice(f"{place.receiver}#{place.index}", 1, 2, 0, rival, place.label)


def late_choice(label: str, late_ms: int) -> Choice:
    """The message ``label`` is ``late_ms`` under way."""
    return Choice(f"{label}@delay", late_ms * 1000, late_ms * 1000 + 1, 0, f"{late_ms * 1000} us")


def fault_choice(kind: str, target: str, nth: int, value: int, bound: int = 0) -> Choice:
    """The fault of ``kind`` at a boundary of ``target``; ``bound`` where the kind is not one of `KINDS`."""
    return Choice(fault_label(kind, target, nth), value, bound or KINDS[kind][0], 0, kind)

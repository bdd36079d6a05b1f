"""Flips: a failing run told as the pairs of events that stand the other way round than in a plain one.

Choices on a tape say which event came first at a place in the order of a receiver, and where one is left out the places
of all others move.  An event of the driver that is late, moreover, is passed over at every receiver, and so is a choice
at each of them.  A pair says only that ``b`` came before ``a`` at a receiver, where a plain run had ``a`` before ``b``.
So any subset of the pairs means something by itself: in order, except that ``a`` waits for ``b``.  What
passes over ``a`` meanwhile is ``b`` and what ``b`` comes of, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.chooser import DRIVER
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guide import NobodyWaits
from lumenize_sim.kernel.guided import GuidedChooser

__all__ = ["Flip", "FlipGuide", "Flipping", "flips_of", "minimised"]

#: Pairs at most; of more those that stand closest together in the failing run.
_MOST = 400


@attrs.frozen
class Flip:
    """One pair.

    Attributes:
        receiver: where; ``driver`` for two events of the driver.
        early: what comes first now.
        late: what waits for it.
        distance: how many arrivals lay between in the failing run.
    """

    receiver: str
    early: str
    late: str
    distance: int = attrs.field(default=0, eq=False)


def flips_of(plain: Sequence[tuple[str | None, str]], failing: Sequence[tuple[str | None, str]]) -> list[Flip]:
    """The pairs of events of one receiver, or of one and the driver, that stand the other way round in ``failing``.

    One that did not happen there counts as later than all that did.
    """
    then = {label: n for n, (_, label) in enumerate(plain)}
    now = {label: n for n, (_, label) in enumerate(failing)}
    end = len(failing)
    by_receiver: dict[str | None, list[str]] = {}
    for receiver, label in plain:
        by_receiver.setdefault(receiver, []).append(label)
    driver = by_receiver.pop(None, [])
    found: list[Flip] = []
    for receiver, labels in [*by_receiver.items(), (None, [])]:
        both = sorted([*labels, *driver], key=lambda label: then[label])
        for i, late in enumerate(both):
            place = now.get(late, end)
            for early in both[i + 1 :]:
                # Pairs of the driver's own events belong to all receivers, and are taken once.
                if (
                    early in now
                    and now[early] < place
                    and (receiver is None or not (late in driver and early in driver))
                ):
                    found.append(Flip(DRIVER if receiver is None else receiver, early, late, place - now[early]))
    return sorted(found, key=lambda flip: flip.distance)[:_MOST]


class FlipGuide(NobodyWaits):
    """First come, first served, except for some flips.

    Args:
        run: the failing one, which says what comes of what.

    Attributes:
        loose: something was waited for that did not come.
    """

    strict = False

    def __init__(self, flips: Sequence[Flip], run: Sighting, late: Mapping[str, int]) -> None:
        self.late = late
        self.loose = False
        self._happened: dict[str, None] = {}
        self._waits: dict[str, dict[str, list[str]]] = {}
        for flip in flips:
            self._waits.setdefault(flip.receiver, {}).setdefault(flip.late, []).append(flip.early)
        self._run = run
        self._needs: dict[str, dict[str, None]] = {}

    def happens(self, label: str) -> None:
        """Let go of what waited for it."""
        self._happened[label] = None

    def receivers(self) -> Sequence[str]:
        """Those with flips."""
        return list(self._waits)

    def want(self, receiver: str, index: int, candidates: Callable[[], list[str]]) -> str | None:
        """What the oldest candidate waits for, or what that comes of; ``None`` where it need not wait."""
        waits = self._waits.get(receiver)
        if not waits:
            return None
        labels = candidates()
        if not labels or not self._unmet(waits, labels[0]):
            return None
        wanted: dict[str, None] = {}
        for label in labels:
            for early in self._unmet(waits, label):
                wanted.update(self._needed(early))
        for label in labels:
            if label in wanted and not self._unmet(waits, label):
                return label
        return ""

    def _unmet(self, waits: Mapping[str, list[str]], label: str) -> list[str]:
        return [early for early in waits.get(label, ()) if early not in self._happened]

    def _needed(self, label: str) -> dict[str, None]:
        """``label`` and everything that it comes of."""
        known = self._needs.get(label)
        if known is None:
            run = self._run
            known = self._needs[label] = {label: None}
            waiting = [run.places[label]] if label in run.places else []
            while waiting:
                n = waiting.pop()
                for origin in (run.causes[n], run.links[n]):
                    if origin >= 0 and run.labels[origin] not in known:
                        known[run.labels[origin]] = None
                        waiting.append(origin)
        return known

    def skip(self, receiver: str, index: int) -> None:
        """What is waited for does not come."""
        self.loose = True
        self._waits.pop(receiver, None)

    def met(self, receiver: str, index: int) -> bool:
        """Nothing has to become a choice again."""
        return False


class Flipping(GuidedChooser):
    """Tells a guide of flips what has happened."""

    def __init__(self, guide: FlipGuide, *, total: bool) -> None:
        super().__init__(guide, total=total)
        self._told = guide

    def pick(self, agenda: Agenda) -> Any:
        """See `GuidedChooser`."""
        picked = super().pick(agenda)
        if isinstance(picked, Event):
            self._told.happens(picked.label)
        return picked


def minimised(flips: Sequence[Flip], fails: Callable[[Sequence[Flip]], bool]) -> list[Flip]:
    """A subset of ``flips``, which fail, none of whose parts fails as far as was tried (Zeller, Hildebrandt 2002).

    A part is tried alone before all but it: few pairs make a bug.
    """
    best = list(flips)
    parts = 2
    while len(best) > 1:
        size = -(-len(best) // parts)
        chunks = [best[at : at + size] for at in range(0, len(best), size)]
        alone = next((chunk for chunk in chunks if fails(chunk)), None)
        if alone is not None:
            best, parts = alone, 2
            continue
        rest = None
        if len(chunks) > 2:
            for nth in range(len(chunks)):
                without = [flip for n, chunk in enumerate(chunks) if n != nth for flip in chunk]
                if fails(without):
                    rest = without
                    break
        if rest is not None:
            best, parts = rest, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(len(best), parts * 2)
    return best

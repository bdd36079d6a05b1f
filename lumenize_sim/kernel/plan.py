"""Fault points: boundaries at which a sparse plan, drawn up front, may want something to go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lumenize_sim.kernel.choice import Choice, key_of

__all__ = ["FaultPlan", "fault_label", "place_of"]


def fault_label(kind: str, target: str, nth: int) -> str:
    """The label of the ``nth`` boundary (from 0) of ``kind`` at ``target``."""
    return f"{target}%{kind}#{nth}"


def place_of(label: str) -> tuple[str, str]:
    """Kind and target of a label; a target may have any sign in its name."""
    target, _, kind = label.rpartition("#")[0].rpartition("%")
    return kind, target


class FaultPlan:
    """What shall go wrong, by label; counts boundaries and remembers what did.

    A crash possible at every boundary costs no choice at each: only the points that
    the plan names, and that the run reaches, become choices.

    It also holds the values that a platform draws without anything going wrong (`draw`):
    those of a tape by label, and fresh ones where a run roams.

    Args:
        planned: label to value.
        census: count the boundaries, although nothing is planned.
        roam: ``roam(label, bound)`` draws what is not planned; without it that is 0.
        slide: a fault that is not possible at its boundary happens at the next one of that kind and target
            where it is; for plans that are drawn, whose boundary means no more than the one after it.

    Attributes:
        fired: the faults that happened and the values drawn, in order.
        census: boundaries met so far where they are counted, ``(kind, target)`` to the numbers of those where
            something could happen.
        quiet: no more faults from here on.
        progress: how many events have happened; where it is given, ``trail`` keeps it for each boundary of ``census``.
    """

    __slots__ = (
        "_active",
        "_counting",
        "_counts",
        "_places",
        "_planned",
        "_roam",
        "_sliding",
        "_targets",
        "census",
        "fired",
        "progress",
        "quiet",
        "trail",
    )

    def __init__(
        self,
        planned: Mapping[str, int] | None = None,
        *,
        census: bool = False,
        roam: Callable[[str, int], int] | None = None,
        slide: bool = False,
    ) -> None:
        self._sliding: dict[tuple[str, str], list[tuple[int, int]]] | None = {} if slide else None
        self._planned = dict(planned or {})
        self._targets = {label.rpartition("%")[0] for label in self._planned}
        self._places = {place_of(label) for label in self._planned}
        self._counting = census
        self._active = census or bool(self._planned)
        self._roam = roam
        self.census: dict[tuple[str, str], list[int]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self.fired: list[Choice] = []
        self.quiet = False
        self.progress: Callable[[], int] | None = None
        self.trail: dict[tuple[str, str], list[int]] = {}

    def __bool__(self) -> bool:
        return self._active

    def concerns(self, target: str, kinds: tuple[str, ...]) -> bool:
        """Whether some fault of ``kinds`` is planned for ``target``."""
        return target in self._targets and any(
            label.startswith(f"{target}%{kind}#") for label in self._planned for kind in kinds
        )

    def targets(self, kinds: tuple[str, ...]) -> list[str]:
        """For whom some fault of ``kinds`` is planned."""
        return [target for target in sorted(self._targets) if self.concerns(target, kinds)]

    def at(self, kind: str, target: str, bound: int = 2, *, possible: bool = True) -> int:
        """One boundary.  Returns 0 (nothing happens) or the planned value below ``bound``.

        ``possible`` False counts the boundary but lets nothing happen there, so that
        the numbering does not depend on what the object is doing.
        """
        if not self._active:
            return 0
        place = (kind, target)
        if not self._counting and place not in self._places:
            return 0  # nobody asks how many there are of these
        nth = self._counts.get(place, 0)
        self._counts[place] = nth + 1
        if not possible:
            return 0
        if place in self.census:
            self.census[place].append(nth)
        else:
            self.census[place] = [nth]
        if self.progress is not None:
            self.trail.setdefault(place, []).append(self.progress())
        if not self._planned or self.quiet:
            return 0
        label = fault_label(kind, target, nth)
        value = self._planned.get(label, 0) if self._sliding is None else self._slid(place, nth)
        if not value:
            return 0
        value = min(value, bound - 1)
        self.fired.append(Choice(label, value, bound, key_of([label, kind]), kind))
        return value

    def _slid(self, place: tuple[str, str], nth: int) -> int:
        """The first planned value at ``place`` whose boundary is this one or has passed."""
        assert self._sliding is not None
        if place not in self._sliding:
            self._sliding[place] = sorted(
                (int(label.rpartition("#")[2]), value)
                for label, value in self._planned.items()
                if place_of(label) == place
            )
        waiting = self._sliding[place]
        return waiting.pop(0)[1] if waiting and waiting[0][0] <= nth else 0

    def draw(self, kind: str, target: str, bound: int) -> int:
        """A value from 0 to ``bound`` - 1 that is no fault: as planned, else drawn where the run roams, else 0."""
        place = (kind, target)
        nth = self._counts.get(place, 0)
        self._counts[place] = nth + 1
        label = fault_label(kind, target, nth)
        value = self._planned.get(label, -1)
        if value < 0:
            value = 0 if self._roam is None else self._roam(label, bound)
        value = min(value, bound - 1)
        if value:
            self.fired.append(Choice(label, value, bound, key_of([label, kind]), kind))
        return value

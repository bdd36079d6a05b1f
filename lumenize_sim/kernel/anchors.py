"""A tape followed by what its choices are about, for code that has changed since.

The place of a choice in the order of its receiver moves with every event that an edit adds or takes away,
such as one of the driver's, which count at every receiver.  What a choice says does not: that one event came
before another.  So a receiver is held as soon as the second of the two could arrive, until the first has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lumenize_sim.kernel.choice import Choice

__all__ = ["AnchoredGuide"]

#: So many arrivals behind its place a choice is given up whose events have not come.
_FAR = 64


class AnchoredGuide:
    """Follows choices by the labels of the two events that each orders; see the module.

    A choice without a second event, which had been called off, is found by its place.  What does not
    come is left out.  An event that waited for several waits, from the beginning, until the last of them has come.

    Attributes:
        followed: choices that were made again.
        unmet: those that were not, so far, by label.
    """

    strict = False

    def __init__(self, choices: Sequence[Choice]) -> None:
        self.late: Mapping[str, int] = {c.site: c.value for c in choices if c.kind == "delay"}
        self.followed: list[Choice] = []
        self.unmet: dict[str, Choice] = {}
        self._left: dict[str, list[tuple[int, Choice]]] = {}
        self._could: dict[str, None] = {}  # labels of choices whose first event could have come already
        self._active: dict[str, Choice] = {}
        self.waiting: dict[str, dict[str, Choice]] = {}
        for choice in choices:
            if choice.kind == "order":
                receiver, nth = choice.place
                if choice.spans > 1:
                    self.waiting.setdefault(receiver, {})[choice.over] = choice
                else:
                    self._left.setdefault(receiver, []).append((nth, choice))
                self.unmet[choice.label] = choice

    def receivers(self) -> Sequence[str]:
        """Those with a choice still to come, or not over."""
        return list(dict.fromkeys((*self._left, *self.waiting)))

    def want(self, receiver: str, index: int, candidates: Callable[[], list[str]]) -> str | None:
        """The first event of a choice whose second one could arrive now; ``None`` where there is no such choice."""
        self._active.pop(receiver, None)
        if receiver not in self._left:
            return None
        labels = candidates()
        wanted: Choice | None = None
        for nth, choice in list(self._left[receiver]):
            if choice.pick in labels:
                self._could[choice.label] = None
            elif choice.label in self._could or (index > nth + _FAR and choice.over not in labels):
                self._drop(receiver, choice)  # it has come by itself, or never will
                continue
            if wanted is None and (choice.over in labels if choice.over else index == nth):
                wanted = choice
        if wanted is None:
            return None
        self._active[receiver] = wanted
        return wanted.pick

    def met(self, receiver: str, index: int) -> bool:
        """What arrives is what was wanted, if anything was: all else is held."""
        choice = self._active.pop(receiver, None)
        if choice is not None:
            self.followed.append(choice)
            self.unmet.pop(choice.label, None)
            self._drop(receiver, choice)
        return False

    def overtaken(self, receiver: str, label: str, by: str, there: bool) -> bool:
        """``by`` arrives, and ``label`` has waited enough if that is the last for which it should."""
        choice = self.waiting[receiver][label]
        if by != choice.pick:
            return False
        self.followed.append(choice)
        self.unmet.pop(choice.label, None)
        self.let_go(receiver, label)
        return True

    def let_go(self, receiver: str, label: str) -> None:
        """``label`` need not wait any longer."""
        del self.waiting[receiver][label]
        if not self.waiting[receiver]:
            del self.waiting[receiver]

    def skip(self, receiver: str, index: int) -> None:
        """Leave the choice out for which the receiver is held."""
        self._drop(receiver, self._active.pop(receiver))

    def _drop(self, receiver: str, choice: Choice) -> None:
        left = [entry for entry in self._left[receiver] if entry[1] is not choice]
        if left:
            self._left[receiver] = left
        else:
            del self._left[receiver]

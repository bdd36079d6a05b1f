"""Which event of a tape is which of a run, after the app was edited.

An event is what it was if it has the same shape (the label without its counters), the same receiver, the same
contents as far as they are named (the method of a call, what a frame carries), and
comes of the same event; or of something new that came of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from lumenize_sim.kernel.chooser import EVERYTHING
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.world.sim_call import SimCall

__all__ = ["Matcher", "contents_of", "shape_of"]

_KEY = re.compile(r'"type":"get","key":"([^"]+)"')
_TYPE = re.compile(r'^\{"type":"([^"]+)"')
_COUNTERS = re.compile(r"(?<=#)\d+|(?<=\^)\d+|(?<=~)\d+|(?<=!timer)\d+|(?<=!section)\d+|(?<=v)\d+(?=\Z|/)")


def shape_of(label: str) -> str:
    """A label without its counters; names keep their numbers."""
    return _COUNTERS.sub("*", label)


def contents_of(about: Any) -> str:
    """What an event carries, in a word: the method of a call, what a frame is for."""
    if isinstance(about, SimCall):
        return about.subject
    if isinstance(about, str):
        found = _KEY.search(about) or _TYPE.search(about)
        return "" if found is None else found.group(1)
    return ""


class Matcher:
    """Which event of a tape is which of a run, as the run makes them."""

    def __init__(self, tape: Tape) -> None:
        entries = [*tape.log, *tape.left]
        self.many = len(tape.log)
        self._labels = [label for _, label in entries]
        self._receivers = [receiver for receiver, _ in entries]
        self._causes = list(tape.causes) or [-1] * len(entries)
        self._about = list(tape.about) or [""] * len(entries)
        self._caused = bool(tape.causes)
        self._shapes = [shape_of(label) for label in self._labels]
        self._by_label: dict[str, list[int]] = {}
        self._by_shape: dict[str, list[int]] = {}
        for n, label in enumerate(self._labels):
            self._by_label.setdefault(label, []).append(n)
            self._by_shape.setdefault(self._shapes[n], []).append(n)
        self._parents: dict[str, str] = {}
        self._found: dict[str, int] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._happened: dict[int, None] = {}

    def position(self, label: str) -> int:
        """Of an event of the tape, by its label there; -1 for none."""
        return next(iter(self._by_label.get(label, ())), -1)

    def made(self, label: str, receiver: str | None, parent: str, about: str) -> None:
        """The run has made an event, during ``parent``."""
        self._parents[label] = parent
        anchor = self._anchor(parent)
        for how, places in self._candidates(label, anchor):
            for n in places:
                if (
                    n not in self._names
                    and self._receivers[n] in (receiver, EVERYTHING)
                    and (not about or not self._about[n] or about == self._about[n])
                ):
                    self._found[label] = n
                    self._names[n] = (label, how)
                    return

    def _candidates(self, label: str, anchor: int) -> Iterator[tuple[str, Sequence[int]]]:
        same = self._by_label.get(label, ())
        alike = self._by_shape.get(shape_of(label), ())
        if not self._caused:
            yield "label", same
            yield "cause", alike
            return
        yield "exact", [n for n in same if self._causes[n] == anchor]
        yield "cause", [n for n in alike if self._causes[n] == anchor]
        yield "label", same
        yield "cause", [n for n in alike if self._descends(n, anchor)]

    def _anchor(self, label: str) -> int:
        """The nearest event of the tape that ``label`` is, or comes of."""
        while label and label not in self._found:
            label = self._parents.get(label, "")
        return self._found.get(label, -1)

    def _descends(self, n: int, ancestor: int) -> bool:
        while n >= 0:
            n = self._causes[n]
            if n == ancestor:
                return True
        return False

    def happens(self, label: str) -> None:
        """The run has come to an event."""
        n = self._found.get(label)
        if n is not None:
            self._happened[n] = None

    def happened(self, n: int) -> bool:
        """Whether the tape's event at ``n`` has happened here."""
        return n in self._happened

    def found(self, label: str) -> int | None:
        """The position on the tape of an event of the run, if it is there."""
        return self._found.get(label)

    def name(self, n: int) -> tuple[str, str]:
        """What the tape's event at ``n`` is called here, and how it was matched; empty where it is not."""
        return self._names.get(n, ("", "dropped"))

    def old(self, label: str) -> str:
        """What an event of the run was called on the tape."""
        n = self._found.get(label)
        return label if n is None else self._labels[n]

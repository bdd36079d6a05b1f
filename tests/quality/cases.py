"""The benchmarks of `scenarios/bench`, and what each declares: a bug, its twin, its depth, and the racing pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from lumenize_sim import Run, Scenario, UsageError
from lumenize_sim.cli.words import Words as Names
from lumenize_sim.explore import load_scenario
from lumenize_sim.explore.loading import load_module

__all__ = ["FOLDER", "Case", "cases_in"]

FOLDER = Path(__file__).parents[2] / "scenarios" / "bench"
#: One text, or several of which any will do.
Words = str | tuple[str, ...]


def _alternatives(words: Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else words


@attrs.frozen(kw_only=True)
class Case:
    """One benchmark, as its file declares it.

    Attributes:
        name: of the scenario with the bug; its twin is called the same and ``_fixed``.
        path: the file of both.
        depth: choices that differ from first come, first served in the shortest tape that fails.
        object, key: what the events race for; no key where the order itself is the bug.
        events: words of both.
        lines: a piece of each source line that an explanation must point at, or several of which any will do.
        rate: how often a random walk failed when that was last measured: failures, schedules.
    """

    name: str
    path: Path
    depth: int
    object: Words
    key: Words
    events: tuple[Words, Words]
    lines: tuple[Words, ...]
    rate: tuple[int, int]

    @property
    def bug(self) -> Scenario:
        """The scenario with the bug."""
        return load_scenario(self.path, self.name)

    @property
    def twin(self) -> Scenario:
        """The scenario without it."""
        return load_scenario(self.path, f"{self.name}_fixed")

    def complaints(self, run: Run) -> list[str]:
        """What is wrong with the explanation of a failed run.

        Nothing where it names the pair, its object, its key and its lines, in the words that a person is shown.
        """
        found = run.explanation
        if found is None:
            return ["there is none"]
        said = Names(run.trace).text(f"{found.message}\n{found.first.event}\n{found.second.event}")
        wrong: list[str] = []
        if found.object not in _alternatives(self.object):
            wrong.append(f"the object is {found.object!r}, not {self.object!r}")
        keys = _alternatives(self.key)
        if found.key.removeprefix("attr:") not in keys:
            wrong.append(f"the key is {found.key!r}, not {self.key!r}")
        for words in self.events:
            if not any(word in said for word in _alternatives(words)):
                wrong.append(f"nothing is said of {words!r}")
        seen = [access.where for access in (found.first, found.second, found.then) if access is not None]
        told = {where for where in seen if where is not None}
        for piece in self.lines:
            places = [place for words in _alternatives(piece) for place in self.places_of(words)]
            if not any(place in told or place in said for place in places):
                wrong.append(f"no line with {piece!r} is pointed at, but {sorted(told)}")
        return wrong

    def places_of(self, piece: str) -> list[str]:
        """``file.py:line`` of each line of the file that has ``piece`` in it.

        Raises:
            UsageError: there is none: the declaration is out of date.
        """
        lines = self.path.read_text(encoding="utf-8").splitlines()
        # What declares the piece is a line that has it, too.
        found = [n for n, line in enumerate(lines, 1) if piece in line and not _quoted(piece, line)]
        if not found:
            raise UsageError(f"{self.path.name} has no line with {piece!r} in it: declare one that it has")
        return [f"{self.path.name}:{n}" for n in found]


def _quoted(piece: str, line: str) -> bool:
    return any(f"{quote}{piece}{quote}" in line for quote in "'\"")


def _case(path: Path) -> Case | None:
    declared: Mapping[str, Any] = vars(load_module(path))
    if "DEPTH" not in declared:
        return None
    missing = [name for name in ("RACING", "RATE") if name not in declared]
    if missing:
        raise UsageError(f"{path.name} declares DEPTH and no {' or '.join(missing)}: see scenarios/bench/__init__.py")
    racing: Mapping[str, Any] = declared["RACING"]
    return Case(
        name=path.stem,
        path=path,
        depth=declared["DEPTH"],
        object=racing["object"],
        key=racing["key"],
        events=racing["events"],
        lines=tuple(racing["lines"]),
        rate=declared["RATE"],
    )


def cases_in(folder: Path = FOLDER, only: Sequence[str] = ()) -> list[Case]:
    """All benchmarks of a folder, by name; ``only`` those so called.

    Raises:
        UsageError: a file declares half of it, or there is none of a name.
    """
    found = [case for path in sorted(folder.glob("*.py")) if (case := _case(path)) is not None]
    unknown = [name for name in only if name not in [case.name for case in found]]
    if unknown:
        known = ", ".join(case.name for case in found)
        raise UsageError(f"there is no benchmark {', '.join(map(repr, unknown))} in {folder}; there is: {known}")
    return [case for case in found if not only or case.name in only]

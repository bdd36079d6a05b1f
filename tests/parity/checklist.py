"""The original's own tests, by id, and where ours cite them.

An id is the prefix of a file and a running number in it, as in our reference of the
original: ``T-AL-7``.  A test of ours cites ids in its docstring, singly or as
``T-AL-8 to T-AL-12`` or ``T-AL 1, 3 and 5 to 7``.  What has no counterpart here has a row in ``docs/parity.md``
that begins with its id, or with such a range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]

#: Prefix to (how many, what they test).  The 330 tests of the original have 331 ids: T-CL-55 and 56 are one test there.
FAMILIES: Final[dict[str, tuple[int, str]]] = {
    "T-DO": (61, "Durable Objects of the mesh"),
    "T-CC": (26, "call context"),
    "T-CT": (5, "targets of calls"),
    "T-IH": (4, "identity from headers"),
    "T-WK": (19, "Workers"),
    "T-AL": (21, "alarms"),
    "T-ND": (8, "plugins"),
    "T-OC": (26, "continuations"),
    "T-GW": (37, "gateway"),
    "T-CL": (61, "client"),
    "T-TI": (5, "tab ids"),
    "T-RF": (14, "test refresh function"),
    "T-BR": (4, "browser"),
    "T-NI": (2, "packaging"),
    "T-CP": (6, "container prototype"),
    "T-CS": (8, "container calls"),
    "T-D1": (3, "documentation: object"),
    "T-D2": (6, "documentation: alarms"),
    "T-D3": (1, "documentation: all of alarms"),
    "T-D4": (1, "documentation: getting started"),
    "T-D5": (9, "documentation: calls"),
    "T-D6": (4, "documentation: security"),
}

#: Rules of the reference that are marked as quirks; each is decided in a row of ``docs/parity.md``.
QUIRKS: Final = (
    "CALL-13", "CALL-28", "OC-17", "OC-28", "OC-33", "4409", "CL-15", "CL-30", "SC-5", "SC-24", "AL-13", "AL-18",
    "FE-10", "RT-3",
)  # fmt: skip

_CITED: Final = re.compile(
    r"(?P<family>T-[A-Z][A-Z0-9])[- ](?P<numbers>\d+(?:(?:, | and | to | … )(?:(?P=family)[- ])?\d+\b)*)"
)
_STEP: Final = re.compile(r"(?P<how>, | and | to | … |)(?:T-..[- ])?(?P<number>\d+)")


@attrs.frozen(order=True)
class Line:
    """One line of the checklist."""

    family: str
    number: int

    def __str__(self) -> str:
        return f"{self.family}-{self.number}"


def lines() -> list[Line]:
    """All of them, in order."""
    return [Line(family, n) for family, (count, _) in FAMILIES.items() for n in range(1, count + 1)]


def cited(text: str) -> Iterator[Line]:
    """The lines that ``text`` names.

    Raises:
        ValueError: there is no such line.
    """
    for match in _CITED.finditer(text):
        family, last = match["family"], 0
        for step in _STEP.finditer(match["numbers"]):
            number = int(step["number"])
            first = last + 1 if step["how"] in (" to ", " … ") else number
            if family not in FAMILIES or not 1 <= first <= number <= FAMILIES[family][0]:
                raise ValueError(f"{match[0]!r} is no line of the checklist")
            for each in range(first, number + 1):
                yield Line(family, each)
            last = number


def rows(text: str) -> dict[str, str]:
    """The first columns of all tables in ``text``, each with the rest of its row."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
            found[cells[0]] = " | ".join(cells[1:])
    return found


def explained(page: Path = ROOT / "docs" / "parity.md") -> dict[Line, str]:
    """Lines without a test, and why."""
    reasons: dict[Line, str] = {}
    for first, rest in rows(page.read_text(encoding="utf-8")).items():
        if first.startswith("T-"):
            for line in cited(first):
                reasons[line] = rest
    return reasons


def undecided(page: Path = ROOT / "docs" / "parity.md") -> list[str]:
    """Quirks that no row decides."""
    table = rows(page.read_text(encoding="utf-8"))
    return [quirk for quirk in QUIRKS if "open" in table.get(quirk, "open")[:40].lower()]

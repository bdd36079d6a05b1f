"""Cron expressions as the original's library reads them (AL-8); the next time is looked for by cronsim.

Five fields, or six with seconds first; lists, ranges, steps on ``*`` and on ranges;
names of months and weekdays in any case; 0 and 7 are Sunday; where both day fields are
restricted either may match.  A step on a single value is ignored: ``5/10`` is ``5``.
What cronsim knows beyond that (``L``, ``#``) is refused as the original refuses it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.errors import MeshError

__all__ = ["next_occurrence"]

_ALIASES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@minutely": "* * * * *",
}
_RANGE: Final = re.compile(r"(?:([0-9a-zA-Z]+)-([0-9a-zA-Z]+)|\*)(?:/([0-9]+))?")
_LEADING_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]+)")


@attrs.frozen
class _Field:
    low: int
    high: int
    names: tuple[str, ...] = ()

    def parse(self, element: str) -> set[int]:
        """The values that ``element`` stands for.

        Raises:
            MeshError: it is malformed or out of range.
        """
        if "," in element:
            return set().union(*map(self.parse, element.split(",")))
        found = _RANGE.fullmatch(element)
        if found is None:
            return {self._single(element, element)}
        first, last, step = found[1], found[2], int(found[3] or 1)
        start = self.low if first is None else self._single(first, element)
        end = self.high if last is None else self._single(last, element)
        if self is _WEEKDAY and start == 7 != end:
            start = 0  # Sunday, at the beginning of a range
        if start > end:
            raise MeshError(f"Failed to parse {element}: Invalid range (start: {start}, end: {end}).")
        if step < 1:
            raise MeshError(f"Failed to parse step: Expected {found[3]} to be greater than 0.")
        return set(range(start, end + 1, step))

    def _single(self, text: str, element: str) -> int:
        lowered = text.lower()
        if lowered in self.names:
            return self.names.index(lowered) + 1
        number = _LEADING_NUMBER.match(text)
        if number is None:
            raise MeshError(f"Failed to parse {element}: {text} is NaN.")
        value = int(number[1])
        if not self.low <= value <= self.high:
            raise MeshError(
                f"Failed to parse {element}: {text} is outside of constraint range of {self.low} - {self.high}."
            )
        return value

    def write(self, values: set[int]) -> str:
        """For cronsim; all values as ``*``, which is what makes a day field an unrestricted one."""
        if self is _WEEKDAY:
            values = {value % 7 for value in values}
            return "*" if len(values) == 7 else ",".join(map(str, sorted(values)))
        return "*" if len(values) == self.high - self.low + 1 else ",".join(map(str, sorted(values)))


_SIXTY: Final = _Field(0, 59)
_WEEKDAY: Final = _Field(0, 7, ("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
_FIELDS: Final = (
    _SIXTY,
    _SIXTY,
    _Field(0, 23),
    _Field(1, 31),
    _Field(1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _WEEKDAY,
)


def next_occurrence(expression: str, now_ms: int) -> int:
    """The first time after ``now_ms`` that ``expression`` names, in whole epoch seconds; in UTC, as on the platform.

    Raises:
        MeshError: it is malformed, or names no date at all.
        UsageError: cronsim is not installed.
    """
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise UsageError(
            "cron expressions need cronsim, which is not installed: pip install 'lumenize-sim[cron]'"
        ) from None
    elements = _ALIASES.get(expression.lower(), expression).split(" ")
    elements = [element for element in elements if element]
    if len(elements) not in (5, 6):
        raise MeshError("Invalid cron expression: expected 5 or 6 elements.")
    if len(elements) == 5:
        elements.insert(0, "0")
    canonical = " ".join(field.write(field.parse(element)) for field, element in zip(_FIELDS, elements, strict=True))
    # Whole seconds: the next one is looked for behind it, and nothing falls between two of them.
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    try:
        found: datetime = next(CronSim(canonical, now))
    except (StopIteration, CronSimError):
        # Also at once for a day that its month never has.
        raise MeshError("No valid next date was found.") from None
    return int(found.timestamp())

"""What a schedule is: a chain to run, and when (AL-5, AL-6, AL-9)."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import attrs

from lumenize_sim.clone import Date, parse
from lumenize_sim.errors import AppError
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.services.cron import next_occurrence

__all__ = ["Kind", "Schedule", "Ulids", "When", "plan"]

Kind: TypeAlias = Literal["scheduled", "delayed", "cron"]
#: A moment, seconds from now, or a cron expression.
When: TypeAlias = datetime | Date | timedelta | float | str

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@attrs.frozen(kw_only=True)
class Schedule:
    """One row of the table.

    Attributes:
        id: given, or a ULID, so that ids sort in order of creation.
        operation_chain: what will run.
        type: ``"scheduled"`` for a moment, ``"delayed"``, or ``"cron"``.
        time: when, in whole epoch seconds.
        delay_in_seconds: as given, of a delayed one.
        cron: the expression, of a cron one.
        created_at: epoch seconds; ``None`` on what `Alarms.schedule` returns.
    """

    id: str
    operation_chain: OperationChain
    type: Kind
    time: int
    delay_in_seconds: float | None = None
    cron: str | None = None
    created_at: int | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Schedule:
        """From a row of the table, in the original's columns (AL-1)."""
        delay = row["delayInSeconds"]
        return cls(
            id=row["id"],
            operation_chain=parse(row["operationChain"]),
            type=row["type"],
            time=row["time"],
            delay_in_seconds=delay,
            cron=row["cron"],
            created_at=row["created_at"],
        )


def plan(when: When, now_ms: int) -> tuple[Kind, int, float | None, str | None]:
    """Kind, time in epoch seconds, delay in seconds and cron expression of ``when`` (AL-5).

    Raises:
        MeshError: it is nothing of that sort, or a cron expression that is none (AL-8).
        AppError: a moment without a time zone, which means another time on every machine.
    """
    given: object = when
    if isinstance(given, str):
        return "cron", next_occurrence(given, now_ms), None, given
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise AppError(f"{given!r} has no time zone: give one, such as datetime(…, tzinfo=UTC)")
        return "scheduled", math.floor((given - _EPOCH) / timedelta(seconds=1)), None, None
    if isinstance(given, Date):
        return "scheduled", math.floor(given.ms / 1000), None, None
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
        return "delayed", math.floor((now_ms + given * 1000) / 1000), given, None
    raise MeshError("Invalid schedule type")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Ulids:
    """Ids of 26 characters: 48 bits of time and 80 of chance; within one millisecond they count on (AL-4)."""

    __slots__ = ("_chance", "_time_ms")

    def __init__(self) -> None:
        self._time_ms = -1
        self._chance = 0

    def next(self, now_ms: int, generator: random.Random) -> str:
        """An id that sorts behind all earlier ones, even if the clock has not moved."""
        if now_ms > self._time_ms:
            self._time_ms, self._chance = now_ms, generator.getrandbits(80)
        else:
            self._chance += 1
        value = self._time_ms << 80 | self._chance & (1 << 80) - 1
        digits = []
        for _ in range(26):
            digits.append(_CROCKFORD[value & 31])
            value >>= 5
        return "".join(reversed(digits))

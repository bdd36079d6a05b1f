"""Date of JavaScript: milliseconds since 1970, over a range wider than `datetime` has."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

__all__ = ["INVALID_DATE", "Date", "InvalidDate", "date_of_iso", "date_of_ms", "iso_of_datetime", "utc_ms"]

_MAX_MS = 8_640_000_000_000_000
_DAY_MS = 86_400_000
_FIRST_MS = -62_135_596_800_000  # 0001-01-01
_LAST_MS = 253_402_300_799_999  # 9999-12-31, its last millisecond
_ISO = re.compile(r"([+-]\d{6}|\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z", re.ASCII)


@attrs.frozen
class Date:
    """A moment outside the years 1 to 9999, where there is no `datetime`.

    Attributes:
        ms: milliseconds since 1970-01-01T00:00Z, within +-8.64e15.
    """

    ms: int

    def __attrs_post_init__(self) -> None:
        if abs(self.ms) > _MAX_MS:
            raise ValueError(f"{self.ms} ms is outside the range of Date, which is +-{_MAX_MS} ms; use INVALID_DATE")

    def iso(self) -> str:
        """The text of ``toISOString``."""
        days, rest = divmod(self.ms, _DAY_MS)
        year, month, day = _civil(days)
        seconds, ms = divmod(rest, 1000)
        hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
        text = f"{year:04d}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):06d}"
        return f"{text}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}Z"


@attrs.frozen
class InvalidDate:
    """``new Date(NaN)``.  Can be copied, cannot be written to the wire."""


INVALID_DATE: Final = InvalidDate()


def utc_ms(moment: datetime) -> datetime:
    """The same instant in UTC, cut to milliseconds; ``moment`` itself where it is that already."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    odd = moment.microsecond % 1000
    if odd or type(moment) is not datetime:
        moment = datetime(
            moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second,
            moment.microsecond - odd, UTC,
        )  # fmt: skip
    return moment


def iso_of_datetime(moment: datetime) -> str:
    """The text of ``toISOString`` for an aware datetime."""
    return utc_ms(moment).isoformat(timespec="milliseconds")[:-6] + "Z"


def date_of_ms(ms: float) -> datetime | Date | InvalidDate:
    """What ``new Date(ms)`` is."""
    if not abs(ms) <= _MAX_MS:  # NaN too
        return INVALID_DATE
    date = Date(int(ms))
    if _FIRST_MS <= date.ms <= _LAST_MS:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=date.ms)
    return date


def date_of_iso(text: str) -> datetime | Date | InvalidDate:
    """What ``new Date(text)`` is; text that is no date gives `INVALID_DATE`, as there."""
    match = _ISO.fullmatch(text)
    if match is None:
        try:
            moment = datetime.fromisoformat(text)
            # A date alone counts as UTC, a date with time as local; the virtual host's local time is UTC.
            return utc_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            return INVALID_DATE
    year, month, day, hour, minute, second, ms = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, ms * 1000, UTC)
    except ValueError:
        pass
    # Outside the years of datetime; or a day that the month has not, or 24:00, which mean a later day, as there.
    of_day = ((hour * 60 + minute) * 60 + second) * 1000 + ms
    if not (1 <= month <= 12 and 1 <= day <= 31 and minute < 60 and second < 60 and of_day <= _DAY_MS):
        return INVALID_DATE
    return date_of_ms(_days(year, month, day) * _DAY_MS + of_day)


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar, years counted from March."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def _civil(days: int) -> tuple[int, int, int]:
    """The inverse of `_days`."""
    era, of_era = divmod(days + 719468, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1

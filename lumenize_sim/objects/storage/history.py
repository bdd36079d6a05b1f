"""Point-in-time recovery: the durable states that an object has had, by time (ST-30).

The platform keeps 30 days of every object.  Here a history costs an image for each
commit, so it is kept only of objects that can ask for it: from the beginning where the class
says ``point_in_time_recovery = True``, or where one of its functions names
``get_bookmark_for_time``; else from the first bookmark that is asked for.
"""

from __future__ import annotations

import inspect
import zlib
from functools import lru_cache
from hashlib import blake2b
from types import CodeType
from typing import Any, Final

import attrs

from lumenize_sim.objects.storage.errors import StorageError

__all__ = ["KEPT_MS", "History", "Moment", "keeps_history"]

KEPT_MS: Final = 30 * 24 * 3600 * 1000
_ASKS: Final = "get_bookmark_for_time"


@attrs.frozen
class Moment:
    """One durable state.

    Attributes:
        number: of the commit after which it was.
        at_ms: when that was made, in epoch milliseconds.
        packed: the image, compressed; ``None`` for the empty database.
        alarm_ms: the alarm time.
    """

    number: int
    at_ms: int
    packed: bytes | None
    alarm_ms: int | None

    @property
    def image(self) -> bytes | None:
        """The database, as SQLite serialises it."""
        return None if self.packed is None else zlib.decompress(self.packed)

    @property
    def bookmark(self) -> str:
        """Sorts by time, and within a millisecond by number; has the form of the platform's."""
        mark = blake2b(f"{self.at_ms} {self.number}".encode(), digest_size=16).hexdigest()
        return f"{self.at_ms >> 32:08x}-{self.at_ms & 0xFFFF_FFFF:08x}-{self.number:08x}-{mark}"


class History:
    """The moments of one object, the oldest first."""

    __slots__ = ("_moments",)

    def __init__(self) -> None:
        self._moments: list[Moment] = []

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def latest(self) -> Moment:
        """The present durable state."""
        return self._moments[-1]

    def add(self, number: int, at_ms: int, image: bytes | None, alarm_ms: int | None, *, same: bool = False) -> None:
        """Another state is durable; ``same``: only the alarm is another."""
        if same:
            packed = self._moments[-1].packed if self._moments else None
        else:
            packed = None if image is None else zlib.compress(image, 1)
        moments = self._moments
        moments.append(Moment(number, at_ms, packed, alarm_ms))
        # The newest of those that are too old stays: it is the state at the beginning of the 30 days.
        while len(moments) > 1 and moments[1].at_ms < at_ms - KEPT_MS:
            del moments[0]

    def at(self, when_ms: int, now_ms: int) -> Moment:
        """The state at a time.

        Raises:
            StorageError: nothing is known of that time.
        """
        if not self._moments:
            raise StorageError(
                "This database has no history. (Set `point_in_time_recovery = True` on the class to keep it from the "
                "beginning.)"
            )
        if when_ms < now_ms - KEPT_MS:
            raise StorageError(f"Requested time {when_ms} is more than 30 days ago: history is kept no longer.")
        for moment in reversed(self._moments):
            if moment.at_ms <= when_ms:
                return moment
        raise StorageError("Requested time is before this database existed.")

    def find(self, bookmark: str) -> Moment:
        """The state that a bookmark means.

        Raises:
            StorageError: it is none of this object's, or too old.
        """
        for moment in reversed(self._moments):
            if moment.bookmark == bookmark:
                return moment
        raise StorageError(
            f"The bookmark {bookmark!r} is none of this object's last 30 days: take one from getCurrentBookmark() or "
            "getBookmarkForTime()."
        )


def _names(code: CodeType) -> bool:
    if _ASKS in code.co_names:
        return True
    return any(_names(inner) for inner in code.co_consts if isinstance(inner, CodeType))


@lru_cache(maxsize=512)
def keeps_history(cls: type) -> bool:
    """Whether objects of ``cls`` keep their history from the beginning."""
    said = getattr(cls, "point_in_time_recovery", None)
    if said is not None:
        return bool(said)
    for base in cls.__mro__:
        if base.__module__.startswith("lumenize_sim.") or base is object:
            continue
        for member in vars(base).values():
            function: Any = inspect.unwrap(getattr(member, "__func__", member)) if callable(member) else None
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType) and _names(code):
                return True
    return False

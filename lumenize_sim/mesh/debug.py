"""Debug output by namespace and level, as the original's debug package has it (DB-1 … DB-7).

``self.debug("app.orders")`` gives a node a logger: what it says becomes a line of the log
of whatever host it runs on (in a simulated world a record of the trace, at virtual time).
``debug("app.orders")`` is for code outside of nodes, and writes JSON on standard error.

Which of it is said is decided by a filter, from the variable ``DEBUG`` of the app or of the
process: patterns separated by commas or blanks.  ``-pattern`` excludes, and wins;
``pattern:level`` means that level and above.  ``a`` and ``a.*`` match ``a`` and what is below
it, ``a*`` any beginning, ``*`` everything.  Errors are always said.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import attrs

from lumenize_sim.clone import MAX_SAFE_INTEGER, BigInt

__all__ = ["Entry", "Filter", "Level", "Logger", "clear_debug_sink", "debug", "set_debug_sink"]

Level: TypeAlias = Literal["debug", "info", "warn", "error"]
Entry: TypeAlias = dict[str, Any]
Say: TypeAlias = Callable[[str, str, str, Mapping[str, Any]], None]

LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warn", "error")
_SEPARATORS: Final = re.compile(r"[\s,]+")


@attrs.frozen
class _Pattern:
    text: str
    from_level: int
    excludes: bool

    @classmethod
    def of(cls, text: str) -> _Pattern:
        excludes = text.startswith("-")
        name, _, level = text.removeprefix("-").partition(":")
        return cls(name, LEVELS.index(level) if level in LEVELS else 0, excludes)

    def matches(self, namespace: str) -> bool:
        if self.text == "*" or self.text == namespace:
            return True
        if self.text.endswith(".*") or not self.text.endswith("*"):
            below = self.text.removesuffix(".*")
            return namespace == below or namespace.startswith(f"{below}.")
        return namespace.startswith(self.text[:-1])


@attrs.frozen
class Filter:
    """What is said; see the module (DB-3, DB-4)."""

    patterns: tuple[_Pattern, ...] = ()

    @classmethod
    def of(cls, text: str | None) -> Filter:
        """Read a filter; nothing but errors without one (DB-2)."""
        return _filter(text or "")

    def lowest(self, namespace: str) -> int:
        """The lowest level of ``namespace`` that is said, as an index into the levels."""
        found = len(LEVELS) - 1
        for pattern in self.patterns:
            if pattern.matches(namespace):
                if pattern.excludes:
                    return len(LEVELS) - 1
                found = min(found, pattern.from_level)
        return found


@lru_cache(maxsize=64)
def _filter(text: str) -> Filter:
    return Filter(tuple(_Pattern.of(part) for part in _SEPARATORS.split(text) if part))


_sink: Callable[[Entry], None] | None = None


def set_debug_sink(sink: Callable[[Entry], None] | None) -> None:
    """For tests: hear every entry of every logger, whatever the filter; nothing else is written (DB-7)."""
    global _sink
    _sink = sink


def clear_debug_sink() -> None:
    """No sink any more."""
    set_debug_sink(None)


class Logger:
    """What ``debug(namespace)`` gives.

    The filter is read when it is made; later changes concern later loggers (DB-5).

    Attributes:
        namespace: dotted.
    """

    __slots__ = ("_lowest", "_now", "_say", "namespace")

    def __init__(self, namespace: str, filter_: Filter, say: Say, now: Callable[[], datetime]) -> None:
        self.namespace = namespace
        self._lowest = filter_.lowest(namespace)
        self._say = say
        self._now = now

    @property
    def enabled(self) -> bool:
        """Whether anything but errors is said; worth asking before dear preparations (DB-1)."""
        return _sink is not None or self._lowest < len(LEVELS) - 1

    def debug(self, message: str, data: Mapping[str, Any] | None = None) -> None:
        """The least important."""
        self._emit("debug", message, data)

    def info(self, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Of interest."""
        self._emit("info", message, data)

    def warn(self, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Probably wrong."""
        self._emit("warn", message, data)

    def error(self, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Wrong; never filtered (DB-2)."""
        self._emit("error", message, data)

    def _emit(self, level: Level, message: str, data: Mapping[str, Any] | None) -> None:
        if _sink is not None:
            _sink(entry_of(level, self.namespace, message, self._now(), data))
        elif LEVELS.index(level) >= self._lowest:
            self._say(level, self.namespace, message, data or {})


def entry_of(level: str, namespace: str, message: str, at: datetime, data: Mapping[str, Any] | None) -> Entry:
    """One entry in the original's form (DB-6): ``data`` is absent where there is none."""
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    entry: Entry = {
        "type": "debug", "level": level, "namespace": namespace, "message": message, "timestamp": stamp,
    }  # fmt: skip
    if data is not None:
        entry["data"] = data
    return entry


def text_of(entry: Entry) -> str:
    """JSON for people: repeated objects as ``[Circular]``, big integers with their ``n`` (DB-6)."""
    return json.dumps(_plain(entry, {}), indent=2, ensure_ascii=False)


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    if isinstance(value, BigInt) or (isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER):
        return f"{int(value)}n"
    if value is None or isinstance(value, str | int | float):
        return value
    if id(value) in seen:
        return "[Circular]"
    seen[id(value)] = value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, seen) for item in value]
    return str(value)


class _Debug:
    """``debug(namespace)``, and ``debug.reset()``."""

    def __call__(self, namespace: str) -> Logger:
        """A logger for code outside of nodes, filtered by the process's variable ``DEBUG``."""
        return Logger(namespace, Filter.of(os.environ.get("DEBUG")), _write, _now)

    def reset(self) -> None:
        """Forget the filters that were read."""
        _filter.cache_clear()


debug: Final = _Debug()


def _now() -> datetime:
    return datetime.now(UTC)


def _write(level: str, namespace: str, message: str, data: Mapping[str, Any]) -> None:
    sys.stderr.write(text_of(entry_of(level, namespace, message, _now(), data or None)) + "\n")

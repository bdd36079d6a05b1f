"""What one object uses that is billed: requests, duration, storage (BL-1 to BL-8).

A `Meter` counts while an object runs; `Consumption` is what it has counted, a value that
can be added and scaled.  Prices are another matter (`prices`).  An object without a meter
pays nothing for that there could be one.
"""

from __future__ import annotations

from typing import Final

import attrs

from lumenize_sim.objects.storage import UsageKind

__all__ = ["MEMORY_GB", "MESSAGES_PER_REQUEST", "Consumption", "Meter"]

#: Incoming web socket messages that are billed as one request (BL-1).
MESSAGES_PER_REQUEST: Final = 20
#: Memory that is billed while an object is active, whatever it uses (BL-4).
MEMORY_GB: Final = 0.128


@attrs.frozen(kw_only=True)
class Consumption:
    """Amounts.  The sum of two is what both have used together; the order of adding does not matter.

    Attributes:
        http_requests: ``fetch`` of an object, web socket upgrades included (BL-1).
        rpc_sessions: calls on stubs of an object; what goes on through their results is free (BL-2).
        alarms: runs of an alarm handler, every retry too (BL-1).
        socket_messages: incoming ones, without those that an auto-response has answered (BL-1, BL-3).
        active_us: microseconds in which it was active, or idle and not hibernateable (BL-4 to BL-6).
        turns: how often its code ran; free, for whoever wants to add the time that real code takes.
        rows_read, rows_written: on SQLite (BL-7).
        read_units, write_units, deletes: on the legacy key-value backend (BL-8).
        sql_bytes, kv_bytes: what is stored at the end, on either backend.
    """

    http_requests: int = 0
    rpc_sessions: int = 0
    alarms: int = 0
    socket_messages: int = 0
    active_us: int = 0
    turns: int = 0
    rows_read: int = 0
    rows_written: int = 0
    read_units: int = 0
    write_units: int = 0
    deletes: int = 0
    sql_bytes: int = 0
    kv_bytes: int = 0

    @property
    def requests(self) -> float:
        """As they are billed: twenty messages are one request (BL-1)."""
        return self.http_requests + self.rpc_sessions + self.alarms + self.socket_messages / MESSAGES_PER_REQUEST

    @property
    def gb_s(self) -> float:
        """Duration as it is billed, in gigabyte-seconds (BL-4)."""
        return self.active_us / 1_000_000 * MEMORY_GB

    def __add__(self, other: Consumption) -> Consumption:
        """Both together."""
        return Consumption(**{name: getattr(self, name) + getattr(other, name) for name in _NAMES})

    def to_json(self) -> dict[str, float]:
        """Amounts as they are billed, and what they are made of; without those that are 0."""
        return {
            "requests": self.requests,
            "gb_s": self.gb_s,
            **{name: amount for name in _NAMES if (amount := getattr(self, name))},
        }


_NAMES: Final = tuple(field.name for field in attrs.fields(Consumption))

_FIELDS: Final[dict[UsageKind, str]] = {
    "rows-read": "rows_read",
    "rows-written": "rows_written",
    "read-units": "read_units",
    "write-units": "write_units",
    "deletes": "deletes",
}


class Meter:
    """Counts for one object, over all its incarnations.

    Attributes:
        active_us: see `Consumption`; whoever moves the clock adds to it.
    """

    __slots__ = ("_alarms", "_http", "_messages", "_rpc", "_used", "active_us")

    def __init__(self) -> None:
        self._http = 0
        self._rpc = 0
        self._alarms = 0
        self._messages = 0
        self._used: dict[UsageKind, int] = {}
        self.active_us = 0

    def requested(self, *, by_fetch: bool) -> None:
        """A request has reached the object (BL-1, BL-2)."""
        if by_fetch:
            self._http += 1
        else:
            self._rpc += 1

    def alarmed(self) -> None:
        """Its alarm handler is about to run."""
        self._alarms += 1

    def messaged(self) -> None:
        """A message has reached it through a web socket that somebody opened to it."""
        self._messages += 1

    def used(self, kind: UsageKind, amount: int) -> None:
        """Its storage has used something: the hook ``usage`` of a store (BL-7, BL-8)."""
        self._used[kind] = self._used.get(kind, 0) + amount

    def read(self, *, turns: int = 0, sql_bytes: int = 0, kv_bytes: int = 0) -> Consumption:
        """What it has counted, and what others know."""
        return Consumption(
            http_requests=self._http,
            rpc_sessions=self._rpc,
            alarms=self._alarms,
            socket_messages=self._messages,
            active_us=self.active_us,
            turns=turns,
            sql_bytes=sql_bytes,
            kv_bytes=kv_bytes,
            **{_FIELDS[kind]: amount for kind, amount in self._used.items()},
        )

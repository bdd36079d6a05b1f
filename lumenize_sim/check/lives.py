"""The lives of instances as a trace shows them: when memory went, and which writes went with it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from lumenize_sim.check.finding import Access
from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["LIBRARY", "LostWrite", "access", "end_of_life", "key_of", "lost_writes", "place", "table_of"]

#: What the mesh itself keeps in storage; its accesses never explain anything.
LIBRARY = "__lmz_"
_TABLE = re.compile(r"\b(?:from|into|update|table)\s+(?:if\s+(?:not\s+)?exists\s+)?[\"`\[]?(\w+)", re.IGNORECASE)
_ENDS = frozenset({"reset", "evict", "hibernate"})


def end_of_life(event: TraceEvent) -> bool:
    """Whether an instance lost its memory here."""
    return event.kind in _ENDS


def access(event: TraceEvent, strand: str | None) -> Access:
    """What ``event`` is in a finding."""
    return Access(strand or event.label, event.where, str(event.get("op") or event.kind), event.n, event.actor)


def key_of(event: TraceEvent) -> str | None:
    """The key of an access; of SQL the table, as statements that differ may touch the same rows."""
    key = event.get("key")
    if key is None or event.get("store") != "sql":
        return None if key is None else str(key)
    return table_of(str(key))


def table_of(statement: str) -> str:
    """The first table that a statement names, or the statement where it names none."""
    found = _TABLE.search(statement)
    return statement if found is None else found.group(1)


def place(event: TraceEvent) -> str:
    """Its source line, or where it stands in the trace."""
    return event.where or f"record {event.n}"


@attrs.frozen
class LostWrite:
    """A write that was lost.

    Attributes:
        write: the record of it.
        strand: whose it was.
        end: the record with which the instance lost it.
    """

    write: TraceEvent
    strand: str
    end: TraceEvent


def lost_writes(trace: Trace) -> Iterator[LostWrite]:
    """Writes to storage that an instance took along: not committed yet, or in a commit that no flush made durable."""
    of = strands(trace)
    # By actor: writes of the running turn, and those of each commit that waits for its flush.
    open_: dict[str, list[TraceEvent]] = {}
    waiting: dict[str, list[tuple[int, list[TraceEvent]]]] = {}
    for event in trace.events:
        actor = event.actor
        if event.kind in ("write", "delete") and event.get("store") in ("kv", "sql"):
            open_.setdefault(actor, []).append(event)
        elif event.kind == "commit":
            writes = open_.pop(actor, [])
            if event.get("durable") is False:
                waiting.setdefault(actor, []).append((_number(event), writes))
        elif event.kind == "flush":
            done = _number(event)
            waiting[actor] = [(number, writes) for number, writes in waiting.get(actor, []) if number > done]
        elif event.kind == "reset":
            lost = [write for _, writes in waiting.pop(actor, []) for write in writes] + open_.pop(actor, [])
            for write in lost:
                yield LostWrite(write, of[write.n] or "", event)


def _number(event: TraceEvent) -> int:
    return int(event.label.rpartition("#")[2])

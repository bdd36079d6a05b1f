"""Races that can be read off one full trace.

Turns of an actor never overlap, so all that can go wrong is between them: a
strand reads a key, awaits, another strand writes the key, and the first goes on
with what it read.  Nothing here guesses: a finding is an order that really
happened in this run.
"""

from __future__ import annotations

from typing import Any

import attrs

from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.check.lives import key_of
from lumenize_sim.errors import UsageError
from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["RANK", "conflicting_pair", "races"]

#: Kinds of findings, gravest first.
RANK = ("stale-write", "stale-read", "conflict")

_TURN_STARTS = frozenset({"start", "deliver", "turn", "resume", "timer", "alarm"})
_WRITES = frozenset({"write", "delete"})
_EFFECTS = frozenset({"send", "frame", "write", "delete"})

Slot = tuple[str, str]
"""A key of an actor, with its store (``kv``, ``sql``, ``alarm``, ``attr`` or empty): one place in memory."""


@attrs.define
class _Read:
    """The latest read of a slot by one strand."""

    event: TraceEvent
    turn: int
    at: int
    """How many writes of the slot have been looked at."""
    by: dict[str, TraceEvent] = attrs.field(factory=dict)
    """Other strands that wrote since, each with its first such write."""
    spent: bool = False
    """The strand itself has written the slot since."""


@attrs.define
class _Actor:
    """What one actor's history looks like so far."""

    turn: int = 0
    reads: dict[str, dict[Slot, _Read]] = attrs.field(factory=dict)
    """strand -> slot -> latest read"""
    writes: dict[Slot, list[tuple[TraceEvent, str]]] = attrs.field(factory=dict)
    seen: dict[tuple[str, str, Slot, str], None] = attrs.field(factory=dict)


def races(trace: Trace) -> tuple[Finding, ...]:
    """Stale reads that were acted on, gravest kind first, then in order of the trace.

    * ``stale-write``: a strand reads a key, and in a later turn writes (or deletes) it, while another strand wrote
      it in between: the read-modify-write loses that write.
    * ``stale-read``: a strand reads a key, another strand writes it, and the first in a later turn sends or writes
      something else.  Weaker, as the act may not depend on the value.  A strand that has itself written the key
      since its read has made its decision, so this kind does not apply to it any more.

    Reading the key again makes a strand's knowledge fresh.  One finding for each kind, key and pair of strands, and
    no ``stale-read`` where the same pair has a ``stale-write`` on that key.  Needs a trace of level ``full``;
    in others there is nothing to find.  SQL is taken by the table: two statements may touch different rows of it.
    """
    actors: dict[str, _Actor] = {}
    found: list[Finding] = []
    for event, strand in zip(trace.events, strands(trace), strict=True):
        actor = actors.get(event.actor)
        if actor is None:
            actor = actors[event.actor] = _Actor()
        if event.kind in _TURN_STARTS:
            actor.turn += 1
        elif strand is not None:
            slot = _slot(event)
            if event.kind in _EFFECTS:
                _judge(actor, event, strand, slot, found)
            if slot is not None:
                _note(actor, event, strand, slot)
    grave = {(f.object, f.key, f.first.event, f.second.event) for f in found if f.kind == "stale-write"}
    kept = [
        f for f in found if f.kind == "stale-write" or (f.object, f.key, f.first.event, f.second.event) not in grave
    ]
    return tuple(sorted(kept, key=lambda f: RANK.index(f.kind)))


def _slot(event: TraceEvent) -> Slot | None:
    if event.kind != "read" and event.kind not in _WRITES:
        return None
    key = key_of(event)
    return None if key is None else (str(event.get("store", "")), key)


def _note(actor: _Actor, event: TraceEvent, strand: str, slot: Slot) -> None:
    """Take an access into account."""
    writes = actor.writes.setdefault(slot, [])
    if event.kind == "read":
        actor.reads.setdefault(strand, {})[slot] = _Read(event, actor.turn, len(writes))
        return
    writes.append((event, strand))
    own = actor.reads.get(strand, {}).get(slot)
    if own is not None:
        own.spent = True


def _judge(actor: _Actor, event: TraceEvent, strand: str, slot: Slot | None, found: list[Finding]) -> None:
    """Compare an effect with all that its strand has read in earlier turns."""
    for key, read in actor.reads.get(strand, {}).items():
        if read.turn == actor.turn:
            continue
        # Each write is looked at once for each read, and only when the reader acts: linear in long traces too.
        writes = actor.writes[key]
        for write, by in writes[read.at :]:
            if by != strand:
                read.by.setdefault(by, write)
        read.at = len(writes)
        kind = "stale-write" if key == slot else "stale-read"
        if kind == "stale-read" and read.spent:
            continue
        for by, write in read.by.items():
            mark = (kind, strand, key, by)
            if mark in actor.seen:
                continue
            actor.seen[mark] = None
            first, second, then = _access(read.event, strand), _access(write, by), _access(event, strand)
            message = _words(kind, key[1], first, second, then)
            found.append(Finding(kind, event.actor, key[1], first, second, message, then))


def _access(event: TraceEvent, strand: str) -> Access:
    op: Any = event.get("op")
    return Access(strand, event.where, event.kind if op is None else str(op), event.n, event.actor)


def _words(kind: str, key: str, first: Access, second: Access, then: Access) -> str:
    lines = f"read at {_line(first)}, {{}} at {_line(then)}; {second.name} wrote at {_line(second)}"
    if kind == "stale-write":
        return (
            f'racing pair: {first.actor} {second.name} ran between read and write of "{key}" in {first.name}\n  '
            + lines.format("written")
        )
    return (
        f'racing pair: {first.actor} {second.name} wrote "{key}" after {first.name} had read it and before it acted '
        f"({then.op})\n  " + lines.format("acted")
    )


def _line(access: Access) -> str:
    return access.where or f"record {access.n}"


def conflicting_pair(trace: Trace, actor: str, first_label: str, second_label: str) -> tuple[Finding, ...]:
    """The keys of ``actor`` that both events access, at least one of them writing, in order of appearance.

    For late overwrites: two deliveries set the same attribute, and the one with the older *information* comes last.
    Which one that is cannot be told from a trace; what they collide on can.  Where an event writes the key, its
    access is its last write, else its last read.

    Raises:
        UsageError: the trace has no such actor, or no such event there.
    """
    accesses: dict[str, dict[Slot, TraceEvent]] = {first_label: {}, second_label: {}}
    known: dict[str, None] = {}
    actors: dict[str, None] = {}
    for event, strand in zip(trace.events, strands(trace), strict=True):
        actors[event.actor] = None
        if event.actor != actor or strand is None:
            continue
        known[strand] = None
        slot = _slot(event)
        if slot is not None and strand in accesses:
            held = accesses[strand].get(slot)
            if held is None or event.kind in _WRITES or held.kind == "read":
                accesses[strand][slot] = event
    if actor not in actors:
        raise UsageError(f"actor {actor!r} is not in this trace: choose one of {', '.join(sorted(actors)) or 'none'}")
    for label in (first_label, second_label):
        if label not in known:
            raise UsageError(f"event {label!r} is not at {actor} in this trace: choose one of {', '.join(known)}")
    return tuple(
        _conflict(slot[1], _access(one, first_label), _access(other, second_label))
        for slot, one in accesses[first_label].items()
        if (other := accesses[second_label].get(slot)) is not None and (one.kind in _WRITES or other.kind in _WRITES)
    )


def _conflict(key: str, first: Access, second: Access) -> Finding:
    message = (
        f'racing pair: {first.actor} {first.name} and {second.name} both access "{key}"\n  '
        f"{first.name}: {first.op} at {_line(first)}; {second.name}: {second.op} at {_line(second)}"
    )
    return Finding("conflict", first.actor, key, first, second, message)

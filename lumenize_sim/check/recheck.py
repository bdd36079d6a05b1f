"""Checks that were out of date when they were acted on: check, wait, act."""

from __future__ import annotations

import attrs

from lumenize_sim.check.finding import Finding
from lumenize_sim.check.lives import access, key_of, place
from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["stale_checks"]

_TURN_STARTS = frozenset({"start", "deliver", "turn", "resume", "timer", "alarm"})
_ACCESSES = frozenset({"read", "write", "delete"})


@attrs.define
class _Check:
    read: TraceEvent
    turn: int
    fresh: int = -1
    """The latest read."""
    between: dict[str, TraceEvent] = attrs.field(factory=dict)


def stale_checks(trace: Trace, *, doubtful: bool = False) -> tuple[Finding, ...]:
    """A strand reads a key, another one writes it, and the first writes it in a later turn, after it has read it again.

    The value that it writes is up to date, so this is no stale write; but that it writes at all was decided by the
    read before the wait (*if ann does not play yet … add ann to those who play*).  One finding for each key and pair
    of strands, in order of the trace.

    Args:
        doubtful: an attribute that was checked and is read again may be acted on by that: what is put into a
            container, and was there already, leaves no write.  At the same line it is what is done time and again.
    """
    of = strands(trace)
    turns: dict[str, int] = {}
    checks: dict[tuple[str, str, str], dict[str, _Check]] = {}  # actor, store and key; strand
    found: dict[tuple[str, str, str, str], Finding] = {}
    for event in trace.events:
        actor = event.actor
        if event.kind in _TURN_STARTS:
            turns[actor] = turns.get(actor, 0) + 1
        strand = of[event.n]
        if event.kind not in _ACCESSES or strand is None or (key := key_of(event)) is None:
            continue
        store = str(event.get("store", ""))
        slot = checks.setdefault((actor, store, key), {})
        if event.kind == "read":
            check = slot.setdefault(strand, _Check(event, turns.get(actor, 0)))
            check.fresh = event.n
            again = check.turn != turns.get(actor, 0) and event.where != check.read.where
            if doubtful and store == "attr" and again:
                _act(found, actor, key, strand, check, event)
            continue
        for other, check in slot.items():
            if other != strand:
                check.between.setdefault(strand, event)
        own = slot.pop(strand, None)  # it is acted on now; what it reads from here on is another check
        if own is None or own.turn == turns.get(actor, 0):
            continue
        _act(found, actor, key, strand, own, event)
    return tuple(found.values())


def _act(
    found: dict[tuple[str, str, str, str], Finding], actor: str, key: str, strand: str, check: _Check, act: TraceEvent
) -> None:
    """``act`` was decided by ``check``: a finding for each who wrote in between."""
    for by, write in check.between.items():
        if check.fresh > write.n and (actor, key, strand, by) not in found:
            message = (
                f"racing pair: {actor} {by} wrote {key!r} between check and act of {strand}\n"
                f"  checked at {place(check.read)}, acted at {place(act)}; {by} wrote at {place(write)}"
            )
            found[actor, key, strand, by] = Finding(
                "stale-check",
                actor,
                key,
                access(check.read, strand),
                access(write, by),
                message,
                access(act, strand),
            )

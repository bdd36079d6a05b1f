"""Which strand did it, and because of what."""

from __future__ import annotations

from lumenize_sim.trace.trace import Trace

__all__ = ["STRAND_KINDS", "chain", "strands"]

#: Kinds whose label is the strand's.
STRAND_KINDS = frozenset({"start", "deliver", "turn", "resume", "end", "timer", "alarm"})


def strands(trace: Trace) -> list[str | None]:
    """For each record the label of the event whose handling it is part of, or ``None``.

    In this order: ``data["strand"]``; the label, for `STRAND_KINDS`; the strand of its cause where that is at
    the same actor.  A cause at another actor says nothing: that is a message, not the same activity.
    """
    found: list[str | None] = []
    events = trace.events
    for event in events:
        strand: str | None = event.get("strand")
        if strand is None:
            if event.kind in STRAND_KINDS:
                strand = event.label
            elif event.cause >= 0 and events[event.cause].actor == event.actor:
                strand = found[event.cause]
        found.append(strand)
    return found


def chain(trace: Trace, n: int) -> tuple[int, ...]:
    """``n`` and its causes, nearest first."""
    links = [n]
    while (cause := trace.events[links[-1]].cause) >= 0:
        links.append(cause)
    return tuple(links)

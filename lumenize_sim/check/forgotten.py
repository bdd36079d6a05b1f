"""What was kept in memory only, and asked for after the memory had gone (LC-14, LC-15, LC-19)."""

from __future__ import annotations

import attrs

from lumenize_sim.check.finding import Finding
from lumenize_sim.check.lives import access, end_of_life, place
from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["forgotten"]


@attrs.define
class _Memory:
    """The attributes of one object.

    Attributes:
        held: name to the write of the present instance, and whose it was.
        gone: name to the write of an earlier instance, whose it was, and the end that took it.
    """

    held: dict[str, tuple[TraceEvent, str]] = attrs.field(factory=dict)
    gone: dict[str, tuple[TraceEvent, str, TraceEvent]] = attrs.field(factory=dict)


def forgotten(trace: Trace) -> tuple[Finding, ...]:
    """Attributes that a handler has set, that went with their instance, and that the next one was asked for.

    One finding for each object, attribute and end: the write, the end, and the read that found something else.  What
    the next instance has set again by then, or has read from storage while it was constructed, is not forgotten.
    """
    of = strands(trace)
    memories: dict[str, _Memory] = {}
    found: list[Finding] = []
    for event in trace.events:
        if end_of_life(event):
            memory = memories.setdefault(event.actor, _Memory())
            for name, (write, writer) in memory.held.items():
                memory.gone[name] = (write, writer, event)
            memory.held.clear()
            continue
        strand = of[event.n]
        if event.kind not in ("read", "write") or strand is None:
            continue
        memory = memories.setdefault(event.actor, _Memory())
        starting = strand.startswith(f"{event.actor}!start#")
        if event.get("store") != "attr":
            if starting and event.kind == "read":
                memory.gone.clear()  # it restores what it needs
            continue
        name = str(event.get("key"))
        if event.kind == "write":
            if not starting:
                memory.gone.pop(name, None)
                memory.held[name] = (event, strand)
        elif name in memory.gone and not starting:
            found.append(_finding(event, strand, *memory.gone.pop(name)))
    return tuple(found)


def _finding(read: TraceEvent, reader: str, write: TraceEvent, writer: str, end: TraceEvent) -> Finding:
    kind = end.label.removeprefix(f"{end.actor}!").partition("#")[0]
    shown = str(read.get("key")).removeprefix("attr:")
    message = (
        f"forgotten: {read.actor} lost its memory ({kind}) between {writer}, which had set {shown!r}, and {reader}, "
        f"which asked for it\n  set at {place(write)}, asked for at {place(read)}"
    )
    return Finding(
        "forgotten",
        read.actor,
        str(read.get("key")),
        access(write, writer),
        access(end, None),
        message,
        access(read, reader),
    )

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
        restoring: the instance that is being constructed has read storage, and set no attribute since.
    """

    held: dict[str, tuple[TraceEvent, str]] = attrs.field(factory=dict)
    gone: dict[str, tuple[TraceEvent, str, TraceEvent]] = attrs.field(factory=dict)
    restoring: bool = False


def forgotten(trace: Trace, *, doubtful: bool = False) -> tuple[Finding, ...]:
    """Attributes that a handler has set, that went with their instance, and that the next one was asked for.

    One finding for each object, attribute and end: the write, the end, and the read that found something else.  What
    the next instance has set again by then, or has read from storage while it was constructed, is not forgotten.

    Args:
        doubtful: of a constructor that reads storage, only the attribute that it sets next counts as restored, and not
            all of them.  One that fills several from what it read once is wronged by that.
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
        starting = _constructs(trace, of, event, strand)
        if event.get("store") != "attr":
            if starting and event.kind == "read":
                memory.restoring = True
                if not doubtful:
                    memory.gone.clear()  # it restores what it needs
            continue
        name = str(event.get("key"))
        if event.kind == "write":
            if not starting:
                memory.gone.pop(name, None)
                memory.held[name] = (event, strand)
            elif memory.restoring:
                memory.gone.pop(name, None)
                memory.restoring = False
        elif name in memory.gone and not starting:
            found.append(_finding(event, strand, *memory.gone.pop(name)))
    return tuple(found)


def _constructs(trace: Trace, of: list[str | None], event: TraceEvent, strand: str) -> bool:
    """Whether it is the constructor that does this, or a critical section of it, as `on_start` is one."""
    start = f"{event.actor}!start#"
    if not strand.startswith(f"{event.actor}!section"):
        return strand.startswith(start)
    n = event.cause
    while n >= 0 and of[n] == strand:
        n = trace.events[n].cause
    return n >= 0 and (trace.events[n].kind == "start" or (of[n] or "").startswith(start))


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

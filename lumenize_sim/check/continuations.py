"""Calls whose answer found nobody: the instance that waited for it had lost its memory (LC-19)."""

from __future__ import annotations

from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.check.lives import access, end_of_life, place
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["lost_continuations"]


def lost_continuations(trace: Trace) -> tuple[Finding, ...]:
    """For each end of an instance the calls that it still waited for, latest first.

    A call that nobody waits for is one of them too: a trace does not say whether what was to be done with the answer
    mattered.
    """
    open_: dict[str, dict[str, TraceEvent]] = {}
    found: list[Finding] = []
    for event in trace.events:
        if event.kind == "send":
            open_.setdefault(event.actor, {})[event.label] = event
        elif event.kind == "deliver" and event.label.endswith("/r"):
            open_.get(event.actor, {}).pop(event.label[:-2], None)
        elif end_of_life(event):
            lost = open_.pop(event.actor, {})
            found += [_finding(call, event) for call in reversed(lost.values())]
    return tuple(found)


def _finding(call: TraceEvent, end: TraceEvent) -> Finding:
    target = call.actor
    kind = end.label.removeprefix(f"{target}!").partition("#")[0]
    message = (
        f"lost continuation: {target} lost its memory ({kind}) while it waited for {call.get('method')} "
        f"of {call.get('to')}; the reply found nobody\n  called at {place(call)}"
    )
    first = Access(call.label, call.where, "send", call.n, target)
    return Finding("lost-continuation", target, str(call.get("method")), first, access(end, None), message)

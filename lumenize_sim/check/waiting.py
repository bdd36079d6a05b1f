"""Who waits for whom, where a run does not end: deadlock, and going round in circles."""

from __future__ import annotations

from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.check.lives import place
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["circles", "closed_gates", "waits"]

_CIRCLE = "deadlock: these wait for each other"
_LONGEST = 60
_TIMES = 4


def waits(trace: Trace) -> tuple[Finding, ...]:
    """The calls that nobody has answered when the run ended, if there are any: their circle, else their chain.

    One finding: the calls in order, each made by whom the one before it waits for.
    """
    open_: dict[str, TraceEvent] = {}
    for event in trace.events:
        if event.kind == "send":
            open_[event.label] = event
        elif event.kind == "deliver" and event.label.endswith("/r"):
            open_.pop(event.label[:-2], None)
    by: dict[str, list[TraceEvent]] = {}
    for call in open_.values():
        by.setdefault(call.actor, []).append(call)
    best: list[TraceEvent] = []
    circle = False
    for call in open_.values():
        way, closed = _way(call, by)
        if (closed, len(way)) > (circle, len(best)):
            best, circle = way, closed
    if not best:
        return ()
    steps = "".join(
        f"\n  {call.actor} waits for {call.get('method')} of {call.get('to')}, called at {place(call)}" for call in best
    )
    head = _CIRCLE if circle else "nobody answers the last of these"
    first, last = best[0], best[-1]
    return (
        Finding(
            "deadlock",
            first.actor,
            str(first.get("method")),
            Access(first.label, first.where, "send", first.n, first.actor),
            Access(last.label, last.where, "send", last.n, last.actor),
            f"{head}{steps}",
        ),
    )


def closed_gates(trace: Trace) -> tuple[Finding, ...]:
    """Circles of calls between objects that hold their gates; the platform ends such a wait after 30 s (IG-10)."""
    found: list[Finding] = []
    for event in trace.events:
        if event.kind == "reset" and "!section#" in event.label:
            circle = waits(Trace(events=trace.events[: event.n], header=trace.header))
            found += [finding for finding in circle if finding.message.startswith(_CIRCLE)][: 1 - len(found)]
    return tuple(found)


def _way(call: TraceEvent, by: dict[str, list[TraceEvent]]) -> tuple[list[TraceEvent], bool]:
    """From a call to the calls that its callee waits for, and whether that comes back to where it began."""
    way = [call]
    seen = {call.actor: 0}
    while True:
        callee = _actor_of(way[-1], by)
        if callee in seen:
            return way[seen[callee] :], True
        following = by.get(callee)
        if not following:
            return way, False
        seen[callee] = len(way)
        way.append(following[0])


def _actor_of(call: TraceEvent, by: dict[str, list[TraceEvent]]) -> str:
    """A Worker is new for each call, and is named after it."""
    to = str(call.get("to"))
    fresh = f"{to}~{call.label}"
    return fresh if fresh in by else to


def circles(trace: Trace) -> tuple[Finding, ...]:
    """The shortest round of arrivals that a run ended with, several times over: what a livelock goes through."""
    sent = {event.label: event for event in trace.events if event.kind in ("send", "frame")}
    arrivals = [event for event in trace.events if event.kind in ("deliver", "timer", "alarm")]
    names = [(event.actor.partition("~")[0], _kind(event, sent)) for event in arrivals]
    for length in range(1, _LONGEST):
        tail = names[-length * _TIMES :]
        if len(tail) == length * _TIMES and tail == tail[:length] * _TIMES:
            own = arrivals[-length:]
            steps = "".join(f"\n  {actor}: {what}" for actor, what in names[-length:])
            first, last = own[0], own[-1]
            return (
                Finding(
                    "livelock",
                    first.actor,
                    names[-length][1],
                    Access(first.label, first.where, first.kind, first.n, first.actor),
                    Access(last.label, last.where, last.kind, last.n, last.actor),
                    f"livelock: the run ends with the same {length} arrivals again and again{steps}",
                ),
            )
    return ()


def _kind(event: TraceEvent, sent: dict[str, TraceEvent]) -> str:
    """What arrives, without the number that makes its label its own."""
    label = event.label
    answer = label.endswith("/r")
    call = sent.get(label[:-2] if answer else label)
    if call is None:
        return label.rpartition("#")[0] or event.kind
    return f"the answer to {call.get('method')}" if answer else str(call.get("method") or "a frame")

"""Alarms that ran more than once, and what they did each time.

An alarm runs at least once (AL-28): if its handler fails, or its object is lost before the end of the handler is
durable, it runs again from the beginning.  What it has sent by then it sends again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from lumenize_sim.check.finding import Finding
from lumenize_sim.check.lives import access, end_of_life, place
from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["repeated_effects"]


def repeated_effects(trace: Trace) -> tuple[Finding, ...]:
    """The same call, or the same frame, sent by a run of an alarm handler and by the one that repeats it.

    One finding for each run and effect: the first sending, what ended the run, and the second sending.
    """
    of = strands(trace)
    runs: dict[str, list[TraceEvent]] = {}
    sent: dict[str, list[TraceEvent]] = {}
    ended: dict[str, bool] = {}
    for event in trace.events:
        if event.kind == "alarm":
            runs.setdefault(event.actor, []).append(event)
        elif event.kind in ("send", "frame"):
            strand = of[event.n]
            if strand is not None:
                sent.setdefault(strand, []).append(event)
        elif event.kind == "end":
            ended[event.label] = event.get("ok") is True
    found: list[Finding] = []
    for actor, alarms in runs.items():
        for first, second in pairwise(alarms):
            cut = _cut(trace, actor, first, second, ended.get(first.label, False))
            if cut is None:
                continue
            again = [(event, _what(event)) for event in sent.get(second.label, ())]
            for event in sent.get(first.label, ()):
                same = next((other for other, what in again if what == _what(event)), None)
                if same is not None:
                    found.append(_finding(actor, first, event, cut, same))
    return tuple(found)


def _cut(trace: Trace, actor: str, first: TraceEvent, second: TraceEvent, well: bool) -> TraceEvent | None:
    """What makes ``second`` a repetition of ``first``: its failure, or the end of its instance."""
    durable = False
    for event in trace.events[first.n : second.n]:
        if event.actor != actor:
            continue
        if event.kind == "end" and event.label == first.label:
            if not well:
                return event
            durable = True  # unless a flush follows that never ends
        elif event.kind == "commit" and event.get("durable") is False:
            durable = False
        elif event.kind == "flush":
            durable = well
        elif end_of_life(event) and not durable:
            return event
    return None


def _what(event: TraceEvent) -> tuple[Any, ...]:
    return (event.kind, event.get("to"), event.get("method"), repr(event.get("args")), event.get("text"))


def _finding(actor: str, alarm: TraceEvent, first: TraceEvent, cut: TraceEvent, second: TraceEvent) -> Finding:
    what = f"{first.get('method')} of {first.get('to')}" if first.kind == "send" else f"a frame to {first.get('to')}"
    why = "it failed" if cut.kind == "end" else cut.label.removeprefix(f"{actor}!").partition("#")[0]
    message = (
        f"repeated effect: the alarm of {actor} did {what}, was cut short ({why}) before its end was durable, "
        f"and did it again when it was repeated\n  at {place(first)}, and again at {place(second)}"
    )
    key = str(first.get("method") or first.get("to"))
    return Finding(
        "repeated-effect",
        actor,
        key,
        access(first, alarm.label),
        access(cut, cut.label),
        message,
        access(second, None),
    )

"""What somebody was told before it was durable, and what was lost although somebody was told.

The output gate (OG-1) makes both impossible, unless an app goes round it: with ``allow_unconfirmed``, or by a side
channel that does not wait (an automatic answer of a web socket, OG-7).
"""

from __future__ import annotations

from lumenize_sim.check.finding import Finding
from lumenize_sim.check.lives import LIBRARY, LostWrite, access, key_of, lost_writes, place
from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["acknowledged_then_lost", "early_outputs", "unflushed"]

_OUTPUTS = frozenset({"send", "reply", "frame"})


def acknowledged_then_lost(trace: Trace) -> tuple[Finding, ...]:
    """Writes that were lost although their caller was answered with success, and that nobody has made again.

    One finding for each write: the write, and the end of the instance that took it along.
    """
    found: list[Finding] = []
    events = trace.events
    answers = {event.label: event for event in events if event.kind == "reply" and event.get("error") is None}
    arrived = {event.label: event.n for event in events if event.kind == "deliver"}
    for lost in lost_writes(trace):
        write = lost.write
        answer = answers.get(f"{lost.strand}/r")
        if _own(lost) or answer is None or answer.label not in arrived or _made_again(trace, lost):
            continue
        key = str(write.get("key"))
        message = (
            f"acknowledged, then lost: {write.actor} answered {lost.strand} with success, "
            f"and its write of {key!r} was lost ({_ending(lost.end)})\n  written at {place(write)}"
        )
        found.append(
            Finding(
                "acknowledged-then-lost", write.actor, key, access(write, lost.strand), access(lost.end, None), message
            )
        )
    return tuple(found)


def early_outputs(trace: Trace) -> tuple[Finding, ...]:
    """What left an object and arrived while a write that came before it was not durable, and was then lost.

    One finding for each key and receiver: the write, and the output.
    """
    of = strands(trace)
    arrived = {event.label for event in trace.events if event.kind == "deliver"}
    outputs: dict[str, list[TraceEvent]] = {}
    for event in trace.events:
        if event.kind in _OUTPUTS and event.label in arrived and event.get("error") is None:
            outputs.setdefault(event.actor, []).append(event)
    found: list[Finding] = []
    seen: dict[tuple[str, str, str], None] = {}
    for lost in lost_writes(trace):
        write, key = lost.write, str(lost.write.get("key"))
        for output in outputs.get(write.actor, ()):
            to = str(output.get("to"))
            if _own(lost) or not write.n < output.n < lost.end.n or (write.actor, key, to) in seen:
                continue
            seen[write.actor, key, to] = None
            message = (
                f"output before durable: {write.actor} let {_said(output)} go to {to} while the write of {key!r} by "
                f"{lost.strand} was not durable; then it was lost ({_ending(lost.end)})\n"
                f"  written at {place(write)}, sent at {place(output)}"
            )
            found.append(
                Finding(
                    "early-output",
                    write.actor,
                    key,
                    access(write, lost.strand),
                    access(output, of[output.n]),
                    message,
                    access(lost.end, None),
                )
            )
    return tuple(found)


def unflushed(trace: Trace) -> tuple[Finding, ...]:
    """Writes that were lost before they were durable, and that nobody has made again; nobody was promised them.

    One finding for each key of an instance, its latest write.
    """
    found: dict[tuple[str, str, int], Finding] = {}
    for lost in lost_writes(trace):
        write, key = lost.write, str(key_of(lost.write))
        if _own(lost) or _made_again(trace, lost):
            continue
        message = (
            f"lost write: the write of {key!r} by {lost.strand} was not durable when {write.actor} ended "
            f"({_ending(lost.end)})\n  written at {place(write)}"
        )
        found[write.actor, key, lost.end.n] = Finding(
            "lost-write", write.actor, key, access(write, lost.strand), access(lost.end, None), message
        )
    return tuple(found.values())


def _own(lost: LostWrite) -> bool:
    return str(lost.write.get("key")).startswith(LIBRARY)


def _made_again(trace: Trace, lost: LostWrite) -> bool:
    same = (lost.write.actor, lost.write.get("key"), lost.write.get("store"))
    return any(
        event.kind in ("write", "delete") and (event.actor, event.get("key"), event.get("store")) == same
        for event in trace.events[lost.end.n :]
    )


def _said(output: TraceEvent) -> str:
    if output.kind == "send":
        return f"a call of {output.get('method')}"
    if output.kind == "frame":
        return f"the frame {str(output.get('text'))[:60]!r}"
    return "an answer"


def _ending(event: TraceEvent) -> str:
    return event.label.removeprefix(f"{event.actor}!").partition("#")[0]

"""What is worth drawing: messages between actors and notes at one actor.

All pictures are drawn from this, so that they agree on what a message is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["Arrow", "Note", "Story", "Tone", "call_text", "clip", "milliseconds", "outcome_text", "printable", "story"]

Style = Literal["call", "reply", "frame", "connect", "close"]
Tone = Literal["event", "read", "write", "commit", "life", "fault", "log", "verdict"]

#: Kinds that become a note, and how grave it looks.
_NOTES: Mapping[str, Tone] = {
    "write": "write",
    "delete": "write",
    "commit": "commit",
    "start": "life",
    "evict": "life",
    "hibernate": "life",
    "wake": "life",
    "fault": "fault",
    "reset": "fault",
    "alarm": "event",
    "timer": "event",
    "log": "log",
    "mark": "log",
    "verdict": "verdict",
}
_STYLES: Mapping[str, Style] = {
    "send": "call",
    "reply": "reply",
    "frame": "frame",
    "connect": "connect",
    "close": "close",
}
_ARRIVALS = frozenset({"deliver", "resume"})


@attrs.frozen
class Arrow:
    """A message.  ``arrived`` is the record that received it, or ``None`` where nothing did."""

    n: int
    arrived: int | None
    source: str
    target: str
    text: str
    style: Style
    failed: bool
    sent_us: int
    t_us: int
    hot: int = 0

    @property
    def at(self) -> int:
        """Where to draw it in views that have one line per message: at its arrival, which is what orders turns."""
        return self.n if self.arrived is None else self.arrived

    @property
    def lost(self) -> bool:
        """Whether it was to arrive and did not.  An answer that nobody awaits makes no record of its arrival."""
        return self.arrived is None and self.style in ("call", "frame")


@attrs.frozen
class Note:
    """Something at one actor; neighbouring ones of a tone are one note with several lines."""

    n: int
    actor: str
    lines: tuple[str, ...]
    tone: Tone
    t_us: int
    hot: int = 0

    @property
    def at(self) -> int:
        """Its record."""
        return self.n


@attrs.frozen
class Story:
    """Participants in order of appearance, steps in the order to draw, and how many steps were left out before
    each (``gaps``: index of a step, or their number for the end -> count)."""

    participants: tuple[str, ...]
    steps: tuple[Arrow | Note, ...]
    gaps: Mapping[int, int]


def clip(text: str, width: int) -> str:
    """``text`` on one line, printable, and no longer than ``width``."""
    line = printable(text)
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def printable(text: str) -> str:
    """``text`` on one line, with the replacement character for what would upset a terminal or an HTML file:
    control characters, half surrogate pairs, changes of direction."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in line)


def milliseconds(t_us: int) -> str:
    """Virtual time for people, in milliseconds."""
    return f"{t_us / 1000:.3f}".rstrip("0").rstrip(".") + " ms"


def call_text(event: TraceEvent, width: int = 40) -> str:
    """``method(args)`` of a call, else its label."""
    method = event.get("method")
    if method is None:
        return clip(str(event.get("text", event.label)), width)
    args = event.get("args", "")
    text = args if isinstance(args, str) else ", ".join(map(str, args))
    if not (text.startswith("(") and text.endswith(")")):
        text = f"({text})"
    room = max(width - len(str(method)) - 2, 3)
    return clip(f"{method}({clip(text[1:-1], room)})", max(width, 5))


def outcome_text(event: TraceEvent, width: int = 40) -> str:
    """Result of a reply or an end: the error, the value, or ``ok``."""
    error = event.get("error")
    if error is not None:
        message = event.get("message")
        return clip(f"{error}: {message}" if message else str(error), width)
    return clip(str(event.get("value", "ok")), width)


def story(trace: Trace, *, max_events: int, highlight: Iterable[int] = (), only: Iterable[str] | None = None) -> Story:
    """The steps of ``trace``; at most ``max_events`` of them, kept around the highlighted records.

    ``highlight`` holds positions of records (``n``); the first is marked 1, and so on, and each is shown even if its
    kind is not drawn otherwise.  ``only`` restricts to some actors.
    """
    hot = {n: rank for rank, n in enumerate(highlight, 1)}
    steps = _steps(trace, hot)
    if only is not None:
        chosen = list(only)
        steps = [step for step in steps if _inside(step, chosen)]
    steps.sort(key=lambda step: step.at)
    kept, gaps = _window(_merged(steps), max(max_events, 1))
    names: dict[str, None] = {}
    for step in kept:
        if isinstance(step, Note):
            names[step.actor] = None
        else:
            names[step.source] = names[step.target] = None
    return Story(tuple(names), tuple(kept), gaps)


def _inside(step: Arrow | Note, chosen: list[str]) -> bool:
    return step.actor in chosen if isinstance(step, Note) else step.source in chosen and step.target in chosen


def _steps(trace: Trace, hot: Mapping[int, int]) -> list[Arrow | Note]:
    events = trace.events
    arrivals: dict[int, TraceEvent] = {}
    carried: dict[int, TraceEvent] = {}
    for event in events:
        if event.cause >= 0:
            if event.kind in _ARRIVALS:
                arrivals.setdefault(event.cause, event)
            elif event.kind in ("frame", "send") and events[event.cause].kind == "send":
                # The call travels inside this message: drawing both would show a lost call that was not lost.
                carried[event.n] = events[event.cause]
    inside = {outer.n for outer in carried.values()}
    steps: list[Arrow | Note] = []
    met: set[int] = set()
    begun = _beginnings(trace)
    for event in events:
        style = _STYLES.get(event.kind)
        arrow: Arrow | None = None
        if style is not None and (event.n in arrivals or event.n not in inside):
            arrow = _arrow(trace, event, style, arrivals.get(event.n), carried.get(event.n), begun, hot)
        if arrow is not None:
            steps.append(arrow)
            met.add(arrow.at)
        elif event.kind in _NOTES:
            steps.append(_note(event, _NOTES[event.kind], hot))
        elif event.n in hot and event.n not in met:
            steps.append(_note(event, "read" if event.kind == "read" else "event", hot))
        elif event.kind == "deliver" and event.cause < 0:
            steps.append(_note(event, "event", hot))
    return steps


def _arrow(
    trace: Trace,
    event: TraceEvent,
    style: Style,
    arrival: TraceEvent | None,
    outer: TraceEvent | None,
    begun: Mapping[int, int],
    hot: Mapping[int, int],
) -> Arrow | None:
    source, target = event.get("from"), event.get("to")
    if style == "reply" and (source is None or target is None):
        source, target = _reply_ends(trace, event, begun)
    source = event.actor if source is None else str(source)
    if arrival is not None:
        target = arrival.actor
    if target is None:
        return None
    failed = event.get("error") is not None
    text = outcome_text(event) if style == "reply" else call_text(outer or event)
    rank = hot.get(event.n, 0) or (hot.get(arrival.n, 0) if arrival else 0)
    end = event if arrival is None else arrival
    number = None if arrival is None else arrival.n
    return Arrow(event.n, number, source, str(target), text, style, failed, event.t_us, end.t_us, rank)


def _reply_ends(trace: Trace, event: TraceEvent, begun: Mapping[int, int]) -> tuple[str | None, str | None]:
    """Who answers whom, where the record does not say: the call that began the answering strand tells.

    (Not the nearest call among the causes: after an await that is one which the strand itself has made.)
    """
    events = trace.events
    n = event.cause
    if n >= 0 and events[n].kind == "send" and events[n].actor == event.actor:
        # Recorded by the caller, on receipt.
        return events[n].get("to"), event.actor
    n = begun.get(event.n, -1)
    while n >= 0 and events[n].kind != "send":
        n = events[n].cause
    return (event.actor, events[n].actor) if n >= 0 else (None, None)


def _beginnings(trace: Trace) -> dict[int, int]:
    """Reply without ends -> delivery that began its strand."""
    starts: dict[tuple[str, str], int] = {}
    found: dict[int, int] = {}
    for event, strand in zip(trace.events, strands(trace), strict=True):
        if event.kind == "deliver":
            starts.setdefault((event.actor, event.label), event.n)
        elif event.kind == "reply" and strand is not None and (event.actor, strand) in starts:
            found[event.n] = starts[event.actor, strand]
    return found


def _note(event: TraceEvent, tone: Tone, hot: Mapping[int, int]) -> Note:
    return Note(event.n, event.actor, (_note_text(event),), tone, event.t_us, hot.get(event.n, 0))


def _note_text(event: TraceEvent) -> str:
    kind = event.kind
    key: Any = event.get("key")
    if key is not None:
        value = event.get("value")
        return clip(f"{key} = {value}" if kind == "write" and value is not None else f"{kind} {key}", 36)
    if kind in ("deliver", "mark", "log"):
        return clip(event.label, 36)
    detail = f": {outcome_text(event)}" if event.get("error") else ""
    return clip(
        f"{kind}{detail}" if event.label in ("", kind, event.get("error")) else f"{kind} {event.label}{detail}", 48
    )


def _merged(steps: list[Arrow | Note]) -> list[Arrow | Note]:
    merged: list[Arrow | Note] = []
    for step in steps:
        last = merged[-1] if merged else None
        if (
            isinstance(step, Note)
            and isinstance(last, Note)
            and (last.actor, last.tone, last.hot, step.hot, last.t_us) == (step.actor, step.tone, 0, 0, step.t_us)
            and len(last.lines) < 4
        ):
            merged[-1] = attrs.evolve(last, lines=last.lines + step.lines)
        else:
            merged.append(step)
    return merged


def _window(steps: list[Arrow | Note], size: int) -> tuple[list[Arrow | Note], dict[int, int]]:
    """At most ``size`` steps: the first ones, or, with highlights, those that lead up to the last highlight."""
    hot = [index for index, step in enumerate(steps) if step.hot]
    stop = size if not hot else max(size, hot[-1] + 1 + size // 4)
    stop = min(stop, len(steps))
    early = [index for index in hot if index < stop - size]
    start = max(0, stop - size + len(early))
    chosen = [index for index in early if index < start] + list(range(start, stop))
    gaps: dict[int, int] = {}
    due = 0
    for position, index in enumerate(chosen):
        if index > due:
            gaps[position] = index - due
        due = index + 1
    if len(steps) > due:
        gaps[len(chosen)] = len(steps) - due
    return [steps[index] for index in chosen], gaps

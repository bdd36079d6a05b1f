"""From the records of a trace to the steps of its pictures.

What is left out as noise, unless ``detail`` asks for it: first starts of instances,
what the mesh itself keeps in storage, lines of the log below an error, the simulator's
own events, reads.  A commit shows as a check mark behind the writes that it holds, so
that a write without one is a write that was lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.cast import Cast
from lumenize_sim.view.frame import frame
from lumenize_sim.view.step import Arrow, Note, Style, Tone
from lumenize_sim.view.wording import arrival_text, call_text, clip, fault_text, key_text, outcome_text

__all__ = ["Teller"]

_STYLES: Mapping[str, Style] = {
    "send": "call",
    "reply": "reply",
    "frame": "frame",
    "connect": "connect",
    "close": "close",
}
_ARRIVALS = frozenset({"deliver", "resume"})
_ENDS = frozenset({"evict", "hibernate", "reset"})
#: Faults that are followed by the record of what they did.
_TOLD_BY_THEIR_EFFECT = frozenset({"evict", "hibernate", "crash"})
#: What the mesh itself keeps in storage.
_LIBRARY = "__lmz_"
_NOTE_CLIP, _TEXT_CLIP, _VERDICT_CLIP, _FULL_CLIP = 52, 44, 110, 1000


class Teller:
    """Reads the trace once, in order."""

    def __init__(self, trace: Trace, people: Cast, hot: Mapping[int, int], detail: bool) -> None:
        self.trace = trace
        self.people = people
        self.hot = hot
        self.detail = detail
        self.arrivals: dict[int, TraceEvent] = {}
        """message -> record that received it"""
        self.carried: dict[int, TraceEvent] = {}
        """message -> the call that travels inside: drawing both would show a lost call that was not lost"""
        self.begun = _beginnings(trace)
        self.starts: dict[int, str] = {}
        """arrival -> class of the instance that it started"""
        self.durable: set[int] = set()
        """writes that were committed"""
        self.effects: set[int] = set()
        """records that brought something about at their own actor"""
        self.turning: set[str] = set()
        self.ends: dict[str, list[int]] = {}
        self.written: dict[tuple[str, str], object] = {}
        """actor, key -> strand that wrote it last"""
        self.held: dict[tuple[str, object], tuple[int, int]] = {}
        """actor, commit -> place of the note about output that waits for it, and how much waits"""
        self.asleep: dict[str, str] = {}
        self._survey()

    def _survey(self) -> None:
        events = self.trace.events
        open_writes: dict[tuple[str, int], list[int]] = {}
        for event in events:
            kind, cause = event.kind, event.cause
            if kind == "write" or kind == "delete":
                open_writes.setdefault((event.actor, cause), []).append(event.n)
            elif kind == "commit":
                self.durable.update(open_writes.pop((event.actor, cause), ()))
            elif kind == "start":
                self.starts.setdefault(cause, str(event.get("class", "instance")))
            elif kind == "turn":
                self.turning.add(event.actor)
            elif kind in _ENDS:
                self.ends.setdefault(event.actor, []).append(event.n)
            if cause < 0:
                continue
            if kind in _ARRIVALS:
                self.arrivals.setdefault(cause, event)
            elif kind in ("frame", "send") and events[cause].kind == "send":
                self.carried[event.n] = events[cause]
            if events[cause].actor == event.actor:
                self.effects.add(cause)

    def steps(self) -> list[Arrow | Note]:
        inside = {outer.n for outer in self.carried.values()}
        steps: list[Arrow | Note] = []
        met: set[int] = set()
        for event in self.trace.events:
            style = _STYLES.get(event.kind)
            if style is not None and (event.n in self.arrivals or event.n not in inside):
                arrow = self._arrow(event, style)
                if arrow is not None:
                    steps.append(arrow)
                    met.add(arrow.at)
                    continue
            if event.kind.startswith("output-"):
                self._held(event, steps)
                continue
            note = self._note(event)
            if note is None and event.n in self.hot and event.n not in met and event.kind != "fault":
                note = self._line(event, "read" if event.kind == "read" else "event", _plain_text(event))
            if note is not None:
                steps.append(note)
        return steps

    # -- messages ------------------------------------------------------------------------

    def _arrow(self, event: TraceEvent, style: Style) -> Arrow | None:
        source, target = event.get("from"), event.get("to")
        if style == "reply" and (source is None or target is None):
            source, target = self._reply_ends(event)
        if style == "close" and target is None:
            source, target = event.actor, self._other_end(event)
        source = event.actor if source is None else str(source)
        arrival = self._arrival(event)
        if arrival is not None:
            target = arrival.actor
        if target is None:
            return None
        text, failed = self._text(event, style)
        sent, received = self.hot.get(event.n, 0), 0 if arrival is None else self.hot.get(arrival.n, 0)
        end = event if arrival is None else arrival
        return Arrow(
            n=event.n,
            arrived=None if arrival is None else arrival.n,
            source=self.people.name(source),
            target=self.people.name(str(target)),
            text=clip(text, _TEXT_CLIP),
            style=style,
            failed=failed,
            sent_us=event.t_us,
            t_us=end.t_us,
            hot=sent or received,
            hot_arrival=not sent and received > 0,
            full=clip(text, _FULL_CLIP),
            unheard=style == "reply" and arrival is not None and self._unheard(event, arrival),
            starts="" if arrival is None else self.starts.get(arrival.n, ""),
        )

    def _text(self, event: TraceEvent, style: Style) -> tuple[str, bool]:
        failed = event.get("error") is not None
        if style == "reply":
            return outcome_text(event, _FULL_CLIP), failed
        if style == "connect" and event.label.endswith("/open"):
            again = not event.label.endswith("~0/open")
            return "connect again" if again else "connect", failed
        if style == "close" and event.get("code") is not None:
            return f"close {event.get('code')} {event.get('reason', '')}".rstrip(), failed
        outer = self.carried.get(event.n)
        if style == "frame" and outer is None:
            known = frame(str(event.get("text", "")))
            if known is not None:
                return known.text, known.failed
        return call_text(outer or event, _FULL_CLIP), failed

    def _arrival(self, event: TraceEvent) -> TraceEvent | None:
        """Who received it; nobody, where a frame came to an instance that had lost the socket meanwhile."""
        arrival = self.arrivals.get(event.n)
        if arrival is None or event.kind != "frame" or arrival.actor not in self.people.clients:
            return arrival
        dropped = arrival.actor in self.turning and arrival.n not in self.effects
        return None if dropped and self._ended(arrival.actor, 0, arrival.n) else arrival

    def _unheard(self, reply: TraceEvent, arrival: TraceEvent) -> bool:
        """Whether who asked lost its memory while it waited, so that the answer woke nobody."""
        if arrival.kind != "deliver" or arrival.n in self.effects:
            return False
        asked = self.begun.get(reply.n, reply.n)
        return self._ended(arrival.actor, self.trace.events[asked].cause, arrival.n)

    def _ended(self, actor: str, after: int, before: int) -> bool:
        return any(after < n < before for n in self.ends.get(actor, ()))

    def _other_end(self, event: TraceEvent) -> str | None:
        if event.actor in self.people.clients:
            return self.people.clients[event.actor]
        return next((gateway for gateway, client in self.people.clients.items() if client == event.actor), None)

    def _reply_ends(self, event: TraceEvent) -> tuple[str | None, str | None]:
        """Who answers whom, where the record does not say: the call that began the answering strand tells.

        (Not the nearest call among the causes: after an await that is one which the strand itself has made.)
        """
        events = self.trace.events
        n = event.cause
        if n >= 0 and events[n].kind == "send" and events[n].actor == event.actor:
            # Recorded by the caller, on receipt.
            return events[n].get("to"), event.actor
        n = self.begun.get(event.n, -1)
        while n >= 0 and events[n].kind != "send":
            n = events[n].cause
        return (event.actor, events[n].actor) if n >= 0 else (None, None)

    # -- notes ---------------------------------------------------------------------------

    def _note(self, event: TraceEvent) -> Note | None:
        kind = event.kind
        if kind in ("write", "delete"):
            return self._write(event)
        if kind in _ENDS or kind == "fault":
            return self._end(event)
        if kind == "start":
            return self._start(event)
        if kind == "wake":
            return self._line(event, "life", "wakes")
        if kind in ("alarm", "timer"):
            retry = event.get("retry")
            return self._line(event, "event", f"{kind}, retry {retry}" if retry else kind)
        if kind == "verdict":
            return self._verdict(event)
        if kind == "mark":
            return self._line(event, "log", event.label)
        if kind == "log":
            return self._log(event)
        if kind == "deliver" and event.cause < 0:
            text = arrival_text(event)
            lost = text.startswith(("socket lost", "connection refused"))
            if text or self.detail:
                return self._line(event, "fault" if lost else "event", text or event.label)
        if self.detail and kind in ("read", "commit", "flush"):
            return self._line(event, "read" if kind == "read" else "commit", _plain_text(event))
        return None

    def _line(self, event: TraceEvent, tone: Tone, text: str) -> Note:
        line = clip(text, _NOTE_CLIP)
        name = self.people.name(event.actor)
        return Note(event.n, name, (line,), tone, event.t_us, self.hot.get(event.n, 0), clip(text, _FULL_CLIP))

    def _write(self, event: TraceEvent) -> Note | None:
        key = str(event.get("key", ""))
        before = self.written.get((event.actor, key))
        self.written[event.actor, key] = event.get("strand")
        if not self.detail and event.n not in self.hot:
            if key.startswith(_LIBRARY):
                return None
            if event.get("op") == "attr-change" and before == event.get("strand"):
                # The same object, changed in place after it was put there.
                return None
        value = event.get("value")
        text = key_text(event)
        if event.kind == "delete":
            text = f"delete {text}"
        elif value is not None:
            text = f"{text} = {value}"
        return self._line(event, "write", f"✎ {text}{' ✓' if event.n in self.durable else ''}")

    def _end(self, event: TraceEvent) -> Note | None:
        events, n = self.trace.events, event.n
        if event.kind == "fault":
            if event.get("kind") in _TOLD_BY_THEIR_EFFECT and n + 1 < len(events):
                effect = events[n + 1]
                if effect.kind in _ENDS and effect.actor == event.actor:
                    # Told once, by its effect, which stands for both.
                    return None
            mild = event.get("kind") in ("heal", "slow-flush")
            return self._line(event, "sleep" if mild else "fault", f"⚡ {fault_text(event)}")
        planned = n > 0 and events[n - 1].kind == "fault" and events[n - 1].actor == event.actor
        text = fault_text(event)
        self.asleep[event.actor] = event.kind
        for waiting in [place for place in self.held if place[0] == event.actor]:
            del self.held[waiting]
        tone: Tone = "sleep" if event.kind == "hibernate" and not planned else "fault"
        note = self._line(event, tone, f"⚡ {text}" if tone == "fault" else text)
        rank = note.hot or (self.hot.get(n - 1, 0) if planned else 0)
        return attrs.evolve(note, hot=rank)

    def _start(self, event: TraceEvent) -> Note | None:
        before = self.asleep.pop(event.actor, None)
        if self.detail:
            return self._line(event, "life", f"start {event.get('class', '')}".rstrip())
        if before is None:
            return None
        return self._line(event, "life", "wakes" if before == "hibernate" else "starts again, from storage")

    def _held(self, event: TraceEvent, steps: list[Arrow | Note]) -> None:
        place = (event.actor, event.get("commit"))
        at, count = self.held.get(place, (len(steps), 0))
        if event.kind == "output-released":
            if count:
                del self.held[place]
                steps.append(self._line(event, "held", "flushed: held output leaves"))
            return
        self.held[place] = at, count + 1
        if not count:
            steps.append(self._line(event, "held", "output held until flushed"))
        else:
            note, line = steps[at], f"output held until flushed ×{count + 1}"
            assert isinstance(note, Note)
            steps[at] = attrs.evolve(note, lines=(line,), full=line)

    def _log(self, event: TraceEvent) -> Note | None:
        level = event.get("level")
        if level in ("debug", "info", "warn", "warning") and not self.detail:
            return None
        if level is None:
            return self._line(event, "log", event.label)
        data = event.get("data")
        error = data.get("error") if isinstance(data, dict) else None
        text = f"{level}: {event.get('message', event.label)}"
        return self._line(event, "fault" if level == "error" else "log", f"{text}: {error}" if error else text)

    def _verdict(self, event: TraceEvent) -> Note:
        outcome = str(event.get("outcome", "failed" if event.get("error") else event.label or "verdict"))
        text = f"{outcome}: {outcome_text(event, _FULL_CLIP)}" if event.get("error") else outcome
        text = f"{'✓' if outcome == 'passed' else '✗'} {text}"
        tone: Tone = "passed" if outcome == "passed" else "failed"
        return Note(
            event.n,
            "",
            (clip(text, _VERDICT_CLIP),),
            tone,
            event.t_us,
            self.hot.get(event.n, 0),
            clip(text, _FULL_CLIP),
        )


def _plain_text(event: TraceEvent) -> str:
    if event.kind in ("read", "write", "delete"):
        return f"{event.kind} {key_text(event)}"
    if event.kind in ("deliver", "commit", "flush"):
        return event.kind if event.label.startswith(f"{event.actor}!") else event.label or event.kind
    return f"{event.kind} {event.label}".rstrip()


def _beginnings(trace: Trace) -> dict[int, int]:
    """Reply without ends -> delivery that began its strand."""
    starts: dict[tuple[str, str], int] = {}
    found: dict[int, int] = {}
    for event, strand in zip(trace.events, strands(trace), strict=True):
        if event.kind == "deliver":
            starts.setdefault((event.actor, event.label), event.n)
        elif event.kind == "reply":
            # In the simulator an answer is named after its question.
            question = strand if (event.actor, strand) in starts else event.label.removesuffix("/r")
            if (event.actor, question) in starts:
                found[event.n] = starts[event.actor, str(question)]
    return found

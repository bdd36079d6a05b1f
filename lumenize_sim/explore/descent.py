"""What came of what in a trace, and what people call it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property

import attrs

from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.check.lives import LIBRARY, access, key_of, place
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["Descent"]

_KEY = re.compile(r'"type":"get","key":"([^"]+)"')
_TYPE = re.compile(r'^\{"type":"([^"]+)"')
_ACCESSES = ("read", "write", "delete")
_WRITES = ("write", "delete")
_DONE = {"stale-write": ("write", "written"), "stale-check": ("act", "acted"), "stale-read": ("use", "used")}


class Descent:
    """Arrivals, the strands that they begin or go on with, and what descends from them."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.strands = strands(trace)

    @cached_property
    def _children(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for event in self.trace.events:
            if event.cause >= 0:
                found.setdefault(event.cause, []).append(event.n)
        return found

    @cached_property
    def _arrived(self) -> dict[str, TraceEvent]:
        found: dict[str, TraceEvent] = {}
        for event in self.trace.events:
            if event.kind in ("deliver", "turn"):
                found.setdefault(event.label, event)
        return found

    def arrival_of(self, label: str) -> TraceEvent | None:
        """Where the event ``label`` arrives."""
        return self._arrived.get(label)

    def of(self, label: str) -> Iterator[TraceEvent]:
        """Records that descend from the arrival of ``label``, itself among them."""
        start = self._arrived.get(label)
        waiting = [] if start is None else [start.n]
        while waiting:
            n = waiting.pop()
            yield self.trace.events[n]
            waiting.extend(self._children.get(n, ()))

    def strand_of(self, label: str) -> str:
        """The strand that the event ``label`` begins, or goes on with: that of whoever awaits an answer."""
        start = self._arrived.get(label)
        if start is not None:
            for n in self._children.get(start.n, ()):
                event = self.trace.events[n]
                if event.kind == "resume" and event.actor == start.actor:
                    return event.label
        return label

    def descends(self, n: int, label: str) -> bool:
        """Whether record ``n`` came about through something of strand ``label``."""
        while n >= 0:
            if self.strands[n] == label:
                return True
            n = self.trace.events[n].cause
        return False

    # -- in words -----------------------------------------------------------------------------------

    def in_words(self, finding: Finding) -> Finding:
        """A stale finding with its events called by what people know: method and origin."""
        events = self.trace.events
        read, between = events[finding.first.n], events[finding.second.n]
        shown = finding.key.removeprefix("attr:")
        deed, done = _DONE[finding.kind]
        then = f", {done} at {finding.then.where}" if finding.then is not None and finding.then.where else ""
        reader, writer = self.called(read), self.called(between)
        what = "check" if finding.kind == "stale-check" else "read"
        message = (
            f"racing pair: {finding.object} {writer} ran between {what} and {deed} of {shown!r} in {reader}\n"
            f"  {reader} read at {finding.first.where or '?'}{then}; {writer} wrote at {finding.second.where or '?'}"
        )
        return attrs.evolve(finding, message=message)

    def named(self, label: str, actor: str) -> str:
        """The strand ``label`` as people would say it."""
        return self.called(TraceEvent(-1, 0, "mark", actor, label))

    def called(self, event: TraceEvent) -> str:
        """The strand of a record as people would say it: ``#2 increment (bob)``."""
        label = str(event.get("strand") or (self.strands[event.n] if event.n >= 0 else None) or event.label)
        arrival = next(
            (e for e in self.trace.events if e.label == label and e.kind == "deliver" and e.actor == event.actor), None
        )
        if arrival is None:
            return label
        nth = 1 + sum(1 for e in self.trace.events[: arrival.n] if e.kind == "deliver" and e.actor == event.actor)
        sender = self.trace.events[arrival.cause] if arrival.cause >= 0 else None
        origin = str(sender.get("from")) if sender is not None else ""
        method = str(sender.get("method") or "") if sender is not None else ""
        if sender is not None and not method:
            method = _method_in(str(sender.get("text") or ""))
        if not method:
            return f"#{nth} {label}"
        return f"#{nth} {method} ({origin.rpartition('/')[2].partition('.')[0] if 'GATEWAY' in origin else origin})"

    # -- pairs --------------------------------------------------------------------------------------

    def conflict(self, actor: str, one: str, other: str) -> Finding | None:
        """The key of ``actor`` that both strands access, one of them writing: the most telling one.

        That is one which the later strand reads after the earlier one wrote it, else one that both write.
        """
        own = [
            event
            for event in self.trace.events
            if event.actor == actor
            and event.kind in _ACCESSES
            and self.strands[event.n] in (one, other)
            and not str(event.get("key")).startswith(LIBRARY)
        ]
        return self._told(actor, own, lambda event: self.strands[event.n] == one)

    def meetings(self, choice: Choice) -> list[tuple[TraceEvent, TraceEvent]]:
        """Where what came of the two events of a choice touches the same key, one of them writing, most telling first.

        Both writing tells more than one of them reading, and an assignment, which loses what was there, more than a
        container that has grown; the latest is what stayed.
        """
        first = [e for e in self.of(choice.pick) if e.kind in _ACCESSES]
        second: dict[tuple[str, str | None], list[TraceEvent]] = {}
        for event in self.of(choice.over):
            if event.kind in _ACCESSES:
                second.setdefault((event.actor, key_of(event)), []).append(event)
        pairs = [
            (a, b) if a.n < b.n else (b, a)
            for a in first
            if not str(a.get("key")).startswith(LIBRARY)
            for b in second.get((a.actor, key_of(a)), ())
            if a.n != b.n and (a.kind in _WRITES or b.kind in _WRITES)
        ]
        return sorted(pairs, key=lambda pair: (*_telling(*pair), pair[1].n), reverse=True)

    def meeting(self, choice: Choice) -> Finding | None:
        """The most telling of `meetings`."""
        pairs = self.meetings(choice)
        if not pairs:
            return None
        early, late = pairs[0]
        key = str(key_of(early))
        message = (
            f"racing pair: at {early.actor} {self.called(early)} came before {self.called(late)}, "
            f"and both touch {key.removeprefix('attr:')!r}\n"
            f"  {early.kind} at {early.where or '?'}, then {late.kind} at {late.where or '?'}; "
            f"it began at {choice.label.rpartition('#')[0]}: {choice.describe()}"
        )
        return Finding(
            "conflict",
            early.actor,
            key,
            access(early, self.strands[early.n]),
            access(late, self.strands[late.n]),
            message,
        )

    def _told(self, actor: str, own: list[TraceEvent], mine: Callable[[TraceEvent], bool]) -> Finding | None:
        slots: dict[tuple[str, str], tuple[list[TraceEvent], list[TraceEvent]]] = {}
        for event in own:
            slot = slots.setdefault((str(event.get("store", "")), str(key_of(event))), ([], []))
            slot[0 if mine(event) else 1].append(event)
        best: tuple[tuple[int, int], str, list[TraceEvent], list[TraceEvent]] | None = None
        for (_, key), (a, b) in slots.items():
            if not a or not b or not any(event.kind in _WRITES for event in (*a, *b)):
                continue
            early, late = (a, b) if a[0].n < b[0].n else (b, a)
            written = [event for event in early if event.kind in _WRITES]
            flows = written and any(event.kind == "read" and event.n > written[0].n for event in late)
            both = written and any(event.kind in _WRITES for event in late)
            rank = (2 if flows else 1 if both else 0, max(early[-1].n, late[-1].n))
            if best is None or rank > best[0]:
                best = (rank, key, early, late)
        if best is None:
            return None
        _, key, early, late = best
        first = next((e for e in reversed(early) if e.kind in _WRITES), early[-1])
        second = next((e for e in late if e.kind == "read" and first.kind in _WRITES and e.n > first.n), None)
        second = second or next((e for e in late if e.kind in _WRITES), late[-1])
        then = next((e for e in late if e.kind in _WRITES and e.n > second.n), None)
        message = (
            f"racing pair: at {actor} {self.called(first)} came before {self.called(second)}, "
            f"and both touch {key.removeprefix('attr:')!r}\n"
            f"  {first.kind} at {place(first)}, then {second.kind} at {place(second)}"
            + (f" and {then.kind} at {place(then)}" if then is not None else "")
        )
        return Finding(
            "conflict",
            actor,
            key,
            access(first, self.strands[first.n]),
            access(second, self.strands[second.n]),
            message,
            None if then is None else access(then, self.strands[then.n]),
        )

    def pair(self, kind: str, actor: str, key: str, first: str, second: str, message: str) -> Finding:
        """A pair of labels at one actor."""
        return Finding(kind, actor, key, self.at(actor, first), self.at(actor, second), message)

    def at(self, actor: str, label: str) -> Access:
        """The record of ``label`` at ``actor``, with a source line if anything there has one."""
        found = next((e for e in self.trace.events if e.label == label and e.actor == actor), None)
        if found is None:
            return Access(label, None, "event", -1, actor)
        where = next(
            (e.where for e in self.trace.events if e.where and (e.get("strand") == label or e.label == label)), None
        )
        return Access(label, where, found.kind, found.n, actor)

    def before(self, target: str, kind: str) -> str:
        """The last event at ``target`` before the fault ``kind`` fell."""
        last = "?"
        for event in self.trace.events:
            if event.kind == "fault" and event.actor == target and event.get("kind") == kind:
                break
            if event.actor == target and event.kind in ("deliver", "turn", "send"):
                last = event.label
        return last


def _telling(a: TraceEvent, b: TraceEvent) -> tuple[bool, bool]:
    return a.kind == b.kind == "write", "attr-change" not in (a.get("op"), b.get("op"))


def _method_in(frame: str) -> str:
    """What a frame carries, in a word."""
    found = _KEY.search(frame)
    if found is None:
        found = _TYPE.search(frame)
        return "" if found is None else found.group(1).replace("_", " ")
    return found.group(1)

"""Explanations: the racing pair behind a failure.

A stale read-modify-write explains by itself.  Otherwise the choices of a shrunk tape
do.  A choice says that one event came before another at some receiver; what it meant
may show further down, where something that came of the one and something that came of
the other touch the same key (the two frames that a gateway passes on meet in the
client's memory).  A fault explains as the boundary that it fell on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.check.race import races
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["explain"]

_KEY = re.compile(r'"type":"get","key":"([^"]+)"')
_TYPE = re.compile(r'^\{"type":"([^"]+)"')
_ACCESSES = ("read", "write", "delete")
#: What the mesh itself keeps in storage; its accesses never explain anything.
_LIBRARY = "__lmz_"


def explain(trace: Trace, choices: Sequence[Choice]) -> Finding | None:
    """The most telling pair of events in ``trace``, or ``None`` where nothing raced and nothing went wrong."""
    stale = [finding for finding in races(trace) if not finding.key.startswith(_LIBRARY)]
    tree = _Descent(trace)
    if stale and stale[0].kind == "stale-write":
        return tree.in_words(stale[0])
    orders = [choice for choice in choices if choice.kind == "order"]
    for choice in orders:
        for finding in stale:
            if {finding.first.event, finding.second.event} == {choice.pick, choice.over}:
                return tree.in_words(finding)
    for choice in orders:
        found = tree.meeting(choice)
        if found is not None:
            return found
    if stale:
        return tree.in_words(stale[0])
    for choice in orders:
        receiver = choice.label.rpartition("#")[0]
        return tree.pair("order", receiver, "", choice.pick, choice.over, choice.describe())
    for choice in choices:
        if choice.kind == "fault":
            target = choice.label.rpartition("%")[0]
            lost = tree.lost_continuation(target, choice)
            if lost is not None:
                return lost
            return tree.pair(
                "fault", target, choice.pick, tree.before(target, choice.pick), choice.label, choice.describe()
            )
        if choice.kind == "delay":
            receiver = next((e.actor for e in trace.events if e.kind == "deliver" and e.label == choice.site), "?")
            return tree.pair("delay", receiver, "", choice.site, choice.label, choice.describe())
    return None


def _telling(a: TraceEvent, b: TraceEvent) -> tuple[bool, bool]:
    return a.kind == b.kind == "write", "attr-change" not in (a.get("op"), b.get("op"))


class _Descent:
    """What came of what."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.children: dict[int, list[int]] = {}
        for event in trace.events:
            if event.cause >= 0:
                self.children.setdefault(event.cause, []).append(event.n)

    def of(self, label: str) -> Iterator[TraceEvent]:
        """Records that descend from the arrival of ``label``."""
        start = next((e.n for e in self.trace.events if e.label == label and e.kind in ("deliver", "turn")), None)
        waiting = [] if start is None else [start]
        while waiting:
            n = waiting.pop()
            yield self.trace.events[n]
            waiting.extend(self.children.get(n, ()))

    def meeting(self, choice: Choice) -> Finding | None:
        """Where what came of the two events touches the same key, one of them writing."""
        first = [e for e in self.of(choice.pick) if e.kind in _ACCESSES]
        second = [e for e in self.of(choice.over) if e.kind in _ACCESSES]
        pairs = [
            (max(a.n, b.n), a, b)
            for a in first
            for b in second
            if a.actor == b.actor
            and a.get("key") == b.get("key")
            and a.n != b.n
            and "write" in (a.kind, b.kind)
            and not str(a.get("key")).startswith(_LIBRARY)
        ]
        if not pairs:
            return None
        # Both writing tells more than one of them reading, and an assignment, which loses what was there, more than
        # a container that has grown; the latest is what stayed.
        _, a, b = max(pairs, key=lambda pair: (*_telling(pair[1], pair[2]), pair[0]))
        early, late = (a, b) if a.n < b.n else (b, a)
        key = str(early.get("key"))
        shown = key.removeprefix("attr:")
        message = (
            f"racing pair: at {early.actor} {self.called(early)} came before {self.called(late)}, "
            f"and both touch {shown!r}\n"
            f"  {early.kind} at {early.where or '?'}, then {late.kind} at {late.where or '?'}; "
            f"it began at {choice.label.rpartition('#')[0]}: {choice.describe()}"
        )
        return Finding("conflict", early.actor, key, _access(early), _access(late), message)

    def in_words(self, finding: Finding) -> Finding:
        """A stale finding with its events called by what people know: method and origin."""
        events = self.trace.events
        read, between = events[finding.first.n], events[finding.second.n]
        shown = finding.key.removeprefix("attr:")
        deed, done = ("write", "written") if finding.kind == "stale-write" else ("use", "used")
        then = f", {done} at {finding.then.where}" if finding.then is not None and finding.then.where else ""
        reader, writer = self.called(read), self.called(between)
        message = (
            f"racing pair: {finding.object} {writer} ran between read and {deed} of {shown!r} in {reader}\n"
            f"  {reader} read at {finding.first.where or '?'}{then}; {writer} wrote at {finding.second.where or '?'}"
        )
        return attrs.evolve(finding, message=message)

    def called(self, event: TraceEvent) -> str:
        """The strand of a record as people would say it: ``#2 increment (bob)``."""
        label = _name(event)
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

    def lost_continuation(self, target: str, choice: Choice) -> Finding | None:
        """A call that was not answered yet when its caller lost its memory."""
        events = self.trace.events
        fell = next(
            (e for e in events if e.kind == "fault" and e.actor == target and e.get("kind") == choice.pick), None
        )
        if fell is None:
            return None
        for call in reversed(events[: fell.n]):
            if call.kind != "send" or call.actor != target:
                continue
            answer = next((e for e in events if e.label == f"{call.label}/r" and e.kind == "deliver"), None)
            if answer is not None and answer.n < fell.n:
                continue
            message = (
                f"lost continuation: {target} lost its memory ({choice.pick}) while it waited for "
                f"{call.get('method')} of {call.get('to')}; the reply found nobody\n  called at {call.where or '?'}"
            )
            first = Access(call.label, call.where, "send", call.n, target)
            return Finding(
                "lost-continuation",
                target,
                str(call.get("method")),
                first,
                Access(choice.label, None, choice.pick, fell.n, target),
                message,
            )
        return None

    def before(self, target: str, kind: str) -> str:
        """The last event at ``target`` before the fault fell."""
        last = "?"
        for event in self.trace.events:
            if event.kind == "fault" and event.actor == target and event.get("kind") == kind:
                break
            if event.actor == target and event.kind in ("deliver", "turn", "send"):
                last = event.label
        return last


def _method_in(frame: str) -> str:
    """What a frame carries, in a word."""
    found = _KEY.search(frame)
    if found is None:
        found = _TYPE.search(frame)
        return "" if found is None else found.group(1).replace("_", " ")
    return found.group(1)


def _name(event: TraceEvent) -> str:
    return str(event.get("strand") or event.label)


def _access(event: TraceEvent) -> Access:
    return Access(_name(event), event.where, str(event.get("op") or event.kind), event.n, event.actor)

"""Explanations: the racing pair behind a failure."""

from __future__ import annotations

from collections.abc import Sequence

from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.check.race import conflicting_pair, races
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.trace.trace import Trace

__all__ = ["explain"]


def explain(trace: Trace, choices: Sequence[Choice]) -> Finding | None:
    """The most telling pair of events in ``trace``.

    A stale read-modify-write explains by itself.  Otherwise the choices of a shrunk tape
    do: what came first, what it overtook, and what both touch.  A fault explains as the
    boundary it fell on.
    """
    stale = [finding for finding in races(trace) if not finding.key.startswith("__lmz_")]
    if stale and stale[0].kind == "stale-write":
        return stale[0]
    for choice in choices:
        if choice.kind == "order":
            receiver = choice.label.rpartition("#")[0]
            pairs = conflicting_pair(trace, receiver, choice.pick, choice.over)
            if pairs:
                return pairs[0]
    if stale:
        return stale[0]
    for choice in choices:
        if choice.kind == "order":
            receiver = choice.label.rpartition("#")[0]
            return _pair(trace, "order", receiver, "", choice.pick, choice.over, choice.describe())
    for choice in choices:
        if choice.kind == "fault":
            target = choice.label.rpartition("%")[0]
            return _pair(trace, "fault", target, choice.pick, _before(trace, target, choice.pick), choice.label, choice.describe())
        if choice.kind == "delay":
            receiver = next((e.actor for e in trace.events if e.kind == "deliver" and e.label == choice.site), "?")
            return _pair(trace, "delay", receiver, "", choice.site, choice.label, choice.describe())
    return None


def _pair(trace: Trace, kind: str, actor: str, key: str, first: str, second: str, message: str) -> Finding:
    return Finding(kind, actor, key, _access(trace, actor, first), _access(trace, actor, second), message)


def _access(trace: Trace, actor: str, label: str) -> Access:
    for event in trace.events:
        if event.label == label and event.actor == actor:
            return Access(label, event.where, event.kind, event.n, actor)
    return Access(label, None, "event", -1, actor)


def _before(trace: Trace, target: str, kind: str) -> str:
    """The last event at ``target`` before the fault fell."""
    last = "?"
    for event in trace.events:
        if event.kind == "fault" and event.actor == target and event.get("kind") == kind:
            break
        if event.actor == target and event.kind in ("deliver", "turn", "send"):
            last = event.label
    return last

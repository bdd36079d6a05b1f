"""What a fault has done, and whom it has hit."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from lumenize_sim.check.continuations import lost_continuations
from lumenize_sim.check.durability import acknowledged_then_lost, unflushed
from lumenize_sim.check.finding import Access, Finding
from lumenize_sim.check.forgotten import forgotten
from lumenize_sim.check.lives import access, key_of, place
from lumenize_sim.explore.descent import Descent
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace

__all__ = ["call_hit", "consequences", "cut_short", "forgotten_meanwhile"]


def consequences(trace: Trace, target: str, fault: Choice) -> Iterator[Finding]:
    """What the trace shows of what ``fault`` has done to its target, the most telling first."""
    fell = next(
        (e for e in trace.events if e.kind == "fault" and e.actor == target and e.get("kind") == fault.pick),
        None,
    )
    lost = [finding for finding in acknowledged_then_lost(trace) if finding.object == target]
    yield from lost
    if fell is None:
        return
    for finding in lost_continuations(trace):
        if finding.object == target and finding.second.n > fell.n:
            yield attrs.evolve(finding, second=Access(fault.label, None, fault.pick, fell.n, target))
    yield from (finding for finding in unflushed(trace) if finding.object == target)
    yield from (finding for finding in forgotten(trace) if finding.object == target)


def forgotten_meanwhile(trace: Trace, target: str, fault: Choice) -> Iterator[Finding]:
    """What anybody has forgotten since ``fault``: who waits long enough is taken out of memory by nobody's fault."""
    fell = next((e.n for e in trace.events if e.kind == "fault" and e.actor == target), len(trace.events))
    for doubtful in (False, True):
        yield from (finding for finding in forgotten(trace, doubtful=doubtful) if finding.second.n > fell)


def cut_short(tree: Descent, target: str, fault: Choice) -> Finding | None:
    """The handler that was under way when a fault ended its instance, and what it had done last."""
    began: dict[str, TraceEvent] = {}
    for event in tree.trace.events:
        if event.actor != target:
            continue
        if event.kind == "turn" and "!start#" not in event.label:
            began.setdefault(event.label, event)
        elif event.kind == "end":
            began.pop(event.label, None)
        elif event.kind == "fault" and event.get("kind") == fault.pick:
            break
    else:
        return None
    if not began:
        return None
    strand = next(reversed(began))
    done = [e for e in tree.trace.events[: event.n] if tree.strands[e.n] == strand and e.where]
    last = done[-1] if done else began[strand]
    what = f"{last.kind} of {key_of(last)!r}" if last.get("key") is not None else last.kind
    message = (
        f"{fault.describe()}: it cut short {tree.called(began[strand])}\n"
        f"  which had come as far as {place(last)} ({what})"
    )
    second = Access(fault.label, None, fault.pick, event.n, target)
    return Finding("fault", target, key_of(last) or fault.pick, access(last, strand), second, message)


def call_hit(tree: Descent, target: str, fault: Choice) -> Finding | None:
    """The call that a fault of calls hit, and the same one made again, where that was done."""
    events = tree.trace.events
    fell = next((e for e in events if e.kind == "fault" and e.actor == target and e.get("kind") == fault.pick), None)
    if fell is None or fault.pick not in ("lost-call", "bad-fetch"):
        return None
    fetched = fault.pick == "bad-fetch"
    calls = [
        event
        for event in events
        if event.kind == "send" and event.actor == target and str(event.get("to")).startswith("server:") is fetched
    ]
    nth = int(fault.label.rpartition("#")[2])
    if nth >= len(calls):
        return None
    call = calls[nth]
    what = (call.get("to"), call.get("method"), call.get("args"))
    again = next((e for e in calls[nth + 1 :] if (e.get("to"), e.get("method"), e.get("args")) == what), None)
    ran = tree.arrival_of(call.label) is not None
    first = access(call, tree.strands[call.n])
    second = Access(fault.label, None, fault.pick, fell.n, target)
    said = f"{call.get('method')} of {call.get('to')}"
    if again is not None and ran:
        message = (
            f"repeated effect: {said} was done for {target}, which did not hear of it ({fault.pick}) "
            f"and did it again\n"
            f"  at {place(call)}, and again at {place(again)}"
        )
        then = access(again, tree.strands[again.n])
        return Finding("repeated-effect", target, str(call.get("method")), first, second, message, then)
    message = f"{fault.describe()}: it hit {said}, called by {target}\n  called at {place(call)}"
    return Finding("fault", target, str(call.get("method")), first, second, message)

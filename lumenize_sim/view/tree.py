"""Chains of calls, indented by cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.cast import Cast, cast
from lumenize_sim.view.frame import frame
from lumenize_sim.view.wording import arrival_text, call_text, clip, fault_text, milliseconds, outcome_text, printable

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["CallNode", "call_forest", "call_tree", "rich_tree"]

_EVENTS = frozenset({"deliver", "alarm", "timer"})
_MESSAGES = frozenset({"send", "frame"})
_CARRIERS = frozenset({"send", "frame", "connect"})
_MISHAPS = frozenset({"fault", "reset", "evict", "hibernate"})
#: These are followed by the record of what they did.
_TOLD_BY_THEIR_EFFECT = frozenset({"evict", "hibernate", "crash"})
_WIDTH = 60


@attrs.define
class CallNode:
    """A call, or an event that nobody in the trace sent, or a fault.

    Attributes:
        event: its ``send``, ``frame``, ``connect``, ``deliver``, ``alarm``, ``timer``, ``verdict`` or fault record.
        arrival: the record of its arrival; ``None`` while under way.
        end: the record with its outcome, if any.
        children: calls made by the handling of it, in order.
        rank: which of the highlighted records belongs to it, from 1, or 0.
        unheard: its answer came when the caller had lost its memory.
    """

    event: TraceEvent
    arrival: TraceEvent | None = None
    end: TraceEvent | None = None
    children: list[CallNode] = attrs.field(factory=list)
    rank: int = 0
    unheard: bool = False
    _people: Cast | None = attrs.field(default=None, repr=False, eq=False)

    @property
    def failed(self) -> bool:
        """Whether it is known to have failed."""
        return self.end is not None and self.end.get("error") is not None

    def __str__(self) -> str:
        mark = f"   ◀ {self.rank}" if self.rank else ""
        return f"[{milliseconds(self.event.t_us)}] {self._text()}  {self._outcome()}".rstrip() + mark

    def _text(self) -> str:
        event = self.event
        who = self._name(event.actor)
        if event.kind == "verdict":
            outcome = str(event.get("outcome", "failed" if event.get("error") else event.label))
            return f"{'✓' if outcome == 'passed' else '✗'} {printable(outcome)}"
        if event.kind in _MISHAPS:
            return f"{who}  ⚡ {printable(fault_text(event))}"
        if event.kind in ("send", "frame"):
            target = event.get("to") or (self.arrival.actor if self.arrival is not None else "?")
            if event.kind == "frame":
                known = frame(str(event.get("text", "")))
                what = call_text(event, _WIDTH) if known is None else clip(known.text, _WIDTH)
                return f"{who} → {self._name(str(target))}  {what}"
            return f"{self._name(event.actor, True)} → {self._name(str(target), True)}  {call_text(event, _WIDTH)}"
        if event.kind == "connect":
            return f"{who}  connects" if event.label.endswith("~0/open") else f"{who}  connects again"
        if event.kind == "deliver":
            return f"{who}  {printable(arrival_text(event) or event.label)}"
        own = event.label.startswith(f"{event.actor}!")
        return f"{who}  {event.kind if own else f'{event.kind} {printable(event.label)}'}"

    def _name(self, actor: str, person: bool = False) -> str:
        """``actor`` as shown; or, instead of a gateway, the person behind it."""
        people = self._people
        return printable(actor if people is None else people.person(actor) if person else people.name(actor))

    def _outcome(self) -> str:
        if self.event.kind == "verdict":
            return outcome_text(self.event, 110) if self.event.get("error") else ""
        if self.event.kind == "connect" and self.arrival is not None and not self.failed:
            return ""
        if self.end is not None:
            sign = "✗" if self.failed else "→"
            took = f"(+{milliseconds(self.end.t_us - self.event.t_us)})"
            lost = ", but nobody waited any more" if self.unheard else ""
            return f"{sign} {outcome_text(self.end, _WIDTH)} {took}{lost}"
        if self.event.kind not in ("send", "frame", "connect"):
            return ""
        return "… no answer" if self.arrival is not None else "… not delivered"


def call_forest(trace: Trace, *, highlight: Iterable[int] = (), detail: bool = False) -> list[CallNode]:
    """Calls as trees.

    A call belongs to the strand that made it.  (By bare cause, what a handler does after an await would hang below
    the call that it awaited.)  Gateways only pass messages on, so calls show between those who mean them; ``detail``
    also shows frames on their way, answers, and what the simulator does for itself.  The nodes that the records of
    ``highlight`` belong to are numbered.
    """
    return _Forester(trace, {n: rank for rank, n in enumerate(highlight, 1)}, detail).roots()


class _Forester:
    """Reads the trace once, in order."""

    def __init__(self, trace: Trace, hot: Mapping[int, int], detail: bool) -> None:
        self.events = trace.events
        self.whose = strands(trace)
        self.people = cast(trace)
        self.hot = hot
        self.detail = detail
        self.found: list[CallNode] = []
        self.of: list[CallNode | None] = []
        """record -> what it belongs to"""
        self.begun: dict[tuple[str, str], CallNode | None] = {}
        """actor, strand -> what its doings belong to; ``None`` for the driver's, which are the scenario itself"""
        self.ends: dict[str, int] = {}
        """actor -> record of when it last lost its memory"""
        self.received = {event.cause for event in self.events if event.kind == "deliver" and event.cause >= 0}
        self.answered = {event.cause for event in self.events if event.kind == "resume"}

    def roots(self) -> list[CallNode]:
        for event in self.events:
            node = self._belongs(event)
            self.of.append(node)
            if node is not None and event.n in self.hot:
                node.rank = node.rank or self.hot[event.n]
        return self.found

    def _belongs(self, event: TraceEvent) -> CallNode | None:
        kind, strand = event.kind, self.whose[event.n]
        cause = self.of[event.cause] if event.cause >= 0 else None
        node = self.begun.get((event.actor, strand)) if strand is not None else None
        if kind == "reply":
            # In the simulator an answer is named after its question.
            node = self.begun.get((event.actor, event.label.removesuffix("/r"))) or node
        if node is None or kind == "frame":
            # A frame may carry a call: then what it brings about belongs to that call.
            node = cause
        source = self.events[event.cause] if event.cause >= 0 else None
        at_home = source is not None and source.actor == event.actor
        if kind == "send" and not (source is not None and source.kind in _MESSAGES):
            return self._grow(CallNode(event), node if at_home else None)
        if kind == "connect":
            return self._grow(CallNode(event), node if at_home else None)
        if kind == "frame" and event.n not in self.received and not (source is not None and source.kind == "send"):
            known = frame(str(event.get("text", "")))
            if known is None or known.kind != "beat":
                return self._grow(CallNode(event), node if at_home else None)
        if kind in _EVENTS:
            node = self._begin(event, cause, source, at_home)
            self.begun[event.actor, event.label] = node
        elif kind == "verdict":
            return self._grow(CallNode(event), None)
        elif kind in _MISHAPS:
            return self._mishap(event, cause if at_home or kind == "fault" else None)
        elif node is not None:
            self._finish(event, node)
        return node

    def _grow(self, node: CallNode, parent: CallNode | None) -> CallNode:
        node._people = self.people
        (self.found if parent is None else parent.children).append(node)
        return node

    def _begin(
        self, event: TraceEvent, cause: CallNode | None, source: TraceEvent | None, at_home: bool
    ) -> CallNode | None:
        if event.kind != "deliver":
            return self._grow(CallNode(event, arrival=event), cause if at_home else None)
        open_call = cause is not None and cause.arrival is None and cause.end is None
        if open_call and cause is not None and source is not None and source.kind in _CARRIERS:
            cause.arrival = event
            return cause
        if source is not None and source.kind == "reply" and cause is not None and event.n not in self.answered:
            # After the call was made, the caller lost its memory: nobody waits for the answer.
            cause.unheard = cause.event.n < self.ends.get(event.actor, -1) and cause.event.actor == event.actor
        if not self.detail:
            if source is not None and source.kind in ("frame", "reply"):
                # On its way through a gateway, or back: no call of its own.
                return cause
            if (source is None or source.kind not in ("send", "connect")) and not arrival_text(event):
                return cause if at_home else None
        return self._grow(CallNode(event, arrival=event), cause)

    def _mishap(self, event: TraceEvent, parent: CallNode | None) -> CallNode | None:
        n = event.n
        if event.kind != "fault":
            self.ends[event.actor] = n
            node = self._grow(CallNode(event), parent)
            if n and self.events[n - 1].kind == "fault" and self.events[n - 1].actor == event.actor:
                node.rank = self.hot.get(n - 1, 0)
            return node
        after = self.events[n + 1] if n + 1 < len(self.events) else None
        if event.get("kind") in _TOLD_BY_THEIR_EFFECT and after is not None and after.kind in _MISHAPS:
            return None
        return self._grow(CallNode(event), parent)

    def _finish(self, event: TraceEvent, node: CallNode) -> None:
        if node.arrival is None:
            if node.end is None and event.kind == "reply" and event.get("error") is not None:
                node.end = event
        elif event.actor != node.arrival.actor:
            return
        elif event.kind == "end" and event.label == node.arrival.label:
            node.end = node.end or event
        elif event.kind == "reply" and (node.end is None or _bare(node.end)):
            # The answer tells more than the end of the handler.
            node.end = event


def _bare(event: TraceEvent) -> bool:
    """Whether it only says that a handler came to its end."""
    return event.kind == "end" and not (isinstance(event.data, dict) and "value" in event.data)


def call_tree(trace: Trace, *, highlight: Iterable[int] = (), detail: bool = False) -> str:
    """Plain text: one line for each node of `call_forest` with virtual time, outcome and duration, indented below its
    caller."""
    lines: list[str] = []

    # A stack of its own: a chain of calls may be deeper than the interpreter's recursion limit.
    stack = [(node, "", "") for node in reversed(call_forest(trace, highlight=highlight, detail=detail))]
    while stack:
        node, first, rest = stack.pop()
        lines.append(f"{first}{node}")
        last = len(node.children) - 1
        for index in range(last, -1, -1):
            end = index == last
            stack.append((node.children[index], rest + ("└─ " if end else "├─ "), rest + ("   " if end else "│  ")))
    return "\n".join(lines)


def rich_tree(trace: Trace, *, highlight: Iterable[int] = (), detail: bool = False) -> Tree:
    """The same for terminals with colours."""
    from rich.text import Text
    from rich.tree import Tree

    top = Tree(Text(printable(str(trace.header.get("scenario", "calls"))), style="bold"))
    stack = [(node, top) for node in reversed(call_forest(trace, highlight=highlight, detail=detail))]
    while stack:
        node, parent = stack.pop()
        bad = node.failed or node.unheard or node.event.kind in _MISHAPS
        branch = parent.add(Text(str(node), style="red" if bad else ""))
        stack += [(child, branch) for child in reversed(node.children)]
    return top

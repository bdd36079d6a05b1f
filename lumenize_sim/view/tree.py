"""Chains of calls, indented by cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.story import call_text, milliseconds, outcome_text, printable

if TYPE_CHECKING:
    from rich.tree import Tree

__all__ = ["CallNode", "call_forest", "call_tree", "rich_tree"]

_ROOTS = frozenset({"deliver", "alarm", "timer"})
_MESSAGES = frozenset({"send", "frame"})


@attrs.define
class CallNode:
    """A call, or an event that nobody in the trace sent.

    Attributes:
        event: its ``send``, ``deliver``, ``alarm``, ``timer`` or ``fault`` record.
        arrival: the record of its arrival; ``None`` while under way.
        end: the record with its outcome, if any.
        children: calls made by the handling of it, in order.
    """

    event: TraceEvent
    arrival: TraceEvent | None = None
    end: TraceEvent | None = None
    children: list[CallNode] = attrs.field(factory=list)

    @property
    def failed(self) -> bool:
        """Whether it is known to have failed."""
        return self.end is not None and self.end.get("error") is not None

    def __str__(self) -> str:
        event = self.event
        what = call_text(event, 60)
        if event.kind == "send":
            target = event.get("to") or (self.arrival.actor if self.arrival is not None else "?")
            text = f"{printable(event.actor)} → {printable(str(target))}  {what}"
        else:
            text = f"{printable(event.actor)}  {what if event.kind == 'deliver' else f'{event.kind} {what}'}"
        return f"[{milliseconds(event.t_us)}] {text}  {self._outcome()}".rstrip()

    def _outcome(self) -> str:
        if self.end is not None:
            sign = "✗" if self.failed else "→"
            return f"{sign} {outcome_text(self.end, 60)} (+{milliseconds(self.end.t_us - self.event.t_us)})"
        if self.event.kind != "send":
            return ""
        return "… no answer" if self.arrival is not None else "… not delivered"


def call_forest(trace: Trace) -> list[CallNode]:
    """Calls as trees.

    A call belongs to the strand that made it.  (By bare cause, what a handler does after an await would hang below
    the call that it awaited.)
    """
    whose = strands(trace)
    events = trace.events
    roots: list[CallNode] = []
    of: list[CallNode | None] = []
    begun: dict[tuple[str, str], CallNode] = {}
    for event in events:
        strand = whose[event.n]
        cause = of[event.cause] if event.cause >= 0 else None
        node = begun.get((event.actor, strand)) if strand is not None else None
        if node is None or event.kind == "frame":
            # A frame may carry a call: then what it brings about belongs to that call.
            node = cause
        if event.kind == "send" and not (event.cause >= 0 and events[event.cause].kind in _MESSAGES):
            made = CallNode(event)
            (roots if node is None else node.children).append(made)
            node = made
        elif event.kind in _ROOTS:
            node = _begin(event, cause, roots)
            begun[event.actor, event.label] = node
        elif node is not None and node.end is None:
            _finish(event, node)
        of.append(node)
    return roots


def _begin(event: TraceEvent, cause: CallNode | None, roots: list[CallNode]) -> CallNode:
    if cause is not None and event.kind == "deliver" and cause.arrival is None and cause.end is None:
        cause.arrival = event
        return cause
    node = CallNode(event, arrival=event)
    (roots if cause is None else cause.children).append(node)
    return node


def _finish(event: TraceEvent, node: CallNode) -> None:
    if node.arrival is None:
        if event.kind == "fault" or (event.kind == "reply" and event.get("error") is not None):
            node.end = event
    elif event.actor == node.arrival.actor and event.kind in ("end", "reply"):
        node.end = event


def call_tree(trace: Trace) -> str:
    """Plain text: one line for each call with virtual time, outcome and duration, indented below its caller."""
    lines: list[str] = []

    # A stack of its own: a chain of calls may be deeper than the interpreter's recursion limit.
    stack = [(node, "", "") for node in reversed(call_forest(trace))]
    while stack:
        node, first, rest = stack.pop()
        lines.append(f"{first}{node}")
        last = len(node.children) - 1
        for index in range(last, -1, -1):
            end = index == last
            stack.append((node.children[index], rest + ("└─ " if end else "├─ "), rest + ("   " if end else "│  ")))
    return "\n".join(lines)


def rich_tree(trace: Trace) -> Tree:
    """The same for terminals with colours."""
    from rich.text import Text
    from rich.tree import Tree

    top = Tree(Text(printable(str(trace.header.get("scenario", "calls"))), style="bold"))
    stack = [(node, top) for node in reversed(call_forest(trace))]
    while stack:
        node, parent = stack.pop()
        branch = parent.add(Text(str(node), style="red" if node.failed else ""))
        stack += [(child, branch) for child in reversed(node.children)]
    return top

"""Events in words a person would use: ``#2 increment (bob)`` instead of a label.

Labels name sender, receiver and a counter, so that they mean the same in every schedule;
that makes them long.  With a trace at hand the same event has a number in the order of
its receiver, a method, and somebody who asked for it: as in explanations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property

from lumenize_sim.mesh.app import GATEWAY_BINDING
from lumenize_sim.trace.event import TraceEvent
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.story import printable

__all__ = ["Words"]

#: No label begins in the middle of another one, or ends there.
_BEGIN, _END = r"(?<![\w/~>.])", r"(?![\w/#~^>-])"


class Words:
    """Names for the events of one trace."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def text(self, text: str) -> str:
        """`replace`, and then printable, line by line."""
        return "\n".join(printable(line) for line in self.replace(text).splitlines())

    def replace(self, text: str) -> str:
        """``text`` with every label of an event that the trace knows replaced by its name."""
        names = self._names
        return self._pattern.sub(lambda match: names[match.group()], text) if names else text

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        known = sorted(self._names, key=lambda label: (-len(label), label))
        return re.compile(f"{_BEGIN}(?:{'|'.join(map(re.escape, known))}){_END}")

    @cached_property
    def _names(self) -> Mapping[str, str]:
        names: dict[str, str] = {}
        arrivals: dict[str, int] = {}
        sent: dict[str, TraceEvent] = {}
        for event in self._trace.events:
            if event.kind in ("send", "frame"):
                sent[event.label] = event
                names[event.label] = _called(event)
            elif event.kind == "deliver":
                nth = arrivals[event.actor] = arrivals.get(event.actor, 0) + 1
                if event.label in sent:
                    # A Worker is new for each call, so its calls are told apart by the number at the caller.
                    own = event.label.rpartition("#")[2]
                    number = int(own) + 1 if "~" in event.actor and own.isdigit() else nth
                    names[event.label] = f"#{number} {_called(sent[event.label])}"
        for label, event in sent.items():
            if event.kind == "send":
                names[f"{label}/r"] = f"the answer of {event.get('to')} to {names[label]}"
        return names


def _called(event: TraceEvent) -> str:
    """``increment (bob)``."""
    origin = str(event.get("from") or event.actor)
    if origin.startswith(f"{GATEWAY_BINDING}/"):
        origin = origin.removeprefix(f"{GATEWAY_BINDING}/").partition(".")[0]
    method = event.get("method")
    return f"{method if method is not None else _carried(str(event.get('text') or ''))} ({origin})"


def _carried(frame: str) -> str:
    """What a frame carries: ``call increment``, ``connection status``."""
    try:
        message = json.loads(frame)
        kind = str(message["type"]).replace("_", " ")
    except (ValueError, KeyError, TypeError):
        return "frame"
    try:
        keys = [str(step["key"]) for step in message["chain"]["json"] if step["type"] == "get"]
    except (KeyError, TypeError):
        return kind
    return f"{kind} {'.'.join(keys)}"

"""One record in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lumenize_sim.trace.event import TraceEvent

__all__ = ["arrival_text", "call_text", "clip", "fault_text", "key_text", "milliseconds", "outcome_text", "printable"]

#: Kind of fault -> what it means for whoever it hits.
_FAULTS: Mapping[str, str] = {
    "evict": "evicted: memory and sockets lost",
    "hibernate": "hibernated: memory lost, sockets kept",
    "crash": "crashed: memory, sockets, unflushed writes lost",
    "relocate": "relocated: goes on elsewhere, sockets lost; what is in flight has no storage",
    "deploy": "new code: sockets lost; what is in flight has no storage",
    "cpu-limit": "CPU time used up: reset, memory and sockets lost",
    "memory-limit": "memory used up: all objects of the isolate are reset",
    "overload": "overloaded: the call is refused, and does not run",
    "late-alarm": "this alarm comes late",
    "twice-alarm": "this alarm comes twice",
    "unreached-alarm": "this alarm does not reach its object",
    "slow-scheduler": "the alarm scheduler answers late",
    "failed-scheduler": "the alarm scheduler cannot be told",
    "section": "a critical section failed: reset",
    "throw": "an uncaught exception: reset",
    "reset": "reset: memory and sockets lost",
    "event-timeout": "a handler ran too long: reset",
    "flush-failed": "flush failed: reset, held output lost",
    "failed-flush": "this flush will fail",
    "slow-flush": "this flush is slow: output waits",
    "slow-read": "this read is slow: it waits for the disk",
    "lost-flush": "this flush loses its connection",
    "torn-delete-all": "delete_all was broken off half way",
    "lock-timeout": "a flush took too long: reset, held output lost",
    "slow-reader": "slow reader: what is sent waits here",
    "partition": "partition: what leaves here is held back",
    "heal": "partition healed: held messages go on",
    "disconnect": "socket cut: what leaves here is lost",
    "half-open": "half-open: the socket loses everything, silently",
    "abort": "aborted: memory and sockets lost",
    "constructor": "constructor failed: reset",
    "constraint": "reset by a failed constraint",
    "alarm-timeout": "alarm ran too long: reset",
}
#: What a call lost by a fault met, by the fault's value.
_LOST_CALL = {1: "call lost before it ran", 2: "call ran, its answer is lost"}
#: Ends of labels of events that nobody sent -> what they tell; an empty text is not worth telling.
_ARRIVALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r".+~\d+[v^]lost"), "socket lost (1006)"),
    (re.compile(r".+~\d+/gone"), "socket lost (1006)"),
    (re.compile(r".+~\d+/refused"), "connection refused"),
    (re.compile(r".+~\d+/(opened|cut)|.+~\d+[v^](/heal|/dead|close|echo|end)|.+/hop"), ""),
)
#: How a value is rendered that is no text: a container, bytes, a number.
_LITERAL = re.compile(r"[\[{(].*[\]})]|b['\"].*|-?\d+(\.\d+)?|…", re.DOTALL)


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
    text = args if isinstance(args, str) else ", ".join(map(_argument, args))
    if not (text.startswith("(") and text.endswith(")")):
        text = f"({text})"
    room = max(width - len(str(method)) - 2, 3)
    return clip(f"{method}({clip(text[1:-1], room)})", max(width, 5))


def _argument(value: object) -> str:
    if isinstance(value, str) and not _LITERAL.fullmatch(value):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def outcome_text(event: TraceEvent, width: int = 40) -> str:
    """Result of a reply or an end: the error, the value, or ``ok``."""
    error = event.get("error")
    if error is not None:
        message = event.get("message")
        return clip(f"{error}: {message}" if message else str(error), width)
    value = event.get("value", "ok")
    return "ok" if value == "undefined" else '""' if value == "" else clip(str(value), width)


def key_text(event: TraceEvent) -> str:
    """What a read or a write touches: the key, or ``self.name`` for an attribute."""
    key = str(event.get("key", event.label))
    return f"self.{key.removeprefix('attr:')}" if key.startswith("attr:") else key


def arrival_text(event: TraceEvent) -> str:
    """What an event that nobody in the trace sent is called; empty for what the simulator does for itself."""
    if event.actor == "driver" or event.label.startswith(f"{event.actor}!"):
        return ""
    for pattern, text in _ARRIVALS:
        if pattern.fullmatch(event.label):
            return text
    return event.label or "event"


def fault_text(event: TraceEvent) -> str:
    """A fault or the end of an instance in a sentence."""
    kind = _fault_kind(event)
    if kind == "lost-call":
        value: Any = event.get("value")
        return _LOST_CALL.get(value, "call lost") if isinstance(value, int) else "call lost"
    if kind in _FAULTS:
        return _FAULTS[kind]
    what = f"{event.kind} {kind}" if kind and kind != event.kind else event.kind
    return f"{what}: memory and sockets lost" if event.kind == "reset" else what


def _fault_kind(event: TraceEvent) -> str:
    """``evict`` of ``REPORT/r-1!evict#0``, ``REPORT/r-1%evict`` or the record's own kind."""
    if event.kind in ("evict", "hibernate"):
        return event.kind
    kind = event.get("kind")
    if kind is not None:
        return str(kind)
    return event.label.removeprefix(event.actor).lstrip("!%").partition("#")[0]

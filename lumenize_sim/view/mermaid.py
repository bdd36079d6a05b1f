"""A trace as a Mermaid sequence diagram."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.story import Arrow, Note, story

__all__ = ["escape", "sequence_diagram"]

#: Everything that is not listed here goes as a character reference: newlines, ``;`` and ``#`` end a statement,
#: ``%%`` begins a comment, ``:`` may begin ``wrap:``, and quotes, brackets and ``&`` mean something to the HTML
#: that the text becomes.
_SAFE = frozenset(" .,_-/()+*=?!@~^|…⚡✎✓✗×")

_ARROWS: Mapping[str, str] = {"call": "->>", "reply": "-->>", "frame": "-)", "connect": "->>", "close": "-x"}
_LOST: Mapping[str, str] = {"call": "-x", "reply": "--x", "frame": "-x", "connect": "-x", "close": "-x"}
#: Tints that read on a light and on a dark page.
_HOT, _BAD, _GOOD = "rgba(240, 150, 30, 0.25)", "rgba(220, 50, 40, 0.2)", "rgba(40, 160, 80, 0.2)"
_TINTS: Mapping[str, str] = {"fault": _BAD, "failed": _BAD, "passed": _GOOD, "sleep": "rgba(240, 190, 60, 0.15)"}


def escape(text: str) -> str:
    """``text`` as Mermaid shows it literally; line breaks become ``<br/>``."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "<br/>".join("".join(c if c.isalnum() or c in _SAFE else f"#{_shown(c)};" for c in line) for line in lines)


def _shown(character: str) -> int:
    """Its code point, or that of the replacement character for what no document may contain."""
    return ord(character) if character.isprintable() else 0xFFFD


def sequence_diagram(
    trace: Trace, *, max_events: int = 200, highlight: Iterable[int] = (), detail: bool = False
) -> str:
    """Mermaid text of ``trace``: clients with their gateways, objects and Workers, one arrow for each message, notes
    for writes, faults and resets, and the verdict across.

    A message is drawn where it arrives, since that is what orders turns; one that never arrives is drawn with a cross
    where it left.  ``max_events`` bounds arrows and notes.  ``highlight`` holds positions of records, for example
    ``(finding.first.n, finding.second.n)``; they stand in a tinted box and are numbered.  ``detail`` shows what is
    left out as noise otherwise.
    """
    tale = story(trace, max_events=max_events, highlight=highlight, detail=detail)
    lines = ["sequenceDiagram"]
    if not tale.participants:
        return "sequenceDiagram\n    participant p0 as nothing to show\n"
    ids = {name: f"p{index}" for index, name in enumerate(tale.participants)}
    lines += [f"    participant {ids[name]} as {escape(name) or '#8203;'}" for name in tale.participants]
    ends = f"p0,p{len(ids) - 1}" if len(ids) > 1 else "p0"
    for index, step in enumerate(tale.steps):
        if index in tale.gaps:
            lines.append(f"    Note over {ends}: … {tale.gaps[index]} more steps …")
        text = _arrow(step, ids) if isinstance(step, Arrow) else _note(step, ids.get(step.actor, ends))
        tint = _HOT if step.hot else _TINTS.get(step.tone) if isinstance(step, Note) else None
        if tint is not None:
            lines += [f"    rect {tint}", f"    {text}", "    end"]
        else:
            lines.append(text)
    if len(tale.steps) in tale.gaps:
        lines.append(f"    Note over {ends}: … {tale.gaps[len(tale.steps)]} more steps …")
    return "\n".join(lines) + "\n"


def _arrow(step: Arrow, ids: Mapping[str, str]) -> str:
    line = _LOST[step.style] if step.lost or step.failed or step.unheard else _ARROWS[step.style]
    return f"    {ids[step.source]}{line}{ids[step.target]}: {_mark(step.hot)}{escape(step.label) or '#8203;'}"


def _note(step: Note, where: str) -> str:
    text = "<br/>".join(map(escape, step.lines))
    return f"    Note over {where}: {_mark(step.hot)}{text or '#8203;'}"


def _mark(rank: int) -> str:
    return f"({rank}) " if rank else ""

"""One column per actor, one row per step, for terminals."""

from __future__ import annotations

from collections.abc import Iterable

from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.story import Arrow, Note, Story, clip, milliseconds, story

__all__ = ["timeline"]

_TIME = 12
_NARROWEST = 14


def timeline(
    trace: Trace,
    *,
    width: int = 110,
    max_events: int = 200,
    highlight: Iterable[int] = (),
    actors: Iterable[str] | None = None,
) -> str:
    """Swim lanes as plain text, at most ``width`` characters wide where the actors leave room for that.

    A message stands in its sender's lane where it leaves (``to ▸ text``) and in its receiver's where it arrives
    (``▸ text``).  ``actors`` picks lanes and their order.
    """
    chosen = None if actors is None else list(actors)
    tale = story(trace, max_events=max_events, highlight=highlight, only=chosen)
    lanes = list(tale.participants) if chosen is None else chosen
    if not lanes:
        return "nothing to show"
    wide = max(_NARROWEST, (width - _TIME) // len(lanes) - 3)
    rows = [(_line("time", lanes, wide)), "─" * _TIME + ("─┼─" + "─" * wide) * len(lanes)]
    for _, index, leaving in sorted(_moments(tale)):
        if not leaving and index in tale.gaps:
            rows.append(f"… {tale.gaps[index]} more steps …")
        step = tale.steps[index]
        cells = dict.fromkeys(lanes, "")
        if isinstance(step, Note):
            text = "; ".join(step.lines)
            cells[step.actor] = f"⚡ {text}" if step.tone == "fault" else text
        elif leaving or step.arrived is None:
            cells[step.source] = f"{'✗ ' if step.lost else ''}{step.text} ▸ {step.target}"
        else:
            cells[step.target] = f"▸ {step.text}"
        mark = f"*{step.hot} " if step.hot else ""
        time = step.sent_us if isinstance(step, Arrow) and leaving else step.t_us
        rows.append(_line(mark + milliseconds(time), [cells[lane] for lane in lanes], wide))
    if len(tale.steps) in tale.gaps:
        rows.append(f"… {tale.gaps[len(tale.steps)]} more steps …")
    return "\n".join(row.rstrip() for row in rows)


def _moments(tale: Story) -> list[tuple[int, int, bool]]:
    """(position, index of step, whether it is the leaving half of a message)."""
    found = []
    for index, step in enumerate(tale.steps):
        found.append((step.at, index, False))
        if isinstance(step, Arrow) and step.arrived is not None:
            found.append((step.n, index, True))
    return found


def _line(time: str, cells: list[str], wide: int) -> str:
    return time.rjust(_TIME)[:_TIME] + "".join(f" │ {clip(cell, wide):<{wide}}" for cell in cells)

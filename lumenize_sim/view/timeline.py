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
    detail: bool = False,
) -> str:
    """Swim lanes as plain text, at most ``width`` characters wide where the actors leave room for that.

    A message stands in its sender's lane where it leaves (``text ▸ to``) and in its receiver's where it arrives
    (``▸ text``); on one line where nothing happened in between.  ``actors`` picks lanes and their order, by the
    actors' own names or those shown.  ``detail`` shows what is left out as noise otherwise.
    """
    chosen = None if actors is None else list(actors)
    tale = story(trace, max_events=max_events, highlight=highlight, only=chosen, detail=detail)
    lanes = list(tale.participants if chosen is None else dict.fromkeys(map(tale.cast.name, chosen)))
    if not lanes:
        return "nothing to show"
    wide = max(_NARROWEST, (width - _TIME) // len(lanes) - 3)
    rows = [(_line("time", lanes, wide)), "─" * _TIME + ("─┼─" + "─" * wide) * len(lanes)]
    moments = sorted(_moments(tale))
    for place, (_, index, leaving) in enumerate(moments):
        if not leaving and index in tale.gaps:
            rows.append(f"… {tale.gaps[index]} more steps …")
        step = tale.steps[index]
        mark = f"*{step.hot} " if step.hot else ""
        time = mark + milliseconds(step.sent_us if isinstance(step, Arrow) and leaving else step.t_us)
        if isinstance(step, Note) and not step.actor:
            rows.append(f"{time.rjust(_TIME)[:_TIME]} │ {'; '.join(step.lines)}")
            continue
        cells = dict.fromkeys(lanes, "")
        if isinstance(step, Note):
            cells[step.actor] = "; ".join(step.lines)
        elif leaving or step.arrived is None:
            cells[step.source] = f"{'✗ ' if step.lost else ''}{step.text} ▸ {step.target}"
            if leaving and moments[place + 1][1] == index and step.source != step.target:
                continue
        else:
            straight = place > 0 and moments[place - 1][1:] == (index, True) and step.source != step.target
            if straight:
                cells[step.source] = f"{step.text} ▸ {step.target}"
            cells[step.target] = f"▸ {'✗ nobody waits: ' if step.unheard else ''}{step.text}"
        rows.append(_line(time, [cells[lane] for lane in lanes], wide))
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

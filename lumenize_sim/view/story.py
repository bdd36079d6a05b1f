"""What is worth drawing: messages between actors and notes at one actor.

All pictures are drawn from this, so that they agree on what a message is and on what
is noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.cast import Cast, cast
from lumenize_sim.view.step import Arrow, Note, Tone
from lumenize_sim.view.teller import Teller
from lumenize_sim.view.wording import call_text, clip, milliseconds, outcome_text, printable

__all__ = ["Arrow", "Note", "Story", "Tone", "call_text", "clip", "milliseconds", "outcome_text", "printable", "story"]

_LINE_CLIP = 40


@attrs.frozen
class Story:
    """Participants in the order to draw, steps likewise, and how many steps were left out before each (``gaps``:
    index of a step, or their number for the end -> count)."""

    participants: tuple[str, ...]
    steps: tuple[Arrow | Note, ...]
    gaps: Mapping[int, int]
    cast: Cast


def story(
    trace: Trace,
    *,
    max_events: int,
    highlight: Iterable[int] = (),
    only: Iterable[str] | None = None,
    detail: bool = False,
) -> Story:
    """The steps of ``trace``; at most ``max_events`` of them, kept around the highlighted records.

    ``highlight`` holds positions of records (``n``); the first is marked 1, and so on, and each is shown even if its
    kind is not drawn otherwise.  ``only`` restricts to some actors, by their own names or those shown.  ``detail``
    shows what is left out as noise otherwise.
    """
    people = cast(trace)
    steps = Teller(trace, people, {n: rank for rank, n in enumerate(highlight, 1)}, detail).steps()
    if only is not None:
        chosen = [people.name(actor) for actor in only]
        steps = [step for step in steps if _inside(step, chosen)]
    steps.sort(key=lambda step: step.at)
    kept, gaps = _window(_merged(steps), max(max_events, 1))
    names: dict[str, None] = {}
    for step in kept:
        if isinstance(step, Arrow):
            names[step.source] = names[step.target] = None
        elif step.actor:
            names[step.actor] = None
    return Story(people.in_order(names) or (("the run",) if kept else ()), tuple(kept), gaps, people)


def _inside(step: Arrow | Note, chosen: list[str]) -> bool:
    if isinstance(step, Note):
        return not step.actor or step.actor in chosen
    return step.source in chosen and step.target in chosen


def _merged(steps: list[Arrow | Note]) -> list[Arrow | Note]:
    merged: list[Arrow | Note] = []
    for step in steps:
        last = merged[-1] if merged else None
        if (
            isinstance(step, Note)
            and isinstance(last, Note)
            and step.tone not in ("fault", "passed", "failed")
            and (last.actor, last.tone, last.hot, step.hot, last.t_us) == (step.actor, step.tone, 0, 0, step.t_us)
            and len(last.lines) < 4
        ):
            merged[-1] = attrs.evolve(last, lines=_joined(last.lines, step.lines), full=f"{last.full}; {step.full}")
        else:
            merged.append(step)
    return merged


def _joined(lines: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Two writes without values share a line: ``✎ number, content ✓``; what stands there already is not repeated."""
    one, two = lines[-1], more[0]
    mark = " ✓" if two.endswith(" ✓") else ""
    if two in lines:
        return lines
    if not two.startswith("✎ ") or one.endswith(" ✓") != bool(mark) or "=" in f"{one}{two}":
        return (*lines, two)
    keys, key = one.removeprefix("✎ ").removesuffix(" ✓").split(", "), two.removeprefix("✎ ").removesuffix(" ✓")
    both = f"✎ {', '.join(keys if key in keys else [*keys, key])}{mark}"
    return (*lines[:-1], both) if len(both) <= _LINE_CLIP else (*lines, two)


def _window(steps: list[Arrow | Note], size: int) -> tuple[list[Arrow | Note], dict[int, int]]:
    """At most ``size`` steps: the first ones, or, with highlights, those that lead up to the last highlight."""
    hot = [index for index, step in enumerate(steps) if step.hot]
    stop = size if not hot else max(size, hot[-1] + 1 + size // 4)
    stop = min(stop, len(steps))
    early = [index for index in hot if index < stop - size]
    start = max(0, stop - size + len(early))
    chosen = [index for index in early if index < start] + list(range(start, stop))
    gaps: dict[int, int] = {}
    due = 0
    for position, index in enumerate(chosen):
        if index > due:
            gaps[position] = index - due
        due = index + 1
    if len(steps) > due:
        gaps[len(chosen)] = len(steps) - due
    return [steps[index] for index in chosen], gaps

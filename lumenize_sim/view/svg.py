"""A sequence diagram drawn by ourselves: one SVG element, no scripts, no fonts, no network.

Time runs downwards, one row for each thing that happened.  A message is a slanted
line from the row where it left to the row where it arrived, so overtaking is
visible.  Bars on a lifeline are strands: where two stand side by side, one ran
between the turns of the other, which is where races live.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise

import attrs

from lumenize_sim.trace.causes import strands
from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.story import Arrow, Note, Story, clip, milliseconds, printable, story

__all__ = ["STYLE", "html", "sequence_svg"]

_CHAR = 6.7
"""Width of one character of the monospace font at 11 px, in pixels, generous."""
_ROW, _TOP, _GUTTER, _SIDE, _BAR = 27, 68, 108, 14, 7
_NAME_CLIP = 30

_LIGHT = (
    "--lz-bg:#fff;--lz-ink:#1f2430;--lz-dim:#737b8c;--lz-line:#d5d9e2;--lz-box:#f3f5f9;--lz-call:#2459c4;"
    "--lz-reply:#5a6478;--lz-write:#fdf3d7;--lz-good:#e2f4e6;--lz-bad:#fde3e1;--lz-badink:#c02b1d;"
    "--lz-hot:#fde9c8;--lz-hotink:#a85b00;--lz-bar:#c9d7f5;--lz-badge:#fff"
)
_DARK = (
    "--lz-bg:#1b1e25;--lz-ink:#e4e7ee;--lz-dim:#98a1b3;--lz-line:#3b4150;--lz-box:#282d38;--lz-call:#8ab4ff;"
    "--lz-reply:#aab3c5;--lz-write:#453c1e;--lz-good:#22402a;--lz-bad:#53262a;--lz-badink:#ff8f84;"
    "--lz-hot:#4d3a17;--lz-hotink:#ffc46b;--lz-bar:#34466f;--lz-badge:#1b1e25"
)

#: Both themes in full; the page's own theme (JupyterLab, VS Code, Sphinx themes) wins over the system's.
STYLE = f"""
.lz{{{_LIGHT};background:var(--lz-bg);border-radius:8px;font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,
'DejaVu Sans Mono',monospace}}
@media (prefers-color-scheme:dark){{.lz{{{_DARK}}}}}
[data-jp-theme-light="true"] .lz,[data-theme="light"] .lz,.vscode-light .lz{{{_LIGHT}}}
[data-jp-theme-light="false"] .lz,[data-theme="dark"] .lz,.vscode-dark .lz{{{_DARK}}}
.lz text{{fill:var(--lz-ink)}}
.lz .dim{{fill:var(--lz-dim)}}
.lz .name{{font-weight:600;font-size:12px}}
.lz .life{{stroke:var(--lz-line);stroke-dasharray:3 4}}
.lz .box{{fill:var(--lz-box);stroke:var(--lz-line)}}
.lz .bar{{fill:var(--lz-bar)}}
.lz .hot{{fill:var(--lz-hot)}}
.lz .badge{{fill:var(--lz-hotink)}}
.lz text.rank{{fill:var(--lz-badge);font-weight:700;font-size:12px}}
.lz .halo{{stroke:var(--lz-bg);stroke-width:4;stroke-linejoin:round;paint-order:stroke}}
.lz .warm .halo{{stroke:var(--lz-hot)}}
.lz path.msg{{fill:none;stroke:var(--lz-call);stroke-width:1.4}}
.lz path.reply{{stroke:var(--lz-reply);stroke-dasharray:5 3}}
.lz path.bad{{stroke:var(--lz-badink)}}
.lz .tip{{fill:var(--lz-call)}}
.lz .tip.reply{{fill:var(--lz-reply)}}
.lz .tip.bad{{fill:var(--lz-badink)}}
.lz text.badink{{fill:var(--lz-badink)}}
.lz .write{{fill:var(--lz-write);stroke:var(--lz-line)}}
.lz .commit{{fill:var(--lz-good);stroke:var(--lz-line)}}
.lz .fault{{fill:var(--lz-bad);stroke:var(--lz-badink);stroke-width:1.4}}
.lz .fault~text{{font-weight:600}}
.lz .sleep{{fill:var(--lz-write);stroke:var(--lz-hotink);stroke-dasharray:4 2}}
.lz .held{{fill:var(--lz-box);stroke:var(--lz-hotink)}}
.lz .quiet{{fill:var(--lz-bg);stroke:var(--lz-line);stroke-dasharray:2 2}}
.lz .quiet~text{{fill:var(--lz-dim)}}
.lz .dot{{fill:var(--lz-bg);stroke:var(--lz-call);stroke-width:1.6}}
.lz rect.warm{{stroke:var(--lz-hotink)}}
"""

_BOXES: Mapping[str, str] = {
    "write": "write",
    "commit": "commit",
    "passed": "commit",
    "fault": "fault",
    "failed": "fault",
    "sleep": "sleep",
    "held": "held",
    "life": "quiet",
    "log": "quiet",
}


#: left, top, right, bottom
_Box = tuple[float, float, float, float]


@attrs.frozen
class _Layout:
    """Where everything stands."""

    tale: Story
    x: Mapping[str, float]
    y: Mapping[int, float]
    """record -> middle of its row"""
    gap_y: tuple[tuple[float, int], ...]
    times: tuple[tuple[float, int], ...]
    width: float
    height: float


def sequence_svg(trace: Trace, *, max_events: int = 300, highlight: Iterable[int] = (), detail: bool = False) -> str:
    """One ``<svg>`` element without its style sheet (`STYLE`), which a page needs only once.

    ``highlight`` holds positions of records, for example ``(finding.first.n, finding.second.n)``; their rows are
    tinted and numbered.  ``detail`` shows what is left out as noise otherwise.
    """
    tale = story(trace, max_events=max_events, highlight=highlight, detail=detail)
    plan = _layout(tale)
    title = f"Sequence diagram of {trace.header.get('scenario', 'a run')}"
    head = (
        f'<svg class="lz" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{html(title)}" '
        f'viewBox="0 0 {plan.width:.0f} {plan.height:.0f}" width="{plan.width:.0f}" height="{plan.height:.0f}" '
        f'style="max-width:100%;height:auto">'
    )
    parts = [head]
    if not tale.participants:
        parts.append('<text x="14" y="28">nothing to show</text></svg>')
        return "".join(parts)
    parts += _tints(plan)
    parts += _lifelines(plan)
    parts += _bars(trace, plan)
    parts += [
        f'<text class="dim" x="{_GUTTER - 14}" y="{y + 4:.0f}" text-anchor="end">{milliseconds(t_us)}</text>'
        for y, t_us in plan.times
    ]
    parts += [
        f'<text class="dim" x="{_GUTTER - 6}" y="{y + 4:.0f}">… {count} more steps …</text>' for y, count in plan.gap_y
    ]
    # Notes after arrows: a box may cover a line that merely passes, never the other way round.
    taken = [_note_box(step, plan) for step in tale.steps if isinstance(step, Note)]
    parts += [_arrow(step, plan, taken) for step in tale.steps if isinstance(step, Arrow)]
    parts += [_note(step, plan) for step in tale.steps if isinstance(step, Note)]
    parts.append("</svg>")
    return "".join(parts)


def html(text: str) -> str:
    """``text`` for element content and attributes."""
    return escape(printable(text))


def _layout(tale: Story) -> _Layout:
    order = list(tale.participants)
    rank = {name: index for index, name in enumerate(order)}
    moments: list[tuple[int, int, Arrow | Note, bool]] = []
    for index, step in enumerate(tale.steps):
        if isinstance(step, Arrow) and step.arrived is not None:
            moments.append((step.n, index, step, False))
        moments.append((step.at, index, step, True))
    moments.sort(key=lambda moment: moment[:2])
    y: dict[int, float] = {}
    gaps: list[tuple[float, int]] = []
    times: list[tuple[float, int]] = []
    at, shown, left_by = float(_TOP), -1, -1
    for n, index, step, last in moments:
        if last and index in tale.gaps:
            gaps.append((at, tale.gaps[index]))
            at += _ROW
            left_by = -1
        if last and left_by == index:
            # Nothing happened while it was under way: one row, a straight line.
            y[n] = at - _ROW
            continue
        y[n] = at
        t_us = step.sent_us if isinstance(step, Arrow) and not last else step.t_us
        if t_us != shown:
            times.append((at, t_us))
            shown = t_us
        at += _ROW if isinstance(step, Arrow) else _ROW + 14 * (len(step.lines) - 1)
        left_by = -1 if last else index
    if len(tale.steps) in tale.gaps:
        gaps.append((at, tale.gaps[len(tale.steps)]))
        at += _ROW
    first = [_note_width(step) / 2 for step in tale.steps if isinstance(step, Note) and step.actor == order[0]]
    x = _columns(order, _wishes(tale, rank), max(first, default=0.0)) if order else {}
    reach = [x[name] + _name_width(name) / 2 for name in order]
    for step in tale.steps:
        if isinstance(step, Arrow):
            if step.source == step.target:
                reach.append(x[step.source] + 40 + _text_width(step.label))
        elif step.actor:
            reach.append(x[step.actor] + _note_width(step) / 2)
        else:
            reach.append(_GUTTER + _note_width(step))
    width = max([*reach, 220.0]) + _SIDE
    return _Layout(tale, x, y, tuple(gaps), tuple(times), width, max(at + 8, 48.0))


def _wishes(tale: Story, rank: Mapping[str, int]) -> list[tuple[int, int, float]]:
    """(left lifeline, right lifeline, room between them)."""
    wishes: list[tuple[int, int, float]] = []
    names = list(tale.participants)
    for left, (one, other) in enumerate(pairwise(names)):
        wishes.append((left, left + 1, (_name_width(one) + _name_width(other)) / 2 + 24))
    beside: dict[str, list[tuple[int, float]]] = {}
    for step in tale.steps:
        if isinstance(step, Note) and step.actor:
            middle, half = rank[step.actor], _note_width(step) / 2 + 12
            wishes += [(middle - 1, middle, half), (middle, middle + 1, half)]
            beside.setdefault(step.actor, []).append((step.n, half))
    for step in tale.steps:
        if isinstance(step, Arrow):
            left, right = sorted((rank[step.source], rank[step.target]))
            if left == right:
                right += 1
            # A slanted message passes by the notes that stand at its ends meanwhile; its text needs room beside them.
            room = sum(
                max((half for _, half in notes[bisect(notes, (step.n,)) : bisect(notes, (step.at,))]), default=0.0)
                for notes in (beside.get(step.source, []), beside.get(step.target, []))
            )
            wishes.append((left, right, _text_width(step.label) + 48 + room * 0.8))
    return [wish for wish in wishes if wish[0] >= 0 and wish[1] < len(names)]


def _columns(order: list[str], wishes: list[tuple[int, int, float]], first: float) -> dict[str, float]:
    needs: dict[int, dict[int, float]] = {}
    for left, right, room in wishes:
        to = needs.setdefault(right, {})
        to[left] = max(to.get(left, 0.0), room)
    xs: list[float] = []
    for index, name in enumerate(order):
        if index:
            xs.append(max(xs[left] + room for left, room in needs[index].items()))
        else:
            xs.append(_GUTTER + max(_name_width(name) / 2, 60.0, first))
    return dict(zip(order, xs, strict=True))


def _text_width(text: str) -> float:
    return len(text) * _CHAR


def _name_width(name: str) -> float:
    return len(clip(name, _NAME_CLIP)) * 7.4 + 20


def _note_width(step: Note) -> float:
    return max(_text_width(line) for line in step.lines) + (38 if step.hot else 18)


def _tints(plan: _Layout) -> Iterable[str]:
    for step in plan.tale.steps:
        if step.hot:
            extra = 14 * (len(step.lines) - 1) if isinstance(step, Note) else 0
            y = plan.y[_hot_record(step)]
            top = y - _ROW / 2
            yield (
                f'<rect class="hot" x="0" y="{top:.1f}" width="{plan.width:.0f}" height="{_ROW + extra}"/>'
                f"{_badge(step.hot, 16, y)}"
            )


def _hot_record(step: Arrow | Note) -> int:
    return step.at if isinstance(step, Note) or step.hot_arrival else step.n


def _badge(rank: int, x: float, y: float) -> str:
    return (
        f'<circle class="badge" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        f'<text class="rank" x="{x:.1f}" y="{y + 4.2:.1f}" text-anchor="middle">{rank}</text>'
    )


def _lifelines(plan: _Layout) -> Iterable[str]:
    for name in plan.tale.participants:
        x, wide = plan.x[name], _name_width(name)
        yield (
            f'<line class="life" x1="{x:.1f}" y1="38" x2="{x:.1f}" y2="{plan.height - 8:.1f}"/>'
            f'<rect class="box" x="{x - wide / 2:.1f}" y="12" width="{wide:.1f}" height="26" rx="5"/>'
            f'<text class="name" x="{x:.1f}" y="29" text-anchor="middle">{html(clip(name, _NAME_CLIP))}'
            f"<title>{html(name)}</title></text>"
        )


def _bars(trace: Trace, plan: _Layout) -> Iterable[str]:
    """One bar for each strand that shows in two rows or more; those that overlap stand side by side."""
    spans: dict[tuple[str, str], list[float]] = {}
    texts: dict[tuple[str, str], str] = {}
    for step in plan.tale.steps:
        if isinstance(step, Arrow) and step.arrived is not None:
            texts.setdefault((step.target, trace.events[step.arrived].label), step.text)
    for event, strand in zip(trace.events, strands(trace), strict=True):
        y, name = plan.y.get(event.n), plan.tale.cast.name(event.actor)
        if y is None or strand is None or name not in plan.x:
            continue
        span = spans.setdefault((name, strand), [y, y])
        span[0], span[1] = min(span[0], y), max(span[1], y)
    lanes: dict[str, list[float]] = {}
    for (actor, strand), (top, bottom) in spans.items():
        if bottom <= top:
            continue
        ends = lanes.setdefault(actor, [])
        lane = next((index for index, end in enumerate(ends) if end <= top), len(ends))
        ends[lane : lane + 1] = [bottom]
        x = plan.x[actor] - _BAR / 2 + lane * (_BAR + 1)
        yield (
            f'<rect class="bar" x="{x:.1f}" y="{top - 4:.1f}" width="{_BAR}" height="{bottom - top + 8:.1f}" rx="2">'
            f"<title>{html(texts.get((actor, strand), strand))}</title></rect>"
        )


def _arrow(step: Arrow, plan: _Layout, taken: list[_Box]) -> str:
    broken = step.lost or step.unheard
    tone = "bad" if step.failed or broken else "reply" if step.style == "reply" else ""
    label = html(step.label)
    title = f"<title>{html(step.source)} → {html(step.target)}: {html(step.full or step.text)}</title>"
    x1, y1 = plan.x[step.source], plan.y[step.n]
    x2, y2 = plan.x[step.target], plan.y[step.at]
    # A slanted text stands beside the tinted row.
    group = f'<g class="warm">{title}' if step.hot and y1 == y2 else f"<g>{title}"
    ink = "halo badink" if tone == "bad" else "halo"
    dot = ""
    if step.starts:
        begins = f"<title>{html(step.starts)} starts</title>"
        dot = f'<circle class="dot" cx="{x2:.1f}" cy="{y2:.1f}" r="4">{begins}</circle>'
    if step.source == step.target:
        low = y2 if y2 > y1 else y1 + 10
        path = f"M{x1:.1f} {y1 - 2:.1f}h26v{low - y1 + 2:.1f}h-20"
        words = f'<text class="{ink}" x="{x1 + 32:.1f}" y="{y1 + 4:.1f}">{label}</text>'
        return f'{group}<path class="msg {tone}" d="{path}"/>{_tip(x1 + 4, low, -1, tone)}{words}{dot}</g>'
    way = 1 if x2 > x1 else -1
    # A message that was lost ends in a cross short of where it was to go; an unheard one reached the place.
    end = x2 - way * (26 if step.lost else 8)
    cross = f"M{end - 5:.1f} {y2 - 5:.1f}l10 10m0 -10l-10 10" if broken else ""
    path = f'<path class="msg {tone}" d="M{x1:.1f} {y1:.1f}L{end:.1f} {y2:.1f}{cross}"/>'
    tip = "" if broken else _tip(x2 - way * (5 if dot else 1), y2, way, tone)
    xt, yt = _place(step, (x1, y1), (x2, y2), taken)
    tilt = ""
    if y1 != y2:
        # Along the line: a level text would cross it.
        tilt = f' transform="rotate({math.degrees(math.atan((y2 - y1) / (x2 - x1))):.2f} {xt:.1f} {yt + 5:.1f})"'
    words = f'<text class="{ink}" x="{xt:.1f}" y="{yt:.1f}" text-anchor="middle"{tilt}>{label}</text>'
    if step.hot:
        words += _badge(step.hot, x2, y2) if step.hot_arrival else _badge(step.hot, x1, y1)
    return f"{group}{path}{tip}{words}{dot}</g>"


def _place(step: Arrow, start: tuple[float, float], end: tuple[float, float], taken: list[_Box]) -> tuple[float, float]:
    """Where the middle of a message's text stands: the first place that is free of notes and other texts.

    A slanted one carries it near its arrival, as that is the row where it counts; a straight one in the middle.
    """
    (x1, y1), (x2, y2) = start, end
    reach = max(abs(x2 - x1), 1.0)
    half = _text_width(step.label) / 2
    near = min(max(0.5, 1 - (half + 14) / reach), 1.0)
    low, high = min(0.5, (half + 8) / reach), max(0.5, 1 - (half + 8) / reach)
    wishes = [0.5 if y1 == y2 else near, 0.5, *(low + (high - low) * part / 10 for part in (10, 8, 7, 6, 4, 3, 2, 0))]
    best: tuple[int, float, list[_Box]] | None = None
    for share in wishes:
        pieces: list[_Box] = []
        for piece in range(-2, 3):
            # A slanted text as a flight of five boxes.
            along = share + piece * 0.4 * half / reach
            x, y = x1 + (x2 - x1) * along, y1 + (y2 - y1) * along - 9
            pieces.append((x - 0.2 * half, y - 6, x + 0.2 * half, y + 6))
        met = sum(_meet(piece, box) for piece in pieces for box in taken)
        if best is None or met < best[0]:
            best = met, share, pieces
        if not met:
            break
    assert best is not None
    taken += best[2]
    return x1 + (x2 - x1) * best[1], y1 + (y2 - y1) * best[1] - 5


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _tip(x: float, y: float, way: int, tone: str) -> str:
    return f'<path class="tip {tone}" d="M{x:.1f} {y:.1f}l{-8 * way} -4v8z"/>'


def _note_box(step: Note, plan: _Layout) -> _Box:
    y, high = plan.y[step.n], 18 + 14 * (len(step.lines) - 1)
    if not step.actor:
        # Across the lifelines.
        return _GUTTER - 6, y - 9, plan.width - _SIDE, y - 9 + high
    x, half = plan.x[step.actor], _note_width(step) / 2
    return x - half, y - 9, x + half, y - 9 + high


def _note(step: Note, plan: _Layout) -> str:
    y = plan.y[step.n]
    left, top, right, bottom = _note_box(step, plan)
    x = (left + right) / 2
    lines = "".join(
        f'<text x="{x:.1f}" y="{y + 4 + 14 * index:.1f}" text-anchor="middle">{html(line)}</text>'
        for index, line in enumerate(step.lines)
    )
    box = _BOXES.get(step.tone, "box") + (" warm" if step.hot else "")
    title = f"{milliseconds(step.t_us)}: {step.full}" if step.full else milliseconds(step.t_us)
    badge = _badge(step.hot, left, y) if step.hot else ""
    return (
        f'<g><rect class="{box}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.0f}" '
        f'rx="4"/><title>{html(title)}</title>{lines}{badge}</g>'
    )

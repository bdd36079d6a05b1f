"""What a notebook shows for a trace, and a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.mermaid import sequence_diagram
from lumenize_sim.view.story import printable
from lumenize_sim.view.svg import STYLE, html, sequence_svg
from lumenize_sim.view.timeline import timeline

__all__ = ["html_page", "mimebundle"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{margin:24px;font:14px system-ui,sans-serif}}{style}</style></head>
<body><h1 style="font-size:18px">{title}</h1><p>{facts}</p>{caption}
<div style="overflow-x:auto">{svg}</div>
</body></html>
"""


def mimebundle(
    trace: Trace,
    *,
    max_events: int = 300,
    highlight: Iterable[int] = (),
    caption: str | None = None,
    detail: bool = False,
) -> dict[str, Any]:
    """``text/plain`` (timeline), ``text/html`` (inline SVG, self-contained) and ``text/vnd.mermaid``.

    ``caption`` stands above the picture, for example the message of a finding.
    """
    hot = tuple(highlight)
    svg = sequence_svg(trace, max_events=max_events, highlight=hot, detail=detail)
    text = timeline(trace, max_events=max_events, highlight=hot, detail=detail)
    above = "".join(f"{printable(line)}\n" for line in (caption or "").splitlines())
    return {
        "text/plain": f"{above}\n{text}" if above else text,
        "text/html": f'<div style="overflow-x:auto"><style>{STYLE}</style>{_caption(caption)}{svg}</div>',
        "text/vnd.mermaid": sequence_diagram(trace, max_events=max_events, highlight=hot, detail=detail),
    }


def html_page(
    trace: Trace,
    *,
    max_events: int = 1000,
    highlight: Iterable[int] = (),
    caption: str | None = None,
    detail: bool = False,
) -> str:
    """A whole page: title, digest, ``caption`` (for example the message of a finding), diagram.  Opens from disk
    without a network."""
    title = html(str(trace.header.get("scenario", "trace")))
    facts = f"{len(trace)} records, digest <code>{trace.digest}</code>"
    svg = sequence_svg(trace, max_events=max_events, highlight=highlight, detail=detail)
    return _PAGE.format(title=title, facts=facts, style=STYLE, caption=_caption(caption), svg=svg)


def _caption(text: str | None) -> str:
    """Line by line; further ones explain the first."""
    lines = [html(line) for line in (text or "").splitlines()]
    if not lines:
        return ""
    return f'<p class="lz-caption"><strong>{lines[0]}</strong>{"".join(f"<br>{line}" for line in lines[1:])}</p>'

"""What a notebook shows for a trace, and a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lumenize_sim.trace.trace import Trace
from lumenize_sim.view.mermaid import sequence_diagram
from lumenize_sim.view.svg import STYLE, html, sequence_svg
from lumenize_sim.view.timeline import timeline

__all__ = ["html_page", "mimebundle"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{margin:24px;font:14px system-ui,sans-serif}}{style}</style></head>
<body><h1 style="font-size:18px">{title}</h1><p>{facts}</p>
{svg}
</body></html>
"""


def mimebundle(trace: Trace, *, max_events: int = 300, highlight: Iterable[int] = ()) -> dict[str, Any]:
    """``text/plain`` (timeline), ``text/html`` (inline SVG, self-contained) and ``text/vnd.mermaid``."""
    hot = tuple(highlight)
    svg = sequence_svg(trace, max_events=max_events, highlight=hot)
    return {
        "text/plain": timeline(trace, max_events=max_events, highlight=hot),
        "text/html": f'<div style="overflow-x:auto"><style>{STYLE}</style>{svg}</div>',
        "text/vnd.mermaid": sequence_diagram(trace, max_events=max_events, highlight=hot),
    }


def html_page(trace: Trace, *, max_events: int = 1000, highlight: Iterable[int] = ()) -> str:
    """A whole page: title, digest, diagram.  Opens from disk without a network."""
    title = html(str(trace.header.get("scenario", "trace")))
    facts = f"{len(trace)} records, digest <code>{trace.digest}</code>"
    svg = sequence_svg(trace, max_events=max_events, highlight=highlight)
    return _PAGE.format(title=title, facts=facts, style=STYLE, svg=svg)

"""The page `docs/quality.md`, made from `tests/quality/results.json`."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lumenize_sim.world.run import versions

__all__ = ["PAGE", "RESULTS", "machine", "rendered", "table"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "quality.md"
RESULTS: Final = Path(__file__).parent / "results.json"
BEGIN, END = "<!-- quality: begin -->", "<!-- quality: end -->"


def machine() -> dict[str, str]:
    """Where it was measured, and with which versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"processor": model, "cores": str(os.cpu_count()), "system": platform.system(), **versions()}


def rendered(page: str, results: Mapping[str, Any]) -> str:
    """``page`` with its generated part made anew."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{_generated(results)}\n\n{END}{tail}"


def _generated(results: Mapping[str, Any]) -> str:
    plan, where = results["plan"], results["machine"]
    parts = [
        f"Measured on {where['cores']} cores of {where['processor']} ({where['system']}), "
        + ", ".join(f"{name} {text}" for name, text in where.items() if name not in ("processor", "cores", "system"))
        + f"; {results['cpu_seconds'] / 3600:.1f} hours of CPU time. {plan['seeds']} seeds for each bug, "
        f"{plan['schedules']:,} schedules at most.",
        table(results),
    ]
    if plan["pure_seeds"]:
        parts.append(
            "Each strategy alone, and the default mix: schedules until the bug is found, in the median of "
            f"{plan['pure_seeds']} seeds, {plan['pure_schedules']:,} schedules at most (a dash: most found nothing)."
        )
        parts.append(_pure(results))
    if results["survival"]:
        parts += [
            "The shortest tape of each, after an edit of the source that has nothing to do with the bug:",
            _kept(results),
        ]
    found = results["search"]
    if found["programs"]:
        parts.append(
            f"The exhaustive search went through {found['programs']} generated programs in {found['runs']:,} runs, "
            f"and brute force in {found['raw']:,}: {found['behaviours']:,} behaviours, "
            f"{len(found['unequal'])} differences."
        )
    if results["short"]:
        parts += ["Short of the goals:", "\n".join(f"- {_cell(line)}" for line in results["short"])]
    else:
        parts.append("Nothing is short of the goals.")
    return "\n\n".join(parts)


def table(results: Mapping[str, Any]) -> str:
    """One row for each benchmark."""
    head = (
        "benchmark",
        "depth",
        "found",
        "median",
        "worst",
        "longest tape",
        "replays",
        "explained",
        "random walk",
        "twin",
    )
    rows = [head, ("---",) * len(head), *(_row(one) for one in results["benchmarks"])]
    widths = [max(len(row[n]) for row in rows) for n in range(len(head))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width, "-" if cell == "---" else " ") for cell, width in zip(row, widths, strict=True)]
    return f"| {' | '.join(cells)} |"


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    failures, schedules = one["walked"] if one["walked"][1] else one["rate"]
    replays = one["replays"]
    return (
        f"`{one['name']}`",
        str(one["depth"]),
        f"{one['found']} of {one['trials']}",
        _number(one["median"]),
        _number(max(one["at"], default=None)),
        str(one["longest"]),
        _number(replays[len(replays) // 2] if replays else None),
        f"{one['explained']} of {one['found']}",
        f"{failures / max(1, schedules):.3%} of {schedules:,}",
        "fails" if one["twin_failures"] else "all of them" if one.get("complete") else f"{one['twin']:,}",
    )


def _pure(results: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(name for one in results["benchmarks"] for name in one["pure"]))
    lines = [f"| benchmark | default mix | {' | '.join(names)} |", f"| --- | ---: |{' ---: |' * len(names)}"]
    for one in results["benchmarks"]:
        best = one["best"][0] if one["best"] else None
        cells = [_number(one["pure"].get(name)) for name in names]
        marked = [f"**{cell}**" if name == best else cell for name, cell in zip(names, cells, strict=True)]
        lines.append(f"| `{one['name']}` | {_number(one['median'])} | {' | '.join(marked)} |")
    return "\n".join(lines)


def _kept(results: Mapping[str, Any]) -> str:
    edits = list(dict.fromkeys(one["edit"] for one in results["survival"]))
    kept = {(one["case"], one["edit"]): one["survived"] for one in results["survival"]}
    lines = [f"| benchmark | {' | '.join(edits)} |", f"| --- |{' --- |' * len(edits)}"]
    for name in dict.fromkeys(one["case"] for one in results["survival"]):
        lines.append(f"| `{name}` | {' | '.join('yes' if kept[name, edit] else '**no**' for edit in edits)} |")
    counts = [f"{sum(kept[key] for key in kept if key[1] == edit)}" for edit in edits]
    return "\n".join([*lines, f"| of {len(lines) - 2} | {' | '.join(counts)} |"])


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")

"""Rates of the benchmarks, in one small table at the end, each beside its peer of the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

_ROWS: list[tuple[str, float, str, str]] = []


@pytest.fixture
def noted() -> Callable[[str, float, str, str], None]:
    """``noted(name, per_s, unit, peer)``: a row for a rate that the test has measured itself, in part of its work."""

    def note(name: str, per_s: float, unit: str, peer: str) -> None:
        _ROWS.append((name, per_s, unit, peer))

    return note


@pytest.fixture
def rate(benchmark: Any) -> Callable[..., float]:
    """``rate(name, unit, work, count)``: run ``work`` and note ``count`` per second of its fastest round.

    ``peer``: the name of an earlier row to compare with; ``rounds``: how often ``work`` runs.
    """

    def measure(
        name: str, unit: str, work: Callable[[], object], count: int, *, peer: str = "", rounds: int = 5
    ) -> float:
        benchmark.pedantic(work, rounds=rounds, iterations=1, warmup_rounds=1)
        if benchmark.stats is None:  # --benchmark-disable: the work has run, nothing was measured
            return float("inf")
        per_s: float = count / benchmark.stats.stats.min
        benchmark.extra_info.update({"per_s": round(per_s), "unit": unit})
        _ROWS.append((name, per_s, unit, peer))
        return per_s

    return measure


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table."""
    if not _ROWS:
        return
    found = {name: per_s for name, per_s, _, _ in _ROWS}
    terminalreporter.section("rates (fastest round)")
    width = max(len(name) for name in found)
    for name, per_s, unit, peer in _ROWS:
        ratio = f"   {per_s / found[peer]:.2f} x {peer}" if peer in found else ""
        terminalreporter.write_line(f"{name:<{width}}  {per_s:>12,.0f} {unit}/s{ratio}")

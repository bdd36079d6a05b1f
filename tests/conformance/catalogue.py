"""All programs: importing their modules defines them."""

from __future__ import annotations

import re
from importlib import import_module

from tests.conformance.program import PROGRAMS, NotApplicable, Program

__all__ = ["LITMUS_TESTS", "MODULES", "catalogue"]

#: In the order of the table.
MODULES = (
    "input_gate",
    "output_gate",
    "storage",
    "order_errors",
    "alarms",
    "clock",
    "web_sockets",
    "seen_gates",
    "seen_calls",
)

#: Those of the reference's section 10.
LITMUS_TESTS = (
    "lt_interleaving",
    "lt_legacy",
    "lt_sections",
    "lt_output",
    "lt_storage",
    "lt_alarms",
    "lt_rpc",
    "lt_sockets",
    "lt_lifecycle",
    "lt_time",
)


def catalogue() -> dict[str, Program | NotApplicable]:
    """Every program, by id: the recorded ones, then the litmus tests by section and number."""
    for name in (*MODULES, *LITMUS_TESTS):
        import_module(f"tests.conformance.{name}")
    return dict(sorted(PROGRAMS.items(), key=_place))


def _place(item: tuple[str, Program | NotApplicable]) -> tuple[str, int]:
    name, row = item
    numbered = re.match(r"LT-(\d+)", name)
    if numbered is None or isinstance(row, NotApplicable):
        return "", 0
    return row.group, int(numbered[1])

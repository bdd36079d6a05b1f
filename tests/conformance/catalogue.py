"""All programs: importing their modules defines them."""

from __future__ import annotations

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
    """Every program, by id."""
    for name in (*MODULES, *LITMUS_TESTS):
        import_module(f"tests.conformance.{name}")
    return PROGRAMS

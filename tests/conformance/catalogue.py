"""All programs: importing their modules defines them."""

from __future__ import annotations

from importlib import import_module

from tests.conformance.program import PROGRAMS, NotApplicable, Program

__all__ = ["MODULES", "catalogue"]

#: In the order of the table.
MODULES = ("input_gate",)


def catalogue() -> dict[str, Program | NotApplicable]:
    """Every program, by id."""
    for name in MODULES:
        import_module(f"tests.conformance.{name}")
    return PROGRAMS

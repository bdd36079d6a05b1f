"""``--check-determinism``: the option, and what is said of its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import click

from lumenize_sim.cli.console import Printer
from lumenize_sim.explore import Run, simulate
from lumenize_sim.explore.determinism import Divergence, check_determinism
from lumenize_sim.view.story import printable
from lumenize_sim.world.scenario import Scenario

__all__ = ["determinism_option", "first_divergence", "print_determinism", "samples", "to_json"]

determinism_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--check-determinism",
    "check",
    is_flag=True,
    help="Run each tape twice in each of two processes that share as little as possible; name the first difference.",
)
#: Seeds of the runs that are checked before an exploration, beside the one in order.
_SEEDS: Final = (1, 2)


def samples(scenario: Scenario) -> list[Run]:
    """A few runs of a scenario: in order, and drawn."""
    return [simulate(scenario), *(simulate(scenario, seed=seed) for seed in _SEEDS)]


def first_divergence(runs: Iterable[Run], where: str | None = None) -> Divergence | None:
    """The first that the check finds; each tape is checked once.

    Args:
        where: the scenario, where the tapes do not say.
    """
    seen: dict[str, None] = {}
    for run in runs:
        if run.tape.digest not in seen:
            seen[run.tape.digest] = None
            found = check_determinism(run, scenario=where)
            if found is not None:
                return found
    return None


def print_determinism(printer: Printer, found: Divergence | None) -> None:
    """One line, or two where something differs."""
    if found is None:
        printer.fact("determinism", "the same in two processes with different hash seeds, twice in each")
        return
    place = f" ({found.where})" if found.where else ""
    printer.fact("not deterministic", printable(f"{found.label} at {found.at}{place}"), "red")
    printer.line((f"  {printable(found.first)} in one run, {printable(found.second)} in the other", "dim"))
    printer.line((f"  {printable(found.reason)}; take time, randomness and ids from self.lmz", "dim"))


def to_json(found: Divergence | None) -> dict[str, Any] | None:
    """What ``--json`` says; ``None`` where nothing differs."""
    if found is None:
        return None
    return {
        "at": found.at,
        "label": found.label,
        "first": found.first,
        "second": found.second,
        "where": found.where,
        "reason": found.reason,
    }

"""Arguments that several commands share, and what they mean for a scenario."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

from lumenize_sim.cli.exits import FOLDER, writing
from lumenize_sim.errors import UsageError
from lumenize_sim.explore.strategies import NAMES
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.faults import KINDS, Faults
from lumenize_sim.world.scenario import Scenario

__all__ = [
    "command_line",
    "faults_option",
    "faults_wanted",
    "folder_for_tapes",
    "json_option",
    "replay_line",
    "save_option",
    "scenario_argument",
    "strategy_option",
    "trace_option",
    "write_trace",
]

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

scenario_argument: Decorator = click.argument("where", metavar="SCENARIO")
json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output, and nothing else there."
)
strategy_option: Decorator = click.option(
    "--strategy", type=click.Choice(NAMES), help="How schedules are drawn; a mix by default."
)
faults_option: Decorator = click.option(
    "--faults",
    metavar="KIND,KIND|all|none",
    help=f"What may go wrong, instead of the scenario's own: {', '.join(KINDS)}.",
)
save_option: Decorator = click.option(
    "--save", metavar="DIR", default=FOLDER, show_default=True, help="Folder for tapes."
)
trace_option: Decorator = click.option(
    "--trace", "trace_file", metavar="FILE", help="Write what happened; as text for people if FILE ends in .jsonl."
)


def faults_wanted(scenario: Scenario, text: str | None) -> Faults | None:
    """What ``--faults`` asks for; ``None`` keeps the scenario's own.  How many at most stays as the scenario says.

    Raises:
        UsageError: an unknown kind.
    """
    if text is None:
        return None
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if not wanted:
        raise UsageError(f"--faults {text!r} names no kind: use all, none, or some of {', '.join(KINDS)}.")
    if wanted == ["none"]:
        return Faults()
    own = scenario.faults
    kinds = tuple(KINDS) if wanted == ["all"] else tuple(wanted)
    return Faults.from_json({**own.to_json(), "kinds": kinds, "at_most": own.at_most or Faults().at_most})


def folder_for_tapes(folder: str) -> Path:
    """The folder, made.

    Raises:
        UsageError: it cannot be made.
    """
    with writing(folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


def write_trace(trace: Trace, file: str | None) -> None:
    """Write ``--trace FILE`` if it was given."""
    if file is None:
        return
    with writing(file):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        if file.endswith(".jsonl"):
            trace.to_jsonl(file)
        else:
            trace.write(file)


def command_line(command: str, where: str, **options: object) -> str:
    """A command to type, with the options that were given."""
    words = ["lumenize-sim", command, where]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def replay_line(tape: Path | None) -> str:
    """What to type to see the same run again."""
    return command_line("replay", str(tape))

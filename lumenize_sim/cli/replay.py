"""``lumenize-sim replay``: the same run again."""

from __future__ import annotations

import click

from lumenize_sim.cli.arguments import command_line, json_option, trace_option, write_trace
from lumenize_sim.cli.console import Printer, apart_from_json
from lumenize_sim.cli.determinism import determinism_option, first_divergence, print_determinism, to_json
from lumenize_sim.cli.exits import Exit, interruptible
from lumenize_sim.cli.verdict import exit_of, print_run
from lumenize_sim.cli.words import Words
from lumenize_sim.explore import load_scenario, replay

__all__ = ["command"]

_WHY = (
    "The app has changed since the tape was made, or something in it is not virtual: compare, follow what the tape "
    "meant with --lenient, or explore anew."
)


@click.command("replay")
@click.argument("tape")
@click.option("--scenario", "where", metavar="SCENARIO", help="Where the scenario is now (path.py or path.py::name).")
@click.option("--lenient", is_flag=True, help="Where the app has changed, match events by label and cause; says how.")
@trace_option
@determinism_option
@json_option
def command(tape: str, where: str | None, lenient: bool, trace_file: str | None, check: bool, as_json: bool) -> int:
    """Run again from TAPE, strictly.

    Exits with 0 if the run passed then and now, 1 if it failed then and fails the same way now, and 4 if it is not
    the run that was recorded.  A lenient run exits with 0 if it passes and 1 if it fails.
    """
    printer = Printer()
    with interruptible(command_line("replay", tape, scenario=where)), apart_from_json(as_json):
        run = replay(tape, scenario=None if where is None else load_scenario(where), lenient=lenient)
        if not as_json:
            _ = run.explanation  # runs the app again, which may print and be interrupted
        diverged = first_divergence([run], where) if check else None
    write_trace(run.trace, trace_file)
    if as_json:
        printer.json({**run.to_json(), **({"determinism": to_json(diverged)} if check else {})})
    elif run.outcome.kind == "diverged":
        message = Words(run.trace).text(run.outcome.message).replace("\n", " ")
        printer.line(
            (run.scenario.name, "bold"),
            ": ",
            ("diverged", "red bold"),
            f" — {message}. {_WHY}",
        )
        printer.line(
            ("seed: ", "dim"),
            str(run.seed),
            ("        replay: ", "dim"),
            (command_line("replay", tape, scenario=where), "cyan"),
        )
    elif run.edited:
        print_run(printer, run, after=", not the same run as recorded, but what the tape meant")
        words = Words(run.trace)
        for match in run.matches:
            printer.line(("  ", "dim"), words.text(str(match)))
    else:
        print_run(printer, run, after=", the same run as recorded")
    if check and not as_json:
        print_determinism(printer, diverged)
    return exit_of(run) if diverged is None else Exit.DIVERGED

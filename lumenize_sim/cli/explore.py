"""``lumenize-sim explore``: many schedules."""

from __future__ import annotations

import os

import attrs
import click

from lumenize_sim.cli.annotations import annotated
from lumenize_sim.cli.arguments import (
    command_line,
    faults_option,
    faults_wanted,
    folder_for_tapes,
    json_option,
    save_option,
    scenario_argument,
    strategy_option,
)
from lumenize_sim.cli.console import Printer, apart_from_json, progress_bar
from lumenize_sim.cli.determinism import determinism_option, first_divergence, print_determinism, samples, to_json
from lumenize_sim.cli.exits import Exit, interruptible
from lumenize_sim.cli.junit import write_junit
from lumenize_sim.cli.verdict import print_faults, print_logged, print_racing_pair, print_tape
from lumenize_sim.cli.words import Words
from lumenize_sim.explore import Failure, Report, explore, load_scenario
from lumenize_sim.explore.run import adjusted
from lumenize_sim.view.story import printable
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.scenario import Scenario

__all__ = ["command", "print_coverage", "print_failure", "print_report"]


@click.command("explore")
@scenario_argument
@click.option("--schedules", type=click.IntRange(min=1), default=1000, show_default=True, help="How many to run.")
@click.option("--exhaustive", is_flag=True, help="Run every order once, instead of drawing any.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Runs at most, with --exhaustive.",
)
@click.option(
    "--max-faults",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Every combination of so many faults at most, with --exhaustive.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Base of everything drawn.")
@strategy_option
@faults_option
@click.option("--network", type=click.Choice(["asynchronous", "timed"]), help="Instead of the scenario's own model.")
@click.option(
    "--max-failures",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Stop after so many different ones.",
)
@save_option
@click.option("--no-verify", is_flag=True, help="Do not re-run failures in a fresh process before reporting them.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that share the schedules.  What is found does not depend on how many there are.",
)
@click.option("--on", metavar="dask://HOST:PORT", help="A Dask cluster that runs the schedules.")
@click.option("--resume", is_flag=True, help="Go on where an interrupted exploration of the same was.")
@click.option("--junit", metavar="FILE", help="Write the result as JUnit XML, too.")
@click.option(
    "--github/--no-github",
    default=None,
    help="Print annotations for GitHub Actions; by default where it runs there.",
)
@determinism_option
@json_option
def command(
    where: str,
    schedules: int,
    exhaustive: bool,
    limit: int,
    max_faults: int,
    seed: int,
    strategy: str | None,
    faults: str | None,
    network: str | None,
    max_failures: int,
    save: str,
    no_verify: bool,
    jobs: int,
    on: str | None,
    resume: bool,
    junit: str | None,
    github: bool | None,
    check: bool,
    as_json: bool,
) -> int:
    """Run SCENARIO (path.py or path.py::name) under many schedules.

    A failure is shrunk to the choices that matter, explained, written to a tape, and
    re-run from it in a fresh process before it is reported.  Where all orders without
    faults are few, they are all run, and it says so.
    """
    if exhaustive:
        schedules = limit
    printer = Printer()
    on_github = os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github
    if exhaustive:
        words = f" --exhaustive --limit {limit}" + (f" --max-faults {max_faults}" if max_faults else "")
        again = command_line("explore", where, seed=seed, faults=faults, network=network) + words
    else:
        again = command_line(
            "explore", where, schedules=schedules, seed=seed, strategy=strategy, faults=faults, network=network
        )
    with interruptible(again if exhaustive else f"{again} --resume"), apart_from_json(as_json):
        folder = folder_for_tapes(save)
        scenario = load_scenario(where)
        # Before anything else: what is not deterministic fails in ways that say nothing about races.
        wanted = faults_wanted(scenario, faults)
        diverged = first_divergence(samples(adjusted(scenario, wanted, None))) if check else None
    if diverged is not None:
        if as_json:
            printer.json({"scenario": scenario.name, "determinism": to_json(diverged)})
        else:
            print_determinism(printer, diverged)
        return Exit.DIVERGED
    with interruptible(f"{again} --resume"), apart_from_json(as_json):
        with progress_bar(scenario.name) as progress:
            report = explore(
                scenario,
                schedules=schedules,
                seed=seed,
                strategy=strategy,
                faults=wanted,
                options=_options(scenario, network),
                max_failures=max_failures,
                save=folder,
                verify=not no_verify,
                progress=progress,
                jobs=jobs,
                on=on,
                journal=None if exhaustive else folder,
                resume=resume,
                exhaustive=exhaustive,
                max_faults=max_faults,
            )
        diverged = first_divergence(failure.run for failure in report.failures) if check else None
    if junit is not None:
        write_junit(report, junit)
    if as_json:
        printer.json({**report.to_json(), **({"determinism": to_json(diverged)} if check else {})})
    else:
        print_report(printer, report, asked=schedules)
        if report.exhaustive:
            printer.fact("exhaustive", report.exhaustive)
        if report.failures:
            printer.fact("seed", f"{report.seed}        again: {again}")
        else:
            printer.fact("again", again)
        if check:
            print_determinism(printer, diverged)
    if on_github:
        for line in annotated(report):
            click.echo(line, err=as_json)
    if diverged is not None:
        return Exit.DIVERGED
    return Exit.FAILED if report.failures else Exit.PASSED


def print_report(printer: Printer, report: Report, *, asked: int) -> None:
    """A report for people: each failure, or what was covered.

    Args:
        asked: schedules that were to be run.
    """
    if not report.failures:
        printer.line(
            (report.scenario.name, "bold"), ": ", ("passed", "green bold"), f" on all of {report.schedules} schedules"
            f" (seed {report.seed}), {report.behaviours:,} different behaviours, {_rate(report)}"
        )  # fmt: skip
        print_coverage(printer, report)
        return
    for failure in report.failures:
        print_failure(printer, failure, asked=asked)
    if len(report.failures) > 1 or report.schedules > 1:
        printer.line(
            (f"{report.schedules:,} schedules, {report.behaviours:,} behaviours, in {report.wall_s:.1f} s", "dim")
        )


def print_coverage(printer: Printer, report: Report) -> None:
    """Faults and marks, also those that never happened."""
    coverage = report.coverage
    if coverage["faults"]:
        print_faults(printer, coverage["faults"])
    if coverage["marks"]:
        printer.fact(
            "reached", ", ".join(f"{mark} {count:,}" for mark, count in coverage["marks"].items() if count) or "nothing"
        )
    never = [*coverage["faults_never"], *coverage["marks_never"]]
    if never:
        printer.fact("never happened", ", ".join(never), "yellow")


def print_failure(printer: Printer, failure: Failure, *, asked: int) -> None:
    """One failure: what, why, how little it takes, and how to see it again."""
    run = failure.run
    printer.line(
        (run.scenario.name, "bold"), ": ", (failure.kind.replace("_", " "), "red bold"),
        f" on schedule {failure.schedule} of {asked} — {printable(failure.message)}"
    )  # fmt: skip
    print_racing_pair(printer, run)
    print_logged(printer, run)
    count = run.tape.non_default
    if not count:
        words = "first come, first served already shows it"
    else:
        words = Words(run.trace).text(run.tape.describe())
    spent = f" from {failure.found_with:,}, in {failure.replays:,} runs" if failure.replays else ""
    printer.line(f"shrunk to {count} non-default choice{'' if count == 1 else 's'} ({words})", (spent, "dim"))
    if failure.verified == "fresh process":
        printer.line(("replayed in a fresh process: the same failure, the same digest", "dim"))
    elif not failure.verified.startswith("not re-run"):
        printer.line((printable(failure.verified), "red"))
    else:
        printer.line((failure.verified, "dim"))
    print_tape(printer, run)


def _rate(report: Report) -> str:
    return f"{report.schedules / max(report.wall_s, 1e-9):,.0f} schedules/s"


def _options(scenario: Scenario, network: str | None) -> WorldOptions | None:
    if network is None:
        return None
    return attrs.evolve(scenario.options, network=attrs.evolve(scenario.options.network, model=network))

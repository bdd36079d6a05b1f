"""How one run went, for people."""

from __future__ import annotations

from collections.abc import Mapping

from lumenize_sim.cli.arguments import replay_line
from lumenize_sim.cli.console import Printer
from lumenize_sim.cli.exits import Exit
from lumenize_sim.cli.words import Words
from lumenize_sim.explore import Run
from lumenize_sim.view.story import printable

__all__ = ["exit_of", "print_faults", "print_logged", "print_racing_pair", "print_run", "print_tape"]


def exit_of(run: Run) -> Exit:
    """The exit code that a run deserves."""
    if run.outcome.kind == "diverged":
        return Exit.DIVERGED
    return Exit.FAILED if run.outcome.failed else Exit.PASSED


def print_run(printer: Printer, run: Run, *, after: str = "", seed_note: str = "") -> None:
    """Outcome, explanation, choices, seed, tape and replay line.

    Args:
        after: put behind the outcome.
        seed_note: put behind the seed.
    """
    kind = run.outcome.kind
    message = f" — {printable(run.outcome.message)}" if run.outcome.message else ""
    verdict = (kind.replace("_", " "), "green bold" if kind == "passed" else "red bold")
    printer.line((run.scenario.name, "bold"), ": ", verdict, f"{after}{message}")
    if run.outcome.failed:
        print_racing_pair(printer, run)
    words = Words(run.trace)
    printer.fact("choices", words.text(run.tape.describe()))
    print_logged(printer, run)
    if run.outcome.faults:
        print_faults(printer, run.outcome.faults)
    printer.line(
        ("seed: ", "dim"),
        f"{run.seed}{seed_note}",
        (f"        {run.outcome.events} events, {run.outcome.virtual_s:g} s of virtual time, digest ", "dim"),
        run.digest,
    )
    print_tape(printer, run)


def print_logged(printer: Printer, run: Run) -> None:
    """Errors that were logged: a call that nobody waits for fails without failing the run, and would fail unseen."""
    logged = [event for event in run.trace.events if event.kind == "log" and event.get("level") == "error"]
    if not logged:
        return
    data = logged[0].get("data")
    reason = f": {data['error']}" if isinstance(data, Mapping) and "error" in data else ""
    head, by = ("logged 1 error", "by") if len(logged) == 1 else (f"logged {len(logged)} errors", "first by")
    printer.fact(head, printable(f"{by} {logged[0].actor}: {logged[0].get('message')}{reason}"), "yellow")


def print_racing_pair(printer: Printer, run: Run) -> None:
    """The explanation of a failure, as far as there is one."""
    found = run.explanation
    if found is None:
        return
    first, *rest = Words(run.trace).text(found.message).splitlines() or [""]
    head, separator, text = first.partition("racing pair: ")
    # Only two accesses make a racing pair; a fault or an order explains by itself.
    printer.fact("racing pair" if separator else "explained by", text if separator and not head else first, "yellow")
    for line in rest:
        printer.line(("  " + line, "dim"))
    if found.passing:
        printer.line(("  it passes " + Words(run.trace).text(found.passing), "dim"))


def print_faults(printer: Printer, faults: dict[str, int]) -> None:
    """What went wrong, by kind; mending is none."""
    printer.fact("faults", ", ".join(f"{kind} {count:,}" for kind, count in faults.items() if kind != "heal") or "none")


def print_tape(printer: Printer, run: Run) -> None:
    """Where the tape is, and what to type."""
    printer.line(("tape: ", "dim"), str(run.path), ("        replay: ", "dim"), (replay_line(run.path), "cyan"))

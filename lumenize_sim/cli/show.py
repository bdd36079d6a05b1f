"""``lumenize-sim show``: views of a tape or a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from lumenize_sim.check.finding import Finding
from lumenize_sim.cli.arguments import command_line
from lumenize_sim.cli.console import Printer, apart_from_json
from lumenize_sim.cli.exits import Exit, interruptible, writing
from lumenize_sim.cli.words import Words
from lumenize_sim.errors import UsageError
from lumenize_sim.explore import Run, load_scenario, replay
from lumenize_sim.explore.explain import explain
from lumenize_sim.trace.trace import FORMAT, Trace
from lumenize_sim.view.mermaid import sequence_diagram
from lumenize_sim.view.notebook import html_page
from lumenize_sim.view.timeline import timeline
from lumenize_sim.view.tree import CallNode, call_forest, call_tree

__all__ = ["command"]

_VIEWS: Final = ("tree", "timeline", "diagram", "html", "choices")
_BY_SUFFIX: Final = {".html": "html", ".htm": "html", ".mmd": "diagram", ".mermaid": "diagram"}


@click.command("show")
@click.argument("file", metavar="TAPE")
@click.option("--as", "view", type=click.Choice(_VIEWS), help="Which view; from the name of the -o file, else tree.")
@click.option("-o", "--output", metavar="FILE", help="Write it there instead of to standard output.")
@click.option(
    "--flipped", is_flag=True, help="Show the nearest run that passes instead: the racing pair the other way round."
)
@click.option("--scenario", "where", metavar="SCENARIO", help="Where the tape's scenario is now.")
def command(file: str, view: str | None, output: str | None, flipped: bool, where: str | None) -> int:
    """Show what happened in TAPE, which is replayed for that, or in a trace file.

    diagram is Mermaid text, html a page of its own.  The racing pair is marked.
    """
    if view is None:
        view = _BY_SUFFIX.get(Path(output).suffix, "tree") if output is not None else "tree"
    printer = Printer()
    run: Run | None = None
    if _is_trace(file):
        trace = Trace.read(file)
        if flipped:
            raise UsageError(f"{file} is a trace, which cannot be run in another order: show the tape.")
        if view == "choices":
            raise UsageError(f"{file} is a trace, which holds no choices: show the tape, or choose another view.")
        found = explain(trace, ())
    else:
        # What the app prints while it is replayed is no part of the view.
        with interruptible(command_line("show", file)), apart_from_json(True):
            run = replay(file, scenario=None if where is None else load_scenario(where))
            found, other = run.explanation, run.flipped
        if flipped:
            if other is None:
                raise UsageError(f"no run near {file} is known that passes: only those of failures are looked for.")
            run, found = other, None
        trace = run.trace
    text = _choices(run) if view == "choices" and run is not None else _view(view, trace, found, printer.width)
    if output is None:
        printer.text(text)
    else:
        with writing(output):
            Path(output).parent.mkdir(parents=True, exist_ok=True)
            Path(output).write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")
        printer.fact("written", output)
    if run is not None and run.outcome.kind == "diverged":
        click.echo(f"this is not the run that was recorded: {Words(trace).text(run.outcome.message)}", err=True)
        return Exit.DIVERGED
    return Exit.PASSED


def _view(view: str, trace: Trace, found: Finding | None, width: int) -> str:
    hot = tuple(access.n for access in (found.first, found.second) if access.n >= 0) if found is not None else ()
    if view == "html":
        return html_page(trace, highlight=hot)
    if view == "diagram":
        return sequence_diagram(trace, highlight=hot).rstrip("\n")
    words = Words(trace)
    body = _tree(trace, found, words) if view == "tree" else timeline(trace, width=width, highlight=hot)
    return body if found is None else f"{body}\n\n{words.text(found.message)}"


def _tree(trace: Trace, found: Finding | None, words: Words) -> str:
    """The calls, with the racing pair marked."""
    lines = [words.replace(line) for line in call_tree(trace).splitlines()]
    marks: dict[tuple[str, str], int] = {}
    if found is not None:
        marks = {(found.second.actor, found.second.event): 2, (found.first.actor, found.first.event): 1}
    # The same order in which the lines come: a call before those that it made.
    stack: list[CallNode] = list(reversed(call_forest(trace)))
    for index in range(len(lines)):
        node = stack.pop()
        stack += reversed(node.children)
        actor = node.arrival.actor if node.arrival is not None else node.event.actor
        mark = marks.get((actor, node.event.label))
        if mark is not None:
            lines[index] += f"   ◀ {mark}"
    return "\n".join(lines)


def _choices(run: Run) -> str:
    """Every choice of the tape, with its place, value and alternatives."""
    words = Words(run.trace)
    tape = run.tape
    count = f"{len(tape.choices)} choices, {tape.non_default} of them not the default"
    rows = [f"{run.scenario.name}, seed {tape.seed}: {count}"]
    for nth, choice in enumerate(tape.choices, 1):
        place = f"{choice.label} = {choice.value} of {choice.bound}  (key {choice.key:08x})"
        rows += [f"{nth:4}  {choice.kind:6} {place}", f"      {words.text(choice.describe())}"]
    if not run.tape.choices:
        rows.append(run.tape.describe())
    return "\n".join(rows)


def _is_trace(file: str) -> bool:
    """Whether a file begins as a trace does; what is neither is left to the reader of tapes to refuse."""
    try:
        with Path(file).open("rb") as stream:
            return FORMAT.encode() in stream.read(200)
    except OSError:
        return False

"""The table of `docs/fidelity.md`: every program, what it reached, and the verdict.

    python -m tests.conformance.fidelity                 every program, 2,000 schedules each; checks the table on file
    python -m tests.conformance.fidelity --quick         every program in fewer schedules, as long as that is enough
    python -m tests.conformance.fidelity --write         writes the table anew
    python -m tests.conformance.fidelity --only LT-8     some programs (a part of the id), told in detail

Ends with a line of counts, and with exit code 1 where anything is unexplained, forbidden or missing, or the table is
not current.  What the table says does not depend on the machine, the process or the number of schedules.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from tests.conformance.catalogue import catalogue
from tests.conformance.program import NotApplicable, Program
from tests.conformance.reach import plain, reachable
from tests.conformance.recorded import recordings
from tests.conformance.verdict import Verdict, judge

__all__ = ["Row", "main"]

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"
FULL, QUICK = 2000, 120
ENUMERATE = 600


@attrs.frozen
class Row:
    """What one process tells another about a program under one runtime."""

    id: str
    runtime: str
    word: str
    complaint: str
    runs: int
    complete: bool
    outcomes: int
    reasons: tuple[str, ...]
    seconds: float


def run(task: tuple[str, str, int]) -> Row:
    """Judge one program under one runtime."""
    name, runtime, schedules = task
    program = catalogue()[name]
    assert isinstance(program, Program)
    began = time.perf_counter()
    reached = reachable(
        program, runtime, schedules=schedules, enumerate_at_most=ENUMERATE, until_expected=max(FULL, schedules)
    )
    verdict: Verdict = judge(program, runtime, reached)
    return Row(
        id=name,
        runtime=runtime,
        word=verdict.word,
        complaint=verdict.complaint(),
        runs=reached.runs,
        complete=reached.complete,
        outcomes=len(reached.counts),
        reasons=verdict.reasons,
        seconds=time.perf_counter() - began,
    )


def rows_of(names: Sequence[str], schedules: int, jobs: int) -> Iterator[Row]:
    """Judge all, in order."""
    programs = catalogue()
    tasks = []
    for name in names:
        row = programs[name]
        if isinstance(row, Program):
            tasks += [(name, runtime, schedules) for runtime in row.runtimes]
    if jobs == 1:
        yield from map(run, tasks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, tasks)


def table(rows: Sequence[Row]) -> str:
    """The generated part of the page."""
    by_id: dict[str, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
    groups: dict[str, list[str]] = {}
    for name, entry in catalogue().items():
        heading = recordings()[name].group if isinstance(entry, NotApplicable) else entry.group
        lines = groups.setdefault(heading, [])
        if isinstance(entry, NotApplicable):
            lines.append(f"| `{name}` | | | | | not applicable: {entry.reason} | recorded |")
            continue
        for row in by_id.get(name, []):
            cells = [
                f"`{name}`: {_cell(entry.title)}" + (f" ({_cell(entry.note)})" if entry.note else ""),
                row.runtime,
                _expected(entry, row.runtime),
                _reachable(entry, row),
                _cell("; ".join(_forbidden(entry))) or "whatever is not allowed",
                row.word,
                _source(entry),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    head = (
        "| program | runtime | recorded or expected | reachable | forbidden | verdict | source |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    return "\n\n".join("\n".join([f"### {group}\n\n{head}", *lines]) for group, lines in groups.items())


#: So much of an outcome is shown; the whole is in the recorded file, or in the program.
_SHOWN = 100
#: A rule at the beginning of a text: what a program says about an outcome that it forbids.
_RULE = re.compile(r"[A-Z]{2,3}-\d+[a-z]?[:,]")


def _expected(program: Program, runtime: str) -> str:
    outcomes = [plain(outcome) for outcome in program.expected.get(runtime, ())]
    shown = [text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…" for text in outcomes[:3]]
    more = [f"and {len(outcomes) - 3} more"] if len(outcomes) > 3 else []
    return "<br>".join([*(f"`` {_cell(text)} ``" for text in shown), *more]) or "as allowed"


def _reachable(program: Program, row: Row) -> str:
    found = "all" if program.expected.get(row.runtime) and row.word != "missing" else "some"
    others = f", and others ({_cell('; '.join(row.reasons))})" if row.reasons else ""
    return f"{found}{others}; {f'complete with {row.outcomes}' if row.complete else 'schedules'}"


def _forbidden(program: Program) -> list[str]:
    """What a program says about outcomes that it forbids: texts in its code that begin with a rule, or of a table."""
    function: Any = program.forbidden
    if function is None:
        return []
    said = [text for text in function.__code__.co_consts if text != function.__doc__]
    for cell in function.__closure__ or ():
        kept = cell.cell_contents
        if isinstance(kept, dict):
            return [text for text in kept if isinstance(text, str)]
        said.append(kept)
    return [text for text in said if isinstance(text, str) and _RULE.match(text)]


def _source(program: Program) -> str:
    if program.source == "recorded":
        made = f"recorded, {recordings()[program.id].runs} runs"
    else:
        made = "reference"
    return f"{made}; {', '.join(program.rules)}" if program.rules else made


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.fidelity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} schedules each instead of {FULL}")
    parser.add_argument("--schedules", type=int, help="so many schedules each")
    parser.add_argument("--write", action="store_true", help="write the table")
    parser.add_argument("--only", default="", help="only programs whose id contains this")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    say = sys.stdout.write
    schedules = options.schedules or (QUICK if options.quick else FULL)
    programs = catalogue()
    names = [name for name in programs if options.only in name]
    rows: list[Row] = []
    for row in rows_of(names, schedules, options.jobs):
        rows.append(row)
        if row.word != "conforms":
            say(f"{row.complaint}\n")
        elif options.only:
            say(f"{row.id} under {row.runtime}: {row.outcomes} outcomes in {row.runs} runs, {row.seconds:.1f} s\n")
        sys.stdout.flush()
    absent = [name for name in recordings() if name not in programs] if not options.only else []
    for name in absent:
        say(f"{name}: recorded, and no program here\n")
    stale = False
    if not options.only and (options.write or not options.quick):
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        current, _, tail = rest.partition(END)
        fresh = f"\n\n{table(rows)}\n\n"
        if options.write:
            PAGE.write_text(f"{head}{BEGIN}{fresh}{END}{tail}", encoding="utf-8")
        elif fresh != current:
            stale = True
            say("docs/fidelity.md is not current: run `make conformance WRITE=1` and look at the difference\n")
    words = Counter(row.word for row in rows)
    unexplained = words["unexplained"] + len(absent)
    inapplicable = sum(isinstance(programs[name], NotApplicable) for name in names)
    say(
        f"{len(names)} programs ({inapplicable} not applicable), {len(rows)} judged, {words['conforms']} conform, "
        f"{words['missing']} missing, {words['forbidden']} forbidden, {unexplained} unexplained\n"
    )
    return 0 if words["conforms"] == len(rows) and not absent and not stale else 1


if __name__ == "__main__":
    sys.exit(main())

"""Survival: whether the shortest tape of a bug still leads to it after an edit that has nothing to do with it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from lumenize_sim import explore, replay
from lumenize_sim.kernel.tape import Tape
from tests.quality.cases import FOLDER, Case
from tests.quality.edits import EDITS, edited
from tests.quality.tapes import tape_of

__all__ = ["Survival", "survivals"]


@attrs.frozen(kw_only=True)
class Survival:
    """One tape after one edit.

    Attributes:
        case, edit: names.
        survived: it fails with the same words.
        outcome: what became of the run, where it did not.
    """

    case: str
    edit: str
    survived: bool
    outcome: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return attrs.asdict(self)


def survivals(case: Case) -> list[Survival]:
    """The tape of ``case`` after each of the edits, one at a time; nothing where there is no tape."""
    tape = _tape(case)
    found: list[Survival] = []
    if tape is None:
        return found
    for edit in EDITS:
        with TemporaryDirectory() as folder:
            bug = edited(case.path, case.name, edit, Path(folder))
            run = replay(tape, scenario=bug, lenient=True)
        # Without the line, which moves.
        same = run.outcome.kind == tape.outcome and _words(run.outcome.message) == _words(tape.message)
        outcome = "" if same else f"{run.outcome.kind} {run.outcome.message}".strip()
        found.append(Survival(case=case.name, edit=edit, survived=same, outcome=outcome))
    return found


def _tape(case: Case) -> Tape | None:
    """The one on file, or that of a benchmark from somewhere else."""
    if case.path.parent == FOLDER:
        return Tape.read(tape_of(case))
    failures = explore(case.bug, schedules=1_000, save=None).failures
    return failures[0].run.tape if failures else None


def _words(message: str) -> str:
    return message.rpartition(" (")[0]

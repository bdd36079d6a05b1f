"""What an exploration came to: its failures, what it saw, and how far it is."""

from __future__ import annotations

from typing import Any

import attrs

from lumenize_sim.check.finding import Finding
from lumenize_sim.explore.run import Run
from lumenize_sim.world.scenario import Scenario

__all__ = ["Failure", "Progress", "Report"]


@attrs.frozen(kw_only=True, eq=False)
class Failure:
    """One failure, shrunk.

    Attributes:
        run: the shrunk run; its tape is on file.
        schedule: the number of the schedule that found it, from 1.
        strategy: which strategy that was.
        found_with: choices before shrinking.
        replays: runs that shrinking took.
        verified: ``"fresh process"``, or why not.
    """

    run: Run
    schedule: int
    strategy: str
    found_with: int
    replays: int
    verified: str

    @property
    def kind(self) -> str:
        """``failed``, ``app_error``, ``deadlock``, ``step_limit`` or ``cpu_limit``."""
        return self.run.outcome.kind

    @property
    def message(self) -> str:
        """In one line."""
        return self.run.outcome.message

    @property
    def explanation(self) -> Finding | None:
        """The racing pair."""
        return self.run.explanation

    @property
    def replay_command(self) -> str:
        """What to type."""
        return f"lumenize-sim replay {self.run.path}"

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        found = self.explanation
        tape = self.run.tape
        return {
            "kind": self.kind,
            "message": self.message,
            "tape": None if self.run.path is None else str(self.run.path),
            "choices": len(tape.choices),
            "non_default": tape.non_default,
            "choice_list": [c.to_list()[:4] for c in tape.choices],
            "in_words": tape.describe(),
            "digest": tape.digest,
            "schedule": self.schedule,
            "strategy": self.strategy,
            "seed": tape.seed,
            "found_with": self.found_with,
            "replays": self.replays,
            "verified": self.verified,
            "explanation": None if found is None else found.to_json(),
        }


@attrs.frozen(kw_only=True, eq=False)
class Report:
    """What an exploration saw.

    Attributes:
        scenario: what was explored.
        schedules: how many were run.
        failures: distinct ones, in order of discovery.
        behaviours: how many different orders per receiver there were.
        faults: what went wrong, kind to count, over all schedules.
        marks: ``sometimes`` marks, name to how often.
        wall_s: real seconds.
        seed: base seed.
        exhaustive: how a search of all behaviours ended, in words: ``complete: 7 behaviours``; empty where there was
            none, or where it gave up because the world is not small.
    """

    scenario: Scenario
    schedules: int
    failures: list[Failure]
    behaviours: int
    faults: dict[str, int]
    marks: dict[str, int]
    wall_s: float
    seed: int
    exhaustive: str = ""

    @property
    def complete(self) -> bool:
        """Every behaviour was seen, with as many faults as were asked for."""
        return self.exhaustive.startswith("complete: ")

    @property
    def coverage(self) -> dict[str, Any]:
        """Behaviours, faults and marks; what never happened is listed."""
        kinds = self.scenario.faults.kinds
        return {
            "behaviours": self.behaviours,
            "faults": self.faults,
            "faults_never": [k for k in kinds if not self.faults.get(k)],
            "marks": self.marks,
            "marks_never": [m for m, n in self.marks.items() if not n],
        }

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "scenario": self.scenario.name,
            "schedules": self.schedules,
            "seed": self.seed,
            "failures": [f.to_json() for f in self.failures],
            "coverage": self.coverage,
            "complete": self.complete,
            "exhaustive": self.exhaustive,
            "wall_s": round(self.wall_s, 3),
        }

    def __repr__(self) -> str:
        counts = f"{self.schedules} schedules, {self.behaviours} behaviours, {len(self.failures)} failures"
        return f"<Report on {self.scenario.name}: {counts}>"


@attrs.frozen
class Progress:
    """Where an exploration is.

    Attributes:
        phase: ``exploring``, ``shrinking`` or ``verifying``.
        done, total: of that phase.
        failures: so far.
    """

    phase: str
    done: int
    total: int
    failures: int

"""One recorded run: how it went, its tape and its trace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from lumenize_sim.check.finding import Finding
from lumenize_sim.check.findings import Check, find
from lumenize_sim.errors import UsageError
from lumenize_sim.explore.apart import apart
from lumenize_sim.explore.explain import explained
from lumenize_sim.explore.matching import Match
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.cost import CostReport
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.run import Outcome
from lumenize_sim.world.scenario import Scenario

__all__ = ["Run", "adjusted", "saved"]


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One run, recorded.  Shows itself as a sequence diagram in a notebook.

    Attributes:
        scenario: what was run.
        outcome: how it went.
        tape: from which it is replayed.
        trace: what happened.
        seed: it was drawn from.
        path: where the tape was written, if it was.
        edited: it is not the run of the tape that it was made from, but what that meant; see `replay`.
        matches: then what became of each choice of that tape.
    """

    scenario: Scenario
    outcome: Outcome
    tape: Tape
    trace: Trace
    seed: int
    path: Path | None = None
    edited: bool = False
    matches: tuple[Match, ...] = ()
    _why: list[tuple[Finding | None, Run | None]] = attrs.field(factory=list, init=False, repr=False)

    @property
    def failure(self) -> BaseException | None:
        """The exception of a failed run, ``None`` of one that passed."""
        if not self.outcome.failed:
            return None
        return self.outcome.error or AssertionError(self.outcome.message)

    @property
    def digest(self) -> str:
        """Of the trace."""
        return self.trace.digest

    @property
    def cost(self) -> CostReport:
        """What its objects used, and what a month of such runs would cost."""
        assert self.outcome.cost is not None, "a recorded run was metered"
        return self.outcome.cost

    @property
    def explanation(self) -> Finding | None:
        """The racing pair behind a failure; ``None`` of a run that passed, and where nothing is known.

        Looked for once, which runs the app up to 40 times: the pair has been flipped, and `flipped` passes.
        """
        return self._explained()[0]

    @property
    def flipped(self) -> Run | None:
        """The nearest run that passes: with the racing pair in the other order, or without the fault."""
        return self._explained()[1]

    def findings(self, *checks: Check) -> tuple[Finding, ...]:
        """What checkers find in the trace, by name (see `lumenize_sim.check.CHECKERS`); by default all.

        They are no verdict: much of it is harmless in a run that passed.
        """
        return find(self.trace, checks or None)

    def _explained(self) -> tuple[Finding | None, Run | None]:
        if not self._why:
            self._why.append(apart(lambda: explained(self)) if self.outcome.failed else (None, None))
        return self._why[0]

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "scenario": self.scenario.name,
            "outcome": self.outcome.kind,
            "message": self.outcome.message,
            "digest": self.digest,
            "seed": self.seed,
            "tape": None if self.path is None else str(self.path),
            "choices": len(self.tape.choices),
            "non_default": self.tape.non_default,
            "choice_list": [choice.to_list()[:4] for choice in self.tape.choices],
            "in_words": self.tape.describe(),
            "events": self.outcome.events,
            "virtual_s": self.outcome.virtual_s,
            "faults": self.outcome.faults,
            **({"matches": [str(match) for match in self.matches]} if self.edited else {}),
        }

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, Any]:
        from lumenize_sim.view.notebook import mimebundle

        found = self.explanation if self.outcome.failed else None
        if found is None:
            return mimebundle(self.trace)
        return mimebundle(self.trace, highlight=(found.first.n, found.second.n), caption=found.message)

    def __repr__(self) -> str:
        outcome = self.outcome
        return f"<Run of {self.scenario.name}: {outcome.kind}, {outcome.events} events, digest {self.digest[:12]}>"


def saved(run: Run, where: str | os.PathLike[str]) -> Run:
    """Write the tape into a folder, named after scenario and digest, or to a file ending in ``.tape``."""
    target = Path(where)
    if target.suffix != ".tape":
        target = target / f"{run.scenario.name}-{run.digest[:8]}.tape"
    kept = attrs.evolve(run, path=run.tape.write(target))
    kept._why.extend(run._why)  # it is the same run, so it has the same explanation
    return kept


def adjusted(scenario: Scenario, faults: Faults | None, options: WorldOptions | None) -> Scenario:
    """The scenario with other faults or options; ``None`` leaves its own.

    Raises:
        UsageError: it is no scenario.
    """
    if not isinstance(scenario, Scenario):
        raise UsageError(f"{scenario!r} is no scenario: decorate an `async def name(world)` with @scenario(app)")
    if faults is not None:
        scenario = attrs.evolve(scenario, faults=faults)
    if options is not None:
        scenario = attrs.evolve(scenario, options=options)
    return scenario

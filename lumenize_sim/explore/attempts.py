"""Attempts: candidates for a shorter tape, and the best of those that were seen to fail.

A candidate is run leniently: choices are matched by what they pick, what never comes is left out, and after them
everything goes by default.  Such a run writes its own canonical choices, so what is accepted is never the candidate
but what the run really needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lumenize_sim.explore.flips import Flip, FlipGuide, Flipping
from lumenize_sim.explore.profile import Noting
from lumenize_sim.explore.roaming import canonical, fired, guided, tasks_of
from lumenize_sim.explore.sighting import Log, Sighting
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.guide import TapeGuide
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.run import Outcome
from lumenize_sim.world.scenario import Scenario

__all__ = ["Attempts", "run_leniently", "size_of"]


class Attempts:
    """Runs of one scenario, in search of the smallest that fails with one signature.

    Args:
        best: choices that do.
        total: in total order, for runs that are watched after every turn.
        budget: runs at most; some that only look may come on top.
        tick: told the number of runs so far.

    Attributes:
        best: the smallest that were seen to fail.
        replays: runs so far.
    """

    def __init__(
        self,
        scenario: Scenario,
        best: tuple[Choice, ...],
        *,
        seed: int,
        signature: tuple[str, str, str],
        total: bool,
        budget: int,
        tick: Callable[[int], None],
    ) -> None:
        self.best = best
        self.replays = 0
        self.budget = budget
        self._scenario = scenario
        self._seed = seed
        self._signature = signature
        self._total = total
        self._tick = tick
        self._known: dict[tuple[tuple[str, int, str, str, int], ...], tuple[Choice, ...] | None] = {}

    def shorter(self, choices: Sequence[Choice]) -> bool:
        """Whether ``choices`` fail the same way with something less than the best; then that is the best."""
        taken = self.failing(choices)
        return taken is not None and self.take(taken)

    def take(self, taken: tuple[Choice, ...]) -> bool:
        """Let ``taken``, which were seen to fail, be the best if they are less."""
        if size_of(taken) >= size_of(self.best):
            return False
        self.best = taken
        return True

    def failing(self, choices: Sequence[Choice]) -> tuple[Choice, ...] | None:
        """What a run with ``choices`` needed of them; ``None`` where it does not fail the same way, or none is left."""
        key = tuple((c.label, c.value, c.pick, c.over, c.spans) for c in choices)
        if key not in self._known:
            if self.replays >= self.budget:
                return None
            self._count()
            outcome, taken = run_leniently(self._scenario, tuple(choices), seed=self._seed, total=self._total)
            self._known[key] = taken if self._same(outcome) else None
        return self._known[key]

    def looked_at(self, choices: Sequence[Choice]) -> Noting:
        """A run with ``choices``, and what was made during what in it."""
        self._count()
        noting = Noting(TapeGuide(choices, strict=False), total=self._total)
        plan, tasks = FaultPlan(fired(tuple(choices))), tasks_of(tuple(choices))
        guided(self._scenario, None, seed=self._seed, faults=plan, tasks=tasks, chooser=noting)
        return noting

    def flipped(
        self, flips: Sequence[Flip], run: Sighting, late: Mapping[str, int], rest: tuple[Choice, ...]
    ) -> tuple[Log, tuple[Choice, ...] | None]:
        """The order of a run in which ``flips`` stand the other way round, and what it needs if it fails the same way.

        Args:
            run: says what comes of what.
            late: what is late by how much.
            rest: faults, and orders of tasks.
        """
        self._count()
        plan, tasks = FaultPlan(fired(rest)), tasks_of(rest)
        chooser = Flipping(FlipGuide(flips, run, late), total=self._total)
        outcome, _ = guided(self._scenario, None, seed=self._seed, faults=plan, tasks=tasks, chooser=chooser)
        log = chooser.log
        if not self._same(outcome):
            return log, None
        self._count()
        outcome, taken = canonical(self._scenario, outcome, plan, tasks, seed=self._seed)
        return log, taken if self._same(outcome) else None

    def _same(self, outcome: Outcome) -> bool:
        return outcome.failed and outcome.signature == self._signature

    def _count(self) -> None:
        self.replays += 1
        self._tick(self.replays)


def size_of(choices: Sequence[Choice]) -> tuple[int, int]:
    """How many, then how much of each."""
    return (len(choices), sum(c.value + c.spans for c in choices))


def run_leniently(
    scenario: Scenario, choices: tuple[Choice, ...], *, seed: int, total: bool = False
) -> tuple[Outcome, tuple[Choice, ...]]:
    """Run with ``choices`` as far as they apply; returns the choices that the run really made."""
    guide = TapeGuide(choices, strict=False)
    plan = FaultPlan(fired(choices))
    outcome, taken = guided(scenario, guide, seed=seed, faults=plan, tasks=tasks_of(choices), total=total)
    if guide.skipped:
        # A receiver was held for something that never came.  What happened meanwhile elsewhere is no default,
        # and no choice of this run says so: only its order does.
        return canonical(scenario, outcome, plan, tasks_of(taken), seed=seed)
    return outcome, taken

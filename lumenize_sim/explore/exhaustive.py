"""Every behaviour of a small scenario, each run once.

The search is dynamic partial-order reduction: of all orders that differ only in what is
independent it runs one.  `Recording` makes the runs, `Reversals` says what could have
been otherwise in each, `Path` keeps what remains to be run.  Plans of faults and the
values of explored options are enumerated around it, one search for each.

Objects that share memory behind the back of the mesh race without any receiver knowing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.happenings import Recording
from lumenize_sim.explore.reversals import Reversals
from lumenize_sim.explore.run import apart, guided
from lumenize_sim.explore.wakeup import Path
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import EVERYTHING
from lumenize_sim.kernel.guide import OrderGuide, orders_of
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.run import Outcome, run_scenario
from lumenize_sim.world.scenario import Scenario

__all__ = ["Behaviour", "Enumeration", "enumerate_behaviours"]

#: Endings that cut a run short, so that something may lie behind them.
_CUT = ("step_limit", "cpu_limit")


@attrs.frozen(eq=False, slots=False)
class Behaviour:
    """One of the ways in which a scenario can go.

    Attributes:
        digest: of its trace.
        outcome: how it went.
        planned: the faults and values of options that belong to it, label to value.
        seed: of application randomness.
    """

    scenario: Scenario = attrs.field(repr=False)
    digest: str
    outcome: Outcome = attrs.field(repr=False)
    planned: Mapping[str, int]
    seed: int

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        """The tape that leads to it; made by another run when first asked for."""
        outcome = self.outcome
        log = [(EVERYTHING, label) for _, label in outcome.log] if outcome.watched else outcome.log
        guide = OrderGuide(orders_of(log), outcome.late)
        _, choices = guided(self.scenario, guide, seed=self.seed, planned=self.planned, total=outcome.watched)
        return choices


@attrs.frozen
class Enumeration:
    """What an exhaustive search found.

    Attributes:
        complete: there is no other behaviour.
        behaviours: all that differ in digest or outcome, in order of discovery.
        runs: how many runs it took.
    """

    complete: bool
    behaviours: list[Behaviour]
    runs: int


def enumerate_behaviours(scenario: Scenario, *, limit: int = 10_000, seed: int = 0) -> Enumeration:
    """Every behaviour of ``scenario``, without faults.

    Args:
        limit: runs at most; what is found until then is returned as incomplete.
        seed: of application randomness.

    Raises:
        UsageError: the network is timed, where order follows from latencies and is no choice.
        KeyboardInterrupt: Ctrl-C.
    """
    if scenario.options.network.model == "timed":
        raise UsageError(
            "a timed network has no finite set of behaviours: enumerate with Network(model='asynchronous')"
        )
    return apart(lambda: _Search(scenario, limit, seed).run())


class _Search:
    def __init__(self, scenario: Scenario, limit: int, seed: int) -> None:
        self.scenario = scenario
        self.limit = limit
        self.seed = seed
        self.total = False
        self.runs = 0
        self.traces = 0
        self.path = Path()
        self.cut = scenario.options.explore_tasks
        self.found: dict[tuple[str, str], Behaviour] = {}

    def run(self) -> Enumeration:
        for outcome in self.outcomes():
            assert outcome.trace is not None
            found = (outcome.trace.digest, outcome.kind)
            if found not in self.found:
                self.found[found] = Behaviour(self.scenario, outcome.trace.digest, outcome, {}, self.seed)
        return Enumeration(self.complete, list(self.found.values()), self.runs)

    def outcomes(self) -> Iterator[Outcome]:
        outcome, recording = self.go()
        if outcome.watched:
            # A monitor reads all actors after every turn, so every order matters.
            self.total, self.path = True, Path()
            outcome, recording = self.go()
        self.complete = False
        while True:
            if outcome.kind in _CUT:
                self.cut = True
            if self.path.changed:
                break
            broken_off = outcome.kind == "diverged"
            if not broken_off:
                self.traces += 1
                yield outcome
            ended = outcome.kind not in ("deadlock", "diverged")
            if ended and recording.steps:
                self.path.ended(recording.steps[-1].label)
            reversals = Reversals(recording.steps, recording.known, ended=ended, since=self.path.branched)
            if recording.steps:
                reversals.plan(self.path.nodes)
            self.cut = self.cut or reversals.too_many
            if not self.path.advance():
                self.complete = not self.cut
                break
            if self.runs >= self.limit:
                break
            outcome, recording = self.go()

    def go(self) -> tuple[Outcome, Recording]:
        self.runs += 1
        recording = Recording(self.path, total=self.total)
        return run_scenario(self.scenario, recording, plan=FaultPlan(), seed=self.seed, trace=True), recording

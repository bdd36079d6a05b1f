"""Every behaviour of a small scenario, each run once.

The search is dynamic partial-order reduction: of all orders that differ only in what is
independent it runs one.  `Recording` makes the runs, `Reversals` says what could have
been otherwise in each, `Path` keeps what remains to be run.  Plans of faults and the
values of explored options are enumerated around it, one search for each.

Objects that share memory behind the back of the mesh race without any receiver knowing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.apart import apart
from lumenize_sim.explore.happenings import NEVER, Recording
from lumenize_sim.explore.leaks import leaked, remembered
from lumenize_sim.explore.reversals import Reversals
from lumenize_sim.explore.roaming import guided
from lumenize_sim.explore.wakeup import Path
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import EVERYTHING
from lumenize_sim.kernel.guide import OrderGuide, orders_of
from lumenize_sim.kernel.plan import FaultPlan, fault_label
from lumenize_sim.world.faults import KINDS, with_flushes
from lumenize_sim.world.options import OPTIONS, option_kind
from lumenize_sim.world.run import Outcome, run_scenario
from lumenize_sim.world.scenario import Scenario

__all__ = ["LATE_IN_A_ROW", "Behaviour", "Enumeration", "Search", "enumerate_behaviours", "kept_between", "told"]

#: Endings that cut a run short, so that something may lie behind them.
_CUT = ("step_limit", "cpu_limit")
#: What no search goes through.
LATE_IN_A_ROW = "messages late in a row"
#: Steps of a run after which the world is not small.
_SMALL = 400


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
    def again(self) -> tuple[Outcome, tuple[Choice, ...]]:
        """Another run in the same order, made when first asked for, and its tape."""
        outcome = self.outcome
        log = [(EVERYTHING, label) for _, label in outcome.log] if outcome.watched else outcome.log
        guide = OrderGuide(orders_of(log), outcome.late)
        return guided(self.scenario, guide, seed=self.seed, planned=self.planned, total=outcome.watched)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The tape that leads to it."""
        return self.again[1]


@attrs.frozen
class Enumeration:
    """What an exhaustive search found.  As a text it says whether that is everything.

    Attributes:
        complete: there is no other behaviour.
        behaviours: all that differ in digest or outcome, in order of discovery: those with fewer faults first.
        runs: how many runs it took.
        plans: how many plans of faults and values of options were gone through.
        why: what stands in the way of completeness, in words; empty where nothing does.
        kept: names in modules and classes of the app whose values outlived their runs.
        without: what there may be besides, though complete: `LATE_IN_A_ROW`, where a timer that is too far away for one
            late message could be missed by several; else empty.
    """

    complete: bool
    behaviours: list[Behaviour]
    runs: int
    plans: int
    why: str
    kept: tuple[str, ...] = ()
    without: str = ""

    def __str__(self) -> str:
        return told(len(self.behaviours), self.runs, self.why, without=self.without)


def told(behaviours: int, runs: int, why: str, *, without: str = "") -> str:
    """How a search ended, in one line; ``without`` something that there is besides."""
    counts = f"{behaviours} behaviour{'' if behaviours == 1 else 's'}"
    if why:
        return f"not complete: {counts} in {runs} runs, {why}"
    return f"complete without {without}: {counts}" if without else f"complete: {counts}"


def kept_between(names: Sequence[str]) -> str:
    """Why nothing is complete where values outlive their run."""
    return f"the app keeps something from run to run: {', '.join(names)}" if names else ""


def enumerate_behaviours(scenario: Scenario, *, limit: int = 10_000, seed: int = 0, max_faults: int = 0) -> Enumeration:
    """Every behaviour of ``scenario``: all orders, with all values of options that are explored.

    One run for each order of what depends on each other, and for each plan of faults.

    Args:
        limit: runs at most; what is found until then is returned as incomplete.
        seed: of application randomness.
        max_faults: so many faults at most in one run, of the kinds that the scenario declares: each
            combination of those that are possible in some run, with all their values.

    Raises:
        UsageError: the network is timed, where order follows from latencies and is no choice; or faults are asked
            for, and the scenario declares none.
        KeyboardInterrupt: Ctrl-C.
    """
    search = Search(scenario, limit=limit, seed=seed, max_faults=max_faults)

    def work() -> Enumeration:
        found = [behaviour for behaviour in search.behaviours() if search.new]
        return Enumeration(not search.why, found, search.runs, search.plans, search.why, search.kept, search.without)

    return apart(work)


class Search:
    """An exhaustive search.

    Args:
        scenario, limit, seed, max_faults: see `enumerate_behaviours`.
        small: give up as soon as it is clear that the limit does not suffice.

    Attributes:
        runs: so far.
        plans: of faults and values of options, so far.
        why: what stands in the way of completeness; known when the search has ended.
        kept: names in modules and classes whose values outlived the runs; likewise.
        seen: digests and outcomes.
        new: the last behaviour was another one than those before.
        exceeded: it gave up because the limit does not suffice.
        without: see `Enumeration`.
        broken_off: runs that turned out to be gone through elsewhere.
        total: runs are watched after every turn, so that every order matters.
    """

    def __init__(self, scenario: Scenario, *, limit: int, seed: int, max_faults: int = 0, small: bool = False) -> None:
        if scenario.options.network.model == "timed":
            raise UsageError(
                "a timed network has no finite set of behaviours: enumerate with Network(model='asynchronous')"
            )
        if limit < 1:
            raise UsageError(f"limit={limit}: allow at least 1 run")
        if max_faults < 0 or (max_faults and not scenario.faults.kinds):
            raise UsageError(
                f"max_faults={max_faults}: say which kinds, as in @scenario(app, faults=Faults(kinds=('crash',)))"
                if max_faults > 0
                else f"max_faults={max_faults}; use a number from 0 on"
            )
        self.scenario = scenario
        self.limit = limit
        self.seed = seed
        self.max_faults = max_faults
        self.small = small
        self.runs = 0
        self.plans = 0
        self.why = ""
        self.kept: tuple[str, ...] = ()
        self.seen: dict[tuple[str, str], None] = {}
        self.new = False
        self.broken_off = 0
        self.exceeded = False
        self.without = ""
        self.total = False

    def behaviours(self) -> Iterator[Behaviour]:
        """One for each run that is not one of a smaller plan; `new` says whether there was none like it before."""
        self.why = "where the search was stopped"
        scenario = self.scenario
        held = remembered(scenario)
        why = "the order of tasks within a turn is not enumerated" if scenario.options.explore_tasks else ""
        if self.small and why:
            self.why = why
            return
        waiting = deque((options, dict[str, int]()) for options in self._options())
        known: dict[tuple[tuple[str, int], ...], None] = {}
        while waiting:
            options, faults = waiting.popleft()
            self.plans += 1
            orders = _Orders(self, {**options, **with_flushes(faults)}, census=len(faults) < self.max_faults)
            for outcome, plan in orders.outcomes():
                fired = {choice.label: choice.value for choice in plan.fired}
                # A fault that was never reached makes a run of a smaller plan.
                if all(label in fired for label in faults):
                    assert outcome.trace is not None
                    found = outcome.trace.digest, outcome.kind
                    self.new = found not in self.seen
                    self.seen[found] = None
                    yield Behaviour(scenario, outcome.trace.digest, outcome, fired, self.seed)
                    for label, value in self._possible(plan) if len(faults) < self.max_faults else ():
                        more = {**faults, label: value}
                        key = tuple(sorted({**options, **more}.items()))
                        if label not in faults and key not in known:
                            known[key] = None
                            waiting.append((options, more))
            self.broken_off += orders.path.blocked
            why = why or orders.why
            if self.small and why:
                break
            if self.runs >= self.limit and (waiting or not orders.ended):
                self.exceeded = True
                why = f"the limit of {self.limit} runs was reached"
                break
        self.kept = tuple(leaked(held, remembered(scenario)))
        self.why = why or kept_between(self.kept)

    def _options(self) -> Iterator[dict[str, int]]:
        """All values of the options that are explored; first the defaults."""
        explored = self.scenario.options.objects.explored
        for values in product(*(range(bound) for bound in explored.values())):
            yield {
                fault_label(option_kind(name), OPTIONS, 0): value
                for name, value in zip(explored, values, strict=True)
                if value
            }

    def _possible(self, plan: FaultPlan) -> Iterator[tuple[str, int]]:
        """What could have gone wrong in a run besides, each with all its values."""
        faults = self.scenario.faults
        for (kind, target), possible in sorted(plan.census.items()):
            if kind in faults.kinds and (not faults.targets or target.startswith(faults.targets)):
                for nth in possible:
                    for value in range(1, KINDS[kind][0]):
                        yield fault_label(kind, target, nth), value


class _Orders:
    """All orders under one plan, one run for each."""

    def __init__(self, search: Search, planned: Mapping[str, int], *, census: bool) -> None:
        self.search = search
        self.planned = planned
        self.census = census
        self.path = Path()
        self.ended = False
        self.why = ""

    def outcomes(self) -> Iterator[tuple[Outcome, FaultPlan]]:
        search = self.search
        while search.runs < search.limit:
            recording = Recording(self.path, total=search.total, at_most=_SMALL if search.small else NEVER)
            plan = FaultPlan(self.planned, census=self.census)
            search.runs += 1
            outcome = run_scenario(search.scenario, recording, plan=plan, seed=search.seed, trace=True)
            if outcome.watched and not search.total:
                # A monitor reads all actors after every turn, so every order matters.
                search.total, self.path = True, Path()
                continue
            if not search.without and recording.late_in_a_row:
                search.without = LATE_IN_A_ROW
            if self.path.changed:
                self.why = kept_between(["the same steps led to other events"])
                break
            if outcome.kind in _CUT:
                self.why = f"a run was cut short ({outcome.kind}), and something may lie behind that"
            if outcome.kind != "diverged":
                yield outcome, plan
            if search.small and len(recording.steps) >= _SMALL:
                self.why = "the world is not small"
                break
            self._plan(recording, outcome.kind)
            if search.small and search.runs + self.path.pending > search.limit:
                search.exceeded = True
                self.why = f"there are more than {search.limit} runs to be made"
                break
            if not self.path.advance():
                self.ended = True
                break

    def _plan(self, recording: Recording, kind: str) -> None:
        steps = recording.steps
        if steps:
            ended = kind not in ("deadlock", "diverged")
            if ended:
                self.path.ended(steps[-1].label)
            reversals = Reversals(steps, recording.known, ended=ended, since=self.path.branched)
            self.path.pending += reversals.plan(self.path.nodes)
            if reversals.too_many:
                self.why = "more messages may be late at once than can be enumerated"

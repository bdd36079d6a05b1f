"""Hypothesis draws whole simulations.

No step of a schedule is drawn.  Hypothesis shrinks what it drew, by deleting and lowering
parts of it; a schedule drawn step by step would be rewritten by that from the first
deleted step on.  So a short plan is drawn before the run: which arrival comes before which,
which message is late, which fault falls on which boundary.  An empty plan is the world
without surprises, and that is where shrinking leads.

The run follows the plan as far as it applies.  What it turned out to need is written on
the tape, which is usually less than was planned.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.apart import apart
from lumenize_sim.explore.attempts import run_leniently
from lumenize_sim.explore.replaying import record
from lumenize_sim.explore.run import Run, saved
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.testing.census import Census, Place, fault_choice, late_choice, order_choice, take_census
from lumenize_sim.testing.failure import Told, error_of, judged, telling, users_frames, way_back, words
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.faults import FLUSHES, KINDS, Faults, with_flushes
from lumenize_sim.world.options import OPTIONS, WorldOptions, option_kind
from lumenize_sim.world.run import Outcome
from lumenize_sim.world.scenario import Scenario

__all__ = ["Simulation", "before", "deviations", "fault", "faults", "late", "planned", "simulations"]

#: Censuses that are kept, of as many workloads.
_CENSUSES = 64


class Simulation:
    """One planned simulation.  It runs when something is asked of it, and then once.

    Its representation can be pasted into an `@example`.

    Attributes:
        scenario: what is run.
        plan: the deviations from the world without surprises.
        seed: of application randomness.
        workload: what the driver was given beside the world, if anything.
    """

    def __init__(self, scenario: Scenario, plan: tuple[Choice, ...], *, seed: int, workload: Any = None) -> None:
        self.scenario = scenario
        self.plan = plan
        self.seed = seed
        self.workload = workload
        self._told = Told()
        self._judged = attrs.evolve(scenario, drive=judged(_given(scenario, workload), self._told))

    @cached_property
    def _ran(self) -> tuple[Outcome, tuple[Choice, ...]]:
        return apart(lambda: run_leniently(self._judged, self.plan, seed=self.seed))

    @property
    def outcome(self) -> Outcome:
        """How it went; without a trace, which `run` has."""
        return self._ran[0]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices that the run needed; often fewer than planned."""
        return self._ran[1]

    @property
    def failure(self) -> BaseException | None:
        """The exception of a failed run, ``None`` of one that passed."""
        return error_of(self.run) if self.outcome.failed else None

    @cached_property
    def run(self) -> Run:
        """The same run again, recorded, with tape and trace.

        Raises:
            UsageError: it does not come out the same, so that something outside the nodes remembers.
        """
        choices = self.choices
        run = apart(lambda: record(self._judged, choices, seed=self.seed))
        if run.outcome.signature != self.outcome.signature:
            raise UsageError(
                f"{self.scenario.name} ended as {self.outcome.kind!r}, and as {run.outcome.kind!r} when run again "
                "in the same order. "
                "The app keeps state outside its nodes, in a module or a class: move it into a node."
            )
        return attrs.evolve(run, scenario=self.scenario)

    @property
    def trace(self) -> Trace:
        """What happened."""
        return self.run.trace

    def check(self) -> Simulation:
        """Returns itself if the run passed.

        The tape of a failure is written into ``.lumenize`` under a name that is the same
        for all failures of one kind, so that in the end it holds the smallest.

        Raises:
            BaseException: the error of the failed run, explained.
        """
        __tracebackhide__ = True
        failed = self.outcome.failed
        if self._told.error is not None:
            raise self._told.error
        if failed:
            error = self.outcome.error
            if isinstance(error, HypothesisException):  # assume() and the like, said by the driver
                raise error
            run = self.run
            run = saved(run, _folder() / f"{self.scenario.name}-{_fingerprint(run)}.tape")
            lines = [*words(run), *way_back(self.scenario, run.tape, run.path), f"example: @example({self!r})"]
            raise telling(error_of(run), lines)
        return self

    def __repr__(self) -> str:
        parts = [self.scenario.name, *map(_shown, self.plan)]
        if self.workload is not None:
            parts.append(f"workload={self.workload!r}")
        if self.seed:
            parts.append(f"seed={self.seed}")
        return f"planned({', '.join(parts)})"


def _given(scenario: Scenario, workload: Any) -> Callable[..., Awaitable[None]]:
    """The driver, with the workload as its second argument if there is one."""
    return scenario.drive if workload is None else lambda world: scenario.drive(world, workload)


# -- by hand ----------------------------------------------------------------------------------


def planned(scenario: Scenario, *deviations: Choice, workload: Any = None, seed: int = 0) -> Simulation:
    """The simulation with these deviations from the world without surprises: what `Simulation` prints.

    Args:
        deviations: from `before`, `late` and `fault`; what the run does not come to is left out.
        workload: the driver's second argument.
    """
    return Simulation(scenario, deviations, seed=seed, workload=workload)


def before(place: str, first: str, then: str) -> Choice:
    """The event ``first`` comes before ``then``, which is what arrives at ``place`` (``"BOARD/b#0"``) by default."""
    return Choice(place, 1, 2, 0, first, then)


def late(message: str, late_ms: int) -> Choice:
    """A message is ``late_ms`` under way."""
    return late_choice(message, late_ms)


def fault(kind: str, target: str, nth: int, value: int = 1, *, bound: int = 0) -> Choice:
    """The fault of ``kind`` at the ``nth`` boundary of ``target``, in its variant ``value``.

    Args:
        bound: number of variants, only where the kind is none of `Faults`.

    Raises:
        UsageError: there is no such kind.
    """
    if not bound and kind not in KINDS:
        raise UsageError(f"fault kind {kind!r} is unknown; there is: {', '.join(KINDS)}")
    return fault_choice(kind, target, nth, value, bound)


def _shown(choice: Choice) -> str:
    """The expression that makes it."""
    if choice.kind == "order":
        return f"before({choice.label!r}, {choice.pick!r}, {choice.over!r})"
    if choice.kind == "delay":
        return f"late({choice.site!r}, {choice.value // 1000})"
    target, _, boundary = choice.label.rpartition("%")
    kind, _, nth = boundary.partition("#")
    parts = [repr(kind), repr(target), nth]
    if choice.value != 1 or kind not in KINDS:
        parts.append(str(choice.value))
    if kind not in KINDS:
        parts.append(f"bound={choice.bound}")
    return f"fault({', '.join(parts)})"


# -- drawn --------------------------------------------------------------------------------------


def _folder() -> Path:
    """Below pytest's root directory, or else here."""
    plugin = sys.modules.get("lumenize_sim.testing.plugin")
    return plugin.tape_folders[-1] if plugin is not None and plugin.tape_folders else Path(".lumenize")


def _fingerprint(run: Run) -> str:
    """The same for failures of one kind: kind, class, and the lines that raised."""
    error = run.outcome.error
    traceback = users_frames(error.__traceback__) if error is not None else None
    line = ""
    while traceback is not None:
        line = f"{traceback.tb_frame.f_code.co_name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return blake2b("\x00".join((*run.outcome.signature, line)).encode(), digest_size=4).hexdigest()


def simulations(
    scenario: Scenario,
    *,
    schedules: int = 4,
    faults: Faults | None = None,
    options: WorldOptions | None = None,
    seed: int = 0,
    workload: st.SearchStrategy[Any] | None = None,
) -> st.SearchStrategy[Simulation]:
    """Simulations of ``scenario``: ``@given(simulations(two_clicks)) def test(sim): sim.check()``.

    Args:
        schedules: deviations from first come, first served in one run at most; 0 leaves the
            schedule alone.
        faults: instead of the scenario's own.
        options: instead of the scenario's own.
        seed: of application randomness; draw it too, if it matters.
        workload: draws the second argument of the driver, as `workloads` does; its values must have a
            representation that tells them apart.  Workload, faults and schedule shrink together.

    Raises:
        UsageError: an argument is wrong.
    """
    scenario = _adjusted(scenario, schedules, faults, options)
    if workload is not None and not isinstance(workload, st.SearchStrategy):
        raise UsageError(f"workload={workload!r}: give a strategy, such as workloads(...) or st.lists(...)")
    return _planned(scenario, _Censuses(scenario, seed), schedules, seed, workload)


def faults(
    scenario: Scenario,
    *,
    kinds: Sequence[str] | None = None,
    at_most: int | None = None,
    targets: Sequence[str] | None = None,
    seed: int = 0,
) -> st.SearchStrategy[tuple[Choice, ...]]:
    """Plans of what goes wrong in ``scenario``, for `planned`; the empty plan is the simplest.

    Args:
        kinds, at_most, targets: instead of those of the scenario's faults.

    Raises:
        UsageError: an argument is wrong.
    """
    own = scenario.faults
    wanted = Faults(
        kinds=own.kinds if kinds is None else tuple(kinds),
        at_most=own.at_most if at_most is None else at_most,
        targets=own.targets if targets is None else tuple(targets),
    )
    scenario = _adjusted(scenario, 0, wanted, None)
    censuses = _Censuses(scenario, seed)
    return st.deferred(lambda: _some(_faults(censuses(None)), wanted.at_most).map(lambda f: tuple(_with_flushes(f))))


def deviations(scenario: Scenario, *, at_most: int = 4, seed: int = 0) -> st.SearchStrategy[tuple[Choice, ...]]:
    """Plans of what comes in another order or late in ``scenario``, for `planned`; the empty plan is the simplest.

    Raises:
        UsageError: an argument is wrong.
    """
    censuses = _Censuses(_adjusted(scenario, at_most, None, None), seed)
    return st.deferred(lambda: _some(_deviations(censuses(None)), at_most).map(tuple))


def _adjusted(scenario: Scenario, schedules: int, faults: Faults | None, options: WorldOptions | None) -> Scenario:
    if not isinstance(scenario, Scenario):
        raise UsageError(
            f"simulations takes a scenario, an `async def name(world)` with @scenario(app), not {scenario!r}"
        )
    given: object = schedules
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise UsageError(
            f"schedules={schedules!r}: give the number of deviations that one run may have at most, 0 for none"
        )
    if faults is not None:
        scenario = attrs.evolve(scenario, faults=faults)
    if options is not None:
        scenario = attrs.evolve(scenario, options=options)
    return scenario


class _Censuses:
    """What could have gone differently with each workload.

    Taken at the first draw and not before: a strategy is made when a module is imported.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._known: dict[str, Census] = {}

    def __call__(self, workload: Any) -> Census:
        key = repr(workload)
        if key not in self._known:
            if len(self._known) >= _CENSUSES:
                del self._known[next(iter(self._known))]
            counted = attrs.evolve(self._scenario, drive=judged(_given(self._scenario, workload), Told()))
            self._known[key] = apart(lambda: take_census(counted, seed=self._seed))
        return self._known[key]


@st.composite
def _planned(
    draw: st.DrawFn,
    scenario: Scenario,
    censuses: _Censuses,
    schedules: int,
    seed: int,
    workloads: st.SearchStrategy[Any] | None,
) -> Simulation:
    workload = None if workloads is None else draw(workloads)
    counted = censuses(workload)
    faults = draw(_some(_faults(counted), scenario.faults.at_most))
    options = draw(_options(scenario))
    deviations = draw(_some(_deviations(counted), schedules))
    plan = (*options, *_with_flushes(faults), *deviations)
    return Simulation(scenario, plan, seed=seed, workload=workload)


def _with_flushes(faults: list[Choice]) -> list[Choice]:
    labels = {choice.label: choice.value for choice in faults}
    added = [label for label in with_flushes(labels) if label not in labels]
    return [*faults, *(fault_choice(FLUSHES, label.rpartition("%")[0], 0, 1, 2) for label in added)]


def _options(scenario: Scenario) -> st.SearchStrategy[list[Choice]]:
    """How the options that are explored are decided; no choice is the default."""
    explored = scenario.options.objects.explored
    kinds = [
        st.builds(
            fault_choice,
            st.just(option_kind(name)),
            st.just(OPTIONS),
            st.just(0),
            st.integers(1, bound - 1),
            st.just(bound),
        )
        for name, bound in explored.items()
    ]
    return _some(kinds, len(explored))


def _some(kinds: list[st.SearchStrategy[Choice]], at_most: int) -> st.SearchStrategy[list[Choice]]:
    if not kinds or not at_most:
        return st.builds(list)
    return st.lists(st.one_of(kinds), max_size=at_most, unique_by=_site)


def _site(choice: Choice) -> str:
    return choice.label


def _deviations(census: Census) -> list[st.SearchStrategy[Choice]]:
    kinds = []
    if census.places:
        kinds.append(st.sampled_from(list(census.places.values())).flatmap(st.sampled_from).flatmap(_overtaking))
    if census.late:
        kinds.append(st.sampled_from(list(census.late.items())).flatmap(_lateness))
    return kinds


def _overtaking(place: Place) -> st.SearchStrategy[Choice]:
    return st.sampled_from(place.rivals).map(lambda rival: order_choice(place, rival))


def _lateness(message: tuple[str, int]) -> st.SearchStrategy[Choice]:
    label, limit_ms = message
    return st.integers(1, limit_ms).map(lambda late_ms: late_choice(label, late_ms))


def _faults(census: Census) -> list[st.SearchStrategy[Choice]]:
    # The kind first, then the target, then the boundary, so that frequent boundaries do not drown rare ones.
    boundaries = census.boundaries
    if not boundaries:
        return []

    def of_kind(kind: str) -> st.SearchStrategy[Choice]:
        return st.sampled_from(list(boundaries[kind].items())).flatmap(lambda place: at_target(kind, *place))

    def at_target(kind: str, target: str, possible: tuple[int, ...]) -> st.SearchStrategy[Choice]:
        # Other schedules have other boundaries: also between those that were counted, and a little beyond.
        nth = st.sampled_from(possible) | st.integers(0, possible[-1] + 1 + possible[-1] // 4)
        return st.builds(fault_choice, st.just(kind), st.just(target), nth, st.integers(1, KINDS[kind][0] - 1))

    return [st.sampled_from(list(boundaries)).flatmap(of_kind)]

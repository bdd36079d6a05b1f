"""`simulate` and `replay`: one run, its tape, and the same run again."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import attrs
import trio

from lumenize_sim.check.finding import Finding
from lumenize_sim.check.findings import Check, find
from lumenize_sim.errors import SimulatorError, UsageError
from lumenize_sim.explore.explain import explained
from lumenize_sim.explore.loading import load_scenario, shown_path
from lumenize_sim.explore.matching import Match, Matcher, MatchingChooser, MatchingPlan, Recording, anchors_of
from lumenize_sim.explore.profile import EMPTY, Noting, Profile
from lumenize_sim.explore.sighting import Noted, Sighting
from lumenize_sim.explore.strategies import NAMES, Corpus, make_strategy, strategy_of, turn_of
from lumenize_sim.explore.strategies.timed import Timed
from lumenize_sim.kernel.anchors import AnchoredGuide
from lumenize_sim.kernel.choice import Choice, key_of
from lumenize_sim.kernel.chooser import EVERYTHING, Diverged, FollowingChooser, FreeChooser, Guide, GuidedChooser
from lumenize_sim.kernel.guide import OrderGuide, TapeGuide, orders_of
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.cost import CostReport
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.randomness import generator
from lumenize_sim.world.run import Outcome, run_scenario, versions
from lumenize_sim.world.scenario import Scenario

__all__ = ["Run", "census", "guided", "replay", "roam", "simulate"]

T = TypeVar("T")
#: Boundaries are counted in the first runs, and then in one of so many: counting takes some time, and little is new.
_COUNTED = 64
_COUNTED_ONE_IN = 4


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


def apart(work: Callable[[], T]) -> T:
    """Do ``work`` here, or in a fresh thread where a Trio or asyncio run is current."""
    busy = trio.lowlevel.in_trio_run()
    if not busy:
        with contextlib.suppress(RuntimeError):
            import asyncio

            asyncio.get_running_loop()
            busy = True
    if not busy:
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="lumenize-sim-run")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


# -- the three ways of running ------------------------------------------------------


class Roamed(NamedTuple):
    """A run in which a strategy roamed.

    Attributes:
        outcome: how it went.
        plan: with the faults that happened and the boundaries that were met.
        tasks: orders of tasks, by label.
        seen: what was made and what happened, for a corpus; where there is one.
    """

    outcome: Outcome
    plan: FaultPlan
    tasks: dict[str, int]
    seen: Sighting | None = None


def roam(
    scenario: Scenario,
    strategy: str,
    *,
    seed: int,
    schedule: int = 0,
    planned: Mapping[str, int] | None = None,
    profile: Profile = EMPTY,
    corpus: Corpus | None = None,
    turn: int | None = None,
    trace: bool = False,
    after: Sequence[Choice] = (),
) -> Roamed:
    """Run once, letting a strategy roam, at first where given ``after`` these choices.

    Planned faults slide to the next
    boundary where they are possible, except after given choices, which mean what they say.

    Args:
        schedule: its number, from which everything is drawn together with the seed.
        turn: the number among the runs of this strategy; by default as in the mix.
        planned: what shall go wrong, by label.
        profile: of the world without surprises.
        corpus: of earlier runs; it is not told of this one.
    """
    turn = turn_of(schedule) if turn is None else turn
    draw = generator(seed, "schedule", str(schedule))
    plan = FaultPlan(
        {**(planned or {}), **fired(tuple(after))},
        census=bool(scenario.faults) and (schedule < _COUNTED or not schedule % _COUNTED_ONE_IN),
        slide=not after,
        roam=None
        if strategy == "fifo"
        else lambda label, bound: generator(seed, "drawn", str(schedule), label).randrange(bound),
    )
    noted: Noted | None = None
    chooser: Any
    if after:
        guide = AnchoredGuide(after)
        chooser = (
            GuidedChooser(guide, total=any(c.label.startswith(f"{EVERYTHING}#") for c in after))
            if strategy == "fifo"
            else FollowingChooser(guide, make_strategy(strategy, draw, profile=profile, turn=turn, corpus=corpus))
        )
    elif scenario.options.network.model == "timed":
        chooser = FreeChooser(Timed(draw, scenario.options.network))
    elif strategy == "fifo":
        chooser = GuidedChooser()
    else:
        made = make_strategy(strategy, draw, profile=profile, turn=turn, corpus=corpus)
        noted = None if corpus is None else Noted(made)
        chooser = FreeChooser(noted or made)
    tasks: dict[str, int] = {}
    outcome = run_scenario(
        scenario,
        chooser,
        plan=plan,
        seed=seed,
        trace=trace,
        task_choice=_roaming_tasks(scenario, generator(seed, "tasks", str(schedule)), tasks),
    )
    return Roamed(outcome, plan, tasks, None if noted is None else noted.sighting(outcome.log))


def _roaming_tasks(scenario: Scenario, draw: random.Random, picked: dict[str, int]) -> Callable[[str, int], int] | None:
    if not scenario.options.explore_tasks:
        return None

    def choose(label: str, bound: int) -> int:
        value = draw.randrange(bound)
        if value:
            picked[label] = value
        return value

    return choose


def guided(
    scenario: Scenario,
    guide: Guide | None,
    *,
    seed: int,
    planned: Mapping[str, int] | None = None,
    tasks: Mapping[str, int] | None = None,
    trace: bool = False,
    faults: FaultPlan | None = None,
    total: bool = False,
    chooser: GuidedChooser | None = None,
) -> tuple[Outcome, tuple[Choice, ...]]:
    """Run once, following ``guide``.  Returns the outcome and the choices that the run turned out to need.

    Args:
        total: in total order, for runs that are watched after every turn.
        chooser: one that has the guide, instead.
    """
    chooser = GuidedChooser(guide, total=total) if chooser is None else chooser
    plan = faults if faults is not None else FaultPlan(planned)
    taken: list[Choice] = []

    def choose(label: str, bound: int) -> int:
        value = min((tasks or {}).get(label, 0), bound - 1)
        if value:
            taken.append(Choice(label, value, bound, key_of([label, str(bound)]), f"task {value}", "task 0"))
        return value

    task_choice = choose if scenario.options.explore_tasks else None
    outcome = run_scenario(scenario, chooser, plan=plan, seed=seed, trace=trace, task_choice=task_choice)
    return outcome, (*plan.fired, *chooser.choices, *taken)


def fired(choices: tuple[Choice, ...] | list[Choice]) -> dict[str, int]:
    """The faults among ``choices``, as a plan."""
    return {c.label: c.value for c in choices if c.kind == "fault" and c.value}


def tasks_of(choices: tuple[Choice, ...] | list[Choice]) -> dict[str, int]:
    """The orders of tasks among ``choices``."""
    return {c.label: c.value for c in choices if c.kind == "task"}


def census(scenario: Scenario, *, seed: int) -> tuple[Outcome, dict[tuple[str, str], list[int]], Profile]:
    """The world without surprises, the boundaries at which something could have gone wrong, and its profile."""
    plan = FaultPlan(census=True)
    noting = Noting()
    outcome = run_scenario(scenario, noting, plan=plan, seed=seed)
    return outcome, plan.census, noting.profile(seed)


def draw_plan(
    scenario: Scenario,
    boundaries: Mapping[tuple[str, str], Sequence[int]],
    *,
    seed: int,
    schedule: int = 0,
) -> dict[str, int]:
    """What shall go wrong in one run, and how it decides the options that are explored; label to value.

    By itself; where there are many, a `Deck` deals.
    """
    options = scenario.options.draw(generator(seed, "options", str(schedule)))
    return {**options, **scenario.faults.draw(generator(seed, "faults", str(schedule)), boundaries)}


def canonical(
    scenario: Scenario, found: Outcome, plan: FaultPlan, tasks: Mapping[str, int], *, seed: int, trace: bool = False
) -> tuple[Outcome, tuple[Choice, ...]]:
    """The same behaviour as ``found``, with the sparse choices that lead to it."""
    planned = {choice.label: choice.value for choice in plan.fired}
    log = [(EVERYTHING, label) for _, label in found.log] if found.watched else found.log
    guide = OrderGuide(orders_of(log), found.late)
    return guided(scenario, guide, seed=seed, planned=planned, tasks=tasks, trace=trace, total=found.watched)


def record(scenario: Scenario, choices: tuple[Choice, ...], *, seed: int, total: bool = False) -> Run:
    """Run from choices, strictly, and record everything."""
    noting, plan = Recording(TapeGuide(choices), total=total), FaultPlan(fired(choices))
    plan.progress = lambda: len(noting.log)
    outcome, taken = _strict(scenario, choices, seed=seed, chooser=noting, plan=plan)
    if outcome.kind == "diverged":
        raise SimulatorError(f"a tape that was just recorded does not replay: {outcome.message}")
    assert outcome.trace is not None
    tape = Tape(
        scenario=scenario.name,
        path=shown_path(scenario.path),
        seed=seed,
        choices=taken,
        options={"world": scenario.options.to_json(), "faults": scenario.faults.to_json(), "total": total},
        outcome=outcome.kind,
        message=outcome.message,
        digest=outcome.trace.digest,
        log=tuple(outcome.log),
        versions=versions(),
        left=noting.left,
        causes=noting.causes,
        about=noting.about,
        anchors=anchors_of(plan, outcome.log),
    )
    return Run(scenario=scenario, outcome=outcome, tape=tape, trace=outcome.trace, seed=seed)


def _strict(
    scenario: Scenario, choices: tuple[Choice, ...], *, seed: int, chooser: GuidedChooser, plan: FaultPlan
) -> tuple[Outcome, tuple[Choice, ...]]:
    outcome, taken = guided(
        scenario, None, seed=seed, faults=plan, tasks=tasks_of(choices), trace=True, chooser=chooser
    )
    if outcome.kind != "diverged":
        expected = {c.label: c for c in choices}
        found = {c.label: c for c in taken}
        for label, choice in expected.items():
            if label not in found:
                return _diverged(
                    outcome, Diverged(label, choice.describe(), "a run that ends without ever coming there")
                ), taken
            if (found[label].bound, found[label].key) != (choice.bound, choice.key):
                return _diverged(
                    outcome,
                    Diverged(
                        label,
                        f"{choice.bound} alternatives (key {choice.key:08x})",
                        f"{found[label].bound} (key {found[label].key:08x})",
                    ),
                ), taken
    return outcome, taken


def _diverged(outcome: Outcome, error: Diverged) -> Outcome:
    return attrs.evolve(outcome, kind="diverged", message=str(error), error=error)


# -- the public functions ---------------------------------------------------------------


def simulate(
    scenario: Scenario,
    *,
    seed: int | None = None,
    strategy: str | None = None,
    faults: Faults | None = None,
    options: WorldOptions | None = None,
    follow: Tape | str | os.PathLike[str] | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Run:
    """Run ``scenario`` once.

    Args:
        seed: draws schedule, faults and application randomness.  Without a seed it is the
            world without surprises: first come, first served, nothing goes wrong.
        strategy: ``fifo`` or one of the portfolio; by default drawn from the seed.
        faults: instead of the scenario's own.
        options: instead of the scenario's own.
        follow: a tape whose choices come first, each found by the two events that it orders, wherever these
            stand by now, and left out where they no longer come; then the strategy goes on.
        save: folder or file for the tape; not written by default.

    Raises:
        UsageError: the scenario or an argument is wrong.
        KeyboardInterrupt: Ctrl-C.
    """
    scenario = adjusted(scenario, faults, options)
    if strategy is not None and strategy not in NAMES:
        raise UsageError(f"strategy {strategy!r} is unknown; there is: {', '.join(NAMES)}")

    tape = follow if follow is None or isinstance(follow, Tape) else Tape.read(follow)

    def work() -> Run:
        if tape is not None:
            run = _roamed(scenario, strategy or strategy_of(seed or 0), seed or 0, after=tape.choices)
        elif seed is None:
            plain = strategy in (None, "fifo") and faults is None and scenario.options.network.model != "timed"
            run = record(scenario, (), seed=0) if plain else _roamed(scenario, strategy or "fifo", 0)
        else:
            run = _roamed(scenario, strategy or strategy_of(seed), seed)
        return run if save is None else saved(run, save)

    return apart(work)


def _roamed(scenario: Scenario, strategy: str, seed: int, *, after: Sequence[Choice] = ()) -> Run:
    _, boundaries, profile = census(scenario, seed=seed)
    planned = draw_plan(scenario, boundaries, seed=seed)
    outcome, plan, tasks, _ = roam(scenario, strategy, seed=seed, planned=planned, profile=profile, after=after)
    _, choices = canonical(scenario, outcome, plan, tasks, seed=seed)
    return record(scenario, choices, seed=seed, total=outcome.watched)


def saved(run: Run, where: str | os.PathLike[str]) -> Run:
    """Write the tape into a folder, named after scenario and digest, or to a file ending in ``.tape``."""
    target = Path(where)
    if target.suffix != ".tape":
        target = target / f"{run.scenario.name}-{run.digest[:8]}.tape"
    kept = attrs.evolve(run, path=run.tape.write(target))
    kept._why.extend(run._why)  # it is the same run, so it has the same explanation
    return kept


def replay(tape: Tape | str | os.PathLike[str], *, scenario: Scenario | None = None, lenient: bool = False) -> Run:
    """Run again from a tape, strictly, or leniently after the app was edited.

    Args:
        tape: the tape, or its file.
        scenario: the scenario, where it cannot be imported from the tape's path.
        lenient: where the strict run diverges, match the tape's events with those of the app as it
            is now, by label and by what they came of, and follow its choices by what they meant.
            ``matches`` of the run says how each was matched, and its tape is a new one.

    Returns:
        The run; its outcome is ``diverged`` where it is not the run that was recorded, with
        the first difference in the message.  A lenient run does not diverge: whether it still fails is its outcome.

    Raises:
        UsageError: the tape is none, or is one of another scenario.
    """
    path = None if isinstance(tape, Tape) else Path(tape)
    read = tape if isinstance(tape, Tape) else Tape.read(tape)
    if scenario is None:
        if read.path is None:
            raise UsageError(
                f"the tape of {read.scenario!r} does not say where its scenario is defined: replay(tape, scenario=...)"
            )
        scenario = load_scenario(read.path, read.scenario)
    elif scenario.name != read.scenario:
        raise UsageError(
            f"this is a tape of scenario {read.scenario!r}, not of {scenario.name!r}: "
            "give the scenario it was recorded from."
        )
    try:
        options = WorldOptions.from_json(read.options["world"])
        faults = Faults.from_json(read.options["faults"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"the tape's options are not those of this release ({error}): record it anew.") from None
    scenario = attrs.evolve(scenario, options=options, faults=faults)

    def work() -> Run:
        run = _replayed(scenario, read, path)
        return run if run.outcome.kind != "diverged" or not lenient else matched(scenario, read)

    return apart(work)


def matched(scenario: Scenario, tape: Tape) -> Run:
    """Run what ``tape`` meant, in an app that was edited since.

    First each choice is followed by the events that it was about, then, where the failure does not come again,
    by its label and number.
    """
    runs: list[Run] = []
    for follow in (_by_cause, _by_label):
        run = follow(scenario, tape)
        if run.outcome.kind == tape.outcome:
            return run
        runs.append(run)
    return runs[0]


def _by_cause(scenario: Scenario, tape: Tape) -> Run:
    matcher = Matcher(tape)
    chooser = MatchingChooser(tape, matcher)
    plan = MatchingPlan(fired(tape.choices), tape, matcher)
    outcome, _ = guided(
        scenario, None, seed=tape.seed, faults=plan, tasks=(tasks := tasks_of(tape.choices)), chooser=chooser
    )
    matches = chooser.matches(tape, plan)
    _, choices = canonical(scenario, outcome, plan, tasks, seed=tape.seed)
    run = record(scenario, choices, seed=tape.seed, total=outcome.watched)
    return attrs.evolve(run, edited=True, matches=tuple(matches))


def _by_label(scenario: Scenario, tape: Tape) -> Run:
    guide, plan = TapeGuide(tape.choices, strict=False), FaultPlan(fired(tape.choices))
    tasks = tasks_of(tape.choices)
    outcome, _ = guided(
        scenario, guide, seed=tape.seed, faults=plan, tasks=tasks, total=bool(tape.options.get("total"))
    )
    _, choices = canonical(scenario, outcome, plan, tasks, seed=tape.seed)
    run = record(scenario, choices, seed=tape.seed, total=outcome.watched)
    done = {choice.label for choice in plan.fired}
    left = [*guide.skipped, *(c for c in tape.choices if c.kind == "fault" and c.label not in done)]
    matches = tuple(Match(c, "dropped" if c in left else "number", c.label) for c in tape.choices)
    return attrs.evolve(run, edited=True, matches=matches)


def _replayed(scenario: Scenario, tape: Tape, path: Path | None) -> Run:
    chooser = GuidedChooser(TapeGuide(tape.choices), total=bool(tape.options.get("total")))
    plan = FaultPlan(fired(tape.choices))
    outcome, _ = _strict(scenario, tape.choices, seed=tape.seed, chooser=chooser, plan=plan)
    assert outcome.trace is not None
    if outcome.kind != "diverged":
        difference = _first_difference(tape, outcome)
        if difference is not None:
            outcome = _diverged(outcome, difference)
    trace = outcome.trace
    assert trace is not None
    return Run(scenario=scenario, outcome=outcome, tape=tape, trace=trace, seed=tape.seed, path=path)


def _first_difference(tape: Tape, outcome: Outcome) -> Diverged | None:
    trace = outcome.trace
    assert trace is not None
    for nth, (then, now) in enumerate(zip(tape.log, outcome.log, strict=False)):
        if then != now:
            return Diverged(
                f"arrival {nth}",
                f"{then[1]} at {then[0] or 'driver'}",
                f"{now[1]} at {now[0] or 'driver'}{_source(trace, now[1])}",
            )
    if len(tape.log) != len(outcome.log):
        nth = min(len(tape.log), len(outcome.log))
        longer = tape.log[nth:] or tuple(outcome.log[nth:])
        return Diverged(
            f"arrival {nth}",
            f"{len(tape.log)} arrivals",
            f"{len(outcome.log)}; the first that only one of them has is {longer[0][1]}{_source(trace, longer[0][1])}",
        )
    if trace.digest != tape.digest:
        return Diverged(
            "the digest",
            tape.digest,
            f"{trace.digest}: the same events in the same order, with other contents "
            "(a value that does not come from the node?)",
        )
    if outcome.kind != tape.outcome:
        return Diverged("the verdict", tape.outcome, outcome.kind)
    return None


def _source(trace: Trace, label: str) -> str:
    """Where in the app the event ``label`` came from, as far as the trace knows."""
    for event in trace.events:
        if event.label == label and event.where:
            return f" ({event.where})"
    return ""


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

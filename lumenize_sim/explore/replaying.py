"""`simulate` and `replay`: one run, its tape, and the same run again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import attrs

from lumenize_sim.errors import SimulatorError, UsageError
from lumenize_sim.explore.apart import apart
from lumenize_sim.explore.loading import load_scenario, shown_path
from lumenize_sim.explore.matcher import Matcher
from lumenize_sim.explore.matching import Match, MatchingChooser, MatchingPlan, Recording, anchors_of
from lumenize_sim.explore.roaming import canonical, census, draw_plan, fired, guided, roam, tasks_of
from lumenize_sim.explore.run import Run, adjusted, saved
from lumenize_sim.explore.strategies import NAMES, strategy_of
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import Diverged
from lumenize_sim.kernel.guide import TapeGuide
from lumenize_sim.kernel.guided import GuidedChooser
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.kernel.tape import Tape
from lumenize_sim.trace.trace import Trace
from lumenize_sim.world.faults import Faults
from lumenize_sim.world.options import WorldOptions
from lumenize_sim.world.run import Outcome, versions
from lumenize_sim.world.scenario import Scenario

__all__ = ["matched", "record", "replay", "simulate"]


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

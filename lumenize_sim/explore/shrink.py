"""Shrinking: the fewest and mildest choices that still fail the same way.

A candidate is a subset of the choices (or the same with a smaller value).  It is run
leniently: choices are matched by what they pick, what never comes is left out, and
after them everything goes by default.  Such a run writes its own canonical choices, so
what is accepted is never the candidate but what the run really needed; every accepted
step has therefore been seen to fail.

First everything at once (most choices of a roaming run are noise).  Then, where many are
left, the pairs of events that stand the other way round than in a plain run take the
place of choices (see `flips`), because each choice that is left out moves the places of all
others.  Then halves, quarters and single choices in the manner of delta debugging, then
values towards 0, then faults at earlier boundaries with little else, and again while that
helps.  In the end one or two of the pairs of the best run may do alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import attrs

from lumenize_sim.explore.flips import Flip, FlipGuide, Flipping, flips_of, minimised
from lumenize_sim.explore.profile import Noting
from lumenize_sim.explore.roaming import canonical, fired, guided, tasks_of
from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import THE_END
from lumenize_sim.kernel.guide import TapeGuide, orders_of
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.run import Outcome
from lumenize_sim.world.scenario import Scenario

__all__ = ["BUDGET", "Shrunk", "run_leniently", "shrink"]

#: Runs at most.
BUDGET = 400
#: So many boundaries back a fault is tried, where other choices stand beside it.
_EARLIER = 8
#: So many choices of order are told as flips; runs that this may take; and those for trying one or two of the last.
_MANY = 3
_FLIPPING = 80
_LAST = 48
#: Of so many choices of order at most, pairs are tried of which one waits for both.
_FEW = 8


@attrs.frozen
class Shrunk:
    """The result.

    Attributes:
        choices: the fewest found.
        replays: runs that it took.
    """

    choices: tuple[Choice, ...]
    replays: int


class _Shrinker:
    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        signature: tuple[str, str],
        total: bool,
        budget: int,
        tick: Callable[[int], None],
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.signature = signature
        self.total = total
        self.budget = budget
        self.tick = tick
        self.replays = 0
        self.seen: dict[tuple[tuple[str, int, str, str, int], ...], bool] = {}
        self.best: tuple[Choice, ...] = ()

    def try_(self, choices: Sequence[Choice]) -> bool:
        """Whether ``choices`` fail the same way with something less than the best; then that is the best."""
        taken = self.failing(choices)
        if taken is None or _size(taken) >= _size(self.best):
            return False
        self.best = taken
        return True

    def failing(self, choices: Sequence[Choice]) -> tuple[Choice, ...] | None:
        """What a run with ``choices`` needed of them, where it fails the same way and was not run before."""
        key = tuple((c.label, c.value, c.pick, c.over, c.spans) for c in choices)
        if key in self.seen or self.replays >= self.budget:
            return None
        self.seen[key] = True
        self.replays += 1
        self.tick(self.replays)
        outcome, taken = run_leniently(self.scenario, tuple(choices), seed=self.seed, total=self.total)
        return taken if outcome.failed and outcome.signature == self.signature else None

    def run(self, first: tuple[Choice, ...]) -> Shrunk:
        self.best = first
        if first and not self.try_(()):
            self.try_([c for c in first if c.kind == "order"])
            self.try_([c for c in first if c.kind == "fault"])
            self._flips()
            before: tuple[Choice, ...] | None = None
            while self.best != before:  # a smaller value may make another choice superfluous, and the other way round
                before = self.best
                self._waits()
                self._subsets()
                self._values()
                self._spans()
                self._takeovers()
                self._boundaries()
                if self.best == before:
                    self._few_flips()
        return Shrunk(self.best, self.replays)

    def _waits(self) -> None:
        """Say once that an event waits, instead of each time that another one goes first.

        What it was passed over for is known by the oldest only, so that one step uncovers the next: several are gone
        together, and judged by where they end.
        """
        choices = self.best
        for _ in range(len(self.best)):
            merged = _merged(choices)
            taken = None if merged is None else self.failing(merged)
            if taken is None:
                break
            choices = taken
            if _size(choices) < _size(self.best):
                self.best = choices
        for over in _often_passed(self.best):
            merged = _merged(self.best, over)
            if merged is not None:
                self.try_(merged)

    def _takeovers(self) -> None:
        """Where two make room for something between them, let one do it alone, from the beginning on."""
        shorter = True
        while shorter:
            orders = [c for c in self.best if c.kind == "order" and c.over and c.pick != THE_END]
            shorter = len(orders) <= _FEW and any(
                self.try_(_taken_over(self.best, gone, stays))
                for gone in orders
                for stays in orders
                if gone is not stays
            )

    def _spans(self) -> None:
        """Let no event wait for more than it must."""
        for label in [choice.label for choice in self.best if choice.spans > 1]:
            low = 0
            while True:
                index = next((i for i, choice in enumerate(self.best) if choice.label == label), None)
                if index is None or self.best[index].spans - low <= 1:
                    break
                choice = self.best[index]
                spans = (low + choice.spans) // 2 if low or choice.spans < 4 else 2
                # Which arrival is the last for which it waits is then another one; of one it must be said which.
                shorter = attrs.evolve(choice, spans=spans, pick="" if spans > 1 else self._arrival(choice))
                if not self.try_((*self.best[:index], shorter, *self.best[index + 1 :])):
                    low = spans

    def _arrival(self, choice: Choice) -> str:
        """What arrives at the place of ``choice`` in the best run."""
        receiver, index = choice.place
        order = orders_of(self._noted(TapeGuide(self.best, strict=False)).log).get(receiver, [])
        return order[index] if index < len(order) else choice.pick

    def _flips(self) -> None:
        """The same failure by fewer pairs of events than it has choices: see `flips`."""
        if sum(choice.kind == "order" for choice in self.best) < _MANY:
            return
        flips, fails = self._flipping(_FLIPPING)
        own = [flip for flip in flips if not any(label.startswith("driver") for label in (flip.early, flip.late))]
        for some in (own, flips):
            if some and fails(some):
                minimised(some, fails)
                return

    def _few_flips(self) -> None:
        """One pair that stands the other way round in the best run may do alone, or two."""
        orders = sum(choice.kind == "order" for choice in self.best)
        if orders < 2:
            return
        flips, fails = self._flipping(_LAST)
        size = _size(self.best)
        for many in range(1, min(orders, _MANY)):
            for some in combinations(flips, many):
                if fails(some) and _size(self.best) < size:
                    return

    def _flipping(self, runs: int) -> tuple[list[Flip], Callable[[Sequence[Flip]], bool]]:
        """The flips of the best run, and whether some of them fail; not any more after so many ``runs``."""
        rest = [choice for choice in self.best if choice.kind != "order"]
        failing, plain = (self._noted(TapeGuide(c, strict=False)) for c in (self.best, rest))
        run = failing.profile().run
        late = {choice.site: choice.value for choice in rest if choice.kind == "delay"}
        most = min(self.budget, self.replays + runs)
        known: dict[tuple[Flip, ...], bool] = {}

        def fails(flips: Sequence[Flip]) -> bool:
            key = tuple(flips)
            if key not in known:
                if self.replays >= most:
                    return False
                known[key] = self._try_flips(flips, run, late, rest)
            return known[key]

        return flips_of(plain.log, failing.log), fails

    def _noted(self, guide: TapeGuide) -> Noting:
        self.replays += 1
        noting = Noting(guide, total=self.total)
        guided(self.scenario, None, seed=self.seed, planned=fired(self.best), tasks=tasks_of(self.best), chooser=noting)
        return noting

    def _try_flips(self, flips: Sequence[Flip], run: Sighting, late: Mapping[str, int], rest: Sequence[Choice]) -> bool:
        self.replays += 2
        self.tick(self.replays)
        guide = FlipGuide(flips, run, late)
        plan, tasks = FaultPlan(fired(tuple(rest))), tasks_of(tuple(rest))
        chooser = Flipping(guide, total=self.total)
        outcome, _ = guided(self.scenario, None, seed=self.seed, faults=plan, tasks=tasks, chooser=chooser)
        if not outcome.failed or outcome.signature != self.signature:
            self.replays -= 1
            return False
        outcome, taken = canonical(self.scenario, outcome, plan, tasks, seed=self.seed)
        if not outcome.failed or outcome.signature != self.signature:
            return False
        if _size(taken) < _size(self.best):
            self.best = taken
        return True

    def _subsets(self) -> None:
        parts = 2
        while self.best and parts <= 2 * len(self.best):
            size = max(1, len(self.best) // parts)
            at = 0
            shorter = False
            while at < len(self.best):
                # From the end: what came late in the run is more often noise, and removing it moves nothing else.
                end = len(self.best) - at
                candidate = self.best[: max(0, end - size)] + self.best[end:]
                if self.try_(candidate):
                    shorter = True
                else:
                    at += size
            if size == 1 and not shorter:
                return
            if not shorter:
                parts *= 2

    def _values(self) -> None:
        for label in [choice.label for choice in self.best if choice.kind != "order"]:
            # Nothing is known of what lies between; where the failure needs "at least", halving finds the least.
            low = 0
            while True:
                index = next((i for i, choice in enumerate(self.best) if choice.label == label), None)
                if index is None or self.best[index].value - low <= 1:
                    break
                choice = self.best[index]
                value = (low + choice.value) // 2 if low or choice.value < 4 else 1
                if not self.try_((*self.best[:index], attrs.evolve(choice, value=value), *self.best[index + 1 :])):
                    low = value

    def _boundaries(self) -> None:
        """A fault at an earlier boundary of the same actor may need fewer choices beside it, or none."""
        for fault in [choice for choice in self.best if choice.kind == "fault"]:
            place, _, nth = fault.label.rpartition("#")
            for earlier in range(max(0, int(nth) - _EARLIER), int(nth)):
                if fault not in self.best or len(self.best) == 1:
                    break  # something shorter has been found, or nothing can be
                moved = attrs.evolve(fault, label=f"{place}#{earlier}")
                others = [choice for choice in self.best if choice is not fault]
                if not self.try_([moved]) and len(others) > 1:
                    any(self.try_([moved, other]) for other in others)


def _size(choices: Sequence[Choice]) -> tuple[int, int]:
    return (len(choices), sum(c.value + c.spans for c in choices))


def _taken_over(choices: Sequence[Choice], gone: Choice, stays: Choice) -> tuple[Choice, ...]:
    """``choices`` without ``gone``, for which what waits by ``stays`` waits as well."""
    receiver, index = stays.place
    last = gone if gone.place[0] == receiver and gone.place[1] > index else stays
    label = f"{receiver}#0+{len(choices)}"
    longer = attrs.evolve(stays, label=label, spans=gone.spans + stays.spans, pick=last.pick)
    return tuple(longer if choice is stays else choice for choice in choices if choice is not gone)


def _often_passed(choices: Sequence[Choice]) -> list[tuple[str, str]]:
    """Receiver and event, where an event was passed over more than once."""
    passed = Counter((c.place[0], c.over) for c in choices if c.kind == "order" and c.over)
    return [key for key, times in passed.items() if times > 1]


def _merged(choices: Sequence[Choice], only: tuple[str, str] | None = None) -> tuple[Choice, ...] | None:
    """``choices``, where an event that was passed over repeatedly waits; ``None`` where there is none.

    An arrival that went before others as well goes before those.
    """
    last: dict[tuple[str, str], Choice] = {}
    spans: Counter[tuple[str, str]] = Counter()
    for choice in choices:
        if choice.kind == "order" and choice.over and choice.pick != THE_END:
            last[choice.place[0], choice.over] = choice
            spans[choice.place[0], choice.over] += choice.spans
    often = {key for key in _often_passed(choices) if only in (None, key) and key in last}
    if not often:
        return None
    merged: list[Choice] = []
    for choice in choices:
        key = (choice.place[0], choice.over) if choice.kind == "order" else None
        if key is None or key not in often:
            merged.append(choice)
        elif key in spans:
            receiver, index = choice.place
            label = f"{receiver}#{index}+{len(merged)}"
            merged.append(attrs.evolve(choice, label=label, spans=spans.pop(key), pick=last[key].pick))
        if key is not None and key in often and choice.spans == 1 and choice.value > 1:
            merged.append(choice)
    return tuple(merged)


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


def shrink(
    scenario: Scenario,
    choices: tuple[Choice, ...],
    signature: tuple[str, str],
    *,
    seed: int,
    total: bool = False,
    budget: int = BUDGET,
    tick: Callable[[int], None] = lambda _: None,
) -> Shrunk:
    """Shrink ``choices``, which fail with ``signature``.

    Args:
        total: in total order, for runs that are watched after every turn.
        budget: runs at most.
        tick: told the number of runs so far.
    """
    return _Shrinker(scenario, seed, signature, total, budget, tick).run(choices)

"""A shard: whoever runs units of one exploration, in one process.

One shard may run any units, in any order, and there may be many shards.  So nothing may
pass from one unit to the next by way of the shard: what runs learn goes into the tally, as
plain values, and comes back with the corpus of the next generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import blake2b

import attrs

from lumenize_sim.check.finding import Finding
from lumenize_sim.errors import AppError
from lumenize_sim.explore.exhaustive import Behaviour, Search
from lumenize_sim.explore.heap import settled_heap
from lumenize_sim.explore.leaks import leaked, remembered
from lumenize_sim.explore.profile import Profile
from lumenize_sim.explore.replaying import record
from lumenize_sim.explore.roaming import Roamed, canonical, census, roam
from lumenize_sim.explore.shrink import shrink
from lumenize_sim.explore.sighting import Sighting
from lumenize_sim.explore.strategies import Corpus, strategy_of, turn_of
from lumenize_sim.explore.tally import Found, Tally, added
from lumenize_sim.explore.unit import Unit
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.guide import orders_of
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.deck import Deck
from lumenize_sim.world.randomness import generator
from lumenize_sim.world.run import Outcome
from lumenize_sim.world.scenario import Scenario

__all__ = ["Shard", "signature_of"]

#: Told what is done (``exploring`` or ``shrinking``) and the runs so far.
Tick = Callable[[str, int], None]


def signature_of(outcome: Outcome, found: Finding | None) -> tuple[str, ...]:
    """What makes two failures the same: how it ended, and the racing pair's object and key; without a pair the line."""
    kind, name, place = outcome.signature
    return (kind, name, *((found.kind, found.object, found.key) if found is not None else (place,)))


class Shard:
    """Runs units.

    Args:
        scenario, seed: what is explored, and the base of everything drawn.
        strategy: one instead of the mix.
        max_failures: a unit ends where it has found so many.
    """

    def __init__(self, scenario: Scenario, *, seed: int, strategy: str | None = None, max_failures: int = 1) -> None:
        self.scenario = scenario
        self.seed = seed
        self.strategy = strategy
        self.max_failures = max_failures
        self._held = remembered(scenario)

    @cached_property
    def _census(self) -> tuple[Outcome, dict[tuple[str, str], list[int]], Profile]:
        return census(self.scenario, seed=self.seed)

    @cached_property
    def deck(self) -> Deck:
        """Of faults; dealt from what was possible in the world without surprises."""
        return Deck(self.scenario.faults, self._census[1], self.seed)

    def leaks(self) -> str:
        """What the app's modules and classes hold now and did not when this began, in words."""
        names = leaked(self._held, remembered(self.scenario))
        return f" Changed since the first run: {', '.join(names)}." if names else ""

    def run(self, unit: Unit, corpus: Corpus | None = None, tick: Tick = lambda *_: None) -> Tally:
        """Run ``unit``.

        Args:
            corpus: of the generations before; it is left as it is.
            tick: told now and then.

        Raises:
            AppError: a failure does not come again in the same order, because the app keeps state between runs.
        """
        with settled_heap():
            return _Count(self, Corpus() if corpus is None else corpus.copy(), tick).run(unit)

    def exhaust(self, search: Search, tick: Tick = lambda *_: None, *, before: int = 0) -> Tally:
        """Run all orders instead, until the search gives up; so many schedules were run ``before``."""
        with settled_heap():
            return _Count(self, Corpus(), tick).exhaust(search, before)


@attrs.define
class _Count:
    """One unit under way."""

    shard: Shard
    corpus: Corpus
    tick: Tick
    ran: int = 0
    orders: dict[str, None] = attrs.field(factory=dict)
    faults: dict[str, int] = attrs.field(factory=dict)
    marks: dict[str, int] = attrs.field(factory=dict)
    found: list[Found] = attrs.field(factory=list)
    novel: list[Sighting] = attrs.field(factory=list)
    boundaries: dict[tuple[str, str], list[int]] = attrs.field(factory=dict)

    def run(self, unit: Unit) -> Tally:
        for nth in range(unit.first, unit.first + unit.count):
            if not self.ran % 16:
                self.tick("exploring", self.ran)
            self.ran += 1
            self._one(nth)
            if len(self.found) >= self.shard.max_failures:
                break
        return Tally(
            ran=self.ran,
            behaviours=tuple(self.orders),
            faults=self.faults,
            marks=self.marks,
            found=tuple(self.found),
            novel=tuple(self.novel),
            boundaries={place: tuple(numbers) for place, numbers in self.boundaries.items()},
        )

    def exhaust(self, search: Search, before: int) -> Tally:
        for behaviour in search.behaviours():
            if not search.runs % 16:
                self.tick("exploring", search.runs)
            self._note(behaviour.outcome)
            if behaviour.outcome.failed and search.new:
                self._seen_again(behaviour, search.runs)
                self._failed(behaviour.outcome, behaviour.choices, before + search.runs, "exhaustive")
                if len(self.found) >= self.shard.max_failures:
                    break
        drawn = search.small and (search.why or search.without or self.shard.scenario.faults)
        return Tally(
            ran=search.runs,
            # Where drawn schedules are to come, orders are counted.
            behaviours=tuple(self.orders if drawn else (digest for digest, _ in search.seen)),
            faults=self.faults,
            marks=self.marks,
            found=tuple(self.found),
        )

    def _seen_again(self, behaviour: Behaviour, nth: int) -> None:
        again, outcome = behaviour.again[0], behaviour.outcome
        if not again.failed or again.signature != outcome.signature:
            scenario, seed = self.shard.scenario, self.shard.seed
            raise _not_reproduced(scenario, outcome, again, nth, seed, self.shard.leaks())

    def _one(self, nth: int) -> None:
        scenario, seed = self.shard.scenario, self.shard.seed
        first, _, profile = self.shard._census
        if nth == 0 and scenario.options.network.model != "timed":
            name = "fifo"
            outcome, plan, tasks, seen = Roamed(first, FaultPlan(), {}, profile.run)
        else:
            name = self.shard.strategy or strategy_of(nth)
            turn = turn_of(nth) if self.shard.strategy is None else nth
            planned = self.shard.deck.plan(nth, self.corpus.boundaries)
            planned |= scenario.options.draw(generator(seed, "options", str(nth)))
            outcome, plan, tasks, seen = roam(
                scenario, name, seed=seed, schedule=nth, turn=turn, planned=planned, profile=profile,
                corpus=self.corpus,
            )  # fmt: skip
        self._note(outcome)
        self._learn(plan, seen)
        if outcome.failed:
            choices: tuple[Choice, ...] = ()
            if name != "fifo":
                canon, choices = canonical(scenario, outcome, plan, tasks, seed=seed)
                if not canon.failed or canon.signature != outcome.signature:
                    raise _not_reproduced(scenario, outcome, canon, nth, seed, self.shard.leaks())
            self._failed(outcome, choices, nth + 1, name)

    def _note(self, outcome: Outcome) -> None:
        added(self.faults, outcome.faults)
        added(self.marks, outcome.marks)
        hasher = blake2b(digest_size=8)
        orders = orders_of(outcome.log)
        for receiver in sorted(orders):
            hasher.update(receiver.encode())
            hasher.update("\x00".join(orders[receiver]).encode())
        self.orders[hasher.hexdigest()] = None

    def _learn(self, plan: FaultPlan, seen: Sighting | None) -> None:
        if seen is not None and self.corpus.take(seen):
            self.novel.append(seen)
        for place, numbers in self.corpus.meet(plan.census).items():
            self.boundaries.setdefault(place, []).extend(numbers)

    def _failed(self, outcome: Outcome, choices: tuple[Choice, ...], schedule: int, strategy: str) -> None:
        if any(known.signature[:2] == outcome.signature[:2] and _holds(choices, known.choices) for known in self.found):
            return  # shrinking would end there again
        scenario, seed, total = self.shard.scenario, self.shard.seed, outcome.watched
        shrunk = shrink(
            scenario, choices, outcome.signature, seed=seed, total=total,
            tick=lambda replays: self.tick("shrinking", replays),
        )  # fmt: skip
        run = record(scenario, shrunk.choices, seed=seed, total=total)
        signature = signature_of(outcome, run.explanation)
        if all(known.signature != signature for known in self.found):
            self.found.append(
                Found(
                    schedule=schedule,
                    strategy=strategy,
                    found_with=len(choices),
                    replays=shrunk.replays,
                    choices=shrunk.choices,
                    total=total,
                    signature=signature,
                )
            )


def _holds(choices: Sequence[Choice], fewer: Sequence[Choice]) -> bool:
    """Whether all of ``fewer`` are among ``choices``."""
    keys = [(choice.label, choice.pick) for choice in choices]
    return all((choice.label, choice.pick) in keys for choice in fewer)


def _not_reproduced(scenario: Scenario, outcome: Outcome, canon: Outcome, nth: int, seed: int, leaks: str) -> AppError:
    return AppError(
        f"schedule {nth} (seed {seed}) of {scenario.name} failed ({outcome.message}) and did not when run again in the "
        f"same order ({canon.kind}{': ' + canon.message if canon.message else ''}). The app keeps state outside its "
        "nodes, in a module, a class or the file system, or reads something that is not virtual; keep it in the nodes "
        f"and take time, randomness and ids from self.lmz.{leaks}"
    )

"""Every behaviour of a small scenario, once each as far as possible.

Runs are enumerated through orders, never through raw picks.  The first run is first
come, first served.  Every finished run is then asked what could have been otherwise:

*Races.*  Two events that follow each other at one receiver, where the later was not
brought about by the earlier.  The next run does everything that does not depend on the
earlier one, in the order seen, then the later one, and goes on by default (Abdulla et
al., Optimal Dynamic Partial Order Reduction, POPL 2014, without sleep sets: what was
seen before is recognised by its orders).  An event that was called off while it could
have happened races with the turn that did so; one that was left over at the end races
with the end, and the end with everything.

*Lateness.*  A message that arrived before a timer was due may arrive after it, where its
link may plausibly be that slow; and a late one may be on time.  Time is no event, so
lateness is not an order; and what happened at an earlier time never races with what
happened later.

Why this finds every run F: let E be the run found that agrees with F for longest, up to
a set w of events with the same order at every receiver.  F goes on with some event e.
In E, e comes later at its receiver, was late, was called off or was left over: one of the
moves above brings it nearer to w, keeping w, and after finitely many moves there is a run
that agrees with F on w and e.  Or F lets time pass over messages: they are made late, one
by one.  On the way a message may be late for a timer that has been called off; such runs
are gone through, and not counted.

Objects that share memory behind the back of the mesh race without any receiver knowing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.explore.run import apart
from lumenize_sim.kernel.agenda import Agenda
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import EVERYTHING, GuidedChooser
from lumenize_sim.kernel.event import Event
from lumenize_sim.kernel.guide import OrderGuide, orders_of
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.run import Outcome, run_scenario
from lumenize_sim.world.scenario import Scenario

__all__ = ["Behaviour", "Enumeration", "enumerate_behaviours"]

#: Endings that cut a run short, so that something may lie behind them.
_CUT = ("step_limit", "cpu_limit")


@attrs.frozen
class Behaviour:
    """One of the ways in which a scenario can go.

    Attributes:
        digest: of its trace.
        outcome: how it went.
        choices: the tape that leads to it.
    """

    digest: str
    outcome: Outcome
    choices: tuple[Choice, ...]


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


@attrs.frozen
class _Plan:
    """What the next run shall do: the events of ``log`` first, with these messages late."""

    log: tuple[tuple[str | None, str], ...]
    late: Mapping[str, int]
    whole: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for plans that lead to the same run."""
        orders = orders_of(self.log)
        return (tuple((r, *orders[r]) for r in sorted(orders)), tuple(sorted(self.late.items())), self.whole)


@attrs.define
class _Happening:
    """An event that happened, or could have.

    Attributes:
        at: virtual time.
        after: what had to come before it: its creator, its predecessor on the link.
        quiet: it waited for everything else.
    """

    event: Event
    receiver: str | None
    at: int
    after: list[int]
    quiet: bool


class _Watching(GuidedChooser):
    """Follows a plan and keeps what races are made of."""

    def __init__(self, plan: _Plan, total: bool) -> None:
        self.order = OrderGuide(orders_of(plan.log), plan.late, whole=plan.whole)
        super().__init__(self.order, total=total)
        self.seen: list[_Happening] = []
        self.creator: dict[Event, int] = {}
        self.cancelled: list[tuple[Event, int]] = []
        self.plausible = True
        self._now = 0
        self._open: list[Event] = []

    def created(self, event: Event) -> None:
        """Whose turn it is creates the event."""
        self.creator[event] = len(self.log) - 1

    def pick(self, agenda: Agenda) -> Any:
        """See `GuidedChooser`."""
        enabled = agenda.enabled
        if agenda.now_us != self._now:
            self._now = agenda.now_us
            # Time moves for timers; a message is late because of one.
            self.plausible = self.plausible and any(event.label not in self.late for event in enabled)
        last = len(self.log) - 1
        self.cancelled += [(event, last) for event in self._open if event.cancelled]
        self._open = list(enabled)
        picked = super().pick(agenda)
        if isinstance(picked, Event):
            self._open.remove(picked)
            self.seen.append(self.happening(picked, agenda.now_us))
        return picked

    def happening(self, event: Event, now_us: int) -> _Happening:
        """``event``, were it to happen now."""
        after: list[int] = []
        if self.creator.get(event, -1) >= 0:
            after.append(self.creator[event])
        if event.link is not None:
            after += [n for n, other in enumerate(self.seen) if other.event.link is event.link][-1:]
        receiver = EVERYTHING if self.total else event.receiver
        return _Happening(event, receiver, now_us, after, event not in self.creator)

    def left(self) -> list[Event]:
        """What could have happened next when the run ended, or in place of its last event."""
        called_off = [event for event in self._open if event.cancelled]
        return [] if self._agenda is None else [*self._agenda.enabled, *called_off]


class _Order:
    """Which happening depends on which, as bit masks over their positions.

    Attributes:
        near: predecessors by receiver only, which a race may reverse.
        causes: everything before, by creation, link and receiver.
        before: the same, and everything at an earlier time.
    """

    def __init__(self, seen: Sequence[_Happening], ends: bool) -> None:
        self.seen = seen
        self.near: list[list[int]] = []
        self.causes: list[int] = []
        self.before: list[int] = []
        self._last: dict[str, int] = {}
        self._driver = -1
        earlier = 0
        for n, happening in enumerate(seen):
            if n and happening.at != seen[n - 1].at:
                earlier = (1 << n) - 1
            near = self.nearest(happening, everywhere=ends and n == len(seen) - 1)
            everything = (1 << n) - 1 if happening.quiet else 0
            self.near.append(near)
            self.causes.append(self._mask((*near, *happening.after), self.causes) | everything)
            self.before.append(self._mask((*near, *happening.after), self.before) | everything | earlier)
            if happening.receiver is None:
                self._driver = n
            else:
                self._last[happening.receiver] = n

    def nearest(self, happening: _Happening, *, everywhere: bool = False) -> list[int]:
        """The last one at its receiver; for one of the driver (or the end) the last at every receiver since."""
        if happening.receiver is None or everywhere:
            since = [n for n in self._last.values() if n > self._driver]
            return since or ([self._driver] if self._driver >= 0 else [])
        last = max(self._last.get(happening.receiver, -1), self._driver)
        return [last] if last >= 0 else []

    def reversible(self, first: int, second: _Happening, near: Sequence[int]) -> bool:
        """Whether ``second`` follows ``first`` only because they have a receiver in common."""
        if second.quiet or self.seen[first].at != second.at:
            return False
        others = (*second.after, *(n for n in near if n != first))
        return not self._mask(others, self.before) >> first & 1

    def without(self, first: int, until: int) -> list[int]:
        """Positions before ``until`` that do not depend on ``first``."""
        return [n for n in range(until) if n != first and not self.before[n] >> first & 1]

    @staticmethod
    def _mask(positions: Sequence[int], masks: Sequence[int]) -> int:
        found = 0
        for n in positions:
            found |= masks[n] | 1 << n
        return found


class _Search:
    def __init__(self, scenario: Scenario, limit: int, seed: int) -> None:
        self.scenario = scenario
        self.limit = limit
        self.seed = seed
        self.total = False
        self.runs = 0
        self.cut = scenario.options.explore_tasks
        self.planned: dict[tuple[Any, ...], None] = {}
        self.known: dict[tuple[Any, ...], None] = {}
        self.found: dict[tuple[str, str], Behaviour] = {}
        self.plans: deque[_Plan] = deque()

    def run(self) -> Enumeration:
        first = _Plan((), {}, whole=False)
        outcome, chooser = self.go(first)
        if outcome.watched:
            # A monitor reads all actors after every turn, so every order matters.
            self.total = True
            outcome, chooser = self.go(first)
        self.take(outcome, chooser)
        while self.plans and self.runs < self.limit:
            self.take(*self.go(self.plans.popleft()))
        complete = not self.plans and not self.cut
        return Enumeration(complete, list(self.found.values()), self.runs)

    def go(self, plan: _Plan) -> tuple[Outcome, _Watching]:
        self.runs += 1
        chooser = _Watching(plan, self.total)
        return run_scenario(self.scenario, chooser, plan=FaultPlan(), seed=self.seed, trace=True), chooser

    def choices(self, outcome: Outcome, chooser: _Watching) -> tuple[Choice, ...]:
        """The tape of a run."""
        if not chooser.order.loose:
            return tuple(chooser.choices)
        # A receiver was held for something that never came, or for nothing that has a name.  What happened meanwhile
        # elsewhere is no default, and no choice of this run says so: only its order does.
        again = GuidedChooser(OrderGuide(orders_of(outcome.log), outcome.late), total=self.total)
        run_scenario(self.scenario, again, plan=FaultPlan(), seed=self.seed)
        return tuple(again.choices)

    def take(self, outcome: Outcome, chooser: _Watching) -> None:
        """Count a run, and plan what could have been otherwise in it."""
        orders = orders_of(outcome.log)
        key = (tuple((r, *orders[r]) for r in sorted(orders)), tuple(sorted(chooser.late.items())), outcome.kind)
        if key in self.known:
            return
        self.known[key] = None
        assert outcome.trace is not None
        if outcome.kind in _CUT:
            self.cut = True
        if chooser.plausible:
            found = (outcome.trace.digest, outcome.kind)
            if found not in self.found:
                self.found[found] = Behaviour(outcome.trace.digest, outcome, self.choices(outcome, chooser))
        for plan in _alternatives(chooser, ends=outcome.kind != "deadlock"):
            if plan.key not in self.planned:
                self.planned[plan.key] = None
                self.plans.append(plan)


def _alternatives(run: _Watching, *, ends: bool) -> Iterator[_Plan]:
    seen = run.seen
    order = _Order(seen, ends)

    def plan(positions: Sequence[int], then: _Happening | None, until_us: int, *, whole: bool) -> _Plan:
        """First ``positions``, then ``then``; messages are late up to ``until_us`` at most."""
        log = [(seen[n].receiver, seen[n].event.label) for n in positions]
        if then is not None:
            log.append((then.receiver, then.event.label))
        kept = dict.fromkeys(positions)
        late: dict[str, int] = {}
        for event, creator in run.creator.items():
            if event.label in run.late and (creator < 0 or creator in kept):
                most = min(run.late[event.label], until_us - event.sent_us)
                if most > 0:
                    late[event.label] = most
        return _Plan(tuple(log), late, whole)

    # Races between two that happened.
    for n, happening in enumerate(seen):
        near = order.near[n]
        for first in near:
            if order.reversible(first, happening, near):
                yield plan(order.without(first, n), happening, happening.at, whole=True)

    # What could have happened and was left over, or called off.
    if seen:
        for event in run.left():
            late = run.happening(event, seen[-1].at)
            near = [len(seen) - 1] if ends else order.nearest(late)
            for first in near:
                if order.reversible(first, late, near):
                    yield plan(order.without(first, len(seen)), late, late.at, whole=True)
    for event, by in run.cancelled:
        if run.creator.get(event, by) < by:
            gone = run.happening(event, seen[by].at)
            yield plan(range(by), gone, gone.at, whole=True)

    yield from _lateness(run, order, plan)


def _lateness(run: _Watching, order: _Order, plan: Any) -> Iterator[_Plan]:
    seen = run.seen
    dues = [
        (event.due_us, creator)
        for event, creator in run.creator.items()
        if not event.delay_limit_us and event.due_us > event.sent_us
    ]
    times = list(dict.fromkeys(happening.at for happening in seen))
    for n, happening in enumerate(seen):
        event = happening.event
        if not event.delay_limit_us:
            continue
        # Later: past a timer that did not come from the message itself.
        possible = {
            due
            for due, creator in dues
            if happening.at < due <= event.sent_us + event.delay_limit_us
            and creator != n
            and (creator < 0 or not order.causes[creator] >> n & 1)
        }
        for due in sorted(possible):
            kept = [k for k in range(len(seen)) if k != n and seen[k].at < due and not order.causes[k] >> n & 1]
            later: _Plan = plan(kept, None, due, whole=False)
            yield attrs.evolve(later, late={**later.late, event.label: due - event.sent_us})
        # Earlier: at each time over which it was late.
        if event.label in run.late:
            for at in times:
                if event.sent_us <= at < happening.at:
                    kept = [k for k in range(len(seen)) if seen[k].at <= at]
                    if all(k in kept for k in happening.after):
                        earlier: _Plan = plan(kept, happening, at, whole=False)
                        yield attrs.evolve(earlier, late=_but(earlier.late, event.label, at - event.sent_us))


def _but(late: Mapping[str, int], label: str, most: int) -> dict[str, int]:
    """``late`` with ``label`` late by ``most``, or not at all."""
    changed = {other: value for other, value in late.items() if other != label}
    return {**changed, label: most} if most > 0 else changed

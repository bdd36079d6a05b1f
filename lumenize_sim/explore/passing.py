"""Runs that differ from a failed one in one thing: what makes it pass has to do with the failure.

A pair of arrivals at one receiver is *flipped* by holding the receiver until the later one has come, with every other
order as it was.  A choice of the tape is *left out* by running the others leniently.  Both are runs of their own, with
a verdict of their own; nothing is concluded from the trace of the failed run alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from lumenize_sim.errors import LumenizeSimError
from lumenize_sim.explore.attempts import run_leniently
from lumenize_sim.explore.replaying import record
from lumenize_sim.explore.roaming import canonical, fired, guided, tasks_of
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.kernel.chooser import EVERYTHING
from lumenize_sim.kernel.guide import OrderGuide, orders_of
from lumenize_sim.kernel.plan import FaultPlan
from lumenize_sim.world.run import Outcome

if TYPE_CHECKING:
    from lumenize_sim.explore.run import Run

__all__ = ["Flips", "Passing"]


#: Of the arrivals at one receiver so many apart are compared with those of another run.
_NEAR = 64


@attrs.frozen(eq=False)
class Passing:
    """A run that passed.

    Attributes:
        choices: its tape.
        total: whether they are in total order.
        log: its arrivals.
    """

    choices: tuple[Choice, ...]
    total: bool
    log: tuple[tuple[str | None, str], ...]


class Flips:
    """Runs near a failed one, as many as ``budget`` allows.

    Attributes:
        runs: how many there were.
    """

    def __init__(self, run: Run, *, budget: int = 40) -> None:
        self._run = run
        self._budget = budget
        self._choices = run.tape.choices
        self._total = bool(run.tape.options.get("total"))
        self._log = [(EVERYTHING if self._total else receiver, label) for receiver, label in run.outcome.log]
        self._receivers = {label: receiver for receiver, label in self._log}
        self._tried: dict[tuple[str, str, str | None], Passing | None] = {}
        self.runs = 0

    def arrival_of(self, n: int) -> str | None:
        """The label of the event during which record ``n`` of the trace was made."""
        steps = self._run.outcome.steps
        nth = steps[n] - 1 if n < len(steps) else -1
        return self._log[nth][1] if 0 <= nth < len(self._log) else None

    def turn_of(self, label: str) -> int | None:
        """The record with which a turn begins or goes on at the event ``label``; a timer that fires has no other."""
        return next(
            (e.n for e in self._run.trace.events if e.kind in ("turn", "resume") and self.arrival_of(e.n) == label),
            None,
        )

    def arrivals_at(self, label: str) -> list[str]:
        """What arrives where ``label`` does, in order, up to it."""
        receiver = self._receivers.get(label)
        if receiver is None:
            return []
        own = [other for at, other in self._log if at == receiver]
        return own[: own.index(label)]

    def reversed(self, pick: str, passing: Passing) -> list[str]:
        """What arrives where ``pick`` does, behind it, and came before it in a run that passes; in order."""
        receiver = self._receivers.get(pick)
        before: dict[str, None] = {}
        for _, label in passing.log:
            if label == pick:
                break
            before[label] = None
        own = [label for at, label in self._log if at == receiver]
        return [label for label in own[own.index(pick) + 1 :] if label in before] if receiver is not None else []

    def turned(self, passing: Passing) -> list[tuple[str, str, str]]:
        """Receiver and two arrivals there that came the other way round in a run that passes, the latest first."""
        places = {label: n for n, (_, label) in enumerate(passing.log)}
        arrivals: dict[str, list[str]] = {}
        for receiver, label in self._log:
            if receiver is not None and label in places:
                arrivals.setdefault(receiver, []).append(label)
        failed = {label: n for n, (_, label) in enumerate(self._log)}
        found = [
            (failed[later], failed[earlier], receiver, earlier, later)
            for receiver, own in arrivals.items()
            for n, later in enumerate(own)
            for earlier in own[max(0, n - _NEAR) : n]
            if places[later] < places[earlier]
        ]
        return [(receiver, earlier, later) for _, _, receiver, earlier, later in sorted(found, reverse=True)]

    def without(self, choice: Choice) -> Passing | None:
        """The run with all choices but this one, if it passes."""
        rest = tuple(other for other in self._choices if other is not choice)
        return self._passing(lambda: run_leniently(self._run.scenario, rest, seed=self._run.seed, total=self._total))

    def swapped(self, earlier: str, later: str, *, behind: str | None = None) -> Passing | None:
        """The run in which ``later`` arrives before ``earlier``, if it passes.

        Args:
            behind: move ``earlier`` behind this arrival, instead of ``later`` before ``earlier``.
        """
        receiver = self._receivers.get(earlier)
        if earlier in (later, behind) or receiver is None or self._receivers.get(later) != receiver:
            return None
        if self._total and behind is None:
            # In the one order of everything ``later`` also waits for what it comes of, which may stand in between.
            behind = later
        if (earlier, later, behind) in self._tried:
            return self._tried[earlier, later, behind]
        first, second = (later, earlier) if behind is None else (behind, earlier)
        orders = orders_of(self._behind(second, first))
        # ``later`` comes first of all, what only moves behind something else moves with what comes of it.
        order = orders[receiver] if behind is not None else orders_of(self._log)[receiver]
        if behind is not None and behind not in order:
            return None
        if behind is None:
            order.remove(later)
            order.insert(order.index(earlier), later)
        else:
            order.remove(earlier)
            order.insert(order.index(behind) + 1, earlier)
        orders[receiver] = order
        late = self._late(second, first)

        def run() -> tuple[Outcome, tuple[Choice, ...]]:
            scenario, seed = self._run.scenario, self._run.seed
            plan = FaultPlan(fired(self._choices))
            tasks = tasks_of(self._choices)
            guide = OrderGuide(orders, late, whole=False)
            outcome, _ = guided(scenario, guide, seed=seed, faults=plan, tasks=tasks, total=self._total)
            labels = [label for _, label in outcome.log]
            # Wake-ups of an actor are numbered as they are made, so in another order the same label is another one.
            swapped = second in labels and ("!" in first or first in labels[: labels.index(second)])
            if outcome.kind != "passed" or not swapped:
                return attrs.evolve(outcome, kind="diverged"), ()
            return canonical(scenario, outcome, plan, tasks, seed=seed)

        found = self._tried[earlier, later, behind] = self._passing(run)
        return found

    def _behind(self, held: str, awaited: str) -> list[tuple[str | None, str]]:
        """The log with what comes of ``held`` behind ``awaited``, since it cannot come before.

        Else other receivers would wait for it while it waits for what they have still to do.
        """
        labels = [label for _, label in self._log]
        if awaited not in labels:
            return self._log
        start, end = labels.index(held), labels.index(awaited)
        moved = self._come_of(held) if start < end - 1 else {}
        if not moved or awaited in moved:
            return self._log
        block = self._log[start + 1 : end]
        stay = [entry for entry in block if entry[1] not in moved]
        go = [entry for entry in block if entry[1] in moved]
        return [*self._log[: start + 1], *stay, self._log[end], *go, *self._log[end + 1 :]]

    def _come_of(self, label: str) -> dict[str, None]:
        """The arrivals that would not be there without that of ``label``."""
        events = self._run.trace.events
        descend: dict[int, None] = {}
        found: dict[str, None] = {}
        for event in events:
            arrival = self.arrival_of(event.n)
            if arrival == label and event.kind in ("deliver", "timer", "alarm"):
                descend[event.n] = None
            elif event.cause in descend:
                descend[event.n] = None
                if arrival is not None and arrival != label:
                    found[arrival] = None
        return found

    def _late(self, held: str, awaited: str) -> dict[str, int]:
        """What is late, with the message ``held`` as late as it must be for ``awaited``, for which time has to pass."""
        times: dict[str, int] = {}
        for event in self._run.trace.events:
            if event.kind in ("deliver", "timer", "alarm", "resume"):
                arrival = self.arrival_of(event.n)
                if arrival is not None:
                    times.setdefault(arrival, event.t_us)
        late = dict(self._run.outcome.late)
        more = times.get(awaited, 0) - times.get(held, 0)
        if 0 < more <= late.get(awaited, 0):
            late[awaited] -= more  # it was late itself: less late will do
            return late
        limit = round(self._run.scenario.options.network.max_delay_s * 1_000_000)
        if 0 < late.get(held, 0) + more <= limit:
            late[held] = late.get(held, 0) + more
        return late

    def _passing(self, run: Callable[[], tuple[Outcome, tuple[Choice, ...]]]) -> Passing | None:
        if self.runs >= self._budget:
            return None
        self.runs += 1
        try:
            outcome, choices = run()
        except LumenizeSimError:
            return None  # a driver that cannot go on in this order proves nothing
        if outcome.kind != "passed":
            return None
        return Passing(tuple(choices), outcome.watched, tuple(outcome.log))

    def recorded(self, passing: Passing) -> Run | None:
        """The passing run with its trace; ``None`` where it does not come again."""
        run = record(self._run.scenario, passing.choices, seed=self._run.seed, total=passing.total)
        return run if run.outcome.kind == "passed" else None

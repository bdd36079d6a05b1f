"""Explanations: the racing pair behind a failure, and a run without it that passes.

What a trace shows (stale reads, conflicts, lost continuations, …) are candidates.  Which of them has to do with the
failure is found out by running: the last choice of the shrunk tape whose removal makes the run pass is where to look,
and a pair that is named has been flipped and seen to pass, where it can be flipped at all.

Looked at in this order: what only happens where an app goes round the output gate; an alarm that a fault made repeat
its effect; read-modify-writes that lost something; the other things that a fault does to its target; what the two
events of the choice do to each other, at once or further down; the choice alone.  Where first come, first served
fails already, pairs are flipped until one passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from lumenize_sim.check.alarms import repeated_effects
from lumenize_sim.check.durability import early_outputs
from lumenize_sim.check.finding import Finding
from lumenize_sim.check.findings import find
from lumenize_sim.check.forgotten import forgotten
from lumenize_sim.check.lives import LIBRARY, key_of
from lumenize_sim.check.race import races
from lumenize_sim.check.recheck import stale_checks
from lumenize_sim.check.waiting import circles, closed_gates, waits
from lumenize_sim.explore.descent import Descent
from lumenize_sim.explore.faulted import call_hit, consequences, cut_short, forgotten_meanwhile
from lumenize_sim.kernel.choice import Choice
from lumenize_sim.trace.trace import Trace

if TYPE_CHECKING:
    from lumenize_sim.explore.passing import Flips, Passing
    from lumenize_sim.explore.run import Run

__all__ = ["explain", "explained"]

#: How many pairs are flipped at most where first come, first served fails.
_PAIRS = 24
_APART = 3
#: … and of pairs that come of a choice.
_DOWN = 8


def explain(trace: Trace, choices: Sequence[Choice] = ()) -> Finding | None:
    """The most telling pair of events in ``trace``, by itself: nothing is run, so it may be an innocent one."""
    return _Explanation(trace, choices, None).best()


def explained(run: Run) -> tuple[Finding | None, Run | None]:
    """The pair behind the failure of ``run``, and the nearest run that passes.  Runs the app up to 40 times."""
    from lumenize_sim.explore.passing import Flips

    flips = Flips(run)
    explanation = _Explanation(run.trace, run.tape.choices, flips, run.outcome.looked)
    found = _asked_for(run) or explanation.best(run.outcome.kind)
    if explanation.passing is None:
        explanation.causal()
    passing = None if explanation.passing is None else flips.recorded(explanation.passing)
    if found is None or passing is None:
        return found, passing
    return attrs.evolve(found, passing=explanation.words), passing


def _asked_for(run: Run) -> Finding | None:
    """What a check of the scenario has failed the run by: it says itself what is wrong."""
    if not run.scenario.checks or not isinstance(run.outcome.error, AssertionError):
        return None
    said = str(run.outcome.error)
    return next((finding for finding in find(run.trace, run.scenario.checks) if finding.message == said), None)


class _Explanation:
    """The search.

    Attributes:
        passing, words: the nearest run that passes so far, and what is different there.
    """

    def __init__(
        self, trace: Trace, choices: Sequence[Choice], flips: Flips | None, looked: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.trace = trace
        self.choices = choices
        self.flips = flips
        self.tree = Descent(trace)
        self.passing: Passing | None = None
        self.words = ""
        self.judged_by = dict.fromkeys([*looked, *self._driver_read()]) or dict.fromkeys(self._last_call_read())
        self.stale = self._told([finding for finding in races(trace) if not finding.key.startswith(LIBRARY)])

    def _driver_read(self) -> Iterator[tuple[str, str]]:
        """What the driver read of nodes itself."""
        for event in self.trace.events:
            if event.kind == "read" and (self.tree.strands[event.n] or "").startswith("driver!"):
                yield event.actor, str(key_of(event))

    def _last_call_read(self) -> Iterator[tuple[str, str]]:
        """What the last call that the driver made read for it."""
        last = next((e.label for e in reversed(self.trace.events) if e.kind == "send" and e.actor == "driver"), None)
        for event in self.trace.events:
            if event.kind == "read" and last is not None and self.tree.strands[event.n] == last:
                yield event.actor, str(key_of(event))

    def _told(self, findings: Sequence[Finding]) -> list[Finding]:
        """By kind; of one kind those first that concern what the driver judged by."""
        kinds = list(dict.fromkeys(finding.kind for finding in findings))
        return sorted(findings, key=lambda f: (kinds.index(f.kind), (f.object, f.key) not in self.judged_by))

    # -- where to look ---------------------------------------------------------------------------------

    def causal(self) -> Choice | None:
        """The last choice without which the run passes; without runs the last one."""
        real = [choice for choice in self.choices if "%flushes#" not in choice.label]
        if self.flips is None:
            return real[-1] if real else None
        for choice in reversed(real):
            passing = self.flips.without(choice)
            if passing is not None:
                self.passing = passing
                choice = self._passed_over(choice, passing)
                self.words = self._left_out(choice)
                return choice
        return None

    def _passed_over(self, choice: Choice, passing: Passing) -> Choice:
        """The choice with what had to be passed over; the tape names the oldest event that was, needed or not."""
        assert self.flips is not None
        if choice.kind != "order":
            return choice
        for label in list(dict.fromkeys([choice.over, *self.flips.reversed(choice.pick, passing)]))[:_DOWN]:
            if self.flips.swapped(choice.pick, label) is not None:
                return attrs.evolve(choice, over=label)
        return choice

    def _left_out(self, choice: Choice) -> str:
        if choice.kind == "order" and choice.over:
            receiver = choice.label.rpartition("#")[0]
            return f"with {self._name(choice.over, receiver)} before {self._name(choice.pick, receiver)}"
        return f"without {choice.describe()}"

    def _name(self, label: str, receiver: str) -> str:
        strand = self.tree.strand_of(label)
        return (
            self.tree.named(label, receiver)
            if strand == label
            else f"the answer to {self.tree.named(strand, receiver)}"
        )

    def best(self, outcome: str = "failed") -> Finding | None:
        """The explanation."""
        causal = self.causal()
        if outcome in ("deadlock", "step_limit"):
            found = waits(self.trace) if outcome == "deadlock" else circles(self.trace)
            if found:
                return found[0]
        for finding in self._candidates(causal):
            return finding
        return self._unconfirmed()

    def _candidates(self, causal: Choice | None) -> Iterator[Finding]:
        fault = causal if causal is not None and causal.kind == "fault" else None
        order = causal if causal is not None and causal.kind == "order" else None
        target = fault.label.rpartition("%")[0] if fault is not None else ""
        yield from closed_gates(self.trace)
        repeated: tuple[Finding, ...] = ()
        if causal is not None:
            # Only an app that goes round the gate does this; the write that came last says most.
            yield from list(early_outputs(self.trace))[::-1]
            repeated = repeated_effects(self.trace)
            yield from (f for f in repeated if f.object == target)
        direct = self._direct(order)
        lost = [finding for finding in self.stale if finding.kind == "stale-write"]
        yield from self._confirmed([*_between(lost, direct), *lost], causal)
        if fault is not None:
            yield from consequences(self.trace, target, fault)
            # A fault of somebody else may have made an alarm fail that asked for something there.
            yield from repeated
        checks = self._told([finding for finding in stale_checks(self.trace) if not finding.key.startswith(LIBRARY)])
        used = [finding for finding in self.stale if finding.kind == "stale-read"]
        yield from map(self.tree.in_words, _between([*checks, *used], direct))
        yield from self._confirmed(checks, causal)
        if order is not None:
            yield from self._further_down(order)
        if direct is not None:
            conflict = self.tree.conflict(*direct)
            if conflict is not None:
                assert order is not None
                yield self._with_others(conflict, order)
        if self.flips is not None:
            yield from self._confirmed(self._told(stale_checks(self.trace, doubtful=True)), causal)
        yield from self._confirmed(used, causal)
        if order is not None:
            met = self.tree.meeting(order)
            if met is not None:
                yield met
        if causal is not None and causal.kind == "delay":
            yield from self._overtaken(causal.site)
            yield from self._turned(causal)
        if causal is None or order is not None:
            yield from self._neighbours()
        if fault is not None:
            yield from forgotten_meanwhile(self.trace, target, fault)
        if causal is not None:
            yield self._alone(causal, target)

    def _direct(self, order: Choice | None) -> tuple[str, str, str] | None:
        """Receiver and strands of a choice between two events that arrive at one actor."""
        if order is None:
            return None
        first, second = self.tree.arrival_of(order.pick), self.tree.arrival_of(order.over)
        if first is None or second is None or first.actor != second.actor:
            return None
        one, other = self.tree.strand_of(order.pick), self.tree.strand_of(order.over)
        return None if one == other else (first.actor, one, other)

    # -- what is confirmed by running ----------------------------------------------------------------------

    def _confirmed(self, findings: Iterable[Finding], causal: Choice | None) -> Iterator[Finding]:
        """Those whose pair, flipped, makes the run pass; without runs all of them."""
        seen: dict[tuple[str, str, str, str], None] = {}
        for finding in findings:
            mark = (finding.object, finding.key, finding.first.event, finding.second.event)
            if mark in seen:
                continue
            seen[mark] = None
            if self.flips is None or self._flips(self.flips, finding, causal is not None):
                yield self.tree.in_words(finding)

    def _flips(self, flips: Flips, finding: Finding, causal: bool) -> bool:
        assert finding.then is not None
        tree = self.tree
        read, then = flips.arrival_of(finding.first.n), flips.arrival_of(finding.then.n)
        write = flips.arrival_of(finding.second.n)
        if read is None or then is None or write is None:
            return False
        reader, writer = (
            tree.called(self.trace.events[finding.first.n]),
            tree.called(self.trace.events[finding.second.n]),
        )
        # The turns that race, else the whole handlers: a timer cannot be held, the call that set it can.
        after = flips.swapped(write, then, behind=then)
        found = after or flips.swapped(read, write) or flips.swapped(finding.first.event, write)
        if found is None:
            found = after = flips.swapped(finding.second.event, then, behind=then)
        if found is not None:
            self.passing, self.words = found, f"with {writer} {'after' if after else 'before'} {reader}"
            return True
        # What came of the reader's own call cannot come before or after it: there the choice has to do.
        return causal and tree.descends(finding.second.n, finding.first.event)

    def _further_down(self, order: Choice) -> Iterator[Finding]:
        """Pairs that come of the two events of a choice and, flipped alone, make the run pass: nearer to the failure.

        That the choice matters may be harmless by itself, and only decide in which order its consequences meet.
        """
        if self.flips is None:
            return
        seen: dict[tuple[str, str, str], None] = {}
        for one, other in self.tree.meetings(order):
            earlier, later = self.flips.arrival_of(one.n), self.flips.arrival_of(other.n)
            if earlier is None or later is None or (one.actor, earlier, later) in seen:
                continue
            if len(seen) >= _DOWN or {earlier, later} == {order.pick, order.over}:
                return
            seen[one.actor, earlier, later] = None
            passing = self.flips.swapped(earlier, later) or self.flips.swapped(earlier, later, behind=later)
            if passing is not None:
                first, second = self.tree.called(one), self.tree.called(other)
                self.passing, self.words = passing, f"with {second} before {first}"
                strands = self.tree.strands[one.n] or earlier, self.tree.strands[other.n] or later
                found = self.tree.conflict(one.actor, *strands)
                if found is not None:
                    began = f"it began at {order.label.rpartition('#')[0]}: {order.describe()}"
                    yield attrs.evolve(found, message=f"{found.message}; {began}")

    def _overtaken(self, label: str) -> Iterator[Finding]:
        """What overtook a message that was late: the last one that touches the same key and, flipped, makes it pass."""
        if self.flips is None:
            return
        arrival = self.tree.arrival_of(label)
        if arrival is None:
            return
        late, tried = self.tree.strand_of(label), 0
        for other in reversed(self.flips.arrivals_at(label)):
            strand = self.tree.strand_of(other)
            found = None if strand == late else self.tree.conflict(arrival.actor, strand, late)
            if found is None:
                continue
            tried += 1
            passing = self.flips.swapped(other, label)
            if passing is not None:
                self.passing = passing
                self.words = f"with {self._name(label, arrival.actor)} before {self._name(other, arrival.actor)}"
                yield found
            if tried >= _DOWN:
                return

    def _turned(self, choice: Choice) -> Iterator[Finding]:
        """Of pairs that come the other way round where the run passes without ``choice``, the latest that conflicts."""
        if self.flips is None or self.passing is None:
            return
        for actor, earlier, later in self.flips.turned(self.passing):
            one, other = self._strand_of(earlier), self._strand_of(later)
            found = None if one == other else self.tree.conflict(actor, one, other)
            if found is not None:
                yield attrs.evolve(found, message=f"{found.message}; it began with this: {choice.describe()}")
                return

    def _strand_of(self, label: str) -> str:
        """The strand that an event begins, or goes on with, be it an arrival or a timer."""
        if self.flips is None or self.tree.arrival_of(label) is not None:
            return self.tree.strand_of(label)
        turn = self.flips.turn_of(label)
        return label if turn is None else self.tree.strands[turn] or label

    def _with_others(self, found: Finding, order: Choice) -> Finding:
        """``found``, told with what else had to overtake the same event at the same receiver."""
        receiver = order.label.rpartition("#")[0]
        others = [
            choice.pick
            for choice in self.choices
            if choice.kind == "order" and choice.label != order.label and choice.over == order.over
            if choice.label.rpartition("#")[0] == receiver
        ]
        if not others:
            return found
        names = ", ".join(self._name(label, receiver) for label in others)
        return attrs.evolve(found, message=f"{found.message}\n  so did, and had to: {names}")

    def _neighbours(self) -> Iterator[Finding]:
        """Arrivals near each other at one actor that, flipped, make the run pass; the latest first.

        Where no choice says where to look: first come, first served fails, or what was chosen is an event of the
        driver, which has to do with everybody.
        """
        if self.flips is None:
            return
        for actor, earlier, later in self._pairs():
            passing = self.flips.swapped(earlier, later)
            if passing is not None:
                one, other = self._name(later, actor), self._name(earlier, actor)
                self.passing, self.words = passing, f"with {one} before {other}"
                strands = self.tree.strand_of(earlier), self.tree.strand_of(later)
                yield self.tree.conflict(actor, *strands) or self.tree.pair(
                    "order", actor, "", earlier, later, f"{other} came before {one} at {actor}"
                )

    def _pairs(self) -> Iterator[tuple[str, str, str]]:
        """Pairs of arrivals at one actor that conflict: neighbours from the end, then those with some between them."""
        arrivals: dict[str, list[tuple[int, str]]] = {}
        for event in self.trace.events:
            if event.kind in ("deliver", "timer", "alarm"):
                arrivals.setdefault(event.actor, []).append((event.n, event.label))
        rest: list[tuple[str, str, str]] = []
        tried = 0
        for apart in range(1, _APART + 1):
            pairs = [
                (later[0], actor, earlier[1], later[1])
                for actor, own in arrivals.items()
                for earlier, later in zip(own, own[apart:], strict=False)
            ]
            for _, actor, earlier, later in sorted(pairs, reverse=True):
                one, other = self.tree.strand_of(earlier), self.tree.strand_of(later)
                if one == other:
                    continue
                if self.tree.conflict(actor, one, other) is None:
                    if apart == 1:
                        rest.append((actor, earlier, later))
                elif tried < _PAIRS:
                    tried += 1
                    yield actor, earlier, later
        yield from rest[:_PAIRS]

    def _unconfirmed(self) -> Finding | None:
        """What the trace shows and no run confirms."""
        lost = [finding for finding in self.stale if finding.kind == "stale-write"]
        if lost:
            return self.tree.in_words(lost[0])
        known = [*forgotten(self.trace), *repeated_effects(self.trace)]
        if known:
            return known[0]
        return self.tree.in_words(self.stale[0]) if self.stale else None

    # -- faults and what is left -----------------------------------------------------------------------------

    def _alone(self, choice: Choice, target: str) -> Finding:
        """The choice and nothing else."""
        tree = self.tree
        if choice.kind == "fault":
            hit = call_hit(tree, target, choice) or cut_short(tree, target, choice)
            if hit is not None:
                return hit
            return tree.pair(
                "fault", target, choice.pick, tree.before(target, choice.pick), choice.label, choice.describe()
            )
        if choice.kind == "delay":
            arrival = tree.arrival_of(choice.site)
            receiver = arrival.actor if arrival is not None else "?"
            return tree.pair("delay", receiver, "", choice.site, choice.label, choice.describe())
        arrival = tree.arrival_of(choice.pick)
        receiver = choice.label.rpartition("#")[0] if arrival is None else arrival.actor
        return tree.pair("order", receiver, "", choice.pick, choice.over, choice.describe())


def _between(findings: Iterable[Finding], direct: tuple[str, str, str] | None) -> list[Finding]:
    """Those between the two strands of a choice."""
    if direct is None:
        return []
    actor, one, other = direct
    return [f for f in findings if f.object == actor and {f.first.event, f.second.event} == {one, other}]

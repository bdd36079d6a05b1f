"""What could have been otherwise in a run: which sequences must be run, and from which of its states.

*Depends on.*  Two events of one scope (receiver) depend on each other; what belongs to no
scope, the driver's events, the step that ended the run, a time step, depends on all.
Everything else commutes.  *Comes after*: by dependence in the order seen; and an event
comes after the turn that made it, its predecessor on the link, and everything that came
before a time at which it could not happen yet.

*Races.*  Two dependent events that follow each other with nothing between, where the later
is not brought about by the earlier.  From the state before the earlier one: everything
that does not come after it, then the later one.

*What was called off*, by the turn of another event, by the end of the run, or because
time passed over it, could have come first.

*Time.*  Time may pass over messages at any state at which everything that could happen is
a message that may be so slow.  Also at states that the run went through in another
order: one for each set of messages none of which comes after another, if nothing that
comes after one of them happens before the time step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import attrs

from lumenize_sim.explore.happenings import NEVER, TIME, Happening, Step
from lumenize_sim.explore.wakeup import Branch, Node

__all__ = ["Reversal", "Reversals"]

#: Sets of messages over which time may pass, at most, that are looked at in one stretch of a run.
_MOST_SETS = 20_000


@attrs.frozen
class Reversal:
    """From the state before step ``at``: the steps of ``kept``, as a bit mask, then this one.

    Attributes:
        before: the steps that must come before it, where they are kept.
    """

    at: int
    kept: int
    label: str
    scope: str | None
    before: int


class Reversals:
    """Those of one run.

    Args:
        steps, known: of the `Recording`.
        ended: the last step ended the run.
        since: what follows from steps before this one alone is known already.

    Attributes:
        too_many: not all sets of late messages were looked at.
    """

    def __init__(self, steps: Sequence[Step], known: Sequence[Happening], *, ended: bool, since: int) -> None:
        self.steps = steps
        self.known = known
        self.ended = ended
        self.too_many = False
        #: Step to everything before it, and to everything at once before it by dependence alone.
        self._before: list[int] = []
        self._near: list[list[int]] = []
        #: Scope to its steps; under ``None`` those that depend on all.
        self._of: dict[str | None, int] = {None: 0}
        self._step: dict[str, int] = {}
        self._begins: list[int] = []
        self._behind: dict[int, int] = {}
        self._order()
        self._first = max((n for n in self._begins if n <= since), default=0)

    def _order(self) -> None:
        last: dict[str, int] = {}
        driver, base, after_time = -1, 0, False
        for n, step in enumerate(self.steps):
            if step.barrier or after_time or n == 0:
                self._begins.append(n)
                base = (1 << n) - 1
            after_time = step.happening is None
            scope = None if self.ended and n == len(self.steps) - 1 else step.scope
            if scope is None:
                near = [k for k in last.values() if k > driver] or ([driver] if driver >= 0 else [])
                driver = n
            else:
                k = max(last.get(scope, -1), driver)
                near = [k] if k >= 0 else []
                last[scope] = n
            before = base
            for k in (*near, *step.after):
                if k >= 0:
                    before |= self._before[k] | 1 << k
            self._before.append(before)
            self._near.append(near)
            self._of[scope] = self._of.get(scope, 0) | 1 << n
            if step.happening is not None:
                self._step[step.label] = n

    # -- what to run -----------------------------------------------------------------------

    def plan(self, nodes: Sequence[Node]) -> int:
        """Put what must be run into the trees of the path.  Returns how many sequences were added."""
        added = 0
        for reversal in self:
            node = nodes[reversal.at]
            if any(self._begins_with(reversal, label, scope) for label, scope in node.sleep.items()):
                continue
            if any(self._begins_with(reversal, label, scope) for label, scope in node.done.items()):
                continue
            added += node.insert(self._sequence(reversal), self._initial)
        return added

    def __iter__(self) -> Iterator[Reversal]:
        for first, end in zip(self._begins, [*self._begins[1:], len(self.steps)], strict=True):
            if first >= self._first:
                yield from self._races(first, end)
                yield from self._time(first, end)
        yield from self._called_off()

    def _races(self, first: int, end: int) -> Iterator[Reversal]:
        for n in range(first + 1, end):
            step = self.steps[n]
            if step.happening is None:
                continue
            near = self._near[n]
            for k in near:
                if k < first:
                    continue
                others = 0
                for other in (*near, *step.after):
                    if other >= 0 and other != k:
                        others |= self._before[other] | 1 << other
                if k not in step.after and not others >> k & 1:
                    yield Reversal(k, self._without(k) & ~(1 << n), step.label, self._scope(n), self._before[n])

    def _called_off(self) -> Iterator[Reversal]:
        last = len(self.steps) - 1
        for happening in self.known:
            for since, until in happening.enabled:
                if until == NEVER and self.ended:
                    until = last
                if until == happening.step or until == NEVER or until < self._first:
                    continue
                scope, label = happening.scope, happening.event.label
                must = self._before[since] | 1 << since if since >= 0 else 0
                before = must | self._of.get(scope, 0) | self._of[None] if scope is not None else -1
                kept = self._without(until)
                while since < until or kept >> since & 1:
                    yield Reversal(until, kept, label, scope, before)
                    # Whoever calls it off belongs to another scope: any number of its own may come before it.
                    rivals = kept & self._of.get(scope, 0)
                    if not rivals:
                        break
                    rival = rivals.bit_length() - 1
                    kept &= ~(1 << rival | self._after(rival))

    def _time(self, first: int, end: int) -> Iterator[Reversal]:
        steps = self.steps
        if steps[end - 1].happening is None:
            end -= 1
            made = end
        else:
            # What became possible behind the last did so because time passed.
            made = end if end == len(steps) else end - 1
        now_us = steps[first].at_us
        waits = [
            (since, due, until)
            for happening in self.known
            for since, due, until in happening.waits
            if due > now_us and since < end and until >= first
        ]
        soonest = min((due for _, due, _ in waits), default=None)
        if soonest is None:
            return
        slow: list[tuple[int, int]] = []
        for n in range(first, end):
            happening = steps[n].happening
            assert happening is not None
            event = happening.event
            if event.delay_limit_us and event.sent_us + event.delay_limit_us >= soonest:
                slow.append((n, event.sent_us + event.delay_limit_us))
        if not slow:
            return
        possible = [
            (since, until, happening.event)
            for happening in self.known
            for since, until in happening.enabled
            if since < made and until >= first
        ]
        whole = (1 << end) - (1 << first)
        for over, latest in self._sets(slow):
            late_at = (over & -over).bit_length() - 1
            kept = whole
            for n, _ in slow:
                if over >> n & 1:
                    kept &= ~(1 << n | self._after(n))
            before = kept | (1 << first) - 1
            due = min(
                (due for since, due, until in waits if self._holds(before, since) and not kept >> min(until, end) & 1),
                default=None,
            )
            if due is None or due > latest:
                continue
            if all(
                event.delay_limit_us and due - event.sent_us <= event.delay_limit_us
                for since, until, event in possible
                if self._holds(before, since) and not kept >> min(until, end) & 1
            ):
                yield Reversal(late_at, kept & ~((1 << late_at) - 1), TIME, None, -1)

    def _sets(self, slow: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Sets of messages none of which comes after another, each with the time by which all must arrive."""
        count = 0
        waiting: list[tuple[int, int, int]] = [(0, 0, NEVER)]
        while waiting:
            start, over, latest = waiting.pop()
            for index in range(start, len(slow)):
                n, by = slow[index]
                if not self._before[n] & over:
                    count += 1
                    if count > _MOST_SETS:
                        self.too_many = True
                        return
                    found = over | 1 << n, min(latest, by)
                    yield found
                    waiting.append((index + 1, *found))

    # -- the order ---------------------------------------------------------------------------

    @staticmethod
    def _holds(mask: int, step: int) -> bool:
        return step < 0 or bool(mask >> step & 1)

    def _scope(self, n: int) -> str | None:
        return None if self._of[None] >> n & 1 else self.steps[n].scope

    def _end(self, n: int) -> int:
        """Where the stretch of step ``n`` ends: everything behind that comes after it."""
        place = bisect_right(self._begins, n)
        return self._begins[place] if place < len(self._begins) else len(self.steps)

    def _after(self, n: int) -> int:
        """What comes after step ``n`` in its stretch."""
        found = self._behind.get(n)
        if found is None:
            found = 0
            for k in range(n + 1, self._end(n)):
                if self._before[k] >> n & 1:
                    found |= 1 << k
            self._behind[n] = found
        return found

    def _without(self, n: int) -> int:
        """What comes behind step ``n`` in the run, and not after it."""
        return ((1 << self._end(n)) - (2 << n)) & ~self._after(n)

    # -- sequences ---------------------------------------------------------------------------

    def _begins_with(self, reversal: Reversal, label: str, scope: str | None) -> bool:
        """Whether the sequence, or one of the same order that it is part of, begins with this step."""
        kept = reversal.kept
        if label == reversal.label:
            return not kept & reversal.before
        n = self._step.get(label, -1)
        if n >= 0 and kept >> n & 1:
            return not kept & self._before[n]
        if scope is None or reversal.scope is None or scope == reversal.scope:
            return False
        return not kept & (self._of.get(scope, 0) | self._of[None])

    def _sequence(self, reversal: Reversal) -> list[Branch]:
        found = []
        kept = reversal.kept
        while kept:
            n = (kept & -kept).bit_length() - 1
            kept &= kept - 1
            found.append(Branch(self.steps[n].label, self._scope(n)))
        return [*found, Branch(reversal.label, reversal.scope)]

    def _initial(self, sequence: list[Branch], branch: Branch) -> int | None:
        """See `Node.insert`."""
        for place, step in enumerate(sequence):
            if step.label == branch.label:
                n = self._step.get(step.label, -1)
                before = self._before[n] if n >= 0 else None
                for other in sequence[:place]:
                    if before is None:
                        if step.scope is None or other.scope is None or other.scope == step.scope:
                            return None
                    elif before >> self._step[other.label] & 1:
                        return None
                return place
        for step in sequence:
            if branch.scope is None or step.scope is None or step.scope == branch.scope:
                return None
        return len(sequence)

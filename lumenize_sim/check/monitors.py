"""What always, eventually, leads-to and sometimes mean, as plain data.

The world calls the predicates; here only their answers are weighed.

======================  ===========================================  ==========================
mode                    holds when                                   over many runs
======================  ===========================================  ==========================
``always``              every observation was true                   in each of them
``eventually``          the last observation was true: the world     in each of them
                        has come to rest in such a state
``sometimes``           one observation was true                     in at least one of them
``leads_to``            whenever the first predicate was true, the   in each of them
                        second was true then or later
======================  ===========================================  ==========================
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import attrs

from lumenize_sim.errors import UsageError

__all__ = ["LeadsTo", "Mode", "MonitorResult", "MonitorState", "Outcome", "merge"]

Mode = Literal["always", "eventually", "sometimes", "leads_to"]
Outcome = Literal["holds", "violated", "unreached", "unobserved"]

#: (mode, which observation decides, outcome where that one was true, outcome where it was false)
_TABLE: dict[str, tuple[str, Outcome, Outcome]] = {
    "always": ("first false", "holds", "violated"),
    "eventually": ("last", "holds", "violated"),
    "sometimes": ("first true", "holds", "unreached"),
}

#: Over many runs the outcome furthest left in its row wins.
_PRECEDENCE: dict[str, tuple[Outcome, ...]] = {
    "always": ("violated", "holds", "unobserved"),
    "eventually": ("violated", "holds", "unobserved"),
    "sometimes": ("holds", "unreached", "unobserved"),
    "leads_to": ("violated", "holds", "unobserved"),
}


@attrs.frozen
class MonitorResult:
    """How one monitor came out.

    Attributes:
        name: the monitor's name.
        mode: see the table above.
        outcome: ``violated`` fails the run; ``unreached`` (``sometimes`` only) fails a sweep where no run reached
            it; ``unobserved``: the predicate was never asked, which proves nothing.
        observations: how often it was asked.
        n: position in the trace of the deciding observation, or -1.
        t_us: virtual time of the deciding observation, or -1.
        note: what the predicate said there.
    """

    name: str
    mode: Mode
    outcome: Outcome
    observations: int = 0
    n: int = -1
    t_us: int = -1
    note: str = ""

    @property
    def failed(self) -> bool:
        """Whether this run is to be reported as a failure."""
        return self.outcome == "violated"

    def __str__(self) -> str:
        text = f"{self.mode} {self.name!r}: {self.outcome} after {self.observations} observations"
        if self.n >= 0:
            text += f", decided at record {self.n} ({self.t_us / 1000:.3f} ms)"
        return f"{text}: {self.note}" if self.note else text

    def to_json(self) -> dict[str, Any]:
        """Plain values, one entry per attribute."""
        return attrs.asdict(self)


@attrs.define(eq=False)
class MonitorState:
    """One monitor during one run."""

    name: str
    mode: Mode
    _observations: int = attrs.field(default=0, init=False)
    _deciding: tuple[bool, int, int, str] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.mode not in _TABLE:
            # "leads_to" has two predicates, and so a class of its own.
            raise UsageError(f"monitor {self.name!r}: mode {self.mode!r} is unknown: choose one of {', '.join(_TABLE)}")

    def observe(self, value: bool, n: int = -1, t_us: int = -1, note: str = "") -> bool:
        """Take one answer of the predicate.  Returns whether the run has failed by it and may stop here."""
        self._observations += 1
        rule = _TABLE[self.mode][0]
        if (
            self._deciding is None
            or rule == "last"
            or (rule == "first false" and self._deciding[0] and not value)
            or (rule == "first true" and not self._deciding[0] and value)
        ):
            self._deciding = (value, n, t_us, note)
        return rule == "first false" and not value

    def result(self) -> MonitorResult:
        """The outcome, once the run is over."""
        if self._deciding is None:
            return MonitorResult(self.name, self.mode, "unobserved")
        value, n, t_us, note = self._deciding
        _, true, false = _TABLE[self.mode]
        return MonitorResult(self.name, self.mode, true if value else false, self._observations, n, t_us, note)


@attrs.define(eq=False)
class LeadsTo:
    """One ``leads_to`` during one run: each time that the cause holds, the effect holds then or later.

    It is liveness, so only the end can break it: `owed` says since when an effect is due.
    """

    name: str
    _observations: int = attrs.field(default=0, init=False)
    _since: tuple[int, int] | None = attrs.field(default=None, init=False)
    _last: tuple[int, int] = attrs.field(default=(-1, -1), init=False)

    def observe(self, cause: bool, effect: bool, n: int = -1, t_us: int = -1) -> None:
        """Take one answer of both predicates."""
        self._observations += 1
        self._last = (n, t_us)
        if effect:
            self._since = None
        elif cause and self._since is None:
            self._since = (n, t_us)

    @property
    def owed(self) -> tuple[int, int] | None:
        """Record and virtual time of the first cause without effect so far, ``None`` where there is none."""
        return self._since

    def result(self) -> MonitorResult:
        """The outcome, once the run is over; the deciding observation is the cause that led to nothing."""
        if not self._observations:
            return MonitorResult(self.name, "leads_to", "unobserved")
        if self._since is None:
            return MonitorResult(self.name, "leads_to", "holds", self._observations, *self._last)
        return MonitorResult(self.name, "leads_to", "violated", self._observations, *self._since)


def merge(results: Iterable[MonitorResult]) -> tuple[MonitorResult, ...]:
    """Results of many runs as one per monitor, in order of appearance.

    The outcome follows the table above; the example kept is the first with that outcome.

    Raises:
        UsageError: one name is used with two modes.
    """
    groups: dict[str, MonitorResult] = {}
    for result in results:
        held = groups.get(result.name)
        if held is None:
            groups[result.name] = result
            continue
        if held.mode != result.mode:
            raise UsageError(f"monitor {result.name!r} is both {held.mode} and {result.mode}: give each its own name")
        order = _PRECEDENCE[held.mode]
        best = result if order.index(result.outcome) < order.index(held.outcome) else held
        groups[result.name] = attrs.evolve(best, observations=held.observations + result.observations)
    return tuple(groups.values())

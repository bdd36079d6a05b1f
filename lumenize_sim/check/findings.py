"""The checkers of traces by name: what a scenario may ask for, and a run can be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from lumenize_sim.check.alarms import repeated_effects
from lumenize_sim.check.continuations import lost_continuations
from lumenize_sim.check.durability import acknowledged_then_lost, early_outputs
from lumenize_sim.check.finding import Finding
from lumenize_sim.check.forgotten import forgotten
from lumenize_sim.check.lives import LIBRARY
from lumenize_sim.check.race import races
from lumenize_sim.check.recheck import stale_checks
from lumenize_sim.check.waiting import circles, waits
from lumenize_sim.errors import UsageError
from lumenize_sim.trace.trace import Trace

__all__ = ["CHECKERS", "Check", "checked", "find"]

Checker: TypeAlias = Callable[[Trace], Iterable[Finding]]
#: The name of a checker, or one of your own.
Check: TypeAlias = str | Checker


def _stale(kind: str) -> Checker:
    return lambda trace: (finding for finding in races(trace) if finding.kind == kind)


CHECKERS: Mapping[str, Checker] = MappingProxyType(
    {
        "stale-write": _stale("stale-write"),
        "stale-check": stale_checks,
        "stale-read": _stale("stale-read"),
        "acknowledged-then-lost": acknowledged_then_lost,
        "early-output": early_outputs,
        "repeated-effect": repeated_effects,
        "lost-continuation": lost_continuations,
        "forgotten": forgotten,
        "deadlock": waits,
        "livelock": circles,
    }
)
"""By name, gravest first of what goes together.  ``deadlock`` and ``livelock`` say something of runs that end so."""
_ENDINGS = ("deadlock", "livelock")


def checked(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks, looked up.

    Raises:
        UsageError: there is no checker of a name.
    """
    if isinstance(checks, str):
        raise UsageError(f"checks={checks!r} is one text; give a list: [{checks!r}]")
    for check in checks:
        if isinstance(check, str) and check not in CHECKERS:
            raise UsageError(f"there is no check {check!r}; there is: {', '.join(CHECKERS)}")
    return tuple(checks)


def find(trace: Trace, checks: Sequence[Check] | None = None) -> tuple[Finding, ...]:
    """What ``checks`` find in a trace, in their order; by default all but those for runs that do not end.

    What the mesh keeps in storage for itself is left out.

    Raises:
        UsageError: there is no checker of a name.
    """
    wanted = tuple(name for name in CHECKERS if name not in _ENDINGS) if checks is None else checked(checks)
    found: list[Finding] = []
    for check in wanted:
        checker = CHECKERS[check] if isinstance(check, str) else check
        found += [finding for finding in checker(trace) if not finding.key.startswith(LIBRARY)]
    return tuple(found)

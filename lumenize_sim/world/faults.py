"""What may go wrong, how often, and where: a sparse plan drawn before the run.

Boundaries are local to one actor (the n-th turn of an object, the n-th frame in one
direction of one socket, the n-th flush of a store, the n-th call of a caller), so that
a fault means the same in every schedule.  Which boundaries there are is known from a
census: a run without faults at first, then all runs so far, since after a fault, or in another order, there are
boundaries that no plain run comes to.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.plan import fault_label

__all__ = [
    "CLOCK_SKEW_S",
    "CLOGGED_FOR_S",
    "CLOG_S",
    "FETCH_TIMEOUT_S",
    "FLUSHES",
    "FLUSH_KINDS",
    "HALF_OPEN_S",
    "KINDS",
    "LATE_ALARM_S",
    "NO_FAULT",
    "PARTITION_S",
    "SHORT_TOKEN_S",
    "SLOW_FETCH_S",
    "SLOW_FLUSH_S",
    "SLOW_READER_S",
    "SLOW_READ_S",
    "SLOW_SCHEDULER_S",
    "Faults",
    "draw_one",
    "with_flushes",
]

#: kind to (bound of its value, what it does), mild before severe.
KINDS: Final[dict[str, tuple[int, str]]] = {
    "hibernate": (2, "an idle object loses its memory and keeps its sockets"),
    "evict": (2, "an idle object loses memory and sockets"),
    "slow-flush": (4, "a commit becomes durable late"),
    "slow-read": (4, "a read of the legacy backend waits long for the disk"),
    "lost-flush": (6, "a flush of the legacy backend loses its connection, and is tried again up to four times"),
    "slow-reader": (3, "whoever an object sends to by socket does not read for a while; if it is reset, that is lost"),
    "clock-skew": (5, "the clock of a client is wrong: fast or slow"),
    "clog": (4, "one direction of a socket is slow for half a minute: each frame takes long"),
    "partition": (5, "one direction of a socket is held, then healed"),
    "cut-off": (5, "both directions of a socket are held, then healed"),
    "short-token": (4, "a client is given a token that soon expires"),
    "disconnect": (2, "a socket is cut after a delivered prefix; the client reconnects"),
    "half-open": (2, "a socket silently loses everything, and is cut later"),
    "lost-call": (3, "a call fails with a disconnect: 1 before, 2 after the callee ran"),
    "overload": (5, "a call is refused at its object, and not run: one of four reasons"),
    "bad-fetch": (
        6,
        "a fetch of a simulated server: 1 slow, 2 answered 503, 3 lost before, 4 lost after the handler ran, 5 timeout",
    ),
    "late-alarm": (4, "an alarm comes late"),
    "twice-alarm": (2, "an alarm comes twice at once; the second joins the first"),
    "unreached-alarm": (2, "an alarm does not reach its object; the scheduler tries again, uncounted"),
    "slow-scheduler": (4, "the alarm scheduler answers late when it is told a time or an end"),
    "failed-scheduler": (2, "the alarm scheduler cannot be told: an earlier time resets the object, the rest is stale"),
    "failed-flush": (2, "a commit does not become durable: the object is reset"),
    "torn-delete-all": (4, "a removal of everything from the legacy backend is broken off part of the way"),
    "relocate": (2, "an object goes on elsewhere; what is in flight finishes here without storage"),
    "deploy": (2, "an object gets new code; what is in flight finishes within its grace without storage"),
    "cpu-limit": (2, "an object has used up its CPU time: it is reset"),
    "memory-limit": (2, "an isolate has used up its memory: all its objects are reset"),
    "crash": (2, "an object is gone between two turns, with what was not durable"),
}
#: Seconds by value.
PARTITION_S: Final = (0.0, 0.5, 3.0, 10.0, 40.0)
CLOG_S: Final = (0.0, 0.2, 2.0, 15.0)
CLOCK_SKEW_S: Final = (0.0, 2.0, -2.0, 90.0, -90.0)
SHORT_TOKEN_S: Final = (0.0, 60.0, 31.0, 1.0)
SLOW_FLUSH_S: Final = (0.0, 0.05, 1.0, 20.0)
SLOW_READ_S: Final = (0.0, 0.05, 0.2, 2.0)
SLOW_READER_S: Final = (0.0, 1.0, 15.0)
HALF_OPEN_S: Final = 45.0
#: How long a direction that is clogged stays so.
CLOGGED_FOR_S: Final = 30.0
SLOW_FETCH_S: Final = 20.0
FETCH_TIMEOUT_S: Final = 100.0
LATE_ALARM_S: Final = (0.0, 0.5, 8.0, 60.0)
SLOW_SCHEDULER_S: Final = (0.0, 0.05, 1.0, 20.0)
#: Shares of plans: without any fault; with any number of them up to the most; of drawing one more otherwise;
#: of boundaries beyond those that were counted.
NO_FAULT: Final = 0.25
_ANY_NUMBER: Final = 0.4
_ONE_MORE: Final = 0.3
_BEYOND: Final = 0.125
#: Not a fault: that the commits of an object become durable by events of their own.
FLUSHES: Final = "flushes"
#: Those that make it matter when a commit becomes durable.
FLUSH_KINDS: Final = (
    "failed-flush", "slow-flush", "lost-flush", "torn-delete-all", "slow-scheduler", "failed-scheduler", "cpu-limit",
    "memory-limit", "crash", FLUSHES,
)  # fmt: skip


def with_flushes(plan: Mapping[str, int]) -> dict[str, int]:
    """``plan``, saying beside each fault for which it matters that flushes are events.

    They are whether or not the run ever comes to that fault; the tape has to say so where it does not.
    """
    added: dict[str, int] = {}
    for label in plan:
        target, _, boundary = label.rpartition("%")
        if boundary.partition("#")[0] in FLUSH_KINDS:
            added[fault_label(FLUSHES, target, 0)] = 1
    return {**plan, **added}


def _known_kinds(_: Any, __: Any, value: tuple[str, ...]) -> None:
    for kind in value:
        if kind not in KINDS:
            raise UsageError(f"fault kind {kind!r} is unknown; there is: {', '.join(KINDS)}")


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise UsageError(f"give several as a tuple: ({value!r},)")
    return tuple(value)


@attrs.frozen(kw_only=True)
class Faults:
    """Which faults a scenario must survive.

    Attributes:
        kinds: from `KINDS`; none by default.
        at_most: faults in one run; mostly there are none or one.
        targets: only boundaries of actors whose name begins with one of these; all if empty.
    """

    kinds: tuple[str, ...] = attrs.field(default=(), converter=_texts, validator=_known_kinds)
    at_most: int = 2
    targets: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    @classmethod
    def all(cls, *, at_most: int = 2) -> Faults:
        """Every kind."""
        return cls(kinds=tuple(KINDS.keys()), at_most=at_most)

    def __bool__(self) -> bool:
        return bool(self.kinds) and self.at_most > 0

    def to_json(self) -> dict[str, Any]:
        """For headers."""
        return {"kinds": list(self.kinds), "at_most": self.at_most, "targets": list(self.targets)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Faults:
        """The inverse of `to_json`."""
        return cls(kinds=tuple(data["kinds"]), at_most=data["at_most"], targets=tuple(data["targets"]))

    def places(self, census: Mapping[tuple[str, str], Sequence[int]]) -> dict[str, list[tuple[str, Sequence[int]]]]:
        """What of a census is meant: kind to the targets where it was possible, and to its boundaries there."""
        found: dict[str, list[tuple[str, Sequence[int]]]] = {kind: [] for kind in self.kinds}
        for (kind, target), possible in sorted(census.items()) if self else ():
            if kind in found and possible and (not self.targets or target.startswith(self.targets)):
                found[kind].append((target, possible))
        return {kind: targets for kind, targets in found.items() if targets}

    def draw(self, generator: random.Random, census: Mapping[tuple[str, str], Sequence[int]]) -> dict[str, int]:
        """A plan: label to value.

        One in four is empty, so that what needs an unusual order alone is not masked by what
        went wrong; of the others most have one fault.  See `draw_one`.
        """
        places = self.places(census)
        plan: dict[str, int] = {}
        if places and generator.random() >= NO_FAULT:
            for _ in range(self.how_many(generator)):
                label, value = draw_one(generator, places)
                plan[label] = value
        return with_flushes(plan)

    def how_many(self, generator: random.Random) -> int:
        """From 1 on; mostly one, and now and then any number."""
        if generator.random() < _ANY_NUMBER:
            return 1 + generator.randrange(self.at_most)
        many = 1
        while many < self.at_most and generator.random() < _ONE_MORE:
            many += 1
        return many


def draw_one(generator: random.Random, places: Mapping[str, Sequence[tuple[str, Sequence[int]]]]) -> tuple[str, int]:
    """One fault, label and value, at one of ``places``.

    The kind is drawn first, so that rare kinds are not drowned by frequent ones.  Then half the time a
    target and a boundary there, half the time any boundary of the kind, because neither an
    actor with few boundaries nor one with many shall be left out.  One in eight lies a little
    beyond what was counted, since schedules differ.
    """
    kind = generator.choice(list(places))
    value = 1 + generator.randrange(KINDS[kind][0] - 1)
    even = generator.random() < 0.5
    weights = [1 if even else len(possible) for _, possible in places[kind]]
    target, possible = generator.choices(places[kind], weights)[0]
    if generator.random() < _BEYOND:
        return fault_label(kind, target, generator.randrange(possible[-1] + 2 + possible[-1] // 4)), value
    return fault_label(kind, target, generator.choice(possible)), value

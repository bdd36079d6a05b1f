"""Options of a simulated world, with their units and defaults."""

from __future__ import annotations

import random
from typing import Any, Final

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.plan import FaultPlan, fault_label
from lumenize_sim.objects.options import MachineOptions, Runtime

__all__ = ["LATENCIES", "OPTIONS", "Network", "WorldOptions", "option_kind"]

#: The target of the choices that decide explored options.
OPTIONS: Final = "options"
#: Distributions of latencies in the timed model.
LATENCIES: Final = ("uniform", "exponential", "heavy-tailed")


def option_kind(name: str) -> str:
    """The kind of the choice that decides the option ``name``."""
    return f"option-{name.replace('_', '-')}"


def _known_model(_: Any, __: Any, value: str) -> None:
    if value not in ("asynchronous", "timed"):
        raise UsageError(f"network model {value!r} is unknown; use 'asynchronous' (order is the choice) or 'timed'")


def _known_span(_: Any, __: Any, value: tuple[float, float]) -> None:
    low, high = value
    if not 0 <= low <= high:
        raise UsageError(f"latency_s={value!r}: give the shortest and the longest latency of a hop, in seconds")


def _known_distribution(_: Any, __: Any, value: str) -> None:
    if value not in LATENCIES:
        raise UsageError(f"latency_is={value!r} is unknown; there is: {', '.join(LATENCIES)}")


@attrs.frozen(kw_only=True)
class Network:
    """How messages travel.

    Attributes:
        model: ``"asynchronous"``: whatever is under way may arrive next, and the clock moves
            only when nothing can, or over messages that may plausibly be that slow.
            ``"timed"``: each hop draws a latency, and order follows.
        max_delay_s: the longest that a message may plausibly be under way.
        latency_s: (shortest, longest) latency of a hop in the timed model.
        latency_is: how it is distributed between them: ``"uniform"``; ``"exponential"``, most of it in the first fifth;
            ``"heavy-tailed"``, nearly always short, and now and then very long (Pareto with exponent 1.2).
    """

    model: str = attrs.field(default="asynchronous", validator=_known_model)
    max_delay_s: float = 2.0
    latency_s: tuple[float, float] = attrs.field(default=(0.001, 0.050), validator=_known_span)
    latency_is: str = attrs.field(default="uniform", validator=_known_distribution)

    def to_json(self) -> dict[str, Any]:
        """For headers."""
        return {
            "model": self.model,
            "max_delay_s": self.max_delay_s,
            "latency_s": list(self.latency_s),
            "latency_is": self.latency_is,
        }


def _known_isolates(_: Any, __: Any, value: str) -> None:
    if value not in ("binding", "world", "object"):
        raise UsageError(f"isolates={value!r} is unknown; use 'binding', 'world' or 'object'")


@attrs.frozen(kw_only=True)
class WorldOptions:
    """What a run depends on besides scenario, seed and tape.

    Attributes:
        network: how messages travel.
        step_limit: events after which a run ends as ``step_limit``.
        turn_limit_s: real seconds that one turn may take without ever waiting.
        settle_s: how far ahead a settling world looks for timers of the foreground.
        hibernate_after_s: idle time after which an object hibernates (LC-14).
        evict_after_s: idle time after which one that cannot hibernate is evicted (LC-15).  ``None`` is what the
            runtime does: in production after a drawn time from 70 to 140 s, in workerd at the first of the sweeps,
            70 s apart, at which it has been idle for more than 70 s.
        isolates: which objects share one, and with it a fault of its memory (LC-37): ``"binding"``, those of one
            class; ``"world"``, all; ``"object"``, none do.
        epoch_ms: what the clock says when the run begins; default 2026-01-01.
        explore_tasks: offer the order of tasks within a turn as choices too.
        runtime: ``"production"`` or ``"workerd"``, for short: what ``objects`` has by default.
        objects: points that differ between platforms, or that the sources leave open.
    """

    network: Network = attrs.field(factory=Network)
    step_limit: int = 100_000
    turn_limit_s: float = 10.0
    settle_s: float = 60.0
    hibernate_after_s: float = 10.0
    evict_after_s: float | None = None
    isolates: str = attrs.field(default="binding", validator=_known_isolates)
    epoch_ms: int = 1_767_225_600_000
    explore_tasks: bool = False
    runtime: Runtime = "production"
    objects: MachineOptions = attrs.field(
        default=attrs.Factory(lambda self: MachineOptions(runtime=self.runtime), takes_self=True)
    )

    def __attrs_post_init__(self) -> None:
        # One of the two was enough to say which platform it is; whoever says both must mean the same.
        if self.objects.runtime != self.runtime:
            if self.runtime != "production":
                raise UsageError(
                    f"runtime={self.runtime!r}, but objects says {self.objects.runtime!r}; give one of them"
                )
            object.__setattr__(self, "runtime", self.objects.runtime)

    def draw(self, generator: random.Random) -> dict[str, int]:
        """A plan for the fields that are `EXPLORED`: each has its default in half of the runs."""
        plan: dict[str, int] = {}
        for name, bound in self.objects.explored.items():
            if generator.random() < 0.5:
                plan[fault_label(option_kind(name), OPTIONS, 0)] = generator.randrange(1, bound)
        return plan

    def decided(self, plan: FaultPlan) -> WorldOptions:
        """With every field that is `EXPLORED` as ``plan`` has it."""
        if not self.objects.explored:
            return self
        objects = self.objects.drawn(lambda name, bound: plan.at(option_kind(name), OPTIONS, bound))
        return attrs.evolve(self, objects=objects)

    def to_json(self) -> dict[str, Any]:
        """For headers of tapes and traces."""
        data = attrs.asdict(self, recurse=False)
        data["network"] = self.network.to_json()
        data["objects"] = self.objects.to_json()
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WorldOptions:
        """The inverse of `to_json`; unknown names are refused by attrs."""
        data = dict(data)
        network = dict(data.pop("network"))
        network["latency_s"] = tuple(network["latency_s"])
        return cls(network=Network(**network), objects=MachineOptions.from_json(data.pop("objects")), **data)

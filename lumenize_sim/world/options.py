"""Options of a simulated world, with their units and defaults."""

from __future__ import annotations

from typing import Any

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.objects.machine import MachineOptions

__all__ = ["Network", "WorldOptions"]


def _known_model(_: Any, __: Any, value: str) -> None:
    if value not in ("asynchronous", "timed"):
        raise UsageError(f"network model {value!r} is unknown; use 'asynchronous' (order is the choice) or 'timed'")


@attrs.frozen(kw_only=True)
class Network:
    """How messages travel.

    Attributes:
        model: ``"asynchronous"``: whatever is under way may arrive next, and the clock moves
            only when nothing can, or over messages that may plausibly be that slow.
            ``"timed"``: each hop draws a latency, and order follows.
        max_delay_s: the longest that a message may plausibly be under way.
        latency_s: (shortest, longest) latency of a hop in the timed model, uniform.
    """

    model: str = attrs.field(default="asynchronous", validator=_known_model)
    max_delay_s: float = 2.0
    latency_s: tuple[float, float] = (0.001, 0.050)

    def to_json(self) -> dict[str, Any]:
        """For headers."""
        return {"model": self.model, "max_delay_s": self.max_delay_s, "latency_s": list(self.latency_s)}


@attrs.frozen(kw_only=True)
class WorldOptions:
    """What a run depends on besides scenario, seed and tape.

    Attributes:
        network: how messages travel.
        step_limit: events after which a run ends as ``step_limit``.
        turn_limit_s: real seconds that one turn may take without ever waiting.
        settle_s: how far ahead a settling world looks for timers of the foreground.
        hibernate_after_s: idle time after which an object hibernates (LC-14).
        evict_after_s: idle time after which one that cannot hibernate is evicted (LC-15).
        epoch_ms: what the clock says when the run begins; default 2026-01-01.
        explore_tasks: offer the order of tasks within a turn as choices too.
        objects: points that the sources leave open.
    """

    network: Network = attrs.field(factory=Network)
    step_limit: int = 100_000
    turn_limit_s: float = 10.0
    settle_s: float = 60.0
    hibernate_after_s: float = 10.0
    evict_after_s: float = 140.0
    epoch_ms: int = 1_767_225_600_000
    explore_tasks: bool = False
    objects: MachineOptions = attrs.field(factory=MachineOptions)

    def to_json(self) -> dict[str, Any]:
        """For headers of tapes and traces."""
        data = attrs.asdict(self, recurse=False)
        data["network"] = self.network.to_json()
        data["objects"] = attrs.asdict(self.objects)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> WorldOptions:
        """The inverse of `to_json`; unknown names are refused by attrs."""
        data = dict(data)
        network = dict(data.pop("network"))
        network["latency_s"] = tuple(network["latency_s"])
        return cls(network=Network(**network), objects=MachineOptions(**data.pop("objects")), **data)

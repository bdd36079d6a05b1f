"""A rate limiter as an object, where the platform has a binding of its own kind (AU-33)."""

from __future__ import annotations

from typing import Any, ClassVar

from lumenize_sim.objects.context import DurableObject

__all__ = ["RateLimiter"]


class RateLimiter(DurableObject):
    """So many successes for each key in each period: bind ``LUMENIZE_AUTH_RATE_LIMITER`` to it, or to a subclass.

    What it counts is in memory, as on the platform: it is forgotten with the instance.

    Attributes:
        limit_per_period, period_s: 100 in a minute.
    """

    limit_per_period: ClassVar[int] = 100
    period_s: ClassVar[int] = 60

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self._period = -1
        self._counts: dict[str, int] = {}

    def limit(self, options: dict[str, Any]) -> dict[str, bool]:
        """Count one for ``options["key"]``; ``{"success": ...}`` says whether it was within the limit."""
        period = self.ctx.host.now_ms() // (self.period_s * 1000)
        if period != self._period:
            self._period, self._counts = period, {}
        key = str(options["key"])
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return {"success": count <= self.limit_per_period}

"""How long a gateway waits for a client whose socket has closed: an alarm, and nothing else (GW-1, GW-2).

That the alarm is near means that the client may still come back; so the answer is right after hibernation too.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import outcome

from lumenize_sim.clone.decode import number_of
from lumenize_sim.errors import UsageError
from lumenize_sim.objects.pending import Outcome

__all__ = ["GRACE_PERIOD_MS", "TEST_GRACE_PERIOD_MS", "GracePeriod"]

GRACE_PERIOD_MS = 5_000
TEST_GRACE_PERIOD_MS = 60_000


class GracePeriod:
    """Of one gateway."""

    def __init__(self, ctx: Any, env: Any) -> None:
        self._ctx = ctx
        self._env = env

    @property
    def length_ms(self) -> float:
        """As the app's variables have it (GW-1)."""
        override = self._variable("LUMENIZE_MESH_GRACE_PERIOD_MS")
        if override is not None:
            period_ms = number_of(override)
            if isfinite(period_ms) and period_ms >= 0:
                return period_ms
        return TEST_GRACE_PERIOD_MS if self._variable("LUMENIZE_MESH_TEST_MODE") == "true" else GRACE_PERIOD_MS

    def _variable(self, name: str) -> Any:
        try:
            return self._env[name]
        except KeyError:
            return None

    @property
    def ends_ms(self) -> int | None:
        """When the alarm is due, in epoch milliseconds; ``None`` where there is none.

        Raises:
            UsageError: the gateway's class has a backend whose storage does not answer at once.
        """
        found: list[Outcome] = []
        self._ctx.storage.get_alarm().when_done(found.append)
        if not found:
            raise UsageError(
                "the gateway's storage does not answer get_alarm() at once; bind its class with the sqlite backend"
            )
        result = found[0]
        if isinstance(result, outcome.Error):
            raise result.error
        alarm_ms: int | None = result.value
        return alarm_ms

    @property
    def running(self) -> bool:
        """Whether the client may still come back."""
        alarm_ms = self.ends_ms
        return alarm_ms is not None and alarm_ms <= self._ctx.host.now_ms() + self.length_ms

    @property
    def overdue(self) -> bool:
        """Whether the alarm is late."""
        alarm_ms = self.ends_ms
        return alarm_ms is not None and alarm_ms <= self._ctx.host.now_ms()

    def begin(self) -> None:
        """The socket has closed."""
        self._ctx.storage.set_alarm(int(self._ctx.host.now_ms() + self.length_ms))

    def end(self) -> None:
        """The client is back, or given up."""
        self._ctx.storage.delete_alarm()

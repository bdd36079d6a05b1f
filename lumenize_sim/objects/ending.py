"""How an instance may end: by what, what its callers hear, and who counts it.

Each way is a row of `ENDINGS`; what is left afterwards says the table of `life` under the
row's verb.
"""

from __future__ import annotations

from typing import Final

import attrs

from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.rpc_errors import DurableObjectError, disconnected, reset_error

__all__ = ["CODE_UPDATED", "ENDINGS", "NO_LONGER_ACTIVE", "Ending"]

#: A call that was in flight when new code was deployed, and took longer than its grace (LC-29).
CODE_UPDATED: Final = "Durable Object reset because its code was updated."
#: A call on a stub that is bound to an instance which another has replaced (LC-29, RPC-8).
NO_LONGER_ACTIVE: Final = (
    "Connection closed: this Durable Object instance is no longer active. Reconnect or retry the request."
)
#: The platform's reference is opaque and new each time; this one is the same in every replay (LC-42, OG-10).
FLUSH_FAILED: Final = "Internal error in Durable Object storage write caused object to be reset; reference = simulated"
CPU_LIMIT: Final = "Durable Object exceeded its CPU time limit and was reset."
MEMORY_LIMIT: Final = "Durable Object's isolate exceeded its memory limit and was reset."


@attrs.frozen
class Ending:
    """One way.

    Attributes:
        kind: as the trace and the count of faults call it.
        verb: the transition in `lumenize_sim.objects.life.PASSAGES`.
        message: what callers hear where nobody says anything else; empty for a lost connection (LC-41).
        overloaded: of that error (LC-44).
        breaks_stubs: stubs that were used before stay broken (RPC-8).
        thrown: user code has thrown it; where the platform marks such errors, it is remote (LC-45).
        loses_flush: what is on its way to disk cannot arrive there (LC-33).
        counted: an alarm whose handler it cuts off has used up one of its retries (AL-24).
    """

    kind: str
    verb: str = "break"
    message: str = ""
    overloaded: bool = False
    breaks_stubs: bool = True
    counted: bool = True
    loses_flush: bool = False
    thrown: bool = False

    def error(self) -> DurableObjectError:
        """A fresh error of this ending."""
        if not self.message:
            return disconnected()
        return reset_error(self.message, overloaded=self.overloaded)


def _table(*endings: Ending) -> dict[str, Ending]:
    table = {ending.kind: ending for ending in endings}
    if len(table) != len(endings):
        raise SimulatorError("two ways to end have one name")
    return table


ENDINGS: Final[dict[str, Ending]] = _table(
    Ending("hibernate", "hibernate", breaks_stubs=False, counted=False),  # LC-14
    Ending("evict", "evict", breaks_stubs=False, counted=False),  # LC-15
    Ending("deploy", "replace", CODE_UPDATED, counted=False),  # LC-25 to LC-29
    Ending("relocate", "replace", counted=False),  # LC-10 to LC-12
    Ending("reset", message="Durable Object was reset."),  # what has no better name
    Ending("abort", thrown=True),  # LC-32
    Ending("constructor", thrown=True),  # LC-31
    Ending("section", thrown=True),  # IG-20, IG-21
    Ending("throw", thrown=True),  # LC-30, as an option
    Ending("constraint", loses_flush=True),  # OG-31
    Ending("flush-failed", message=FLUSH_FAILED, counted=False, loses_flush=True),  # OG-10
    Ending("lock-timeout", overloaded=True, counted=False, loses_flush=True),  # OG-5
    Ending("alarm-timeout", overloaded=True),  # AL-16
    Ending("event-timeout"),  # WS-17
    Ending("inaccessible"),  # LC-26: it wrote where another instance has the storage, and did not look
    Ending("cpu-limit", message=CPU_LIMIT),  # LC-36
    Ending("memory-limit", message=MEMORY_LIMIT, overloaded=True),  # LC-37
    Ending("crash", counted=False),  # the process is gone
)

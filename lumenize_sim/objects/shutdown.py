"""``pre_shutdown``: the last word of an instance that is to end as planned (LC-23; a beta of the platform).

The handler has ten seconds.  What it raises is logged and ignored; what it writes is
durable before the next constructor runs.  Meanwhile events wait for the next instance.
It is not called where an instance breaks or its process is lost.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import attrs

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.ending import Ending
from lumenize_sim.objects.life import Passage
from lumenize_sim.objects.pending import Outcome

if TYPE_CHECKING:
    from lumenize_sim.objects.incarnation import Incarnation
    from lumenize_sim.objects.machine import ObjectMachine

__all__ = ["PLANNED", "SHUTDOWN_S", "Shutdown", "ShutdownInfo"]

#: Transitions before which the handler is called.
PLANNED: Final = frozenset({"hibernate", "evict", "replace"})
#: How long the handler may take.
SHUTDOWN_S: Final = 10


@attrs.frozen
class ShutdownInfo:
    """Why an instance ends.

    Attributes:
        reason: ``"inactive"``: nothing was asked of it for long, or it moves; ``"codeUpdated"``: new code is deployed.
    """

    reason: Literal["inactive", "codeUpdated"]


class Shutdown:
    """One last word.  Begins at once, as an event of ``incarnation``; ends with `Succession.leave`."""

    __slots__ = ("_ending", "_incarnation", "_limit", "_machine", "_passage", "waiting")

    def __init__(self, machine: ObjectMachine, incarnation: Incarnation, ending: Ending, passage: Passage) -> None:
        self._machine = machine
        self._incarnation = incarnation
        self._ending = ending
        self._passage = passage
        self.waiting: list[Arrival] = []
        host = machine.host
        label = f"{machine.name}!pre-shutdown{incarnation.number}"
        info = ShutdownInfo("codeUpdated" if ending.kind == "deploy" else "inactive")

        def run(incarnation: Incarnation) -> None:
            incarnation.invoke(label, "pre_shutdown", (info,), None, ended=said)

        def said(result: Outcome) -> None:
            incarnation.background_ended(result)
            # In a turn of its own: what this one writes is not committed yet.
            host.post(f"{label}/end", self._finish)

        def begin() -> None:
            if not incarnation.dead:
                incarnation.arrive(Arrival("shutdown", label, None, run))

        host.post(label, begin)
        self._limit = host.post_at(f"{label}/limit", self._finish, host.now_us() + SHUTDOWN_S * 1_000_000)

    def _finish(self) -> None:
        succession = self._machine.succession
        if succession.shutdown is self:
            succession.leave(self._ending, self._passage)

    def over(self) -> None:
        """The instance has ended, in this way or another: what waited arrives at the next one."""
        self._limit.cancel()
        machine = self._machine
        for nth, arrival in enumerate(self.waiting):
            label = f"{machine.name}!pre-shutdown{self._incarnation.number}/waited#{nth}"
            machine.host.post(label, partial(machine.arrive, arrival))

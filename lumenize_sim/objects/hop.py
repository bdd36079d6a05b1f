"""The hop of HTTP messages that leave an object: through the output gate, then the input gate once more (IG-14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lumenize_sim.objects.arrival import Arrival
from lumenize_sim.objects.strand import strand_var

if TYPE_CHECKING:
    from lumenize_sim.objects.gate import Gate
    from lumenize_sim.objects.incarnation import Incarnation

__all__ = ["Hop"]


class Hop:
    """One outgoing request, or the response of a ``fetch`` handler.  An effect; the object is not idle meanwhile.

    Args:
        label: of the message.
        send: lets it go, in the turn that the hop ends with.
    """

    __slots__ = ("incarnation", "label", "section", "send", "strand")

    def __init__(self, incarnation: Incarnation, label: str, send: Callable[[], None]) -> None:
        strand = strand_var.get()
        self.incarnation = incarnation
        self.label = label
        self.send = send
        self.section: Gate[Arrival] = incarnation.gate
        self.strand: str | None = None
        if strand is not None and strand.owner is incarnation.owner:
            self.section, self.strand = strand.section, strand.event
        incarnation.work.clients += 1

    def __call__(self) -> None:
        incarnation, label = self.incarnation, f"{self.label}/hop"
        host = incarnation.machine.host

        def turn(_: Incarnation) -> None:
            incarnation.work.clients -= 1
            self.send()

        def fire() -> None:
            if not incarnation.dead:
                arrival = Arrival("resume", label, self.section.live(), turn, cause=host.cause())
                arrival.strand = self.strand
                incarnation.arrive(arrival)

        host.post_hop(label, fire)

    def hold(self) -> None:
        """It has to wait: what it sends is fixed."""
        hold = getattr(self.send, "hold", None)
        if hold is not None:
            hold()

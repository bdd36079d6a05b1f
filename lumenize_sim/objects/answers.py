"""What an incarnation owes to those outside: the reply to a call, and word of how a handler ended."""

from __future__ import annotations

from collections.abc import Callable

from lumenize_sim.objects.isolate import Effect
from lumenize_sim.objects.pending import Outcome

__all__ = ["Answer", "End", "Ended", "Reply"]

Reply = Callable[[Outcome], None]
#: Hears how a handler ended; may answer with an effect that makes the end known outside.
Ended = Callable[[Outcome], "Effect | None"]


class Answer:
    """A reply on its way through the output gate.

    Owed until it really leaves: a caller whose answer is held when the instance dies hears that.
    """

    __slots__ = ("inflight", "key", "result")

    def __init__(self, inflight: dict[int, Reply], key: int, result: Outcome) -> None:
        self.inflight = inflight
        self.key = key
        self.result = result

    def __call__(self) -> None:
        reply = self.inflight.pop(self.key, None)
        if reply is not None:
            reply(self.result)

    def hold(self) -> None:
        """It has to wait: later changes of the result are not to be seen (RPC-6)."""
        hold = getattr(self.inflight.get(self.key), "hold", None)
        if hold is not None:
            hold(self.result)


class End:
    """The end of a handler on its way through the output gate."""

    __slots__ = ("effect", "key", "unended")

    def __init__(self, unended: dict[int, Ended], key: int, effect: Effect) -> None:
        self.unended = unended
        self.key = key
        self.effect = effect

    def __call__(self) -> None:
        if self.unended.pop(self.key, None) is not None:
            self.effect()

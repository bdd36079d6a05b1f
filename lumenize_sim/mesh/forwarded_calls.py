"""Calls that a gateway has forwarded to its client and that are not answered yet (GW-25, GW-32 to GW-34)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import outcome

from lumenize_sim.clone import UNDEFINED, postprocess
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.envelope import Failure, Result, encode_failure
from lumenize_sim.mesh.errors import ClientDisconnectedError
from lumenize_sim.objects.host import TimerHandle
from lumenize_sim.objects.pending import Pending

__all__ = ["CLIENT_CALL_TIMEOUT_S", "Answer", "ForwardedCalls"]

CLIENT_CALL_TIMEOUT_S = 30.0

Answer = Result | Failure


@attrs.frozen
class _Forwarded:
    answer: Pending[Answer]
    timer: TimerHandle


class ForwardedCalls:
    """In memory only; each fails after a while, and an answer finds it from whichever socket it comes."""

    def __init__(self, ctx: Any, client_name: Callable[[], str | None]) -> None:
        self._ctx = ctx
        self._client_name = client_name
        self._calls: dict[str, _Forwarded] = {}

    def add(self, call_id: str) -> Pending[Answer]:
        """One has left; settles with its answer."""
        timer = self._ctx.host.set_timer(self._ctx.owner, CLIENT_CALL_TIMEOUT_S, partial(self._timed_out, call_id))
        answer: Pending[Answer] = Pending("client call")
        self._calls[call_id] = _Forwarded(answer, timer)
        return answer

    def answered(self, frame: dict[str, Any]) -> bool:
        """The client has answered (GW-25); False where nobody waits for it."""
        call_id = frame.get("callId")
        forwarded = self._calls.pop(call_id, None) if isinstance(call_id, str) else None
        if forwarded is None:
            return False
        forwarded.timer.cancel()
        answer: Answer
        try:
            if frame.get("success"):
                answer = Result(postprocess(frame.get("result", UNDEFINED)))
            else:
                answer = encode_failure(messages.error_from_wire(frame.get("error", UNDEFINED)))
        except Exception as error:
            answer = encode_failure(error)  # upstream leaves the caller waiting for ever
        forwarded.answer.settle(outcome.Value(answer))
        return True

    def _timed_out(self, call_id: str) -> None:
        """GW-33: the call fails, the socket stays open."""
        forwarded = self._calls.pop(call_id)
        late = ClientDisconnectedError("Client call timed out", self._client_name())
        forwarded.answer.settle(outcome.Value(encode_failure(late)))

"""``svc.fetch``: an HTTP request whose answer comes back as a call, with an alarm as backstop (FE-1 … FE-10).

An object that awaited a slow request would be billed all the while, and would lose the
answer with its memory.  So it only writes down what to do with the answer (an alarm,
in its own storage), asks a Worker to make the request, and is done.  The Worker delivers
by a call of its own.  Whichever of the two comes first, answer or alarm, takes the
alarm's row away, and the other finds nothing: exactly one of them reaches the handler.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from lumenize_sim.clone import RequestSync, parse, register_error, stringify
from lumenize_sim.errors import AppError
from lumenize_sim.mesh.chain import is_awaitable, with_result
from lumenize_sim.mesh.continuation import Handler, OperationChain, continuation_from_chain, get_operation_chain
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.services.registry import NadisPlugin

__all__ = ["FETCH_EXECUTOR_BINDING", "Fetch", "FetchTestMode", "FetchTimeoutError"]

#: The Worker that makes requests, unless another is named.
FETCH_EXECUTOR_BINDING: Final = "FETCH_EXECUTOR"
TIMEOUT_MS: Final = 30_000
_NO_BINDING: Final = (
    "Cannot use proxy() from DO without bindingName. Ensure DO's identity is initialized via automatic identity "
    "propagation by first being called via routeDORequest or this.lmz.call()."
)


class FetchTimeoutError(AppError):
    """No answer in time (FE-8).

    Attributes:
        url: that was asked for.
    """

    def __init__(self, message: str = "", url: str = "") -> None:
        super().__init__(message)
        self.url = url


register_error(FetchTimeoutError)


@attrs.frozen(kw_only=True)
class FetchTestMode:
    """What a test may do to one request.

    Attributes:
        alarm_timeout_ms: when the backstop comes, instead of at the timeout (FE-2).
        simulate_delivery_failure: the answer is not delivered (FE-5).
    """

    alarm_timeout_ms: float | None = None
    simulate_delivery_failure: bool = False


class Fetch(NadisPlugin):
    """See the module."""

    def __init__(self, do_instance: Any) -> None:
        super().__init__(do_instance)
        self._alarms = self.svc.alarms

    def proxy(
        self,
        request: str | RequestSync,
        continuation: Handler,
        *,
        timeout_ms: float = TIMEOUT_MS,
        executor_binding: str = FETCH_EXECUTOR_BINDING,
        req_id: str | None = None,
        test_mode: FetchTestMode | None = None,
    ) -> str:
        """Have a Worker make ``request``; ``self.ctn().on_answer(RESULT)`` runs later, once.

        The handler hears a `ResponseSync` whatever its status, the error of a request that failed, or a
        `FetchTimeoutError`.  It needs no ``@mesh``, and survives the loss of this object's memory.

        Returns:
            The id of the request, by default a UUID.

        Raises:
            MeshError: no continuation, or this object does not know its own binding yet (FE-1).
        """
        chain = get_operation_chain(continuation)
        if chain is None:
            raise MeshError("Invalid continuation: must be created with this.ctn()")
        lmz = self.do_instance.lmz
        if lmz.binding_name is None:
            raise MeshError(_NO_BINDING)
        mode = test_mode or FetchTestMode()
        req_id = str(lmz.uuid()) if req_id is None else req_id
        url = request if isinstance(request, str) else request.url
        late = FetchTimeoutError(f"Fetch timeout - request exceeded {timeout_ms:g}ms timeout period", url)
        wait_ms = timeout_ms if mode.alarm_timeout_ms is None else mode.alarm_timeout_ms
        backstop = self.do_instance.ctn().svc.fetch.deliver(req_id, late, stringify(chain))
        self._alarms.schedule(wait_ms / 1000, backstop, id=req_id)
        message = {
            "reqId": req_id,
            "request": request,
            "originBinding": lmz.binding_name,
            "originId": self._origin(),
            "options": {"testMode": {"simulateDeliveryFailure": mode.simulate_delivery_failure}},
            "fetchTimeout": timeout_ms,
        }
        # Written down rather than through ctn(FetchExecutor): another class may be bound there.
        asked: OperationChain = [{"type": "get", "key": "executeFetch"}, {"type": "apply", "args": [message]}]
        lmz.call(executor_binding, None, continuation_from_chain(asked))
        return req_id

    def direct(self, *_: Any, **__: Any) -> Any:
        """Not there in the original either (FE-9)."""
        raise MeshError("Fetch.direct() is not yet implemented. Use Fetch.proxy() for now.")

    def _origin(self) -> str:
        """Where the answer goes: the name if there is one.

        By the id the original sends it where a name is stored already, which refuses another (FE-10).
        """
        lmz = self.do_instance.lmz
        if lmz.compat != "0.26" and lmz.instance_name is not None:
            return str(lmz.instance_name)
        return str(self.ctx.id)

    def deliver(self, req_id: str, result: Any, text: str | None = None) -> Any:
        """Answer or backstop is here: whoever comes first runs the handler (FE-7).  For the alarm and `LumenizeDO`."""
        schedule = self._alarms.cancel_schedule(req_id)
        if schedule is None:
            return None
        chain = parse(text if text is not None else schedule.operation_chain[-1]["args"][2])
        handler = with_result(chain, result, self.do_instance)
        running = self.do_instance._local_chain_executor(handler, require_mesh_decorator=False)
        return running if is_awaitable(running) else None


NadisPlugin.register("fetch", Fetch)

"""Where the answer of a call that nobody awaits goes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import outcome

from lumenize_sim.mesh.chain import execute_operation_chain, is_awaitable, with_result
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.objects.pending import Outcome, Pending

if TYPE_CHECKING:
    from lumenize_sim.mesh.lmz import LmzApi

__all__ = ["Delivery"]

_FIRE_AND_FORGET = "lmz.mesh.lmzApi.setupFireAndForgetHandler"


class Delivery:
    """The second half of ``call``: the answer goes to the handler, or into the log (CALL-24 … CALL-30)."""

    __slots__ = ("finished", "handler", "lmz", "on_error_only")

    def __init__(
        self, lmz: LmzApi, handler: OperationChain | None, on_error_only: bool, finished: Pending[None]
    ) -> None:
        self.lmz = lmz
        self.handler = handler
        self.on_error_only = on_error_only
        self.finished = finished

    async def later(self, answer: Pending[Any]) -> None:
        """As `arrived`, in a task of its own: for an answer that is there already."""
        answer.when_done(self.arrived)

    def arrived(self, result: Outcome) -> None:
        """The answer is there: hand it on, and settle ``finished`` when all is done."""
        failed = isinstance(result, outcome.Error)
        if self.handler is None:
            if isinstance(result, outcome.Error):
                self.lmz._log(
                    _FIRE_AND_FORGET,
                    "fire-and-forget call failed with no handler to receive the error",
                    {"error": str(result.error)},
                )
            self.done()
        elif failed or not self.on_error_only:
            self.deliver(result.error if isinstance(result, outcome.Error) else result.value, retry=not failed)
        else:
            self.done()

    def deliver(self, value: Any, *, retry: bool) -> None:
        assert self.handler is not None
        node = self.lmz._node
        try:
            running = execute_operation_chain(
                with_result(self.handler, value, node), node, require_mesh_decorator=False, local=True
            )
        except Exception as error:
            self.failed(error, retry)
            return
        if is_awaitable(running):
            self.lmz._ctx.owner.spawn(self.finish, running, retry)
        else:
            self.done()

    async def finish(self, running: Awaitable[Any], retry: bool) -> None:
        try:
            await running
        except Exception as error:
            self.failed(error, retry)
        else:
            self.done()

    def failed(self, error: Exception, retry: bool) -> None:
        if retry:
            # As the original does: the handler hears its own failure as if the call had failed (CALL-28).
            self.deliver(error, retry=False)
            return
        message = "failed to deliver fire-and-forget result/error to handler"
        self.lmz._log(_FIRE_AND_FORGET, message, {"error": str(error)})
        self.done()

    def done(self) -> None:
        self.finished.settle(outcome.Value(None))

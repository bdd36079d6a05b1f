"""The Worker that makes the requests of ``svc.fetch`` (FE-3 to FE-6)."""

from __future__ import annotations

from typing import Any, Final

import trio

from lumenize_sim.clone import Headers, RemoteError, RequestSync, ResponseSync
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.decorators import mesh
from lumenize_sim.mesh.worker import LumenizeWorker

__all__ = ["FetchExecutor"]

_NAMESPACE: Final = "lmz.proxyFetch.worker"


class FetchExecutor(LumenizeWorker):
    """Makes requests for ``svc.fetch``; bind it as ``FETCH_EXECUTOR`` (FE-4)."""

    @mesh
    def execute_fetch(self, message: dict[str, Any]) -> None:
        """Begin one request, and acknowledge at once."""
        self.ctx.wait_until(self._execute(message))

    async def _execute(self, message: dict[str, Any]) -> None:
        result: Any
        try:
            result = await self._fetch(message["request"], message["fetchTimeout"])
        except Exception as error:
            result = error
        mode = message.get("options", {}).get("testMode") or {}
        if mode.get("simulateDeliveryFailure"):
            return
        delivery: OperationChain = [
            {"type": "get", "key": "__handleProxyFetchResult"},
            {"type": "apply", "args": [message["reqId"], result]},
        ]
        try:
            await self.lmz.call_raw(message["originBinding"], message["originId"], delivery)
        except Exception as error:
            # The backstop tells the handler (FE-6).
            self.lmz._log(_NAMESPACE, "could not deliver", {"reqId": message["reqId"], "error": str(error)})

    async def _fetch(self, request: str | RequestSync, timeout_ms: float) -> ResponseSync:
        if isinstance(request, str):
            request = RequestSync(request)
        with trio.move_on_after(timeout_ms / 1000):
            response = await self.ctx.host.fetch(
                self.ctx.owner,
                request.url,
                method=request.method,
                headers=dict(request.headers),
                body=request.array_buffer() or None,
            )
            return ResponseSync.from_parts(
                response.status_code, Headers(response.headers.multi_items()), response.content, response.reason_phrase
            )
        raise RemoteError("This operation was aborted", name="AbortError")

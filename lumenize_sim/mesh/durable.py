"""Durable Objects of a mesh (DO- rules)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from lumenize_sim.errors import AppError
from lumenize_sim.mesh.chain import execute_operation_chain, is_awaitable
from lumenize_sim.mesh.cluster_lmz import DurableObjectLmz
from lumenize_sim.mesh.context import call_context_var
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.decorators import mesh
from lumenize_sim.mesh.envelope import Envelope, execute_envelope, unsupported_version
from lumenize_sim.mesh.node import MeshNode
from lumenize_sim.mesh.services import Services
from lumenize_sim.mesh.services.alarms import recover
from lumenize_sim.objects.http import Request, Response

__all__ = ["LumenizeDO", "identity_from_headers"]

BINDING_HEADER = "x-lumenize-do-binding-name"
INSTANCE_HEADER = "x-lumenize-do-instance-name-or-id"

_OBJECT_ID = re.compile(r"[a-f0-9]{64}")


class LumenizeDO(MeshNode):
    """A stateful node.  Subclass it, mark methods with ``@mesh``, keep state in ``self.ctx.storage``.

    Attributes:
        ctx: the object's storage, sockets and life cycle.
        env: the app's bindings.
        lmz: identity and calls.
        svc: services.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A node is stored on SQLite: who it is stands in ``ctx.storage.kv``, which the legacy backend has not."""
        super().__init_subclass__(**kwargs)
        if getattr(cls, "storage_backend", "sqlite") == "kv":
            raise AppError(
                f"{cls.__qualname__}.storage_backend is 'kv', but a LumenizeDO keeps its identity in ctx.storage.kv, "
                "which only SQLite has. Leave it out, or derive from DurableObject"
            )

    def __init__(self, ctx: Any, env: Any) -> None:
        self.ctx = ctx
        self.env = env
        self.lmz = DurableObjectLmz(self)
        self.svc: Services = Services(self, self.lmz._log)

    def on_start(self) -> Awaitable[None] | None:
        """Override to prepare the object, synchronously or not; no event is delivered before it ends (DO-1)."""
        return None

    def on_request(self, request: Request) -> Any:
        """Override to answer HTTP requests (DO-3)."""
        return Response(501, "Not Implemented: override onRequest() to handle HTTP requests")

    def fetch(self, request: Request) -> Any:
        """An HTTP request arrived: take the identity from its headers, then `on_request` (DO-3, CTX-3)."""
        refusal = self._init_from_headers(request.headers)
        if refusal is not None:
            return refusal
        return self.on_request(request)

    def alarm(self, info: Any = None) -> Any:
        """The native alarm fired; it belongs to ``svc.alarms`` (DO-5)."""
        return self.svc.alarms.alarm(info)

    @mesh(name="__handleProxyFetchResult")
    async def handle_proxy_fetch_result(self, req_id: str, result: Any) -> None:
        """The answer to a request of ``svc.fetch``, from the Worker that made it (FE-6).

        The original enters through ``svc`` here, which no remote caller may.  Whoever calls this has to know the
        id of a request that is still open.
        """
        running = self.svc.fetch.deliver(req_id, result)
        if running is not None:
            await running

    def _init_from_headers(self, headers: Any) -> Response | None:
        """For subclasses that override `fetch` without calling it: the refusal, or ``None`` (DO-4)."""
        return identity_from_headers(headers, self.lmz, "LumenizeDO")

    def _after_construct(self) -> None:
        """The machine calls this when the subclass's constructor is complete, in the same turn (DO-1)."""
        if type(self).on_start is not LumenizeDO.on_start:
            self.ctx.block_concurrency_while(self._start)
        else:
            self._after_start()

    async def _start(self) -> None:
        token = call_context_var.set(None)
        try:
            starting = self.on_start()
            if is_awaitable(starting):
                assert starting is not None
                await starting
        except Exception as error:
            self.lmz._log("lmz.mesh.LumenizeDO.onStart", "onStart() failed", {"error": str(error)})
            raise
        finally:
            call_context_var.reset(token)
        self._after_start()

    def _after_start(self) -> None:
        """Recover what services left behind; runs after `on_start`, and not at all if that raised (DO-2, AL-20)."""
        recover(self)

    def _execute_operation(self, envelope: Envelope) -> Any:
        """A mesh call arrived: its response, or an awaitable of it (DO-6)."""
        if envelope.version != 1:
            text = str(unsupported_version(envelope.version, "LumenizeDO"))
            self.lmz._log("lmz.mesh.LumenizeDO.__executeOperation", text.partition(".")[0], {})
        return execute_envelope(envelope, self, "LumenizeDO")

    def _execute_chain(self, chain: OperationChain) -> Any:
        """Run a chain as if it came from outside: the ``@mesh`` check is always on (DO-6)."""
        return execute_operation_chain(chain, self)

    @property
    def _local_chain_executor(self) -> Callable[..., Any]:
        """``run(chain, require_mesh_decorator=True)`` for trusted chains of this very object (DO-6)."""
        return local_executor(self)


def local_executor(node: Any) -> Callable[..., Any]:
    def run(chain: OperationChain, require_mesh_decorator: bool = True) -> Any:
        return execute_operation_chain(chain, node, require_mesh_decorator=require_mesh_decorator, local=True)

    return run


def identity_from_headers(headers: Any, lmz: Any, node_type_name: str = "mesh node") -> Response | None:
    """Stamp the identity that the router put into a request's headers (LMZ-8 … LMZ-10).

    Args:
        headers: case-insensitive mapping; empty values count as absent.
        lmz: has ``init_identity``.
        node_type_name: for the refusal.

    Returns:
        ``None`` to go on; a 400 if the instance is an id and no name, with nothing stamped; a 500 on a mismatch.
    """
    binding = headers.get(BINDING_HEADER) or None
    instance = headers.get(INSTANCE_HEADER) or None
    if binding is None and instance is None:
        return None
    if instance is not None and _OBJECT_ID.fullmatch(instance):
        return Response(400, f"{node_type_name} requires instanceName, not a DO id string.")
    try:
        lmz.init_identity(binding, instance)
    except Exception as error:
        return Response(500, str(error))
    return None

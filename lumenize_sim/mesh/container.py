"""Containers in the mesh: an object whose requests are answered by a program beside it (CO-1 … CO-5).

`LumenizeContainer` goes in front of the platform's container class, whichever that is:
``class Renderer(LumenizeContainer, Container)``.  It adds the mesh to it and takes nothing
away: alarms and the start belong to the class behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final, Protocol

from lumenize_sim.mesh.chain import execute_operation_chain
from lumenize_sim.mesh.cluster_lmz import DurableObjectLmz
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.durable import identity_from_headers, local_executor
from lumenize_sim.mesh.envelope import Envelope, execute_envelope
from lumenize_sim.mesh.node import MeshNode
from lumenize_sim.objects.context import DurableObject
from lumenize_sim.objects.http import Request, Response

__all__ = ["Container", "LumenizeContainer", "strip_container_target_port"]

#: Chooses a port of the container; a caller from outside must not (CO-3).
TARGET_PORT_HEADER: Final = "cf-container-target-port"


def strip_container_target_port(request: Request) -> Request:
    """``request`` without the header that chooses a port: a copy, or itself where it has none (CO-5)."""
    if TARGET_PORT_HEADER not in request.headers:
        return request
    kept = [(name, value) for name, value in request.headers.multi_items() if name.lower() != TARGET_PORT_HEADER]
    return Request.of(request, headers=kept)


class Container(DurableObject):
    """What the platform's container class is to the mesh: an object with a program beside it.

    Attributes:
        enable_internet: the program may reach the network (CO-4).
    """

    enable_internet: ClassVar[bool] = False

    def fetch(self, request: Request) -> Response | Awaitable[Response]:
        """Hand the request to the program."""
        return self.serve(request)

    def serve(self, request: Request) -> Response | Awaitable[Response]:
        """Override: what the program answers; it may be async."""
        return Response(503, "There is no container instance that can be provided to this durable object")


class _Base(Protocol):
    def fetch(self, request: Request) -> Any: ...


class LumenizeContainer(MeshNode):
    """A node whose requests go to a container.

    Attributes:
        ctx, env: as of any object.
        lmz: identity and calls; its type is that of an object (LMZ-1).
    """

    def __init__(self, ctx: Any, env: Any) -> None:
        base: Callable[[Any, Any], None] = super().__init__  # type: ignore[assignment]  # of the class behind
        base(ctx, env)
        self.ctx = ctx
        self.env = env
        self.lmz = DurableObjectLmz(self)

    def fetch(self, request: Request) -> Any:
        """Take the identity from the headers, then hand the request on without a port of its choosing (CO-3)."""
        refusal = identity_from_headers(request.headers, self.lmz, "LumenizeContainer")
        if refusal is not None:
            return refusal
        base: _Base = super()  # type: ignore[assignment]  # the class behind
        return base.fetch(strip_container_target_port(request))

    def _execute_operation(self, envelope: Envelope) -> Any:
        """A mesh call arrived: its response, or an awaitable of it.  Not by `fetch`, so past the container (CO-4)."""
        return execute_envelope(envelope, self, "LumenizeContainer")

    def _execute_chain(self, chain: OperationChain) -> Any:
        """Run a chain as if it came from outside: the ``@mesh`` check is always on."""
        return execute_operation_chain(chain, self)

    @property
    def _local_chain_executor(self) -> Callable[..., Any]:
        """``run(chain, require_mesh_decorator=True)`` for trusted chains of this very instance."""
        return local_executor(self)

"""Workers of a mesh: stateless, one instance for each call (WK- rules)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lumenize_sim.mesh.chain import execute_operation_chain
from lumenize_sim.mesh.cluster_lmz import WorkerLmz
from lumenize_sim.mesh.continuation import OperationChain
from lumenize_sim.mesh.decorators import mesh
from lumenize_sim.mesh.durable import local_executor
from lumenize_sim.mesh.envelope import Envelope, execute_envelope
from lumenize_sim.mesh.node import MeshNode
from lumenize_sim.mesh.services.broadcast import forward, pass_on
from lumenize_sim.objects.worker import WorkerEntrypoint

__all__ = ["LumenizeWorker"]


class LumenizeWorker(MeshNode, WorkerEntrypoint):
    """A stateless node.  What it keeps on ``self`` is gone with the next call (LMZ-2).

    Attributes:
        ctx: has ``wait_until``.
        env: the app's bindings.
        lmz: identity and calls.
    """

    def __init__(self, ctx: Any, env: Any) -> None:
        WorkerEntrypoint.__init__(self, ctx, env)
        self.lmz = WorkerLmz(self)

    def _execute_operation(self, envelope: Envelope) -> Any:
        """A mesh call arrived: its response, or an awaitable of it."""
        return execute_envelope(envelope, self, "LumenizeWorker")

    def _execute_chain(self, chain: OperationChain) -> Any:
        """Run a chain as if it came from outside: the ``@mesh`` check is always on."""
        return execute_operation_chain(chain, self)

    @mesh(name="__broadcastTier")
    def broadcast_tier(self, targets: list[Any], remote: OperationChain, branch: int, on_result: Any = None) -> None:
        """One Worker of the tree of ``svc.broadcast``: calls its targets, or splits them (WK-4, BC-4)."""
        pass_on(self, targets, remote, branch, on_result)

    @mesh(name="__forwardBroadcastResult")
    def forward_broadcast_result(self, chain: OperationChain, result: Any) -> None:
        """A call of this Worker for ``svc.broadcast`` has failed: tell the origin of the call chain (WK-4, BC-8)."""
        forward(self.lmz, chain, result)

    @property
    def _local_chain_executor(self) -> Callable[..., Any]:
        """``run(chain, require_mesh_decorator=True)`` for trusted chains of this very instance."""
        return local_executor(self)

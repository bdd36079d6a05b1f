"""The programming model: nodes, calls, continuations, call context."""

from __future__ import annotations

from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.chain import (
    execute_operation_chain,
    replace_nested_operation_markers,
    validate_operation_chain,
)
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.mesh.context import CallContext, NodeIdentity, OriginAuth
from lumenize_sim.mesh.continuation import (
    RESULT,
    Continuation,
    Handler,
    OperationChain,
    continuation_from_chain,
    get_operation_chain,
    is_nested_operation_marker,
    new_continuation,
)
from lumenize_sim.mesh.debug import debug
from lumenize_sim.mesh.decorators import get_mesh_guard, is_mesh_callable, mesh, mesh_fn
from lumenize_sim.mesh.durable import LumenizeDO
from lumenize_sim.mesh.errors import ClientDisconnectedError, LoginRequiredError, MeshError
from lumenize_sim.mesh.fetch_executor import FetchExecutor
from lumenize_sim.mesh.gateway import LumenizeClientGateway
from lumenize_sim.mesh.lmz import LmzApi
from lumenize_sim.mesh.names import to_python, to_wire, wire
from lumenize_sim.mesh.services import FetchTimeoutError, NadisPlugin
from lumenize_sim.mesh.worker import LumenizeWorker

__all__ = [
    "RESULT",
    "CallContext",
    "ClientConfig",
    "ClientDisconnectedError",
    "Continuation",
    "FetchExecutor",
    "FetchTimeoutError",
    "Handler",
    "LmzApi",
    "LoginRequiredError",
    "LumenizeClient",
    "LumenizeClientGateway",
    "LumenizeDO",
    "LumenizeWorker",
    "Mesh",
    "MeshError",
    "NadisPlugin",
    "NodeIdentity",
    "OperationChain",
    "OriginAuth",
    "continuation_from_chain",
    "debug",
    "execute_operation_chain",
    "get_mesh_guard",
    "get_operation_chain",
    "is_mesh_callable",
    "is_nested_operation_marker",
    "mesh",
    "mesh_fn",
    "new_continuation",
    "replace_nested_operation_markers",
    "to_python",
    "to_wire",
    "validate_operation_chain",
    "wire",
]

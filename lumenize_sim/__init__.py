"""The mesh of Durable Objects, Workers and clients in Python, and a deterministic simulator for its races."""

from __future__ import annotations

from lumenize_sim.clone import UNDEFINED as UNDEFINED
from lumenize_sim.clone import AggregateError as AggregateError
from lumenize_sim.clone import DataCloneError as DataCloneError
from lumenize_sim.clone import RangeError as RangeError
from lumenize_sim.errors import AppError as AppError
from lumenize_sim.errors import SimulatorError as SimulatorError
from lumenize_sim.errors import UsageError as UsageError
from lumenize_sim.explore import Enumeration as Enumeration
from lumenize_sim.explore import Report as Report
from lumenize_sim.explore import Run as Run
from lumenize_sim.explore import enumerate_behaviours as enumerate_behaviours
from lumenize_sim.explore import explore as explore
from lumenize_sim.explore import replay as replay
from lumenize_sim.explore import simulate as simulate
from lumenize_sim.mesh import RESULT as RESULT
from lumenize_sim.mesh import LumenizeClient as LumenizeClient
from lumenize_sim.mesh import LumenizeClientGateway as LumenizeClientGateway
from lumenize_sim.mesh import LumenizeDO as LumenizeDO
from lumenize_sim.mesh import LumenizeWorker as LumenizeWorker
from lumenize_sim.mesh import Mesh as Mesh
from lumenize_sim.mesh import mesh as mesh
from lumenize_sim.objects import EXPLORED as EXPLORED
from lumenize_sim.objects import AlarmInfo as AlarmInfo
from lumenize_sim.objects import DurableObject as DurableObject
from lumenize_sim.objects import DurableObjectError as DurableObjectError
from lumenize_sim.objects import DurableObjectState as DurableObjectState
from lumenize_sim.objects import MachineOptions as MachineOptions
from lumenize_sim.objects import Pending as Pending
from lumenize_sim.objects import PriceTable as PriceTable
from lumenize_sim.objects import Request as Request
from lumenize_sim.objects import Response as Response
from lumenize_sim.objects import RpcPromise as RpcPromise
from lumenize_sim.objects import RpcStub as RpcStub
from lumenize_sim.objects import RpcTarget as RpcTarget
from lumenize_sim.objects import ShutdownInfo as ShutdownInfo
from lumenize_sim.objects import WebSocketPair as WebSocketPair
from lumenize_sim.objects import WebSocketRequestResponsePair as WebSocketRequestResponsePair
from lumenize_sim.objects import WorkerEntrypoint as WorkerEntrypoint
from lumenize_sim.objects import begin as begin
from lumenize_sim.objects import gather as gather
from lumenize_sim.objects import retryable as retryable
from lumenize_sim.world import CostReport as CostReport
from lumenize_sim.world import Faults as Faults
from lumenize_sim.world import Network as Network
from lumenize_sim.world import RawSocket as RawSocket
from lumenize_sim.world import Scenario as Scenario
from lumenize_sim.world import UpgradeRefusedError as UpgradeRefusedError
from lumenize_sim.world import World as World
from lumenize_sim.world import WorldOptions as WorldOptions
from lumenize_sim.world import scenario as scenario

__all__ = [
    "EXPLORED",
    "RESULT",
    "UNDEFINED",
    "AggregateError",
    "AlarmInfo",
    "AppError",
    "CostReport",
    "DataCloneError",
    "DurableObject",
    "DurableObjectError",
    "DurableObjectState",
    "Enumeration",
    "Faults",
    "LumenizeClient",
    "LumenizeClientGateway",
    "LumenizeDO",
    "LumenizeWorker",
    "MachineOptions",
    "Mesh",
    "Network",
    "Pending",
    "PriceTable",
    "RangeError",
    "RawSocket",
    "Report",
    "Request",
    "Response",
    "RpcPromise",
    "RpcStub",
    "RpcTarget",
    "Run",
    "Scenario",
    "ShutdownInfo",
    "SimulatorError",
    "UpgradeRefusedError",
    "UsageError",
    "WebSocketPair",
    "WebSocketRequestResponsePair",
    "WorkerEntrypoint",
    "World",
    "WorldOptions",
    "begin",
    "enumerate_behaviours",
    "explore",
    "gather",
    "mesh",
    "replay",
    "retryable",
    "scenario",
    "simulate",
]

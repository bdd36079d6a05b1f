"""The Durable Object machine: gates, storage, alarms, web sockets, life cycle."""

from __future__ import annotations

from lumenize_sim.objects.alarm import AlarmInfo as AlarmInfo
from lumenize_sim.objects.context import DurableObject as DurableObject
from lumenize_sim.objects.context import DurableObjectState as DurableObjectState
from lumenize_sim.objects.hibernation import WebSocketRequestResponsePair as WebSocketRequestResponsePair
from lumenize_sim.objects.host import Host as Host
from lumenize_sim.objects.http import Request as Request
from lumenize_sim.objects.http import Response as Response
from lumenize_sim.objects.isolate import Isolate as Isolate
from lumenize_sim.objects.options import EXPLORED as EXPLORED
from lumenize_sim.objects.options import MachineOptions as MachineOptions
from lumenize_sim.objects.pending import Pending as Pending
from lumenize_sim.objects.pending import begin as begin
from lumenize_sim.objects.pending import gather as gather
from lumenize_sim.objects.prices import PriceTable as PriceTable
from lumenize_sim.objects.rpc_errors import DurableObjectError as DurableObjectError
from lumenize_sim.objects.rpc_stub import RpcPromise as RpcPromise
from lumenize_sim.objects.rpc_stub import RpcStub as RpcStub
from lumenize_sim.objects.rpc_target import RpcTarget as RpcTarget
from lumenize_sim.objects.rpc_target import retryable as retryable
from lumenize_sim.objects.shutdown import ShutdownInfo as ShutdownInfo
from lumenize_sim.objects.websocket import WebSocketPair as WebSocketPair
from lumenize_sim.objects.worker import WorkerEntrypoint as WorkerEntrypoint

__all__ = [
    "EXPLORED",
    "AlarmInfo",
    "DurableObject",
    "DurableObjectError",
    "DurableObjectState",
    "Host",
    "Isolate",
    "MachineOptions",
    "Pending",
    "PriceTable",
    "Request",
    "Response",
    "RpcPromise",
    "RpcStub",
    "RpcTarget",
    "ShutdownInfo",
    "WebSocketPair",
    "WebSocketRequestResponsePair",
    "WorkerEntrypoint",
    "begin",
    "gather",
    "retryable",
]

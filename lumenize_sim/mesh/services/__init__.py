"""Services of Durable Objects, each registered by the module that defines it (DO-10, ND-3)."""

from __future__ import annotations

from lumenize_sim.mesh.services.alarms import Alarms as Alarms
from lumenize_sim.mesh.services.broadcast import Broadcast as Broadcast
from lumenize_sim.mesh.services.broadcast import Target as Target
from lumenize_sim.mesh.services.fetch import Fetch as Fetch
from lumenize_sim.mesh.services.fetch import FetchTestMode as FetchTestMode
from lumenize_sim.mesh.services.fetch import FetchTimeoutError as FetchTimeoutError
from lumenize_sim.mesh.services.registry import NadisPlugin as NadisPlugin
from lumenize_sim.mesh.services.registry import Services as Services
from lumenize_sim.mesh.services.schedule import Schedule as Schedule
from lumenize_sim.mesh.services.sql import Sql as Sql
from lumenize_sim.mesh.services.sql import sql as sql

__all__ = [
    "Alarms",
    "Broadcast",
    "Fetch",
    "FetchTestMode",
    "FetchTimeoutError",
    "NadisPlugin",
    "Schedule",
    "Services",
    "Sql",
    "Target",
    "sql",
]

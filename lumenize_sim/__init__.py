"""The mesh of Durable Objects, Workers and clients in Python, and a deterministic simulator for its races."""

from __future__ import annotations

from lumenize_sim.mesh import RESULT as RESULT
from lumenize_sim.mesh import LumenizeClient as LumenizeClient
from lumenize_sim.mesh import LumenizeDO as LumenizeDO
from lumenize_sim.mesh import LumenizeWorker as LumenizeWorker
from lumenize_sim.mesh import Mesh as Mesh
from lumenize_sim.mesh import mesh as mesh

"""The simulated host: network, faults, time, clients, and the world that a scenario drives."""

from __future__ import annotations

from lumenize_sim.world.cost import CostReport as CostReport
from lumenize_sim.world.faults import Faults as Faults
from lumenize_sim.world.options import Network as Network
from lumenize_sim.world.options import WorldOptions as WorldOptions
from lumenize_sim.world.raw_socket import RawSocket as RawSocket
from lumenize_sim.world.raw_socket import UpgradeRefusedError as UpgradeRefusedError
from lumenize_sim.world.scenario import Scenario as Scenario
from lumenize_sim.world.scenario import scenario as scenario
from lumenize_sim.world.visitor import Visitor as Visitor
from lumenize_sim.world.world import World as World

__all__ = [
    "CostReport",
    "Faults",
    "Network",
    "RawSocket",
    "Scenario",
    "UpgradeRefusedError",
    "Visitor",
    "World",
    "WorldOptions",
    "scenario",
]

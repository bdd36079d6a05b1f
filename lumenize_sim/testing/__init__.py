"""Simulations inside pytest and Hypothesis.

The names are looked up at first use: pytest imports this room at every start, also where no test needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumenize_sim.testing.browser import Browser as Browser
    from lumenize_sim.testing.browser import BrowserContext as BrowserContext
    from lumenize_sim.testing.failure import check as check
    from lumenize_sim.testing.inspection import as_object as as_object
    from lumenize_sim.testing.inspection import create_testing_client as create_testing_client
    from lumenize_sim.testing.stateful import MeshStateMachine as MeshStateMachine
    from lumenize_sim.testing.strategies import Simulation as Simulation
    from lumenize_sim.testing.strategies import before as before
    from lumenize_sim.testing.strategies import deviations as deviations
    from lumenize_sim.testing.strategies import fault as fault
    from lumenize_sim.testing.strategies import faults as faults
    from lumenize_sim.testing.strategies import late as late
    from lumenize_sim.testing.strategies import planned as planned
    from lumenize_sim.testing.strategies import simulations as simulations
    from lumenize_sim.testing.workload import Pause as Pause
    from lumenize_sim.testing.workload import Step as Step
    from lumenize_sim.testing.workload import Workload as Workload
    from lumenize_sim.testing.workload import workloads as workloads

__all__ = [
    "Browser",
    "BrowserContext",
    "MeshStateMachine",
    "Pause",
    "Simulation",
    "Step",
    "Workload",
    "as_object",
    "before",
    "check",
    "create_testing_client",
    "deviations",
    "fault",
    "faults",
    "late",
    "planned",
    "simulations",
    "workloads",
]

_HOMES = {
    "Browser": "browser",
    "BrowserContext": "browser",
    "MeshStateMachine": "stateful",
    "Pause": "workload",
    "Simulation": "strategies",
    "Step": "workload",
    "Workload": "workload",
    "as_object": "inspection",
    "before": "strategies",
    "check": "failure",
    "create_testing_client": "inspection",
    "deviations": "strategies",
    "fault": "strategies",
    "faults": "strategies",
    "late": "strategies",
    "planned": "strategies",
    "simulations": "strategies",
    "workloads": "workload",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)

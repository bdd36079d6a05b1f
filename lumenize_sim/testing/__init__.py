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
    from lumenize_sim.testing.strategies import Simulation as Simulation
    from lumenize_sim.testing.strategies import simulations as simulations

__all__ = ["Browser", "BrowserContext", "Simulation", "as_object", "check", "create_testing_client", "simulations"]

_HOMES = {
    "Browser": "browser",
    "BrowserContext": "browser",
    "Simulation": "strategies",
    "as_object": "inspection",
    "check": "failure",
    "create_testing_client": "inspection",
    "simulations": "strategies",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)

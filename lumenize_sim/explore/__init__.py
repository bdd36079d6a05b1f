"""Exploring: strategies, tapes from roaming runs, shrinking, explanations."""

from __future__ import annotations

from lumenize_sim.explore.determinism import Divergence as Divergence
from lumenize_sim.explore.determinism import check_determinism as check_determinism
from lumenize_sim.explore.exhaustive import Behaviour as Behaviour
from lumenize_sim.explore.exhaustive import Enumeration as Enumeration
from lumenize_sim.explore.exhaustive import enumerate_behaviours as enumerate_behaviours
from lumenize_sim.explore.explorer import explore as explore
from lumenize_sim.explore.loading import load_scenario as load_scenario
from lumenize_sim.explore.replaying import replay as replay
from lumenize_sim.explore.replaying import simulate as simulate
from lumenize_sim.explore.report import Failure as Failure
from lumenize_sim.explore.report import Progress as Progress
from lumenize_sim.explore.report import Report as Report
from lumenize_sim.explore.run import Run as Run

__all__ = [
    "Behaviour",
    "Divergence",
    "Enumeration",
    "Failure",
    "Progress",
    "Report",
    "Run",
    "check_determinism",
    "enumerate_behaviours",
    "explore",
    "load_scenario",
    "replay",
    "simulate",
]

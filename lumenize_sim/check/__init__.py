"""A run judged: histories against models, monitors, and what a trace shows by itself."""

from __future__ import annotations

from lumenize_sim.check.finding import Access as Access
from lumenize_sim.check.finding import Finding as Finding
from lumenize_sim.check.findings import CHECKERS as CHECKERS
from lumenize_sim.check.findings import Check as Check
from lumenize_sim.check.findings import find as find
from lumenize_sim.check.history import History as History
from lumenize_sim.check.linearizability import Verdict as Verdict
from lumenize_sim.check.linearizability import linearizable as linearizable
from lumenize_sim.check.list_append import Anomaly as Anomaly
from lumenize_sim.check.list_append import Transaction as Transaction
from lumenize_sim.check.list_append import list_append_anomalies as list_append_anomalies
from lumenize_sim.check.model import ANY as ANY
from lumenize_sim.check.model import Counter as Counter
from lumenize_sim.check.model import Map as Map
from lumenize_sim.check.model import Model as Model
from lumenize_sim.check.model import OneOf as OneOf
from lumenize_sim.check.model import Queue as Queue
from lumenize_sim.check.model import Register as Register
from lumenize_sim.check.model import Set as Set
from lumenize_sim.check.operation import Operation as Operation
from lumenize_sim.check.operation import calls_in as calls_in

__all__ = [
    "ANY",
    "CHECKERS",
    "Access",
    "Anomaly",
    "Check",
    "Counter",
    "Finding",
    "History",
    "Map",
    "Model",
    "OneOf",
    "Operation",
    "Queue",
    "Register",
    "Set",
    "Transaction",
    "Verdict",
    "calls_in",
    "find",
    "linearizable",
    "list_append_anomalies",
]

"""Values as they cross between nodes: copies, and never the sender's own (RPC-6, RPC-16, RPC-19)."""

from __future__ import annotations

from typing import Any

import outcome

from lumenize_sim.clone import UNDEFINED, structured_clone
from lumenize_sim.mesh.envelope import Result
from lumenize_sim.objects.http import crossing
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.objects.rpc_errors import across

__all__ = ["snapshot", "snapshot_outcome"]


def snapshot(value: Any) -> Any:
    """``value`` as it crosses: a copy, or the value itself where it is a snapshot already.

    Raises what `structured_clone` raises; the sender is to blame (RPC-16).
    """
    cls = type(value)
    if cls is str or cls is int or value is None or getattr(cls, "__by_value__", False) or cls is float or cls is bool:
        return value
    message = crossing(value)
    return structured_clone(value) if message is None else message


def snapshot_outcome(result: Outcome) -> Outcome:
    """A result by value (RPC-6); the callee has made a copy of an error (RPC-19).

    Never raises: a value that cannot cross becomes the error that says so.
    """
    if type(result) is outcome.Error:
        return result
    value = result.value
    cls = type(value)
    try:
        if cls is Result:
            inner = value.value
            copy = inner if inner is UNDEFINED else snapshot(inner)
            return result if copy is inner else outcome.Value(Result(copy))
        if getattr(cls, "__by_value__", False):
            return result
        return outcome.Value(snapshot(value))
    except Exception as error:
        return outcome.Error(across(error))

"""Calls and answers in a trace, for people."""

from __future__ import annotations

from typing import Any

import outcome

from lumenize_sim.clone import UNDEFINED, JSMap, JSSet
from lumenize_sim.mesh.envelope import Failure, Result
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Outcome
from lumenize_sim.trace.texts import text_of

__all__ = ["describe_chain", "describe_outcome", "logged", "render"]


def render(value: Any, limit: int = 200) -> Any:
    """A plain value for the trace."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Response):
        return value.status
    if type(value) in _PLAIN:
        return text_of(value, limit)
    if isinstance(value, str):
        text = value
    elif isinstance(value, Request):
        text = f"{value.method} {value.url.raw_path.decode('ascii', 'replace')}"
    else:
        text = type(value).__name__
    return text if len(text) <= limit else f"{text[:limit]}…"


_PLAIN = (list, dict, tuple, bytes)


def logged(value: Any) -> str:
    """A value of debug output for the trace: text as it is."""
    return text_of(value, 1000) if isinstance(value, (list, dict, tuple, set, frozenset, JSMap, JSSet)) else str(value)


def describe_chain(encoded: Any) -> tuple[str, list[Any]]:
    """Method and arguments of an encoded chain, for people."""
    try:
        chain = encoded["json"]
        names: list[str] = []
        args: list[Any] = []
        for operation in chain:
            if operation["type"] == "get":
                names.append(str(operation["key"]))
            else:
                names.append("()")
                args = [render(a) for a in operation["args"]]
        text = ".".join(names).replace(".()", "()")
        return (text[:-2] if text.endswith("()") else text), args
    except (KeyError, TypeError, AttributeError):
        return "?", []


def describe_outcome(callee: str, to: str, result: Outcome) -> dict[str, Any]:
    """A reply for the trace."""
    both = {"from": callee, "to": to}
    if type(result) is outcome.Error:
        return {**both, "error": type(result.error).__name__}
    value = result.value
    if type(value) is Result:
        inner = value.value
        return {**both, "value": "undefined" if inner is UNDEFINED else render(inner)}
    if type(value) is Failure:
        encoded = value.error_encoded.get("json") if isinstance(value.error_encoded, dict) else None
        name = encoded.get("name") if isinstance(encoded, dict) else None
        return {**both, "error": str(name)}
    return {**both, "value": render(value)}

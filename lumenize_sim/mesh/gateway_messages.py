"""The frames between client and gateway: one builder per frame, fields in the order of the wire.

Encoded values (`chain`, `state`, `result`, `error`) come in and go out as
``{"json", "meta"}`` and are never looked into here; absent optional fields are
left out (WIRE-3, WIRE-4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lumenize_sim.clone import UNDEFINED, dumps, loads, postprocess
from lumenize_sim.mesh.context import NodeIdentity, OriginAuth
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.mesh.walk import js_string

__all__ = [
    "CALL",
    "CALL_RESPONSE",
    "CONNECTION_STATUS",
    "DEFAULT_GATEWAY_BINDING",
    "INCOMING_CALL",
    "INCOMING_CALL_RESPONSE",
    "WS_CLOSE_NOT_INITIALIZED",
    "WS_CLOSE_SUPERSEDED",
    "WS_CLOSE_TOKEN_EXPIRED",
    "WS_HEARTBEAT_INTERVAL_S",
    "WS_HEARTBEAT_PING",
    "WS_HEARTBEAT_PONG",
    "call_failed",
    "call_frame",
    "call_succeeded",
    "connection_status",
    "error_from_wire",
    "identities_from_wire",
    "incoming_call",
    "incoming_call_failed",
    "incoming_call_succeeded",
    "origin_auth_from_wire",
    "parse_frame",
]

DEFAULT_GATEWAY_BINDING = "LUMENIZE_CLIENT_GATEWAY"

CALL = "call"
CALL_RESPONSE = "call_response"
INCOMING_CALL = "incoming_call"
INCOMING_CALL_RESPONSE = "incoming_call_response"
CONNECTION_STATUS = "connection_status"

WS_CLOSE_NOT_INITIALIZED = 1011
WS_CLOSE_TOKEN_EXPIRED = 4401
WS_CLOSE_SUPERSEDED = 4409

WS_HEARTBEAT_PING = "lmz:ping"
WS_HEARTBEAT_PONG = "lmz:pong"
WS_HEARTBEAT_INTERVAL_S = 30.0

Encoded = Mapping[str, Any]


def parse_frame(text: str) -> dict[str, Any]:
    """One received text frame as a dict; a JSON value of another kind has no type and comes as ``{}``.

    Raises:
        ValueError: not JSON.  Blame: the peer.
    """
    frame = loads(text)
    return frame if isinstance(frame, dict) else {}


def call_frame(
    call_id: str,
    binding: str,
    instance: str | None,
    chain: Encoded,
    call_chain: Sequence[Mapping[str, Any]],
    state: Encoded,
) -> str:
    """Client to gateway: a call.  ``originAuth`` is never sent (CL-42)."""
    frame: dict[str, Any] = {"type": CALL, "callId": call_id, "binding": binding}
    if instance is not None:
        frame["instance"] = instance
    frame["chain"] = chain
    frame["callContext"] = {"callChain": call_chain, "state": state}
    return dumps(frame)


def call_succeeded(call_id: Any, result: Encoded) -> str:
    """Gateway to client: the answer to a call."""
    return dumps({**_answer(CALL_RESPONSE, call_id), "success": True, "result": result})


def call_failed(call_id: Any, error: Any) -> str:
    """Gateway to client: a call failed; ``error`` is encoded already."""
    return dumps({**_answer(CALL_RESPONSE, call_id), "success": False, "error": error})


def incoming_call(
    call_id: str,
    chain: Any,
    call_chain: Sequence[NodeIdentity],
    origin_auth: OriginAuth | None,
    state: Encoded,
) -> str:
    """Gateway to client: a call from the mesh.  The chain passes through untouched (GW-33)."""
    context: dict[str, Any] = {"callChain": [node.to_wire() for node in call_chain]}
    if origin_auth is not None:
        context["originAuth"] = origin_auth.to_wire()
    context["state"] = state
    return dumps({"type": INCOMING_CALL, "callId": call_id, "chain": chain, "callContext": context})


def incoming_call_succeeded(call_id: Any, result: Encoded) -> str:
    """Client to gateway: the answer to a call from the mesh."""
    return dumps({**_answer(INCOMING_CALL_RESPONSE, call_id), "success": True, "result": result})


def incoming_call_failed(call_id: Any, error: Encoded) -> str:
    """Client to gateway: a call from the mesh failed."""
    return dumps({**_answer(INCOMING_CALL_RESPONSE, call_id), "success": False, "error": error})


def _answer(kind: str, call_id: Any) -> dict[str, Any]:
    """Whatever the id of the call was comes back; a frame without one (``UNDEFINED``) gets an answer without one."""
    return {"type": kind} if call_id is UNDEFINED else {"type": kind, "callId": call_id}


_STATUS = {required: dumps({"type": CONNECTION_STATUS, "subscriptionRequired": required}) for required in (False, True)}


def connection_status(subscription_required: bool) -> str:
    """Gateway to client: the connection is ready (WIRE, GW-16)."""
    return _STATUS[subscription_required]


def identities_from_wire(value: Any, first: int = 0) -> list[NodeIdentity]:
    """The call chain of a frame, from index ``first`` on.

    Raises:
        TypeError: not a list of identities.  Blame: whoever sent the frame.
    """
    if not isinstance(value, list):
        raise TypeError(f"callContext.callChain must be a list of node identities, got {type(value).__name__}")
    nodes = []
    for index, node in enumerate(value[first:], first):
        if not isinstance(node, dict) or not isinstance(node.get("type"), str):
            raise TypeError(f"callContext.callChain[{index}] must be {{type, bindingName, instanceName?}}")
        nodes.append(NodeIdentity(node["type"], node.get("bindingName"), node.get("instanceName")))
    return nodes


def origin_auth_from_wire(value: Any) -> OriginAuth | None:
    """The ``originAuth`` of a frame, ``None`` where it has none that names a subject."""
    sub = value.get("sub") if isinstance(value, dict) else None
    return OriginAuth(sub, value.get("claims")) if isinstance(sub, str) else None


def error_from_wire(encoded: Any) -> Exception:
    """The error of a failed answer; a raised value that is no error becomes one with its text (RES-7)."""
    if encoded is UNDEFINED or encoded is None:
        return MeshError("undefined")
    value = postprocess(encoded)
    return value if isinstance(value, Exception) else MeshError(js_string(value))

"""Who is calling on whose behalf: the context that travels along a chain of calls (CTX-1 … CTX-12)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

import attrs

__all__ = [
    "CallContext",
    "NodeIdentity",
    "OriginAuth",
    "call_context_var",
    "capture_context",
    "context_from_wire",
    "context_to_wire",
    "outgoing_context",
]


@attrs.frozen
class NodeIdentity:
    """One participant.

    Attributes:
        type: ``"LumenizeDO"``, ``"LumenizeWorker"`` or ``"LumenizeClient"``.
        binding_name: ``None`` where the node does not know it.
        instance_name: ``None`` for Workers.
    """

    type: str
    binding_name: str | None = None
    instance_name: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """Names that are not known are left out (WIRE-4)."""
        wire: dict[str, Any] = {"type": self.type}
        if self.binding_name is not None:
            wire["bindingName"] = self.binding_name
        if self.instance_name is not None:
            wire["instanceName"] = self.instance_name
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> NodeIdentity:
        """Inverse of `to_wire`; ``null`` counts as not known."""
        return cls(wire["type"], wire.get("bindingName"), wire.get("instanceName"))


@attrs.frozen
class OriginAuth:
    """The user behind the chain, as the gateway verified it (CTX-10).

    Attributes:
        sub: the subject of the token.
        claims: the token's other claims, where the gateway passes them on.
    """

    sub: str
    claims: Mapping[str, Any] | None = None

    def to_wire(self) -> dict[str, Any]:
        """Without ``claims`` where there are none."""
        return {"sub": self.sub} if self.claims is None else {"sub": self.sub, "claims": dict(self.claims)}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> OriginAuth:
        """Inverse of `to_wire`."""
        return cls(wire["sub"], wire.get("claims"))


def _tuple(chain: Iterable[NodeIdentity]) -> tuple[NodeIdentity, ...]:
    return tuple(chain)


@attrs.frozen
class CallContext:
    """What a handler knows about its call.

    Attributes:
        call_chain: first the origin, last the immediate caller; the callee itself is not in it.
        origin_auth: ``None`` for chains that did not begin at a client.
        state: free for the app; writes are seen by calls made later in the same handler, never by the caller (CTX-5).
    """

    call_chain: tuple[NodeIdentity, ...] = attrs.field(converter=_tuple)
    origin_auth: OriginAuth | None = None
    state: dict[str, Any] = attrs.field(factory=dict)


#: The context of the running handler; ``None`` outside mesh calls (CTX-3).
call_context_var: ContextVar[CallContext | None] = ContextVar("lumenize_sim_call_context", default=None)


def capture_context(context: CallContext | None) -> CallContext | None:
    """What a handler will run under: later writes to the state's top level are not seen, deeper ones are (CTX-6)."""
    return None if context is None else attrs.evolve(context, state=dict(context.state))


def outgoing_context(
    current: CallContext | None, me: NodeIdentity, *, new_chain: bool = False, state: Mapping[str, Any] | None = None
) -> CallContext:
    """The context a callee gets: ``me`` is appended, ``state`` is laid over the inherited one (CALL-20 … CALL-22).

    The state may be the current one itself: the sender copies it by value.
    """
    if new_chain or current is None:
        return CallContext((me,), None, {} if state is None else dict(state))
    merged = current.state if state is None else {**current.state, **state}
    return CallContext((*current.call_chain, me), current.origin_auth, merged)


def context_to_wire(context: CallContext) -> dict[str, Any]:
    """Plain dicts in the wire's key order; ``state`` is passed as it is, for the frame to encode."""
    wire: dict[str, Any] = {"callChain": [identity.to_wire() for identity in context.call_chain]}
    if context.origin_auth is not None:
        wire["originAuth"] = context.origin_auth.to_wire()
    wire["state"] = context.state
    return wire


def context_from_wire(wire: Mapping[str, Any]) -> CallContext:
    """Inverse of `context_to_wire`; fields it does not know are dropped (CTX-9)."""
    auth = wire.get("originAuth")
    return CallContext(
        tuple(map(NodeIdentity.from_wire, wire["callChain"])),
        None if auth is None else OriginAuth.from_wire(auth),
        wire.get("state") or {},
    )

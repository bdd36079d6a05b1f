"""What a gateway knows of its client: verified at the upgrade, kept as the attachment of the socket (GW-9 to GW-14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lumenize_sim.mesh.tokens import decode_payload
from lumenize_sim.objects.http import Request
from lumenize_sim.objects.websocket import WebSocket

__all__ = ["ConnectionInfo", "UpgradeRefused"]


class UpgradeRefused(Exception):
    """The request lacks something; with the status and text of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


@attrs.frozen
class ConnectionInfo:
    """What was verified when the socket was accepted; survives hibernation as its attachment (GW-14).

    Attributes:
        claims: the whole payload of the token, with what ``on_before_accept`` added.
    """

    sub: str
    binding_name: str
    instance_name: str
    claims: Mapping[str, Any]

    @classmethod
    def asked_for(cls, request: Request) -> ConnectionInfo:
        """What an upgrade says.  The token's signature was verified before (GW-12).

        Raises:
            UpgradeRefused: something is missing.
        """
        headers = request.headers
        bearer = headers.get("Authorization") or ""
        if not bearer.startswith("Bearer "):
            raise UpgradeRefused(401, "Unauthorized: missing identity")
        try:
            payload = decode_payload(bearer[len("Bearer ") :])
        except ValueError:
            payload = None
        if payload is None:
            raise UpgradeRefused(401, "Unauthorized: invalid token")
        sub = payload.get("sub") if isinstance(payload, dict) else None
        if not sub:
            raise UpgradeRefused(401, "Unauthorized: missing identity")
        instance_name = headers.get("X-Lumenize-DO-Instance-Name-Or-Id")
        if not instance_name:
            raise UpgradeRefused(403, "Forbidden: missing instance name")
        binding_name = headers.get("X-Lumenize-DO-Binding-Name")
        if not binding_name:
            raise UpgradeRefused(403, "Forbidden: missing binding name")
        return cls(sub, binding_name, instance_name, payload)

    def to_attachment(self) -> dict[str, Any]:
        """As the socket keeps it."""
        return {
            "sub": self.sub,
            "bindingName": self.binding_name,
            "instanceName": self.instance_name,
            "claims": dict(self.claims),
        }

    @classmethod
    def of(cls, socket: WebSocket) -> ConnectionInfo | None:
        """The attachment of a socket; ``None`` where it has none."""
        kept = socket.deserialize_attachment()
        if kept is None:
            return None
        return cls(kept["sub"], kept["bindingName"], kept["instanceName"], kept["claims"])

    def expired(self, now_ms: int) -> bool:
        """Whether ``exp`` lies in the past, to the millisecond (GW-19).  No ``exp``, no expiry."""
        expiry = self.claims.get("exp")
        return isinstance(expiry, int | float) and bool(expiry) and expiry < now_ms / 1000

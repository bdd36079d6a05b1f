"""What stands before the mesh: the entry Worker that routes upgrades and checks tokens (WIRE-1, WIRE-2).

Only what clients of a simulated mesh need: the gateway path, a token signed by the
world, the headers that the gateway reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lumenize_sim.mesh.tokens import mint_hs256, verify_hs256
from lumenize_sim.objects.http import Request, Response

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Entry"]

_SECRET = "simulated"
_PREFIX = "lmz.access-token."
TOKEN_LIFE_S = 3600


class Entry:
    """Admits web-socket upgrades."""

    def __init__(self, world: World) -> None:
        self._world = world

    def mint(self, seat: Any, sub: str, claims: dict[str, Any] | None = None, life_s: int = TOKEN_LIFE_S) -> str:
        """An access token for ``sub``, valid from now on."""
        now_s = self._world.host.now_ms() // 1000
        payload = {
            "iss": "https://lumenize.local",
            "aud": "https://lumenize.local",
            "sub": sub,
            "exp": now_s + life_s,
            "iat": now_s,
            "jti": self._world.host.uuid(seat.owner),
            "emailVerified": True,
            "adminApproved": True,
            **(claims or {}),
        }
        return mint_hs256(payload, _SECRET)

    def admit(self, url: str, protocols: Sequence[str]) -> Request | Response:
        """The request that reaches the gateway, or the refusal."""
        parts = [part for part in urlsplit(url).path.split("/") if part]
        if len(parts) < 3 or parts[0] != "gateway" or parts[1] not in self._world.app.bindings:
            return Response(404, "Not Found")
        token = next((p[len(_PREFIX) :] for p in protocols if p.startswith(_PREFIX)), None)
        if token is None:
            return Response(401, "Unauthorized: Missing access token in WebSocket subprotocol")
        try:
            verify_hs256(token, _SECRET, now_s=self._world.host.now_ms() / 1000)
        except ValueError:
            return Response(401, '{"error":"invalid_token","error_description":"Token is invalid or expired"}')
        headers = {
            "Upgrade": "websocket",
            "Authorization": f"Bearer {token}",
            "X-Lumenize-DO-Instance-Name-Or-Id": parts[2],
            "X-Lumenize-DO-Binding-Name": parts[1],
        }
        return Request("GET", url, headers)

    def machine(self, request: Request) -> Any:
        """The gateway object that an admitted request goes to."""
        binding = request.headers["X-Lumenize-DO-Binding-Name"]
        return self._world.machine_named(binding, request.headers["X-Lumenize-DO-Instance-Name-Or-Id"])

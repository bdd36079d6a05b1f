"""What stands before the mesh: routing of upgrades, and the check of tokens (WIRE-1, WIRE-2).  No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.tokens import mint_hs256, verify_hs256
from lumenize_sim.objects.http import Request, Response

__all__ = ["TOKEN_LIFE_S", "admit", "mint"]

TOKEN_LIFE_S: Final = 24 * 3600

_ISSUER: Final = "https://lumenize.local"
_PREFIX: Final = "lmz.access-token."
_INVALID: Final = '{"error":"invalid_token","error_description":"Token is invalid or expired"}'
_CHALLENGE: Final = 'Bearer realm="Lumenize", error="invalid_token", error_description="Token is invalid or expired"'
_NOT_APPROVED: Final = '{"error":"access_denied","error_description":"Account not yet approved"}'


def mint(
    secret: str,
    sub: str,
    *,
    now_s: int,
    token_id: str,
    life_s: int = TOKEN_LIFE_S,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """An access token for ``sub``, valid from ``now_s`` (epoch seconds) on."""
    payload = {
        "iss": _ISSUER, "aud": _ISSUER, "sub": sub, "exp": now_s + life_s, "iat": now_s, "jti": token_id,
        "emailVerified": True, "adminApproved": True, **(claims or {}),
    }  # fmt: skip
    return mint_hs256(payload, secret)


def admit(app: Mesh, secret: str, url: str, protocols: Sequence[str], *, now_s: float) -> Request | Response:
    """The request that reaches the gateway, or the refusal, with the texts of the original."""
    parts = [unquote(part) for part in urlsplit(url).path.split("/") if part]
    binding = _binding(app, parts[1]) if len(parts) == 3 and parts[0] == "gateway" else None
    if binding is None:
        return Response(404, "Not Found")
    token = next((p[len(_PREFIX) :] for p in protocols if p.startswith(_PREFIX)), None)
    if token is None:
        return Response(
            401, "Unauthorized: Missing access token in WebSocket subprotocol", {"Content-Type": "text/plain"}
        )
    try:
        claims = verify_hs256(token, secret, now_s=now_s)
    except ValueError:
        return Response(401, _INVALID, {"Content-Type": "application/json", "WWW-Authenticate": _CHALLENGE})
    if not (claims.get("adminApproved") or claims.get("isAdmin")):
        return Response(403, _NOT_APPROVED, {"Content-Type": "application/json"})
    headers = {
        "Upgrade": "websocket",
        "Authorization": f"Bearer {token}",
        "X-Lumenize-DO-Instance-Name-Or-Id": parts[2],
        "X-Lumenize-DO-Binding-Name": binding,
    }
    return Request("GET", url, headers)


def _binding(app: Mesh, segment: str) -> str | None:
    """The binding of objects that a path segment names: as it is, or in kebab case."""
    for name in app.bindings:
        if segment in (name, name.lower().replace("_", "-")) and not app.is_worker(name):
            return name
    return None

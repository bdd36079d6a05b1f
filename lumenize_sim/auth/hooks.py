"""Tokens at the door and behind it: hooks for routing, and the check of single messages (AU-31, AU-36)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lumenize_sim.auth.config import expected_claims
from lumenize_sim.auth.keys import public_keys
from lumenize_sim.auth.tokens import parse_jwt_unsafe, verify_jwt_with_rotation
from lumenize_sim.errors import AppError
from lumenize_sim.routing.keeper import RATE_LIMITER_BINDING, AuthHooks, Claims, Keeper, Log, keeper_hooks

__all__ = [
    "WS_CLOSE_CODES",
    "Gatekeeper",
    "WebSocketTokenResult",
    "create_route_do_request_auth_hooks",
    "get_token_ttl",
    "verify_web_socket_token",
]

#: Codes with which a web socket is closed for reasons of authentication (AU-36).
WS_CLOSE_CODES: Final = {"TOKEN_EXPIRED": 4401, "UNAUTHORIZED": 4403, "NO_TOKEN": 4400}


@attrs.frozen
class Gatekeeper(Keeper):
    """A `Keeper` that verifies with public keys.

    Attributes:
        keys: in the order in which they are tried.
        issuer, audience: what tokens must say, compared as text.
        now_ms: the clock.
    """

    keys: Sequence[Ed25519PublicKey]
    issuer: str
    audience: str
    now_ms: Callable[[], int]

    @classmethod
    def of(cls, env: Any, now_ms: Callable[[], int]) -> Gatekeeper:
        """With the keys and names in ``env``.

        Raises:
            AppError: there is no public key.
        """
        keys = public_keys(env)
        if not keys:
            raise AppError("No JWT public keys found in env (JWT_PUBLIC_KEY_BLUE / JWT_PUBLIC_KEY_GREEN)")
        return cls(keys, *expected_claims(env), now_ms)

    def claims_of(self, token: str) -> Claims | None:
        """Signed with one of the keys, and valid now (AU-2)."""
        return verify_jwt_with_rotation(token, self.keys, now_ms=self.now_ms())


def create_route_do_request_auth_hooks(env: Any, *, now_ms: Callable[[], int], log: Log | None = None) -> AuthHooks:
    """Hooks for `route_do_request` that let verified tokens pass and forward them as ``Authorization: Bearer`` (AU-31).

    Where ``LUMENIZE_AUTH_RATE_LIMITER`` is bound, each subject is limited (AU-33): to anything with
    ``limit({"key": sub})`` that gives ``{"success": bool}``, such as a Worker, or to `RateLimiter`.

    Args:
        env: keys, issuer and audience.
        now_ms: the host's clock, as ``ctx.host.now_ms``.
        log: ``log(level, namespace, message)`` hears that nobody limits.

    Raises:
        AppError: there is no public key.
    """
    keeper = Gatekeeper.of(env, now_ms)
    limiter = env.get(RATE_LIMITER_BINDING)
    if limiter is None and log is not None:
        text = f"{RATE_LIMITER_BINDING} binding not found: nobody limits how often a subject asks"
        log("error", "auth.createRouteDORequestAuthHooks", text)
    return keeper_hooks(keeper, limiter)


@attrs.frozen(kw_only=True)
class WebSocketTokenResult:
    """What is to be thought of a token that came over a web socket.

    Attributes:
        valid: the rest says why not.
        expired: a new token would help.
    """

    valid: bool
    sub: str | None = None
    payload: Claims | None = None
    error: str | None = None
    expired: bool = False


def verify_web_socket_token(
    token: str | None, keys: Sequence[Ed25519PublicKey], *, now_ms: int
) -> WebSocketTokenResult:
    """Judge the token of one message, for objects that verify each (AU-36).  Never raises."""
    if not token:
        return WebSocketTokenResult(valid=False, error="No token provided")
    if not keys:
        return WebSocketTokenResult(valid=False, error="No public keys configured")
    parsed = parse_jwt_unsafe(token)
    if parsed is None:
        return WebSocketTokenResult(valid=False, error="Malformed token")
    expiry = parsed[1].get("exp")
    if isinstance(expiry, int | float) and expiry and expiry < now_ms // 1000:
        return WebSocketTokenResult(valid=False, error="Token expired", expired=True)
    claims = verify_jwt_with_rotation(token, keys, now_ms=now_ms)
    if claims is None:
        return WebSocketTokenResult(valid=False, error="Invalid signature")
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub:
        return WebSocketTokenResult(valid=False, error="Token missing subject claim")
    return WebSocketTokenResult(valid=True, sub=sub, payload=claims)


def get_token_ttl(payload: Claims, *, now_ms: int) -> float:
    """Seconds until a token expires: 0 when it has, infinity where it does not (AU-36)."""
    expiry = payload.get("exp")
    if not expiry:
        return inf
    left: float = expiry - now_ms // 1000
    return max(left, 0)

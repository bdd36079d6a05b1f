"""Hooks for routing: who may pass, by the token that a request carries (AU-31 to AU-33, AU-36)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final, TypedDict

import attrs
import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lumenize_sim.auth.answers import bearer_token, error_response, unauthorized
from lumenize_sim.auth.config import expected_claims
from lumenize_sim.auth.keys import public_keys
from lumenize_sim.auth.tokens import Claims, is_admitted, parse_jwt_unsafe, verify_jwt_with_rotation
from lumenize_sim.errors import AppError
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing.bindings import is_do_namespace
from lumenize_sim.routing.route import HookContext, RouteHook

__all__ = [
    "RATE_LIMITER_BINDING",
    "WS_CLOSE_CODES",
    "WS_TOKEN_PREFIX",
    "AuthHooks",
    "Gatekeeper",
    "WebSocketTokenResult",
    "create_route_do_request_auth_hooks",
    "extract_web_socket_token",
    "get_token_ttl",
    "verify_web_socket_token",
    "with_bearer",
]

RATE_LIMITER_BINDING: Final = "LUMENIZE_AUTH_RATE_LIMITER"
WS_TOKEN_PREFIX: Final = "lmz.access-token."
#: Codes with which a web socket is closed for reasons of authentication (AU-36).
WS_CLOSE_CODES: Final = {"TOKEN_EXPIRED": 4401, "UNAUTHORIZED": 4403, "NO_TOKEN": 4400}

Log = Callable[[str, str, str], Any]


@attrs.frozen
class Gatekeeper:
    """Judges tokens.  Without I/O: signature and expiry, audience, issuer, subject, access gate, in this order (AU-31).

    Attributes:
        keys: public keys, in the order in which they are tried.
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

    def judge(self, token: str) -> Claims | Response:
        """The claims of a token that may pass, or the refusal."""
        claims = verify_jwt_with_rotation(token, self.keys, now_ms=self.now_ms())
        if claims is None:
            return unauthorized("invalid_token", "Token is invalid or expired")
        if claims.get("aud") != self.audience:
            return unauthorized("invalid_token", "Token audience mismatch")
        if claims.get("iss") != self.issuer:
            return unauthorized("invalid_token", "Token issuer mismatch")
        sub = claims.get("sub")
        if not isinstance(sub, str) or not sub:
            return unauthorized("invalid_token", "Token missing subject claim")
        if not is_admitted(claims):
            return error_response(403, "access_denied", "Account not yet approved")
        return claims

    def token_of_request(self, request: httpx.Request) -> str | Response:
        """The bearer token of a request, or the refusal."""
        missing = "Missing Authorization header with Bearer token"
        return bearer_token(request) or unauthorized("invalid_request", missing)

    def token_of_upgrade(self, request: httpx.Request) -> str | Response:
        """The token among the subprotocols of an upgrade, or the refusal."""
        token = extract_web_socket_token(request)
        if token:
            return token
        missing = "Unauthorized: Missing access token in WebSocket subprotocol"
        return Response(401, missing, {"Content-Type": "text/plain"})


class AuthHooks(TypedDict):
    """``await route_do_request(request, env, **hooks)``."""

    on_before_request: RouteHook
    on_before_connect: RouteHook


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
    gate = Gatekeeper.of(env, now_ms)
    limiter = env.get(RATE_LIMITER_BINDING)
    if limiter is None and log is not None:
        text = f"{RATE_LIMITER_BINDING} binding not found: nobody limits how often a subject asks"
        log("error", "auth.createRouteDORequestAuthHooks", text)
    if is_do_namespace(limiter):
        limiter = limiter.get_by_name("default")

    async def pass_or_refuse(request: httpx.Request, token: str | Response) -> httpx.Request | httpx.Response:
        if isinstance(token, Response):
            return token
        claims = gate.judge(token)
        if isinstance(claims, Response):
            return claims
        if limiter is not None and not (await limiter.limit({"key": claims["sub"]})).get("success"):
            return error_response(429, "rate_limited", "Too many requests. Please try again later.")
        return with_bearer(request, token)

    async def on_before_request(request: httpx.Request, context: HookContext) -> Any:
        return await pass_or_refuse(request, gate.token_of_request(request))

    async def on_before_connect(request: httpx.Request, context: HookContext) -> Any:
        return await pass_or_refuse(request, gate.token_of_upgrade(request))

    return {"on_before_request": on_before_request, "on_before_connect": on_before_connect}


def with_bearer(request: httpx.Request, token: str) -> Request:
    """A copy of ``request`` that carries ``token`` where objects look for it."""
    copy = Request.of(request)
    copy.headers["Authorization"] = f"Bearer {token}"
    return copy


def extract_web_socket_token(request: httpx.Request) -> str | None:
    """The token among the subprotocols: ``lmz.access-token.{token}`` (AU-32)."""
    offered: str = request.headers.get("Sec-WebSocket-Protocol", "")
    for protocol in offered.split(","):
        name = protocol.strip()
        if name.startswith(WS_TOKEN_PREFIX):
            return name[len(WS_TOKEN_PREFIX) :]
    return None


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

"""Who may pass: the checks of a token behind its signature, and the hooks that make them (AU-4, AU-31 to AU-33)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypedDict

import httpx

from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing.answers import bearer_token, error_response, unauthorized
from lumenize_sim.routing.bindings import is_do_namespace
from lumenize_sim.routing.route import HookContext, RouteHook

__all__ = [
    "DEFAULT_ISSUER",
    "RATE_LIMITER_BINDING",
    "WS_TOKEN_PREFIX",
    "AuthHooks",
    "Claims",
    "Keeper",
    "Log",
    "extract_web_socket_token",
    "is_admitted",
    "keeper_hooks",
    "with_bearer",
]

DEFAULT_ISSUER: Final = "https://lumenize.local"
RATE_LIMITER_BINDING: Final = "LUMENIZE_AUTH_RATE_LIMITER"
WS_TOKEN_PREFIX: Final = "lmz.access-token."

#: The payload of a token.
Claims = dict[str, Any]
#: ``log(level, namespace, message)``.
Log = Callable[[str, str, str], Any]


def is_admitted(claims: Mapping[str, Any]) -> bool:
    """The gate: an administrator, or verified and approved (AU-4)."""
    return bool(claims.get("isAdmin") or (claims.get("emailVerified") and claims.get("adminApproved")))


def extract_web_socket_token(request: httpx.Request) -> str | None:
    """The token among the subprotocols: ``lmz.access-token.{token}`` (AU-32)."""
    offered: str = request.headers.get("Sec-WebSocket-Protocol", "")
    for protocol in offered.split(","):
        name = protocol.strip()
        if name.startswith(WS_TOKEN_PREFIX):
            return name[len(WS_TOKEN_PREFIX) :]
    return None


def with_bearer(request: httpx.Request, token: str) -> Request:
    """A copy of ``request`` that carries ``token`` where objects look for it."""
    copy = Request.of(request)
    copy.headers["Authorization"] = f"Bearer {token}"
    return copy


class Keeper(ABC):
    """Judges tokens, without I/O: signature and expiry, audience, issuer, subject, access gate, in this order (AU-31).

    Attributes:
        issuer, audience: what tokens must say, compared as text.
    """

    issuer: str
    audience: str

    @abstractmethod
    def claims_of(self, token: str) -> Claims | None:
        """The claims of a token that is signed and has not expired, or ``None``.  Never raises."""

    def judge(self, token: str) -> Claims | Response:
        """The claims of a token that may pass, or the refusal."""
        claims = self.claims_of(token)
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

    def token_of(self, request: httpx.Request, *, upgrade: bool) -> str | Response:
        """The token of a request where it belongs, or the refusal: a web socket's is among its subprotocols."""
        if not upgrade:
            missing = "Missing Authorization header with Bearer token"
            return bearer_token(request) or unauthorized("invalid_request", missing)
        missing = "Unauthorized: Missing access token in WebSocket subprotocol"
        return extract_web_socket_token(request) or Response(401, missing, {"Content-Type": "text/plain"})

    def admit(self, request: httpx.Request, *, upgrade: bool) -> tuple[Request, Claims] | Response:
        """The request as it goes on, and for whom; or the refusal."""
        token = self.token_of(request, upgrade=upgrade)
        if isinstance(token, Response):
            return token
        claims = self.judge(token)
        return claims if isinstance(claims, Response) else (with_bearer(request, token), claims)


class AuthHooks(TypedDict):
    """``await route_do_request(request, env, **hooks)``."""

    on_before_request: RouteHook
    on_before_connect: RouteHook


def keeper_hooks(keeper: Keeper, limiter: Any = None) -> AuthHooks:
    """Hooks for `route_do_request` that let pass whom ``keeper`` admits, as often as ``limiter`` allows (AU-33).

    ``limiter``: has ``limit({"key": sub})`` that gives ``{"success": bool}``, or is a namespace of such objects.
    """
    if is_do_namespace(limiter):
        limiter = limiter.get_by_name("default")

    async def hook(upgrade: bool, request: httpx.Request, context: HookContext) -> Request | Response:
        admitted = keeper.admit(request, upgrade=upgrade)
        if isinstance(admitted, Response):
            return admitted
        passed, claims = admitted
        if limiter is not None and not (await limiter.limit({"key": claims["sub"]})).get("success"):
            return error_response(429, "rate_limited", "Too many requests. Please try again later.")
        return passed

    return {"on_before_request": partial(hook, False), "on_before_connect": partial(hook, True)}

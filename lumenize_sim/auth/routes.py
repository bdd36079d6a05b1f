"""The service's endpoints under their prefix (AU-34)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from lumenize_sim.auth.config import AUTH_BINDING, AUTH_INSTANCE, auth_prefix
from lumenize_sim.auth.mail import SENDER_BINDING
from lumenize_sim.auth.turnstile import Turnstile, turnstile_refusal
from lumenize_sim.errors import UsageError
from lumenize_sim.objects.http import Request
from lumenize_sim.routing.cors import Cors
from lumenize_sim.routing.keeper import Log
from lumenize_sim.routing.path import path_of
from lumenize_sim.routing.route import route_do_request

__all__ = ["AuthRoutes", "create_auth_routes"]

AuthRoutes = Callable[[httpx.Request], Awaitable[httpx.Response | None]]


def create_auth_routes(
    env: Any, *, cors: Cors = False, turnstile: Turnstile | None = None, log: Log | None = None
) -> AuthRoutes:
    """A handler of requests under ``LUMENIZE_AUTH_PREFIX``; it answers ``None`` to all others (AU-34).

    Args:
        env: everything else is configured there.
        cors: which other origins may ask.
        turnstile: who judges proofs; needed where ``TURNSTILE_SECRET_KEY`` is set outside test mode (AU-35).
        log: ``log(level, namespace, message)`` hears what is missing.

    Raises:
        UsageError: there is a secret, and nobody to verify with it.
    """
    prefix = auth_prefix(env)
    test_mode = env.get("LUMENIZE_AUTH_TEST_MODE") == "true"
    secret = None if test_mode else env.get("TURNSTILE_SECRET_KEY")
    if secret and turnstile is None:
        raise UsageError(
            "TURNSTILE_SECRET_KEY is set, and nobody verifies: give create_auth_routes(turnstile=siteverify(fetch))"
        )
    if log is not None and not test_mode:
        if not secret:
            log("error", "auth.createAuthRoutes", "TURNSTILE_SECRET_KEY is not set: robots can ask for magic links")
        if env.get(SENDER_BINDING) is None:
            log("error", "auth.createAuthRoutes", f"{SENDER_BINDING} is not bound: no mail will be sent")

    async def handle(request: httpx.Request) -> httpx.Response | None:
        path = path_of(request.url)
        if path != prefix and not path.startswith(f"{prefix}/"):
            return None
        endpoint = path[len(prefix) + 1 :]
        if secret and turnstile is not None and request.method == "POST" and endpoint == "email-magic-link":
            refused = await turnstile_refusal(request, secret, turnstile)
            if refused is not None:
                return refused
        query = request.url.query
        target = f"{prefix}/{AUTH_BINDING}/{AUTH_INSTANCE}/{endpoint}".encode() + (b"?" + query if query else b"")
        rewritten = Request.of(request, url=request.url.copy_with(raw_path=target))
        return await route_do_request(rewritten, env, prefix=prefix, cors=cors)

    return handle

"""The proof that somebody is no robot, before a magic link is sent (AU-35)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlencode

import attrs
import httpx

from lumenize_sim.auth.answers import EndpointError, json_body
from lumenize_sim.routing.answers import json_response

__all__ = ["SITEVERIFY_URL", "Turnstile", "TurnstileResult", "siteverify", "turnstile_refusal"]

SITEVERIFY_URL: Final = "https://challenges.cloudflare.com/turnstile/v0/siteverify"


@attrs.frozen
class TurnstileResult:
    """What the verifier says.

    Attributes:
        error_codes: why not, where it says so.
    """

    success: bool
    error_codes: tuple[str, ...] | None = None


#: ``turnstile(secret_key, token)``.
Turnstile = Callable[[str, str], Awaitable[TurnstileResult]]


def siteverify(fetch: Callable[..., Any]) -> Turnstile:
    """Cloudflare's verifier, asked through ``fetch(url, method=, headers=, body=)``.

    A request that fails, or an answer that is none, counts as a refusal.
    """

    async def verify(secret_key: str, token: str) -> TurnstileResult:
        body = urlencode({"secret": secret_key, "response": token}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = json.loads((await fetch(SITEVERIFY_URL, method="POST", headers=headers, body=body)).body or b"")
            codes = answer.get("error-codes")
            return TurnstileResult(bool(answer.get("success")), None if codes is None else tuple(map(str, codes)))
        except (OSError, ValueError, AttributeError, TypeError):
            return TurnstileResult(False, ("internal-error",))

    return verify


async def turnstile_refusal(request: httpx.Request, secret_key: str, turnstile: Turnstile) -> httpx.Response | None:
    """The answer to a request without a valid proof, or ``None``."""
    try:
        token = json_body(request).get("cf-turnstile-response")
    except EndpointError as refusal:
        return refusal.response()
    if not isinstance(token, str) or not token:
        missing = "Missing cf-turnstile-response in request body"
        return json_response({"error": "turnstile_required", "error_description": missing}, 403)
    result = await turnstile(secret_key, token)
    if result.success:
        return None
    body: dict[str, Any] = {"error": "turnstile_failed", "error_description": "Turnstile verification failed"}
    if result.error_codes is not None:
        body["error_codes"] = list(result.error_codes)
    return json_response(body, 403)

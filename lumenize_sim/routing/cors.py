"""Which pages of other origins may ask (RT-13, RT-14)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import attrs
import httpx

from lumenize_sim.objects.http import Response

__all__ = ["Cors", "CorsDecision", "CorsPolicy", "add_cors_headers", "apply_cors_policy", "is_origin_allowed"]

OriginCheck = Callable[[str, httpx.Request], object]


class CorsPolicy(TypedDict):
    """``{"origin": [...]}``: exactly these; ``{"origin": check}``: those for which ``check(origin, request)`` holds."""

    origin: Sequence[str] | OriginCheck


#: ``False``: no CORS headers; ``True``: any origin; or a policy.
Cors = bool | CorsPolicy


@attrs.frozen
class CorsDecision:
    """What a policy says about one request.

    Attributes:
        early: the answer, where the request goes no further.
        allowed_origin: to be named in the headers of the final answer; ``None`` adds none.
    """

    early: Response | None = None
    allowed_origin: str | None = None


def is_origin_allowed(origin: str, cors: Cors, request: httpx.Request) -> bool:
    """Whether ``origin`` may ask; a list is compared exactly, case and port included."""
    if isinstance(cors, bool):
        return cors
    allowed = cors["origin"]
    if callable(allowed):
        return bool(allowed(origin, request))
    return origin in list(allowed)


def add_cors_headers(response: httpx.Response, origin: str) -> Response:
    """A copy of ``response`` that pages of ``origin`` may read.  A ``Vary`` that was there is replaced (RT-13)."""
    copy = Response.of(response)
    copy.headers["Access-Control-Allow-Origin"] = origin
    copy.headers["Vary"] = "Origin"
    return copy


def apply_cors_policy(request: httpx.Request, cors: Cors) -> CorsDecision:
    """The table of CORS outcomes: preflights are answered here, foreign origins refused."""
    origin = request.headers.get("Origin")
    if not origin or cors is False:
        return CorsDecision()
    allowed = is_origin_allowed(origin, cors, request)
    if request.method == "OPTIONS":
        answer = Response(204)
        return CorsDecision(add_cors_headers(answer, origin) if allowed else answer)
    if not allowed:
        return CorsDecision(Response(403, "Forbidden: Origin not allowed"))
    return CorsDecision(allowed_origin=origin)

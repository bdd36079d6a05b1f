"""Bodies of JSON, refusals, and where a request carries its token."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

from lumenize_sim.objects.http import Response

__all__ = ["bearer_token", "error_response", "json_response", "unauthorized"]

_JSON: Final = {"Content-Type": "application/json"}


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body of compact JSON."""
    return Response(status, json.dumps(value, separators=(",", ":"), ensure_ascii=False), {**_JSON, **(headers or {})})


def error_response(status: int, error: str, description: str) -> Response:
    """``{error, error_description}``."""
    return json_response({"error": error, "error_description": description}, status)


def unauthorized(error: str, description: str) -> Response:
    """A 401 of the routing hooks, with its challenge (AU-31)."""
    refused = error_response(401, error, description)
    refused.headers["WWW-Authenticate"] = f'Bearer realm="Lumenize", error="{error}", error_description="{description}"'
    return refused


def bearer_token(request: httpx.Request) -> str | None:
    """The token of ``Authorization: Bearer``, the scheme in any case; exactly two words (AU-32)."""
    header: str = request.headers.get("Authorization", "")
    words = header.split(" ")
    return words[1] if len(words) == 2 and words[0].lower() == "bearer" else None

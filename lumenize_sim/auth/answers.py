"""Requests and responses of the endpoints: bodies, cookies, redirects, errors."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

from lumenize_sim.objects.http import Response
from lumenize_sim.routing.answers import error_response
from lumenize_sim.routing.path import path_of

__all__ = [
    "REFRESH_COOKIE",
    "EndpointError",
    "clear_cookie",
    "cookie_of",
    "json_body",
    "origin_of",
    "path_of",
    "redirect",
    "refresh_cookie",
    "with_error",
]

REFRESH_COOKIE: Final = "refresh-token"
_ATTRIBUTES: Final = "Path=/; HttpOnly; Secure; SameSite=Strict"


class EndpointError(Exception):
    """An endpoint refuses; becomes its response.

    Attributes:
        status, error, description: of the response.
    """

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description

    def response(self) -> Response:
        """What the client hears."""
        return error_response(self.status, self.error, self.description)


def redirect(location: str, cookie: str | None = None) -> Response:
    """A 302, which may set a cookie."""
    headers = {"Location": location}
    if cookie is not None:
        headers["Set-Cookie"] = cookie
    return Response(302, headers=headers)


def with_error(location: str, error: str) -> str:
    """``location`` with an ``error`` in its query (AU-8)."""
    return f"{location}{'&' if '?' in location else '?'}error={error}"


def refresh_cookie(token: str, ttl_s: int) -> str:
    """The cookie that holds a refresh token (AU-25)."""
    return f"{REFRESH_COOKIE}={token}; {_ATTRIBUTES}; Max-Age={ttl_s}"


def clear_cookie() -> str:
    """The same, to be forgotten (AU-14)."""
    return f"{REFRESH_COOKIE}=; {_ATTRIBUTES}; Max-Age=0"


def cookie_of(request: httpx.Request, name: str = REFRESH_COOKIE) -> str | None:
    """The first cookie of that name.  ``None`` also for an empty one."""
    header: str = request.headers.get("Cookie", "")
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value or None
    return None


def json_body(request: httpx.Request) -> dict[str, Any]:
    """The fields of a JSON body; of a list, a text or a number there are none.

    Raises:
        EndpointError: 400, no JSON, or null.
    """
    try:
        body = json.loads(request.content)
    except (ValueError, RecursionError):
        body = None
    if body is None:
        raise EndpointError(400, "invalid_request", "Invalid JSON body")
    return body if isinstance(body, dict) else {}


def origin_of(url: httpx.URL) -> str:
    """Scheme, host, and the port where it is not the usual one."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"

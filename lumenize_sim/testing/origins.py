"""What a browser checks before a page may read an answer from another origin (TS-6).  Sans-IO."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
import httpx

__all__ = ["Preflight", "cors_error", "needs_preflight", "origin_of", "preflight_error", "preflight_headers"]

_SIMPLE_METHODS: Final = ("GET", "HEAD", "POST")
_SIMPLE_HEADERS: Final = ("accept", "accept-language", "content-language", "content-type", "range")
_SIMPLE_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
#: Set by the browser itself, so nobody asks whether a page may.
_OWN_HEADERS: Final = ("origin", "cookie", "host", "content-length")


@attrs.frozen(kw_only=True)
class Preflight:
    """A question that was asked before a request.

    Attributes:
        url, method, headers: of the request; the headers are those that have to be allowed, in lower case.
        success: whether the answer allowed it.
    """

    url: str
    method: str
    headers: list[str]
    success: bool


def origin_of(url: httpx.URL) -> str:
    """Scheme, host and port, as the header ``Origin`` has them; web sockets count as http."""
    scheme = {"ws": "http", "wss": "https"}.get(url.scheme, url.scheme)
    port = "" if url.port is None else f":{url.port}"
    return f"{scheme}://{url.host}{port}"


def preflight_headers(headers: httpx.Headers) -> list[str]:
    """The names of headers that a page of another origin may not simply send, sorted, in lower case."""
    names = []
    for name, value in headers.items():
        if name in _OWN_HEADERS:
            continue
        simple_type = value.partition(";")[0].strip().lower() in _SIMPLE_TYPES
        if name not in _SIMPLE_HEADERS or (name == "content-type" and not simple_type):
            names.append(name)
    return sorted(dict.fromkeys(names))


def needs_preflight(request: httpx.Request) -> bool:
    """Whether a request to another origin has to be asked for."""
    return request.method not in _SIMPLE_METHODS or bool(preflight_headers(request.headers))


def cors_error(origin: str, response: httpx.Response, *, credentials: bool) -> str | None:
    """Why a page of ``origin`` may not read ``response``, or ``None`` where it may."""
    allowed = response.headers.get("access-control-allow-origin")
    if allowed is None:
        return "No 'Access-Control-Allow-Origin' header present on the requested resource"
    if allowed == "*":
        if credentials:
            return "Cannot use wildcard '*' in 'Access-Control-Allow-Origin' when credentials are included"
        return None
    if allowed != origin:
        return f"'Access-Control-Allow-Origin' header is '{allowed}' but the request origin is '{origin}'"
    if credentials and response.headers.get("access-control-allow-credentials") != "true":
        return "'Access-Control-Allow-Credentials' header is not 'true' when credentials are included"
    return None


def preflight_error(
    origin: str, method: str, headers: Iterable[str], response: httpx.Response, *, credentials: bool
) -> str | None:
    """Why the answer to a preflight does not allow the request, or ``None`` where it does."""
    if not response.is_success:
        return f"Preflight answered with status {response.status_code}"
    error = cors_error(origin, response, credentials=credentials)
    if error is not None:
        return error
    if method not in _SIMPLE_METHODS and not _lists(response, "access-control-allow-methods", method, credentials):
        return f"Method {method} is not allowed by 'Access-Control-Allow-Methods' in preflight response"
    for name in headers:
        if not _lists(response, "access-control-allow-headers", name, credentials):
            return f"Header '{name}' is not allowed by 'Access-Control-Allow-Headers' in preflight response"
    return None


def _lists(response: httpx.Response, field: str, wanted: str, credentials: bool) -> bool:
    items = [item.strip().lower() for item in response.headers.get(field, "").split(",")]
    return wanted.lower() in items or ("*" in items and not credentials)

"""The cookies of one browser (TS-4, TS-5).  Sans-IO: times are given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Any, Final

import attrs
import httpx

from lumenize_sim.errors import UsageError

__all__ = ["Cookie", "CookieJar", "parse_set_cookie"]

#: Hosts to which ``Secure`` cookies are sent without TLS too.
_TRUSTED: Final = ("localhost", "127.0.0.1", "::1", "[::1]")
_SECURE_SCHEMES: Final = ("https", "wss")
_SAME_SITE: Final = ("Strict", "Lax", "None")


@attrs.frozen(kw_only=True)
class Cookie:
    """One cookie.

    Attributes:
        domain: hosts that end in it get the cookie.
        path: of requests that get it: this one, and those below.
        expires_ms: epoch milliseconds; ``None`` for as long as the browser lives.
        secure: over TLS only.
        http_only, same_site: kept, and not enforced: pages have no ``document.cookie``, and tests own both sides.
    """

    name: str
    value: str
    domain: str
    path: str = "/"
    expires_ms: int | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None

    def expired(self, now_ms: int) -> bool:
        """Whether its time is over."""
        return self.expires_ms is not None and self.expires_ms <= now_ms

    def matches(self, url: httpx.URL) -> bool:
        """Whether a request for ``url`` carries it."""
        host, domain = url.host, self.domain.lstrip(".")
        if self.secure and url.scheme not in _SECURE_SCHEMES and host not in _TRUSTED:
            return False
        if host != domain and not host.endswith(f".{domain}"):
            return False
        path, prefix = url.path or "/", self.path
        # On the border of a segment: /auth is not above /authors.
        return path == prefix or (path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix)] == "/"))


def parse_set_cookie(header: str, url: httpx.URL, now_ms: int) -> Cookie | None:
    """The cookie that a ``Set-Cookie`` field of an answer from ``url`` sets; ``None`` for one that is none.

    Its domain is the host of the request unless it says one; ``Max-Age`` goes before ``Expires``.
    """
    pair, *attributes = [part.strip() for part in header.split(";")]
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        return None
    found: dict[str, Any] = {"name": name.strip(), "value": value.strip(), "domain": url.host}
    max_age = None
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        key, text = key.strip().lower(), text.strip()
        if key == "domain" and text:
            found["domain"] = text.lstrip(".").lower()
        elif key == "path" and text.startswith("/"):
            found["path"] = text
        elif key == "max-age" and re.fullmatch(r"-?\d+", text):
            max_age = int(text)
        elif key == "expires":
            found["expires_ms"] = _http_date_ms(text)
        elif key == "secure":
            found["secure"] = True
        elif key == "httponly":
            found["http_only"] = True
        elif key == "samesite" and text.capitalize() in _SAME_SITE:
            found["same_site"] = text.capitalize()
    if max_age is not None:
        found["expires_ms"] = now_ms + max_age * 1000
    return Cookie(**found)


def _http_date_ms(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (TypeError, ValueError):
        return None


class CookieJar:
    """All cookies of one browser; two browsers share none.

    A cookie replaces another of the same name, domain and path.  Expired ones are gone.
    """

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], Cookie] = {}

    def set(self, cookie: Cookie, now_ms: int) -> None:
        """Keep ``cookie``; one that has expired already removes its predecessor."""
        key = (cookie.name, cookie.domain, cookie.path)
        if cookie.expired(now_ms):
            self._cookies.pop(key, None)
        else:
            self._cookies[key] = cookie

    def store(self, url: httpx.URL, headers: httpx.Headers, now_ms: int) -> None:
        """Keep what an answer from ``url`` sets."""
        for header in headers.get_list("set-cookie"):
            cookie = parse_set_cookie(header, url, now_ms)
            if cookie is not None:
                self.set(cookie, now_ms)

    def all(self, now_ms: int) -> list[Cookie]:
        """All, in the order in which they were first set."""
        for key in [key for key, cookie in self._cookies.items() if cookie.expired(now_ms)]:
            del self._cookies[key]
        return list(self._cookies.values())

    def for_url(self, url: httpx.URL | str, now_ms: int) -> list[Cookie]:
        """Those that a request for ``url`` carries: longer paths first, then older ones."""
        url = httpx.URL(url)
        found = [cookie for cookie in self.all(now_ms) if cookie.matches(url)]
        return sorted(found, key=lambda cookie: -len(cookie.path))

    def get(self, name: str, domain: str | None, now_ms: int) -> Cookie | None:
        """The first of that name, and of that domain if one is given."""
        return next((c for c in self.all(now_ms) if c.name == name and domain in (None, c.domain)), None)

    def remove(self, name: str, domain: str | None = None, path: str | None = None) -> None:
        """Forget all of that name, of that domain and path where they are given."""
        for key in list(self._cookies):
            if key[0] == name and domain in (None, key[1]) and path in (None, key[2]):
                del self._cookies[key]


def header_of(cookies: Iterable[Cookie]) -> str:
    """The ``Cookie`` field that carries them."""
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)


def checked_domain(name: str, domain: str | None, last_host: str | None) -> str:
    """The domain of a cookie that a test sets by hand.

    Raises:
        UsageError: none is given, and no request has been made whose host could be meant.
    """
    found = domain or last_host
    if found is None:
        raise UsageError(f"Cannot set cookie '{name}' without domain: give one, or fetch something before")
    return found

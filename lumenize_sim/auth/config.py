"""Configuration of the service, read from the environment (section 14.1 of the reference)."""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

import attrs

from lumenize_sim.routing.keeper import DEFAULT_ISSUER

__all__ = ["AUTH_BINDING", "AUTH_INSTANCE", "AuthConfig", "auth_prefix", "expected_claims"]

#: The one object of the service.
AUTH_BINDING: Final = "LUMENIZE_AUTH"
AUTH_INSTANCE: Final = "default"


def auth_prefix(env: Any) -> str:
    """``LUMENIZE_AUTH_PREFIX``, or ``/auth``: with a slash before it and none behind."""
    return "/" + str(env.get("LUMENIZE_AUTH_PREFIX") or "/auth").strip("/")


def expected_claims(env: Any) -> tuple[str, str]:
    """(issuer, audience) of this environment's tokens."""
    return (
        str(env.get("LUMENIZE_AUTH_ISSUER") or DEFAULT_ISSUER),
        str(env.get("LUMENIZE_AUTH_AUDIENCE") or DEFAULT_ISSUER),
    )


def _seconds(value: Any, default: int) -> int:
    """A number of seconds, given as such or as text; ``default`` for none, zero and nonsense."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return int(number) if isfinite(number) and int(number) else default


@attrs.frozen(kw_only=True)
class AuthConfig:
    """What the service is told.

    Attributes:
        redirect: where browsers go after a login; nothing works without.
        issuer, audience: of access tokens.
        access_token_ttl_s, refresh_token_ttl_s, magic_link_ttl_s, invite_ttl_s: how long each is valid.
        prefix: of the paths in links.
        bootstrap_email: becomes an administrator at each login.
        test_mode: answers may hold links.
    """

    redirect: str
    issuer: str
    audience: str
    access_token_ttl_s: int
    refresh_token_ttl_s: int
    magic_link_ttl_s: int
    invite_ttl_s: int
    prefix: str
    bootstrap_email: str | None
    test_mode: bool

    @classmethod
    def of(cls, env: Any) -> AuthConfig:
        """From variables; each but the redirect has a default."""
        issuer, audience = expected_claims(env)
        bootstrap = env.get("LUMENIZE_AUTH_BOOTSTRAP_EMAIL")
        return cls(
            redirect=str(env.get("LUMENIZE_AUTH_REDIRECT") or ""),
            issuer=issuer,
            audience=audience,
            access_token_ttl_s=_seconds(env.get("LUMENIZE_AUTH_ACCESS_TOKEN_TTL"), 900),
            refresh_token_ttl_s=_seconds(env.get("LUMENIZE_AUTH_REFRESH_TOKEN_TTL"), 30 * 24 * 3600),
            magic_link_ttl_s=_seconds(env.get("LUMENIZE_AUTH_MAGIC_LINK_TTL"), 1800),
            invite_ttl_s=_seconds(env.get("LUMENIZE_AUTH_INVITE_TTL"), 7 * 24 * 3600),
            prefix=auth_prefix(env),
            bootstrap_email=str(bootstrap).lower() if bootstrap else None,
            test_mode=env.get("LUMENIZE_AUTH_TEST_MODE") == "true",
        )

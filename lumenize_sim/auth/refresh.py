"""Tokens for tests: made on the spot, verified by everybody as real ones are (AU-39, AU-40)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs

from lumenize_sim.auth.keys import import_private_key
from lumenize_sim.auth.tokens import create_jwt_payload, sign_jwt
from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.objects.host import Host
from lumenize_sim.objects.strand import Owner
from lumenize_sim.routing.keeper import DEFAULT_ISSUER

__all__ = ["LoginResult", "create_test_refresh_function", "login_with_magic_link"]


def create_test_refresh_function(
    host: Host,
    owner: Owner,
    *,
    private_key: str | None = None,
    env: Any = None,
    sub: str | None = None,
    admin_approved: bool = True,
    email_verified: bool = True,
    is_admin: bool = False,
    iss: str = DEFAULT_ISSUER,
    aud: str = DEFAULT_ISSUER,
    ttl_s: int = 3600,
    expired: bool = False,
) -> Callable[[], Awaitable[dict[str, str]]]:
    """A ``refresh=`` for clients that signs its tokens itself: no service, and no step of verification is left out.

    Args:
        host, owner: clock, and generator of ids.
        private_key: PEM; by default ``JWT_PRIVATE_KEY_BLUE`` of ``env``.
        sub: by default a UUID of this function's own.
        expired: raise instead, as after the end of a refresh token.

    The function raises a `UsageError` where it has no key.
    """
    subject = sub if sub is not None else host.uuid(owner)

    async def refresh() -> dict[str, str]:
        if expired:
            raise MeshError("Refresh token expired")
        pem = private_key or (env.get("JWT_PRIVATE_KEY_BLUE") if env is not None else None)
        if not pem:
            raise UsageError(
                "createTestRefreshFunction: no privateKey provided and JWT_PRIVATE_KEY_BLUE not found in env"
            )
        claims = create_jwt_payload(
            issuer=iss,
            audience=aud,
            subject=subject,
            expires_in_s=ttl_s,
            now_ms=host.now_ms(),
            token_id=host.uuid(owner),
            email_verified=email_verified,
            admin_approved=admin_approved,
            is_admin=is_admin,
        )
        return {"access_token": sign_jwt(claims, import_private_key(pem), "BLUE"), "sub": subject}

    return refresh


class _Browser(Protocol):
    """What keeps cookies and follows redirects."""

    @property
    def fetch(self) -> Callable[..., Awaitable[Any]]: ...


@attrs.frozen
class LoginResult:
    """A login.

    Attributes:
        access_token: a delegated one, where an actor asked.
        sub: whose.
    """

    access_token: str
    sub: str


async def login_with_magic_link(
    browser: _Browser,
    email: str,
    *,
    base_url: str = "https://localhost",
    prefix: str = "/auth",
    subject_data: dict[str, bool] | None = None,
    actor_access_token: str | None = None,
) -> LoginResult:
    """Log in as a person does, in test mode: ask for a link, follow it, trade the cookie for a token (AU-39).

    Args:
        browser: has ``fetch(url, method=, headers=, body=)``, keeps cookies.
        subject_data: flags to set before the token is made: ``adminApproved``, ``isAdmin``.
        actor_access_token: whose token asks to act for the subject afterwards.

    Raises:
        UsageError: a step was refused; says which, with the answer.
    """

    async def step(what: str, path: str, body: Any = None, **headers: str) -> Any:
        response = await browser.fetch(
            f"{base_url}{prefix}/{path}",
            method="POST",
            headers={"Content-Type": "application/json", **headers},
            body=None if body is None else json.dumps(body),
        )
        if not 200 <= response.status_code < 300:
            raise UsageError(f"login of {email}: {what} was refused: {response.status_code} {response.text}")
        return response.json() if response.content else {}

    link = (await step("the magic link", "email-magic-link?_test=true", {"email": email})).get("magic_link")
    if not link:
        raise UsageError(f"login of {email}: no link in the answer: set LUMENIZE_AUTH_TEST_MODE to 'true'")
    await browser.fetch(link)
    if subject_data is not None:
        await step("the subject's data", "test/set-subject-data", {"email": email, **subject_data})
    tokens = await step("the refresh", "refresh-token")
    if actor_access_token is not None:
        delegated = await step(
            "the delegation", "delegated-token", {"actFor": tokens["sub"]}, Authorization=f"Bearer {actor_access_token}"
        )
        return LoginResult(delegated["access_token"], tokens["sub"])
    return LoginResult(tokens["access_token"], tokens["sub"])

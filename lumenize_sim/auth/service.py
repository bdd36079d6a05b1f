"""The service: one Durable Object with all subjects, and the table of its endpoints (section 14.3)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Final

import attrs

from lumenize_sim.auth import admin, login
from lumenize_sim.auth.answers import EndpointError, cookie_of, path_of
from lumenize_sim.auth.config import AuthConfig
from lumenize_sim.auth.grants import GRANTS_SCHEMA, Grants
from lumenize_sim.auth.keys import import_private_key, primary_slot, public_keys
from lumenize_sim.auth.mail import SENDER_BINDING
from lumenize_sim.auth.subjects import SUBJECTS_SCHEMA, Subject, Subjects
from lumenize_sim.auth.tokens import create_jwt_payload, random_string, sign_jwt, verify_jwt_with_rotation
from lumenize_sim.errors import AppError
from lumenize_sim.objects.context import DurableObject
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing.answers import bearer_token, error_response

__all__ = ["Identity", "LumenizeAuth"]

_LOG: Final = "auth.LumenizeAuth"

_Endpoint = Callable[..., "Response | Awaitable[Response]"]
#: (method, end of the path, endpoint); groups of the pattern are arguments.  The first that fits answers.
_ENDPOINTS: Final[tuple[tuple[str, re.Pattern[str], _Endpoint], ...]] = tuple(
    (method, re.compile(pattern), endpoint)
    for method, pattern, endpoint in (
        ("POST", r"/email-magic-link\Z", login.email_magic_link),
        ("GET", r"/magic-link\Z", login.magic_link),
        ("GET", r"/accept-invite\Z", login.accept_invite),
        ("POST", r"/refresh-token\Z", login.refresh_token),
        ("POST", r"/logout\Z", login.logout),
        ("POST", r"/delegated-token\Z", login.delegated_token),
        ("GET", r"/approve/([^/]+)\Z", admin.approve),
        ("DELETE", r"/subject/([^/]+)/actors/([^/]+)\Z", admin.remove_actor),
        ("POST", r"/subject/([^/]+)/actors\Z", admin.add_actor),
        ("GET", r"/subject/([^/]+)\Z", admin.get_subject),
        ("PATCH", r"/subject/([^/]+)\Z", admin.update_subject),
        ("DELETE", r"/subject/([^/]+)\Z", admin.delete_subject),
        ("GET", r"/subjects\Z", admin.list_subjects),
        ("POST", r"/invite\Z", admin.invite),
        ("POST", r"/test/set-subject-data\Z", admin.set_subject_data),
    )
)


@attrs.frozen
class Identity:
    """Who asks, as the database knows them now (AU-26)."""

    sub: str
    is_admin: bool
    email: str


class LumenizeAuth(DurableObject):
    """Logins, tokens and subjects of one app: bind ``LUMENIZE_AUTH`` to it.  All configuration is in ``env``.

    Attributes:
        config: what ``env`` says.
        subjects, grants: the tables.
    """

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.config = AuthConfig.of(env)
        self.subjects = Subjects(ctx.storage.sql)
        self.grants = Grants(ctx.storage.sql)
        self._ready = False

    async def fetch(self, request: Request) -> Response:
        """Answer one request.  Anything unexpected is logged and answered with 500 ``server_error``."""
        if not self.config.redirect:
            return error_response(500, "server_error", "LUMENIZE_AUTH_REDIRECT not set")
        path = path_of(request.url)
        try:
            self._prepare()
            for method, pattern, endpoint in _ENDPOINTS:
                found = pattern.search(path) if method == request.method else None
                if found is not None:
                    answer = endpoint(self, request, *found.groups())
                    return await answer if isawaitable(answer) else answer
            return Response(404, "Not Found")
        except EndpointError as refusal:
            return refusal.response()
        except Exception as error:
            self.log("error", "Auth error", error=str(error), path=path, method=request.method)
            return error_response(500, "server_error", "Internal server error")

    def _prepare(self) -> None:
        """Tables, and a sweep at each start of the object (AU-30)."""
        if not self._ready:
            for statement in (*SUBJECTS_SCHEMA, *GRANTS_SCHEMA):
                self.ctx.storage.sql.exec(statement)
            self.grants.sweep(self.now_ms())
            self._ready = True

    # -- what endpoints stand on -----------------------------------------------------------

    def now_ms(self) -> int:
        """The host's clock."""
        return self.ctx.host.now_ms()

    def random_string(self) -> str:
        """32 random bytes, base64url."""
        return random_string(self.ctx.host.random(self.ctx.owner))

    def uuid(self) -> str:
        """A random UUID."""
        return self.ctx.host.uuid(self.ctx.owner)

    def authenticate(self, request: Request) -> Identity:
        """Who asks: by bearer token, else by refresh cookie, which stays valid (AU-26).

        A bearer token that does not hold is refused even where the cookie would.  The access gate is not asked.

        Raises:
            EndpointError: 401.
        """
        token = bearer_token(request)
        if token is not None:
            claims = verify_jwt_with_rotation(token, public_keys(self.env), now_ms=self.now_ms())
            known = self._known(claims.get("sub")) if claims is not None else None
            if known is None:
                self.audit("access.denied", "Invalid or expired access token", reason="invalid_token")
                raise EndpointError(401, "invalid_token", "Invalid or expired access token")
            return known
        cookie = cookie_of(request)
        kept = self.grants.refresh_token(cookie) if cookie is not None else None
        if kept is not None and not kept.revoked and not kept.expired(self.now_ms()):
            known = self._known(kept.subject_id)
            if known is not None:
                return known
        self.audit("access.denied", "Authentication required", reason="no_valid_credential")
        raise EndpointError(401, "invalid_token", "Authentication required")

    def require_admin(self, request: Request, endpoint: str) -> Identity:
        """`authenticate`, and an administrator by what the database says now.

        Raises:
            EndpointError: 401, or 403.
        """
        who = self.authenticate(request)
        if not who.is_admin:
            self.audit("access.denied", "Non-admin access denied", sub=who.sub, endpoint=endpoint)
            raise EndpointError(403, "forbidden", "Admin access required")
        return who

    def _known(self, sub: Any) -> Identity | None:
        subject = self.subjects.by_sub(sub) if isinstance(sub, str) and sub else None
        return None if subject is None else Identity(subject.sub, subject.is_admin, subject.email)

    def access_token(self, subject: Subject, actor: str | None = None) -> str:
        """An access token with the subject's present flags; ``actor`` acts for them (AU-29).

        Raises:
            AppError: there is no private key in the primary slot.
        """
        slot = primary_slot(self.env)
        pem = self.env.get(f"JWT_PRIVATE_KEY_{slot}")
        if not pem:
            raise AppError(f"JWT private key not configured for {slot}")
        claims = create_jwt_payload(
            issuer=self.config.issuer,
            audience=self.config.audience,
            subject=subject.sub,
            expires_in_s=self.config.access_token_ttl_s,
            now_ms=self.now_ms(),
            token_id=self.uuid(),
            email_verified=subject.email_verified,
            admin_approved=subject.admin_approved,
            is_admin=subject.is_admin,
            act={"sub": actor} if actor is not None else None,
        )
        return sign_jwt(claims, import_private_key(pem), slot)

    def new_refresh_token(self, sub: str) -> str:
        """A fresh refresh token; its hash is kept."""
        token = self.random_string()
        self.grants.add_refresh_token(token, sub, now_ms=self.now_ms(), ttl_s=self.config.refresh_token_ttl_s)
        return token

    async def send_mail(self, message: dict[str, Any], failure: str) -> None:
        """Hand ``message`` to the sender (AU-37).  A failure is logged under ``failure`` and never shown."""
        sender = self.env.get(SENDER_BINDING)
        if sender is None:
            self.log(
                "debug", f"Email not sent ({SENDER_BINDING} not configured)", type=message["type"], to=message["to"]
            )
            return
        try:
            await sender.send(message)
        except Exception as error:
            self.log("error", failure, error=str(error), email=message["to"])

    def audit(self, namespace: str, message: str, level: str = "warn", **data: Any) -> None:
        """One line of the audit log (AU-38)."""
        self.ctx.host.log(self.ctx.owner, level, f"{_LOG}.{namespace}", message, data)

    def log(self, level: str, message: str, **data: Any) -> None:
        """One line of the debug log."""
        self.ctx.host.log(self.ctx.owner, level, _LOG, message, data)

"""Endpoints for everybody: magic links, invitations, refresh, logout, delegation (AU-6 to AU-15)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from lumenize_sim.auth.answers import (
    EndpointError,
    clear_cookie,
    cookie_of,
    json_body,
    origin_of,
    redirect,
    refresh_cookie,
    with_error,
)
from lumenize_sim.auth.subjects import Subject
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing.answers import json_response

if TYPE_CHECKING:
    from lumenize_sim.auth.service import LumenizeAuth

__all__ = [
    "accept_invite",
    "delegated_token",
    "email_magic_link",
    "in_test_mode",
    "logout",
    "magic_link",
    "normal_email",
    "refresh_token",
]

_EMAIL: Final = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


def normal_email(given: Any) -> str | None:
    """The address trimmed and in lower case; ``None`` for what is none (AU-28)."""
    if not isinstance(given, str):
        return None
    email = given.lower().strip()
    return email if _EMAIL.fullmatch(email) else None


def in_test_mode(auth: LumenizeAuth, request: Request) -> bool:
    """Whether an answer may hold the links that mail would: the service is in test mode and ``_test=true`` asks."""
    return auth.config.test_mode and request.url.params.get("_test") == "true"


async def email_magic_link(auth: LumenizeAuth, request: Request) -> Response:
    """POST ``/email-magic-link`` ``{email}`` (AU-6)."""
    given = json_body(request).get("email")
    if given is not None and not isinstance(given, str):
        raise EndpointError(400, "invalid_request", "Invalid JSON body")
    email = normal_email(given)
    if email is None:
        raise EndpointError(400, "invalid_request", "Valid email required")
    config = auth.config
    token = auth.random_string()
    auth.grants.add_magic_link(token, email, auth.now_ms() + config.magic_link_ttl_s * 1000)
    link = f"{origin_of(request.url)}{config.prefix}/magic-link?one_time_token={token}"
    if in_test_mode(auth, request):
        return json_response(
            {
                "message": "Magic link generated (test mode)",
                "magic_link": link,
                "expires_in": config.magic_link_ttl_s,
            }
        )
    # Whether it went out is not told: the answer must not say which addresses exist.
    await auth.send_mail({"type": "magic-link", "to": email, "magicLinkUrl": link}, "Failed to send magic link email")
    return json_response({"message": "Check your email for the magic link", "expires_in": config.magic_link_ttl_s})


async def magic_link(auth: LumenizeAuth, request: Request) -> Response:
    """GET ``/magic-link?one_time_token=`` (AU-7 to AU-9)."""
    token = request.url.params.get("one_time_token")
    if not token:
        raise EndpointError(400, "invalid_request", "Missing one_time_token")
    link = auth.grants.magic_link(token)
    if link is None:
        auth.audit("login.failed", "Invalid magic link token", reason="not_found")
        return redirect(with_error(auth.config.redirect, "invalid_token"))
    if link.expired(auth.now_ms()):
        auth.audit("login.failed", "Expired magic link token", reason="token_expired", email=link.email)
        return redirect(with_error(auth.config.redirect, "token_expired"))
    auth.grants.spend_magic_link(token)
    subject = _log_in(auth, link.email)
    auth.audit(
        "login.succeeded", "Magic link login", "info", targetSub=subject.sub, actorSub="system", email=link.email
    )
    if not subject.admin_approved and not subject.is_admin:
        await _notify_admins(auth, request, subject)
    return _let_in(auth, subject.sub)


def _let_in(auth: LumenizeAuth, sub: str) -> Response:
    cookie = refresh_cookie(auth.new_refresh_token(sub), auth.config.refresh_token_ttl_s)
    return redirect(auth.config.redirect, cookie)


def _log_in(auth: LumenizeAuth, email: str) -> Subject:
    """The subject of ``email``, made if there is none; the bootstrap address is promoted each time (AU-9)."""
    now_ms, bootstrap = auth.now_ms(), auth.config.bootstrap_email == email
    known = auth.subjects.by_email(email)
    if known is not None:
        sub = known.sub
    else:
        sub = auth.uuid()
        auth.subjects.create(sub, email, approved=False, now_ms=now_ms, last_login_at=now_ms)
        auth.audit(
            "subject.created", "Subject created via magic link", "info", targetSub=sub, actorSub="system", email=email
        )
    if bootstrap and (known is None or not known.is_admin):
        auth.audit(
            "subject.updated", "Bootstrap promotion", "info", targetSub=sub, actorSub="system", field="isAdmin",
            **{"from": False, "to": True},
        )  # fmt: skip
    auth.subjects.logged_in(sub, now_ms, promote=bootstrap)
    subject = auth.subjects.by_sub(sub)
    assert subject is not None, "it was read or written in this turn"
    return subject


async def _notify_admins(auth: LumenizeAuth, request: Request, subject: Subject) -> None:
    approve = f"{origin_of(request.url)}{auth.config.prefix}/approve/{subject.sub}"
    for email in auth.subjects.admin_emails():
        await auth.send_mail(
            {"type": "admin-notification", "to": email, "subjectEmail": subject.email, "approveUrl": approve},
            "Failed to send admin notification",
        )


def accept_invite(auth: LumenizeAuth, request: Request) -> Response:
    """GET ``/accept-invite?invite_token=`` (AU-10, AU-11)."""
    token = request.url.params.get("invite_token")
    if not token:
        raise EndpointError(400, "invalid_request", "Missing invite_token")
    invitation = auth.grants.invitation(token)
    if invitation is None:
        auth.audit("login.failed", "Invalid invite token", reason="not_found")
        return redirect(with_error(auth.config.redirect, "invalid_token"))
    if invitation.expired(auth.now_ms()):
        auth.audit("login.failed", "Expired invite token", reason="token_expired", email=invitation.email)
        return redirect(with_error(auth.config.redirect, "token_expired"))
    subject = auth.subjects.by_email(invitation.email)
    if subject is None:
        auth.audit("login.failed", "Invite token for missing subject", reason="subject_not_found")
        return redirect(with_error(auth.config.redirect, "invalid_token"))
    auth.subjects.logged_in(subject.sub, auth.now_ms())
    auth.audit(
        "login.succeeded", "Invite accepted", "info", targetSub=subject.sub, actorSub="system", email=subject.email
    )
    if not subject.email_verified:
        auth.audit(
            "subject.updated", "Email verified via invite", "info", targetSub=subject.sub, actorSub="system",
            field="emailVerified", **{"from": False, "to": True},
        )  # fmt: skip
    return _let_in(auth, subject.sub)


def refresh_token(auth: LumenizeAuth, request: Request) -> Response:
    """POST ``/refresh-token`` (AU-12, AU-13): one turn from reading to revoking, so a token is taken only once."""
    token = cookie_of(request)
    if token is None:
        raise EndpointError(401, "invalid_token", "No refresh token provided")
    kept = auth.grants.refresh_token(token)
    if kept is None:
        raise EndpointError(401, "invalid_token", "Invalid refresh token")
    if kept.revoked:
        raise EndpointError(401, "token_revoked", "Refresh token has been revoked")
    if kept.expired(auth.now_ms()):
        raise EndpointError(401, "token_expired", "Refresh token expired")
    auth.grants.revoke(kept.token_hash)
    subject = auth.subjects.by_sub(kept.subject_id)
    if subject is None:
        raise EndpointError(401, "invalid_token", "Subject not found")
    access = auth.access_token(subject)
    cookie = refresh_cookie(auth.new_refresh_token(subject.sub), auth.config.refresh_token_ttl_s)
    return json_response(
        {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": auth.config.access_token_ttl_s,
            "sub": subject.sub,
        },
        headers={"Set-Cookie": cookie},
    )


def logout(auth: LumenizeAuth, request: Request) -> Response:
    """POST ``/logout``: revokes the token of the cookie, if there is one (AU-14)."""
    token = cookie_of(request)
    kept = auth.grants.refresh_token(token) if token is not None else None
    if kept is not None:
        auth.grants.revoke(kept.token_hash)
        auth.audit("token.revoked", "Logout", targetSub=kept.subject_id, actorSub=kept.subject_id, method="logout")
    return json_response({"message": "Logged out"}, headers={"Set-Cookie": clear_cookie()})


def delegated_token(auth: LumenizeAuth, request: Request) -> Response:
    """POST ``/delegated-token`` ``{actFor}`` (AU-15, AU-29)."""
    who = auth.authenticate(request)
    act_for = json_body(request).get("actFor")
    if not isinstance(act_for, str) or not act_for:
        raise EndpointError(400, "invalid_request", "actFor required")
    principal = auth.subjects.by_sub(act_for)
    if principal is None:
        raise EndpointError(404, "not_found", "Subject not found")
    if not who.is_admin and not auth.subjects.may_act_for(act_for, who.sub):
        auth.audit(
            "access.denied", "Unauthorized delegation attempt", sub=who.sub, endpoint="POST /delegated-token",
            targetSub=act_for,
        )  # fmt: skip
        raise EndpointError(403, "forbidden", "Not authorized to act for this subject")
    access = auth.access_token(principal, who.sub)
    auth.audit(
        "token.delegated", "Delegated token issued", "info", targetSub=act_for, actorSub=who.sub, principalSub=act_for
    )
    return json_response({"access_token": access, "token_type": "Bearer", "expires_in": auth.config.access_token_ttl_s})

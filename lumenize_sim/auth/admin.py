"""Endpoints of administrators, and the one of tests (AU-16 to AU-24)."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from lumenize_sim.auth.answers import EndpointError, json_body, origin_of, redirect, with_error
from lumenize_sim.auth.login import in_test_mode, normal_email
from lumenize_sim.auth.subjects import Subject
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing.answers import json_response

if TYPE_CHECKING:
    from lumenize_sim.auth.service import LumenizeAuth

__all__ = [
    "add_actor",
    "approve",
    "delete_subject",
    "get_subject",
    "invite",
    "list_subjects",
    "remove_actor",
    "set_subject_data",
    "update_subject",
]

_ACTORS: Final = "Use POST /subject/:id/actors and DELETE /subject/:id/actors/:actorId to manage authorized actors"
_MOST_LISTED: Final = 200


def _existing(auth: LumenizeAuth, sub: str) -> Subject:
    subject = auth.subjects.by_sub(sub)
    if subject is None:
        raise EndpointError(404, "not_found", "Subject not found")
    return subject


def _answer(auth: LumenizeAuth, sub: str) -> Response:
    return json_response({"subject": _existing(auth, sub).to_wire()})


def _changeable(auth: LumenizeAuth, admin_sub: str, sub: str, own: str) -> Subject:
    """The subject, unless it is the administrator's own or the bootstrap one."""
    if admin_sub == sub:
        raise EndpointError(403, "forbidden", own)
    subject = _existing(auth, sub)
    if subject.email == auth.config.bootstrap_email:
        raise EndpointError(403, "forbidden", "Cannot modify bootstrap admin")
    return subject


async def approve(auth: LumenizeAuth, request: Request, sub: str) -> Response:
    """GET ``/approve/:id``, as an administrator's browser follows it from a mail (AU-16)."""
    try:
        auth.authenticate(request)
    except EndpointError:
        return redirect(with_error(auth.config.redirect, "login_required"))
    admin = auth.require_admin(request, "GET /approve/:id")
    subject = _existing(auth, sub)
    auth.subjects.approve(sub)
    _audit_update(auth, "Subject approved", admin.sub, sub, "adminApproved", subject.admin_approved, True)
    await auth.send_mail(
        {"type": "approval-confirmation", "to": subject.email, "redirectUrl": auth.config.redirect},
        "Failed to send approval confirmation email",
    )
    return redirect(auth.config.redirect)


def add_actor(auth: LumenizeAuth, request: Request, principal: str) -> Response:
    """POST ``/subject/:id/actors`` ``{actorSub}`` (AU-17)."""
    admin = auth.require_admin(request, "POST /subject/:id/actors")
    actor = json_body(request).get("actorSub")
    if not isinstance(actor, str) or not actor:
        raise EndpointError(400, "invalid_request", "actorSub required")
    _existing(auth, principal)
    if auth.subjects.by_sub(actor) is None:
        raise EndpointError(400, "invalid_request", f"Actor ID not found: {actor}")
    auth.subjects.add_actor(principal, actor)
    auth.audit("actor.added", "Authorized actor added", "info", targetSub=principal, actorSub=actor, adminSub=admin.sub)
    return _answer(auth, principal)


def remove_actor(auth: LumenizeAuth, request: Request, principal: str, actor: str) -> Response:
    """DELETE ``/subject/:id/actors/:actorId`` (AU-18)."""
    admin = auth.require_admin(request, "DELETE /subject/:id/actors/:actorId")
    _existing(auth, principal)
    auth.subjects.remove_actor(principal, actor)
    auth.audit(
        "actor.removed", "Authorized actor removed", "info", targetSub=principal, actorSub=actor, adminSub=admin.sub
    )
    return _answer(auth, principal)


def get_subject(auth: LumenizeAuth, request: Request, sub: str) -> Response:
    """GET ``/subject/:id`` (AU-19)."""
    auth.require_admin(request, "GET /subject/:id")
    return _answer(auth, sub)


def update_subject(auth: LumenizeAuth, request: Request, sub: str) -> Response:
    """PATCH ``/subject/:id`` ``{isAdmin?, adminApproved?}`` (AU-20, AU-27)."""
    admin = auth.require_admin(request, "PATCH /subject/:id")
    subject = _changeable(auth, admin.sub, sub, "Cannot modify own admin status")
    body = json_body(request)
    if "authorizedActors" in body:
        raise EndpointError(400, "invalid_request", _ACTORS)
    if "isAdmin" in body:
        auth.subjects.set_admin(sub, bool(body["isAdmin"]))
        _audit_update(auth, "Subject isAdmin updated", admin.sub, sub, "isAdmin", subject.is_admin, body["isAdmin"])
    if "adminApproved" in body:
        approved = bool(body["adminApproved"])
        auth.subjects.approve(sub, approved)
        _audit_update(
            auth, "Subject adminApproved updated", admin.sub, sub, "adminApproved", subject.admin_approved, approved
        )
        if not approved:
            auth.grants.revoke_all(sub)
            auth.audit(
                "token.revoked", "Tokens revoked on approval revocation", targetSub=sub, actorSub=admin.sub,
                method="approval_revoked",
            )  # fmt: skip
    return _answer(auth, sub)


def _audit_update(
    auth: LumenizeAuth, message: str, admin_sub: str, sub: str, field: str, before: Any, after: Any
) -> None:
    auth.audit(
        "subject.updated", message, "info", targetSub=sub, actorSub=admin_sub, field=field,
        **{"from": before, "to": after},
    )  # fmt: skip


def delete_subject(auth: LumenizeAuth, request: Request, sub: str) -> Response:
    """DELETE ``/subject/:id`` (AU-21, AU-27)."""
    admin = auth.require_admin(request, "DELETE /subject/:id")
    subject = _changeable(auth, admin.sub, sub, "Cannot delete yourself")
    auth.grants.forget(sub, subject.email)
    auth.subjects.delete(sub)
    auth.audit("subject.deleted", "Subject deleted", targetSub=sub, actorSub=admin.sub, email=subject.email)
    return Response(204)


def list_subjects(auth: LumenizeAuth, request: Request) -> Response:
    """GET ``/subjects?limit&offset&role`` (AU-22)."""
    auth.require_admin(request, "GET /subjects")
    params = request.url.params
    limit = min(max(_whole(params.get("limit")) or 50, 1), _MOST_LISTED)
    offset = max(_whole(params.get("offset")), 0)
    found = auth.subjects.listed(limit=limit, offset=offset, role=params.get("role"))
    return json_response({"subjects": [subject.to_wire() for subject in found]})


def _whole(text: str | None) -> int:
    """A number in a query, without its fraction; 0 for none and for nonsense."""
    try:
        number = float(text or "0")
    except ValueError:
        return 0
    return int(min(max(number, -1e15), 1e15)) if isfinite(number) else 0


async def invite(auth: LumenizeAuth, request: Request) -> Response:
    """POST ``/invite`` ``{emails}`` (AU-11, AU-23).  Each address is invited or listed with its error."""
    admin = auth.require_admin(request, "POST /invite")
    emails = json_body(request).get("emails")
    if not isinstance(emails, list):
        raise EndpointError(400, "invalid_request", "emails array required")
    links: dict[str, str] = {}
    invited: list[str] = []
    errors: list[dict[str, Any]] = []
    for given in emails:
        email = normal_email(given)
        if email is None:
            errors.append({"email": given, "error": "Invalid email format"})
            continue
        link = _invitation(auth, request, admin.sub, email)
        if in_test_mode(auth, request):
            links[email] = link if link is not None else "(already verified)"
        elif link is not None:
            await auth.send_mail({"type": "invite-new", "to": email, "inviteUrl": link}, "Failed to send invite email")
        else:
            await auth.send_mail(
                {"type": "invite-existing", "to": email, "redirectUrl": auth.config.redirect},
                "Failed to send invite email",
            )
        auth.audit("invite.sent", "Invite sent", "info", actorSub=admin.sub, email=email)
        invited.append(email)
    body: dict[str, Any] = {"invited": invited, "errors": errors}
    if in_test_mode(auth, request):
        body["links"] = links
    return json_response(body)


def _invitation(auth: LumenizeAuth, request: Request, admin_sub: str, email: str) -> str | None:
    """Approve ``email``, and the link that verifies it; ``None`` for somebody who is verified already."""
    known = auth.subjects.by_email(email)
    if known is not None:
        auth.subjects.approve(known.sub)
        if known.email_verified:
            return None
    else:
        sub = auth.uuid()
        auth.subjects.create(sub, email, approved=True, now_ms=auth.now_ms(), last_login_at=None)
        auth.audit(
            "subject.created", "Subject created via invite", "info", targetSub=sub, actorSub=admin_sub, email=email
        )
    token = auth.random_string()
    auth.grants.add_invitation(token, email, auth.now_ms() + auth.config.invite_ttl_s * 1000)
    return f"{origin_of(request.url)}{auth.config.prefix}/accept-invite?invite_token={token}"


def set_subject_data(auth: LumenizeAuth, request: Request) -> Response:
    """POST ``/test/set-subject-data`` ``{email, adminApproved?, isAdmin?}``, in test mode (AU-24)."""
    if not auth.config.test_mode:
        raise EndpointError(403, "forbidden", "Test mode not enabled")
    body = json_body(request)
    given = body.get("email")
    email = given.lower().strip() if isinstance(given, str) else ""
    if not email:
        raise EndpointError(400, "invalid_request", "Email required")
    subject = auth.subjects.by_email(email)
    if subject is None:
        raise EndpointError(404, "not_found", "Subject not found")
    if "adminApproved" in body:
        auth.subjects.approve(subject.sub, bool(body["adminApproved"]))
    if "isAdmin" in body:
        # Approved even where it is taken away, as upstream.
        auth.subjects.set_admin(subject.sub, bool(body["isAdmin"]))
        auth.subjects.approve(subject.sub)
    return Response(204)

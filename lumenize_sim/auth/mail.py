"""Mail: what the service says, the Worker that words it, and the letter boxes of a simulated world (AU-37)."""

from __future__ import annotations

from html import escape
from typing import Any, ClassVar, Final

import attrs

from lumenize_sim.errors import AppError
from lumenize_sim.objects.context import DurableObject
from lumenize_sim.objects.worker import WorkerEntrypoint
from lumenize_sim.routing.bindings import is_do_namespace

__all__ = ["MAIL_BINDING", "SENDER_BINDING", "AuthEmailSender", "Mailbox", "ResolvedEmail"]

SENDER_BINDING: Final = "AUTH_EMAIL_SENDER"
MAIL_BINDING: Final = "EMAIL"
_BUTTON: Final = "padding:12px 24px;border-radius:6px;background:#2563eb;color:#fff;text-decoration:none"


@attrs.frozen(kw_only=True)
class ResolvedEmail:
    """A mail, ready to go."""

    to: str
    subject: str
    html: str
    from_: str
    reply_to: str
    app_name: str
    headers: dict[str, str] = attrs.field(factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """As it crosses."""
        return {
            "to": self.to, "subject": self.subject, "html": self.html, "from": self.from_,
            "replyTo": self.reply_to, "appName": self.app_name, "headers": dict(self.headers),
        }  # fmt: skip


class AuthEmailSender(WorkerEntrypoint):
    """Base class of Workers behind ``AUTH_EMAIL_SENDER``: gives each message of the service its words, and sends it.

    Messages are dicts with ``type`` and ``to``::

        magic-link               magicLinkUrl
        admin-notification       subjectEmail, approveUrl
        approval-confirmation    redirectUrl
        invite-existing          redirectUrl
        invite-new               inviteUrl

    Override `html`, `subject_line`, `headers`, or `send_email` to choose another transport.

    Attributes:
        from_address: bare address of the sender.
        reply_to: by default ``no-reply@`` the sender's domain.
        app_name: as templates say it.
    """

    from_address: ClassVar[str] = "auth@mesh.simulated"
    reply_to: ClassVar[str | None] = None
    app_name: ClassVar[str] = "Lumenize"

    async def send(self, message: dict[str, Any]) -> None:
        """Word and send one message of the service."""
        reply_to = self.reply_to or f"no-reply@{self.from_address.partition('@')[2]}"
        await self.send_email(
            ResolvedEmail(
                to=message["to"],
                subject=self.subject_line(message),
                html=self.html(message),
                from_=self.from_address,
                reply_to=reply_to,
                app_name=self.app_name,
                headers=self.headers(message),
            )
        )

    async def send_email(self, email: ResolvedEmail) -> None:
        """Put the mail into the receiver's `Mailbox`, behind the binding ``EMAIL``.

        Raises:
            AppError: there is no such binding.
        """
        boxes = self.env.get(MAIL_BINDING)
        if not is_do_namespace(boxes):
            raise AppError(
                f"mail for {email.to} has nowhere to go: bind {MAIL_BINDING} to lumenize_sim.auth.Mailbox, "
                f"or override send_email() of {type(self).__qualname__}"
            )
        await boxes.get_by_name(email.to).deliver(email.to_wire())

    def subject_line(self, message: dict[str, Any]) -> str:
        """The subject of a message."""
        kind = message["type"]
        if kind == "admin-notification":
            return f"New signup: {message['subjectEmail']}"
        return {
            "magic-link": "Your login link",
            "approval-confirmation": "Your account has been approved",
            "invite-existing": "You've been invited",
            "invite-new": "You've been invited",
        }[kind]

    def html(self, message: dict[str, Any]) -> str:
        """The body of a message."""
        app, kind = self.app_name, message["type"]
        if kind == "magic-link":
            return _letter(f"Sign in to {app}", "This link can be used once.", message["magicLinkUrl"], "Sign in")
        if kind == "admin-notification":
            waits = f"{message['subjectEmail']} has signed up and waits for approval."
            return _letter(f"{app}: new signup", waits, message["approveUrl"], "Approve")
        if kind == "approval-confirmation":
            return _letter(f"Welcome to {app}", "Your account was approved.", message["redirectUrl"], f"Go to {app}")
        if kind == "invite-existing":
            return _letter(f"You may use {app}", "Your account is ready.", message["redirectUrl"], f"Go to {app}")
        return _letter(f"You are invited to {app}", "Open the link to begin.", message["inviteUrl"], "Accept")

    def headers(self, message: dict[str, Any]) -> dict[str, str]:
        """Further header fields of the mail."""
        return {}


def _letter(title: str, text: str, url: str, button: str) -> str:
    title, text, url, button = map(escape, (title, text, url, button))  # addresses may hold markup
    return f'<h2>{title}</h2>\n<p>{text}</p>\n<p><a href="{url}" style="{_BUTTON}">{button}</a></p>\n'


class Mailbox(DurableObject):
    """Where mail for one address ends in a simulated world: bind ``EMAIL`` to it, and read `World.mailbox`."""

    def deliver(self, mail: dict[str, Any]) -> None:
        """One mail arrives."""
        self.ctx.storage.kv.put("mails", [*self.mails(), mail])

    def mails(self) -> list[dict[str, Any]]:
        """All that have arrived, oldest first."""
        kept: list[dict[str, Any]] = self.ctx.storage.kv.get("mails", [])
        return kept

"""What the listeners of a standard web socket are given."""

from __future__ import annotations

import attrs

__all__ = ["CloseEvent", "ErrorEvent", "MessageEvent", "OpenEvent"]


@attrs.frozen
class OpenEvent:
    """A socket made by ``ctx.web_socket`` is open."""

    type = "open"


@attrs.frozen
class MessageEvent:
    """One message: text, or bytes."""

    type = "message"
    data: str | bytes


@attrs.frozen
class CloseEvent:
    """The peer's close frame, or the end of the connection without one: code 1006, not clean (WS-14)."""

    type = "close"
    code: int
    reason: str
    was_clean: bool


@attrs.frozen
class ErrorEvent:
    """The connection broke for a reason of its own; nothing can be sent any more."""

    type = "error"
    message: str
    error: Exception

"""Where the code that uses a web socket runs, and by what its frames leave."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

import attrs

from lumenize_sim.objects.socket_record import SocketRecord
from lumenize_sim.objects.strand import strand_var

__all__ = ["SocketHome", "SocketRules", "current_home", "home_var"]


@attrs.frozen
class SocketRules:
    """What compatibility flags decide about ``close()`` (WS-28).

    Attributes:
        strict_codes: allow 1000 and 3000 to 4999 only.
        short_reasons: refuse reasons of more than 123 bytes.
    """

    strict_codes: bool = False
    short_reasons: bool = True


class SocketHome(Protocol):
    """Where the code that uses a socket runs."""

    rules: SocketRules

    @property
    def access(self) -> Callable[[str, str], None] | None:
        """Hears of what user code looks at and changes; ``None`` where nobody listens.

        It is told ``"sockets"``, ``"accept"``, ``"attachment"`` or ``"attach"``, and a key.
        """
        ...

    def emit(self, record: SocketRecord, kind: str, payload: Any) -> None:
        """User code does something: ``"message"`` with text or bytes, ``"close"`` with ``(code, reason)`` (``None, ""``
        for an empty close frame), or ``"accept"`` with the `WebSocket` when it is taken over by the standard API.
        """
        ...


#: The home of the instance whose code runs.  The machine sets it for each turn, so that a pair made by user
#: code knows where its frames go before it is accepted.
home_var: ContextVar[SocketHome | None] = ContextVar("lumenize_sim_socket_home", default=None)


def current_home() -> SocketHome | None:
    """That of the code that runs: of its instance, or of the seat of a Worker or a driver."""
    home = home_var.get()
    strand = strand_var.get()
    if home is None and strand is not None:
        home = getattr(strand.owner.seat, "frames", None)
    return home

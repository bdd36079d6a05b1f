"""What a client is built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from lumenize_sim.errors import UsageError
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.client_events import ConnectionState
from lumenize_sim.mesh.errors import LoginRequiredError
from lumenize_sim.mesh.tab_id import BroadcastChannel, SessionStorage
from lumenize_sim.objects.host import Host
from lumenize_sim.objects.strand import Owner

__all__ = ["ClientConfig"]


@attrs.frozen(kw_only=True)
class ClientConfig:
    """What a client is built from.

    Attributes:
        base_url: ``https://``, ``http://``, ``wss://`` or ``ws://`` and a host.
        host: the surroundings.
        owner: the client's incarnation; all its turns are turns of this owner.
        instance_name: ``{sub}.{tabId}``; generated at the first connection where it is missing.
        access_token: first JWT.
        refresh: where new tokens come from: a function, sync or async, returning ``{"access_token": ...}``, or
            a URL to POST to, absolute or relative to ``base_url``.
        on_connection_state_change, on_login_required, on_subscription_required, on_connection_error: callbacks,
            sync or async.
        heartbeat_interval_s: zero or less sends no pings.
        session_storage, broadcast_channel: the tab's storage and a function that opens a channel by name; with
            both, the tab id survives a reload.
    """

    base_url: str
    host: Host
    owner: Owner
    instance_name: str | None = None
    gateway_binding_name: str = messages.DEFAULT_GATEWAY_BINDING
    access_token: str | None = None
    refresh: str | Callable[[], Any] = "/auth/refresh-token"
    on_connection_state_change: Callable[[ConnectionState], Any] | None = None
    on_login_required: Callable[[LoginRequiredError], Any] | None = None
    on_subscription_required: Callable[[], Any] | None = None
    on_connection_error: Callable[[Exception], Any] | None = None
    heartbeat_interval_s: float = messages.WS_HEARTBEAT_INTERVAL_S
    session_storage: SessionStorage | None = None
    broadcast_channel: Callable[[str], BroadcastChannel] | None = None

    def __attrs_post_init__(self) -> None:
        if not self.base_url.startswith(("https://", "http://", "wss://", "ws://")):
            raise UsageError(f"base_url {self.base_url!r} has no scheme; use for example 'https://example.com'")

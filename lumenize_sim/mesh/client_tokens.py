"""Where a client's access tokens come from: one refresh at a time, shared by all who wait (CL-22, CL-23, CL-27)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urljoin

import outcome

from lumenize_sim.clone import loads
from lumenize_sim.mesh.chain import is_awaitable
from lumenize_sim.mesh.client_connection import ClientConnection
from lumenize_sim.mesh.client_events import RefreshFailed, TokenArrived
from lumenize_sim.mesh.errors import LoginRequiredError, MeshError
from lumenize_sim.objects.host import Host
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.objects.strand import Owner

__all__ = ["TokenSource"]


class _Config(Protocol):
    """What a source reads of a `ClientConfig`."""

    @property
    def base_url(self) -> str: ...
    @property
    def host(self) -> Host: ...
    @property
    def owner(self) -> Owner: ...
    @property
    def refresh(self) -> str | Callable[[], Any]: ...


class TokenSource:
    """Refreshes the token that ``connection`` holds; what came of it goes to ``feed``.  Nothing is a checkpoint."""

    def __init__(
        self,
        connection: ClientConnection,
        config: _Config,
        feed: Callable[[TokenArrived | RefreshFailed], None],
    ) -> None:
        self._connection = connection
        self._config = config
        self._feed = feed
        self._refreshing = False
        self._waiters: list[Pending[str]] = []

    def fresh(self) -> Pending[str]:
        """The token, refreshed first where it has run out; concurrent callers share one refresh (CL-27).

        Fails with what the refresh failed with, or with a `MeshError` when it returned no token.
        """
        if not self._connection.needs_refresh(self._config.host.now_ms()):
            return Pending.of(self._connection.token or "")
        waiter: Pending[str] = Pending("token")
        self._waiters.append(waiter)
        self.refresh()
        return waiter

    def refresh(self) -> None:
        """Begin a refresh, unless one is under way (CL-22, CL-23)."""
        if self._refreshing:
            return
        self._refreshing = True
        config = self._config
        refresh = config.refresh
        if isinstance(refresh, str):
            base = config.base_url
            if base.startswith("ws"):
                base = f"http{base[2:]}"
            config.host.fetch(config.owner, urljoin(base, refresh), method="POST").when_done(self._answered)
            return
        try:
            result = refresh()
        except Exception as error:
            self._ended(RefreshFailed(error))
            return
        if is_awaitable(result):
            config.host.spawn(config.owner, self._finish, result)
        else:
            self._ended(_token_in(result))

    async def _finish(self, result: Any) -> None:
        try:
            answer = await result
        except Exception as error:
            self._ended(RefreshFailed(error))
        else:
            self._ended(_token_in(answer))

    def _answered(self, result: Outcome) -> None:
        if isinstance(result, outcome.Error):
            error = result.error
            self._ended(RefreshFailed(error if isinstance(error, Exception) else MeshError(str(error))))
            return
        response = result.value
        status = response.status
        if status in (401, 403):
            refused = LoginRequiredError(f"Token refresh failed: {status}", status, "Refresh token expired or invalid")
            self._ended(RefreshFailed(refused))
        elif not 200 <= status < 300:
            self._ended(RefreshFailed(MeshError(f"Token refresh failed: {status}")))
        else:
            try:
                body = response.body
                answer = loads(body.decode() if isinstance(body, bytes) else body)
            except (ValueError, AttributeError, TypeError) as error:
                self._ended(RefreshFailed(MeshError(f"Token refresh failed: not JSON ({error})")))
            else:
                self._ended(_token_in(answer))

    def _ended(self, event: TokenArrived | RefreshFailed) -> None:
        self._refreshing = False
        self._feed(event)
        waiters, self._waiters = self._waiters, []
        if not waiters:
            return
        token = self._connection.token
        result: Outcome
        if isinstance(event, RefreshFailed):
            result = outcome.Error(event.error)
        elif token:
            result = outcome.Value(token)
        else:
            result = outcome.Error(MeshError("Refresh returned no token"))
        for waiter in waiters:
            waiter.settle(result)


def _token_in(answer: Any) -> TokenArrived:
    token = answer.get("access_token") if isinstance(answer, Mapping) else None
    return TokenArrived(token if isinstance(token, str) else None)

"""What stands before a simulated mesh: its door, over virtual time, and requests from outside (WIRE-1, RT-15)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import httpx
import outcome

from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.namespace import ServiceBinding
from lumenize_sim.objects.pending import Outcome, Pending
from lumenize_sim.routing.door import ENTRY, Door, LocalDoor, has_keys
from lumenize_sim.routing.route import BINDING_HEADER, INSTANCE_HEADER
from lumenize_sim.world.raw_socket import upgrade_request
from lumenize_sim.world.sim_call import SimDispatcher

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["MESH_HOST", "TOKEN_LIFE_S", "Entry"]

_SECRET: Final = "simulated"
MESH_HOST: Final = "mesh.simulated"
TOKEN_LIFE_S: Final = 3600


class Entry:
    """Lets people in."""

    def __init__(self, world: World) -> None:
        self._world = world

    @cached_property
    def door(self) -> Door:
        """The app's own door where it has keys or a login service, else one that only this world has the key of."""
        world = self._world
        app = world.app
        if not has_keys(app):
            return LocalDoor(app, _SECRET, world.host.now_ms)
        from lumenize_sim.auth.door import KeyedDoor  # needs the extra `auth`

        return KeyedDoor(app, world.host.now_ms)

    def mint(self, seat: Any, sub: str, claims: dict[str, Any] | None = None, life_s: int = TOKEN_LIFE_S) -> str:
        """An access token for ``sub``, valid from now on."""
        host = self._world.host
        token_id = host.uuid(seat.owner)
        return self.door.mint(sub, now_ms=host.now_ms(), token_id=token_id, life_s=life_s, claims=claims)

    # -- web sockets ---------------------------------------------------------------------

    def admit(self, url: str, protocols: Sequence[str]) -> Request | Response:
        """The request that reaches the gateway, or the refusal."""
        return self.door.admit(upgrade_request(url, protocols, None))

    def target(self, request: Request) -> Any:
        """Who answers an upgrade: the gateway object that an admitted one goes to, or a Worker by name."""
        if self.door.asks_worker:
            return ENTRY
        return self._world.machines.named(request.headers[BINDING_HEADER], request.headers[INSTANCE_HEADER])

    # -- requests ------------------------------------------------------------------------

    def answers(self, url: httpx.URL) -> bool:
        """Whether ``url`` leads to the mesh of this world."""
        return url.host == MESH_HOST

    def fetch(self, seat: Any, request: httpx.Request) -> Pending[Response]:
        """Ask the entry Worker on behalf of the owner of ``seat``.  Acts at once.

        A Worker that fails answers with 500, or 503 where what failed is overloaded (RPC-21).  Settles with a
        ConnectionError where the request or its answer is lost.
        """
        # Each on a connection of its own: nothing orders two requests of a browser.
        asked = ServiceBinding(SimDispatcher(self._world.calls, seat), ENTRY).fetch(Request.of(request))
        answer: Pending[Response] = Pending(f"{request.method} {request.url}")
        asked.when_done(lambda result: answer.settle(self._seen_outside(seat, request, result)))
        return answer

    def _seen_outside(self, seat: Any, request: httpx.Request, result: Outcome) -> Outcome:
        if type(result) is not outcome.Error:
            return result
        if getattr(result.error, "remote", False):
            if getattr(result.error, "overloaded", False):
                return outcome.Value(Response(503, "Service Unavailable"))
            self._world.host.log_unseen(seat.owner, f"{request.method} {request.url}", result.error)
            return outcome.Value(Response(500, "Internal Server Error"))
        return outcome.Error(ConnectionError(f"{request.method} {request.url}: {result.error}"))

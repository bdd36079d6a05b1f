"""What stands before a simulated mesh: its door, over virtual time (WIRE-1, WIRE-2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing.door import Door, LocalDoor, has_keys
from lumenize_sim.routing.route import BINDING_HEADER, INSTANCE_HEADER
from lumenize_sim.world.raw_socket import upgrade_request

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["TOKEN_LIFE_S", "Entry"]

_SECRET: Final = "simulated"
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

    def admit(self, url: str, protocols: Sequence[str]) -> Request | Response:
        """The request that reaches the gateway, or the refusal."""
        return self.door.admit(upgrade_request(url, protocols, None))

    def machine(self, request: Request) -> Any:
        """The gateway object that an admitted request goes to."""
        return self._world.machine_named(request.headers[BINDING_HEADER], request.headers[INSTANCE_HEADER])

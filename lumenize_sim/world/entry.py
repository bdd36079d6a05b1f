"""What stands before a simulated mesh: the entry of `routing`, with tokens signed by the world (WIRE-1, WIRE-2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from lumenize_sim.objects.http import Request, Response
from lumenize_sim.routing import entry

if TYPE_CHECKING:
    from lumenize_sim.world.world import World

__all__ = ["Entry"]

_SECRET: Final = "simulated"
TOKEN_LIFE_S: Final = 3600


class Entry:
    """Admits web-socket upgrades."""

    def __init__(self, world: World) -> None:
        self._world = world

    def mint(self, seat: Any, sub: str, claims: dict[str, Any] | None = None, life_s: int = TOKEN_LIFE_S) -> str:
        """An access token for ``sub``, valid from now on."""
        host = self._world.host
        now_s, token_id = host.now_ms() // 1000, host.uuid(seat.owner)
        return entry.mint(_SECRET, sub, now_s=now_s, token_id=token_id, life_s=life_s, claims=claims)

    def admit(self, url: str, protocols: Sequence[str]) -> Request | Response:
        """The request that reaches the gateway, or the refusal."""
        world = self._world
        return entry.admit(world.app, _SECRET, url, protocols, now_s=world.host.now_ms() / 1000)

    def machine(self, request: Request) -> Any:
        """The gateway object that an admitted request goes to."""
        binding = request.headers["X-Lumenize-DO-Binding-Name"]
        return self._world.machine_named(binding, request.headers["X-Lumenize-DO-Instance-Name-Or-Id"])

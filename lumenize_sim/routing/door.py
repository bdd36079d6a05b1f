"""The door of an app: who is let in from outside, with which tokens, and by whom (RT-15).

Upgrades of web sockets are mostly decided in one step, by `Door.admit`.  All other requests,
and those upgrades for which somebody else has to be asked, are answered by a Worker: the app's
own ``main``, or `EntryWorker`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import httpx

from lumenize_sim.mesh.app import Mesh
from lumenize_sim.mesh.tokens import mint_hs256, verify_hs256
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.worker import WorkerEntrypoint
from lumenize_sim.routing.errors import RoutingError
from lumenize_sim.routing.keeper import DEFAULT_ISSUER, RATE_LIMITER_BINDING, Claims, Keeper, keeper_hooks
from lumenize_sim.routing.route import find_route, forwarded, route_do_request

__all__ = ["ENTRY", "GATEWAY_PREFIX", "Door", "EntryWorker", "LocalDoor", "LocalKeeper", "Routes", "has_keys"]

GATEWAY_PREFIX: Final = "gateway"
#: The entry's name among Workers; no binding can have it.
ENTRY: Final = "(entry)"

#: Answers a request, or leaves it to others with ``None``.
Routes = Callable[[httpx.Request], Awaitable[httpx.Response | None]]


def has_keys(app: Mesh) -> bool:
    """Whether an app says itself whose tokens hold: by public keys, or by its login service."""
    return "LUMENIZE_AUTH" in app.bindings or any(name.startswith("JWT_PUBLIC_KEY_") for name in app.vars)


class Door(ABC):
    """What stands before one app.

    Attributes:
        app: the mesh behind it.
        keeper: judges tokens.
        asks_worker: a Worker decides about upgrades, too: the app's own, or because there is a rate limiter to ask.
    """

    def __init__(self, app: Mesh, keeper: Keeper) -> None:
        self.app = app
        self.keeper = keeper
        self.asks_worker = app.main is not None or RATE_LIMITER_BINDING in app.bindings
        self._objects = [name for name in app.bindings if not app.is_worker(name)]
        self._worker: type | None = None

    @abstractmethod
    def mint(
        self, sub: str, *, now_ms: int, token_id: str, life_s: int, claims: Mapping[str, Any] | None = None
    ) -> str:
        """An access token for ``sub``, valid from now on.  ``claims`` are added, or replace what is there."""

    def routes(self, ctx: Any, env: Any) -> Sequence[Routes]:
        """Who is asked before objects are, on behalf of a Worker."""
        return ()

    @property
    def worker(self) -> type:
        """The class whose ``fetch`` answers requests from outside."""
        if self._worker is None:
            self._worker = self.app.main or type("EntryWorker", (EntryWorker,), {"door": self})
        return self._worker

    def admit(self, request: httpx.Request) -> Request | Response:
        """An upgrade as the object gets it, or the refusal.  In one step, so nobody else can be asked."""
        try:
            route = find_route(request.url, self._objects, GATEWAY_PREFIX, compat=self.app.compat)
        except RoutingError as error:
            return Response(error.http_error_code, str(error))
        if route is None:
            return Response(404, "Not Found")
        admitted = self.keeper.admit(request, upgrade=True)
        return admitted if isinstance(admitted, Response) else forwarded(admitted[0], route)


class EntryWorker(WorkerEntrypoint):
    """The Worker of an app that has none of its own: routes, then objects under ``/gateway``, then 404 (RT-15)."""

    door: ClassVar[Door]

    async def fetch(self, request: Request) -> httpx.Response:
        """Answer a request from outside."""
        door, env = self.door, self.env
        try:
            for answer in door.routes(self.ctx, env):
                response = await answer(request)
                if response is not None:
                    return response
            hooks = keeper_hooks(door.keeper, env.get(RATE_LIMITER_BINDING))
            response = await route_do_request(request, env, prefix=GATEWAY_PREFIX, compat=door.app.compat, **hooks)
        except RoutingError as error:
            return Response(error.http_error_code, str(error))
        return Response(404, "Not Found") if response is None else response


class LocalKeeper(Keeper):
    """Accepts tokens signed with a secret (HS256).  What they leave out counts as it should be."""

    issuer = audience = DEFAULT_ISSUER

    def __init__(self, secret: str, now_ms: Callable[[], int]) -> None:
        self._secret = secret
        self._now_ms = now_ms

    def claims_of(self, token: str) -> Claims | None:
        """Signed with the secret, and valid now."""
        try:
            claims = verify_hs256(token, self._secret, now_s=self._now_ms() / 1000)
        except ValueError:
            return None
        return {"iss": self.issuer, "aud": self.audience, "emailVerified": True, **claims}


class LocalDoor(Door):
    """The door of an app without keys: whoever knows the secret lets people in.  For tests and development."""

    def __init__(self, app: Mesh, secret: str, now_ms: Callable[[], int]) -> None:
        super().__init__(app, LocalKeeper(secret, now_ms))
        self._secret = secret

    def mint(
        self, sub: str, *, now_ms: int, token_id: str, life_s: int, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Signed with the secret."""
        now_s = now_ms // 1000
        payload = {
            "iss": DEFAULT_ISSUER, "aud": DEFAULT_ISSUER, "sub": sub, "exp": now_s + life_s, "iat": now_s,
            "jti": token_id, "emailVerified": True, "adminApproved": True, **(claims or {}),
        }  # fmt: skip
        return mint_hs256(payload, self._secret)

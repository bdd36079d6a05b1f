"""The door of an app with keys of its own: its tokens, and the endpoints of its service (RT-15)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lumenize_sim.auth.config import AUTH_BINDING, expected_claims
from lumenize_sim.auth.hooks import Gatekeeper
from lumenize_sim.auth.keys import import_private_key, primary_slot
from lumenize_sim.auth.routes import create_auth_routes
from lumenize_sim.auth.tokens import create_jwt_payload, sign_jwt
from lumenize_sim.auth.turnstile import siteverify
from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.app import Mesh
from lumenize_sim.routing.door import Door, Routes

__all__ = ["KeyedDoor"]


class KeyedDoor(Door):
    """Verifies with the app's public keys, signs with its private one, and serves ``LUMENIZE_AUTH`` where it is bound.

    Raises:
        AppError: the app has no public key.
    """

    def __init__(self, app: Mesh, now_ms: Callable[[], int]) -> None:
        super().__init__(app, Gatekeeper.of(app.vars, now_ms))

    def mint(
        self, sub: str, *, now_ms: int, token_id: str, life_s: int, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Signed with the private key in the primary slot.

        Raises:
            UsageError: there is none, so only the service's own tokens pass.
        """
        env = self.app.vars
        slot = primary_slot(env)
        pem = env.get(f"JWT_PRIVATE_KEY_{slot}")
        if not pem:
            raise UsageError(
                f"no token for {sub!r}: the app has no JWT_PRIVATE_KEY_{slot} to sign with; give it in vars, "
                f"or connect with access_token= or refresh="
            )
        issuer, audience = expected_claims(env)
        payload = create_jwt_payload(
            issuer=issuer,
            audience=audience,
            subject=sub,
            expires_in_s=life_s,
            now_ms=now_ms,
            token_id=token_id,
            email_verified=True,
            admin_approved=True,
        )
        return sign_jwt({**payload, **(claims or {})}, import_private_key(pem), slot)

    def routes(self, ctx: Any, env: Any) -> Sequence[Routes]:
        """The endpoints of the service, if there is one."""
        if AUTH_BINDING not in self.app.bindings:
            return ()
        return (create_auth_routes(env, turnstile=siteverify(partial(ctx.host.fetch, ctx.owner))),)

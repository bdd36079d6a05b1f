"""The correct twin of `shared_login`: a page that is refused asks again after a while.

As soon as the other page's refresh is answered, the browser has the newer cookie.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from lumenize_sim import World, scenario
from lumenize_sim.mesh import LoginRequiredError
from scenarios.shared_login import Page, app, come_back_later

PATIENCE_S = 5.0
ATTEMPTS = 3


def patient(world: World) -> Callable[[], Awaitable[dict[str, str]]]:
    """A refresh that takes the word of the service only when it has said so for a while."""

    async def refresh() -> dict[str, str]:
        for attempt in range(ATTEMPTS):
            if attempt:
                await trio.sleep(PATIENCE_S)
            answer = await world.visitor("ann").fetch("/auth/refresh-token", "POST")
            if answer.status == 200:
                tokens: dict[str, str] = answer.json()
                return tokens
        raise LoginRequiredError("Token refresh failed", answer.status, answer.text)

    return refresh


@scenario(app)
async def two_patient_pages(world: World) -> None:
    """Nobody has logged out, so nobody has to log in again."""
    for page in await come_back_later(world, refresh=patient(world)):
        assert isinstance(page, Page)
        assert not page.login_lost, f"{page.lmz.instance_name} has lost its login"
        assert page.connection_state == "connected"

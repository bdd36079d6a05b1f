"""Two pages of one browser, one refresh cookie: both tokens run out, and one page loses its login.

A refresh token works once (AU-13).  Both pages send the cookie that the browser has, and
whoever comes second is told that it was revoked: a refusal that no retry of the client
undoes, so somebody who was never logged out has to log in again.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import LumenizeClient, LumenizeDO, Mesh, World, mesh, scenario
from lumenize_sim.auth import KeyPair, LumenizeAuth

TOKEN_LIFE_S = 60


class Board(LumenizeDO):
    """Something to look at."""

    @mesh
    def look(self) -> str:
        return "nothing new"


class Page(LumenizeClient):
    """Looks at the board."""

    login_lost = False

    def look(self) -> None:
        self.lmz.call("BOARD", "b1", self.ctn(Board).look())

    def on_login_required(self, error: Exception) -> None:
        self.login_lost = True


app = Mesh(
    bindings={"BOARD": Board, "LUMENIZE_AUTH": LumenizeAuth},
    vars={
        "LUMENIZE_AUTH_REDIRECT": "/",
        "LUMENIZE_AUTH_TEST_MODE": "true",
        "LUMENIZE_AUTH_ACCESS_TOKEN_TTL": TOKEN_LIFE_S,
        **KeyPair.from_seed("a key for tests").vars(),
    },
)


async def come_back_later(world: World, **config: Any) -> tuple[Page, Page]:
    """Log in, open two pages, and use both when their tokens have run out."""
    ann = world.visitor("ann")
    await ann.login("ann@example.com", adminApproved=True)
    first = await world.connect(Page, visitor=ann, **config)
    second = await world.connect(Page, visitor=ann, **config)
    await world.advance(TOKEN_LIFE_S + 1)
    first.look()
    second.look()
    await world.settle()
    return first, second


@scenario(app)
async def two_pages(world: World) -> None:
    """Nobody has logged out, so nobody has to log in again."""
    for page in await come_back_later(world):
        assert not page.login_lost, f"{page.lmz.instance_name} has lost its login"

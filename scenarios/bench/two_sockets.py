"""A game that lets everybody in once, and two sockets of one user that join at once.

Who joins is looked up in the list of players, and then asked for at the user's profile; the answer opens the input
gate (IG-8), and what was looked up before it is stale.  Ann's second page has to read the rules first, so that first
come, first served refuses it.

Depth 1: the second page joins before the profile has answered for the first.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, RawSocket, Request, Response, WebSocketPair, World, scenario

DEPTH = 1
RATE = (86, 20_000)
RACING = {
    "object": "GAME/chess",
    "key": "players",
    "events": (("page1", "first"), ("page2", "second")),
    "lines": ('if user not in kv.get("players", [])', 'kv.put("players"'),
}
#: Pages of rules that a newcomer reads.
RULES = 6


class Profile(DurableObject):
    """What one user is called."""

    async def nickname(self) -> str:
        return f"the great {self.ctx.id.name}"


class Door(DurableObject):
    """Takes web sockets."""

    def fetch(self, request: Request) -> Response:
        page, ours = WebSocketPair()
        self.ctx.accept_web_socket(ours)
        return Response(101, web_socket=page)


class Lobby(Door):
    """Shows rules."""

    async def web_socket_message(self, ws: Any, message: str) -> None:
        ws.send(f"{message}: be kind")


class Game(Door):
    """Everybody plays once."""

    async def web_socket_message(self, ws: Any, user: str) -> None:
        kv = self.ctx.storage.kv
        if user not in kv.get("players", []):
            nickname = await self.env.PROFILE.get_by_name(user).nickname()
            kv.put("players", [*kv.get("players", []), user])
            ws.send(f"you are {nickname}")
        else:
            ws.send("you play already")


class FixedGame(Game):
    """Looks at the list in the turn in which it changes it."""

    async def web_socket_message(self, ws: Any, user: str) -> None:
        kv = self.ctx.storage.kv
        nickname = await self.env.PROFILE.get_by_name(user).nickname()
        if user not in kv.get("players", []):
            kv.put("players", [*kv.get("players", []), user])
            ws.send(f"you are {nickname}")
        else:
            ws.send("you play already")


def app_of(game: type[Game]) -> Mesh:
    return Mesh(bindings={"LOBBY": Lobby, "GAME": game, "PROFILE": Profile})


def newcomer(lobby: RawSocket, game: RawSocket, user: str) -> None:
    """Read the rules, and join."""
    left = list(range(RULES))

    def go_on(_: Any = None) -> None:
        if left:
            lobby.send(f"rule {left.pop(0)}")
        else:
            game.send(user)

    lobby.on_message = go_on
    go_on()


async def two_pages(world: World) -> None:
    """Ann opens two pages: she plays once."""
    lobby = await world.open_socket("LOBBY", "main", client="page2")
    first = await world.open_socket("GAME", "chess", client="page1")
    second = await world.open_socket("GAME", "chess", client="page2")
    newcomer(lobby, second, "ann")
    first.send("ann")
    await world.settle()
    players = world.object("GAME", "chess").storage.kv.get("players")
    assert players == ["ann"], f"ann plays {players.count('ann')} times"


@scenario(app_of(Game))
async def two_sockets(world: World) -> None:
    """With the bug."""
    await two_pages(world)


@scenario(app_of(FixedGame))
async def two_sockets_fixed(world: World) -> None:
    """Without it."""
    await two_pages(world)

"""A game that lets everybody in once, and two sockets of one user that join at once.

Who joins is looked up in the list of players, and then asked for at the user's profile where the lobby has not
sent that ahead; the answer opens the input gate (IG-8), and what was looked up before it is stale.  Ann's second
page has to read the rules first, so that first come, first served refuses it.

Depth 2: the first page joins before the lobby has sent the profile; and the second joins before the profile answers.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, RawSocket, Request, Response, WebSocketPair, World, scenario

DEPTH = 2
RATE = (5, 8_000)
RACING = {
    "object": "GAME/chess",
    "key": "players",
    "events": (("page1", "first"), ("page2", "second")),
    "lines": ('if user not in kv.get("players", [])', 'kv.put("players"'),
}
#: Pages of rules that a newcomer reads.
RULES = 5


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
    """Shows rules, and tells the game who is about to come."""

    async def web_socket_message(self, ws: Any, message: str) -> None:
        verb, _, what = message.partition(" ")
        kv = self.ctx.storage.kv
        if verb == "hello" and what not in kv.get("known", []):
            kv.put("known", [*kv.get("known", []), what])
            self.env.GAME.get_by_name("chess").expect(what, f"the great {what}")
        ws.send("welcome" if verb == "hello" else f"rule {what}")


class Game(Door):
    """Everybody plays once."""

    async def expect(self, user: str, nickname: str) -> None:
        self.ctx.storage.kv.put(f"nickname {user}", nickname)

    async def web_socket_message(self, ws: Any, user: str) -> None:
        kv = self.ctx.storage.kv
        if user not in kv.get("players", []):
            nickname = kv.get(f"nickname {user}") or await self.env.PROFILE.get_by_name(user).nickname()
            kv.put("players", [*kv.get("players", []), user])
            ws.send(f"you are {nickname}")
        else:
            ws.send("you play already")


class FixedGame(Game):
    """Looks at the list in the turn in which it changes it."""

    async def web_socket_message(self, ws: Any, user: str) -> None:
        kv = self.ctx.storage.kv
        nickname = kv.get(f"nickname {user}") or await self.env.PROFILE.get_by_name(user).nickname()
        if user not in kv.get("players", []):
            kv.put("players", [*kv.get("players", []), user])
            ws.send(f"you are {nickname}")
        else:
            ws.send("you play already")


def app_of(game: type[Game]) -> Mesh:
    return Mesh(bindings={"LOBBY": Lobby, "GAME": game, "PROFILE": Profile})


def newcomer(lobby: RawSocket, game: RawSocket, user: str, rules: int) -> None:
    """Say hello, read so many rules, and join."""
    left = list(range(rules))

    def heard(_: Any) -> None:
        if left:
            lobby.send(f"rule {left.pop(0)}")
        else:
            game.send(user)

    lobby.on_message = heard
    lobby.send(f"hello {user}")


async def two_pages(world: World) -> None:
    """Ann opens two pages: she plays once."""
    pages = ("page1", "page2")
    lobbies = [await world.open_socket("LOBBY", "main", client=page) for page in pages]
    games = [await world.open_socket("GAME", "chess", client=page) for page in pages]
    newcomer(lobbies[0], games[0], "ann", 0)
    newcomer(lobbies[1], games[1], "ann", RULES)
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

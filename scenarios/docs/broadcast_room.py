"""A room that tells its members, some of whom are away: two one-way calls, and failures come back to the room."""

from __future__ import annotations

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario
from lumenize_sim.mesh import ClientDisconnectedError
from lumenize_sim.mesh.services import Target

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"


class Room(LumenizeDO):
    """Members in order of joining; whoever cannot be reached leaves."""

    @mesh
    def join(self) -> None:
        caller = self.lmz.call_context.call_chain[0].instance_name
        members = self.ctx.storage.kv.get("members", [])
        if caller not in members:
            self.ctx.storage.kv.put("members", [*members, caller])

    @mesh
    def say(self, text: str) -> None:
        """By an alarm that is due at once: it begins a chain of its own, which clients do not take for a peer's."""
        self.svc.alarms.schedule(0, self.ctn().tell(text))

    def tell(self, text: str) -> None:
        """To everybody."""
        members = self.ctx.storage.kv.get("members", [])
        self.svc.broadcast(
            [Target(GATEWAY, member) for member in members],
            self.ctn(Member).hear(text),
            on_result=self.ctn().not_reached(RESULT),
        )

    def not_reached(self, error: Exception) -> None:
        """Failures only (BC-7)."""
        if isinstance(error, ClientDisconnectedError):
            members = self.ctx.storage.kv.get("members", [])
            self.ctx.storage.kv.put("members", [one for one in members if one != error.client_instance_name])


class Member(LumenizeClient):
    """Joins whenever it is connected, and hears."""

    def on_connection_state_change(self, state: str) -> None:
        """Connected (again): the room may have given it up."""
        self.heard: list[str] = getattr(self, "heard", [])
        if state == "connected":
            self.lmz.call("ROOM", "r", self.ctn(Room).join())

    @mesh
    def hear(self, text: str) -> None:
        self.heard.append(text)

    def say(self, text: str) -> None:
        """To the room."""
        self.lmz.call("ROOM", "r", self.ctn(Room).say(text), self.ctn().said(RESULT))

    def said(self, result: object) -> None:
        """It is known now, or an error."""


app = Mesh(bindings={"ROOM": Room, "LUMENIZE_BROADCAST_TIER": LumenizeWorker})


@scenario(app)
async def broadcast_room(world: World) -> None:
    """Everybody who is there hears; whoever left is forgotten."""
    members = [await world.connect(Member, sub=name) for name in ("alice", "bob", "carol")]
    await world.settle()
    members[0].say("hello")
    await world.settle()
    assert [member.heard for member in members] == [["hello"]] * 3
    members[2].disconnect()
    await world.advance(10)
    members[1].say("anybody?")
    await world.settle()
    assert [member.heard for member in members] == [["hello", "anybody?"]] * 2 + [["hello"]]
    assert world.object("ROOM", "r").storage.kv.get("members") == ["alice.tab1", "bob.tab1"]


@scenario(app, faults=Faults.all(at_most=3), name="broadcast_room_under_faults")
async def broadcast_room_under_faults(world: World) -> None:
    """Nobody hears anything twice in a row that was said once and delivered once; what is heard was said."""
    members = [await world.connect(Member, sub=name, wait=False) for name in ("alice", "bob")]
    await world.settle()
    members[0].say("hello")
    await world.settle()
    world.quiet()
    await world.settle()
    for member in members:
        assert set(member.heard) <= {"hello"}, member.heard

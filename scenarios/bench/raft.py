"""Raft whose candidates count votes by message instead of by voter: six servers, and two leaders in one term.

Two of six servers stand for election in the same term.  A candidate asks again whoever has not answered after a while,
and a voter says yes again to whom it has voted for, as it must: its first answer may be lost.  Here answers are
merely late, so both arrive.  The candidate of the bug counts two votes.  Where the votes are split three to three, and
each candidate has one of its own twice, both have the four that make a leader.

Depth 4: two servers hear of the second candidate first, and one vote of either side is late.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, Network, World, WorldOptions, scenario

DEPTH = 4
RACING = {
    "object": tuple(f"SERVER/s{n}" for n in range(1, 7)),
    "key": ("votes", "voted_for", "answered", "term"),
    "events": (("vote (SERVER/", "request_vote (SERVER/"), ("vote (SERVER/", "request_vote (SERVER/", "campaign (")),
    "lines": (('kv.put("votes", ', 'kv.put("answered", ', 'kv.put("voted_for", ', 'kv.put("term", '),),
}
RATE = (159, 20_000)
SERVERS = ("s1", "s2", "s3", "s4", "s5", "s6")
CANDIDATES = ("s1", "s2")
MAJORITY = len(SERVERS) // 2 + 1
RETRY_S = 0.5
options = WorldOptions(network=Network(max_delay_s=RETRY_S))


class Server(DurableObject):
    """The part of Raft that elects leaders; term and vote are in storage, as the protocol asks for."""

    def campaign(self) -> None:
        """Stand for election in a new term."""
        kv = self.ctx.storage.kv
        term: int = kv.get("term", 0) + 1
        kv.put("term", term)
        kv.put("voted_for", self.ctx.id.name)
        kv.put("role", "candidate")
        kv.put("votes", self.counted([], str(self.ctx.id.name)))
        kv.put("answered", [self.ctx.id.name])
        self.ask(term, again=True)

    def ask(self, term: int, *, again: bool) -> None:
        """Ask whoever has not answered, and once more after a while."""
        kv = self.ctx.storage.kv
        if kv.get("term") != term or kv.get("role") != "candidate":
            return
        for server in SERVERS:
            if server not in kv.get("answered"):
                self.env.SERVER.get_by_name(server).request_vote(term, self.ctx.id.name)
        if again:
            self.ctx.set_timeout(lambda: self.ask(term, again=False), RETRY_S)

    def request_vote(self, term: int, candidate: str) -> None:
        """One vote in each term; the same again to whom it was given."""
        self.heard_of(term)
        kv = self.ctx.storage.kv
        granted = term == kv.get("term") and kv.get("voted_for") in (None, candidate)
        if granted:
            kv.put("voted_for", candidate)
        self.env.SERVER.get_by_name(candidate).vote(kv.get("term"), self.ctx.id.name, granted)

    def vote(self, term: int, voter: str, granted: bool) -> None:
        """An answer."""
        self.heard_of(term)
        kv = self.ctx.storage.kv
        if kv.get("term") != term or kv.get("role") != "candidate":
            return
        kv.put("answered", [*kv.get("answered"), voter])
        if granted:
            votes = self.counted(kv.get("votes"), voter)
            kv.put("votes", votes)
            if len(votes) >= MAJORITY:
                self.lead(term)

    def counted(self, votes: list[str], voter: str) -> list[str]:
        """The votes with one more."""
        return [*votes, voter]

    def lead(self, term: int) -> None:
        kv = self.ctx.storage.kv
        kv.put("role", "leader")
        kv.put("led", [*kv.get("led", []), term])
        for server in SERVERS:
            if server != self.ctx.id.name:
                self.env.SERVER.get_by_name(server).append_entries(term, self.ctx.id.name)

    def append_entries(self, term: int, leader: str) -> None:
        """Nothing to append; whoever hears of it follows."""
        self.heard_of(term)
        kv = self.ctx.storage.kv
        if term == kv.get("term"):
            kv.put("role", "follower")
            kv.put("leader", leader)

    def heard_of(self, term: int) -> None:
        """A later term ends whatever was in this one."""
        kv = self.ctx.storage.kv
        if term > kv.get("term", 0):
            kv.put("term", term)
            kv.put("role", "follower")
            kv.delete("voted_for")


class CountingServer(Server):
    """Counts voters."""

    def counted(self, votes: list[str], voter: str) -> list[str]:
        return votes if voter in votes else [*votes, voter]


class Client(DurableObject):
    """Has found nobody that leads, and says so to a server."""

    def complain(self, server: str) -> None:
        self.env.SERVER.get_by_name(server).campaign()


class Operator(DurableObject):
    """Nobody leads: one server hears of it from a client, and another at once."""

    def leaderless(self) -> None:
        first, second = CANDIDATES
        self.env.CLIENT.get_by_name("anne").complain(first)
        self.env.SERVER.get_by_name(second).campaign()


def app_of(server: type[Server]) -> Mesh:
    return Mesh(bindings={"OPERATOR": Operator, "CLIENT": Client, "SERVER": server})


async def one_leader(world: World) -> None:
    """In each term there is one leader at most."""
    objects: Any = world.env
    await objects.OPERATOR.get_by_name("o").leaderless()
    await world.settle()
    leaders: dict[int, list[str]] = {}
    for name in SERVERS:
        for term in world.object("SERVER", name).storage.kv.get("led", []):
            leaders.setdefault(term, []).append(name)
    for term, names in leaders.items():
        assert len(names) == 1, f"term {term} has {len(names)} leaders: {' and '.join(names)}"


@scenario(app_of(Server), options=options)
async def raft(world: World) -> None:
    """With the bug."""
    await one_leader(world)


@scenario(app_of(CountingServer), options=options)
async def raft_fixed(world: World) -> None:
    """Without it."""
    await one_leader(world)

"""A ticket whose reply is lost to hibernation: what was to be done with it lived in memory only.

A ticket that is escalated asks a Worker to ring somebody, which takes a while, and leaves what comes after to a
continuation of its own.  The platform may take an idle object's memory away while it waits (LC-19), and the
continuation with it: somebody was rung, and the ticket never says who.

Depth 1: the ticket is evicted at the boundary between its question and the answer.
"""

from __future__ import annotations

import trio

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario

DEPTH = 1
RATE = (83, 20_000)
RACING = {
    "object": "TICKET/t2",
    "key": "ring",
    "events": ("ring", "evict"),
    "lines": ("self.lmz.call(  # waits in memory",),
}
TICKETS = ("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8")
KINDS = ("hibernate", "evict", "slow-flush", "slow-reader", "partition", "half-open", "disconnect")
faults = Faults(kinds=KINDS, at_most=2)


class Switchboard(LumenizeWorker):
    """Rings whoever is on call until somebody answers."""

    @mesh
    async def ring(self, ticket: str) -> str:
        await trio.sleep(20)
        return f"ann, for {ticket}"

    @mesh
    def ring_and_tell(self, ticket: str) -> None:
        self.ctx.wait_until(self._ring_and_tell(ticket))

    async def _ring_and_tell(self, ticket: str) -> None:
        who = await self.ring(ticket)
        await self.lmz.call_raw("TICKET", ticket, self.ctn(FixedTicket).rung(who))


class Ticket(LumenizeDO):
    """Something that somebody has to see to."""

    @mesh
    def comment(self, text: str) -> None:
        kv = self.ctx.storage.kv
        kv.put("comments", [*kv.get("comments", []), text])

    @mesh
    def escalate(self) -> None:
        self.ctx.storage.kv.put("state", "escalated")
        self.lmz.call(  # waits in memory
            "SWITCHBOARD", None, self.ctn(Switchboard).ring(self.lmz.instance_name or ""), self.ctn().rung(RESULT)
        )

    def rung(self, who: str | Exception) -> None:
        if isinstance(who, Exception):
            raise who
        self.ctx.storage.kv.put("owner", who)


class FixedTicket(Ticket):
    """Waits for nothing: whoever it asks calls it, which reaches whatever instance there is by then."""

    @mesh
    def escalate(self) -> None:
        self.ctx.storage.kv.put("state", "escalated")
        self.lmz.call("SWITCHBOARD", None, self.ctn(Switchboard).ring_and_tell(self.lmz.instance_name or ""))

    @mesh
    def rung(self, who: str | Exception) -> None:
        super().rung(who)


class Agent(LumenizeClient):
    """Works on tickets."""

    def comment(self, ticket: str, text: str) -> None:
        self.lmz.call("TICKET", ticket, self.ctn(Ticket).comment(text))

    def escalate(self, ticket: str) -> None:
        self.lmz.call("TICKET", ticket, self.ctn(Ticket).escalate())


def app_of(ticket: type[Ticket]) -> Mesh:
    return Mesh(bindings={"TICKET": ticket, "SWITCHBOARD": Switchboard})


async def one_evening(world: World) -> None:
    """Two agents look through the tickets, and one of the tickets is escalated: when all is quiet it has an owner."""
    amy = await world.connect(Agent, sub="amy")
    ben = await world.connect(Agent, sub="ben")
    for ticket in TICKETS:
        amy.comment(ticket, "seen")
        ben.comment(ticket, "seen as well")
    await world.settle()
    amy.escalate(TICKETS[1])
    for ticket in TICKETS:
        ben.comment(ticket, "still open")
    await world.settle()
    ticket = world.object("TICKET", TICKETS[1]).storage.kv
    if ticket.get("state") == "escalated":
        assert ticket.get("owner") == "ann, for t2", f"escalated, and its owner is {ticket.get('owner')!r}"


@scenario(app_of(Ticket), faults=faults)
async def lost_reply(world: World) -> None:
    """With the bug."""
    await one_evening(world)


@scenario(app_of(FixedTicket), faults=faults)
async def lost_reply_fixed(world: World) -> None:
    """Without it."""
    await one_evening(world)

"""Paxos whose proposers adopt the wrong one of two accepted values: that of the lowest ballot instead of the highest.

Three proposers want three values to be chosen, each with a ballot of its own, at three acceptors.  Whoever has the
promises of a majority must go on with the value of the highest ballot that any of them has accepted, since that one
may have been chosen.  The bug takes the lowest.  It shows where the first value was accepted by a minority, the second
was chosen by the others without knowing it, and the third proposer hears of both: the first is then chosen as well.

Depth 3: one acceptor accepts the first value before it hears of the second ballot, and each of the two others accepts
the second value before it hears of the third ballot.
"""

from __future__ import annotations

from typing import Any

from lumenize_sim import DurableObject, Mesh, World, scenario

DEPTH = 3
RACING = {
    "object": ("ACCEPTOR/a1", "ACCEPTOR/a2", "ACCEPTOR/a3"),
    "key": ("accepted", "promised"),
    "events": ("accept (PROPOSER/", "prepare (PROPOSER/"),
    "lines": (('kv.put("accepted", ', 'kv.get("promised", 0):', 'kv.put("promised", ', 'kv.get("accepted")'),),
}
RATE = (143, 20_000)
ACCEPTORS = ("a1", "a2", "a3")
#: Name to ballot; each wants its own name to be chosen.
PROPOSERS = {"p1": 1, "p2": 2, "p3": 3}
MAJORITY = len(ACCEPTORS) // 2 + 1

Accepted = tuple[int, str]


class Acceptor(DurableObject):
    """Promises, and accepts what it has promised nothing against."""

    def prepare(self, ballot: int, proposer: str) -> None:
        kv = self.ctx.storage.kv
        if ballot <= kv.get("promised", 0):
            return  # it has been overtaken; saying so would only save it time
        kv.put("promised", ballot)
        accepted: Accepted | None = kv.get("accepted")
        self.env.PROPOSER.get_by_name(proposer).promise(self.ctx.id.name, ballot, accepted)

    def accept(self, ballot: int, value: str, proposer: str) -> None:
        kv = self.ctx.storage.kv
        if ballot < kv.get("promised", 0):
            return
        kv.put("promised", ballot)
        kv.put("accepted", (ballot, value))
        self.env.PROPOSER.get_by_name(proposer).accepted(self.ctx.id.name, value)


class Proposer(DurableObject):
    """Makes one attempt; the one with the highest ballot always succeeds."""

    def propose(self, ballot: int) -> None:
        self.ctx.storage.kv.put("ballot", ballot)
        for acceptor in ACCEPTORS:
            self.env.ACCEPTOR.get_by_name(acceptor).prepare(ballot, self.ctx.id.name)

    def promise(self, acceptor: str, ballot: int, accepted: Accepted | None) -> None:
        kv = self.ctx.storage.kv
        promises: dict[str, Accepted | None] = {**kv.get("promises", {}), acceptor: accepted}
        kv.put("promises", promises)
        if len(promises) == MAJORITY:  # once: further ones come too late
            known = [accepted for accepted in promises.values() if accepted is not None]
            value = self.adopted(known)[1] if known else str(self.ctx.id.name)
            for name in ACCEPTORS:
                self.env.ACCEPTOR.get_by_name(name).accept(ballot, value, self.ctx.id.name)

    def accepted(self, acceptor: str, value: str) -> None:
        kv = self.ctx.storage.kv
        kv.put("by", [*kv.get("by", []), acceptor])
        if len(kv.get("by")) == MAJORITY:
            kv.put("chosen", value)

    def adopted(self, known: list[Accepted]) -> Accepted:
        """Whose value to go on with."""
        return min(known)


class RightProposer(Proposer):
    """Goes on with what may have been chosen last."""

    def adopted(self, known: list[Accepted]) -> Accepted:
        return max(known)


class Council(DurableObject):
    """Gives everybody the floor, one after the other."""

    async def convene(self) -> None:
        for name, ballot in PROPOSERS.items():
            await self.env.PROPOSER.get_by_name(name).propose(ballot)


def app_of(proposer: type[Proposer]) -> Mesh:
    return Mesh(bindings={"COUNCIL": Council, "PROPOSER": proposer, "ACCEPTOR": Acceptor})


async def one_value(world: World) -> None:
    """Whoever knows what was chosen knows the same; the last ballot always is."""
    objects: Any = world.env
    await objects.COUNCIL.get_by_name("c").convene()
    await world.settle()
    results = {name: world.object("PROPOSER", name).storage.kv.get("chosen") for name in PROPOSERS}
    chosen = {name: value for name, value in results.items() if value is not None}
    assert len(set(chosen.values())) == 1, f"proposers disagree about what was chosen: {chosen}"


@scenario(app_of(Proposer))
async def paxos(world: World) -> None:
    """With the bug."""
    await one_value(world)


@scenario(app_of(RightProposer))
async def paxos_fixed(world: World) -> None:
    """Without it."""
    await one_value(world)

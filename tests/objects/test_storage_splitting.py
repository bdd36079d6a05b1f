"""Awaited writes that are commits of their own: the option for what OG-16 leaves open."""

from __future__ import annotations

from typing import Any

from lumenize_sim import (
    EXPLORED,
    DurableObject,
    Faults,
    MachineOptions,
    Mesh,
    World,
    WorldOptions,
    explore,
    gather,
    replay,
    scenario,
)
from lumenize_sim.kernel.plan import fault_label

SPLIT = WorldOptions(objects=MachineOptions(awaited_writes_split=True))
SECOND_FAILS = {fault_label("failed-flush", "W/w", 1): 1}


class Log(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.heard: list[Any] = []

    def note(self, what: Any) -> None:
        self.heard.append(what)


class Writer(DurableObject):
    async def awaited(self) -> str:
        await self.ctx.storage.put("a", 1)
        self.env.LOG.get_by_name("l").note("between")
        await self.ctx.storage.put("b", 2)
        return "ok"

    async def floating(self) -> str:
        self.ctx.storage.put("a", 1)
        self.ctx.storage.put("b", 2)
        return "ok"

    async def together(self) -> str:
        await gather(self.ctx.storage.put("a", 1), self.ctx.storage.put("b", 2))
        return "ok"

    async def in_transaction(self) -> str:
        async def body(_: Any) -> None:
            await self.ctx.storage.put("a", 1)
            await self.ctx.storage.put("b", 2)

        await self.ctx.storage.transaction(body)
        return "ok"

    async def count(self) -> int:
        n = (await self.ctx.storage.get("n") or 0) + 1
        await self.ctx.storage.put("n", n)
        await self.ctx.storage.delete("none")
        return int(n)


async def write(world: World, method: str) -> list[str]:
    """Call ``method``, whose second commit fails if it makes one; the keys that are left."""
    answer = world.env.W.get_by_name("w").call(method)
    await world.settle()
    assert answer.done
    return list(world.object("W", "w").storage.list())


def test_an_awaited_write_is_durable_without_what_follows(passes: Any) -> None:
    """OG-16, LT-36: the first commit stays, and what was sent behind it has left; the second is lost."""

    async def drive(world: World) -> None:
        assert await write(world, "awaited") == ["a"]
        assert world.object("LOG", "l").instance.heard == ["between"]

    passes(drive, plan=SECOND_FAILS, options=SPLIT, W=Writer, LOG=Log)


def test_without_the_option_and_without_an_await_they_are_one_commit(passes: Any) -> None:
    """OG-15, OG-16: there is no second commit that could fail."""

    def drive_of(method: str) -> Any:
        async def drive(world: World) -> None:
            assert await write(world, method) == ["a", "b"]

        return drive

    for method in ("floating", "together", "in_transaction"):
        passes(drive_of(method), plan=SECOND_FAILS, options=SPLIT, W=Writer, LOG=Log)
    passes(drive_of("awaited"), plan=SECOND_FAILS, W=Writer, LOG=Log)


def test_no_turn_ends_where_a_commit_does(roams: Any) -> None:
    """IG-10: nobody is let in between."""

    async def drive(world: World) -> None:
        counts = await gather(*[world.env.W.get_by_name("w").count() for _ in range(4)])
        assert sorted(counts) == [1, 2, 3, 4]

    roams(drive, options=SPLIT, W=Writer, LOG=Log)


def test_what_is_explored_is_found_and_replays() -> None:
    """Open point 1 of section 12: each run draws whether an await splits."""

    @scenario(
        Mesh(bindings={"W": Writer, "LOG": Log}),
        options=WorldOptions(objects=MachineOptions(awaited_writes_split=EXPLORED)),
        faults=Faults(kinds=("failed-flush",), at_most=1),
    )
    async def all_or_nothing(world: World) -> None:
        assert await write(world, "awaited") in ([], ["a", "b"])

    report = explore(all_or_nothing, schedules=300, save=None)
    (failure,) = report.failures
    again = replay(failure.run.tape, scenario=all_or_nothing)
    assert (again.outcome.kind, again.digest) == ("failed", failure.run.digest)
    assert [choice.label for choice in failure.run.tape.choices] == [
        "options%option-awaited-writes-split#0",
        "W/w%failed-flush#1",
    ]

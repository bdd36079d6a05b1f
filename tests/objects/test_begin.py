"""Coroutines that go on by themselves, as promises do that nobody awaits (RPC-23, LC-30, IG-8, IG-22)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, UsageError, World, begin, gather
from lumenize_sim.objects import Pending


class Floating(DurableObject):
    """Begins work and does not wait for it."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []

    async def work(self, name: str, wait_s: float = 0.010) -> str:
        self.log.append(f"{name} begins")
        await trio.sleep(wait_s)
        self.log.append(f"{name} ends")
        return name

    async def fails(self) -> None:
        raise ValueError("floating")

    def go(self) -> str:
        begin(self.work("floating"))
        begin(self.fails())
        self.log.append("answered")
        return "ok"

    async def several(self) -> Any:
        kept = begin(self.work("kept"))
        results = await gather(
            self.work("one", 0.020), kept, Pending.of("settled"), self.env.D.get(self.ctx.id).quick()
        )
        return [*results, await kept, await kept]

    async def failing(self) -> str:
        begun = begin(self.fails())
        try:
            await gather(self.work("slow"), begun)
        except ValueError as error:
            return str(error)
        return "no error"

    async def section(self) -> Any:
        async def inside() -> None:
            await begin(self.work("in the section"))

        await self.ctx.block_concurrency_while(inside)
        return self.log

    def quick(self) -> str:
        return "quick"

    def read(self) -> list[Any]:
        return self.log


def test_work_that_nobody_awaits_is_done_and_its_failure_changes_nothing(passes: Any) -> None:
    """RPC-23, LC-30: it begins in the same turn, goes on after the answer, and the object stays as it is."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        assert await stub.go() == "ok"
        await world.advance(0.020)
        assert await stub.read() == ["answered", "floating begins", "floating ends"]

    passes(drive, D=Floating)


def test_gather_takes_coroutines_calls_and_what_has_begun(passes: Any) -> None:
    """Also in a driver; a result can be asked for again."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        assert await stub.several() == ["one", "kept", "settled", "quick", "kept", "kept"]
        assert await stub.failing() == "floating"

        async def call() -> Any:
            return await stub.quick()

        assert await gather(call(), stub.quick()) == ["quick", "quick"]

    passes(drive, D=Floating)


def test_what_is_begun_in_a_critical_section_goes_on_in_it(passes: Any) -> None:
    """IG-22: its awaits re-enter the section, so that it can end while the gate is closed."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        section, read = stub.section(), stub.read()
        assert await section == ["in the section begins", "in the section ends"]
        assert len(await read) == 2

    passes(drive, D=Floating)


def test_it_ends_with_its_instance(passes: Any) -> None:
    """A dead instance never runs again."""

    class Dying(Floating):
        def die(self) -> None:
            begin(self.work("doomed"))
            self.ctx.set_timeout(lambda: self.ctx.abort("gone"), 0.001)

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").die()
        await world.advance(0.050)
        assert await world.env.D.get_by_name("d").read() == []

    passes(drive, D=Dying)


def test_nobody_can_run_it_outside() -> None:
    async def work() -> None: ...

    with pytest.raises(UsageError, match="outside of every node and driver"):
        begin(work())

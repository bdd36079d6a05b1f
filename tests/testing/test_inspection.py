"""The testing client (TS-2): into a live object, through its gates."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeClient, LumenizeDO, Mesh, UsageError, World, mesh, scenario, simulate
from lumenize_sim.testing import as_object, create_testing_client


class Counter(LumenizeDO):
    """Nothing of it is meant for tests."""

    limit = 10

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.count = 0
        self._hidden = "seen"

    def up(self, by: int = 1) -> int:
        self.count += by
        self.ctx.storage.kv.put("count", self.count)
        return self.count

    @mesh
    async def slow(self) -> str:
        await trio.sleep(5)
        return "done"

    def hold(self) -> Any:
        return self.ctx.block_concurrency_while(self._hold)

    async def _hold(self) -> None:
        await trio.sleep(3)
        self.count = 100

    def fails(self) -> None:
        raise LookupError("nothing there")

    def remind(self) -> None:
        self.svc.alarms.schedule(60, self.ctn().up(5), id="up")


class Tab(LumenizeClient):
    """A client."""


def passes(test: Callable[[World, Any], Awaitable[None]]) -> Any:
    @scenario(Mesh(bindings={"COUNTER": Counter}))
    async def driven(world: World) -> None:
        await test(world, create_testing_client(world, "COUNTER", "c"))

    run = simulate(driven)
    if run.failure is not None:
        raise run.failure
    return run


def test_methods_attributes_storage_and_hidden_names_are_reached_without_a_mark() -> None:
    """TS-2: one round trip for a whole path; rich results are copies."""

    async def drive(world: World, client: Any) -> None:
        assert await client.up(2) == 2
        assert await client.up(by=3) == 5
        assert [await client.count, await client._hidden, await client.limit] == [5, "seen", 10]
        assert await client.ctx.storage.kv.get("count") == 5
        assert await client.ctx.storage.get("count") == 5
        assert await client.ctx.storage.sql.exec("SELECT 1 AS one").to_array()[0]["one"] == 1
        assert str(await client.ctx.id.name) == "c"

    passes(drive)


def test_alarms_and_sockets_are_at_hand() -> None:
    """TS-2: also what is done to live objects on the way; TS-11."""

    async def drive(world: World, client: Any) -> None:
        await client.remind()
        assert (await client.svc.alarms.get_schedule("up").delay_in_seconds) == 60
        assert await client.svc.alarms.trigger_alarms(1) == ["up"]
        assert await client.count == 5
        tab = await world.connect(Tab, sub="alice")
        gateway = create_testing_client(world, "LUMENIZE_CLIENT_GATEWAY", "alice.tab1")
        await gateway.ctx.get_web_sockets()[0].close(4403, "revoked")
        await world.settle()
        assert tab.connection_state == "disconnected"

    passes(drive)


def test_it_waits_at_the_input_gate_like_any_event() -> None:
    """IG-22: a critical section keeps it out."""

    async def drive(world: World, client: Any) -> None:
        held = world.env.COUNTER.get_by_name("c").hold()
        await world.advance(1)
        assert await client.count == 100
        assert world.now() >= 3
        await held

    passes(drive)


def test_async_steps_are_awaited_where_they_stand() -> None:
    async def drive(world: World, client: Any) -> None:
        assert await client.slow().upper() == "DONE"

    passes(drive)


def test_errors_come_as_they_are_and_mistakes_of_the_test_say_so() -> None:
    """TS-2; the blame is the test author's."""

    async def drive(world: World, client: Any) -> None:
        with pytest.raises(LookupError, match="nothing there"):
            await client.fails()
        with pytest.raises(UsageError, match="instance has no 'nobody'"):
            await client.nobody
        with pytest.raises(UsageError, match=r"instance\.count is 0, which cannot be called"):
            await client.count()
        with pytest.raises(UsageError, match="no binding"):
            create_testing_client(world, "NOPE", "c")

    passes(drive)


def test_members_are_listed() -> None:
    """TS-2: `__asObject` of the original."""

    async def drive(world: World, client: Any) -> None:
        await client.up()
        shown = await as_object(client)
        assert shown["count"] == 1
        assert shown["up"] == "up [Function]"
        assert "_hidden" not in shown

    passes(drive)


def test_a_plain_object_is_inspected_as_well() -> None:
    class Plain(DurableObject):
        value = 7

        def double(self) -> int:
            return 2 * self.value

    @scenario(Mesh(bindings={"PLAIN": Plain}))
    async def driven(world: World) -> None:
        client = create_testing_client(world, "PLAIN", "p")
        assert [await client.value, await client.double()] == [7, 14]

    assert simulate(driven).failure is None


def test_inspecting_is_part_of_the_run_and_replays() -> None:
    async def drive(world: World, client: Any) -> None:
        await client.up()

    assert passes(drive).digest == passes(drive).digest

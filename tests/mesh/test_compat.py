"""Quirks of the original: mended, and as they were with ``Mesh(compat="0.26")`` (docs/parity.md has the list)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, Mesh, World, mesh, scenario, simulate


class Links:
    """Counts how often each link of a chain runs."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def b(self) -> Links:
        self.node.note("b")
        return self

    async def later(self) -> Links:
        self.node.note("later")
        return self

    def c(self) -> str:
        self.node.note("c")
        return "done"


class Node(LumenizeDO):
    """A target of chains."""

    def note(self, name: str) -> None:
        counts = self.ctx.storage.kv.get("counts", {})
        self.ctx.storage.kv.put("counts", {**counts, name: counts.get(name, 0) + 1})

    @mesh
    def a(self) -> Links:
        self.note("a")
        return Links(self)

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = self.ctx.storage.kv.get("counts", {})
        return found

    @mesh
    def call_nobody(self) -> None:
        self.lmz.call("NODE", "", self.ctn(Node).a(), self.ctn().heard(RESULT))

    def heard(self, result: Any) -> None:
        self.ctx.storage.kv.put("heard", f"{type(result).__name__}: {result}")


class Tab(LumenizeClient):
    """A client."""


def passes(compat: str | None, test: Callable[[World], Awaitable[None]]) -> None:
    @scenario(Mesh(bindings={"NODE": Node}, compat=compat))
    async def driven(world: World) -> None:
        await test(world)

    run = simulate(driven)
    if run.failure is not None:
        raise run.failure


@pytest.mark.parametrize("compat, counts", [(None, {"a": 1, "b": 1, "c": 1}), ("0.26", {"a": 4, "b": 2, "c": 1})])
def test_links_run_once_or_again_for_each_later_one(compat: str | None, counts: dict[str, int]) -> None:
    """OC-28: in ``a().b().c()`` the original runs a four times and b twice."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        assert await tab.lmz.call_raw("NODE", "n", tab.ctn(Node).a().b().c()) == "done"
        assert await world.env.NODE.get_by_name("n").counts() == counts

    passes(compat, drive)


@pytest.mark.parametrize("compat", [None, "0.26"])
def test_an_async_link_is_followed_or_refused(compat: str | None) -> None:
    """OC-28."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        chain: Any = tab.ctn(Node).a().later()
        answer = tab.lmz.call_raw("NODE", "n", chain.c())
        if compat is None:
            assert await answer == "done"
        else:
            with pytest.raises(TypeError, match=r"parent\[methodName\] is not a function"):
                await answer

    passes(compat, drive)


@pytest.mark.parametrize(
    "compat, at_once, later",
    [
        (None, "lmz.call: binding 'NODE' is a Durable Object namespace and requires an instance name.", None),
        ("0.26", None, "TypeError: stub.__executeOperation is not a function"),
    ],
)
def test_an_empty_instance_name_is_refused_at_once_or_found_out_later(
    compat: str | None, at_once: str | None, later: str | None
) -> None:
    """CALL-13."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        answer = tab.lmz.call_raw("NODE", "n", tab.ctn(Node).call_nobody())
        if at_once is None:
            await answer
        else:
            with pytest.raises(Exception) as refused:
                await answer
            assert str(refused.value) == at_once
        await world.settle()
        assert world.object("NODE", "n").storage.kv.get("heard") == later

    passes(compat, drive)


@pytest.mark.parametrize("compat, state", [(None, "disconnected"), ("0.26", "connected")])
def test_the_return_of_the_network_revives_nobody_who_was_told_to_leave(compat: str | None, state: str) -> None:
    """CL-15."""

    async def drive(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        tab.disconnect()
        tab.wake(online=True)
        await world.settle()
        assert tab.connection_state == state

    passes(compat, drive)

"""Stubs, targets, properties and plain Workers on the real host, as in a simulated world (RPC-13 to RPC-18)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim.live import connect_client, serve_app
from lumenize_sim.mesh import LumenizeClient, LumenizeDO, Mesh, mesh
from lumenize_sim.objects import DurableObject, Request, Response, RpcTarget, WorkerEntrypoint, gather

pytestmark = pytest.mark.trio


class Tally(RpcTarget):
    def __init__(self) -> None:
        self.count = 0

    @property
    def label(self) -> str:
        return f"tally at {self.count}"

    def add(self, amount: int) -> int:
        self.count += amount
        return self.count

    def dispose(self) -> None:
        DISPOSED.append(self.count)


DISPOSED: list[int] = []


class Desk(DurableObject):
    @property
    def prop(self) -> str:
        return "value"

    async def tally(self) -> Tally:
        await trio.sleep(0.01)
        return Tally()

    async def call_back(self, callback: Any) -> Any:
        return await callback("hello")

    def fetch(self, request: Request) -> Response:
        return Response(200, request.url.path)

    def die(self) -> None:
        self.ctx.abort("gone")


class Clerk(WorkerEntrypoint):
    def tally(self) -> Tally:
        return Tally()

    async def later(self) -> str:
        self.ctx.set_timeout(lambda: None, 10)
        await trio.sleep(0.01)
        return "later"


class Node(LumenizeDO):
    @mesh
    async def go(self) -> list[Any]:
        desk = self.env.DESK.get_by_name("d")
        promise = desk.tally()
        early = [promise.add(1), promise.add(1)]
        with await promise as tally:
            found = [*await gather(*early), await tally.label, await desk.prop]
        heard: list[str] = []
        await desk.call_back(heard.append)
        response = await desk.fetch("https://desk/path")
        worker = await self.env.CLERK.tally()
        found += [heard, response.text, await worker.add(5), await self.env.CLERK.later()]
        worker.dispose()
        return found

    @mesh
    async def lost(self) -> list[str]:
        desk = self.env.DESK.get_by_name("d")
        tally = await desk.tally()
        errors = []
        for call in (desk.die(), tally.add(1), desk.tally()):
            try:
                await call
            except Exception as error:
                errors.append(str(error))
        return errors


class Tab(LumenizeClient):
    def ask(self, method: str) -> Any:
        return self.lmz.call_raw("NODE", "n", getattr(self.ctn(), method)())


async def test_a_real_host_carries_what_a_simulated_one_does() -> None:
    """RPC-13, RPC-15, RPC-17, RPC-18, RPC-8."""
    DISPOSED.clear()
    app = Mesh(bindings={"NODE": Node, "DESK": Desk, "CLERK": Clerk})
    async with (
        serve_app(app, port=0) as server,
        connect_client(Tab, url=server.url, access_token=server.mint("alice"), instance_name="alice.tab1") as alice,
    ):
        assert await alice.ask("go") == [1, 2, "tally at 2", "value", ["hello"], "/path", 5, "later"]
        assert DISPOSED == [2, 5]
        assert await alice.ask("lost") == [
            "gone",
            "The execution context which hosts this callback is no longer running.",
            "gone",
        ]

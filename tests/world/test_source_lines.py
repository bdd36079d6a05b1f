"""Source lines in traces are the app's: what the mesh does for itself has none, whoever started the run."""

from __future__ import annotations

from pathlib import Path

from lumenize_sim import LumenizeClient, LumenizeDO, Mesh, World, mesh, scenario, simulate


class Board(LumenizeDO):
    """Keeps a line."""

    @mesh
    def put(self, line: str) -> None:
        self.ctx.storage.kv.put("line", line)


class Tab(LumenizeClient):
    """A page."""

    def put(self, line: str) -> None:
        self.lmz.call("BOARD", "b", self.ctn(Board).put(line))


@scenario(Mesh(bindings={"BOARD": Board}))
async def one_line(world: World) -> None:
    tab = await world.connect(Tab, sub="alice")
    tab.put("one")
    await world.settle()


def test_a_line_of_the_app_is_named_and_a_frame_below_the_kernel_never() -> None:
    own = __file__.rpartition("/")[2]
    found = {(event.kind, event.get("key")): event.where for event in simulate(one_line).trace}
    writes = 1 + Path(__file__).read_text().splitlines().index('        self.ctx.storage.kv.put("line", line)')
    assert found["write", "line"] == f"{own}:{writes}"
    assert found["write", "__lmz_do_binding_name"] is None
    assert {where.rpartition(":")[0] for where in found.values() if where is not None} == {own}

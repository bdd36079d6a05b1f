"""A continuation and its context kept by hand, and run after the object has lost its memory (OC-37)."""

from __future__ import annotations

from lumenize_sim import Faults, LumenizeClient, LumenizeDO, Mesh, World, mesh, scenario
from lumenize_sim.mesh import execute_operation_chain, get_operation_chain


class Tasks(LumenizeDO):
    """Keeps what is to be done, as data."""

    @mesh
    def later(self, text: str) -> None:
        auth = self.lmz.call_context.origin_auth
        kv = self.ctx.storage.kv
        chain = get_operation_chain(self.ctn().do_it(text))
        kv.put("task", {"chain": chain, "by": auth.sub if auth is not None else None})

    def do_it(self, text: str) -> str:
        """The task; its context is not restored, so who asked for it is kept beside it."""
        task = self.ctx.storage.kv.get("task")
        return f"{text}, for {task['by']}"

    @mesh
    def run_kept(self) -> str:
        kv = self.ctx.storage.kv
        task = kv.get("task")
        if task is None:
            return "nothing to do"
        done: str = execute_operation_chain(task["chain"], self, require_mesh_decorator=False)
        kv.put("done", [*kv.get("done", []), done])
        kv.delete("task")
        return done


class Tab(LumenizeClient):
    """A client."""


app = Mesh(bindings={"TASKS": Tasks})


@scenario(app)
async def manual_persistence(world: World) -> None:
    """Kept by one instance, run by the next."""
    tab = await world.connect(Tab, sub="alice")
    await tab.lmz.call_raw("TASKS", "t", tab.ctn(Tasks).later("water the plants"))
    world.object("TASKS", "t").evict()
    assert await tab.lmz.call_raw("TASKS", "t", tab.ctn(Tasks).run_kept()) == "water the plants, for alice"
    assert await tab.lmz.call_raw("TASKS", "t", tab.ctn(Tasks).run_kept()) == "nothing to do"


@scenario(app, faults=Faults.all(at_most=3), name="manual_persistence_under_faults")
async def manual_persistence_under_faults(world: World) -> None:
    """It is done once, however often it was asked for."""
    tab = await world.connect(Tab, sub="alice", wait=False)
    tab.lmz.call("TASKS", "t", tab.ctn(Tasks).later("water the plants"))
    await world.settle()
    for _ in range(3):
        tab.lmz.call("TASKS", "t", tab.ctn(Tasks).run_kept())
    await world.settle()
    world.quiet()
    await world.settle()
    done = world.object("TASKS", "t").storage.kv.get("done", [])
    assert done in ([], ["water the plants, for alice"]), done

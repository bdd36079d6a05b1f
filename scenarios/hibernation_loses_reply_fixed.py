"""The report of `hibernation_loses_reply`, mended by two one-way calls.

The object waits for nothing: the Worker answers at once, works on behind its answer
(`wait_until`, or it would end with the object that called it), and calls back when it is
done.  That call reaches whatever instance there is then, or wakes one.
"""

from __future__ import annotations

import trio

from lumenize_sim import Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario


class Summariser(LumenizeWorker):
    """Takes its time, and calls back."""

    @mesh
    def summarise(self, name: str, text: str) -> None:
        self.ctx.wait_until(self._summarise(name, text))

    async def _summarise(self, name: str, text: str) -> None:
        await trio.sleep(5)
        await self.lmz.call_raw("REPORT", name, self.ctn(Report).summarised(text.split(".")[0]))


class Report(LumenizeDO):
    """A text and its summary."""

    @mesh
    def file(self, text: str) -> None:
        self.ctx.storage.kv.put("text", text)
        name = self.lmz.instance_name
        assert name is not None
        self.lmz.call("SUMMARISER", None, self.ctn(Summariser).summarise(name, text))

    @mesh
    def summarised(self, summary: str) -> None:
        self.ctx.storage.kv.put("summary", summary)


class Clerk(LumenizeClient):
    """Files reports."""

    def file(self, name: str, text: str) -> None:
        self.lmz.call("REPORT", name, self.ctn(Report).file(text))


app = Mesh(bindings={"REPORT": Report, "SUMMARISER": Summariser})
faults = Faults(kinds=("hibernate", "evict"), at_most=2)


@scenario(app, faults=faults)
async def hibernation_loses_reply(world: World) -> None:
    """A report that was filed is summarised when all is quiet."""
    clerk = await world.connect(Clerk, sub="clerk")
    clerk.file("r-1", "All is well. More tomorrow.")
    await world.settle()
    stored = world.object("REPORT", "r-1").storage.kv
    if stored.get("text") is not None:
        assert stored.get("summary") == "All is well", f"filed, but the summary is {stored.get('summary')!r}"

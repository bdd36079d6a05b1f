"""An object that asks a slow Worker and keeps the rest of its work in a handler in memory.

The platform may evict the object while it waits (LC-19).  The reply then finds nobody:
the handler went with the instance, and the report is never filed.
"""

from __future__ import annotations

import trio

from lumenize_sim import RESULT, Faults, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario


class Summariser(LumenizeWorker):
    """Takes its time."""

    @mesh
    async def summarise(self, text: str) -> str:
        await trio.sleep(5)
        return text.split(".")[0]


class Report(LumenizeDO):
    """A text and its summary."""

    @mesh
    def file(self, text: str) -> None:
        self.ctx.storage.kv.put("text", text)
        self.lmz.call("SUMMARISER", None, self.ctn(Summariser).summarise(text), self.ctn().summarised(RESULT))

    def summarised(self, summary: str | Exception) -> None:
        if not isinstance(summary, Exception):
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

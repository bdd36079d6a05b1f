"""A service of the app's own: a journal that every object has, and that uses another service."""

from __future__ import annotations

from typing import Any

from lumenize_sim import Faults, LumenizeDO, Mesh, World, mesh, scenario
from lumenize_sim.mesh import NadisPlugin
from lumenize_sim.mesh.services import Services


class Journal(NadisPlugin):
    """Lines in a table, numbered without gaps."""

    def __init__(self, do_instance: Any) -> None:
        super().__init__(do_instance)
        self.sql = self.svc.sql  # touched here, so that a missing one shows early
        self.sql("CREATE TABLE IF NOT EXISTS journal(number INTEGER PRIMARY KEY, line TEXT)")

    def write(self, line: str) -> int:
        """Returns the number of the line."""
        (row,) = self.sql("SELECT coalesce(max(number), 0) + 1 AS number FROM journal")
        self.sql("INSERT INTO journal VALUES (:number, :line)", number=row["number"], line=line)
        return int(row["number"])

    def read(self) -> list[tuple[int, str]]:
        """All lines."""
        return [(row["number"], row["line"]) for row in self.sql("SELECT * FROM journal ORDER BY number")]


NadisPlugin.register("journal", Journal)


class WithJournal(Services):
    """For type checkers: what ``svc`` has."""

    journal: Journal


class Counter(LumenizeDO):
    """Counts, and writes down how."""

    svc: WithJournal

    @mesh
    def increment(self, by: int) -> int:
        n: int = self.ctx.storage.kv.get("n", 0) + by
        self.ctx.storage.kv.put("n", n)
        return self.svc.journal.write(f"+{by} is {n}")

    def lines(self) -> list[list[Any]]:
        """The journal."""
        return [[number, line] for number, line in self.svc.journal.read()]


app = Mesh(bindings={"COUNTER": Counter})


@scenario(app)
async def plugin(world: World) -> None:
    """One journal for each object."""
    counter = world.env.COUNTER.get_by_name("c")
    assert [await counter.increment(2), await counter.increment(3)] == [1, 2]
    world.object("COUNTER", "c").evict()
    assert await counter.lines() == [[1, "+2 is 2"], [2, "+3 is 5"]]
    assert await world.env.COUNTER.get_by_name("other").lines() == []


@scenario(app, faults=Faults.all(at_most=3), name="plugin_under_faults")
async def plugin_under_faults(world: World) -> None:
    """Count and journal are written in one turn, so they never disagree."""
    for by in (1, 2, 3):
        try:
            await world.env.COUNTER.get_by_name("c").increment(by)
        except Exception:
            world.sometimes("an answer was lost")
    world.quiet()
    await world.settle()
    lines = await world.env.COUNTER.get_by_name("c").lines()
    total = 0
    for number, (nth, line) in enumerate(lines, 1):
        total += int(line.split(" is ")[0])
        assert (nth, line.split(" is ")[1]) == (number, str(total)), lines
    assert world.object("COUNTER", "c").storage.kv.get("n", 0) == total

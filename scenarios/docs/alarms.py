"""The guide to alarms: follow-ups, several kinds beside each other, and retries with growing delays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lumenize_sim import Faults, LumenizeDO, Mesh, World, mesh, scenario


class Orders(LumenizeDO):
    """Reminds, retries, and keeps what it did in storage."""

    @mesh
    def place(self, order: str) -> str:
        self._log(f"placed {order}")
        return self.svc.alarms.schedule(30, self.ctn().follow_up(order)).id

    def follow_up(self, order: str) -> None:
        """Its own alarm."""
        self._log(f"followed up {order}")

    @mesh
    def all_kinds(self) -> list[str]:
        now = datetime.fromtimestamp(self.lmz.now() / 1000, UTC)
        self.svc.alarms.schedule(60, self.ctn().follow_up("delayed"), id="a")
        self.svc.alarms.schedule(now + timedelta(seconds=90), self.ctn().report(now, {"x", "y"}), id="b")
        self.svc.alarms.schedule("@hourly", self.ctn().follow_up("cron"), id="c")
        return sorted(schedule.type for schedule in self.svc.alarms.get_schedules())

    def report(self, since: datetime, tags: set[str]) -> None:
        """Rich arguments survive storage."""
        self._log(f"report since {since.isoformat()} of {', '.join(sorted(tags))}")

    @mesh
    def pay(self, order: str) -> None:
        self.try_to_pay(order, 1)

    def try_to_pay(self, order: str, attempt: int) -> None:
        """Fails twice; the next try comes after 2 s, then 4 s."""
        if attempt < 3:
            self._log(f"attempt {attempt} failed at {self.lmz.now() // 1000}")
            self.svc.alarms.schedule(2**attempt, self.ctn().try_to_pay(order, attempt + 1), id=f"pay-{order}")
        else:
            self._log(f"paid {order} at {self.lmz.now() // 1000}")

    @mesh
    async def run_early(self, count: int) -> list[str]:
        return await self.svc.alarms.trigger_alarms(count)

    @mesh
    def cancel(self, id: str) -> bool:
        return self.svc.alarms.cancel_schedule(id) is not None

    def log(self) -> list[str]:
        """What it did."""
        log: list[str] = self.ctx.storage.kv.get("log", [])
        return log

    def _log(self, line: str) -> None:
        self.ctx.storage.kv.put("log", [*self.log(), line])


app = Mesh(bindings={"ORDERS": Orders})


@scenario(app)
async def alarms(world: World) -> None:
    """The guide's story, on a clock that takes no time."""
    orders = world.env.ORDERS.get_by_name("o")
    await orders.place("tea")
    world.object("ORDERS", "o").evict()
    await world.advance(31)
    assert await orders.log() == ["placed tea", "followed up tea"]

    assert await orders.all_kinds() == ["cron", "delayed", "scheduled"]
    assert await orders.run_early(2) == ["a", "b"]
    assert (await orders.log())[2:] == [
        "followed up delayed", "report since 2026-01-01T00:00:31+00:00 of x, y",
    ]  # fmt: skip
    assert await orders.cancel("c")
    assert not await orders.cancel("c")

    await orders.pay("tea")
    await world.advance(10)
    tries = (await orders.log())[4:]
    assert [line.split(" at ")[0] for line in tries] == ["attempt 1 failed", "attempt 2 failed", "paid tea"]
    first, second, third = (int(line.split(" at ")[1]) for line in tries)
    assert (second - first, third - second) == (2, 4)


@scenario(app, faults=Faults.all(at_most=3), name="alarms_under_faults")
async def alarms_under_faults(world: World) -> None:
    """What was placed is followed up, whatever happens to the object."""
    placed = False
    try:
        await world.env.ORDERS.get_by_name("o").place("tea")
        placed = True
    except Exception:
        world.sometimes("the order was lost")
    world.quiet()
    await world.advance(200)
    log = await world.env.ORDERS.get_by_name("o").log()
    assert not placed or "followed up tea" in log, log

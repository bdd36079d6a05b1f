"""Recorded programs about alarms."""

from __future__ import annotations

import time
from typing import Any

import trio

from lumenize_sim import DurableObject, World
from tests.conformance.errors import settled
from tests.conformance.program import ISOLATE, program


def now_ms() -> int:
    """``Date.now()``."""
    return time.time_ns() // 1_000_000


def number(value: Any) -> Any:
    """``"number"`` for one, ``None`` as it is."""
    return "number" if isinstance(value, int) else value


class Alarmed(DurableObject):
    """Keeps a log and counts its constructions."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []
        ISOLATE["constructions"] = ISOLATE.get("constructions", 0) + 1

    def read(self) -> list[Any]:
        return self.log

    async def get(self) -> Any:
        return await self.ctx.storage.get_alarm()


class Future(Alarmed):
    async def go(self) -> bool:
        self.due = now_ms() + 30
        await self.ctx.storage.set_alarm(self.due)
        return await self.ctx.storage.get_alarm() == self.due

    async def alarm(self, info: Any) -> None:
        self.log.append([now_ms() >= self.due, await self.ctx.storage.get_alarm()])


@program(
    "alarm-future",
    bindings={"D": Future},
    rules=("AL-5", "AL-11", "LT-52"),
    forbidden=lambda o: None if all(late and get is None for late, get in o["log"]) else "AL-11: too early, or AL-5",
    exhaustive=True,
)
async def alarm_future(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    equal = await stub.go()
    await world.advance(0.120)
    return {"getEqualsDue": equal, "log": await stub.read()}


class Overwritten(Alarmed):
    def go(self) -> None:
        now = now_ms()
        self.ctx.storage.set_alarm(now + 20)
        self.due = now + 60
        self.ctx.storage.set_alarm(self.due)

    def alarm(self, info: Any) -> None:
        self.log.append(now_ms() >= self.due)


@program(
    "alarm-overwrite",
    bindings={"D": Overwritten},
    rules=("AL-1", "LT-53"),
    forbidden=lambda o: None if o == [True] else "LT-53: not one run at the second time",
    exhaustive=True,
)
async def alarm_overwrite(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    await world.advance(0.150)
    return await stub.read()


class Again(Alarmed):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms() + 10)

    async def alarm(self, info: Any) -> None:
        before = await self.ctx.storage.get_alarm()
        if len(self.log) < 2:
            await self.ctx.storage.set_alarm(now_ms() + 10)
        self.log.append([info.is_retry, before, number(await self.ctx.storage.get_alarm())])


@program(
    "alarm-set-in-handler",
    bindings={"D": Again},
    rules=("AL-5", "AL-13", "AL-17", "LT-57"),
    forbidden=lambda o: None if len(o) == 3 and not any(r for r, _, _ in o) else "AL-17: the new time did not stand",
    exhaustive=True,
)
async def alarm_set_in_handler(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    await world.advance(0.150)
    return await stub.read()


class Retried(Alarmed):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms())

    def alarm(self, info: Any) -> None:
        now = now_ms()
        if not self.log:
            self.first = now
        self.log.append([info.retry_count, info.is_retry, round((now - self.first) / 1000)])
        if len(self.log) < 4:
            raise Exception("again")


def backs_off(outcome: Any) -> bool:
    """2, 4, 8 s after the failure before, each with up to a quarter more (AL-22)."""
    log = outcome["log"]
    counted = [[n, bool(n), seconds] for n, (_, _, seconds) in enumerate(log)]
    seconds = [s for _, _, s in log]
    return (
        outcome["get"] is None
        and log == counted
        and len(log) == 4
        and all(low <= s <= high for s, (low, high) in zip(seconds, ((0, 0), (2, 3), (6, 8), (14, 18)), strict=True))
    )


@program(
    "alarm-throw-retry",
    bindings={"D": Retried},
    rules=("AL-13", "AL-22", "AL-23", "LT-55"),
    forbidden=lambda o: None if backs_off(o) else "AL-22: not 2, 4, 8 s with up to a quarter more",
    also={"AL-22: jitter": backs_off},
)
async def alarm_throw_retry(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    await world.advance(20)
    return {"log": await stub.read(), "get": await stub.get()}


class FailsOnce(Alarmed):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms())

    def alarm(self, info: Any) -> None:
        self.log.append([info.retry_count, info.is_retry])
        if len(self.log) == 1:
            raise Exception("once")

    async def look(self) -> Any:
        get = number(await self.ctx.storage.get_alarm())
        return {"get": get, "constructions": ISOLATE["constructions"], "log": list(self.log)}


@program(
    "alarm-getalarm-between-retries",
    bindings={"D": FailsOnce},
    rules=("AL-5", "AL-22", "LC-30", "LT-56"),
    forbidden=lambda o: None if o["after"]["constructions"] == 1 else "LC-30: a throwing alarm reset the object",
    also={"RPC-1: the question may be under way until after the retry": lambda o: o["during"] == o["after"]},
    exhaustive=True,
)
async def alarm_getalarm_between_retries(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    await world.advance(0.300)
    during = await stub.look()
    await world.advance(4)
    return {"during": during, "after": await stub.look()}


class WritesAndThrows(Alarmed):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms())

    def alarm(self, info: Any) -> None:
        self.log.append([info.is_retry, self.ctx.storage.kv.get("k")])
        if not info.is_retry:
            self.ctx.storage.kv.put("k", "first")
            raise Exception("once")


@program(
    "alarm-write-then-throw-in-handler",
    bindings={"D": WritesAndThrows},
    rules=("AL-21", "OG-18"),
    forbidden=lambda o: None if o[-1] == [True, "first"] else "AL-21: a write before the throw is gone",
    exhaustive=True,
)
async def alarm_write_then_throw_in_handler(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    await world.advance(4)
    return await stub.read()


class AbortsOnce(Alarmed):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms())

    def alarm(self, info: Any) -> None:
        runs: list[Any] = ISOLATE.setdefault("runs", [])
        runs.append([len(runs), info.retry_count, info.is_retry])
        if len(runs) == 1:
            self.ctx.abort("in the handler")


@program(
    "alarm-abort-in-handler",
    bindings={"D": AbortsOnce},
    rules=("AL-24", "AL-26", "LT-64"),
    forbidden=lambda o: None if len(o["log"]) == 2 else "AL-26: not retried once after the abort",
    exhaustive=True,
)
async def alarm_abort_in_handler(world: World) -> Any:
    await world.env.D.get_by_name("d").go()
    await world.advance(4)
    return {"log": ISOLATE["runs"], "get": await world.env.D.get_by_name("d").get()}


class SetsAndAborts(Alarmed):
    def go(self) -> None:
        self.ctx.storage.set_alarm(now_ms() + 10)
        self.ctx.abort("set and gone")

    def alarm(self, info: Any) -> None:
        ISOLATE["runs"] = ISOLATE.get("runs", 0) + 1


@program(
    "alarm-set-then-abort",
    bindings={"D": SetsAndAborts},
    rules=("AL-4", "LC-32"),
    forbidden=lambda o: "AL-4: an alarm of an aborted turn was kept" if o["runs"] or o["get"] else None,
    exhaustive=True,
)
async def alarm_set_then_abort(world: World) -> Any:
    await settled(world.env.D.get_by_name("d").go())
    await world.advance(0.100)
    return {"runs": ISOLATE.get("runs", 0), "get": await world.env.D.get_by_name("d").get()}


class SurvivesAbort(Alarmed):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms() + 40)
        await self.ctx.storage.sync()

    def die(self) -> None:
        self.ctx.abort("gone")

    def alarm(self, info: Any) -> None:
        ISOLATE["runs"] = ISOLATE.get("runs", 0) + 1


@program(
    "alarm-set-survives-abort",
    bindings={"D": SurvivesAbort},
    rules=("AL-12", "AL-4"),
    forbidden=lambda o: None if o == 1 else "AL-4: a committed alarm was lost, or ran twice",
    exhaustive=True,
)
async def alarm_set_survives_abort(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    await settled(stub.die())
    await world.advance(0.150)
    return ISOLATE.get("runs", 0)


class DeletesAll(Alarmed):
    async def go(self) -> Any:
        self.ctx.storage.put("k", 1)
        self.ctx.storage.set_alarm(now_ms() + 3_600_000)
        await self.ctx.storage.delete_all()
        return {
            "get": number(await self.ctx.storage.get_alarm()),
            "keys": len(await self.ctx.storage.list()),
        }

    def alarm(self, info: Any) -> None:
        """There is one."""


@program(
    "alarm-deleteall-newflag",
    bindings={"D": DeletesAll},
    rules=("ST-26", "ST-27", "LT-48"),
    forbidden=lambda o: None if o["get"] is None else "ST-27: the alarm was kept",
    exhaustive=True,
)
async def alarm_deleteall_newflag(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


@program(
    "alarm-deleteall-olddate",
    bindings={"D": DeletesAll},
    rules=("ST-26", "ST-27", "LT-48"),
    forbidden=lambda o: None if o["get"] == "number" else "ST-27: the alarm was not kept",
    exhaustive=True,
)
async def alarm_deleteall_olddate(world: World) -> Any:
    return await world.env.D.get_by_name("d").go()


class NoHandler(DurableObject):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms() + 10)


@program("alarm-no-handler", bindings={"D": NoHandler}, rules=("AL-3",), exhaustive=True)
async def alarm_no_handler(world: World) -> Any:
    return await settled(world.env.D.get_by_name("d").go())


class Overlapping(Alarmed):
    runs = 0

    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms())

    async def alarm(self, info: Any) -> None:
        self.runs += 1
        run = self.runs
        self.log.append(f"s{run}")
        if run == 1:
            await self.ctx.storage.set_alarm(now_ms())
            await trio.sleep(0.030)
        self.log.append(f"f{run}")


@program(
    "alarm-no-overlap",
    bindings={"D": Overlapping},
    rules=("AL-15", "AL-17"),
    forbidden=lambda o: None if o == ["s1", "f1", "s2", "f2"] else "AL-15: runs overlap, or one is missing",
    exhaustive=True,
)
async def alarm_no_overlap(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    await world.advance(0.150)
    return await stub.read()


class Slow(DurableObject):
    async def slow(self) -> None:
        await trio.sleep(0.020)


class HeldAlarm(Alarmed):
    async def go(self) -> None:
        await self.ctx.storage.set_alarm(now_ms())

        async def section() -> None:
            await self.env.E.get_by_name("e").slow()
            self.log.append("bcw-end")

        await self.ctx.block_concurrency_while(section)
        self.log.append("after")
        await trio.sleep(0.020)

    def alarm(self, info: Any) -> None:
        self.log.append("alarm")


@program(
    "alarm-held-by-bcw",
    bindings={"D": HeldAlarm, "E": Slow},
    rules=("AL-14", "IG-22", "IG-25"),
    forbidden=lambda o: None if o == ["bcw-end", "after", "alarm"] else "AL-14: the alarm did not wait its turn",
    exhaustive=True,
)
async def alarm_held_by_bcw(world: World) -> Any:
    stub = world.env.D.get_by_name("d")
    await stub.go()
    return await stub.read()


class Woken(Alarmed):
    async def go(self) -> int:
        await self.ctx.storage.set_alarm(now_ms() + 14_000)
        return int(ISOLATE["constructions"])

    def alarm(self, info: Any) -> None:
        name = "has name" if self.ctx.id.name is not None else None
        record = [ISOLATE["constructions"], info.retry_count, info.is_retry, name]
        self.ctx.storage.kv.put("rec", record)

    def rec(self) -> Any:
        return self.ctx.storage.kv.get("rec")


@program(
    "alarm-wakes-evicted",
    bindings={"D": Woken},
    rules=("AL-12", "AL-13", "LC-5", "LC-14", "LC-21", "LT-63"),
    forbidden=lambda o: None if o["rec"][0] == 2 else "AL-12: not one construction more",
    exhaustive=True,
)
async def alarm_wakes_evicted(world: World) -> Any:
    first = await world.env.D.get_by_name("d").go()
    await world.advance(15.5)
    return {"first": first, "rec": await world.env.D.get_by_name("d").rec()}

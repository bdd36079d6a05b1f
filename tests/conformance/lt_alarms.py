"""LT-52 to LT-65: alarms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import trio

from lumenize_sim import World
from tests.conformance.lt_parts import EPOCH_MS, EXACT, Logging, log, logged, lt, outcome_of, seconds, thrown
from tests.conformance.program import ISOLATE

GROUP = "10.5 Alarms"
test: Callable[..., Any] = partial(lt, group=GROUP)


class Alarmed(Logging):
    """Each test says in ``ISOLATE["handler"]`` what the handler does."""

    def now(self) -> int:
        # The world's clock: the object's own moves during a turn under workerd.
        return int(self.ctx.host.now_ms()) - EPOCH_MS

    async def set(self, in_ms: int) -> Any:
        await self.ctx.storage.set_alarm(EPOCH_MS + self.now() + in_ms)
        return await self.get()

    async def set_past(self) -> Any:
        await self.ctx.storage.set_alarm(1)
        at = await self.get()
        log("after set")
        return at == self.now()

    async def get(self) -> Any:
        at = await self.ctx.storage.get_alarm()
        return None if at is None else at - EPOCH_MS

    async def delete(self) -> None:
        await self.ctx.storage.delete_alarm()

    async def stored(self) -> Any:
        return await self.ctx.storage.get("done")

    async def roll_back(self) -> None:
        async def body(_: Any) -> None:
            await self.ctx.storage.set_alarm(EPOCH_MS + 7_200_000)
            raise ValueError("E")

        await self.ctx.storage.transaction(body)

    def note(self, what: str) -> None:
        log(what)

    def abort(self, retry_alarm: bool) -> None:
        self.ctx.abort("stop", retry_alarm=retry_alarm)

    async def alarm(self, info: Any) -> None:
        log({"at": self.now(), "retry": info.retry_count, "is_retry": info.is_retry, "alarm": await self.get()})
        handler = ISOLATE.get("handler")
        if handler is not None:
            await handler(self, info)


D = {"D": Alarmed}


def runs() -> list[Any]:
    """When the handler ran."""
    return [line for line in logged() if isinstance(line, dict)]


@test(
    "LT-52",
    "AL-5",
    "AL-11",
    "AL-17",
    bindings=D,
    allowed=[{"set": 50, "run": [{"at": 50, "retry": 0, "is_retry": False, "alarm": None}], "after": None}],
    never={"before its time": lambda o: o["run"][0]["at"] < 50},
    options=EXACT,
    exhaustive=True,
    title="the basic alarm",
)
async def lt_52(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    at = await stub.set(50)
    await world.settle()
    return {"set": at, "run": runs(), "after": await stub.get()}


@test(
    "LT-53",
    "AL-1",
    bindings=D,
    allowed=[[200], [100]],
    never={"both ran": lambda o: len(o) != 1},
    options=EXACT,
    exhaustive=True,
    title="the later call replaces the alarm",
)
async def lt_53(world: World) -> Any:
    """Two stubs, so either call may be the later one."""
    first, second = world.env.D.get_by_name("o").set(100), world.env.D.get_by_name("o").set(200)
    await first
    await second
    await world.settle()
    return [run["at"] for run in runs()]


@test(
    "LT-54",
    "AL-2",
    bindings=D,
    allowed=[[True, "after set", 0]],
    never={"it ran synchronously": lambda o: o[1] != "after set"},
    options=EXACT,
    exhaustive=True,
    title="a time that is past",
)
async def lt_54(world: World) -> Any:
    is_now = await world.env.D.get_by_name("o").set_past()
    await world.settle()
    return [is_now, *(line["at"] if isinstance(line, dict) else line for line in logged())]


async def fail(_: Alarmed, info: Any) -> None:
    raise ValueError("E")


DELAYS_MS = [2000, 4000, 8000, 16000, 32000, 64000]


@test(
    "LT-55",
    "AL-22",
    "AL-23",
    bindings=D,
    allowed=[{"retries": [0, 1, 2, 3, 4, 5, 6], "delays": [True] * 6, "alarm": None}],
    never={"an eighth run": lambda o: len(o["retries"]) > 7},
    options=EXACT,
    seeds=True,
    title="the schedule of retries",
)
async def lt_55(world: World) -> Any:
    ISOLATE["handler"] = fail
    stub = world.env.D.get_by_name("o")
    await stub.set(50)
    await world.settle(2000)
    times = [run["at"] for run in runs()]
    delays = [later - earlier for earlier, later in pairwise(times)]
    return {
        "retries": [run["retry"] for run in runs()],
        "delays": [nominal <= delay <= 1.25 * nominal + 1 for nominal, delay in zip(DELAYS_MS, delays, strict=True)],
        "alarm": await stub.get(),
    }


@test(
    "LT-56",
    "AL-5",
    "AL-30",
    bindings=D,
    allowed=[[50, 1]],
    options=EXACT,
    seeds=True,
    title="between two retries",
)
async def lt_56(world: World) -> Any:
    """The original time shows; deleting the alarm there ends it."""
    ISOLATE["handler"] = fail
    stub = world.env.D.get_by_name("o")
    await stub.set(50)
    await world.advance(1)
    at = await stub.get()
    await stub.delete()
    await world.settle(300)
    return [at, len(runs())]


async def set_another(self: Alarmed, info: Any) -> None:
    if len(runs()) == 1:
        await self.set(500)


@test(
    "LT-57",
    "AL-17",
    bindings=D,
    allowed=[{"runs": [[50, 0], [550, 0]], "alarm": None}],
    never={"the new alarm was deleted": lambda o: len(o["runs"]) < 2},
    options=EXACT,
    exhaustive=True,
    title="an alarm set in the handler, which succeeds",
)
async def lt_57(world: World) -> Any:
    ISOLATE["handler"] = set_another
    stub = world.env.D.get_by_name("o")
    await stub.set(50)
    await world.settle(300)
    return {"runs": [[run["at"], run["retry"]] for run in runs()], "alarm": await stub.get()}


async def set_another_and_fail(self: Alarmed, info: Any) -> None:
    if len(runs()) == 1:
        await self.set(500)
        raise ValueError("E")


@test(
    "LT-58",
    "AL-21",
    bindings=D,
    allowed=[{"runs": [[50, 0], [550, 0]], "alarm": None}],
    never={"both the retry and the new alarm ran": lambda o: len(o["runs"]) > 2},
    options=EXACT,
    seeds=True,
    title="an alarm set in the handler, which then throws",
)
async def lt_58(world: World) -> Any:
    ISOLATE["handler"] = set_another_and_fail
    stub = world.env.D.get_by_name("o")
    await stub.set(50)
    await world.settle(300)
    return {"runs": [[run["at"], run["retry"]] for run in runs()], "alarm": await stub.get()}


async def write_and_wait(self: Alarmed, info: Any) -> None:
    await self.ctx.storage.put("done", len(runs()))
    await self.f()


@test(
    "LT-59",
    "AL-28",
    bindings=D,
    allowed=[[1, 2, None]],
    never={"the alarm was lost": lambda o: o[1] < 2 or o[0] is None},
    options=EXACT,
    seeds=True,
    title="a crash after effects of the handler",
)
async def lt_59(world: World) -> Any:
    """Stored while the handler waits; after the crash it runs again from the start."""
    ISOLATE["handler"] = write_and_wait
    view = world.object("D", "o")
    await world.env.D.get_by_name("o").set(50)
    await world.advance(0.1)
    kept = view.storage.kv.get("done")
    view.crash()
    kept = view.storage.kv.get("done") and kept
    await world.settle(300)
    return [kept, len(runs()), await world.env.D.get_by_name("o").get()]


@test(
    "LT-60",
    "AL-18",
    bindings=D,
    allowed=[[2, None]],
    options=EXACT,
    seeds=True,
    title="the handler succeeds and its commit fails",
)
async def lt_60(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    await stub.set(50)
    world.object("D", "o").fail_next_flush()
    await world.settle(300)
    return [len(runs()), await world.env.D.get_by_name("o").get()]


@test(
    "LT-60 gate",
    "AL-17",
    bindings=D,
    allowed=[[1.05, None]],
    never={"an answer did not wait for the deletion": lambda o: o[0] < 1},
    options={**EXACT, "step_limit": 2000},
    exhaustive=True,
    title="the deletion of the alarm is a confirmed write",
)
async def lt_60_gate(world: World) -> Any:
    """What is said after the handler waits for it."""
    stub = world.env.D.get_by_name("o")
    await stub.set(50)
    world.object("D", "o").slow_next_flush(1)
    await world.advance(0.1)
    value = await stub.get()
    return [seconds(world), value]


@test(
    "LT-61",
    "AL-4",
    bindings=D,
    allowed=[[3_600_000, "ValueError: E [remote]"]],
    options=EXACT,
    exhaustive=True,
    title="a setAlarm that is rolled back",
)
async def lt_61(world: World) -> Any:
    stub = world.env.D.get_by_name("o")
    await stub.set(3_600_000)
    error = await outcome_of(stub.roll_back())
    return [await stub.get(), error]


async def wait(self: Alarmed, info: Any) -> None:
    await self.f()
    log("handled")


@test(
    "LT-62",
    "AL-14",
    bindings=D,
    allowed=[["alarm", "request", "handled"]],
    options=EXACT,
    exhaustive=True,
    title="a request while the handler waits",
)
async def lt_62(world: World) -> Any:
    ISOLATE["handler"] = wait
    stub = world.env.D.get_by_name("o")
    await stub.set(50)
    await world.advance(0.1)
    await stub.note("request")
    await world.settle()
    return ["alarm" if isinstance(line, dict) else line for line in logged()]


@test(
    "LT-63 inactive",
    "AL-12",
    bindings=D,
    allowed=[[2, 1]],
    options=EXACT,
    exhaustive=True,
    title="the alarm wakes an inactive object",
)
async def lt_63_inactive(world: World) -> Any:
    await world.env.D.get_by_name("o").set(60_000)
    await world.settle(30)
    world.object("D", "o").evict()
    await world.settle(300)
    return [ISOLATE["constructed"], len(runs())]


async def aborted(world: World, *, retry_alarm: bool) -> Any:
    """A request aborts the object while the handler waits.  Runs, and how long after the abort, in s."""
    ISOLATE["handler"] = wait
    await world.env.D.get_by_name("o").set(50)
    await world.advance(0.1)
    error = await outcome_of(world.env.D.get_by_name("o").abort(retry_alarm))
    ISOLATE.pop("handler")
    await world.settle(300)
    times = [run["at"] for run in runs()]
    return [error, [run["retry"] for run in runs()], all(2100 <= at <= 2601 for at in times[1:])]


STOPPED = "Error: stop [durableObjectReset]"


@test(
    "LT-64",
    "AL-26",
    bindings=D,
    allowed=thrown([STOPPED, [0], True]),
    options=EXACT,
    seeds=True,
    title="abort with retryAlarm false",
)
async def lt_64(world: World) -> Any:
    return await aborted(world, retry_alarm=False)


@test(
    "LT-64 retries",
    "AL-26",
    bindings=D,
    allowed=thrown([STOPPED, [0, 1], True]),
    options=EXACT,
    seeds=True,
    title="abort by default: one retry after 2 s or more",
)
async def lt_64_retries(world: World) -> Any:
    return await aborted(world, retry_alarm=True)


async def never_end(self: Alarmed, info: Any) -> None:
    if not info.is_retry:
        await trio.sleep_forever()


@test(
    "LT-65",
    "AL-16",
    bindings=D,
    allowed=[{"retries": [0, 1], "after 15 min": True, "constructed": 2}],
    options=EXACT,
    seeds=True,
    title="the limit of 15 minutes",
)
async def lt_65(world: World) -> Any:
    ISOLATE["handler"] = never_end
    await world.env.D.get_by_name("o").set(50)
    await world.advance(1000)
    first, second = runs()
    cut = 15 * 60 * 1000
    return {
        "retries": [first["retry"], second["retry"]],
        "after 15 min": cut + 2000 <= second["at"] - first["at"] <= cut + 2501,
        "constructed": ISOLATE["constructed"],
    }

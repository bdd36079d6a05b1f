"""Handlers full of Trio, and scenarios around them.  Loaded by path, also by processes of other Python versions."""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import trio
import trio.testing

from lumenize_sim import (
    RESULT,
    LumenizeClient,
    LumenizeDO,
    LumenizeWorker,
    Mesh,
    Network,
    Scenario,
    World,
    WorldOptions,
    mesh,
    scenario,
)

#: What happened, in order, over all objects of a run.  Node code may not share memory; these tests look on.
MARKS: list[Any] = []
#: An event that two objects share.
SHARED: list[trio.Event] = []


class Slow(LumenizeWorker):
    """Somebody outside."""

    @mesh
    def one(self) -> int:
        return 1


class Node(LumenizeDO):
    """One method for each piece of Trio."""

    def mark(self, what: str) -> None:
        MARKS.append(f"{self.lmz.instance_name}:{what}")

    async def outside(self) -> Any:
        """An await that opens the gate."""
        return await self.lmz.call_raw("SLOW", None, self.ctn(Slow).one())

    # -- what ends well

    @mesh
    async def nursery(self) -> list[str]:
        out: list[str] = []

        async def child(name: str) -> None:
            out.append(f"{name} begins")
            await trio.lowlevel.checkpoint()
            out.append(f"{name} goes on")
            await self.outside()
            out.append(f"{name} ends")

        async with trio.open_nursery() as nursery:
            for name in "xyz":
                nursery.start_soon(child, name)
            out.append("all started")
        return out

    @mesh
    async def event(self) -> list[str]:
        out: list[str] = []
        ready = trio.Event()

        async def waits(name: str) -> None:
            await ready.wait()
            out.append(name)

        async with trio.open_nursery() as nursery:
            for name in "zyxwv":
                nursery.start_soon(waits, name)
            await self.outside()
            ready.set()
        return out

    @mesh
    async def channel(self) -> list[int]:
        send, receive = trio.open_memory_channel[int](1)
        got: list[int] = []

        async def produce() -> None:
            async with send:
                for n in range(4):
                    await send.send(n)
                    if n == 1:
                        await trio.sleep(0.5)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            async for n in receive:
                got.append(n)
        return got

    @mesh
    async def move_on(self) -> list[Any]:
        began = trio.current_time()
        with trio.move_on_after(2) as scope:
            await trio.sleep(50)
        return [scope.cancelled_caught, trio.current_time() - began]

    @mesh
    async def fail_after(self) -> str:
        try:
            with trio.fail_after(1.5):
                await trio.sleep_forever()
        except trio.TooSlowError:
            return f"too slow after {self.lmz.now() - 1_767_225_600_000} ms"
        return "?"

    @mesh
    async def equal_deadlines(self) -> list[str]:
        out: list[str] = []

        async def until(name: str) -> None:
            with trio.move_on_after(1):
                await trio.sleep_forever()
            out.append(name)

        async with trio.open_nursery() as nursery:
            for name in "edcba":
                nursery.start_soon(until, name)
        return out

    @mesh
    async def sleeps(self) -> list[float]:
        began = trio.current_time()
        out = []
        for seconds in (0, 0.25, 1.5, 0):
            await trio.sleep(seconds)
            out.append(trio.current_time() - began)
        return out

    @mesh
    async def checkpoints(self) -> list[str]:
        out: list[str] = []

        async def child(name: str) -> None:
            for nth in range(3):
                out.append(f"{name}{nth}")
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "x")
            nursery.start_soon(child, "y")
        return out

    @mesh
    async def child_raises(self) -> None:
        async def child(name: str) -> None:
            await self.outside()
            raise ValueError(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "x")
            nursery.start_soon(trio.sleep_forever)

    @mesh
    async def generator(self) -> list[int]:
        async def count() -> Any:
            for n in range(3):
                await self.outside()
                yield n

        return [n async for n in count()]

    @mesh
    async def abandoned_generator(self) -> list[str]:
        out: list[str] = []

        async def count(name: str) -> Any:
            try:
                for n in range(9):
                    await trio.lowlevel.checkpoint()
                    yield n
            finally:
                out.append(f"{name} closed in {self.lmz.instance_name}")
                self.mark(f"{name} closed")

        async for n in count("x"):
            if n == 2:
                break
        kept = [count("y"), count("z")]
        for one in kept:
            await anext(one)
        kept.clear()
        del one
        await trio.lowlevel.checkpoint()
        return out

    @mesh
    async def leaked_generator(self, name: str) -> int:
        async def count() -> Any:
            try:
                yield 1
            finally:
                self.mark(f"{name} closed")

        self.kept = count()
        return await anext(self.kept)  # type: ignore[no-any-return]  # whatever was kept

    @mesh
    async def raising_generator(self) -> None:
        async def count() -> Any:
            try:
                yield 1
            finally:
                try:
                    await trio.sleep(1)
                except trio.Cancelled:
                    self.mark("cancelled")
                self.mark("raising")
                raise ValueError("too late")

        async for _ in count():
            break
        await trio.sleep(0)  # noqa: ASYNC115  # ends the turn
        self.mark("still here")

    @mesh
    async def lock(self) -> list[str]:
        out: list[str] = []
        lock = trio.Lock()

        async def child(name: str) -> None:
            async with lock:
                out.append(f"{name} in")
                await self.outside()
                out.append(f"{name} out")

        async with trio.open_nursery() as nursery:
            for name in "xyz":
                nursery.start_soon(child, name)
        return out

    @mesh
    async def limiter(self) -> int:
        limiter, most, inside = trio.CapacityLimiter(2), 0, 0

        async def child() -> None:
            nonlocal most, inside
            async with limiter:
                inside += 1
                most = max(most, inside)
                await self.outside()
                inside -= 1

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(child)
        return most

    @mesh
    async def shield(self) -> list[str]:
        out: list[str] = []
        with trio.move_on_after(1) as outer:
            try:
                with trio.CancelScope(shield=True):
                    await trio.sleep(3)
                    out.append("shielded sleep is over")
                await trio.sleep(3)
            finally:
                out.append(f"cancelled {outer.cancel_called}")
        return out

    @mesh
    async def reschedule(self) -> str:
        task = trio.lowlevel.current_task()
        host = self.ctx

        def wake() -> None:
            trio.lowlevel.reschedule(task, __import__("outcome").Value("woken"))

        host.set_timeout(wake, 1.0)
        return await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # type: ignore[no-any-return]  # whatever it was woken with

    @mesh
    async def blocked(self) -> list[str]:
        out: list[str] = []

        async def child() -> None:
            await trio.lowlevel.checkpoint()
            out.append("child")
            await trio.lowlevel.checkpoint()
            out.append("child again")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            await trio.testing.wait_all_tasks_blocked()
            out.append("all blocked")
        return out

    @mesh
    async def strays(self) -> list[str]:
        await trio.sleep(1)
        stamp = datetime.now(UTC).isoformat()
        return [
            str(time.time()),
            stamp,
            str(random.random()),
            str(uuid.uuid4()),
            secrets.token_hex(4),
            os.urandom(4).hex(),
        ]

    @mesh
    async def waits_for_shared(self) -> str:
        await SHARED[0].wait()
        self.mark("woken")
        return "woken"

    @mesh
    async def sets_shared(self) -> str:
        self.mark("sets")
        SHARED[0].set()
        await trio.lowlevel.checkpoint()
        self.mark("goes on")
        return "set"

    # -- gates

    @mesh
    async def add_over_storage(self) -> None:
        """`ctx.storage.get` of the asynchronous API does not open the gate."""
        n = await self.ctx.storage.get("n") or 0
        await self.ctx.storage.put("n", n + 1)

    @mesh
    async def add_over_outside(self) -> None:
        n = self.ctx.storage.kv.get("n", 0)
        self.ctx.storage.kv.put("n", n + await self.outside())

    @mesh
    async def add_in_children(self) -> None:
        """The read, and the await that opens the gate, happen in a child task."""

        async def child() -> None:
            n = self.ctx.storage.kv.get("n", 0)
            self.ctx.storage.kv.put("n", n + await self.outside())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)

    @mesh
    async def section(self) -> None:
        """A critical section that awaits outside."""

        async def inside() -> None:
            self.mark("section begins")
            await self.outside()
            self.mark("section goes on")
            await trio.sleep(1)
            self.mark("section ends")

        await self.ctx.block_concurrency_while(inside)

    @mesh
    async def children(self) -> None:
        async def child(name: str) -> None:
            await self.outside()
            self.mark(f"child {name}")
            await self.outside()
            self.mark(f"child {name} again")

        async with trio.open_nursery() as nursery:
            for name in "xy":
                nursery.start_soon(child, name)

    @mesh
    async def turn(self, name: str) -> None:
        """Many steps that end no turn."""
        async with trio.open_nursery() as nursery:
            for nth in range(3):
                nursery.start_soon(self.step, f"{name}{nth}")

    async def step(self, name: str) -> None:
        for nth in range(3):
            self.mark(f"{name}.{nth}")
            await trio.lowlevel.checkpoint()

    @mesh
    async def first_child(self) -> str:
        """Which child comes first is Trio's business within a turn."""
        out: list[str] = []

        async def child(name: str) -> None:
            out.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "x")
            nursery.start_soon(child, "y")
        return out[0]

    @mesh
    async def zero_sleep(self) -> None:
        """`sleep(0)` is a timer: it ends the turn, and another event may come between."""
        n = self.ctx.storage.kv.get("n", 0)
        await trio.sleep(0)  # noqa: ASYNC115  # a checkpoint is another thing here
        self.ctx.storage.kv.put("n", n + 1)

    @mesh
    async def zero_wait(self) -> None:
        """A checkpoint ends no turn."""
        n = self.ctx.storage.kv.get("n", 0)
        await trio.lowlevel.checkpoint()
        self.ctx.storage.kv.put("n", n + 1)

    # -- what does not end well

    @mesh
    async def forever(self) -> None:
        try:
            await trio.sleep_forever()
        except BaseException:
            self.mark("except")
            raise
        finally:
            self.mark("finally")

    @mesh
    async def shielded(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    @mesh
    async def swallows(self) -> None:
        while True:
            try:
                await trio.sleep(3600)
            except BaseException:
                self.mark("swallowed")

    @mesh
    async def swallows_in_children(self) -> None:
        while True:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.swallows)
                    nursery.start_soon(self.shielded)
            except BaseException:
                pass

    @mesh
    async def awaits_lost_wake(self) -> None:
        """Woken by another object's turn; the run ends before the wake-up arrives."""
        try:
            await SHARED[0].wait()
        finally:
            self.mark("finally")

    @mesh
    async def suspended_in_many_ways(self) -> None:
        async def channel() -> None:
            _, receive = trio.open_memory_channel[int](0)
            try:
                await receive.receive()
            finally:
                self.mark("channel finally")

        async def outside() -> None:
            try:
                while True:  # noqa: ASYNC110  # that it never ends is the point
                    await trio.sleep(20)
            except BaseException:
                self.mark("sleep except")
                raise

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.forever)
            nursery.start_soon(channel)
            nursery.start_soon(outside)

    @mesh
    async def puts_and_waits(self) -> None:
        self.ctx.storage.kv.put("n", 1)
        try:
            await trio.sleep(1)
            self.mark("survived")
        finally:
            self.mark("finally")

    @mesh
    def abort(self) -> None:
        self.ctx.abort("on purpose")

    @mesh
    async def begins_and_aborts(self) -> None:
        """Tasks that have not begun when their owner dies."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.forever)
            self.ctx.wait_until(self.forever())
            self.ctx.abort("at once")

    @mesh
    async def checkpoint_loop(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()

    @mesh
    async def cancelled_loop(self) -> None:
        """Every await raises at once, and every one is swallowed."""
        with trio.CancelScope() as scope:
            scope.cancel()
            while True:
                try:
                    await trio.sleep_forever()
                except BaseException:
                    pass

    @mesh
    def spin(self) -> None:
        while True:
            pass

    @mesh
    async def spin_in_task(self) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            pass

    @mesh
    async def sleep_loop(self) -> None:
        while True:  # noqa: ASYNC110  # as above
            await trio.sleep(1)

    @mesh
    async def system_task(self) -> None:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)

    @mesh
    async def thread(self) -> None:
        await trio.to_thread.run_sync(print)

    @mesh
    async def token(self) -> None:
        trio.lowlevel.current_trio_token()

    @mesh
    def bare_thread(self) -> None:
        import threading

        threading.Thread(target=print, name="mine").start()

    @mesh
    def noop(self) -> None:
        self.mark("noop")


class Tab(LumenizeClient):
    """Calls one method after the other and keeps what comes back."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.results: list[Any] = []

    def run(self, handle: str, method: str, *args: Any) -> None:
        call = getattr(self.ctn(Node), method)(*args)
        self.lmz.call("NODE", handle, call, self.ctn().on_result(RESULT))

    def on_result(self, result: Any) -> None:
        MARKS.append(result if not isinstance(result, Exception) else f"{type(result).__name__}: {result}")
        self.results.append(result)


app = Mesh(bindings={"NODE": Node, "SLOW": Slow})
#: Pieces of Trio that end well, with what they return under first come, first served.
ENDS_WELL = (
    "nursery",
    "event",
    "channel",
    "move_on",
    "fail_after",
    "equal_deadlines",
    "sleeps",
    "checkpoints",
    "child_raises",
    "generator",
    "abandoned_generator",
    "lock",
    "limiter",
    "shield",
    "reschedule",
    "blocked",
    "strays",
)


def calls(*steps: tuple[str, str] | tuple[str, str, str], limit_s: float = 0.5, **options: Any) -> Scenario:
    """A scenario: one client makes all calls at once, then everything settles."""
    chosen = WorldOptions(turn_limit_s=limit_s, network=Network(max_delay_s=0.0), **options)

    @scenario(app, options=chosen, name="+".join(step[1] for step in steps))
    async def drive(world: World) -> None:
        MARKS.clear()
        SHARED[:] = [trio.Event()]
        tab = await world.connect(Tab, sub="alice")
        for handle, method, *args in steps:
            tab.run(handle, method, *args)
        await world.settle()

    return drive


@scenario(app)
async def everything(world: World) -> None:
    """All that ends well, twice in one object and once in another, mixed with each other."""
    MARKS.clear()
    SHARED[:] = [trio.Event()]
    tab = await world.connect(Tab, sub="alice")
    for method in ENDS_WELL:
        tab.run("a", method)
        tab.run("b", method)
        tab.run("a", method)
    tab.run("a", "waits_for_shared")
    tab.run("b", "sets_shared")
    await world.settle()

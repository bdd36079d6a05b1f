"""Gate parity: what the simulator finds happens in real time too, and what it promises holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from lumenize_sim.live import LiveServer, connect_client, serve_app
from lumenize_sim.live.loop import running_loop
from lumenize_sim.mesh import LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, mesh
from lumenize_sim.objects import gather

pytestmark = pytest.mark.trio


class Rates(LumenizeWorker):
    @mesh
    async def current(self) -> int:
        await trio.sleep(0.03)
        return 1


class Counter(LumenizeDO):
    seen: list[str]
    woken: trio.Event | None = None

    @mesh
    async def increment(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        rate: int = await self.lmz.call_raw("RATES", None, self.ctn(Rates).current())  # the gate opens here
        self.ctx.storage.kv.put("n", n + rate)
        return n + rate

    @mesh
    async def increment_over_storage(self) -> int:
        n: int = await self.ctx.storage.get("n") or 0
        await self.ctx.storage.put("n", n + 1)
        return n + 1

    @mesh
    async def increment_alone(self) -> int:
        async def critical() -> int:
            await trio.sleep(0.005)
            return await self.increment_over_storage()

        result: int = await self.ctx.block_concurrency_while(critical)
        return result

    @mesh
    def value(self) -> int:
        n: int = self.ctx.storage.kv.get("n", 0)
        return n

    @mesh
    async def impatient(self) -> str:
        with trio.move_on_after(0.02) as scope:
            await trio.sleep_forever()
        self.ctx.storage.kv.put("late", True)
        return "late" if scope.cancelled_caught else "in time"

    @mesh
    async def patient(self) -> None:
        with trio.fail_after(1000):
            await self.wait_for_signal()

    @mesh
    async def children(self) -> list[str]:
        order: list[str] = []

        async def child(name: str) -> None:
            for step in range(2):
                order.append(f"{name}{step}")
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")
            nursery.start_soon(child, "c")
        return order

    @mesh
    async def wait_for_signal(self) -> str:
        """Woken by another event of the same object."""
        self.woken = trio.Event()
        await self.woken.wait()
        return "woken"

    @mesh
    def signal(self) -> None:
        assert self.woken is not None
        self.woken.set()

    @mesh
    async def doze(self) -> list[int]:
        before = self.ctx.host.now_ms()
        time.sleep(0.003)  # noqa: ASYNC251  # a turn that takes its time
        assert self.ctx.host.now_ms() == before
        await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
        assert self.ctx.host.now_ms() >= before + 3
        await trio.sleep(0.02)
        return [before, self.ctx.host.now_ms()]

    @mesh
    async def hang(self, name: str) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await trio.sleep_forever()
        finally:
            ENDED.append(name)

    @mesh
    async def hold_up(self) -> None:
        """Others wait at the gate for as long as this section lasts."""

        async def section() -> None:
            ENDED.append("section")
            await trio.sleep_forever()

        self.ctx.block_concurrency_while(section)
        try:
            await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
        finally:
            ENDED.append("held up")

    @mesh
    async def press_ctrl_c(self) -> None:
        await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
        raise KeyboardInterrupt

    @mesh
    def give_up(self) -> None:
        self.ctx.abort("enough")

    @mesh
    async def spin(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()


ENDED: list[str] = []
APP = Mesh(bindings={"COUNTER": Counter, "RATES": Rates})


class Tab(LumenizeClient):
    """Calls, and keeps the answers."""

    def __init__(self, config: Any) -> None:
        self.answers: list[Any] = []
        super().__init__(config)

    def ask(self, method: str, *args: Any) -> Any:
        return self.lmz.call_raw("COUNTER", "c1", getattr(self.ctn(), method)(*args))


def tab(server: LiveServer, name: str = "alice", **config: Any) -> Any:
    return connect_client(Tab, url=server.url, access_token=server.mint(name), instance_name=f"{name}.tab1", **config)


async def answers(client: Tab, method: str, times: int, *args: Any) -> list[Any]:
    result: list[Any] = await gather(*(client.ask(method, *args) for _ in range(times)))
    return result


async def test_two_increments_that_overlap_lose_one() -> None:
    """IG-8: awaiting a call opens the input gate, live as in simulation."""
    async with serve_app(APP, port=0) as server, tab(server) as alice, tab(server, "bob") as bob:
        with trio.fail_after(5):
            results = await gather(alice.ask("increment"), bob.ask("increment"))
            assert results == [1, 1]
            assert await alice.ask("value") == 1


async def test_five_increments_over_storage_count_to_five() -> None:
    """IG-5: storage never opens the gate."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        with trio.fail_after(5):
            assert await answers(alice, "increment_over_storage", 5) == [1, 2, 3, 4, 5]


async def test_critical_sections_hold_the_gate_over_real_timers() -> None:
    """IG-19: nothing else is delivered while the callback waits."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        with trio.fail_after(5):
            assert await answers(alice, "increment_alone", 5) == [1, 2, 3, 4, 5]


async def test_a_deadline_in_node_code_comes_through_the_gate() -> None:
    """TM-5: it is a timer of the object, so its turn may write."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        with trio.fail_after(5):
            assert await alice.ask("impatient") == "late"


async def test_a_deadline_in_node_code_is_a_timer_of_its_owner() -> None:
    """TM-4: so it keeps its place among the object's timers, and goes with its scope."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        loop = server.machines.loop

        def set_timers() -> int:
            return sum(not e.cancelled and e.actor.name == "COUNTER/c1" for _, _, e in loop._timers)

        with trio.fail_after(5):
            patient = alice.ask("patient")
            await until(lambda: set_timers() == 1, "the deadline is a timer")
            await alice.ask("signal")
            await patient
            assert set_timers() == 0


async def test_nothing_arrives_after_the_end() -> None:
    """An event that was under way when the server stopped wakes no object."""
    arrived: list[str] = []
    async with running_loop() as loop:
        async with serve_app(APP, port=0) as server:
            machine = server.machines.named("COUNTER", "c1")
        loop.post(machine.host, lambda: arrived.append("late"))  # type: ignore[arg-type]  # the host is the actor
        await trio.testing.wait_all_tasks_blocked()
    assert arrived == []


async def test_children_of_a_handler_run_first_in_first_out() -> None:
    """The same queue as in simulation: Trio's shuffling acts on one task."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        with trio.fail_after(5):
            for _ in range(5):
                assert await alice.ask("children") == ["a0", "b0", "c0", "a1", "b1", "c1"]


async def test_one_handler_wakes_another() -> None:
    """Events inside an object work; the woken task goes on in the turn of the object."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        with trio.fail_after(5):
            waiting = alice.ask("wait_for_signal")
            await alice.ask("signal")
            assert await waiting == "woken"


async def test_time_passes_between_turns_only() -> None:
    """TM-1: the clock stands still during a turn; a sleep of no time ends one."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        with trio.fail_after(5):
            before, after = await alice.ask("doze")
            assert 20 <= after - before < 2000


async def test_tasks_of_a_reset_instance_end_and_its_callers_hear() -> None:
    """LC-31: callers in flight fail; the tasks do not stay for ever; the object starts anew."""
    ENDED.clear()
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        with trio.fail_after(5):
            await alice.ask("increment_over_storage")
            hanging = alice.ask("hang", "first")
            await alice.ask("value")
            with pytest.raises(Exception, match="enough"):
                await alice.ask("give_up")
            with pytest.raises(Exception, match="enough"):
                await hanging
            await until(lambda: ENDED == ["first"], "its finally ran")
            assert await alice.ask("value") == 1


async def until(holds: Callable[[], Any], what: str) -> None:
    with trio.move_on_after(5):
        while not holds():  # noqa: ASYNC110  # what comes over a network sets no event
            await trio.sleep(0.002)
        return
    pytest.fail(f"waited in vain: {what}")


async def test_a_turn_that_never_ends_is_broken_off_by_name(caplog: pytest.LogCaptureFixture) -> None:
    """Everybody else goes on; the log says who it was."""
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        server.machines.loop.queue.turn_limit = 2_000
        with trio.fail_after(5):
            with pytest.raises(Exception, match="COUNTER/c1 took more than 2000 task steps"):
                await alice.ask("spin")
            assert await alice.ask("value") == 0
    assert next(r.message for r in caplog.records if r.levelname == "ERROR") == "COUNTER/c1 broke off"


async def test_what_waits_at_the_gate_at_the_end_ends() -> None:
    """A wake-up that was held back for a critical section never goes on; its task ends."""
    ENDED.clear()
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        alice.ask("hold_up")
        await until(lambda: ENDED == ["section"], "the section has begun")
    assert ENDED == ["section", "held up"]


async def test_tasks_that_had_not_begun_end_quietly() -> None:
    """Their client has gone before their first step: they are cancelled at their first checkpoint."""
    begun: list[str] = []

    async def late(name: str) -> None:
        begun.append(name)
        await trio.lowlevel.checkpoint()
        begun.append("went on")

    async def drive(coroutine: Any) -> None:
        await coroutine

    async with serve_app(APP, port=0) as server, tab(server) as alice:
        alice._host.spawn(alice._owner, drive, late("alice"))
        alice._owner.seat.finish()
        await until(lambda: begun, "it has begun")
        async with tab(server, "bob") as bob:
            assert await bob.ask("value") == 0
    assert begun == ["alice"]


async def test_ctrl_c_in_a_handler_ends_the_server() -> None:
    """It is for the person at the keyboard, and no answer to the caller."""
    heard = False
    try:
        async with serve_app(APP, port=0) as server, tab(server) as alice:
            alice.ask("press_ctrl_c")
            await trio.sleep_forever()
    except* KeyboardInterrupt:
        heard = True
    assert heard


async def test_a_client_that_spins_is_broken_off_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Its tasks end; others on the same loop do not notice."""

    async def spin() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async with serve_app(APP, port=0) as server, tab(server) as alice, tab(server, "bob") as bob:
        server.machines.loop.queue.turn_limit = 2_000
        bob._host.spawn(bob._owner, spin)
        with trio.fail_after(5):
            bob.ask("value")
            bob._host.set_timer(bob._owner, 0.0, lambda: bob._host.spawn(bob._owner, spin))
            await until(lambda: "bob.tab1 broke off" in caplog.text, "bob is broken off")
            assert await alice.ask("value") == 0
            assert bob._owner.dead


async def test_what_waits_at_the_end_ends() -> None:
    """A server stops with handlers under way, whatever they wait for."""
    ENDED.clear()
    async with serve_app(APP, port=0) as server, tab(server) as alice:
        alice.ask("hang", "hung")
        alice.ask("wait_for_signal")
        await alice.ask("value")
    assert ENDED == ["hung"]

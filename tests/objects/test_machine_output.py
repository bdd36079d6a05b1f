"""The output gate and what is durable when, through the context API (OG-*, LC-33, LC-39)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeWorker, World, WorldOptions, gather
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.objects import Pending, Request, Response, WebSocketPair
from lumenize_sim.objects.options import MachineOptions

FLUSH_ERROR = "Internal error in Durable Object storage write caused object to be reset; reference = simulated"


def flags(error: BaseException) -> set[str]:
    return {n for n in ("remote", "retryable", "overloaded", "durable_object_reset") if hasattr(error, n)}


async def error_of(pending: Pending[Any]) -> BaseException:
    try:
        value = await pending
    except Exception as error:
        return error
    raise AssertionError(f"{value!r} instead of an error")


class Log(DurableObject):
    """Hears what others send out."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.heard: list[Any] = []

    def note(self, value: Any) -> None:
        self.heard.append(value)

    def seen(self) -> list[Any]:
        return self.heard


class Remote(LumenizeWorker):
    def ping(self) -> None: ...


class Writer(DurableObject):
    """Writes, and lets things out before and after."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.memory = 0

    def log(self, value: Any) -> Pending[Any]:
        return self.env.LOG.get_by_name("l").note(value)  # type: ignore[no-any-return]  # the stub knows no types

    def write(self, value: Any = 1) -> str:
        self.ctx.storage.kv.put("a", value)
        return "ok"

    def write_alarm(self) -> str:
        self.ctx.storage.set_alarm(self.ctx.host.now_ms() + 3_600_000)
        return "ok"

    def alarm(self, info: Any) -> None: ...

    def write_unconfirmed(self) -> str:
        self.ctx.storage.put("a", 1, allow_unconfirmed=True)
        return "ok"

    async def write_unconfirmed_and_sync(self) -> str:
        self.ctx.storage.put("a", 1, allow_unconfirmed=True)
        await self.ctx.storage.sync()
        return "ok"

    async def sync(self) -> int:
        """When it was settled, on the clock; the answer itself waits for later writes as well."""
        await self.ctx.storage.sync()
        return self.ctx.host.now_ms() - 1_767_225_600_000  # type: ignore[no-any-return]  # untyped here

    def read(self) -> Any:
        return self.ctx.storage.kv.get("a")

    def nothing(self) -> str:
        return "nothing"

    def write_and_throw(self) -> None:
        self.memory += 1
        self.ctx.storage.kv.put("a", 1)
        raise ValueError("after the write")

    def recall(self) -> int:
        return self.memory

    async def before_and_after(self) -> str:
        self.log("before")
        self.ctx.storage.kv.put("a", 1)
        self.log("after")
        await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
        self.log("much later")
        return "ok"

    async def three_turns(self) -> str:
        for n in range(3):
            self.ctx.storage.kv.put("a", n)
            self.log(n)
            await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
        return "ok"

    async def split(self) -> None:
        self.ctx.storage.kv.put("a", 1)
        self.ctx.storage.sql.exec("CREATE TABLE t(x)")
        await self.ctx.storage.put("b", 1)
        await self.env.REMOTE.ping()
        self.ctx.storage.kv.put("c", 1)

    def break_keys(self) -> None:
        sql = self.ctx.storage.sql
        sql.exec("CREATE TABLE parent(id INTEGER PRIMARY KEY)")
        sql.exec("CREATE TABLE child(p REFERENCES parent(id) DEFERRABLE INITIALLY DEFERRED)")
        sql.exec("INSERT INTO child VALUES(1)")

    async def transact_and_send(self) -> str:
        async def body(txn: Any) -> None:
            await txn.put("a", 1)
            self.log("inside")
            await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn

        await self.ctx.storage.transaction(body)
        self.log("behind")
        return "ok"

    def random(self) -> int:
        return self.ctx.storage.sql.exec("SELECT random() AS r").one()["r"]

    async def after_reset(self) -> None:
        storage = self.ctx.storage
        await trio.sleep(1)
        storage.kv.put("late", 1)

    async def fetch(self, request: Request) -> Response:
        self.ctx.storage.kv.put("a", 1)
        if request.url.path.endswith("/fail"):
            raise ValueError("handler")
        return Response(200)


SLOW = {fault_label("slow-flush", "W/w", 0): 2}  # one second


def test_an_answer_leaves_when_its_write_is_durable(passes: Any) -> None:
    """OG-1, OG-6, LT-29: another event reads the write at once, and its answer waits as well."""

    async def drive(world: World) -> None:
        answers: list[tuple[str, float]] = []
        stub = world.env.W.get_by_name("w")
        for name, call in (("write", stub.write()), ("read", stub.read()), ("nothing", stub.nothing())):
            call.when_done(lambda result, name=name: answers.append((f"{name} {result.unwrap()}", world.now())))
        await world.settle()
        assert [a for a, _ in answers] == ["write ok", "read 1", "nothing nothing"]
        assert all(1 <= at < 1.1 for _, at in answers)

    assert passes(drive, plan=SLOW, W=Writer, LOG=Log).faults == {"slow-flush": 1}


def test_what_was_sent_before_the_write_does_not_wait_for_it(passes: Any) -> None:
    """OG-3, OG-9, OG-14, LT-28, RPC-4: and the rest waits, in order."""

    async def drive(world: World) -> None:
        call = world.env.W.get_by_name("w").before_and_after()
        log = world.env.LOG.get_by_name("l")
        await world.advance(0.5)
        assert await log.seen() == ["before"]
        await call
        assert await log.seen() == ["before", "after", "much later"]

    passes(drive, plan=SLOW, W=Writer, LOG=Log)


def test_each_effect_waits_for_the_writes_before_it(passes: Any) -> None:
    """OG-1, OG-2, OG-20: three turns, the second of which is slow."""

    async def drive(world: World) -> None:
        call = world.env.W.get_by_name("w").three_turns()
        log = world.env.LOG.get_by_name("l")
        await world.advance(0.5)
        assert await log.seen() == [0]
        assert await call == "ok"
        assert await log.seen() == [0, 1, 2]

    passes(drive, plan={fault_label("slow-flush", "W/w", 1): 2}, W=Writer, LOG=Log)


@pytest.mark.parametrize("method", ["write", "write_alarm", "write_unconfirmed", "write_unconfirmed_and_sync"])
def test_a_failed_flush_resets_and_nothing_gated_leaves(passes: Any, method: str) -> None:
    """OG-10, OG-12, OG-26, LC-35, LT-25, LT-31, LT-32."""

    async def drive(world: World) -> None:
        view = world.object("W", "w")
        view.fail_next_flush()
        stub = world.env.W.get_by_name("w")
        if method == "write_unconfirmed":
            assert await stub.write_unconfirmed() == "ok"
        else:
            error = await error_of(getattr(stub, method)())
            assert (str(error), flags(error)) == (FLUSH_ERROR, {"durable_object_reset"})
        await world.settle()
        assert str(await error_of(stub.read())) == FLUSH_ERROR
        assert await world.env.W.get_by_name("w").read() is None
        assert (view.incarnations, view.alarm_ms) == (2, None)

    passes(drive, W=Writer, LOG=Log)


def test_an_unconfirmed_write_holds_nothing_back(passes: Any) -> None:
    """OG-23, OG-26, LT-31, LT-32, LT-33: sync does, and lets others in meanwhile."""

    async def drive(world: World) -> None:
        stub = world.env.W.get_by_name("w")
        assert await stub.write_unconfirmed() == "ok"
        assert world.now() < 1
        synced, read = stub.sync(), stub.read()
        assert await read == 1
        assert world.now() < 1
        assert await synced == 1000
        assert await stub.sync() == 1000

    passes(drive, plan=SLOW, W=Writer, LOG=Log)


def test_sync_does_not_wait_for_later_writes(passes: Any) -> None:
    """OG-26."""

    async def drive(world: World) -> None:
        stub = world.env.W.get_by_name("w")
        stub.write_unconfirmed()
        synced = stub.sync()
        later = stub.write(2)
        assert await synced == 1000
        assert await later == "ok"
        assert world.now() >= 20

    passes(drive, plan={**SLOW, fault_label("slow-flush", "W/w", 1): 3}, W=Writer, LOG=Log)


def test_a_failed_flush_drops_what_waits_for_it_and_not_what_was_issued_before(passes: Any) -> None:
    """OG-3, OG-14, LT-26, LT-30."""

    async def drive(world: World) -> None:
        world.object("W", "w").fail_next_flush()
        error = await error_of(world.env.W.get_by_name("w").before_and_after())
        assert str(error) == FLUSH_ERROR
        await world.settle()
        assert await world.env.LOG.get_by_name("l").seen() == ["before"]

    passes(drive, W=Writer, LOG=Log)


def test_a_later_failure_spares_what_waited_for_earlier_commits(passes: Any) -> None:
    """OG-3, OG-20: the first commit is slow and durable, the second fails."""

    async def drive(world: World) -> None:
        error = await error_of(world.env.W.get_by_name("w").three_turns())
        assert str(error) == FLUSH_ERROR
        assert await world.env.LOG.get_by_name("l").seen() == [0]
        assert world.object("W", "w").storage.kv.get("a") == 0

    passes(drive, plan={**SLOW, fault_label("failed-flush", "W/w", 1): 1}, W=Writer, LOG=Log)


def test_an_error_overtakes_the_write_before_it_over_rpc(passes: Any) -> None:
    """OG-8, OG-18, LT-37, LT-40: it is not held; the write is kept, and so is memory."""

    async def drive(world: World) -> None:
        stub = world.env.W.get_by_name("w")
        error = await error_of(stub.write_and_throw())
        assert (type(error), flags(error)) == (ValueError, {"remote"})
        assert world.now() < 1
        assert (await stub.read(), await stub.recall()) == (1, 1)

    passes(drive, plan=SLOW, W=Writer, LOG=Log)


def test_an_error_waits_where_that_is_asked_for_and_always_by_fetch(passes: Any) -> None:
    """OG-8, OG 3.1, LT-40."""

    async def drive(world: World) -> None:
        error = await error_of(world.env.W.get_by_name("w").write_and_throw())
        assert (type(error), flags(error)) == (ValueError, {"remote"})
        assert world.now() >= 1

    passes(drive, plan=SLOW, options=WorldOptions(objects=MachineOptions(rpc_errors_wait=True)), W=Writer, LOG=Log)

    async def by_fetch(world: World) -> None:
        error = await error_of(world.env.W.get_by_name("w").fetch("https://w/fail"))
        assert (type(error), flags(error)) == (ValueError, {"remote"})
        assert world.now() >= 1

    passes(by_fetch, plan=SLOW, W=Writer, LOG=Log)


def test_a_failing_gate_replaces_the_error_of_a_fetch_handler(passes: Any) -> None:
    """LT-41, LC-45 a."""

    async def drive(world: World) -> None:
        world.object("W", "w").fail_next_flush()
        error = await error_of(world.env.W.get_by_name("w").fetch("https://w/fail"))
        assert (str(error), flags(error)) == (FLUSH_ERROR, {"durable_object_reset", "remote"})
        world.object("W", "w").fail_next_flush()
        error = await error_of(world.env.W.get_by_name("w").fetch("https://w/"))
        assert (str(error), flags(error)) == (FLUSH_ERROR, {"durable_object_reset", "remote"})

    passes(drive, W=Writer, LOG=Log)


def test_writes_of_one_turn_are_durable_together(passes: Any) -> None:
    """OG-15, OG-16, OG-17, OG-20, LT-34, LT-35, LT-36: a crash at each boundary leaves a prefix of turns."""
    found: list[tuple[Any, ...]] = []
    for boundary in range(6):

        async def drive(world: World) -> None:
            world.env.W.get_by_name("w").split()
            await world.settle()
            storage = world.object("W", "w").storage
            found.append(tuple(storage.kv.get(key) is not None for key in "abc"))
            tables = [row["name"] for row in storage.sql.exec("SELECT name FROM sqlite_schema WHERE name='t'")]
            assert bool(tables) == found[-1][0]

        slow = {fault_label("slow-flush", "W/w", nth): 2 for nth in range(3)}
        passes(drive, plan={**slow, fault_label("crash", "W/w", boundary): 1}, W=Writer, LOG=Log, REMOTE=Remote)
    assert set(found) == {(False, False, False), (True, True, True)} or (True, True, False) in found
    assert set(found) <= {(False, False, False), (True, True, False), (True, True, True)}
    assert (True, True, True) in found  # boundaries that the run does not reach
    assert (False, False, False) in found


def test_a_crash_after_the_first_turn_was_durable_keeps_it(passes: Any) -> None:
    """OG-17, LT-35."""

    async def drive(world: World) -> None:
        world.env.W.get_by_name("w").split()
        await world.advance(5)
        world.object("W", "w").crash()
        storage = world.object("W", "w").storage
        assert [storage.kv.get(key) for key in "abc"] == [1, 1, None]

    passes(drive, plan={fault_label("slow-flush", "W/w", 1): 3}, W=Writer, LOG=Log, REMOTE=Remote)


def test_an_acknowledged_write_survives_every_end_of_the_instance(passes: Any) -> None:
    """OG-14, LC 1.4: eviction, hibernation and crash keep what was acknowledged and lose memory."""

    async def drive(world: World) -> None:
        view = world.object("W", "w")
        for value, end in enumerate((view.evict, view.hibernate, view.crash, lambda: None)):
            stub = world.env.W.get_by_name("w")
            assert await stub.write(value) == "ok"
            await error_of(stub.write_and_throw())
            await stub.write(value)
            assert await stub.recall() > 0
            end()
            fresh = world.env.W.get_by_name("w")
            assert await fresh.read() == value
            assert await fresh.recall() == (0 if end.__name__ != "<lambda>" else 1)

    passes(drive, W=Writer, LOG=Log)


def test_an_unacknowledged_write_may_be_lost_and_its_caller_hears_it(passes: Any) -> None:
    """OG-14, LC-43: the answer was held, so the caller must hear something."""

    async def drive(world: World) -> None:
        call = world.env.W.get_by_name("w").write()
        await world.advance(0.5)
        assert not call.done
        world.object("W", "w").crash()
        assert flags(await error_of(call)) == {"retryable"}
        assert await world.env.W.get_by_name("w").read() is None

    passes(drive, plan=SLOW, W=Writer, LOG=Log)


def test_a_busy_object_is_not_evicted(passes: Any) -> None:
    """LC-15: unflushed writes keep it."""

    async def drive(world: World) -> None:
        call = world.env.W.get_by_name("w").write()
        await world.advance(0.5)
        with pytest.raises(Exception, match="busy"):
            world.object("W", "w").evict()
        with pytest.raises(Exception, match="busy"):
            world.object("W", "w").hibernate()
        assert await call == "ok"
        world.object("W", "w").evict()
        world.object("W", "w").evict()  # nothing is there to be evicted

    passes(drive, plan=SLOW, W=Writer, LOG=Log)


def test_an_object_is_idle_when_its_last_write_is_durable(passes: Any) -> None:
    """LC-14: and hibernates ten seconds later, though no turn follows."""

    async def drive(world: World) -> None:
        call = world.env.W.get_by_name("w").write()
        await world.advance(29)
        assert call.done
        assert world.object("W", "w").in_memory
        await world.advance(2)
        assert not world.object("W", "w").in_memory

    passes(drive, plan={fault_label("slow-flush", "W/w", 0): 3}, W=Writer, LOG=Log)


def test_violated_constraints_reset_at_the_end_of_the_turn(passes: Any) -> None:
    """OG-31."""

    async def drive(world: World) -> None:
        error = await error_of(world.env.W.get_by_name("w").break_keys())
        assert "constraints were violated: FOREIGN KEY constraint failed" in str(error)
        assert flags(error) == {"durable_object_reset"}
        assert await world.env.W.get_by_name("w").read() is None

    passes(drive, W=Writer, LOG=Log)


def test_a_transaction_locks_the_gate_when_it_commits(passes: Any) -> None:
    """OG-25: what is sent inside it does not wait for its writes, what is sent behind does."""

    async def drive(world: World) -> None:
        call = world.env.W.get_by_name("w").transact_and_send()
        await world.advance(0.5)
        assert await world.env.LOG.get_by_name("l").seen() == ["inside"]
        assert await call == "ok"
        assert await world.env.LOG.get_by_name("l").seen() == ["inside", "behind"]

    passes(drive, plan=SLOW, W=Writer, LOG=Log)


def test_a_dead_instance_reaches_nothing(passes: Any) -> None:
    """LC-39: its tasks do not run any more."""

    async def drive(world: World) -> None:
        call = world.env.W.get_by_name("w").after_reset()
        await world.advance(0.5)
        world.object("W", "w").crash()
        await error_of(call)
        await world.advance(5)
        assert world.object("W", "w").storage.kv.get("late") is None

    passes(drive, W=Writer, LOG=Log)


def test_randomness_in_sql_is_the_objects_own(passes: Any) -> None:
    """The same in every run."""
    drawn: list[int] = []

    async def drive(world: World) -> None:
        drawn.append(await world.env.W.get_by_name("w").random())
        drawn.append(await world.env.W.get_by_name("other").random())

    passes(drive, W=Writer)
    passes(drive, W=Writer)
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_what_is_sent_through_a_socket_passes_the_gate(passes: Any, page: Any) -> None:
    """OG-9, OG-10, LT-27, LT-28, WS-25, WS-31: before the write at once, behind it when that is durable, or never."""

    class Room(DurableObject):
        def fetch(self, request: Request) -> Response:
            client, server = WebSocketPair()
            self.ctx.accept_web_socket(server)
            return Response(101, web_socket=client)

        def web_socket_message(self, ws: Any, message: str) -> None:
            ws.send("before")
            self.ctx.storage.kv.put("a", message)
            ws.send("after")

    async def drive(world: World) -> None:
        tab = page(world, "ROOM", "r")
        await world.settle()
        tab.send("one")
        await world.advance(0.5)
        assert tab.got == ["before"]
        await world.settle()
        assert tab.got == ["before", "after"]
        world.object("ROOM", "r").fail_next_flush()
        tab.send("two")
        await world.settle()
        assert tab.got == ["before", "after", "before"]
        assert tab.closed == (1006, "", False)

    passes(drive, plan={fault_label("slow-flush", "ROOM/r", 0): 2}, ROOM=Room)


def test_many_writers_and_a_crash_anywhere_lose_no_acknowledged_write(roams: Any) -> None:
    """OG-14, OG-20: in drawn orders, with a crash by hand in the middle."""

    class Journal(DurableObject):
        async def add(self, n: int) -> int:
            self.ctx.storage.kv.put(f"k{n}", n)
            await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
            return n

    async def drive(world: World) -> None:
        acknowledged: list[int] = []
        calls = [world.env.J.get_by_name("j").add(n) for n in range(6)]
        for call in calls:
            call.when_done(lambda result: acknowledged.append(result.value) if hasattr(result, "value") else None)
        await calls[0]
        world.object("J", "j").crash()
        await world.settle()
        kept = {value for _, value in world.object("J", "j").storage.kv.list()}
        assert set(acknowledged) <= kept

    roams(drive, J=Journal, schedules=20)


def test_gathering_storage_operations_keeps_the_turn(passes: Any) -> None:
    """IG-10: they are settled already."""

    class Room(DurableObject):
        async def go(self) -> list[Any]:
            puts = [self.ctx.storage.put(key, key) for key in "abc"]
            await gather(*puts)
            return await gather(*(self.ctx.storage.get(key) for key in "abc"))

    async def drive(world: World) -> None:
        assert await world.env.ROOM.get_by_name("r").go() == ["a", "b", "c"]

    passes(drive, ROOM=Room)

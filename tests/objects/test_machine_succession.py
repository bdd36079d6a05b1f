"""One instance after another: deploy, relocation, exhausted limits, the last word (LC-10 to LC-45)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeWorker, WorkerEntrypoint, World, WorldOptions
from lumenize_sim.errors import UsageError
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.objects import Pending, Request, Response, WebSocketPair
from lumenize_sim.objects.life import Life
from lumenize_sim.objects.options import EXPLORED, MachineOptions

GONE = "Connection closed: this Durable Object instance is no longer active. Reconnect or retry the request."
UPDATED = "Durable Object reset because its code was updated."
INACCESSIBLE = "Durable Object storage is no longer accessible."


def flags(error: BaseException) -> set[str]:
    return {n for n in ("remote", "retryable", "overloaded", "durable_object_reset") if hasattr(error, n)}


async def error_of(pending: Pending[Any]) -> BaseException:
    try:
        value = await pending
    except Exception as error:
        return error
    raise AssertionError(f"{value!r} instead of an error")


class Old(DurableObject):
    version = 1
    log: list[Any] = []

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.memory: Any = None
        Old.log.append(f"new {type(self).__name__}")

    def which(self) -> int:
        return self.version

    def remember(self, value: Any) -> None:
        self.memory = value
        self.ctx.storage.kv.put("value", value)

    def recall(self) -> list[Any]:
        return [self.memory, self.ctx.storage.kv.get("value")]

    async def compute(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return f"computed by {self.version}"

    async def store(self, seconds: float) -> str:
        await trio.sleep(seconds)
        self.ctx.storage.kv.put("late", True)
        return "stored"

    async def stubborn(self, seconds: float) -> list[str]:
        said = []
        await trio.sleep(seconds)
        for _ in range(2):
            try:
                await self.ctx.storage.put("late", True)
            except Exception as error:
                said.append(str(error))
        await trio.sleep(0.1)
        return said

    async def call_out(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return str(await self.env.OTHER.get_by_name("o").which())

    def tick(self) -> None:
        self.ctx.set_interval(lambda: Old.log.append("tick"), 1)

    def set_alarm(self, seconds: float) -> None:
        self.ctx.storage.set_alarm(self.ctx.now() + round(seconds * 1000))

    async def alarm(self, info: Any) -> None:
        Old.log.append(f"alarm {type(self).__name__} {info.retry_count}")
        await trio.sleep(5)
        self.ctx.storage.kv.put("alarmed", type(self).__name__)

    def fetch(self, request: Request) -> Response:
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(101, web_socket=client)

    def web_socket_message(self, ws: Any, message: Any) -> None:
        ws.send(f"{message} to {self.version}")

    def own_name(self) -> str | None:
        return self.ctx.id.name


class New(Old):
    version = 2


class Remote(LumenizeWorker):
    def which(self) -> int:
        return 1


class PlainRemote(WorkerEntrypoint):
    def which(self) -> int:
        return 3


class NewRemote(LumenizeWorker):
    def which(self) -> int:
        return 2


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Old.log = []


# ------------------------------------------------------------------------------------------- deploy


def test_a_deploy_replaces_every_instance(passes: Any) -> None:
    """LC-25, LC-28, table 1.4: memory is lost, storage kept; new stubs reach the new code, used ones nothing."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        await stub.remember("x")
        untouched = world.env.D.get_by_name("d")
        world.deploy("D", New)
        assert world.object("D", "d").life is Life.INACTIVE
        assert await world.env.D.get_by_name("d").recall() == [None, "x"]
        assert await untouched.which() == 2
        assert await world.env.D.get_by_name("another").which() == 2
        error = await error_of(stub.which())
        assert (str(error), flags(error)) == (GONE, {"retryable"})

    passes(drive, D=Old)


def test_what_is_in_flight_finishes_without_storage(passes: Any) -> None:
    """LC-11, LC-12, LC-26, LC-39, LT-85, LT-87: within thirty seconds, and beside the new instance."""

    async def drive(world: World) -> None:
        stubs = [world.env.D.get_by_name("d") for _ in range(5)]
        computing, storing = stubs[0].compute(20), stubs[1].store(10)
        stubborn, calling, long = stubs[2].stubborn(5), stubs[3].call_out(5), stubs[4].compute(40)
        await world.advance(1)
        view = world.object("D", "d")
        world.deploy("D", New)
        assert (view.stale, view.in_memory) == (1, False)
        began = world.now()
        assert await world.env.D.get_by_name("d").which() == 2
        assert world.now() == began, "it does not wait for the old one"
        assert await stubborn == [INACCESSIBLE, INACCESSIBLE]
        error = await error_of(storing)
        assert (str(error), flags(error)) == (INACCESSIBLE, {"remote", "retryable"})
        assert await calling == "2"
        assert await computing == "computed by 1"
        error = await error_of(long)
        assert (str(error), flags(error)) == (UPDATED, {"durable_object_reset"})
        assert 29 < world.now() - began < 31
        assert view.stale == 0
        assert view.storage.kv.get("late") is None

    passes(drive, D=Old, OTHER=New)


def test_without_a_grace_what_is_in_flight_ends_at_once(passes: Any) -> None:
    """LC-26: documentation of 2026 may be read so."""

    async def drive(world: World) -> None:
        computing = world.env.D.get_by_name("d").compute(20)
        await world.advance(1)
        world.deploy("D")
        assert str(await error_of(computing)) == UPDATED
        assert world.now() < 2

    passes(drive, options=WorldOptions(objects=MachineOptions(deploy_grace_s=0)), D=Old)


def test_a_replaced_instance_without_requests_ends_at_once(passes: Any) -> None:
    """LC-26: timers and the work behind an answer are no requests."""

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").tick()
        await world.advance(2.5)
        world.deploy("D")
        assert (world.object("D", "d").stale, Old.log.count("tick")) == (0, 2)
        await world.advance(10)
        assert Old.log.count("tick") == 2

    passes(drive, D=Old)


def test_a_deploy_cuts_every_socket(passes: Any, page: Any) -> None:
    """LC-20, LC-27, LT-85: also of an object that hibernates."""

    async def drive(world: World) -> None:
        tabs = [page(world, "D", name) for name in ("awake", "asleep")]
        await world.settle()
        world.object("D", "asleep").hibernate()
        assert world.object("D", "asleep").life is Life.HIBERNATED
        world.deploy("D", New)
        await world.settle()
        assert [tab.closed[0] for tab in tabs] == [1006, 1006]
        assert world.object("D", "asleep").life is Life.INACTIVE
        tab = page(world, "D", "awake")
        await world.settle()
        tab.send("hello")
        await world.settle()
        assert tab.got == ["hello to 2"]

    passes(drive, D=Old)


def test_an_evicted_hibernating_object_loses_its_sockets(passes: Any, page: Any) -> None:
    """LC-20."""

    async def drive(world: World) -> None:
        tab = page(world, "D", "d")
        await world.settle()
        view = world.object("D", "d")
        view.hibernate()
        view.evict()
        await world.settle()
        assert (view.sockets, tab.closed[0]) == (0, 1006)
        view.evict()

    passes(drive, D=Old)


def test_a_deploy_may_take_its_time(passes: Any) -> None:
    """LC-25: both versions live side by side, each object has one."""

    async def drive(world: World) -> None:
        names = [f"d{nth}" for nth in range(12)]
        for name in names:
            await world.env.D.get_by_name(name).which()
        world.deploy("D", New, within_s=60)
        await world.advance(30)
        versions = [await world.env.D.get_by_name(name).which() for name in names]
        assert {*versions} == {1, 2}
        await world.advance(31)
        assert [await world.env.D.get_by_name(name).which() for name in names] == [2] * 12

    passes(drive, D=Old)


def test_a_worker_is_deployed_for_calls_to_come(passes: Any) -> None:
    """LC-25."""

    async def drive(world: World) -> None:
        assert await world.env.W.which() == 1
        world.deploy("W", NewRemote)
        assert await world.env.W.which() == 2
        world.deploy("W", PlainRemote)
        assert await world.env.W.which() == 3

    passes(drive, W=Remote)


def test_what_cannot_be_deployed_is_refused(passes: Any) -> None:
    """The author of the test is to blame."""

    async def drive(world: World) -> None:
        with pytest.raises(UsageError, match=r"no binding 'X'"):
            world.deploy("X", New)
        for other in (NewRemote, PlainRemote, "New"):
            with pytest.raises(UsageError, match=r"a class of the same kind"):
                world.deploy("D", other)
        with pytest.raises(UsageError, match=r"use 0 or more"):
            world.deploy("D", New, within_s=-1)

    passes(drive, D=Old)


def test_an_alarm_that_a_deploy_cuts_off_runs_again(passes: Any) -> None:
    """AL-28: from the start, on the new instance, and it costs no retry."""

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").set_alarm(1)
        await world.advance(2)
        assert Old.log == ["new Old", "alarm Old 0"]
        world.deploy("D", New)
        await world.advance(20)
        assert Old.log == ["new Old", "alarm Old 0", "new New", "alarm New 0"]
        view = world.object("D", "d")
        assert (view.storage.kv.get("alarmed"), view.alarm_ms) == ("New", None)

    passes(drive, D=Old)


# ------------------------------------------------------------------------------------------- relocation


def test_a_stale_instance_may_finish_unaware(passes: Any) -> None:
    """LC-10 to LC-12, LT-87: for as long as it takes, as long as it leaves storage alone."""

    async def drive(world: World) -> None:
        computing = world.env.D.get_by_name("d").compute(100)
        storing = world.env.D.get_by_name("d").store(100)
        await world.advance(1)
        view = world.object("D", "d")
        view.relocate()
        other = world.env.D.get_by_name("d")
        await other.remember("elsewhere")
        assert (view.in_memory, view.stale) == (True, 1)
        assert await computing == "computed by 1"
        assert str(await error_of(storing)) == INACCESSIBLE
        assert (view.stale, view.storage.kv.get("late")) == (0, None)
        assert await other.recall() == [None, "elsewhere"] or world.now() > 10

    passes(drive, D=Old)


def test_an_idle_object_that_moves_leaves_nothing_behind(passes: Any) -> None:
    """LC-10."""

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").remember("x")
        view = world.object("D", "d")
        view.relocate()
        assert (view.stale, view.life) == (0, Life.INACTIVE)
        view.relocate()
        assert await world.env.D.get_by_name("d").recall() == [None, "x"]

    passes(drive, D=Old)


def test_what_was_written_before_is_durable_when_another_takes_over(passes: Any) -> None:
    """LC-12: the answer that waited for it leaves."""

    async def drive(world: World) -> None:
        view = world.object("D", "d")
        view.slow_next_flush(5)
        writing = world.env.D.get_by_name("d").remember("x")
        await world.advance(1)
        view.relocate()
        await writing
        assert world.now() < 2
        assert await world.env.D.get_by_name("d").recall() == [None, "x"]
        await world.advance(10)

    passes(drive, D=Old)


# ------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "verb, message, overloaded",
    [
        ("exceed_cpu", "Durable Object exceeded its CPU time limit and was reset.", False),
        ("exceed_memory", "Durable Object's isolate exceeded its memory limit and was reset.", True),
    ],
)
def test_an_exhausted_limit_resets(passes: Any, verb: str, message: str, overloaded: bool) -> None:
    """LC-36, LC-37, LC-44: whoever waits is told, and so is a stub that was used."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        computing = stub.compute(20)
        await world.advance(1)
        getattr(world.object("D", "d"), verb)()
        for call in (computing, stub.which()):
            error = await error_of(call)
            assert str(error) == message
            assert flags(error) == {"durable_object_reset"} | ({"overloaded"} if overloaded else set())
        assert await world.env.D.get_by_name("d").which() == 1

    passes(drive, D=Old)


@pytest.mark.parametrize("isolates, gone", [("object", "a"), ("binding", "ab"), ("world", "abo")])
def test_memory_is_of_the_isolate(passes: Any, isolates: str, gone: str) -> None:
    """LC-13, LC-37: which objects share one is an option."""

    async def drive(world: World) -> None:
        views = {"a": world.object("D", "a"), "b": world.object("D", "b"), "o": world.object("OTHER", "o")}
        for binding, name in (("D", "a"), ("D", "b"), ("OTHER", "o")):
            await getattr(world.env, binding).get_by_name(name).which()
        views["a"].exceed_memory()
        await world.settle()
        assert "".join(name for name, view in views.items() if not view.in_memory) == gone

    passes(drive, options=WorldOptions(isolates=isolates), D=Old, OTHER=New)
    with pytest.raises(UsageError, match="isolates='none' is unknown"):
        WorldOptions(isolates="none")


def test_an_overloaded_object_refuses_and_does_not_run(passes: Any) -> None:
    """LC-38, LC-40, LC-44: by RPC and by fetch, for one of four reasons; the object lives on."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        await stub.remember("x")
        view = world.object("D", "d")
        said = []
        for reason in (1, 2, 3, 4):
            view.refuse_next_call(reason)
            error = await error_of(stub.remember("y") if reason % 2 else stub.fetch("https://d/"))
            assert flags(error) == {"overloaded"}
            said.append(str(error).removeprefix("Durable Object is overloaded. "))
        assert said == [
            "Too many requests queued.",
            "Too much data queued.",
            "Requests queued for too long.",
            "Too many requests for the same object within a 10 second window.",
        ]
        assert await stub.recall() == ["x", "x"]
        with pytest.raises(UsageError, match="no reason 5"):
            view.refuse_next_call(5)

    passes(drive, D=Old)


@pytest.mark.parametrize("kind, value", [("relocate", 1), ("deploy", 1), ("cpu-limit", 1), ("memory-limit", 1)])
@pytest.mark.parametrize("boundary", range(3))
def test_planned_ends_lose_no_acknowledged_write(passes: Any, kind: str, value: int, boundary: int) -> None:
    """LC-12, LC-25, LC-36, LC-37: between any two turns."""

    async def drive(world: World) -> None:
        for value in range(3):
            failed = None
            try:
                await world.env.D.get_by_name("d").remember(value)
            except Exception as error:
                failed = error
            if failed is None:
                assert (await world.env.D.get_by_name("d").recall())[1] == value
            else:
                assert flags(failed)

    outcome = passes(drive, plan={fault_label(kind, "D/d", boundary): value}, D=Old)
    assert outcome.faults == {kind: 1}


def test_a_planned_overload_is_counted_by_call(passes: Any) -> None:
    """LC-38."""

    async def drive(world: World) -> None:
        stub = world.env.D.get_by_name("d")
        await stub.which()
        error = await error_of(stub.which())
        assert str(error) == "Durable Object is overloaded. Requests queued for too long."
        await stub.which()

    assert passes(drive, plan={fault_label("overload", "D/d", 1): 3}, D=Old).faults == {"overload": 1}


# ------------------------------------------------------------------------------------------- the last word


class Closing(Old):
    mood = "writes"

    async def pre_shutdown(self, info: Any) -> None:
        Old.log.append(f"shutdown {info.reason}")
        if Closing.mood == "raises":
            raise ValueError("no last word")
        if Closing.mood == "aborts":
            self.ctx.abort("the very last")
        await trio.sleep(60 if Closing.mood == "dawdles" else 2)
        self.ctx.storage.kv.put("said", "goodbye")
        Old.log.append("said")


@pytest.mark.parametrize("end, reason", [("hibernate", "inactive"), ("evict", "inactive"), ("deploy", "codeUpdated")])
def test_the_last_word_is_durable_before_the_next_constructor(passes: Any, end: str, reason: str) -> None:
    """LC-23: and what arrives meanwhile waits for the next instance."""
    Closing.mood = "writes"

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").remember("x")
        view = world.object("D", "d")
        began = world.now()
        world.deploy("D") if end == "deploy" else getattr(view, end)()
        calls = [world.env.D.get_by_name("d").recall() for _ in range(2)]
        assert [await call for call in calls] == [[None, "x"]] * 2
        assert view.storage.kv.get("said") == "goodbye"
        assert world.now() - began == pytest.approx(2, abs=0.01)
        assert Old.log == ["new Closing", f"shutdown {reason}", "said", "new Closing"]

    passes(drive, D=Closing)


def test_the_last_word_of_an_idle_object_comes_by_itself(passes: Any) -> None:
    """LC-14, LC-23."""
    Closing.mood = "writes"

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").which()
        await world.advance(30)
        assert Old.log == ["new Closing", "shutdown inactive", "said"]
        assert not world.object("D", "d").in_memory

    passes(drive, D=Closing)


@pytest.mark.parametrize("mood, ended_s", [("raises", 0), ("dawdles", 10), ("aborts", 0)])
def test_whatever_the_last_word_does_the_end_comes(passes: Any, mood: str, ended_s: int) -> None:
    """LC-23: ten seconds at most; a failure is logged and ignored."""
    Closing.mood = mood

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").remember("x")
        began = world.now()
        world.object("D", "d").hibernate()
        assert await world.env.D.get_by_name("d").recall() == [None, "x"]
        assert world.now() - began == pytest.approx(ended_s, abs=0.01)
        assert Old.log == ["new Closing", "shutdown inactive", "new Closing"]
        assert ["no last word" in line for line in world.errors_logged] == [True] * (mood == "raises")

    passes(drive, D=Closing)


def test_a_crash_leaves_no_time_for_a_last_word(passes: Any) -> None:
    """LC-23: also where it has begun."""
    Closing.mood = "dawdles"

    async def drive(world: World) -> None:
        await world.env.D.get_by_name("d").which()
        view = world.object("D", "d")
        view.crash()
        await world.env.D.get_by_name("d").which()
        assert Old.log == ["new Closing", "new Closing"]
        view.hibernate()
        await world.advance(1)
        waiting = world.env.D.get_by_name("d").which()
        await world.advance(1)
        view.crash()
        assert await waiting == 1
        await world.advance(9)

    passes(drive, D=Closing)


# ------------------------------------------------------------------------------------------- what a reset leaves


class Aborting(Old):
    def write_and_die(self) -> None:
        self.ctx.storage.kv.put("value", "flushed?")
        self.ctx.set_timeout(lambda: self.ctx.abort("later"), 1)


@pytest.mark.parametrize("survives", [False, True])
def test_a_flush_under_way_at_an_abort_may_arrive(passes: Any, survives: bool) -> None:
    """LC-33: the caller cannot know."""

    async def drive(world: World) -> None:
        view = world.object("D", "d")
        view.slow_next_flush(10)
        error = await error_of(world.env.D.get_by_name("d").write_and_die())
        assert str(error) == "later"
        assert view.storage.kv.get("value") == ("flushed?" if survives else None)

    passes(drive, options=WorldOptions(objects=MachineOptions(flush_survives_reset=survives)), D=Aborting)


def test_a_failed_flush_does_not_survive(passes: Any) -> None:
    """LC-33, OG-10."""

    async def drive(world: World) -> None:
        view = world.object("D", "d")
        view.fail_next_flush()
        await error_of(world.env.D.get_by_name("d").remember("x"))
        assert view.storage.kv.get("value") is None

    passes(drive, options=WorldOptions(objects=MachineOptions(flush_survives_reset=True)), D=Old)


def test_open_points_can_be_explored(passes: Any) -> None:
    """Section 12: each run draws its value, the default where nothing is planned."""

    async def drive(world: World) -> None:
        assert world.options.objects.deploy_grace_s == 30
        assert world.options.objects.flush_survives_reset is False

    options = MachineOptions(deploy_grace_s=EXPLORED, flush_survives_reset=EXPLORED, reset_on_throw=EXPLORED)
    passes(drive, options=WorldOptions(objects=options), D=Old)


@pytest.mark.parametrize("seconds, resets", [(29, False), (31, True), (1e6, True)])
def test_an_output_lock_lasts_thirty_seconds(passes: Any, seconds: float, resets: bool) -> None:
    """OG-5, LC-44, LT-44."""

    async def drive(world: World) -> None:
        view = world.object("D", "d")
        view.slow_next_flush(seconds)
        call = world.env.D.get_by_name("d").remember("x")
        if not resets:
            await call
            return
        error = await error_of(call)
        assert str(error) == "Durable Object storage operation exceeded timeout which caused object to be reset."
        assert flags(error) == {"durable_object_reset", "overloaded"}
        assert world.now() == pytest.approx(30, abs=0.1)
        assert await world.env.D.get_by_name("d").recall() == [None, None]

    passes(drive, D=Old)


def test_an_unconfirmed_write_may_take_long_and_what_follows_may_not(passes: Any) -> None:
    """OG-5, OG-20, OG-23: the lock of a commit behind a slow one lasts as long as that one."""

    class Unconfirmed(Old):
        async def both(self) -> str:
            self.ctx.storage.put("a", 1, allow_unconfirmed=True)
            await trio.sleep(1)
            self.ctx.storage.kv.put("b", 1)
            return "both"

    async def drive(world: World) -> None:
        world.object("D", "d").slow_next_flush(100)
        error = await error_of(world.env.D.get_by_name("d").both())
        assert flags(error) == {"durable_object_reset", "overloaded"}
        assert world.now() == pytest.approx(31, abs=0.1)

    passes(drive, D=Unconfirmed)


# ------------------------------------------------------------------------------------------- whose id


def test_the_id_is_that_of_the_stub_whose_event_built_the_instance(passes: Any) -> None:
    """LC-5: until the next instance."""

    async def drive(world: World) -> None:
        namespace = world.env.D
        nameless = namespace.get(namespace.id_from_string(str(namespace.id_from_name("d"))))
        view = world.object("D", "d")
        assert await nameless.own_name() is None
        assert await namespace.get_by_name("d").own_name() is None
        view.evict()
        assert await namespace.get_by_name("d").own_name() == "d"
        assert await nameless.own_name() == "d"
        view.evict()
        assert await namespace.get_by_name("d").own_name() == "d"
        assert await namespace.get_by_name("").own_name() == ""

    passes(drive, D=Old)


def test_a_name_and_its_id_are_one_object_and_any_id_may_be_called(passes: Any) -> None:
    """LC-2, LC-6, LC-7, LC-8, LC-9: there is no way to ask whether it exists; untouched storage is empty."""

    async def drive(world: World) -> None:
        namespace = world.env.D
        await namespace.get_by_name("d").remember("x")
        assert await namespace.get(namespace.id_from_name("d")).recall() == ["x", "x"]
        unique = namespace.new_unique_id(jurisdiction="eu")
        assert (len(str(unique)), unique.name, unique.equals(namespace.new_unique_id())) == (64, None, False)
        assert await namespace.jurisdiction("eu").get(unique, location_hint="weur").recall() == [None, None]
        assert [view for view in dir(namespace) if "exist" in view] == []

    passes(drive, D=Old)

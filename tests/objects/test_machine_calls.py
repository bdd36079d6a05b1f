"""Calls between plain objects and Workers: order, values, errors, what may be reached (RPC-*, LC-45)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, LumenizeDO, LumenizeWorker, World, WorldOptions, gather, mesh
from lumenize_sim.clone import RangeError
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.objects import Pending, Request, Response
from lumenize_sim.objects.options import MachineOptions
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import DurableObjectError

request_var: ContextVar[str] = ContextVar("request", default="nobody")


def flags(error: BaseException) -> set[str]:
    return {n for n in ("remote", "retryable", "overloaded", "durable_object_reset") if hasattr(error, n)}


async def error_of(pending: Pending[Any]) -> BaseException:
    try:
        value = await pending
    except Exception as error:
        return error
    raise AssertionError(f"{value!r} instead of an error")


WORKERD = WorldOptions(runtime="workerd")
#: Whether a caller over RPC sees that user code has thrown what reset the object: production says so, workerd does not.
REMOTE = [("production", {"remote"}), ("workerd", set())]


class MyError(ValueError):
    pass


class Target(DurableObject):
    """Something to call."""

    constant = 5

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[Any] = []
        self.memory = 0
        self.on_instance = lambda: "reached"

    def note(self, value: Any) -> list[Any]:
        self.memory += 1
        self.log.append(value)
        return self.log

    async def note_later(self, value: Any, wait_s: float) -> list[Any]:
        self.log.append(f"begin {value}")
        await trio.sleep(wait_s)
        self.log.append(f"end {value}")
        return [value]

    def echo(self, value: Any) -> Any:
        return value

    def seen(self) -> list[Any]:
        return self.log

    def fail(self, how: str) -> None:
        self.memory += 1
        errors = {
            "type": TypeError("t"),
            "mine": MyError("m"),
            "key": KeyError("k"),
            "range": RangeError("r"),
            "odd": UnicodeDecodeError("utf-8", b"x", 0, 1, "odd"),
            "no-args": _Stubborn("gone"),
        }
        raise errors[how]

    def sql(self) -> None:
        self.ctx.storage.sql.exec("BEGIN")

    async def abort(self, reason: Any = None) -> None:
        self.memory = 1
        self.ctx.storage.kv.put("a", 1)
        try:
            self.ctx.abort(reason)
        except Exception:
            Target.resumed.append("except")
        Target.resumed.append("went on")

    async def abort_in_nursery(self) -> None:
        async def child() -> None:
            await trio.lowlevel.checkpoint()
            self.ctx.abort("nursery")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            await trio.sleep_forever()

    async def abort_in_nursery_body(self) -> None:
        async with trio.open_nursery():
            self.ctx.abort("nursery")

    async def interrupt(self) -> None:
        async with trio.open_nursery():
            raise KeyboardInterrupt

    def abort_error(self) -> None:
        self.ctx.abort(TypeError("e1"))

    async def relay_abort(self) -> None:
        await self.env.TARGET.get_by_name("other").abort("x")

    def get_memory(self) -> int:
        return self.memory

    async def overlap(self) -> int:
        self.memory += 1
        await trio.sleep(1)
        return self.memory

    async def hidden_result(self) -> Any:
        return object()

    def fetch(self, request: Request) -> Any:
        if request.url.path.endswith("/fail"):
            raise TypeError("in fetch")
        if request.url.path.endswith("/abort"):
            self.ctx.abort("in fetch")
        return Response(200, request.text.upper(), {"x-method": request.method})

    def alarm(self, info: Any) -> None: ...
    def web_socket_message(self, ws: Any, message: Any) -> None: ...
    @staticmethod
    def static() -> str:
        return "reached"

    @classmethod
    def of_class(cls) -> str:
        return "reached"

    def _private(self) -> str:
        return "reached"

    @property
    def prop(self) -> str:
        return "value"

    class Inner:
        pass

    resumed: list[str] = []


class _Stubborn(BaseExceptionGroup[Exception], Exception):  # type: ignore[misc]  # an Exception that cannot be remade
    def __new__(cls, text: str) -> Any:
        return super().__new__(cls, text, [ValueError()])

    def __init__(self, text: str) -> None:
        super().__init__()


class Bare(DurableObject):
    """Has nothing."""


# ------------------------------------------------------------------------------------------- order


def test_calls_of_one_stub_begin_in_the_order_made(passes: Any, roams: Any) -> None:
    """RPC-1, LT-66: on a cold object too, in every order of everything else."""

    async def drive(world: World) -> None:
        stub = world.env.TARGET.get_by_name("t")
        assert (await gather(*(stub.note(n) for n in range(30))))[-1] == list(range(30))

    passes(drive, TARGET=Target)
    roams(drive, TARGET=Target, schedules=15)


def test_nothing_orders_two_stubs(roams: Any) -> None:
    """RPC-2, LT-66: both orders are met, and only they."""
    met: set[tuple[Any, ...]] = set()

    async def drive(world: World) -> None:
        one, two = world.env.TARGET.get_by_name("t"), world.env.TARGET.get_by_name("t")
        await gather(one.note(1), two.note(2))
        met.add(tuple(await world.env.TARGET.get_by_name("t").seen()))

    roams(drive, TARGET=Target)
    assert met == {(1, 2), (2, 1)}


def test_answers_come_as_they_are_ready(passes: Any) -> None:
    """RPC-3, RPC-10: the order of delivery is not that of completion."""

    async def drive(world: World) -> None:
        stub = world.env.TARGET.get_by_name("t")
        arrived: list[str] = []
        calls = [stub.note_later("slow", 3), stub.note_later("quick", 1)]
        for call, name in zip(calls, ("slow", "quick"), strict=True):
            call.when_done(lambda _, name=name: arrived.append(name))
        await gather(*calls)
        assert arrived == ["quick", "slow"]
        assert await stub.seen() == ["begin slow", "begin quick", "end quick", "end slow"]

    passes(drive, TARGET=Target)


def test_operations_act_when_called(passes: Any) -> None:
    """RPC-23: awaited later, many times, or never; an unawaited call is sent."""

    async def drive(world: World) -> None:
        stub = world.env.TARGET.get_by_name("t")
        later = stub.echo("x")
        stub.note("never awaited")
        await world.settle()
        assert later.done
        assert [await later, await later] == ["x", "x"]
        assert await stub.seen() == ["never awaited"]
        assert await gather() == []
        with pytest.raises(TypeError):
            await gather(stub.echo(1), stub.fail("type"))
        assert "Pending" in repr(later)

    passes(drive, TARGET=Target)


def test_two_may_await_one_result(passes: Any) -> None:
    async def drive(world: World) -> None:
        call = world.env.TARGET.get_by_name("t").echo("x")
        found: list[str] = []

        async def wait() -> None:
            found.append(await call)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
            with trio.move_on_after(0.001):
                await call
        assert found == ["x", "x"]

    passes(drive, TARGET=Target)


# ------------------------------------------------------------------------------------------- values


def test_arguments_are_snapshots_of_the_call(passes: Any) -> None:
    """RPC-6, RPC-7, LT-67."""

    class Caller(DurableObject):
        async def go(self) -> Any:
            value = {"x": 1}
            call = self.env.TARGET.get_by_name("t").echo(value)
            value["x"] = 2
            result = await call
            result["x"] += 10
            return value["x"], result["x"]

    async def drive(world: World) -> None:
        assert await world.env.CALLER.get_by_name("c").go() == [2, 11]

    passes(drive, CALLER=Caller, TARGET=Target)


def test_results_are_snapshots_of_their_turn(passes: Any) -> None:
    """RPC-6: what a later event changes is not seen, though the flush was slow."""

    class Room(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.shared = ["first"]

        def write(self) -> list[str]:
            self.ctx.storage.kv.put("a", 1)
            return self.shared

        def change(self) -> None:
            self.shared.append("later")

    async def drive(world: World) -> None:
        room = world.env.ROOM.get_by_name("r")
        assert await gather(room.write(), room.change()) == [["first"], None]

    passes(drive, plan={fault_label("slow-flush", "ROOM/r", 0): 2}, ROOM=Room)


def test_what_cannot_cross_fails_where_it_was_sent(passes: Any) -> None:
    """RPC-15, RPC-16: an argument at the caller, a result at the callee."""

    async def drive(world: World) -> None:
        stub = world.env.TARGET.get_by_name("t")
        refused = await error_of(stub.note(object()))
        assert "remote" not in flags(refused)
        assert not world.object("TARGET", "t").in_memory
        assert "remote" in flags(await error_of(stub.hidden_result()))

    passes(drive, TARGET=Target)


# ------------------------------------------------------------------------------------------- reach


@pytest.mark.parametrize(
    "name, text",
    [
        ("missing", 'The RPC receiver does not implement the method "missing".'),
        ("on_instance", 'The RPC receiver does not implement the method "on_instance".'),
        ("log", 'The RPC receiver does not implement the method "log".'),
        ("ctx", 'The RPC receiver does not implement the method "ctx".'),
        ("static", 'The RPC receiver does not implement the method "static".'),
        ("of_class", 'The RPC receiver does not implement the method "of_class".'),
        ("Inner", 'The RPC receiver does not implement the method "Inner".'),
        ("_private", 'The RPC receiver does not implement the method "_private".'),
        ("__init__", 'The RPC receiver does not implement the method "__init__".'),
        ("__class__", 'The RPC receiver does not implement the method "__class__".'),
        ("_execute_operation", 'The RPC receiver does not implement the method "_execute_operation".'),
        ("constant", '"constant" is not a function.'),
        ("prop", '"prop" is not a function.'),
        ("alarm", "'alarm' is a reserved method and cannot be called over RPC."),
        ("web_socket_message", "'web_socket_message' is a reserved method and cannot be called over RPC."),
        ("webSocketClose", "'webSocketClose' is a reserved method and cannot be called over RPC."),
        ("constructor", "'constructor' is a reserved method and cannot be called over RPC."),
        ("dup", "'dup' is a reserved method and cannot be called over RPC."),
    ],
)
def test_only_public_methods_of_the_class_are_reached(passes: Any, name: str, text: str) -> None:
    """RPC-13, RPC-14: the callee refuses, after its constructor has run."""

    async def drive(world: World) -> None:
        error = await error_of(world.env.TARGET.get_by_name("t").call(name))
        assert (type(error), str(error), flags(error)) == (TypeError, text, {"remote"})
        assert world.object("TARGET", "t").incarnations == 1

    passes(drive, TARGET=Target)


def test_stubs_have_no_private_names() -> None:
    """RPC-14."""
    from lumenize_sim.objects.namespace import DurableObjectNamespace, ServiceBinding

    calls: list[str] = []

    class Recorder:
        def call(self, stub: Any, method: str, args: Any) -> Any:
            calls.append(method)

        def fetch(self, stub: Any, request: Any) -> Any:
            calls.append("fetch")

    namespace = DurableObjectNamespace(Recorder(), "T", "T", bytes)  # type: ignore[arg-type]  # all that is asked of it
    stub = namespace.get(namespace.id_from_string(str(namespace.id_from_name("t"))))
    worker = ServiceBinding(Recorder(), "W")  # type: ignore[arg-type]  # as above
    for target in (stub, worker):
        with pytest.raises(AttributeError):
            target._private  # evaluated for what it raises
        target.method()
        target.fetch("https://t/", method="POST")
    assert calls == ["method", "fetch"] * 2
    assert stub.name is None
    assert namespace.get_by_name("t").name == "t"
    assert repr(namespace.get_by_name("t")) == "<Stub T/t>"
    assert repr(stub).startswith("<Stub T/")


def test_a_mesh_entry_is_reached_and_its_helpers_are_not(passes: Any) -> None:
    """RPC-13: the mesh checks for itself what may be called."""

    class Node(LumenizeDO):
        @mesh
        def open(self) -> str:
            return "open"

    async def drive(world: World) -> None:
        stub = world.env.NODE.get_by_name("n")
        assert "does not implement" in str(await error_of(stub.call("_execute_chain", [])))
        assert "does not implement" not in str(await error_of(stub.call("_execute_operation", {"version": 1})))

    passes(drive, NODE=Node)


def test_fetch_is_a_call_of_its_own_kind(passes: Any) -> None:
    """RPC-20, OG 3.1."""

    async def drive(world: World) -> None:
        stub = world.env.TARGET.get_by_name("t")
        response = await stub.fetch(Request("post", "https://t/x", body="hello"))
        assert (response.status, response.text, response.headers["x-method"]) == (200, "HELLO", "POST")
        error = await error_of(stub.fetch(Request("GET", "https://t/fail")))
        assert (type(error), flags(error)) == (TypeError, {"remote"})
        missing = await error_of(world.env.BARE.get_by_name("b").fetch(Request("GET", "https://b/")))
        assert (type(missing), str(missing), flags(missing)) == (
            Error,
            "Handler does not export a fetch() function.",
            {"remote"},
        )

    passes(drive, TARGET=Target, BARE=Bare)


# ------------------------------------------------------------------------------------------- errors


def test_an_error_of_a_method_crosses_by_class_and_message(passes: Any) -> None:
    """RPC-19, LC-30, LC-40, LT-68: memory is kept, and the stub works.  Before the enhanced serialisation."""

    async def drive(world: World) -> None:
        stub = world.env.TARGET.get_by_name("t")
        expected = {
            "type": (TypeError, "t"),
            "mine": (Exception, "MyError: m"),
            "key": (KeyError, "'k'"),
            "range": (RangeError, "r"),
            "odd": (UnicodeDecodeError, "'utf-8' codec can't decode byte 0x78 in position 0: odd"),
        }
        for nth, (how, (cls, text)) in enumerate(expected.items()):
            error = await error_of(stub.fail(how))
            assert (type(error), str(error), flags(error)) == (cls, text, {"remote"})
            assert await stub.get_memory() == nth + 1
        refused = await error_of(stub.sql())
        assert (type(refused), flags(refused)) == (Error, {"remote"})

    passes(drive, options=WORKERD, TARGET=Target)


@pytest.mark.parametrize("runtime, seen", REMOTE)
@pytest.mark.parametrize(
    "reason, text",
    [
        (None, "Application called abort() to reset Durable Object."),
        ("x", "x"),
        (7, "7"),
    ],
)
def test_an_abort_ends_the_instance_on_the_spot(
    passes: Any, reason: Any, text: str, runtime: Any, seen: set[str]
) -> None:
    """LC-32, LC-45, LT-42, RPC-8: every caller and every later call of a used stub hears it; no write is kept."""

    async def drive(world: World) -> None:
        Target.resumed = []
        stub = world.env.TARGET.get_by_name("t")
        waiting = stub.overlap()
        aborting, behind = stub.abort(reason), stub.note("behind")
        unused = world.env.TARGET.get_by_name("t")
        for pending in (aborting, waiting, behind, stub.note("later")):
            error = await error_of(pending)
            assert (type(error), str(error), flags(error)) == (
                DurableObjectError,
                text,
                {"durable_object_reset", *seen},
            )
        assert await unused.get_memory() == 0
        assert await world.env.TARGET.get_by_name("t").seen() == []
        assert world.object("TARGET", "t").storage.kv.get("a") is None

    passes(drive, options=WorldOptions(runtime=runtime), TARGET=Target)
    assert Target.resumed == []


@pytest.mark.parametrize("runtime, seen", REMOTE)
def test_an_abort_reason_that_is_an_error_becomes_its_text(passes: Any, runtime: Any, seen: set[str]) -> None:
    """LC-32; by fetch the error is remote as well, and a second object sees it remote only (LC-45 a, d)."""

    async def drive(world: World) -> None:
        error = await error_of(world.env.TARGET.get_by_name("t").abort_error())
        assert (type(error), str(error)) == (DurableObjectError, "TypeError: e1")
        fetched = world.env.TARGET.get_by_name("f")
        error = await error_of(fetched.fetch(Request("GET", "https://t/abort")))
        assert (str(error), flags(error)) == ("in fetch", {"durable_object_reset", "remote"})
        error = await error_of(fetched.fetch(Request("GET", "https://t/")))
        assert (str(error), flags(error)) == ("in fetch", {"durable_object_reset", *seen})
        error = await error_of(world.env.TARGET.get_by_name("r").relay_abort())
        assert (str(error), flags(error)) == ("x", {"remote"})

    passes(drive, options=WorldOptions(runtime=runtime), TARGET=Target)


@pytest.mark.parametrize("method", ["abort_in_nursery", "abort_in_nursery_body"])
def test_an_abort_in_a_nursery_ends_the_instance_too(passes: Any, method: str) -> None:
    """LC-32: the nursery wraps what unwinds it."""

    async def drive(world: World) -> None:
        error = await error_of(world.env.TARGET.get_by_name("t").call(method))
        assert str(error) == "nursery"
        assert await world.env.TARGET.get_by_name("t").get_memory() == 0

    passes(drive, TARGET=Target)


def test_ctrl_c_in_a_handler_ends_the_run(passes: Any) -> None:
    """Whoever presses it means the run, not the handler."""

    async def drive(world: World) -> None:
        await world.env.TARGET.get_by_name("t").interrupt()

    with pytest.raises(KeyboardInterrupt):
        passes(drive, TARGET=Target)


def test_a_throw_resets_where_that_is_asked_for(passes: Any) -> None:
    """LC-30: the platform may, and an option does."""

    async def drive(world: World) -> None:
        stub = world.env.TARGET.get_by_name("t")
        await stub.note(1)
        error = await error_of(stub.fail("type"))
        assert flags(error) == {"durable_object_reset", "remote"}
        assert await world.env.TARGET.get_by_name("t").get_memory() == 0

    passes(drive, TARGET=Target, options=WorldOptions(objects=MachineOptions(reset_on_throw=True)))


# ------------------------------------------------------------------------------------------- stubs


def test_a_used_stub_stays_broken_after_a_reset_and_not_after_eviction(passes: Any) -> None:
    """RPC-8, RPC-9, LT-69."""

    async def drive(world: World) -> None:
        used, unused = world.env.TARGET.get_by_name("t"), world.env.TARGET.get_by_name("t")
        view = world.object("TARGET", "t")
        await used.note(1)
        for verb in (view.evict, view.hibernate):
            verb()
            assert not view.in_memory
            assert await used.note(2) == [2]
        view.crash()
        error = await error_of(used.note(3))
        assert (str(error), flags(error)) == ("Network connection lost.", {"retryable"})
        assert await unused.note(4) == [4]

    passes(drive, TARGET=Target)


def test_a_lost_call_fails_before_or_after_the_callee_ran(passes: Any) -> None:
    """LC-43, RPC-5: 1 is before, 2 is after; never both, never silence."""
    for variant, ran in ((1, []), (2, ["x"])):

        async def drive(world: World, ran: list[str] = ran) -> None:
            stub = world.env.TARGET.get_by_name("t")
            error = await error_of(stub.note("x"))
            assert flags(error) == {"retryable"}
            assert await stub.seen() == ran

        outcome = passes(drive, plan={fault_label("lost-call", "driver", 0): variant}, TARGET=Target)
        assert outcome.faults == {"lost-call": 1}


def test_a_callee_goes_on_when_its_caller_is_gone(passes: Any) -> None:
    """RPC-22, LT-70."""

    class Caller(DurableObject):
        async def go(self) -> None:
            await self.env.TARGET.get_by_name("t").note_later("x", 5)

    async def drive(world: World) -> None:
        call = world.env.CALLER.get_by_name("c").go()
        await world.advance(1)
        world.object("CALLER", "c").crash()
        assert flags(await error_of(call)) == {"retryable"}
        await world.settle()
        assert await world.env.TARGET.get_by_name("t").seen() == ["begin x", "end x"]

    passes(drive, CALLER=Caller, TARGET=Target)


# ------------------------------------------------------------------------------------------- cycles


class Ring(DurableObject):
    """Calls another object, which calls back."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.log: list[str] = []

    async def start(self) -> list[str]:
        self.log.append("start")
        self.log.append(await self.env.RING.get_by_name("b").middle())
        return self.log

    async def middle(self) -> str:
        return await self.env.RING.get_by_name("a").end()  # type: ignore[no-any-return]  # the stub knows no types

    def end(self) -> str:
        self.log.append("end")
        return "came round"

    async def start_in_section(self) -> None:
        await self.ctx.block_concurrency_while(lambda: self.env.RING.get_by_name("b").middle())


def test_a_called_object_may_call_back(passes: Any, roams: Any) -> None:
    """RPC-12, LT-12: waiting for the call has opened the gate."""

    async def drive(world: World) -> None:
        assert await world.env.RING.get_by_name("a").start() == ["start", "end", "came round"]

    passes(drive, RING=Ring)
    roams(drive, RING=Ring, schedules=10)


def test_calling_back_into_a_section_ends_after_thirty_seconds(passes: Any) -> None:
    """RPC-12, IG-21, IG-32, LT-12: the waiter in the middle hears of it as well."""

    async def drive(world: World) -> None:
        middle = world.env.RING.get_by_name("b")
        error = await error_of(world.env.RING.get_by_name("a").start_in_section())
        assert flags(error) == {"durable_object_reset", "overloaded"}
        assert 30 <= world.now() < 31
        assert await middle.end() == "came round"

    passes(drive, RING=Ring)


# ------------------------------------------------------------------------------------------- workers


class Hand(LumenizeWorker):
    """A Worker that leaves things behind."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.mine = 0

    def count(self) -> int:
        self.mine += 1
        return self.mine

    def leave(self) -> str:
        """Ends at once; a call and a task are under way."""
        self.env.TARGET.get_by_name("t").note("called").when_done(lambda _: Hand.floating.append("heard"))
        self.ctx.host.spawn(self.ctx.owner, self._float)
        return "left"

    def leave_waiting(self) -> str:
        self.ctx.wait_until(self._float())
        return "left"

    def leave_too_long(self) -> str:
        self.ctx.wait_until(self._sleep(60))
        self.ctx.wait_until(self._sleep(10))
        return "left"

    def leave_failing(self) -> str:
        self.ctx.wait_until(self._fail())
        return "left"

    async def _fail(self) -> None:
        await trio.sleep(1)
        raise ValueError("nobody awaits this")

    async def _sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
        Hand.floating.append(f"slept {seconds}")

    async def _float(self) -> None:
        await trio.sleep(1)
        Hand.floating.append("floated")

    async def sleep(self) -> str:
        await trio.sleep(40)
        return "long"

    def boom(self) -> None:
        raise TypeError("boom")

    def context(self) -> str:
        return request_var.get()

    floating: list[str] = []


class BrokenHand(LumenizeWorker):
    def __init__(self, ctx: Any, env: Any) -> None:
        raise ValueError("cannot")


def test_each_call_of_a_worker_has_an_instance_of_its_own(passes: Any) -> None:
    """LMZ-2, RPC-25: and a call may take as long as it likes."""

    async def drive(world: World) -> None:
        assert await gather(world.env.HAND.count(), world.env.HAND.count()) == [1, 1]
        assert await world.env.HAND.sleep() == "long"
        for binding, name in (("HAND", "boom"), ("HAND", "missing"), ("HAND", "_float"), ("BROKEN", "count")):
            assert flags(await error_of(world.env[binding].call(name))) == {"remote"}
        assert "fetch()" in str(await error_of(world.env.HAND.fetch(Request("GET", "https://w/"))))

    passes(drive, HAND=Hand, BROKEN=BrokenHand, TARGET=Target)


def test_what_a_finished_worker_leaves_is_dropped_and_its_calls_are_delivered(passes: Any) -> None:
    """RPC-24."""

    async def drive(world: World) -> None:
        Hand.floating = []
        assert await world.env.HAND.leave() == "left"
        await world.settle()
        assert await world.env.TARGET.get_by_name("t").seen() == ["called"]

    passes(drive, HAND=Hand, TARGET=Target)
    assert Hand.floating == []


def test_wait_until_keeps_a_worker_for_thirty_seconds(passes: Any) -> None:
    """RPC-22, RPC-24: the response does not wait for it, and a failure is only logged."""

    async def drive(world: World) -> None:
        Hand.floating = []
        assert await world.env.HAND.leave_waiting() == "left"
        assert world.now() < 1
        await world.settle()
        assert Hand.floating == ["floated"]
        Hand.floating = []
        assert await world.env.HAND.leave_too_long() == "left"
        await world.advance(100)
        assert Hand.floating == ["slept 10"]
        assert await world.env.HAND.leave_failing() == "left"
        await world.settle()
        assert "nobody awaits this" in world.errors_logged[-1]

    passes(drive, HAND=Hand, TARGET=Target)


# ------------------------------------------------------------------------------------------- contexts


def test_context_variables_do_not_leak_from_event_to_event(passes: Any) -> None:
    """CTX-3: neither from a caller to its callee, nor from one event of an object to the next."""

    class Node(DurableObject):
        async def mark(self, name: str) -> list[str]:
            found = [request_var.get()]
            request_var.set(name)
            await trio.sleep(0)  # noqa: ASYNC115  # a timer, which ends the turn
            found += [request_var.get(), await self.env.HAND.context()]
            found.append(await self.env.NODE.get_by_name("other").get())
            heard: list[str] = []
            self.ctx.set_timeout(lambda: heard.append(request_var.get()))
            await trio.sleep(0.1)
            return found + heard

        def get(self) -> str:
            return request_var.get()

        async def alarm(self, info: Any) -> None:
            self.ctx.storage.kv.put("alarm", request_var.get())

        def arm(self) -> None:
            request_var.set("armed")
            self.ctx.storage.set_alarm(self.ctx.host.now_ms() + 1)

    async def drive(world: World) -> None:
        request_var.set("driver")
        stub = world.env.NODE.get_by_name("n")
        both = await gather(stub.mark("a"), stub.mark("b"))
        assert both == [["nobody", name, "nobody", "nobody", name] for name in ("a", "b")]
        assert await world.env.HAND.context() == "nobody"
        await stub.arm()
        await world.settle()
        assert world.object("NODE", "n").storage.kv.get("alarm") == "nobody"

    passes(drive, NODE=Node, HAND=Hand, TARGET=Target)


def test_events_of_the_platform_have_no_call_context(passes: Any, page: Any) -> None:
    """CTX-3: requests, alarms and sockets begin without one, whatever call armed them."""

    class Node(LumenizeDO):
        @mesh
        async def arm(self) -> None: ...

        def on_request(self, request: Request) -> Response:
            return self._said("request", Response(200))

        def _said(self, what: str, value: Any) -> Any:
            try:
                self.lmz.call_context  # evaluated for what it raises
            except Exception:
                seen.append(what)
            return value

        def alarm(self, info: Any = None) -> None:
            self._said("alarm", None)

        def prepare(self) -> None:
            self.ctx.storage.set_alarm(self.ctx.host.now_ms() + 5)

    seen: list[str] = []

    async def drive(world: World) -> None:
        stub = world.env.NODE.get_by_name("n")
        await stub.fetch(Request("GET", "https://n/"))
        await stub.prepare()
        await world.settle()
        assert seen == ["request", "alarm"]

    passes(drive, NODE=Node)


def test_an_unawaited_function_of_the_app_is_reported(passes: Any) -> None:
    """A coroutine that nobody awaits does nothing, which is hardly ever meant."""

    class Room(DurableObject):
        async def work(self) -> None: ...

        def forget(self) -> None:
            self.work()  # type: ignore[unused-coroutine]  # the mistake under test

    async def drive(world: World) -> None:
        await world.env.ROOM.get_by_name("r").forget()

    with pytest.raises(Exception, match="was never awaited"):
        passes(drive, ROOM=Room)


def test_wait_until_delays_nobody_and_its_failure_is_logged(passes: Any) -> None:
    """RPC-23, LC-30, AL-19."""

    class Room(DurableObject):
        async def go(self) -> str:
            self.ctx.wait_until(self._later())
            self.ctx.wait_until(self._fail())
            return "answered"

        async def _later(self) -> None:
            await trio.sleep(2)
            self.ctx.storage.kv.put("later", 1)

        async def _fail(self) -> None:
            await trio.sleep(1)
            raise ValueError("only logged")

    async def drive(world: World) -> None:
        assert await world.env.ROOM.get_by_name("r").go() == "answered"
        assert world.now() < 1
        await world.settle()
        view = world.object("ROOM", "r")
        assert (view.storage.kv.get("later"), view.incarnations) == (1, 1)
        assert "only logged" in world.errors_logged[0]

    passes(drive, ROOM=Room)


def test_an_abort_is_told_as_text_and_an_id_can_be_drawn(passes: Any) -> None:
    """LC-32: ``String(reason)``.  LC-2, LC-5: unique ids have no name and differ.  LC-8: jurisdictions."""

    class Reasons(DurableObject):
        def die(self, nth: int) -> None:
            self.ctx.abort([None, {"a": 1}, TypeError("t"), Exception("e"), True, 1.0][nth])

        def own_name(self) -> Any:
            return self.ctx.id.name

    async def drive(world: World) -> None:
        texts = []
        for nth in range(6):
            with pytest.raises(DurableObjectError) as caught:
                await world.env.D.get_by_name(str(nth)).die(nth)
            texts.append(str(caught.value))
        assert texts == [
            "Application called abort() to reset Durable Object.",
            "[object Object]",
            "TypeError: t",
            "Error: e",
            "true",
            "1",
        ]
        first, second = world.env.D.new_unique_id(), world.env.D.new_unique_id(jurisdiction="eu")
        assert first != second
        assert await world.env.D.get(first).own_name() is None
        assert world.env.D.jurisdiction("eu").id_from_name("a") == world.env.D.id_from_name("a")

    passes(drive, D=Reasons)

    async def refused(world: World) -> None:
        with pytest.raises(Error, match="Jurisdiction restrictions are not implemented in workerd"):
            world.env.D.new_unique_id(jurisdiction="eu")

    passes(refused, D=Reasons, options=WorldOptions(runtime="workerd"))


class Mixing(DurableObject):
    """Sends both kinds on one stub in one turn."""

    async def mix(self) -> None:
        stub = self.env.LIST.get_by_name("l")
        await gather(stub.add("r1"), stub.fetch("https://l/f1"), stub.add("r2"), stub.fetch("https://l/f2"))


class Listing(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        self.lines.append(line)

    def fetch(self, request: Request) -> Response:
        self.lines.append(request.url.path[1:])
        return Response(200)


def test_requests_keep_their_order_and_calls_do_but_not_both_together(roams: Any) -> None:
    """RPC-1, RPC-1a, IG-14: the hop through the gates does not let one request overtake another."""
    seen: set[str] = set()

    async def drive(world: World) -> None:
        await world.env.MIX.get_by_name("m").mix()
        lines = world.object("LIST", "l").instance.lines
        assert lines.index("r1") < lines.index("r2")
        assert lines.index("f1") < lines.index("f2")
        seen.add(" ".join(lines))

    roams(drive, MIX=Mixing, LIST=Listing)
    assert {"r1 r2 f1 f2", "f1 f2 r1 r2"} <= seen
    assert len(seen) > 3

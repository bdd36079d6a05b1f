"""Functions, targets and stubs that cross a call: what may be reached, for how long, and who stays awake for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from lumenize_sim import DurableObject, RpcStub, RpcTarget, UsageError, WorkerEntrypoint, World, WorldOptions, gather
from lumenize_sim.clone import DataCloneError
from lumenize_sim.objects.refusal import Error

GONE = "The execution context which hosts this callback is no longer running."


def flags(error: BaseException) -> set[str]:
    return {n for n in ("remote", "retryable", "overloaded", "durable_object_reset") if hasattr(error, n)}


async def error_of(pending: Any) -> BaseException:
    try:
        value = await pending
    except Exception as error:
        return error
    raise AssertionError(f"{value!r} instead of an error")


class Tally(RpcTarget):
    """Counts, where it was made."""

    def __init__(self, start: int = 0, log: list[str] | None = None) -> None:
        self.count = start
        self._log = log if log is not None else []

    @property
    def label(self) -> str:
        return f"tally at {self.count}"

    @property
    def parts(self) -> dict[str, Any]:
        return {"inner": {"count": self.count}, "add": self.add}

    def add(self, amount: int) -> int:
        self.count += amount
        return self.count

    def fail(self) -> None:
        raise ValueError("tally")

    def other(self) -> Tally:
        return Tally(self.count + 100)

    def dispose(self) -> None:
        self._log.append("disposed")


class Desk(DurableObject):
    """Gives things away, and takes some."""

    def box(self) -> dict[str, Any]:
        return {"tallies": [Tally(10), Tally(20)], "plain": {"a": 1}}

    built = 0
    said: list[str] = []

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        Desk.built += 1
        self.kept: Any = None
        self.field = 3

    @property
    def prop(self) -> str:
        return "value"

    @property
    def nested(self) -> dict[str, Any]:
        return {"a": {"b": 5}, "double": lambda x: 2 * x}

    async def later(self) -> int:
        await trio.sleep(1)
        return 5

    def tally(self, start: int = 0) -> Tally:
        return Tally(start, Desk.said)

    def tally_in_list(self) -> list[Any]:
        one = Tally(1)
        return [one, one, {"fn": lambda: "called"}]

    def fail(self) -> Tally:
        raise TypeError("no tally")

    async def slow_tally(self, wait_s: float) -> Tally:
        await trio.sleep(wait_s)
        return Tally(7)

    async def use(self, given: Any, amount: int) -> Any:
        return await given.add(amount)

    async def call_back(self, callback: Any, value: Any) -> Any:
        return await callback(value)

    def keep(self, given: Any) -> None:
        self.kept = given

    def keep_dup(self, given: Any) -> None:
        self.kept = given.dup()

    async def use_kept(self) -> Any:
        return await self.kept.add(1)

    def let_go(self) -> None:
        self.kept.dispose()

    async def fetch_tally(self) -> int:
        stub = await self.env.DESK.get_by_name("other").tally(10)
        self.kept = stub
        result: int = await stub.add(1)
        return result

    async def pass_on(self, given: Any) -> int:
        result: int = await self.env.DESK.get_by_name("third").use(given, 5)
        return result

    def die(self) -> None:
        self.ctx.abort("gone")

    def write_slowly(self) -> Any:
        self.ctx.storage.kv.put("a", 1)
        return Tally(1)


class Clerk(WorkerEntrypoint):
    """A plain Worker."""

    def hello(self) -> str:
        return "hello"

    def tally(self) -> Tally:
        return Tally(50)

    @property
    def prop(self) -> str:
        return "of a Worker"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Desk.built = 0
    Desk.said.clear()


def run(passes: Callable[..., Any], drive: Any, **options: Any) -> Any:
    return passes(drive, DESK=Desk, CLERK=Clerk, **options)


# ------------------------------------------------------------------------------------------- what crosses


def test_a_target_in_a_result_is_called_where_it_was_made(passes: Any) -> None:
    """RPC-15, RPC-13: methods and properties of the class; aliases stay one stub."""

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        tally = await desk.tally(3)
        assert type(tally) is RpcStub
        assert await gather(tally.add(1), tally.add(1)) == [4, 5]
        assert await tally.label == "tally at 5"
        assert await tally.parts.inner.count == 5
        assert await tally.parts.add(5) == 10
        one, two, rest = await desk.tally_in_list()
        assert one is two
        assert await rest["fn"]() == "called"
        error = await error_of(tally.fail())
        assert (type(error), str(error), flags(error)) == (ValueError, "tally", {"remote"})
        other = await tally.other()
        assert await other.add(1) == 111

    run(passes, drive)


@pytest.mark.parametrize(
    "name, text",
    [
        ("count", 'The RPC receiver does not implement the method "count".'),
        ("missing", 'The RPC receiver does not implement the method "missing".'),
        ("label", '"label" is not a function.'),
    ],
)
def test_a_target_shows_its_class_only(passes: Any, name: str, text: str) -> None:
    """RPC-13: what an instance keeps on itself is not reached."""

    async def drive(world: World) -> None:
        tally = await world.env.DESK.get_by_name("d").tally()
        error = await error_of(getattr(tally, name)())
        assert (type(error), str(error), flags(error)) == (TypeError, text, {"remote"})
        with pytest.raises(AttributeError):
            tally._log  # evaluated for what it raises

    run(passes, drive)


def test_functions_among_the_arguments_call_back(passes: Any) -> None:
    """RPC-15, RPC-12: into the driver, into an object that waits, async or not."""
    heard: list[Any] = []

    class Caller(DurableObject):
        def __init__(self, ctx: Any, env: Any) -> None:
            super().__init__(ctx, env)
            self.heard: list[int] = []

        async def go(self) -> Any:
            async def listen(value: int) -> list[int]:
                await trio.sleep(1)
                self.heard.append(value)
                return self.heard

            return await self.env.DESK.get_by_name("d").call_back(listen, 7)

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        assert await desk.call_back(lambda value: [*heard, heard.append(value)], 1) == [None]  # type: ignore[func-returns-value]  # its None is the answer
        assert heard == [1]
        assert await world.env.CALLER.get_by_name("c").go() == [7]
        assert await desk.use(Tally(1), 2) == 3

    passes(drive, DESK=Desk, CALLER=Caller, CLERK=Clerk)


def test_what_is_no_data_and_cannot_be_called_is_refused(passes: Any) -> None:
    """RPC-15: plain instances, namespace stubs, namespaces, service bindings; the sender hears it, nothing is sent."""

    class Plain:
        pass

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        for value, name in (
            (world.env.DESK.get_by_name("x"), "DurableObject"),
            (world.env.DESK, "DurableObjectNamespace"),
            (world.env.CLERK, "Fetcher"),
        ):
            error = await error_of(desk.keep([value]))
            assert isinstance(error, DataCloneError)
            assert f'Could not serialize object of type "{name}". This type does not support serialization.' in str(
                error
            )
            assert flags(error) == set()
        assert isinstance(await error_of(desk.keep(Plain())), DataCloneError)
        assert isinstance(await error_of(desk.keep([Tally(), object()])), DataCloneError)
        assert not world.object("DESK", "d").in_memory

    run(passes, drive)


# ------------------------------------------------------------------------------------------- properties, pipelining


def test_properties_of_the_class_can_be_read(passes: Any) -> None:
    """RPC-13: getters, whatever they give; not ``ctx``, ``env`` or fields of the instance."""

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        assert await desk.prop == "value"
        assert await desk.nested.a.b == 5
        assert await desk.nested.double(4) == 8
        assert await gather(desk.prop, desk.prop) == ["value", "value"]
        method = await desk.later
        assert await method() == 5
        for name in ("ctx", "env", "field", "missing"):
            error = await error_of(getattr(desk, name))
            assert (type(error), flags(error)) == (TypeError, {"remote"})
            assert str(error) == f'The RPC receiver does not implement the method "{name}".'
        assert await world.env.CLERK.prop == "of a Worker"

    run(passes, drive)


def test_a_result_can_be_called_before_it_is_there(passes: Any, roams: Any) -> None:
    """RPC-17: the second call is sent at once, and runs where the first one's result is."""

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        first = desk.slow_tally(5)
        second, third = first.add(1), first.add(1)
        assert not first.done
        assert await gather(second, third) == [8, 9]
        assert await (await first).label == "tally at 9"
        assert await desk.tally(1).other().add(1) == 102
        assert await world.env.CLERK.tally().add(1) == 51
        assert "does not implement" in str(await error_of(desk.tally_in_list().missing()))
        assert str(await error_of(desk.nested.a.b())) == '"b" is not a function.'

    run(passes, drive)
    roams(drive, DESK=Desk, CLERK=Clerk, schedules=12)


def test_items_of_a_result_can_be_reached_before_it_is_there(passes: Any, roams: Any) -> None:
    """RPC-17: by key or number, at once and once it has arrived; and none by trying one number after another."""

    async def drive(world: World) -> None:
        box = world.env.DESK.get_by_name("d").box()
        assert await box["tallies"][1].add(5) == 25
        assert await box.tallies[0].label == "tally at 10"
        assert await box["plain"]["a"] == 1
        await box
        assert await box["tallies"][1].add(5) == 30
        assert str(await error_of(box["tallies"][2].add(5))) == 'The RPC receiver does not implement the method "2".'
        assert str(await error_of(box["none"].read())) == 'The RPC receiver does not implement the method "none".'
        hidden = await error_of(box["tallies"][0]["_log"].read())
        assert str(hidden) == 'The RPC receiver does not implement the method "_log".'
        stolen = await error_of(box["tallies"][0]["_export"].read())
        assert str(stolen) == 'The RPC receiver does not implement the method "_export".'
        for wrong in (-1, 1.5, None, slice(2)):
            with pytest.raises(TypeError, match="names no item"):
                box[wrong]
        with pytest.raises(TypeError, match="not iterable"):
            list(box)
        with pytest.raises(TypeError, match="not iterable"):
            list(box["tallies"])

    passes(drive, DESK=Desk)
    roams(drive, schedules=20, DESK=Desk)


def test_a_failed_call_fails_those_on_its_result(passes: Any) -> None:
    """RPC-17, LT-71: with the same error, and nothing of them runs."""

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        for error in (await error_of(desk.fail().add(1)), await error_of(desk.fail().other().add(1))):
            assert (type(error), str(error), flags(error)) == (TypeError, "no tally", {"remote"})
        refused = desk.keep(object())
        assert isinstance(await error_of(refused.add(1)), DataCloneError)

    run(passes, drive)


# ------------------------------------------------------------------------------------------- how long


def test_stubs_among_arguments_end_with_the_call_unless_duplicated(passes: Any) -> None:
    """RPC-18."""

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        log: list[str] = []
        await desk.keep(Tally(1, log))
        error = await error_of(desk.use_kept())
        assert (type(error), str(error)) == (Error, "RPC stub used after being disposed.")
        await world.settle()
        assert log == ["disposed"]
        await desk.keep_dup(Tally(1, log))
        assert await desk.use_kept() == 2
        assert log == ["disposed"]
        await desk.let_go()
        await world.settle()
        assert log == ["disposed", "disposed"]

    run(passes, drive)


def test_a_disposed_stub_refuses(passes: Any) -> None:
    """RPC-18: by ``dispose``, and by leaving a ``with`` block; a duplicate lives on."""

    async def drive(world: World) -> None:
        with await world.env.DESK.get_by_name("d").tally(1) as tally:
            copy = tally.dup()
        error = await error_of(tally.add(1))
        assert (type(error), str(error), flags(error)) == (Error, "RPC stub used after being disposed.", set())
        with pytest.raises(Error, match="used after being disposed"):
            tally.dup()
        tally.dispose()
        assert await copy.add(1) == 2
        assert Desk.said == []
        copy.dispose()
        await world.settle()
        assert Desk.said == ["disposed"]

    run(passes, drive)


def test_a_stub_goes_on_to_a_third_party(passes: Any) -> None:
    """RPC-15: stubs cross as stubs."""

    async def drive(world: World) -> None:
        mine = Tally(1)
        assert await world.env.DESK.get_by_name("d").pass_on(mine) == 6
        assert mine.count == 6
        tally = await world.env.DESK.get_by_name("e").tally(10)
        assert await world.env.DESK.get_by_name("d").pass_on(tally) == 15
        local = RpcStub(mine)
        assert await local.add(1) == 7

    run(passes, drive)


@pytest.mark.parametrize("wait_s", [60.0, 300.0])
def test_an_object_whose_target_is_held_stays_awake(passes: Any, wait_s: float) -> None:
    """RPC-14b, LC-22, LT-71b; once the stub is gone it is idle, and forgets."""

    async def drive(world: World) -> None:
        tally = await world.env.DESK.get_by_name("d").tally(1)
        await world.advance(wait_s)
        assert world.object("DESK", "d").in_memory
        assert await tally.add(1) == 2
        assert Desk.built == 1
        with pytest.raises(UsageError, match="busy"):
            world.object("DESK", "d").evict()
        tally.dispose()
        await world.settle()
        await world.advance(11)
        assert not world.object("DESK", "d").in_memory

    run(passes, drive)


def test_an_object_that_keeps_a_callers_target_stays_awake_with_its_caller(passes: Any) -> None:
    """RPC-14b: the session is open until all capabilities between the two are gone."""

    class Giver(DurableObject):
        def give(self) -> None:
            self.ctx.wait_until(self.env.DESK.get_by_name("d").keep_dup(Tally(1)))

    async def drive(world: World) -> None:
        await world.env.GIVER.get_by_name("g").give()
        await world.settle()
        await world.advance(60)
        views = world.object("DESK", "d"), world.object("GIVER", "g")
        assert [view.in_memory for view in views] == [True, True]
        await world.env.DESK.get_by_name("d").let_go()
        await world.advance(11)
        assert [view.in_memory for view in views] == [False, False]

    passes(drive, DESK=Desk, GIVER=Giver, CLERK=Clerk)


def test_a_holder_that_ends_lets_go(passes: Any) -> None:
    """RPC-18: result stubs live until the holder's context ends."""

    async def drive(world: World) -> None:
        assert await world.env.DESK.get_by_name("d").fetch_tally() == 11
        other = world.object("DESK", "other")
        await world.advance(30)
        world.object("DESK", "d").crash()
        await world.settle()
        assert Desk.said == ["disposed"]
        await world.advance(11)
        assert not other.in_memory

    run(passes, drive)


def test_the_target_of_an_instance_that_was_reset_is_gone(passes: Any) -> None:
    """LC-39, RPC-14b: a stub stays with the instance that made it, and no session of it is counted at the next."""

    async def drive(world: World) -> None:
        desk = world.env.DESK.get_by_name("d")
        tally = await desk.tally(1)
        await error_of(desk.die())
        error = await error_of(tally.add(1))
        assert (type(error), str(error), flags(error)) == (Error, GONE, set())
        assert await (await world.env.DESK.get_by_name("d").tally(5)).add(1) == 6
        tally.dispose()

    run(passes, drive)


def test_a_workers_target_keeps_its_invocation(passes: Any) -> None:
    """RPC-14b: until the stub is disposed of; no limit of 30 s counts."""

    async def drive(world: World) -> None:
        assert await world.env.CLERK.hello() == "hello"
        tally = await world.env.CLERK.tally()
        await world.advance(100)
        assert await tally.add(1) == 51
        copy = tally.dup()
        tally.dispose()
        await world.settle()
        assert await copy.add(1) == 52
        copy.dispose()

    run(passes, drive)


def test_a_target_in_a_held_result_is_made_when_the_method_ends(passes: Any) -> None:
    """RPC-6, 3.1: the answer waits for the flush; the stub in it is of then."""
    from lumenize_sim.kernel.plan import fault_label

    async def drive(world: World) -> None:
        tally = await world.env.DESK.get_by_name("d").write_slowly()
        assert await tally.add(1) == 2

    run(passes, drive, plan={fault_label("slow-flush", "DESK/d", 0): 2})
    run(passes, drive, options=WorldOptions(runtime="workerd"))

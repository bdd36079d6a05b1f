"""Values, errors, lifetimes and limits of calls: RPC-5, RPC-16, RPC-19, RPC-20, RPC-22, RPC-24, RPC-26, RPC-28."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from lumenize_sim import (
    EXPLORED,
    AppError,
    DurableObject,
    MachineOptions,
    UsageError,
    WorkerEntrypoint,
    World,
    WorldOptions,
    gather,
    retryable,
)
from lumenize_sim.clone import AggregateError, DataCloneError, JSMap, RemoteError
from lumenize_sim.kernel.plan import fault_label
from lumenize_sim.mesh.envelope import Envelope, Result
from lumenize_sim.objects import Request, Response
from lumenize_sim.objects.message_size import MESSAGE_LIMIT_BYTES, checked, message_bytes
from lumenize_sim.objects.parcel import Parcel, snapshot
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.rpc_errors import across


def flags(error: BaseException) -> set[str]:
    return {n for n in ("remote", "retryable", "overloaded", "durable_object_reset") if hasattr(error, n)}


async def error_of(pending: Any) -> BaseException:
    try:
        value = await pending
    except Exception as error:
        return error
    raise AssertionError(f"{value!r} instead of an error")


class MyError(ValueError):
    pass


class Store(DurableObject):
    """Counts what runs here."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.ran: list[str] = []

    def note(self, what: str) -> list[str]:
        self.ran.append(what)
        return self.ran

    @retryable
    def twice(self, what: list[str]) -> list[str]:
        what.append("seen")
        return self.note(" ".join(what))

    def read(self) -> list[str]:
        return self.ran

    def large(self, size: int) -> str:
        return "x" * size

    def fail(self, how: str) -> None:
        error: Any = MyError("m") if how == "mine" else Exception("plain")
        if how == "named":
            error.name = "Custom"
        error.code = 7
        if how == "group":
            raise ExceptionGroup("several", [ValueError("one")])
        raise error from KeyError("why")

    def fetch(self, request: Request) -> Any:
        return "no response" if request.url.path == "/text" else Response(200)

    async def ask_many(self, count: int) -> int:
        for _ in range(count):
            await self.env.STORE.get_by_name("other").read()
        return count

    async def ask_clerk(self, method: str) -> Any:
        return await getattr(self.env.CLERK, method)()


class Clerk(WorkerEntrypoint):
    """A Worker that leaves work behind."""

    def float_away(self) -> str:
        self.env.STORE.get_by_name("s").note("float")
        return "done"

    def kept(self) -> str:
        self.env.STORE.get_by_name("s").note("float")
        self.ctx.wait_until(self.note_later(1, "kept"))
        self.ctx.set_timeout(lambda: self.note_later(0, "timer"), 0.5)
        return "done"

    def cancelled_timer(self) -> None:
        timer = self.ctx.set_timeout(lambda: self.env.STORE.get_by_name("s").note("never"), 1)
        self.ctx.clear_timeout(timer)
        self.ctx.clear_timeout(None)
        self.ctx.pass_through_on_exception()

    def fetch(self, request: Request) -> Any:
        if request.url.path == "/text":
            return "no response"
        self.env.STORE.get_by_name("s").note("float")
        return Response(200)

    async def slow(self) -> str:
        await self.note_later(5, "slow")
        return "done"

    async def slow_and_kept(self) -> str:
        self.ctx.wait_until(self.note_later(3, "kept"))
        return await self.slow()

    async def note_later(self, wait_s: float, what: str) -> None:
        await trio.sleep(wait_s)
        await self.env.STORE.get_by_name("s").note(what)

    async def deeper(self, depth: int) -> int:
        return depth if not depth else int(await self.env.CLERK.deeper(depth - 1))

    async def ask_many(self, count: int) -> int:
        await gather(*(self.env.STORE.get_by_name("other").read() for _ in range(count)))
        return count


BINDINGS: dict[str, type] = {"STORE": Store, "CLERK": Clerk}


def with_options(**options: Any) -> WorldOptions:
    return WorldOptions(objects=MachineOptions(**options))


# ------------------------------------------------------------------------------------------- size


def test_a_message_has_at_most_32_mebibytes(passes: Any) -> None:
    """RPC-16, LT-72: an argument fails at the caller and nothing is delivered; a result fails at the callee."""
    text = "Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: "
    mebibyte = 1024 * 1024

    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        for argument in ("x" * 33 * mebibyte, [b"x" * 33 * mebibyte], {"a": "\N{SNOWMAN}" * 17 * mebibyte}):
            error = await error_of(store.note(argument))
            assert (type(error), flags(error)) == (Error, set())
            assert str(error).startswith(text)
            assert str(error).endswith(" bytes.")
        assert not world.object("STORE", "s").in_memory
        error = await error_of(store.large(33 * mebibyte))
        assert (type(error), flags(error)) == (Error, {"remote"})
        assert str(error) == f"{text}{33 * mebibyte + 7} bytes."
        assert len(await store.large(31 * mebibyte)) == 31 * mebibyte

    passes(drive, trace=False, **BINDINGS)


def test_the_limit_holds_for_calls_of_a_mesh_too() -> None:
    """RPC-16: the chain of a call, and its result."""
    large = "x" * (MESSAGE_LIMIT_BYTES + 1)
    for value in (Envelope(1, {"json": [large], "meta": {}}, None), Result([large])):
        with pytest.raises(Error, match="limited to 32MiB"):
            snapshot(value, Parcel(None))


@pytest.mark.parametrize(
    "value, size",
    [
        (None, 3),
        (True, 3),
        (1, 4),
        (-1, 4),
        (2**31, 11),
        (1.5, 11),
        ("", 4),
        ("abc", 7),
        ("\N{SNOWMAN}", 6),
        ([], 7),
        ({"a": 1}, 10),
        (b"abc", 13),
        ({1, 2}, 9),
        (JSMap([(1, 2)]), 9),
    ],
)
def test_sizes_are_those_of_the_platform(value: Any, size: int) -> None:
    """RPC-16: header, tags, lengths and contents."""
    assert message_bytes(value) == size
    assert checked(value) is value


def test_what_is_shared_counts_once_except_texts() -> None:
    """RPC-16: texts are values; lists are referred to.  A cycle has a size too."""
    shared = ["x" * 1000]
    assert message_bytes([shared, shared]) < message_bytes([shared, ["x" * 1000]])
    cycle: list[Any] = []
    cycle.append(cycle)
    assert checked(cycle) is cycle
    many = ["x" * 1024 * 1024] * 33
    with pytest.raises(Error, match="limited to 32MiB"):
        checked(many)
    assert MESSAGE_LIMIT_BYTES == 32 * 1024 * 1024


def test_lists_of_the_same_list_are_measured_at_once() -> None:
    """RPC-16: a hostile frame of 4 kB unfolds to more than any memory holds."""
    value: list[Any] = ["x"]
    for _ in range(400):
        value = [value] * 10
    assert checked(value) is value
    assert message_bytes(value) < 20_000
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert message_bytes(deep) == 5_001 * 5 + 2


# ------------------------------------------------------------------------------------------- errors


def test_enhanced_errors_keep_what_they_carry(passes: Any) -> None:
    """RPC-19: from 2026-04-21 on own fields, cause and names survive; before, name and class become text."""

    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        mine: Any = await error_of(store.fail("mine"))
        assert (type(mine), mine.name, str(mine), mine.code, flags(mine)) == (
            RemoteError,
            "MyError",
            "m",
            7,
            {"remote"},
        )
        assert isinstance(mine.__cause__, KeyError)
        plain: Any = await error_of(store.fail("plain"))
        assert (type(plain), str(plain), plain.code) == (Exception, "plain", 7)
        named: Any = await error_of(store.fail("named"))
        assert (named.name, str(named)) == ("Custom", "plain")
        group: Any = await error_of(store.fail("group"))
        assert (type(group), str(group), len(group.errors)) == (AggregateError, "several", 1)

    passes(drive, **BINDINGS)


def test_older_errors_lose_it(passes: Any) -> None:
    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        for how, cls, text in (
            ("mine", Exception, "MyError: m"),
            ("plain", Exception, "plain"),
            ("named", Exception, "Custom: plain"),
            ("group", AggregateError, "several"),
        ):
            error = await error_of(store.fail(how))
            assert (type(error), str(error), flags(error)) == (cls, text, {"remote"})
            assert error.__cause__ is None
            assert not hasattr(error, "code")
            assert not hasattr(error, "errors")

    passes(drive, options=with_options(compatibility_date="2026-04-20"), **BINDINGS)


def test_an_error_whose_cause_cannot_cross_goes_alone() -> None:
    """RPC-19."""
    error = ValueError("v")
    error.__cause__ = KeyboardInterrupt()
    copy: Any = across(error, enhanced=True)
    assert (type(copy), str(copy), copy.__cause__, copy.remote) == (ValueError, "v", None, True)


def test_errors_may_carry_the_id_of_their_object(passes: Any) -> None:
    """1.7: in newer versions of the open runtime; absent otherwise."""

    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        error = await error_of(store.fail("plain"))
        assert getattr(error, "durable_object_id", None) == (str(store.id) if with_ids else None)

    for with_ids in (True, False):
        passes(drive, options=with_options(error_object_ids=with_ids), **BINDINGS)


@pytest.mark.parametrize("breaks", [True, False])
def test_a_disconnect_may_break_a_stub_for_good(passes: Any, breaks: bool) -> None:
    """RPC-8, open point 4: later calls fail with the same error and do not run; a fresh stub works."""

    async def drive(world: World) -> None:
        used = world.env.STORE.get_by_name("s")
        assert flags(await error_of(used.note("lost"))) == {"retryable"}
        if breaks:
            again = await error_of(used.note("x"))
            assert (str(again), flags(again)) == ("Network connection lost.", {"retryable"})
        else:
            assert await used.note("x") == ["x"]
        assert await world.env.STORE.get_by_name("s").read() == ([] if breaks else ["x"])

    passes(drive, plan=lost(1), options=with_options(disconnects_break_stubs=breaks), **BINDINGS)


def test_a_fetch_handler_answers_with_a_response(passes: Any) -> None:
    """RPC-20: in an object and in a Worker; a throw or another value rejects, and is no 500."""

    async def drive(world: World) -> None:
        for target in (world.env.STORE.get_by_name("s"), world.env.CLERK):
            error = await error_of(target.fetch("https://x/text"))
            assert (type(error), flags(error)) == (TypeError, {"remote"})
            assert str(error) == "Incorrect type for Promise: the Promise did not resolve to 'Response'."
            assert (await target.fetch("https://x/")).status == 200

    passes(drive, **BINDINGS)


# ------------------------------------------------------------------------------------------- Workers


@pytest.mark.parametrize(
    "options, by_call, by_fetch",
    [
        ({}, ["float"], ["float"]),
        ({"floating_calls": "lost"}, [], []),
        ({"runtime": "workerd"}, [], ["float"]),
    ],
)
def test_a_call_of_a_workers_last_turn_may_be_lost(passes: Any, options: Any, by_call: Any, by_fetch: Any) -> None:
    """RPC-24: which of both, an option says."""

    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        assert await world.env.CLERK.float_away() == "done"
        await world.settle()
        assert await store.read() == by_call
        await world.env.CLERK.fetch("https://x/")
        await world.settle()
        assert await store.read() == by_call + by_fetch

    passes(drive, options=with_options(**options), **BINDINGS)


def test_a_floating_call_can_be_explored() -> None:
    """RPC-24: both are allowed, so a run may draw it."""
    options = MachineOptions(floating_calls=EXPLORED)
    assert options.explored == {"floating_calls": 2}
    assert [options.drawn(lambda _, __, n=n: n).floating_calls for n in (0, 1)] == ["sent", "lost"]  # type: ignore[misc]  # n is bound
    with pytest.raises(UsageError, match="floating_calls is 'maybe'"):
        MachineOptions(floating_calls="maybe")  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(UsageError, match="connection_limit is 0"):
        MachineOptions(connection_limit=0)


def test_what_is_waited_for_keeps_the_rest_going(passes: Any) -> None:
    """RPC-22, RPC-24: floating calls and timers of the invocation go on while `wait_until` is pending."""

    async def drive(world: World) -> None:
        await world.env.CLERK.kept()
        await world.env.CLERK.cancelled_timer()
        await world.settle()
        assert sorted(await world.env.STORE.get_by_name("s").read()) == ["float", "kept", "timer"]

    passes(drive, options=WorldOptions(runtime="workerd"), **BINDINGS)


@pytest.mark.parametrize("method, ran", [("slow", []), ("slow_and_kept", ["kept"])])
def test_a_worker_ends_when_its_caller_is_gone(passes: Any, method: str, ran: list[str]) -> None:
    """RPC-22: what is pending is cancelled, unless `wait_until` was given something."""

    async def drive(world: World) -> None:
        call = world.env.STORE.get_by_name("c").ask_clerk(method)
        await world.advance(1)
        world.object("STORE", "c").crash()
        await error_of(call)
        await world.settle()
        assert await world.env.STORE.get_by_name("s").read() == ran

    passes(drive, **BINDINGS)


def test_an_objects_call_of_a_worker_that_is_answered_leaves_nothing(passes: Any) -> None:
    async def drive(world: World) -> None:
        assert await world.env.STORE.get_by_name("c").ask_clerk("slow") == "done"
        world.object("STORE", "c").crash()
        await world.settle()
        assert await world.env.STORE.get_by_name("s").read() == ["slow"]

    passes(drive, **BINDINGS)


# ------------------------------------------------------------------------------------------- limits


def test_workers_call_workers_so_deep_and_no_deeper(passes: Any) -> None:
    """RPC-28: 32 in production; workerd has no limit."""

    async def drive(world: World) -> None:
        assert await world.env.CLERK.deeper(31) == 0
        error = await error_of(world.env.CLERK.deeper(32))
        assert str(error).startswith("Subrequest depth limit exceeded.")

    async def endless(world: World) -> None:
        assert await world.env.CLERK.deeper(40) == 0

    passes(drive, **BINDINGS)
    passes(endless, options=WorldOptions(runtime="workerd"), **BINDINGS)


def test_an_invocation_makes_so_many_subrequests(passes: Any) -> None:
    """RPC-26: each event of an object renews them."""

    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        for target in (store, store, world.env.CLERK):
            assert await target.ask_many(50) == 50
            assert str(await error_of(target.ask_many(51))) == "Too many subrequests."

    passes(drive, options=with_options(subrequest_limit=50), **BINDINGS)


# ------------------------------------------------------------------------------------------- retries


def lost(*values: int) -> dict[str, int]:
    return {fault_label("lost-call", "driver", nth): value for nth, value in enumerate(values)}


def test_a_call_that_never_arrived_is_tried_again(passes: Any) -> None:
    """RPC-5: up to five times in all; off by default."""

    async def drive(world: World) -> None:
        assert await world.env.STORE.get_by_name("s").note("x") == ["x"]

    async def fails(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        assert flags(await error_of(store.note("x"))) == {"retryable"}
        assert await world.env.STORE.get_by_name("s").read() == []

    retrying = with_options(automatic_retries=True)
    passes(drive, plan=lost(1, 1, 1, 1), options=retrying, **BINDINGS)
    passes(fails, plan=lost(1, 1, 1, 1, 1), options=retrying, **BINDINGS)
    passes(fails, plan=lost(1), **BINDINGS)


def test_a_call_that_arrived_is_not_run_twice_unless_it_may(passes: Any) -> None:
    """RPC-5: at most once; a marked method runs again, with the arguments of the call."""

    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        assert flags(await error_of(store.note("x"))) == {"retryable"}
        assert await store.read() == ["x"]

    async def marked(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        assert await store.twice(["y"]) == ["y seen", "y seen"]

    retrying = with_options(automatic_retries=True)
    passes(drive, plan=lost(2), options=retrying, **BINDINGS)
    passes(marked, plan=lost(2), options=retrying, **BINDINGS)


def test_a_call_on_the_result_of_one_that_is_tried_again_waits_for_it(passes: Any) -> None:
    """RPC-5, RPC-17: and where all tries fail, it fails with the same error."""

    class Giver(DurableObject):
        def give(self) -> Any:
            return lambda: "given"

    async def drive(world: World) -> None:
        assert await world.env.GIVER.get_by_name("g").give()() == "given"

    async def fails(world: World) -> None:
        assert flags(await error_of(world.env.GIVER.get_by_name("g").give()())) == {"retryable"}

    retrying = with_options(automatic_retries=True)
    passes(drive, plan=lost(1), options=retrying, GIVER=Giver)
    passes(fails, plan=lost(1, 0, 1, 1, 1, 1), options=retrying, GIVER=Giver)
    passes(fails, plan=lost(1), GIVER=Giver)


def test_what_the_object_throws_is_not_retried(passes: Any) -> None:
    """RPC-5."""

    async def drive(world: World) -> None:
        store = world.env.STORE.get_by_name("s")
        assert isinstance(await error_of(store.fail("plain")), Exception)
        assert await store.read() == []
        with pytest.raises((AppError, DataCloneError)):
            await store.note(object())

    passes(drive, options=with_options(automatic_retries=True), **BINDINGS)

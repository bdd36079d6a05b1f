"""``svc.broadcast``: directly and through a tree of Workers (BC-1 … BC-11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario, simulate
from lumenize_sim.mesh import MeshError
from lumenize_sim.mesh.services.broadcast import BROADCAST_TIER_BINDING, Target, fanning_out, groups, target_of


class Room(LumenizeDO):
    """Tells many members at once."""

    @mesh
    def announce(self, count: int, text: str, options: dict[str, Any]) -> None:
        self.svc.broadcast([Target("MEMBER", f"m{n}") for n in range(count)], self.ctn(Member).hear(text), **options)

    @mesh
    def announce_with_result(self, count: int, text: str, options: dict[str, Any]) -> None:
        self.svc.broadcast(
            [Target("MEMBER", f"m{n}") for n in range(count)],
            self.ctn(Member).hear(text),
            on_result=self.ctn().went_wrong(RESULT),
            **options,
        )

    def went_wrong(self, error: Any) -> None:
        told = self.ctx.storage.kv.get("errors") or []
        self.ctx.storage.kv.put("errors", [*told, str(error)])

    @mesh
    def wrong(self, what: str) -> None:
        tree: dict[str, Any] = {"direct_threshold": 0} if what.startswith("tree ") else {}
        if what.endswith("remote"):
            self.svc.broadcast([Target("MEMBER", "m")], "hear", **tree)
        elif what.endswith("result"):
            self.svc.broadcast([Target("MEMBER", "m")], self.ctn(Member).hear("x"), on_result="went_wrong", **tree)
        elif what == "target":
            self.svc.broadcast(["m"], self.ctn(Member).hear("x"))
        else:
            self.svc.broadcast([], "not even a continuation")


class Member(LumenizeDO):
    """Hears, unless its name ends in 3."""

    @mesh
    def hear(self, text: str) -> str:
        if str(self.lmz.instance_name).endswith("3"):
            raise ValueError(f"{self.lmz.instance_name} is deaf")
        chain = [node.type for node in self.lmz.call_context.call_chain]
        self.ctx.storage.kv.put("heard", [text, chain])
        return "fine"


class Host(LumenizeClient):
    """A client that makes the room speak."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.errors: list[str] = []

    def speak(self, count: int, text: str, **options: Any) -> None:
        self.lmz.call("ROOM", "r", self.ctn(Room).announce(count, text, options), self.ctn().done(RESULT))

    def speak_with_result(self, count: int, text: str, **options: Any) -> None:
        self.lmz.call("ROOM", "r", self.ctn(Room).announce_with_result(count, text, options))

    def be_wrong(self, what: str) -> None:
        self.lmz.call("ROOM", "r", self.ctn(Room).wrong(what), self.ctn().done(RESULT))

    def done(self, result: Any) -> None:
        if isinstance(result, BaseException):
            self.errors.append(str(result))

    @mesh
    def went_wrong(self, error: Any) -> None:
        self.errors.append(str(error))


TREE = Mesh(bindings={"ROOM": Room, "MEMBER": Member, BROADCAST_TIER_BINDING: LumenizeWorker})
FLAT = Mesh(bindings={"ROOM": Room, "MEMBER": Member})


def passes(test: Callable[[World, Host], Awaitable[None]], app: Mesh = TREE) -> None:
    @scenario(app)
    async def driven(world: World) -> None:
        await test(world, await world.connect(Host, sub="alice"))

    run = simulate(driven)
    if run.failure is not None:
        raise run.failure


def heard(world: World, count: int) -> list[Any]:
    return [world.object("MEMBER", f"m{n}").storage.kv.get("heard") for n in range(count)]


def test_up_to_the_threshold_the_object_calls_each_target_itself() -> None:
    """BC-2, BC-6: one hop; no Worker is needed."""

    async def drive(world: World, host: Host) -> None:
        host.speak(7, "hello", direct_threshold=7)
        await world.settle()
        hops = ["LumenizeClient", "LumenizeDO"]
        assert heard(world, 7) == [["hello", hops]] * 3 + [None] + [["hello", hops]] * 3
        assert any("fire-and-forget" in line for line in world.errors_logged)  # of the deaf one, BC-2

    passes(drive, FLAT)


def test_beyond_it_workers_pass_the_calls_on_and_stand_in_the_chain() -> None:
    """BC-3 to BC-6: 8 targets by branches of 2 are three levels of Workers."""

    async def drive(world: World, host: Host) -> None:
        host.speak(8, "hello", direct_threshold=3, branch=2)
        await world.settle()
        found = heard(world, 8)
        assert found[3] is None
        hops = ["LumenizeClient", "LumenizeDO", "LumenizeWorker", "LumenizeWorker", "LumenizeWorker"]
        assert found[:3] + found[4:] == [["hello", hops]] * 7

    passes(drive)


def test_failures_reach_the_handler_and_nothing_else_does() -> None:
    """BC-7, BC-9: directly it runs here, and needs no @mesh."""

    async def drive(world: World, host: Host) -> None:
        host.speak_with_result(14, "hello")
        await world.settle()
        assert world.object("ROOM", "r").storage.kv.get("errors") == ["m3 is deaf", "m13 is deaf"]

    passes(drive)


def test_from_the_tree_failures_go_to_the_origin_of_the_chain() -> None:
    """BC-8, BC-9: which is the client here, and its handler is @mesh."""

    async def drive(world: World, host: Host) -> None:
        host.speak_with_result(14, "hello", direct_threshold=5)
        await world.settle()
        assert sorted(host.errors) == ["m13 is deaf", "m3 is deaf"]
        assert world.object("ROOM", "r").storage.kv.get("errors") is None

    passes(drive)


@pytest.mark.parametrize(
    "what, says",
    [
        ("remote", "Invalid remoteContinuation: must be created with this.ctn()"),
        ("result", "Invalid handlerContinuation: must be created with this.ctn()"),
        ("tree remote", "svc.broadcast: remote must be a continuation (this.ctn<T>().method(...))"),
        ("tree result", "svc.broadcast: opts.onResult must be a continuation"),
        ("target", "'m' is no target"),
        ("nobody", ""),
    ],
)
def test_what_is_no_broadcast_is_refused_and_an_empty_one_is_nothing(what: str, says: str) -> None:
    """BC-1, BC-2 in the words of `call`, BC-3."""

    async def drive(world: World, host: Host) -> None:
        host.be_wrong(what)
        await world.settle()
        assert [says in error for error in host.errors] == [True] * bool(says)

    passes(drive)


@pytest.mark.parametrize("branch", [1, 0, -3, 1.5, True, None, "6", []])
def test_a_tree_that_would_never_end_is_refused_whoever_asks_for_it(branch: Any) -> None:
    """BC-4: the Worker's method is open to everybody, and one branch is a tree as large as the one before."""
    with pytest.raises(MeshError, match="a tree needs at least 2"):
        fanning_out(branch)

    async def drive(world: World, host: Host) -> None:
        chain: Any = [
            {"type": "get", "key": "__broadcastTier"},
            {"type": "apply", "args": [[{"bindingName": "MEMBER", "instanceName": "m"}] * 7, [], branch]},
        ]
        with pytest.raises(Exception, match="a tree needs at least 2"):
            await host.lmz.call_raw("LUMENIZE_BROADCAST_TIER", None, chain)

    passes(drive)


def test_a_tree_without_its_worker_is_refused_by_name() -> None:
    """BC-3, CALL-7."""

    async def drive(world: World, host: Host) -> None:
        host.speak(101, "hello")
        await world.settle()
        assert host.errors == ["lmz.call: no binding named 'LUMENIZE_BROADCAST_TIER' in env."]

    passes(drive, FLAT)


@pytest.mark.parametrize("count, branch, sizes", [(7, 6, [2, 2, 2, 1]), (101, 6, [17] * 5 + [16]), (6, 6, [1] * 6)])
def test_groups_are_of_equal_size_but_for_the_last(count: int, branch: int, sizes: list[int]) -> None:
    """BC-5."""
    assert [len(group) for group in groups(range(count), branch)] == sizes


@given(st.integers(1, 400), st.integers(1, 20))
def test_groups_keep_everybody_in_order_and_nobody_twice(count: int, branch: int) -> None:
    """BC-4."""
    split = groups(list(range(count)), branch)
    assert [n for group in split for n in group] == list(range(count))
    assert all(split)
    assert len(split) <= branch


def test_a_target_may_be_given_as_the_original_does() -> None:
    assert target_of({"bindingName": "A", "instanceName": "i"}) == Target("A", "i")
    assert target_of({"binding_name": "W"}) == Target("W")
    assert Target("W").to_wire() == {"bindingName": "W"}

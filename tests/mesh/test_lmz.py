"""Calls between nodes of a small fake cluster (LMZ-, CALL-, CTX-, DO-, WK- rules)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from types import SimpleNamespace
from typing import Any

import outcome
import pytest
import trio
import trio.testing

from lumenize_sim.clone import UNDEFINED, DataCloneError, RemoteError, postprocess, preprocess, structured_clone
from lumenize_sim.errors import AppError
from lumenize_sim.mesh import (
    RESULT,
    LumenizeDO,
    LumenizeWorker,
    MeshError,
    NadisPlugin,
    NodeIdentity,
    OriginAuth,
    continuation_from_chain,
    get_operation_chain,
    mesh,
    replace_nested_operation_markers,
)
from lumenize_sim.mesh.cluster_lmz import BINDING_KEY, INSTANCE_KEY
from lumenize_sim.mesh.context import (
    CallContext,
    call_context_var,
    capture_context,
    context_from_wire,
    context_to_wire,
    outgoing_context,
)
from lumenize_sim.mesh.envelope import Envelope, Failure, Metadata, Result
from lumenize_sim.mesh.services import registry
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.pending import Outcome, Pending, gather
from lumenize_sim.objects.strand import Owner

HEX = "0123456789abcdef" * 4


class FakeHost:
    def __init__(self) -> None:
        self.logs: list[tuple[str, str, str, Any]] = []

    def now_ms(self) -> int:
        return 1_000

    def random(self, owner: Owner) -> random.Random:
        return random.Random(owner.name)

    def uuid(self, owner: Owner) -> str:
        return f"uuid of {owner.name}"

    def log(self, owner: Owner, level: str, namespace: str, message: str, data: Mapping[str, Any]) -> None:
        self.logs.append((level, namespace, message, dict(data)))


class FakeKV:
    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.writes = 0
        self.reads = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.reads += 1
        return self.entries.get(key, default)

    def put(self, key: str, value: Any) -> None:
        self.writes += 1
        self.entries[key] = value


class FakeStorage:
    def __init__(self) -> None:
        self.sql = SimpleNamespace(has_table=lambda name: False)
        self.kv = FakeKV()


class CountingStorage(FakeStorage):
    wipes = 0


class FakeCtx:
    def __init__(self, cluster: Cluster, name: str, storage: FakeStorage) -> None:
        self.cluster = cluster
        self.host = cluster.host
        self.owner = Owner(name, cluster.start, lambda owner: None)
        self.storage = storage
        self.waits: list[Pending[Any]] = []
        self.blocked: Pending[Any] | None = None

    def wait_until(self, pending: Pending[Any]) -> None:
        self.waits.append(pending)

    def block_concurrency_while(self, callback: Callable[[], Any]) -> Pending[Any]:
        self.blocked = Pending("block")
        self.cluster.start(self._block, (callback,))
        return self.blocked

    async def _block(self, callback: Callable[[], Any]) -> None:
        assert self.blocked is not None
        self.blocked.settle(await outcome.acapture(callback))


class Env:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __getitem__(self, name: str) -> Any:
        cls = self._cluster.bindings[name]
        return Namespace(self._cluster, name) if issubclass(cls, LumenizeDO) else Service(self._cluster, name)


class Stub:
    def __init__(self, cluster: Cluster, binding: str, name: str) -> None:
        self.cluster, self.binding, self.name = cluster, binding, name

    def call(self, method: str, *args: Any) -> Pending[Any]:
        assert method == "_execute_operation"
        return self.cluster.deliver(lambda: self.cluster.object(self.binding, self.name), args[0])


class Namespace:
    def __init__(self, cluster: Cluster, binding: str) -> None:
        self.cluster, self.binding = cluster, binding

    def id_from_name(self, name: str) -> str:
        return name

    def id_from_string(self, text: str) -> str:
        return f"id:{text}"

    def get(self, object_id: str) -> Stub:
        return Stub(self.cluster, self.binding, object_id)

    def get_by_name(self, name: str) -> Stub:
        return Stub(self.cluster, self.binding, name)


class Service:
    """Answers to any name, as stubs of the platform do."""

    def __init__(self, cluster: Cluster, binding: str) -> None:
        self.cluster, self.binding = cluster, binding

    def fetch(self, request: Any) -> None: ...

    def call(self, method: str, *args: Any) -> Pending[Any]:
        assert method == "_execute_operation"
        return self.cluster.deliver(lambda: self.cluster.worker(self.binding), args[0])

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


class Cluster:
    def __init__(self, nursery: trio.Nursery, storage: type[FakeStorage], **bindings: type) -> None:
        self.nursery = nursery
        self.host = FakeHost()
        self.bindings = bindings
        self.storage = storage
        self.objects: dict[tuple[str, str], Any] = {}
        self.workers: list[Any] = []
        self.envelopes: list[Envelope] = []
        self.answers: list[Any] = []
        self.fail_with: Exception | None = None

    def start(self, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.nursery.start_soon(async_fn, *args)

    def object(self, binding: str, name: str) -> Any:
        if (binding, name) not in self.objects:
            node = self.bindings[binding](FakeCtx(self, f"{binding}/{name}", self.storage()), Env(self))
            node._after_construct()
            self.objects[binding, name] = node
        return self.objects[binding, name]

    def known(self, binding: str, name: str) -> Any:
        node = self.object(binding, name)
        node.lmz.init_identity(binding, name)
        return node

    def worker(self, binding: str) -> Any:
        self.workers.append(self.bindings[binding](FakeCtx(self, binding, FakeStorage()), Env(self)))
        return self.workers[-1]

    def deliver(self, find: Callable[[], Any], envelope: Envelope) -> Pending[Any]:
        if self.fail_with is not None:
            raise self.fail_with
        assert type(envelope).__by_value__
        self.envelopes.append(envelope)
        answer: Pending[Any] = Pending("rpc")
        Context().run(self.nursery.start_soon, self._deliver, find, envelope, answer)
        return answer

    async def _deliver(self, find: Callable[[], Any], envelope: Envelope, answer: Pending[Any]) -> None:
        node = find()
        if getattr(node.ctx, "blocked", None) is not None:
            try:
                await node.ctx.blocked
            except Exception as error:
                answer.settle(outcome.Error(error))
                return
        response = node._execute_operation(envelope)
        if hasattr(type(response), "__await__"):
            response = await response
        assert call_context_var.get() is None, "a call left its context behind"
        if type(response) is Result:
            response = Result(structured_clone(response.value))
        self.answers.append(response)
        answer.settle(outcome.Value(response))


@asynccontextmanager
async def cluster(storage: type[FakeStorage] = FakeStorage, **bindings: type) -> AsyncIterator[Cluster]:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            yield Cluster(nursery, storage, **bindings)


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


class Custom(Exception):
    pass


class Echo(LumenizeDO):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.seen: list[Any] = []

    def on_before_call(self) -> None:
        self.seen.append("before")
        if self.lmz.call_context.state.get("blocked"):
            raise PermissionError("blocked")

    @mesh
    def echo(self, value: Any) -> Any:
        return f"echo: {value}"

    @mesh
    def same(self, value: Any) -> Any:
        return value

    @mesh
    async def slow(self, value: Any) -> Any:
        await trio.lowlevel.checkpoint()
        assert self.lmz.call_context is call_context_var.get()
        return value

    @mesh
    def nothing(self) -> None: ...

    @mesh
    def fail(self) -> None:
        raise ValueError("no")

    @mesh
    async def fail_later(self) -> None:
        await trio.lowlevel.checkpoint()
        raise Custom("later")

    @mesh
    def returns_error(self) -> Exception:
        return ValueError("a value")

    def plain(self) -> None: ...

    @mesh(lambda node: node.only_admins())
    def admin(self) -> str:
        return "welcome"

    def only_admins(self) -> None:
        if self.lmz.call_context.state.get("role") != "admin":
            raise PermissionError("admins only")

    @mesh
    def chain(self) -> list[Any]:
        return [identity.to_wire() for identity in self.lmz.call_context.call_chain]

    @mesh
    def context(self) -> Any:
        return context_to_wire(self.lmz.call_context)

    @mesh
    async def forward(self, binding: str, instance: str | None) -> Any:
        return await self.lmz.call_raw(binding, instance, self.ctn(Echo).chain())

    @mesh
    async def with_state(self, binding: str, instance: str) -> Any:
        self.lmz.call_context.state["mine"] = 1
        before = self.lmz.call_context
        results = await gather(
            *(self.lmz.call_raw(binding, instance, self.ctn(Echo).context(), state={"n": n}) for n in range(3))
        )
        assert self.lmz.call_context is before
        return results

    @mesh
    def call_back(self) -> None:
        origin = self.lmz.call_context.call_chain[-1]
        assert origin.binding_name is not None
        self.lmz.call(origin.binding_name, origin.instance_name, self.ctn(Echo).called_back())

    @mesh
    def called_back(self) -> None:
        self.seen.append(self.chain())

    # Handlers

    def on_result(self, result: Any) -> None:
        self.seen.append(result)

    def on_done(self) -> None:
        self.seen.append("done")

    async def on_result_later(self, result: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.seen.append(result)

    def on_result_raising(self, result: Any) -> None:
        self.seen.append(result)
        raise RuntimeError(f"handler of {result!r}")

    async def on_result_raising_once(self, result: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.seen.append(result)
        if not isinstance(result, Exception):
            raise RuntimeError("once")

    def on_result_with_state(self, tag: str, result: Any) -> None:
        context = self.lmz.call_context
        self.seen.append((tag, dict(context.state)))
        context.state["by"] = tag

    def on_result_calling(self, result: Any) -> None:
        self.lmz.call("ECHO", "b", self.ctn(Echo).chain(), self.ctn().on_result(RESULT))

    @mesh
    def start_handlers(self) -> None:
        state = self.lmz.call_context.state
        state["when"] = "call"
        state["deep"] = []
        self.lmz.call("ECHO", "b", self.ctn(Echo).same(1), self.ctn().on_result_with_state("one", RESULT))
        self.lmz.call("ECHO", "b", self.ctn(Echo).same(2), self.ctn().on_result_with_state("two", RESULT))
        state["when"] = "later"
        state["deep"].append("shared")

    @mesh
    def start_chained_handler(self) -> None:
        self.lmz.call("ECHO", "b", self.ctn(Echo).same(1), self.ctn().on_result_calling(RESULT))


class Hop(LumenizeWorker):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.seen: list[Any] = []

    @mesh
    def who(self) -> Any:
        return [self.lmz.binding_name, self.lmz.instance_name]

    @mesh
    def chain(self) -> list[Any]:
        return [identity.to_wire() for identity in self.lmz.call_context.call_chain]

    @mesh
    async def forward(self, binding: str, instance: str | None) -> Any:
        return [self.chain(), await self.lmz.call_raw(binding, instance, self.ctn(Echo).chain())]

    @mesh
    def fail(self) -> None:
        raise ValueError("worker says no")

    def on_result(self, result: Any) -> None:
        self.seen.append(result)


ECHO_A = {"type": "LumenizeDO", "bindingName": "ECHO", "instanceName": "a"}
ECHO_B = {"type": "LumenizeDO", "bindingName": "ECHO", "instanceName": "b"}
HOP = {"type": "LumenizeWorker", "bindingName": "HOP"}


# call_raw


@pytest.mark.trio
async def test_a_call_returns_the_remote_result() -> None:
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        assert await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).echo("hello")) == "echo: hello"
        assert await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).slow("hello")) == "hello"
        assert await a.lmz.call_raw("ECHO", "b", get_operation_chain(a.ctn(Echo).echo(1))) == "echo: 1"
        assert c.answers[0] == Result("echo: hello")


@pytest.mark.trio
async def test_undefined_as_a_whole_result_is_none() -> None:
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        assert await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).nothing()) is None
        assert c.answers[-1].value is UNDEFINED


@pytest.mark.trio
async def test_the_envelope_names_caller_and_callee() -> None:
    """CALL-15, CALL-16, T-DO 35, 36, 38 … 40."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        a = c.known("ECHO", "a")
        await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).echo(1), state={"x": 1})
        await a.lmz.call_raw("HOP", None, a.ctn(Hop).who())
        first, second = c.envelopes
        me = NodeIdentity("LumenizeDO", "ECHO", "a")
        assert first.version == 1
        assert first.chain == preprocess(get_operation_chain(a.ctn(Echo).echo(1)))
        assert first.call_context == CallContext((me,), None, {"x": 1})
        assert first.metadata == Metadata(me, NodeIdentity("LumenizeDO", "ECHO", "b"))
        assert second.metadata == Metadata(me, NodeIdentity("LumenizeWorker", "HOP"))


@pytest.mark.trio
async def test_a_callee_learns_its_names_from_the_envelope() -> None:
    """LMZ-7, LMZ-11, T-DO 37, 43."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        a = c.object("ECHO", "a")
        await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).echo(1))
        assert (c.object("ECHO", "b").lmz.binding_name, c.object("ECHO", "b").lmz.instance_name) == ("ECHO", "b")
        assert c.envelopes[0].metadata.caller == NodeIdentity("LumenizeDO")  # type: ignore[union-attr]  # there is one
        assert await a.lmz.call_raw("HOP", None, a.ctn(Hop).who()) == ["HOP", None]
        await a.lmz.call_raw("ECHO", HEX, a.ctn(Echo).echo(1))
        assert c.object("ECHO", f"id:{HEX}").lmz.instance_name == HEX


@pytest.mark.trio
async def test_a_second_binding_name_is_a_failure_of_the_call() -> None:
    async with cluster(ECHO=Echo, ALIAS=Echo) as c:
        a = c.known("ECHO", "a")
        c.objects["ALIAS", "a"] = a
        with pytest.raises(RemoteError, match=r"^DO binding name mismatch: stored 'ECHO' but received 'ALIAS'"):
            await a.lmz.call_raw("ALIAS", "a", a.ctn(Echo).echo(1))


@pytest.mark.trio
async def test_arguments_and_state_are_snapshots_of_the_moment_of_the_call() -> None:
    """CALL-19."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        argument, state = [1], {"deep": [1]}
        pending = a.lmz.call_raw("ECHO", "b", a.ctn(Echo).same(argument), state=state)
        argument.append(2)
        state["deep"].append(2)
        assert await pending == [1]
        assert c.envelopes[0].call_context.state == {"deep": [1]}  # type: ignore[union-attr]  # there is one


@pytest.mark.trio
async def test_errors_arrive_with_their_name() -> None:
    """RES-2, RES-3, RES-5, RES-6."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        a = c.known("ECHO", "a")
        with pytest.raises(ValueError, match=r"^no$"):
            await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).fail())
        with pytest.raises(RemoteError, match=r"^later$") as later:
            await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).fail_later())
        assert later.value.name == "Custom"
        with pytest.raises(RemoteError, match=r"^Method 'plain' is not mesh-callable") as plain:
            await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).plain())
        assert plain.value.name == "Error"
        with pytest.raises(PermissionError, match="blocked"):
            await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).echo(1), state={"blocked": True})
        with pytest.raises(ValueError, match="worker says no"):
            await a.lmz.call_raw("HOP", None, a.ctn(Hop).fail())


@pytest.mark.trio
async def test_problems_after_validation_fail_the_result() -> None:
    """CALL-11."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        pending = a.lmz.call_raw("ECHO", "b", a.ctn(Echo).echo(1), state={"x": trio.open_nursery})
        assert pending.done
        with pytest.raises(DataCloneError):
            await pending
        c.fail_with = ConnectionError("gone")
        with pytest.raises(ConnectionError, match="gone"):
            await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).echo(1))


class Settled:
    """A binding whose calls settle with what one likes."""

    def __init__(self, result: Outcome) -> None:
        self.result = result

    def fetch(self) -> None: ...

    def call(self, method: str, *args: Any) -> Pending[Any]:
        pending: Pending[Any] = Pending()
        pending.settle(self.result)
        return pending


@pytest.mark.trio
async def test_odd_answers_are_understood() -> None:
    """CALL-18, CALL-24, RES-7."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")

        async def answer(result: Outcome) -> Any:
            a.env = a.lmz._env = {"ODD": Settled(result)}
            return await a.lmz.call_raw("ODD", None, a.ctn().x())

        assert await answer(outcome.Value(None)) is None
        assert await answer(outcome.Value(Result(UNDEFINED))) is None
        with pytest.raises(ConnectionError):
            await answer(outcome.Error(ConnectionError()))
        with pytest.raises(MeshError, match=r"^7$") as caught:
            await answer(outcome.Value(Failure(preprocess(7))))
        assert caught.value.value == 7
        with pytest.raises((TypeError, ValueError)):
            await answer(outcome.Value(Failure("no encoded value")))


# Validation


@pytest.mark.trio
async def test_targets_are_validated_at_the_call_site() -> None:
    """CALL-7 … CALL-9, T-CT 1 … 4."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        a = c.known("ECHO", "a")
        remote = a.ctn(Echo).echo(1)
        for method in (a.lmz.call_raw, a.lmz.call):
            with pytest.raises(MeshError) as caught:
                method("NONE", "b", remote)
            assert str(caught.value) == "lmz.call: no binding named 'NONE' in env."
            with pytest.raises(MeshError) as caught:
                method("HOP", "b", remote)
            assert str(caught.value) == (
                "lmz.call: binding 'HOP' is a Worker/service binding but an instance name ('b') was supplied. "
                "Pass undefined for Worker calls; put trace metadata in CallOptions."
            )
            for missing in (None, ""):
                with pytest.raises(MeshError) as caught:
                    method("ECHO", missing, remote)
                assert str(caught.value) == (
                    "lmz.call: binding 'ECHO' is a Durable Object namespace and requires an instance name."
                )


@pytest.mark.trio
async def test_call_is_validated_in_order() -> None:
    """CALL-3 … CALL-7, T-DO 56 … 58, T-WK 18."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        a = c.object("ECHO", "a")
        remote = a.ctn(Echo).echo(1)
        for bad in (None, get_operation_chain(remote), "x"):
            with pytest.raises(MeshError, match=r"^Invalid remoteContinuation: must be created with this\.ctn\(\)$"):
                a.lmz.call("NONE", "b", bad, "x")
        with pytest.raises(MeshError, match=r"^Invalid handlerContinuation: must be created with this\.ctn\(\)$"):
            a.lmz.call("NONE", "b", remote, "x")
        with pytest.raises(MeshError) as caught:
            a.lmz.call("NONE", "b", remote)
        assert str(caught.value) == (
            "Cannot use call() from a DO that doesn't know its own binding name. "
            "Ensure routeDORequest routes to this DO or incoming calls include metadata."
        )
        with pytest.raises(MeshError) as caught:
            c.worker("HOP").lmz.call("NONE", "b", remote)
        assert str(caught.value) == (
            "Cannot use call() from a Worker that doesn't know its own binding name. "
            "Ensure incoming calls include metadata or call this.lmz.__init() first."
        )
        with pytest.raises(MeshError, match="Invalid remoteContinuation"):
            a.lmz.call_raw("ECHO", "b", 7)


@pytest.mark.trio
async def test_the_result_placeholder_is_no_call() -> None:
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        for method in (a.lmz.call, a.lmz.call_raw):
            with pytest.raises(AppError, match="RESULT is no call"):
                method("ECHO", "b", RESULT)


# Context


@pytest.mark.trio
async def test_each_hop_appends_itself() -> None:
    """T-CC 1 … 8, CTX-1, LMZ-12."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        a = c.known("ECHO", "a")
        assert await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).chain()) == [ECHO_A]
        assert await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).forward("ECHO", "c")) == [ECHO_A, ECHO_B]
        assert await a.lmz.call_raw("HOP", None, a.ctn(Hop).forward("ECHO", "c")) == [[ECHO_A], [ECHO_A, HOP]]
        with pytest.raises(MeshError, match=r"^Cannot access callContext outside of a mesh call"):
            a.lmz.call_context


@pytest.mark.trio
async def test_state_flows_down_and_never_back() -> None:
    """CALL-20, CALL-21, CTX-5, T-CC 9, 10, 22."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        results = await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).with_state("ECHO", "c"), state={"n": 9, "x": 1})
        assert [r["state"] for r in results] == [{"n": n, "x": 1, "mine": 1} for n in range(3)]
        assert (await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).context()))["state"] == {}


def test_outgoing_contexts() -> None:
    me, other = NodeIdentity("LumenizeDO", "A", "a"), NodeIdentity("LumenizeClient", "G", "u.1")
    auth = OriginAuth("u", {"admin": True})
    current = CallContext([other], auth, {"x": 1})
    assert outgoing_context(None, me) == CallContext((me,), None, {})
    assert outgoing_context(current, me, new_chain=True, state={"y": 2}) == CallContext((me,), None, {"y": 2})
    assert outgoing_context(current, me, state={"x": 2}) == CallContext((other, me), auth, {"x": 2})
    inherited = outgoing_context(current, me)
    assert inherited.state is current.state
    assert capture_context(None) is None
    captured = capture_context(current)
    assert captured == current
    assert captured is not None
    assert captured.state is not current.state


def test_contexts_have_the_key_order_of_the_wire() -> None:
    """WIRE-4, and the frames of section 10."""
    context = CallContext(
        (NodeIdentity("LumenizeClient", "G", "u.1"), NodeIdentity("LumenizeWorker", "W"), NodeIdentity("LumenizeDO")),
        OriginAuth("u", {"admin": True}),
        {"x": 1},
    )
    wire = context_to_wire(context)
    assert list(wire) == ["callChain", "originAuth", "state"]
    assert [list(identity) for identity in wire["callChain"]] == [
        ["type", "bindingName", "instanceName"],
        ["type", "bindingName"],
        ["type"],
    ]
    assert context_from_wire({**wire, "extra": 1}) == context
    bare = context_to_wire(CallContext((), OriginAuth("u")))
    assert bare == {"callChain": [], "originAuth": {"sub": "u"}, "state": {}}
    assert context_from_wire({"callChain": []}) == CallContext(())


@pytest.mark.trio
async def test_the_users_claims_are_copied_from_hop_to_hop() -> None:
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        auth = OriginAuth("alice", {"roles": ["x"]})
        token = call_context_var.set(CallContext((), auth, {}))
        pending = a.lmz.call_raw("ECHO", "b", a.ctn(Echo).context())
        call_context_var.reset(token)
        assert (await pending)["originAuth"] == auth.to_wire()
        sent = c.envelopes[0].call_context.origin_auth  # type: ignore[union-attr]  # there is one
        assert sent == auth
        assert sent.claims["roles"] is not auth.claims["roles"]  # type: ignore[index]  # there are some


@pytest.mark.trio
async def test_guards_see_the_state_of_the_call() -> None:
    """T-CC 11 … 14, CTX-4."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        with pytest.raises(PermissionError, match="admins only"):
            await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).admin())
        assert await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).admin(), state={"role": "admin"}) == "welcome"
        assert c.object("ECHO", "b").seen == ["before", "before"]


@pytest.mark.trio
async def test_a_callee_that_calls_back_goes_on_with_the_chain() -> None:
    """CTX-11, T-CC 23, 24."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        await a.lmz.call_raw("ECHO", "b", a.ctn(Echo).call_back())
        await settled()
        assert a.seen == ["before", [ECHO_A, ECHO_B]]


# call


@pytest.mark.trio
async def test_results_and_errors_reach_the_handler_later() -> None:
    """T-DO 49 … 55, 60, 61, CALL-29."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        remote, handler = a.ctn(Echo), a.ctn()
        a.lmz.call("ECHO", "b", remote.echo(1), handler.on_result(RESULT))
        assert a.seen == []
        await settled()
        assert a.seen == ["echo: 1"]
        a.seen.clear()
        a.lmz.call("ECHO", "b", remote.fail(), handler.on_result(RESULT))
        a.lmz.call("ECHO", "b", remote.returns_error(), handler.on_result())
        a.lmz.call("ECHO", "b", remote.echo(2), handler.on_result_later(RESULT))
        a.lmz.call("ECHO", "b", remote.echo(3), handler.on_done())
        a.lmz.call("ECHO", "b", remote.echo(4), handler.on_result(RESULT), on_error_only=True)
        a.lmz.call("ECHO", "b", remote.fail(), handler.on_result(RESULT), on_error_only=True)
        await settled()
        assert sorted(map(str, a.seen)) == ["a value", "done", "echo: 2", "no", "no"]
        assert c.host.logs == []


@pytest.mark.trio
async def test_a_call_that_fails_at_once_still_answers_later() -> None:
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        c.fail_with = ConnectionError("gone")
        a.lmz.call("ECHO", "b", a.ctn(Echo).echo(1), a.ctn().on_result(RESULT))
        assert a.seen == []
        await settled()
        assert [str(error) for error in a.seen] == ["gone"]


NAMESPACE = "lmz.mesh.lmzApi.setupFireAndForgetHandler"


@pytest.mark.trio
async def test_a_failure_that_nobody_handles_is_logged() -> None:
    """CALL-27."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        a.lmz.call("ECHO", "b", a.ctn(Echo).fail())
        a.lmz.call("ECHO", "b", a.ctn(Echo).echo(1))
        await settled()
        message = "fire-and-forget call failed with no handler to receive the error"
        assert c.host.logs == [("error", NAMESPACE, message, {"error": "no"})]


@pytest.mark.trio
async def test_a_handler_that_raises_on_a_result_hears_its_own_error_once() -> None:
    """CALL-28."""
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        failed = "failed to deliver fire-and-forget result/error to handler"
        a.lmz.call("ECHO", "b", a.ctn(Echo).same(1), a.ctn().on_result_raising(RESULT))
        await settled()
        assert [type(x) for x in a.seen] == [int, RuntimeError]
        assert [log[1:3] for log in c.host.logs] == [(NAMESPACE, failed)]
        assert c.host.logs[0][3]["error"].startswith("handler of RuntimeError")
        a.seen.clear()
        c.host.logs.clear()
        a.lmz.call("ECHO", "b", a.ctn(Echo).same(1), a.ctn().on_result_raising_once(RESULT))
        await settled()
        assert [type(x) for x in a.seen] == [int, RuntimeError]
        assert c.host.logs == []
        a.lmz.call("ECHO", "b", a.ctn(Echo).fail(), a.ctn().on_result_raising(RESULT))
        await settled()
        assert len(c.host.logs) == 1


@pytest.mark.trio
async def test_handlers_run_under_the_context_of_the_call() -> None:
    """CTX-6, CTX-8, T-CC 25, 26."""
    async with cluster(ECHO=Echo) as c:
        a, o = c.known("ECHO", "a"), c.known("ECHO", "origin")
        await o.lmz.call_raw("ECHO", "a", o.ctn(Echo).start_handlers(), state={"x": 1})
        await settled()
        seen = sorted(entry for entry in a.seen if entry != "before")
        expected = {"x": 1, "when": "call", "deep": ["shared"]}
        assert seen == [("one", expected), ("two", expected)]
        a.lmz.call("ECHO", "b", a.ctn(Echo).same(1), a.ctn().on_result_with_state("none", RESULT))
        await settled()
        assert "Cannot access callContext" in c.host.logs[0][3]["error"]


@pytest.mark.trio
async def test_a_call_in_a_handler_extends_the_captured_chain() -> None:
    """CTX-7."""
    async with cluster(ECHO=Echo) as c:
        a, o = c.known("ECHO", "a"), c.known("ECHO", "origin")
        await o.lmz.call_raw("ECHO", "a", o.ctn(Echo).start_chained_handler())
        await settled()
        assert a.seen[-1] == [{**ECHO_A, "instanceName": "origin"}, ECHO_A]


@pytest.mark.trio
async def test_a_worker_lives_until_its_handler_has_ended() -> None:
    """CALL-30, T-WK 15 … 17."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        worker = c.worker("HOP")
        worker.lmz.init_identity("HOP")
        worker.lmz.call("ECHO", "b", worker.ctn(Echo).echo(1), worker.ctn().on_result(RESULT))
        worker.lmz.call("ECHO", "b", worker.ctn(Echo).fail(), worker.ctn().on_result(RESULT))
        worker.lmz.call("ECHO", "b", worker.ctn(Echo).echo(2))
        worker.lmz.call("ECHO", "b", worker.ctn(Echo).echo(2), worker.ctn().on_result(RESULT), on_error_only=True)
        assert [pending.done for pending in worker.ctx.waits] == [False] * 4
        await settled()
        assert [pending.done for pending in worker.ctx.waits] == [True] * 4
        assert sorted(map(str, worker.seen)) == ["echo: 1", "no"]


@pytest.mark.trio
async def test_a_result_that_looks_like_a_call_is_not_forwarded_as_one() -> None:
    async with cluster(ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        marker = {"__isNestedOperation": True, "__operationChain": []}
        chain = get_operation_chain(a.ctn(Echo).same(RESULT))
        assert chain is not None
        forwarded = continuation_from_chain(replace_nested_operation_markers(chain, marker))
        with pytest.raises(AppError, match="the receiver would run it"):
            await a.lmz.call_raw("ECHO", "b", forwarded)
        inside = continuation_from_chain(replace_nested_operation_markers(chain, [marker]))
        assert await a.lmz.call_raw("ECHO", "b", inside) == [marker]


# Receiving


def envelope(**changes: Any) -> Envelope:
    given: dict[str, Any] = {
        "version": 1,
        "chain": preprocess([{"type": "get", "key": "echo"}, {"type": "apply", "args": [1]}]),
        "call_context": CallContext(()),
        "metadata": None,
    }
    return Envelope(**{**given, **changes})


def error_of(response: Any) -> Exception:
    assert type(response) is Failure
    error = postprocess(response.error_encoded)
    assert isinstance(error, Exception)
    return error


@pytest.mark.trio
async def test_other_versions_are_refused() -> None:
    """CALL-33, T-DO 45 … 48, T-WK 8, 9."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        a = c.object("ECHO", "a")
        for version, shown in ((None, "undefined"), (UNDEFINED, "undefined"), (0, "0"), (2, "2")):
            for node, name in ((a, "LumenizeDO"), (c.worker("HOP"), "LumenizeWorker")):
                assert str(error_of(node._execute_operation(envelope(version=version)))) == (
                    f"Unsupported RPC envelope version: {shown}. This version of {name} only supports v1 envelopes. "
                    f"Old-style calls without envelopes are no longer supported."
                )
        assert c.host.logs[0][:3] == (
            "error",
            "lmz.mesh.LumenizeDO.__executeOperation",
            "Unsupported RPC envelope version: undefined",
        )
        assert a._execute_operation(envelope()) == Result("echo: 1")


@pytest.mark.trio
async def test_whatever_is_wrong_with_an_envelope_is_an_answer() -> None:
    """CALL-34, RES-6."""
    async with cluster(ECHO=Echo) as c:
        a = c.object("ECHO", "a")
        assert str(error_of(a._execute_operation(envelope(call_context=None)))) == (
            "Missing callContext in envelope. All mesh calls must include callContext."
        )
        error_of(a._execute_operation(envelope(chain="nonsense")))
        assert "must be an array" in str(error_of(a._execute_operation(envelope(chain=preprocess("x")))))


class Hostile(LumenizeDO):
    @mesh
    def fail(self) -> None:
        raise ValueError("x") from Unencodable()


class Unencodable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.trio
async def test_an_error_that_cannot_be_encoded_is_answered_too() -> None:
    async with cluster(HOSTILE=Hostile) as c:
        chain = preprocess([{"type": "get", "key": "fail"}, {"type": "apply", "args": []}])
        error = error_of(c.object("HOSTILE", "a")._execute_operation(envelope(chain=chain)))
        assert str(error).startswith("ValueError: x (this error could not be encoded")


# Identity


@pytest.mark.trio
@pytest.mark.parametrize("storage", [FakeStorage, CountingStorage])
async def test_identity_is_written_once_and_never_changes(storage: type[FakeStorage]) -> None:
    """LMZ-3 … LMZ-5, T-DO 22 … 33."""
    async with cluster(storage, ECHO=Echo) as c:
        a = c.object("ECHO", "a")
        lmz, kv = a.lmz, a.ctx.storage.kv
        assert (lmz.type, lmz.binding_name, lmz.instance_name) == ("LumenizeDO", None, None)
        lmz.init_identity()
        assert kv.entries == {}
        lmz.init_identity(binding_name="A")
        lmz.init_identity(instance_name="one")
        lmz.init_identity("A", "one")
        assert (lmz.binding_name, lmz.instance_name) == ("A", "one")
        assert kv.entries == {BINDING_KEY: "A", INSTANCE_KEY: "one"}
        assert kv.writes == 2
        with pytest.raises(MeshError) as caught:
            lmz.init_identity("B")
        assert str(caught.value) == (
            "DO binding name mismatch: stored 'A' but received 'B'. A DO instance cannot change its binding name."
        )
        with pytest.raises(MeshError) as caught:
            lmz.init_identity("A", "two")
        assert str(caught.value) == (
            "DO instance name mismatch: stored 'one' but received 'two'. A DO instance cannot change its name."
        )


@pytest.mark.trio
async def test_an_accepted_binding_name_stays_when_the_instance_name_is_refused() -> None:
    """LMZ-5."""
    async with cluster(ECHO=Echo) as c:
        lmz = c.object("ECHO", "a").lmz
        lmz.init_identity(None, "one")
        with pytest.raises(MeshError):
            lmz.init_identity("A", "two")
        assert (lmz.binding_name, lmz.instance_name) == ("A", "one")


@pytest.mark.trio
async def test_storage_that_was_emptied_forgets_the_identity() -> None:
    for storage in (FakeStorage, CountingStorage):
        async with cluster(storage, ECHO=Echo) as c:
            a = c.known("ECHO", "a")
            assert a.lmz.binding_name == "ECHO"
            a.ctx.storage.kv.entries.clear()
            if storage is CountingStorage:
                a.ctx.storage.wipes = 1
            assert a.lmz.binding_name is None


@pytest.mark.trio
async def test_identity_is_not_read_again_where_storage_counts_its_losses() -> None:
    async with cluster(CountingStorage, ECHO=Echo) as c:
        a = c.known("ECHO", "a")
        reads = a.ctx.storage.kv.reads
        for _ in range(3):
            assert (a.lmz.binding_name, a.lmz.instance_name) == ("ECHO", "a")
            a.lmz.init_identity("ECHO", "a")
        assert a.ctx.storage.kv.reads == reads


@pytest.mark.trio
async def test_a_worker_knows_its_binding_for_one_invocation() -> None:
    """LMZ-2, LMZ-4, LMZ-6, T-WK 1 … 5."""
    async with cluster(HOP=Hop) as c:
        lmz = c.worker("HOP").lmz
        assert (lmz.type, lmz.binding_name, lmz.instance_name) == ("LumenizeWorker", None, None)
        lmz.init_identity(None, "x")
        lmz.init_identity("HOP", "x")
        lmz.init_identity("HOP")
        assert (lmz.binding_name, lmz.instance_name) == ("HOP", None)
        with pytest.raises(MeshError) as caught:
            lmz.init_identity("B")
        assert str(caught.value) == (
            "Worker binding name mismatch: stored 'HOP' but received 'B'. "
            "A Worker instance cannot change its binding name."
        )
        assert c.worker("HOP").lmz.binding_name is None


@pytest.mark.trio
async def test_time_chance_and_ids_come_from_the_host() -> None:
    async with cluster(HOP=Hop) as c:
        lmz = c.worker("HOP").lmz
        assert lmz.now() == 1_000
        assert lmz.uuid() == "uuid of HOP"
        assert lmz.random.random() == random.Random("HOP").random()


# HTTP


class Site(LumenizeDO):
    def on_request(self, request: Request) -> Response:
        return Response(200, f"{request.method} {self.lmz.binding_name} {self.lmz.instance_name}")


def stamped(binding: str = "", instance: str = "") -> Request:
    headers = {"X-Lumenize-DO-Binding-Name": binding, "X-Lumenize-DO-Instance-Name-Or-Id": instance}
    return Request("GET", "https://x/", headers)


@pytest.mark.trio
async def test_requests_bring_the_identity() -> None:
    """DO-3, LMZ-8 … LMZ-10, T-DO 1 … 5, 15 … 21, 59, T-IH."""
    async with cluster(ECHO=Echo, SITE=Site) as c:
        answer = c.object("ECHO", "a").fetch(stamped())
        assert (answer.status, answer.text) == (
            501,
            "Not Implemented: override onRequest() to handle HTTP requests",
        )
        site = c.object("SITE", "s")
        assert site.fetch(stamped()).text == "GET None None"
        refused = site.fetch(stamped("SITE", HEX))
        assert (refused.status, refused.text) == (400, "LumenizeDO requires instanceName, not a DO id string.")
        assert site.lmz.binding_name is None
        assert site.fetch(stamped("SITE")).text == "GET SITE None"
        assert site.fetch(stamped("", "s")).text == "GET SITE s"
        assert site.fetch(stamped("SITE", "s")).status == 200
        refused = site.fetch(stamped("OTHER"))
        assert refused.status == 500
        assert refused.text.startswith("DO binding name mismatch: stored 'SITE' but received 'OTHER'.")
        assert "stored 's' but received 't'" in site.fetch(stamped("", "t")).text


# Construction and services


class Starts(Echo):
    async def on_start(self) -> None:
        assert call_context_var.get() is None
        await trio.lowlevel.checkpoint()
        self.ctx.storage.kv.put("started", self.seen == [])


class StartsAtOnce(Echo):
    def on_start(self) -> None:
        self.seen.append("started")


class Breaks(Echo):
    def on_start(self) -> None:
        raise ValueError("cannot start")


@pytest.mark.trio
async def test_nothing_is_delivered_before_on_start_has_ended() -> None:
    """DO-1, T-DO 6, 8, 9."""
    async with cluster(ECHO=Echo, STARTS=Starts, AT_ONCE=StartsAtOnce) as c:
        a = c.known("ECHO", "a")
        assert await gather(*(a.lmz.call_raw("STARTS", "x", a.ctn(Echo).same(n)) for n in range(3))) == [0, 1, 2]
        assert c.object("STARTS", "x").ctx.storage.kv.get("started") is True
        await a.lmz.call_raw("AT_ONCE", "x", a.ctn(Echo).same(1))
        assert c.object("AT_ONCE", "x").seen == ["started", "before"]
        assert a.ctx.blocked is None


@pytest.mark.trio
async def test_on_start_has_no_call_context_whoever_woke_the_object() -> None:
    """CTX-3."""
    async with cluster(STARTS=Starts) as c:
        token = call_context_var.set(CallContext(()))
        node = c.object("STARTS", "x")
        call_context_var.reset(token)
        await node.ctx.blocked
        assert node.ctx.storage.kv.get("started") is True


@pytest.mark.trio
async def test_an_object_that_cannot_start_fails_its_calls_with_that_error() -> None:
    """DO-2, T-DO 7."""
    async with cluster(ECHO=Echo, BREAKS=Breaks) as c:
        a = c.known("ECHO", "a")
        with pytest.raises(ValueError, match="cannot start"):
            await a.lmz.call_raw("BREAKS", "x", a.ctn(Echo).same(1))
        assert c.host.logs == [("error", "lmz.mesh.LumenizeDO.onStart", "onStart() failed", {"error": "cannot start"})]


class Clock(NadisPlugin):
    def now(self) -> int:
        return 5


class NeedsMissing(NadisPlugin):
    def __init__(self, do_instance: Any) -> None:
        super().__init__(do_instance)
        self.svc.missing


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_factories", {})
    NadisPlugin.register("clock", Clock)
    NadisPlugin.register("double", lambda node: lambda x: x * 2)
    NadisPlugin.register("nothing", lambda node: None)
    NadisPlugin.register("needs_missing", NeedsMissing)


@pytest.mark.trio
@pytest.mark.usefixtures("registered")
async def test_services_are_made_once_per_object() -> None:
    """DO-9, T-DO 12, 14, T-ND."""
    async with cluster(ECHO=Echo) as c:
        a, b = c.object("ECHO", "a"), c.object("ECHO", "b")
        assert a.svc.clock is a.svc.clock
        assert a.svc.clock is not b.svc.clock
        assert (a.svc.clock.do_instance, a.svc.clock.ctx, a.svc.clock.svc) == (a, a.ctx, a.svc)
        assert a.svc.double(4) == 8
        run = a._local_chain_executor
        assert run(get_operation_chain(a.ctn().svc.clock.now()), require_mesh_decorator=False) == 5
        for missing in ("missing", "nothing"):
            with pytest.raises(MeshError) as caught:
                getattr(a.svc, missing)
            assert str(caught.value) == (
                f"Service '{missing}' not found. Did you import the NADIS package? "
                f"Example: import '@lumenize/{missing}';"
            )
        assert len(c.host.logs) == 2
        with pytest.raises(MeshError, match="Service 'missing' not found"):
            a.svc.needs_missing
        with pytest.raises(AttributeError):
            a.svc.__len__
        with pytest.raises(MeshError, match="Service 'alarms' not found"):
            a.alarm()


@pytest.mark.trio
async def test_chains_can_be_run_by_hand() -> None:
    """DO-6, WK-1, OC-37."""
    async with cluster(ECHO=Echo, HOP=Hop) as c:
        for node, plain in ((c.object("ECHO", "a"), "on_done"), (c.worker("HOP"), "on_result")):
            chain = get_operation_chain(node.ctn()[plain](*([1] if plain == "on_result" else [])))
            assert chain is not None
            with pytest.raises(MeshError, match="not mesh-callable"):
                node._execute_chain(chain)
            with pytest.raises(MeshError, match="not mesh-callable"):
                node._local_chain_executor(chain)
            node._local_chain_executor(chain, require_mesh_decorator=False)
            assert len(node.seen) == 1

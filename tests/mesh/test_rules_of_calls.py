"""Rules of calls, contexts and nodes that are seen best from outside: small worlds, one rule each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lumenize_sim import RESULT, LumenizeClient, LumenizeDO, LumenizeWorker, Mesh, World, mesh, scenario, simulate
from lumenize_sim.mesh import (
    CallContext,
    ClientDisconnectedError,
    continuation_from_chain,
    execute_operation_chain,
    get_operation_chain,
)
from lumenize_sim.mesh.client_upgrade import ConnectionInfo
from lumenize_sim.mesh.envelope import Envelope
from lumenize_sim.mesh.gateway import LumenizeClientGateway
from lumenize_sim.mesh.services import NadisPlugin
from lumenize_sim.objects import Request, Response

GATEWAY = "LUMENIZE_CLIENT_GATEWAY"
Driver = Callable[[World], Awaitable[None]]


def seen(context: CallContext) -> dict[str, Any]:
    """A context as plain data."""
    chain = [[node.type, node.binding_name, node.instance_name] for node in context.call_chain]
    return {"chain": chain, "sub": context.origin_auth and context.origin_auth.sub, "state": dict(context.state)}


class Node(LumenizeDO):
    """An object that tells what it sees, and keeps what its handlers hear."""

    def _keep(self, entry: Any) -> None:
        self.ctx.storage.kv.put("heard", [*self.ctx.storage.kv.get("heard", []), entry])

    @mesh
    def heard(self) -> list[Any]:
        return list(self.ctx.storage.kv.get("heard", []))

    @mesh
    def who(self) -> dict[str, Any]:
        return {**seen(self.lmz.call_context), "me": [self.lmz.type, self.lmz.binding_name, self.lmz.instance_name]}

    @mesh
    def fail(self, text: str) -> None:
        raise LookupError(text)

    @mesh
    async def ask(self, binding: str, instance: str | None, raw: bool = False) -> Any:
        remote: Any = [{"type": "get", "key": "who"}, {"type": "apply", "args": []}] if raw else self.ctn(Node).who()
        return await self.lmz.call_raw(binding, instance, remote)

    @mesh
    def tell(self, instance: str, mutate: bool = False) -> Any:
        state = self.lmz.call_context.state
        state["step"] = 1
        answer = self.lmz.call("NODE", instance, self.ctn(Node).who(), self.ctn().unmarked(RESULT))
        if mutate:
            state["step"] = 2
        return answer

    def unmarked(self, result: Any) -> None:
        self._keep([result["state"], seen(self.lmz.call_context)])

    @mesh
    def change_state(self) -> None:
        self.lmz.call_context.state["intruder"] = True

    @mesh
    async def state_after(self, instance: str) -> dict[str, Any]:
        self.lmz.call_context.state["mine"] = 1
        await self.lmz.call_raw("NODE", instance, self.ctn(Node).change_state())
        return dict(self.lmz.call_context.state)

    @mesh
    async def push(self, client: str) -> Any:
        return await self.lmz.call_raw(GATEWAY, client, self.ctn(Tab).ask_back())

    def on_request(self, request: Request) -> Response:
        try:
            self.lmz.call("NODE", "b", self.ctn(Node).who())
        except Exception as error:
            return Response(400, str(error))
        return Response(200, "called")


class Helper(LumenizeWorker):
    """A Worker that tells what it sees."""

    @mesh
    def who(self) -> dict[str, Any]:
        return {**seen(self.lmz.call_context), "me": [self.lmz.type, self.lmz.binding_name, self.lmz.instance_name]}

    @mesh
    def later(self, instance: str) -> str:
        self.lmz.call("NODE", instance, self.ctn(Node).who(), self.ctn().done(RESULT))
        return "at once"

    def done(self, result: Any) -> None:
        self.lmz.call("NODE", "log", self.ctn(Log).keep([result["chain"], self.lmz.type]))


class Log(Node):
    @mesh
    def keep(self, entry: Any) -> None:
        self._keep(entry)


class Tab(LumenizeClient):
    @mesh
    async def ask_back(self) -> Any:
        return await self.lmz.call_raw("NODE", "far", self.ctn(Node).who())


APP = Mesh(bindings={"NODE": Log, "HELPER": Helper})


def holds(driver: Driver, app: Mesh = APP) -> None:
    run = simulate(scenario(app)(driver))
    assert run.failure is None, run.failure


def test_call_raw_takes_a_continuation_or_a_chain_and_call_returns_nothing() -> None:
    """CALL-1, CALL-2, CALL-22: and the caller is the last of the chain."""

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        by_ctn = await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).ask("NODE", "b"))
        by_chain = await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).ask("NODE", "b", True))
        assert by_ctn == by_chain
        assert by_ctn["chain"][-1] == ["LumenizeDO", "NODE", "a"]
        assert by_ctn["chain"][0][:2] == ["LumenizeClient", GATEWAY]
        assert await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).tell("b")) is None
        with pytest.raises(Exception, match=r"Invalid remoteContinuation: must be created with this\.ctn\(\)"):
            tab.lmz.call("NODE", "a", get_operation_chain(tab.ctn(Node).who()))  # type: ignore[arg-type]  # the mistake under test

    holds(driver)


def test_call_raw_needs_no_name_of_its_own_and_call_does() -> None:
    """CALL-10, CTX-12: reached by its stub, the object has no context and no binding name."""

    class Nameless(LumenizeDO):
        async def ask(self) -> Any:
            return await self.lmz.call_raw("NODE", "b", self.ctn(Node).who())

        def tell(self) -> None:
            self.lmz.call("NODE", "b", self.ctn(Node).who())

    async def driver(world: World) -> None:
        stub = world.env.NAMELESS.get_by_name("x")
        assert (await stub.ask())["chain"] == [["LumenizeDO", None, None]]
        with pytest.raises(Exception, match=r"Cannot use call\(\) from a DO that doesn't know its own binding name"):
            await stub.tell()

    holds(driver, Mesh(bindings={"NODE": Node, "NAMELESS": Nameless}))


def test_what_has_a_fetch_is_no_namespace() -> None:
    """CALL-12: so a name beside a Worker, or none beside a namespace, is refused in these words."""

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        with pytest.raises(Exception, match="binding 'HELPER' is a Worker/service binding but an instance name"):
            await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).ask("HELPER", "x"))
        with pytest.raises(Exception, match="binding 'NODE' is a Durable Object namespace and requires an instance"):
            await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).ask("NODE", None))

    holds(driver)


@pytest.mark.parametrize("mutate", [False, True])
def test_a_handler_runs_unmarked_under_the_context_of_its_call(mutate: bool) -> None:
    """CALL-23, CALL-25, CTX-6: what the method writes into the state later is not seen by it."""

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).tell("b", mutate))
        await world.settle()
        ((there, here),) = await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).heard())
        assert there == {"step": 1}
        assert here["state"] == {"step": 1}
        assert here["sub"] == "alice"
        assert len(here["chain"]) == 1

    holds(driver)


def test_on_sent_is_the_clients_and_comes_once_before_the_answer() -> None:
    """CALL-31, CL-41."""

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        sent: list[str] = []
        answer = tab.lmz.call_raw("NODE", "a", tab.ctn(Node).who(), on_sent=sent.append)
        assert len(sent) == 1
        assert len(sent[0]) == 36
        await answer
        assert len(sent) == 1

    holds(driver)


def test_an_object_that_gives_on_sent_calls_all_the_same_and_hears_nothing() -> None:
    """CALL-31: only a client has an id of the call to tell."""
    heard: list[str] = []

    class Asker(LumenizeDO):
        async def ask(self) -> Any:
            return await self.lmz.call_raw("NODE", "a", self.ctn(Node).who(), on_sent=heard.append)

    async def driver(world: World) -> None:
        answer = await world.env.ASKER.get_by_name("here").ask()
        assert answer["me"] == ["LumenizeDO", "NODE", "a"]
        assert heard == []

    holds(driver, Mesh(bindings={"ASKER": Asker, "NODE": Node}))


def test_calls_in_the_cluster_have_no_time_limit() -> None:
    """CALL-32: an answer after ten minutes is an answer."""
    import trio

    class Slow(LumenizeDO):
        @mesh
        async def sleep(self) -> str:
            await trio.sleep(600)
            return "rested"

        async def ask(self) -> str:
            return await self.lmz.call_raw("SLOW", "there", self.ctn(Slow).sleep())

    async def driver(world: World) -> None:
        assert await world.env.SLOW.get_by_name("here").ask() == "rested"

    holds(driver, Mesh(bindings={"SLOW": Slow}))


def test_a_call_is_received_in_the_documented_order() -> None:
    """CALL-35, CALL-36, CALL-37, CALL-38, CTX-4: identity, chain, hook inside the context, mark, guard, method."""
    steps: list[str] = []

    def guard(node: Any) -> None:
        steps.append(f"guard {node.lmz.call_context.state['by']}")

    class Strict(LumenizeDO):
        def on_before_call(self) -> None:
            steps.append(f"hook {self.lmz.instance_name}")
            self.lmz.call_context.state["by"] = "hook"

        @mesh(guard)
        def guarded(self, _: Any) -> str:
            steps.append("method")
            return str(self.lmz.call_context.state["by"])

        @mesh
        def argument(self) -> str:
            steps.append("argument")
            return "x"

        def unmarked(self) -> None:
            steps.append("never")

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        view = tab.ctn(Strict)
        assert await tab.lmz.call_raw("STRICT", "s", view.guarded(view.argument())) == "hook"
        assert steps == ["hook s", "guard hook", "argument", "method"]
        steps.clear()
        with pytest.raises(Exception, match="not mesh-callable"):
            await tab.lmz.call_raw("STRICT", "s", continuation_from_chain([
                {"type": "get", "key": "unmarked"}, {"type": "apply", "args": []},
            ]))  # fmt: skip
        assert steps == ["hook s"]
        steps.clear()
        tab.lmz.call("STRICT", "t", continuation_from_chain([{"type": "nonsense"}] * 51))
        await world.settle()
        assert steps == ["hook t"]  # the chain is judged after the hook, and the identity was there before it

    run = simulate(scenario(Mesh(bindings={"STRICT": Strict}))(driver))
    assert run.failure is None, run.failure


def test_state_goes_down_the_chain_and_never_back() -> None:
    """CTX-5, CTX-9, CTX-10, CTX-11."""

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        after = await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).state_after("b"), state={"trace": "t"})
        assert after == {"trace": "t", "mine": 1}
        request = await world.env.NODE.get_by_name("a").ask("NODE", "b")  # begun by a stub: no origin
        assert request["sub"] is None
        assert [node[0] for node in request["chain"]] == ["LumenizeDO"]

    holds(driver)


def test_a_client_that_calls_from_within_a_call_becomes_its_origin() -> None:
    """GW-40, GW-41: index 0 is the gateway's, the rest of the chain is the client's word."""

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        name = tab.lmz.instance_name
        got = await world.env.NODE.get_by_name("a").push(name)
        assert [node[0] for node in got["chain"]] == ["LumenizeClient", "LumenizeClient"]
        assert {node[2] for node in got["chain"]} == {name}
        assert got["sub"] == "alice"
        asked = await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).push(name))
        assert [node[0] for node in asked["chain"]] == ["LumenizeClient", "LumenizeDO", "LumenizeClient"]
        forged = await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).who(), state={"role": "admin"})
        assert forged["state"] == {"role": "admin"}

    holds(driver)


def test_a_gateways_hook_refuses_a_call_to_its_client() -> None:
    """GW-32."""

    class Quiet(LumenizeClientGateway):
        def on_before_call_to_client(self, envelope: Envelope, connection_info: ConnectionInfo) -> None:
            raise PermissionError(f"{connection_info.sub} sleeps")

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        with pytest.raises(PermissionError, match="alice sleeps"):
            await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).push(tab.lmz.instance_name))

    holds(driver, Mesh(bindings={"NODE": Node, GATEWAY: Quiet}))


def test_a_worker_lives_for_one_call_and_for_what_it_began() -> None:
    """WK-1, WK-2, WK-3, LMZ-2, CALL-30: it has a binding name and never an instance name."""

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        told = await tab.lmz.call_raw("HELPER", None, tab.ctn(Helper).who())
        assert told["me"] == ["LumenizeWorker", "HELPER", None]
        assert await tab.lmz.call_raw("HELPER", None, tab.ctn(Helper).later("b")) == "at once"
        await world.settle()
        ((chain, kind),) = await tab.lmz.call_raw("NODE", "log", tab.ctn(Log).heard())
        assert kind == "LumenizeWorker"
        assert chain[-1] == ["LumenizeWorker", "HELPER", None]
        assert not hasattr(Helper, "svc")
        assert not hasattr(Helper, "on_start")

    holds(driver)


def test_what_a_worker_inherits_for_broadcasts_is_marked() -> None:
    """WK-4: and nothing else of the package is."""
    from lumenize_sim.mesh import is_mesh_callable

    members = {name: member for name in dir(LumenizeWorker) if callable(member := getattr(LumenizeWorker, name))}
    assert {name for name, member in members.items() if is_mesh_callable(member)} == {
        "broadcast_tier",
        "forward_broadcast_result",
    }


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_versions_are_refused_in_the_name_of_the_kind_of_node(version: Any) -> None:
    """WK-5, CALL-33."""

    async def driver(world: World) -> None:
        envelope = Envelope(version, {"json": [], "meta": {}}, None)
        answer = await world.env.HELPER.call("_execute_operation", envelope)
        text = answer.error_encoded["json"]["message"]
        shown = "undefined" if version is None else str(version)
        assert text.startswith(f"Unsupported RPC envelope version: {shown}. This version of LumenizeWorker only")

    holds(driver)


def test_an_object_may_answer_requests_itself_and_still_learn_its_name() -> None:
    """DO-4, LMZ-10: the mismatch is answered with 500 before anything else runs."""

    class Own(LumenizeDO):
        def fetch(self, request: Request) -> Response:
            refusal = self._init_from_headers(request.headers)
            return refusal or Response(200, f"{self.lmz.binding_name}/{self.lmz.instance_name}")

    async def driver(world: World) -> None:
        stub = world.env.OWN.get_by_name("x")
        headers = {"X-Lumenize-DO-Binding-Name": "OWN", "X-Lumenize-DO-Instance-Name-Or-Id": "x"}
        assert (await stub.fetch(Request("GET", "http://o/", headers))).text == "OWN/x"
        wrong = await stub.fetch(Request("GET", "http://o/", {**headers, "X-Lumenize-DO-Binding-Name": "OTHER"}))
        assert wrong.status == 500
        assert wrong.text.startswith("DO binding name mismatch: stored 'OWN' but received 'OTHER'.")

    holds(driver, Mesh(bindings={"OWN": Own}))


def test_a_request_begins_a_chain_of_its_own() -> None:
    """CTX-3, CALL-5: once the object knows its name."""

    async def driver(world: World) -> None:
        stub = world.env.NODE.get_by_name("a")
        assert (await stub.fetch(Request("GET", "http://o/"))).status == 400
        headers = {"X-Lumenize-DO-Binding-Name": "NODE", "X-Lumenize-DO-Instance-Name-Or-Id": "a"}
        assert (await stub.fetch(Request("GET", "http://o/", headers))).status == 200

    holds(driver)


def test_the_native_alarm_belongs_to_the_alarms() -> None:
    """DO-5, DO-7: each `ctn()` is a fresh one."""

    class Clock(LumenizeDO):
        rung: tuple[str, ...] = ()

        def set(self) -> bool:
            self.svc.alarms.schedule(1, self.ctn().ring("a"))
            return self.ctn() is not self.ctn()

        def ring(self, text: str) -> None:
            self.rung = (*self.rung, text)

        def told(self) -> list[str]:
            return list(self.rung)

    async def driver(world: World) -> None:
        stub = world.env.CLOCK.get_by_name("c")
        assert await stub.set()
        await world.advance(2)
        assert await stub.told() == ["a"]

    holds(driver, Mesh(bindings={"CLOCK": Clock}))


def test_errors_of_the_library_are_registered_by_its_import() -> None:
    """DO-11, RES-4, RES-8: they arrive as their class, others by name."""

    class Own(Exception):
        pass

    class Raiser(LumenizeDO):
        @mesh
        async def gone(self) -> None:
            await self.lmz.call_raw(GATEWAY, "nobody.t", self.ctn(Tab).ask_back())

        @mesh
        def own(self) -> None:
            raise Own("mine")

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        with pytest.raises(ClientDisconnectedError) as gone:
            await tab.lmz.call_raw("RAISER", "r", tab.ctn(Raiser).gone())
        assert gone.value.client_instance_name == "nobody.t"
        with pytest.raises(Exception, match="mine") as own:
            await tab.lmz.call_raw("RAISER", "r", tab.ctn(Raiser).own())
        assert own.value.name == "Own"  # type: ignore[attr-defined]  # its class was made of the answer
        with pytest.raises(LookupError, match="no such"):
            await tab.lmz.call_raw("NODE", "a", tab.ctn(Node).fail("no such"))

    holds(driver, Mesh(bindings={"RAISER": Raiser, "NODE": Node}))


def test_a_chain_can_be_kept_and_run_later_without_its_context() -> None:
    """OC-37: across an eviction."""

    class Keeper(LumenizeDO):
        @mesh
        def keep(self) -> None:
            chain = get_operation_chain(self.ctn().due("x", [1, 2]))
            self.ctx.storage.kv.put("task", {"chain": chain, "by": seen(self.lmz.call_context)["sub"]})

        def due(self, *args: Any) -> list[Any]:
            return list(args)

        @mesh
        def run(self) -> Any:
            task = self.ctx.storage.kv.get("task")
            return [execute_operation_chain(task["chain"], self, require_mesh_decorator=False), task["by"]]

    async def driver(world: World) -> None:
        tab = await world.connect(Tab, sub="alice")
        await tab.lmz.call_raw("KEEPER", "k", tab.ctn(Keeper).keep())
        await world.settle()
        world.object("KEEPER", "k").evict()
        assert await tab.lmz.call_raw("KEEPER", "k", tab.ctn(Keeper).run()) == [["x", [1, 2]], "alice"]

    holds(driver, Mesh(bindings={"KEEPER": Keeper}))


def test_a_plugin_is_known_process_wide_and_made_once_per_object() -> None:
    """ND-1, ND-3."""
    made: list[str] = []

    class Notes(NadisPlugin):
        def __init__(self, do_instance: Any) -> None:
            super().__init__(do_instance)
            made.append(self.ctx.id.name)
            self.svc.sql("CREATE TABLE IF NOT EXISTS notes (text TEXT)")

        def add(self, text: str) -> int:
            self.svc.sql("INSERT INTO notes VALUES (?)", text)
            return len(self.svc.sql("SELECT * FROM notes"))

    class Desk(LumenizeDO):
        def note(self, text: str) -> int:
            return int(self.svc.notes_of_test.add(text))

    NadisPlugin.register("notes_of_test", Notes)

    async def driver(world: World) -> None:
        first, second = world.env.DESK.get_by_name("a"), world.env.DESK.get_by_name("b")
        assert [await first.note("x"), await first.note("y"), await second.note("z")] == [1, 2, 1]

    run = simulate(scenario(Mesh(bindings={"DESK": Desk}))(driver))
    assert run.failure is None, run.failure
    assert made == ["a", "b"]


def test_a_client_reconnects_and_subscribes_again_only_where_it_was_forgotten() -> None:
    """CL-4, CL-19, CL-35, CL-45."""

    class Watcher(LumenizeClient):
        states: tuple[str, ...] = ()
        subscriptions = 0

        def on_connection_state_change(self, state: str) -> None:
            self.states = (*self.states, state)

        def on_subscription_required(self) -> None:
            self.subscriptions += 1

    async def driver(world: World) -> None:
        tab = await world.connect(Watcher, sub="alice")
        assert tab.subscriptions == 1
        tab.states = ()
        world.network.disconnect(tab)
        world.network.reconnect(tab)
        await world.advance(0.5)
        queued = tab.lmz.call_raw("NODE", "a", tab.ctn(Node).who())
        await world.advance(3)
        assert tab.states == ("reconnecting", "connected")  # never "connecting" in between
        assert tab.subscriptions == 1  # within the grace period nothing is forgotten
        assert (await queued)["chain"][0][2] == tab.lmz.instance_name
        tab.disconnect()
        await world.advance(10)
        tab.connect()
        await world.settle()
        assert tab.subscriptions == 2

    holds(driver)

"""The client node over a fake host: connecting, calling, being called, and what it tells its user."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import outcome
import pytest

from lumenize_sim.clone import UNDEFINED, postprocess, preprocess
from lumenize_sim.errors import UsageError
from lumenize_sim.mesh.client import LumenizeClient
from lumenize_sim.mesh.client_config import ClientConfig
from lumenize_sim.mesh.continuation import RESULT
from lumenize_sim.mesh.decorators import mesh
from lumenize_sim.mesh.errors import LoginRequiredError, MeshError
from lumenize_sim.mesh.tokens import mint_hs256

fakes = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("client_fakes.py"))))
RECORDED = json.loads((Path(__file__).parent / "data" / "wire-frames.json").read_text(encoding="utf-8"))
NOW_S = 1_700_000_000
NAME = "alice.tab1"
DO = {"type": "LumenizeDO", "bindingName": "DOC", "instanceName": "d1"}


def token(sub: str = "alice", **more: Any) -> str:
    return mint_hs256({"sub": sub, "exp": NOW_S + 3600, **more}, "k")


class Tab(LumenizeClient):
    """A client that writes down what happens to it."""

    def __init__(self, config: ClientConfig) -> None:
        super().__init__(config)
        self.seen: list[Any] = []
        self.parked: Any = None

    def on_connection_state_change(self, state: Any) -> None:
        self.seen.append(state)

    def on_login_required(self, error: LoginRequiredError) -> None:
        self.seen.append(("login", str(error), error.code))

    def on_subscription_required(self) -> None:
        self.seen.append("subscribe")

    def on_connection_error(self, error: Exception) -> None:
        self.seen.append(("error", str(error)))

    @mesh
    def greet(self, name: str) -> str:
        self.seen.append(self.lmz.call_context)
        return f"hello {name}"

    @mesh
    def nothing(self) -> None:
        self.lmz.call("DOC", "d1", self.ctn().touch(), state={"more": 2})

    @mesh
    async def slow(self) -> str:
        self.parked = fakes.Parked()
        value = await self.parked
        return f"{value} for {self.lmz.call_context.call_chain[0].instance_name}"

    @mesh
    def broken(self) -> Any:
        raise ValueError("no luck")

    def secret(self) -> str:
        return "secret"

    def got(self, *values: Any) -> None:
        self.seen.append(("got", values))

    def fails(self, value: Any) -> None:
        self.seen.append(("fails", value))
        raise MeshError(f"failed on {value}")

    async def later(self, value: Any) -> None:
        self.parked = fakes.Parked()
        await self.parked
        self.seen.append(("later", value, self.lmz.call_context.state))


class Rig:
    """One client over a fake host."""

    def __init__(self, cls: type[LumenizeClient] = Tab, **config: Any) -> None:
        self.host = fakes.FakeHost()
        self.told: list[Any] = []
        defaults: dict[str, Any] = {
            "base_url": "https://example.com",
            "host": self.host,
            "owner": fakes.owner(self.host, "alice"),
            "instance_name": NAME,
            "access_token": token(),
        }
        self.client: Any = cls(ClientConfig(**{**defaults, **config}))
        self.host.drain()

    @property
    def port(self) -> Any:
        return self.host.ports[-1]

    def online(self, required: bool = False) -> Rig:
        self.port.open()
        self.port.status(required)
        assert self.client.connection_state == "connected"
        self.seen.clear()
        return self

    @property
    def seen(self) -> list[Any]:
        return self.client.seen  # type: ignore[no-any-return]  # of a client of any class

    def sent(self) -> list[Any]:
        return [json.loads(text) for text in self.port.sent if text != "lmz:ping"]

    def answer(self, index: int, value: Any = None, *, error: Any = None) -> None:
        frame: dict[str, Any] = {"type": "call_response", "callId": self.sent()[index]["callId"]}
        if error is None:
            frame |= {"success": True, "result": preprocess(value)}
        else:
            frame |= {"success": False, "error": preprocess(error)}
        self.port.receive(json.dumps(frame))
        self.host.drain()

    def incoming(self, method: str, *args: Any, chain: list[Any] | None = None, state: Any = None) -> Any:
        """A call from the mesh; the answer, if there is one at once."""
        before = len(self.port.sent)
        operations = [{"type": "get", "key": method}, {"type": "apply", "args": list(args)}]
        context = {"callChain": [DO] if chain is None else chain, "state": preprocess(state or {})}
        frame = {"type": "incoming_call", "callId": "in", "chain": preprocess(operations), "callContext": context}
        self.port.receive(json.dumps(frame))
        self.host.drain()
        answers = [f for f in map(json.loads, self.port.sent[before:]) if f["type"] == "incoming_call_response"]
        return answers[0] if answers else None

    def levels(self) -> list[str]:
        return [level for level, *_ in self.host.logs]


def failure(pending: Any) -> tuple[str, str]:
    found: list[Any] = []
    pending.when_done(found.append)
    assert found, "not settled"
    error = found[0].error
    return getattr(error, "name", type(error).__name__), str(error)


def value(pending: Any) -> Any:
    found: list[Any] = []
    pending.when_done(found.append)
    assert found, "not settled"
    return found[0].value


# Construction and states.


def test_the_socket_is_dialled_in_the_constructor_and_the_state_told_after_it() -> None:
    """CL-1, CL-2; T-CL 14 to 17.  A subclass may set its own attributes after the base class's constructor."""
    rig = Rig()
    assert rig.port.url == "wss://example.com/gateway/LUMENIZE_CLIENT_GATEWAY/alice.tab1"
    assert rig.port.protocols == ("lmz", f"lmz.access-token.{token()}")
    assert rig.seen == ["connecting"]


def test_a_state_that_has_passed_is_not_told() -> None:
    """CL-2."""

    class Hasty(Tab):
        def __init__(self, config: ClientConfig) -> None:
            super().__init__(config)
            self.disconnect()

    assert Rig(Hasty).seen == ["disconnected"]


def test_nobody_listening_costs_no_task() -> None:
    rig = Rig(LumenizeClient)
    assert rig.host.tasks == 0
    rig.port.open()
    rig.port.status()
    rig.client.lmz.call("DOC", "d", rig.client.ctn().x(), rig.client.ctn().y())
    rig.answer(0, 1)
    assert rig.host.tasks == 0


def test_identity_is_readable_and_the_name_only_once_known() -> None:
    """LMZ-13, CL-35; T-CL 3 to 7."""
    rig = Rig(instance_name=None, access_token=None, refresh=lambda: fakes.Parked(), gateway_binding_name="GW")
    lmz = rig.client.lmz
    assert (lmz.type, lmz.binding_name) == ("LumenizeClient", "GW")
    with pytest.raises(MeshError, match=r"^instanceName is only available after connected state\. When"):
        lmz.instance_name
    lmz.call_raw("B", None, rig.client.ctn().x())
    ((_, text),) = rig.client._connection.take_queue()
    me = {"type": "LumenizeClient", "bindingName": "GW", "instanceName": None}
    assert json.loads(text)["callContext"]["callChain"] == [me]
    assert Rig().client.lmz.instance_name == NAME
    lmz.init_identity("OTHER", "x")
    assert lmz.binding_name == "GW"


def test_lmz_gives_time_randomness_and_ids_of_the_host() -> None:
    rig = Rig()
    assert rig.client.lmz.now() == rig.host.ms
    assert rig.client.lmz.random is rig.host.random(None)
    rig.host.ids = ["u"]
    assert rig.client.lmz.uuid() == "u"


def test_call_context_exists_only_in_a_call() -> None:
    """LMZ-12; T-CL 26."""
    with pytest.raises(MeshError, match=r"^Cannot access callContext outside of a mesh call\."):
        Rig().client.lmz.call_context


def test_callbacks_come_from_the_config_and_then_from_the_subclass() -> None:
    """Unlike D-15, both are asked.  T-CL 18, 19, 42."""
    told: list[Any] = []
    rig = Rig(
        on_connection_state_change=lambda state: told.append(state),
        on_subscription_required=lambda: told.append("subscribe"),
        on_connection_error=lambda error: told.append(str(error)),
        on_login_required=lambda error: told.append(error.code),
    )
    rig.port.open()
    rig.port.status(True)
    rig.port.events.on_error(OSError("broken"))
    rig.port.drop(4403, "no")
    assert told == ["connecting", "connected", "subscribe", "WebSocket error", "disconnected", 4403]
    assert rig.seen == [
        "connecting",
        "connected",
        "subscribe",
        ("error", "WebSocket error"),
        "disconnected",
        ("login", "Authentication failed: no", 4403),
    ]


def test_async_callbacks_run_in_a_task() -> None:
    told: list[str] = []

    async def slow(state: str) -> None:
        told.append(state)

    rig = Rig(LumenizeClient, on_connection_state_change=slow)
    rig.host.drain()
    assert told == ["connecting"]


def test_a_raising_callback_stops_nothing_and_is_not_swallowed() -> None:
    def broken(state: str) -> None:
        if state == "connected":
            raise ZeroDivisionError("mine")

    rig = Rig(on_connection_state_change=broken)
    pending = rig.client.lmz.call_raw("B", None, rig.client.ctn().x())
    rig.port.open()
    with pytest.raises(ZeroDivisionError, match="mine"):
        rig.port.status()
    assert len(rig.port.sent) == 1, "the queue was sent all the same"
    rig.answer(0, 5)
    assert value(pending) == 5


def test_disconnect_inside_a_callback_wins_over_the_queue() -> None:
    rig = Rig(on_connection_state_change=lambda state: rig.client.disconnect() if state == "connected" else None)
    pending = rig.client.lmz.call_raw("B", None, rig.client.ctn().x())
    rig.port.open()
    rig.port.status()
    assert rig.port.sent == []
    assert failure(pending) == ("Error", "Client disconnected")
    assert rig.client.connection_state == "disconnected"


def test_reconnect_after_a_drop_takes_a_second_and_wake_up_none() -> None:
    """CL-12, CL-15; T-CL 21, 41."""
    rig = Rig(refresh=lambda: {"access_token": token()}).online()
    rig.port.drop()
    assert rig.seen == ["reconnecting"]
    rig.host.advance(0.999)
    assert len(rig.host.ports) == 1
    rig.host.advance(0.001)
    assert len(rig.host.ports) == 2
    rig.port.drop()
    rig.client.wake()
    assert len(rig.host.ports) == 3
    assert rig.host.timers() == []


def test_connect_cancels_the_back_off_timer() -> None:
    """CL-3, CL-29; T-CL 60."""
    rig = Rig().online()
    rig.port.drop()
    rig.client.connect()
    assert (len(rig.host.ports), rig.host.timers()) == (2, [])
    rig.port.drop()
    rig.client.disconnect()
    assert rig.host.timers() == []


def test_events_of_a_replaced_socket_do_not_disturb_its_successor() -> None:
    """CL-14; T-CL 32, 33."""
    rig = Rig().online()
    old = rig.port
    old.drop()
    rig.host.advance(1)
    rig.online()
    old.events.on_close(4409, "Superseded by new connection", True)
    old.receive("junk")
    old.events.on_error(OSError())
    old.events.on_open()
    assert (rig.seen, rig.host.logs) == ([], [])


def test_context_manager_disconnects() -> None:
    """CL-29; T-CL 27, 59."""
    rig = Rig().online()
    with rig.client as client:
        pending = client.lmz.call_raw("B", None, client.ctn().x())
    assert rig.port.closed == (1000, "Client disconnect")
    assert failure(pending) == ("Error", "Client disconnected")
    rig.client.disconnect()
    assert rig.seen == ["disconnected"]


def test_pings_go_out_at_the_interval_until_the_socket_closes() -> None:
    """CL-44, CL-39; T-CL 61; the recorded heartbeat."""
    rig = Rig(heartbeat_interval_s=0.05).online()
    assert rig.host.timers(background=True) == [50]
    (talk,) = RECORDED["heartbeat"]
    pings = [raw for _, direction, raw in talk["events"] if direction == "client->gateway"]
    rig.host.advance(0.16)
    assert rig.port.sent == pings
    rig.port.receive("lmz:pong")
    rig.port.ready_state = 2
    rig.host.advance(0.05)
    assert rig.levels() == ["debug"], "a ping that fails is no trouble"
    rig.port.drop()
    assert rig.host.timers(background=True) == []
    assert Rig(heartbeat_interval_s=0).online().host.timers(background=True) == []


def test_base_url_needs_a_scheme() -> None:
    with pytest.raises(UsageError, match="has no scheme"):
        Rig(base_url="example.org")


# Sending.


def test_queue_is_flushed_in_order_by_the_status_frame_after_what_was_sent_before_it() -> None:
    """CL-31, CL-32; T-CL 30, 31."""
    rig = Rig()
    ctn = rig.client.ctn
    for n in (1, 2):
        rig.client.lmz.call_raw("B", None, ctn().echo(n))
    assert rig.host.timers() == [30_000, 30_000]
    rig.port.open()
    rig.client.lmz.call_raw("B", None, ctn().echo(3))
    rig.port.status()
    assert [f["chain"]["json"][1]["args"] for f in rig.sent()] == [[3], [1], [2]]
    assert rig.host.timers() == []


def test_the_hundred_and_first_queued_call_is_rejected() -> None:
    """CL-33; T-CL 46."""
    rig = Rig()
    pendings = [rig.client.lmz.call_raw("B", None, rig.client.ctn().x()) for _ in range(101)]
    assert failure(pendings[-1]) == ("Error", "Message queue full")
    assert not any(p.done for p in pendings[:-1])
    rig.client.lmz.call("B", None, rig.client.ctn().x(), rig.client.ctn().got(RESULT))
    assert rig.seen == ["connecting"], "a handler never runs before call() has returned"
    rig.host.drain()
    assert [type(s) for s in rig.seen[1:]] == [tuple]


def test_a_queued_call_waits_thirty_seconds() -> None:
    """CL-34."""
    rig = Rig()
    pending = rig.client.lmz.call_raw("B", None, rig.client.ctn().x())
    rig.host.advance(30)
    assert failure(pending) == ("Error", "Call timed out while waiting for connection")
    rig.port.open()
    rig.port.status()
    assert rig.port.sent == []
    rig.client.lmz.call_raw("B", None, rig.client.ctn().x())
    rig.port.drop()
    rig.host.advance(100)
    assert rig.levels() == [], "once sent there is no timeout"


def test_the_queue_waits_for_the_next_socket_where_this_one_is_closing() -> None:
    rig = Rig()
    rig.client.lmz.call_raw("B", None, rig.client.ctn().x())
    rig.port.open()
    rig.port.ready_state = 2
    rig.port.status()
    assert (rig.port.sent, rig.host.timers()) == ([], [30_000])


def test_on_sent_hears_the_id_once_before_the_frame_leaves() -> None:
    """CL-41."""
    rig = Rig().online()
    heard: list[Any] = []
    ctn = rig.client.ctn
    rig.client.lmz.call_raw("B", None, ctn().x(), on_sent=lambda i: heard.append((i, len(rig.port.sent))))
    rig.client.lmz.call("B", None, ctn().y(), on_sent=lambda i: heard.append((i, len(rig.port.sent))))
    rig.client.lmz.call("B", None, ctn().z())
    assert heard == [(rig.sent()[0]["callId"], 0), (rig.sent()[1]["callId"], 1)]


def test_what_cannot_be_encoded_fails_the_result_not_the_call() -> None:
    """CALL-11."""
    rig = Rig().online()
    name, _ = failure(rig.client.lmz.call_raw("B", None, rig.client.ctn().x(range(3).__iter__())))
    assert name != "Error"
    assert rig.port.sent == []


def test_only_continuations_are_accepted() -> None:
    """CL: CALL-3, CALL-4 and none of the checks of bindings (CALL-14)."""
    rig = Rig().online()
    with pytest.raises(MeshError, match=r"^Invalid remoteContinuation"):
        rig.client.lmz.call("B", None, [])
    with pytest.raises(MeshError, match=r"^Invalid handlerContinuation"):
        rig.client.lmz.call("B", None, rig.client.ctn().x(), [])
    rig.client.lmz.call("NO SUCH", "", rig.client.ctn().x())
    assert rig.sent()[0]["instance"] == ""


def test_call_delivers_result_and_error_to_its_handler() -> None:
    """CALL-24, CALL-26, CALL-27; T-CL 47, 48, 52, 53."""
    rig = Rig().online()
    ctn, lmz = rig.client.ctn, rig.client.lmz
    lmz.call("B", None, ctn().a(), ctn().got("x", RESULT))
    lmz.call("B", None, ctn().b(), ctn().got(RESULT))
    lmz.call("B", None, ctn().c(), ctn().got(RESULT), on_error_only=True)
    lmz.call("B", None, ctn().d())
    rig.answer(0, UNDEFINED)
    rig.answer(1, error=MeshError("no"))
    rig.answer(2, 3)
    rig.answer(3, error=MeshError("lost"))
    assert rig.seen[0] == ("got", ("x", None))
    assert str(rig.seen[1][1][0]) == "no"
    assert len(rig.seen) == 2
    assert rig.host.logs == [
        (
            "error",
            "lmz.mesh.lmzApi.setupFireAndForgetHandler",
            "fire-and-forget call failed with no handler to receive the error",
            {"error": "lost"},
        )
    ]


def test_a_handler_that_fails_on_a_result_hears_its_own_error() -> None:
    """CALL-28."""
    rig = Rig().online()
    rig.client.lmz.call("B", None, rig.client.ctn().a(), rig.client.ctn().fails(RESULT))
    rig.answer(0, 1)
    assert [str(v) for _, v in rig.seen] == ["1", "failed on 1"]
    assert rig.levels() == ["error"]


def test_handler_runs_under_the_context_of_its_call() -> None:
    """CL-43, CTX-6, CTX-7."""
    rig = Rig().online()

    class Chatty(Tab):
        @mesh
        def go(self) -> None:
            self.lmz.call("B", None, self.ctn().x(), self.ctn().later(RESULT))
            self.lmz.call_context.state["late"] = True

    rig = Rig(Chatty).online()
    assert rig.incoming("go", state={"n": 1})["success"]
    rig.answer(0, 8)
    with pytest.raises(MeshError):
        rig.client.lmz.call_context
    rig.client.parked.release()
    assert rig.seen == [("later", 8, {"n": 1})]


# Receiving.


def test_incoming_call_runs_the_method_and_answers() -> None:
    """CL-38; T-CL 44."""
    rig = Rig().online()
    assert rig.incoming("greet", "bob", state={"k": {1}}) == {
        "type": "incoming_call_response",
        "callId": "in",
        "success": True,
        "result": preprocess("hello bob"),
    }
    context = rig.seen[0]
    assert [node.to_wire() for node in context.call_chain] == [DO]
    assert (context.origin_auth, context.state) == (None, {"k": {1}})


def test_calls_made_in_an_incoming_call_extend_its_chain() -> None:
    """CL-42, GW-40, CALL-21, WIRE-5."""
    rig = Rig().online()
    answer = rig.incoming("nothing", state={"n": 1})
    assert answer["result"] == {"json": {"$type": "undefined"}, "meta": {}}
    me = {"type": "LumenizeClient", "bindingName": "LUMENIZE_CLIENT_GATEWAY", "instanceName": NAME}
    context = rig.sent()[0]["callContext"]
    assert context == {"callChain": [DO, me], "state": preprocess({"n": 1, "more": 2})}


def test_new_chain_begins_at_the_client() -> None:
    """CALL-20."""

    class Fresh(Tab):
        @mesh
        def go(self) -> None:
            self.lmz.call_raw("B", None, self.ctn().x(), new_chain=True)

    rig = Rig(Fresh).online()
    rig.incoming("go", state={"n": 1})
    context = rig.sent()[0]["callContext"]
    assert (len(context["callChain"]), context["state"]) == (1, preprocess({}))


@pytest.mark.parametrize(
    "method,name,text",
    [
        ("broken", "Error", "no luck"),
        ("secret", "Error", "Method 'secret' is not mesh-callable. Add the @mesh decorator to allow remote calls."),
        ("missing", "Error", "TypeError: undefined is not a function"),
    ],
)
def test_any_failure_is_answered(method: str, name: str, text: str) -> None:
    """CL-38; T-CL 45."""
    rig = Rig().online()
    answer = rig.incoming(method)
    assert answer["success"] is False
    assert answer["error"]["json"]["message"] == text
    if method != "broken":
        assert answer["error"]["json"]["name"] == name


def test_async_methods_are_answered_when_they_end_each_in_its_own_context() -> None:
    """CTX-2, in its better form."""
    rig = Rig().online()
    assert rig.incoming("slow") is None
    first = rig.client.parked
    assert rig.incoming("slow", chain=[{**DO, "instanceName": "d2"}]) is None
    rig.client.parked.release("two")
    first.release("one")
    assert [f["result"]["json"] for f in rig.sent()] == ["two for d2", "one for d1"]
    rig.incoming("slow")
    rig.client.parked.release(error=MeshError("late"))
    assert rig.sent()[-1]["error"]["json"]["message"] == "late"
    rig.incoming("slow")
    rig.port.ready_state = 2
    rig.client.parked.release("lost")
    assert len(rig.port.sent) == 3, "an answer that finds no open socket is dropped"


@pytest.mark.parametrize(
    "origin,allowed",
    [
        ({"type": "LumenizeClient", "bindingName": "G", "instanceName": "bob.tab1"}, False),
        ({"type": "LumenizeClient", "bindingName": "G", "instanceName": NAME}, True),
        ({"type": "LumenizeWorker", "bindingName": "W"}, True),
    ],
)
def test_calls_that_began_at_another_client_are_refused(origin: dict[str, str], allowed: bool) -> None:
    """CL-50: the origin counts, not the immediate caller."""
    answer = Rig().online().incoming("greet", "x", chain=[origin, DO])
    assert answer["success"] is allowed
    if not allowed:
        text = "Peer-to-peer client calls are disabled by default. Override onBeforeCall() to allow them."
        assert answer["error"]["json"]["message"] == text


def test_an_async_on_before_call_is_begun_and_not_waited_for() -> None:
    """CALL-39."""
    began: list[int] = []

    class Async(Tab):
        async def on_before_call(self) -> None:  # type: ignore[override]  # async where the base is not: that is the case
            began.append(1)

    rig = Rig(Async).online()
    assert rig.incoming("greet", "x")["success"] is True
    rig.host.drain()
    assert began == [1]


@pytest.mark.parametrize(
    "frame",
    [
        {"chain": preprocess([])},
        {"chain": preprocess([]), "callContext": {"callChain": 5}},
        {"callContext": {"callChain": []}},
        {"chain": preprocess("str"), "callContext": {"callChain": []}},
    ],
)
def test_malformed_incoming_calls_are_answered_with_a_failure(frame: dict[str, Any]) -> None:
    rig = Rig().online()
    rig.port.receive(json.dumps({"type": "incoming_call", "callId": "in", **frame}))
    (answer,) = rig.sent()
    assert (answer["callId"], answer["success"]) == ("in", False)


def test_what_is_no_frame_is_logged_and_unknown_types_go_to_their_hook() -> None:
    """CL-37, CL-39, CL-40; T-CL 49 to 51."""
    rig = Rig().online()
    rig.port.receive("not json")
    rig.port.receive(b"\x01")
    assert [(level, where, message) for level, where, message, _ in rig.host.logs] == [
        ("error", "lmz.mesh.LumenizeClient.#handleMessage", "Failed to parse Gateway message")
    ] * 2
    rig.port.receive('{"type":"bogus","x":1}')
    rig.port.receive("5")
    for call_id in ('"?"', "[]"):
        rig.port.receive(f'{{"type":"call_response","callId":{call_id},"success":true}}')
    assert rig.levels()[2:] == ["warn"] * 4
    unknown: list[Any] = []
    rig.client.on_unknown_message = unknown.append
    rig.port.receive('{"type":"bogus","x":1}')
    assert unknown == [{"type": "bogus", "x": 1}]


def test_an_answer_that_cannot_be_read_fails_its_call() -> None:
    rig = Rig().online()
    pendings = [rig.client.lmz.call_raw("B", None, rig.client.ctn().x()) for _ in range(3)]
    answers = ({"success": True}, {"success": False}, {"success": False, "error": 1})
    for frame, more in zip(rig.sent(), answers, strict=True):
        rig.port.receive(json.dumps({"type": "call_response", "callId": frame["callId"], **more}))
    assert all(failure(p) for p in pendings)


def test_results_and_errors_settle_the_call() -> None:
    """CL-37, RES-7; T-CL 52, 53."""
    rig = Rig().online()
    pendings = [rig.client.lmz.call_raw("B", None, rig.client.ctn().x()) for _ in range(4)]
    rig.answer(0, {"a": {1, 2}})
    rig.answer(1, UNDEFINED)
    rig.answer(2, error=LoginRequiredError("in", 401, "r"))
    rig.answer(3, error="text")
    assert (value(pendings[0]), value(pendings[1])) == ({"a": {1, 2}}, None)
    assert failure(pendings[2]) == ("LoginRequiredError", "in")
    assert failure(pendings[3]) == ("Error", "text")


# Tokens.


def test_function_refresh_names_the_client_by_its_subject() -> None:
    """CL-6, CL-11, CL-22; T-CL 10, 35.  A synchronous one has an answer before the constructor ends."""
    rig = Rig(instance_name=None, access_token=None, refresh=lambda: {"access_token": token("bob")})
    assert re.search(r"/bob\.[0-9a-f]{8}$", rig.port.url)
    assert rig.client.claims["sub"] == "bob"
    assert rig.seen == ["connecting"]


def test_async_refresh_is_awaited() -> None:
    parked = fakes.Parked()
    rig = Rig(access_token=None, refresh=lambda: parked)
    assert rig.host.ports == []
    parked.release({"access_token": token()})
    assert len(rig.host.ports) == 1
    parked = fakes.Parked()
    rig = Rig(access_token=None, refresh=lambda: parked)
    parked.release(error=OSError("down"))
    assert (rig.host.ports, rig.seen) == ([], ["connecting", "reconnecting"])


@pytest.mark.parametrize(
    "base,refresh,url",
    [
        ("https://h", "/auth/refresh-token", "https://h/auth/refresh-token"),
        ("ws://h:80", "/r", "http://h:80/r"),
        ("wss://ws.h", "/r", "https://ws.h/r"),
        ("wss://h", "https://id/r", "https://id/r"),
    ],
)
def test_url_refresh_is_a_post(base: str, refresh: str, url: str) -> None:
    """CL-22; T-CL 36."""
    rig = Rig(base_url=base, access_token=None, refresh=refresh)
    ((method, asked, _, pending),) = rig.host.fetches
    assert (method, asked) == ("POST", url)
    pending.settle(outcome.Value(SimpleNamespace(status=200, body=json.dumps({"access_token": token()}).encode())))
    assert rig.port.protocols[1].endswith(token())


@pytest.mark.parametrize(
    "status,body,seen",
    [
        (401, b"", ["disconnected", ("login", "Token refresh failed: 401", 401)]),
        (403, b"", ["disconnected", ("login", "Token refresh failed: 403", 403)]),
        (500, b"", ["reconnecting"]),
        (200, b"", ["reconnecting"]),
        (200, None, ["reconnecting"]),
        (200, b"[]", ["reconnecting"]),
        (200, '{"access_token":""}', ["reconnecting"]),
        (200, b'{"access_token":7}', ["reconnecting"]),
        (None, b"", ["reconnecting"]),
    ],
)
def test_failed_url_refresh_asks_for_login_or_tries_again(status: Any, body: Any, seen: list[Any]) -> None:
    """CL-10, CL-23, CL-24; T-CL 54 to 58."""
    rig = Rig(access_token=None)
    rig.seen.clear()
    response = SimpleNamespace(status=status, body=body)
    rig.host.fetches[0][3].settle(outcome.Error(OSError("down")) if status is None else outcome.Value(response))
    assert (rig.seen, rig.host.ports) == (seen, [])


def test_a_sync_refresh_that_fails_in_the_constructor_is_told_after_it() -> None:
    def refuse() -> Any:
        raise LoginRequiredError("who are you", 401, "")

    rig = Rig(access_token=None, refresh=refuse)
    assert rig.seen == ["disconnected", ("login", "who are you", 401)]


def test_expired_token_closes_refreshes_and_reconnects() -> None:
    """CL-18; T-CL 37, 40; the recorded close."""
    tokens = [token(jti="2")]
    rig = Rig(refresh=lambda: {"access_token": tokens.pop()}).online()
    code, reason = RECORDED["token-expires-while-open"][0]["events"][-1][2]
    rig.port.drop(code, reason)
    assert rig.seen == ["reconnecting"]
    assert rig.port.protocols[1].endswith(token(jti="2"))
    rig.online()
    rig.port.drop(4401, "Token expired")
    assert rig.seen == ["disconnected", ("login", "Token refresh failed", 401)]


def test_cleared_token_is_refreshed_at_the_next_connect() -> None:
    """CL-26; T-CL 28."""
    asked: list[int] = []
    rig = Rig(refresh=lambda: asked.append(1) or {"access_token": token()}).online()
    rig.client.clear_access_token()
    assert (rig.client.claims, rig.client.connection_state) == (None, "connected")
    rig.client.disconnect()
    rig.client.connect()
    assert asked == [1]
    assert rig.client.claims["sub"] == "alice"


def test_authed_fetch_sends_the_token_and_retries_once_with_a_fresh_one() -> None:
    """CL-28."""
    rig = Rig(refresh=lambda: {"access_token": token(jti="2")}).online()
    response = rig.client.authed_fetch("/api", method="PUT", headers={"x": "y"}, body=b"1")
    method, url, headers, pending = rig.host.fetches[0]
    assert (method, url, headers) == ("PUT", "/api", {"x": "y", "Authorization": f"Bearer {token()}"})
    pending.settle(outcome.Value(SimpleNamespace(status=401)))
    _, _, headers, pending = rig.host.fetches[1]
    assert headers["Authorization"] == f"Bearer {token(jti='2')}"
    pending.settle(outcome.Value(SimpleNamespace(status=401)))
    assert value(response).status == 401
    assert len(rig.host.fetches) == 2


def test_concurrent_fetches_share_one_refresh_and_its_failure() -> None:
    """CL-27."""
    parked = fakes.Parked()
    asked: list[int] = []
    rig = Rig(refresh=lambda: asked.append(1) or parked).online()
    rig.client.clear_access_token()
    responses = [rig.client.authed_fetch("/api") for _ in range(2)]
    rig.host.drain()
    assert asked == [1]
    parked.release(error=OSError("down"))
    assert {failure(r)[1] for r in responses} == {"down"}
    parked = fakes.Parked()
    response = rig.client.authed_fetch("/api")
    rig.host.drain()
    parked.release({})
    assert failure(response) == ("Error", "Refresh returned no token")


# Recorded conversations.


class Recorded(Tab):
    @mesh
    def handle_content_update(self, document: str, content: str) -> None:
        self.seen.append(["content", content])

    @mesh
    def handle_spell_findings(self, document: str, findings: list[Any]) -> None:
        self.seen.append(["spell", findings])


@pytest.mark.parametrize(
    "scenario,index",
    [("getting-started", 0), ("getting-started", 1), ("guard-rejects", 0), ("values", 0), ("errors", 0)],
)
def test_recorded_gateway_frames_get_the_recorded_client_frames(scenario: str, index: int) -> None:
    """Section 10: the same calls and answers, byte for byte."""
    talk = RECORDED[scenario][index]
    rig = Rig(Recorded, instance_name=talk["url"].rsplit("/", 1)[1])
    rig.port.open()
    expected: list[str] = []
    for _, direction, raw in talk["events"]:
        if direction == "gateway->client":
            rig.port.receive(raw)
        elif direction == "client->gateway":
            expected.append(raw)
            frame = json.loads(raw)
            if frame["type"] == "call":
                rig.host.ids = [frame["callId"]]
                rig.client.lmz.call_raw(frame["binding"], frame["instance"], postprocess(frame["chain"]))
        else:
            rig.client.disconnect()
            assert list(rig.port.closed) == raw_close(talk)
    assert rig.port.sent == expected
    assert rig.levels() == []
    assert len(rig.client._calls) == 0


def raw_close(talk: Any) -> list[Any]:
    return next(what for _, event, what in talk["events"] if event == "client calls close()")


def test_recorded_early_calls_are_sent_after_the_status_frame() -> None:
    (talk,) = RECORDED["calls-before-open"]
    rig = Rig(instance_name="early.tab1")
    frames = [raw for _, direction, raw in talk["events"] if direction == "client->gateway"]
    for raw in frames:
        frame = json.loads(raw)
        rig.host.ids = [frame["callId"]]
        rig.client.lmz.call_raw(frame["binding"], frame["instance"], postprocess(frame["chain"]))
    rig.port.open()
    assert rig.port.sent == []
    rig.port.receive(talk["events"][0][2])
    assert rig.port.sent == frames


def test_recorded_supersede_is_an_ordinary_close_for_whoever_has_no_other_socket() -> None:
    """Section 8.8."""
    first, _ = RECORDED["superseded"]
    rig = Rig(instance_name="sup.tab1").online()
    rig.port.drop(*first["events"][1][2])
    assert rig.seen == ["reconnecting"]

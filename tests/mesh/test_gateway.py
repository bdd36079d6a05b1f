"""The gateway between a client's socket and the mesh: upgrade, frames, forwarding, grace period."""

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
from lumenize_sim.mesh import gateway_messages as messages
from lumenize_sim.mesh.client_upgrade import ConnectionInfo
from lumenize_sim.mesh.context import CallContext, NodeIdentity, OriginAuth
from lumenize_sim.mesh.envelope import Envelope, Failure, Metadata, Result
from lumenize_sim.mesh.errors import ClientDisconnectedError, MeshError
from lumenize_sim.mesh.gateway import LumenizeClientGateway
from lumenize_sim.mesh.tokens import mint_hs256
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.namespace import ServiceBinding
from lumenize_sim.objects.pending import Pending

fakes = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("client_fakes.py"))))
RECORDED = json.loads((Path(__file__).parent / "data" / "wire-frames.json").read_text(encoding="utf-8"))
NOW_S = 1_700_000_000
NAME = "alice.tab1"
CHAIN = {"json": [{"type": "get", "key": "hello"}, {"type": "apply", "args": []}], "meta": {}}
DO = NodeIdentity("LumenizeDO", "DOC", "d1")


class Rig:
    """One gateway and what surrounds it."""

    def __init__(self, cls: type[LumenizeClientGateway] = LumenizeClientGateway, **env: Any) -> None:
        self.host = fakes.FakeHost()
        self.ctx = fakes.FakeCtx(self.host)
        self.objects = fakes.FakeNamespace()
        self.worker = fakes.FakeTarget("worker")
        self.env: dict[str, Any] = {"DOC": self.objects, "WORKER": self.worker, **env}
        self.cls = cls
        self.gateway = cls(self.ctx, self.env)

    def upgrade(self, *, sub: Any = "alice", name: str = NAME, **claims: Any) -> Response:
        claims = {"sub": sub, "exp": NOW_S + 3600, **claims}
        return self.gateway.fetch(request(mint_hs256(claims, "k"), name))

    def connect(self, **claims: Any) -> Any:
        """An accepted socket, after its status frame; the server's end."""
        assert self.upgrade(**claims).status == 101
        return self.ctx.get_web_sockets()[0]

    def receive(self, frame: Any, socket: Any = None) -> None:
        text = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        self.gateway.web_socket_message(socket or self.ctx.get_web_sockets()[0], text)

    def drop(self, socket: Any, code: int = 1006) -> None:
        """The network closes a socket, as the machine tells it."""
        socket.record.apply("lose")
        self.gateway.web_socket_close(socket, code, "", False)
        self.ctx.registry.remove(socket.record)

    def last(self) -> Any:
        return json.loads(self.ctx.sent()[-1])

    def logged(self, level: str) -> list[str]:
        return [message for lvl, _, message, _ in self.host.logs if lvl == level]


def request(
    token: str | None, name: str | None = NAME, binding: str | None = "GW", upgrade: str = "WebSocket"
) -> Request:
    headers = {"upgrade": upgrade}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if name is not None:
        headers["x-lumenize-do-instance-name-or-id"] = name
    if binding is not None:
        headers["x-lumenize-do-binding-name"] = binding
    return Request("GET", "http://h/gateway/GW/x", headers)


def envelope(chain: Any = None, state: Any = None, callee: str | None = NAME, version: Any = 1) -> Envelope:
    context = CallContext([DO], OriginAuth("bob", {"sub": "bob"}), state or {})
    return Envelope(version, chain or CHAIN, context, Metadata(DO, NodeIdentity("LumenizeDO", "GW", callee)))


def answer_of(answer: Any) -> Any:
    """The value of a settled answer, or its error, decoded."""
    if isinstance(answer, Pending):
        found: list[Any] = []
        answer.when_done(found.append)
        assert found, "not settled"
        answer = found[0].value
    return answer.value if isinstance(answer, Result) else postprocess(answer.error_encoded)


def lost(answer: Any) -> tuple[str, str | None]:
    error = answer_of(answer)
    assert isinstance(error, ClientDisconnectedError)
    return str(error), error.client_instance_name


# Upgrade.


@pytest.mark.parametrize(
    "asked,status,text",
    [
        (request(mint_hs256({"sub": "alice"}, "k"), upgrade="h2c"), 426, "Expected WebSocket upgrade"),
        (request(None), 401, "Unauthorized: missing identity"),
        (
            Request("GET", "http://h/", {"upgrade": "websocket", "authorization": "bearer x.y"}),
            401,
            "Unauthorized: missing identity",
        ),
        (request("nonsense"), 401, "Unauthorized: invalid token"),
        (request("a.%%%.c"), 401, "Unauthorized: invalid token"),
        (request("a.bnVsbA.c"), 401, "Unauthorized: invalid token"),
        (request("a.NQ.c"), 401, "Unauthorized: missing identity"),
        (request(mint_hs256({"exp": 1}, "k")), 401, "Unauthorized: missing identity"),
        (request(mint_hs256({"sub": "alice"}, "k"), name=None), 403, "Forbidden: missing instance name"),
        (request(mint_hs256({"sub": "alice"}, "k"), binding=None), 403, "Forbidden: missing binding name"),
        (
            request(mint_hs256({"sub": "alice"}, "k"), name="alice"),
            403,
            "Forbidden: invalid instance name format (expected sub.tabId)",
        ),
        (request(mint_hs256({"sub": "mallory"}, "k")), 403, "Forbidden: identity mismatch"),
        (request(mint_hs256({"sub": "a.b"}, "k"), name="a.b.tab"), 403, "Forbidden: identity mismatch"),
    ],
)
def test_upgrade_is_refused_in_the_order_and_words_of_the_protocol(asked: Request, status: int, text: str) -> None:
    """GW-4 to GW-11; T-GW 1 to 3, 12 to 16."""
    rig = Rig()
    response = rig.gateway.fetch(asked)
    assert (response.status, response.text) == (status, text)
    assert rig.ctx.get_web_sockets() == []


def test_accepted_upgrade_answers_101_and_sends_its_status() -> None:
    """GW-13, GW-14, GW-17; T-GW 4, 5."""
    rig = Rig()
    response = rig.upgrade(email="é")
    assert (response.status, response.headers["sec-websocket-protocol"]) == (101, "lmz")
    assert response.web_socket is not None
    assert rig.ctx.sent() == ['{"type":"connection_status","subscriptionRequired":true}']
    socket = rig.ctx.get_web_sockets()[0]
    claims = {"sub": "alice", "exp": NOW_S + 3600, "email": "é"}
    assert socket.deserialize_attachment() == {
        "sub": "alice",
        "bindingName": "GW",
        "instanceName": NAME,
        "claims": claims,
    }
    pair = rig.ctx.registry.auto_response
    assert (pair.request, pair.response) == ("lmz:ping", "lmz:pong")


def test_a_second_connection_supersedes_the_first() -> None:
    """GW-13, GW-16; T-GW 9 to 11."""
    rig = Rig()
    first = rig.connect()
    second = rig.connect()
    assert (1, "close", (4409, "Superseded by new connection")) in [
        (i, kind, tuple(payload) if kind == "close" else payload) for i, kind, payload in rig.ctx.wire
    ]
    assert rig.last() == {"type": "connection_status", "subscriptionRequired": False}
    assert (first.ready_state, second.ready_state) == (2, 1)
    rig.gateway.web_socket_close(first, 4409, "Superseded by new connection", True)
    assert rig.ctx.storage.alarm_ms is None, "GW-36: no grace period for it"


# Calls from the client.


def test_call_reaches_the_object_with_a_verified_origin() -> None:
    """GW-21; T-GW 6, 7, 22."""
    rig = Rig()
    rig.connect(role="x")
    forged = [
        {"type": "LumenizeDO", "bindingName": "ADMIN"},
        {"type": "LumenizeDO", "bindingName": "DOC", "instanceName": "d"},
    ]
    chain = {"json": {"$weird": [1.0, {"b": 1, "a": 2}]}, "meta": {"aliases": {}}, "more": True}
    state = {"json": {"when": {"$type": "date", "iso": "1970-01-01T00:00:00.000Z"}}, "meta": {}}
    rig.receive(
        {
            "type": "call",
            "callId": "c1",
            "binding": "DOC",
            "instance": "d1",
            "chain": chain,
            "callContext": {"callChain": forged, "originAuth": {"sub": "root"}, "state": state},
        }
    )
    ((method, sent, _),) = rig.objects.targets["d1"].calls
    me = NodeIdentity("LumenizeClient", "GW", NAME)
    assert method == "_execute_operation"
    assert (sent.version, sent.chain) == (1, chain)
    assert sent.call_context.call_chain == (me, NodeIdentity("LumenizeDO", "DOC", "d"))
    assert sent.call_context.origin_auth == OriginAuth("alice", {"sub": "alice", "exp": NOW_S + 3600, "role": "x"})
    assert sent.call_context.state == postprocess(state)
    assert sent.metadata == Metadata(me, NodeIdentity("LumenizeDO", "DOC", "d1"))


def test_answers_go_back_in_the_order_they_come() -> None:
    """GW-23, GW-24; T-GW 18 to 20."""
    rig = Rig()
    rig.connect()
    rig.receive({"type": "call", "callId": "a", "binding": "DOC", "instance": "d1", "chain": CHAIN})
    rig.receive({"type": "call", "callId": "b", "binding": "WORKER", "chain": CHAIN})
    rig.receive({"type": "call", "callId": "c", "binding": "WORKER", "chain": CHAIN, "instance": ""})
    worker = rig.worker.calls
    assert worker[0][1].metadata.callee == NodeIdentity("LumenizeWorker", "WORKER", None)
    worker[1][2].settle(outcome.Value(Result(UNDEFINED)))
    worker[0][2].settle(outcome.Value(Failure({"json": "as it is", "meta": {}})))
    rig.objects.targets["d1"].calls[0][2].settle(outcome.Error(ValueError("gone")))
    assert [json.loads(t)["callId"] for t in rig.ctx.sent()[1:]] == ["c", "b", "a"]
    _, failed, broken = [json.loads(t) for t in rig.ctx.sent()[1:]]
    assert rig.ctx.sent()[1] == (
        '{"type":"call_response","callId":"c","success":true,"result":{"json":{"$type":"undefined"},"meta":{}}}'
    )
    assert failed == {
        "type": "call_response",
        "callId": "b",
        "success": False,
        "error": {"json": "as it is", "meta": {}},
    }
    assert broken["error"]["json"]["message"] == "gone"


def test_a_missing_answer_is_undefined_and_one_that_cannot_be_encoded_a_failure() -> None:
    """GW-23."""
    rig = Rig()
    rig.connect()
    for call_id in "ab":
        rig.receive({"type": "call", "callId": call_id, "binding": "WORKER", "chain": CHAIN})
    rig.worker.calls[0][2].settle(outcome.Value(None))
    rig.worker.calls[1][2].settle(outcome.Value(Result(range(3).__iter__())))
    first, second = [json.loads(t) for t in rig.ctx.sent()[1:]]
    assert first["result"] == {"json": {"$type": "undefined"}, "meta": {}}
    assert second["success"] is False


def test_reply_for_a_socket_that_has_gone_is_lost() -> None:
    """GW-24."""
    rig = Rig()
    first = rig.connect()
    rig.receive({"type": "call", "callId": "a", "binding": "WORKER", "chain": CHAIN})
    rig.connect()
    before = len(rig.ctx.sent())
    assert first.ready_state != 1
    rig.worker.calls[0][2].settle(outcome.Value(Result(1)))
    assert len(rig.ctx.sent()) == before


NO_NAMESPACE = (
    "getDOStub expected a DurableObjectNamespace but received a binding without idFromName/getByName "
    "(likely a Worker/service binding). Check the binding name."
)


@pytest.mark.parametrize(
    "frame,name,text",
    [
        ({"binding": "NOPE", "instance": "i"}, "Error", NO_NAMESPACE),
        ({"binding": "WORKER", "instance": "i"}, "Error", NO_NAMESPACE),
        ({"binding": "NOPE"}, "TypeError", "Cannot read properties of undefined (reading '__executeOperation')"),
        ({}, "TypeError", "Cannot read properties of undefined (reading '__executeOperation')"),
        ({"binding": []}, "TypeError", "Cannot read properties of undefined (reading '__executeOperation')"),
        ({"binding": "DOC"}, "TypeError", "stub.__executeOperation is not a function"),
        ({"binding": "SECRET"}, "TypeError", "stub.__executeOperation is not a function"),
        ({"binding": "DOC", "instance": 5}, "TypeError", "instance must be a string, got 5"),
        ({"binding": "WORKER", "callContext": {"callChain": "x"}}, "TypeError", None),
        ({"binding": "WORKER", "callContext": {"callChain": [{}, 0]}}, "TypeError", None),
        ({"binding": "WORKER", "callContext": {"callChain": [{}, {"bindingName": "B"}]}}, "TypeError", None),
    ],
)
def test_a_call_that_cannot_be_dispatched_fails_and_the_connection_lives(
    frame: dict[str, Any], name: str, text: str | None
) -> None:
    """GW-22."""
    rig = Rig(SECRET="text")
    rig.connect()
    rig.receive({"type": "call", "callId": "c", "chain": CHAIN, **frame})
    error = rig.last()["error"]["json"]
    assert error["name"] == name
    assert text is None or error["message"] == text
    assert rig.ctx.get_web_sockets()[0].ready_state == 1
    assert rig.worker.calls == []


@pytest.mark.parametrize("first", [None, {}, 5, {"type": "LumenizeDO", "bindingName": "ROOT"}])
@pytest.mark.parametrize("context", ["x", 5, [], {"callChain": None}, {"callChain": []}, {"callChain": [...]}])
def test_whatever_stands_first_in_a_chain_is_discarded_unread(context: Any, first: Any) -> None:
    """GW-21, GW-39: a context that is none is none, and index 0 need not even be an identity."""
    rig = Rig()
    rig.connect()
    if context == {"callChain": [...]}:
        context = {"callChain": [first, {"type": "LumenizeDO", "bindingName": "B", "instanceName": "i"}]}
    rig.receive({"type": "call", "callId": "c", "binding": "WORKER", "chain": CHAIN, "callContext": context})
    envelope = rig.worker.calls[0][1]
    chain = [(node.type, node.instance_name) for node in envelope.call_context.call_chain]
    assert chain[0] == ("LumenizeClient", NAME)
    assert chain[1:] == ([("LumenizeDO", "i")] if isinstance(context, dict) and context["callChain"] else [])


@pytest.mark.parametrize("ids", [{"callId": 5}, {"callId": None}, {"callId": {"a": 1}}, {}])
def test_the_id_of_a_call_comes_back_as_it_was_or_not_at_all(ids: dict[str, Any]) -> None:
    """WIRE-8: it is opaque to the side that answers."""
    rig = Rig()
    rig.connect()
    rig.receive({"type": "call", "binding": "NOPE", "chain": CHAIN, **ids})
    answer = rig.last()
    assert list(answer) == ["type", *ids, "success", "error"]
    assert answer.get("callId") == ids.get("callId")


def test_instance_of_64_hex_digits_is_an_id() -> None:
    """CALL-17."""
    rig = Rig()
    rig.connect()
    rig.receive({"type": "call", "callId": "c", "binding": "DOC", "instance": "ab" * 32, "chain": CHAIN})
    assert list(rig.objects.targets) == ["#" + "ab" * 32]


@pytest.mark.parametrize(
    "frame,level",
    [
        ("not json", "error"),
        ('{"type":"bogus"}', "warn"),
        ("5", "warn"),
        (b"\x01", "warn"),
        ("[]", "warn"),
        ('{"type":"call_response","callId":"c3","success":true}', "warn"),
        ('{"type":"incoming_call_response","callId":"?","success":true}', "warn"),
        ('{"type":"incoming_call_response","callId":[],"success":true}', "warn"),
    ],
)
def test_what_is_no_frame_is_logged_and_ignored(frame: str | bytes, level: str) -> None:
    """GW-18, GW-20, GW-25; T-GW 17, 18, 21."""
    rig = Rig()
    rig.connect()
    rig.receive(frame)
    assert len(rig.logged(level)) == 1
    assert len(rig.ctx.sent()) == 1
    rig.receive({"type": "call", "callId": "c", "binding": "WORKER", "chain": CHAIN})
    assert len(rig.worker.calls) == 1


def test_expired_token_closes_on_the_next_frame_even_one_that_cannot_be_read() -> None:
    """GW-12, GW-19: strictly past, to the millisecond; T-GW 23."""
    rig = Rig()
    rig.connect(exp=NOW_S)
    rig.receive("junk")
    rig.host.ms += 1
    rig.receive("junk")
    assert rig.ctx.wire[-1] == (1, "close", (4401, "Token expired"))
    assert rig.logged("error") == ["Failed to parse message"], "only the first frame was parsed"


@pytest.mark.parametrize("exp", [0, None, "soon"])
def test_expiry_that_is_no_time_never_comes(exp: Any) -> None:
    """GW-19."""
    rig = Rig()
    rig.connect(exp=exp)
    rig.receive({"type": "call", "callId": "c", "binding": "WORKER", "chain": CHAIN})
    assert len(rig.worker.calls) == 1


def test_socket_without_attachment_is_closed_with_1011() -> None:
    """GW-21, GW-30."""
    for call in (True, False):
        rig = Rig()
        socket = rig.connect()
        socket.record.attachment = None
        if call:
            rig.receive({"type": "call", "callId": "c", "binding": "WORKER", "chain": CHAIN})
        else:
            assert lost(rig.gateway._execute_operation(envelope())) == ("Connection not properly initialized", NAME)
        assert rig.ctx.wire[-1] == (1, "close", (1011, "Connection not properly initialized"))


# Calls from the mesh.


def test_call_from_the_mesh_is_forwarded_and_answered() -> None:
    """GW-33, GW-35; T-GW 36.  Chain untouched, absent names left out."""
    rig = Rig()
    rig.connect()
    rig.host.ids = ["id-1"]
    chain = {"json": [{"type": "get", "key": "$$x"}], "meta": {"aliases": {"0": {"z": 1, "a": 1.5}}}}
    answer = rig.gateway._execute_operation(envelope(chain, {"n": {1}}))
    assert rig.ctx.sent()[-1] == (
        '{"type":"incoming_call","callId":"id-1","chain":{"json":[{"type":"get","key":"$$x"}],'
        '"meta":{"aliases":{"0":{"z":1,"a":1.5}}}},"callContext":{"callChain":[{"type":"LumenizeDO",'
        '"bindingName":"DOC","instanceName":"d1"}],"originAuth":{"sub":"bob","claims":{"sub":"bob"}},'
        '"state":{"json":{"n":{"$type":"set","values":[1]}},"meta":{}}}}'
    )
    rig.receive({"type": "incoming_call_response", "callId": "id-1", "success": True, "result": preprocess([1])})
    assert answer_of(answer) == [1]
    assert rig.host.timers() == []


@pytest.mark.parametrize(
    "fields,name,text",
    [
        ({"error": preprocess(ClientDisconnectedError("gone", "x.y"))}, "ClientDisconnectedError", "gone"),
        ({"error": preprocess("just text")}, "Error", "just text"),
        ({"error": preprocess(UNDEFINED)}, "Error", "undefined"),
        ({}, "Error", "undefined"),
        ({"error": 5}, None, None),
        ({"success": True}, None, None),
    ],
)
def test_failed_answer_of_the_client_comes_back_as_an_error(
    fields: dict[str, Any], name: str | None, text: str | None
) -> None:
    """GW-25, RES-7; T-GW 8.  An answer that cannot be read fails the call instead of leaving it waiting."""
    rig = Rig()
    rig.connect()
    rig.host.ids = ["id"]
    answer = rig.gateway._execute_operation(envelope())
    rig.receive({"type": "incoming_call_response", "callId": "id", "success": False, **fields})
    error = answer_of(answer)
    assert isinstance(error, Exception)
    if name is not None:
        assert (getattr(error, "name", type(error).__name__), str(error)) == (name, text)


def test_the_client_has_thirty_seconds_and_its_socket_stays_open() -> None:
    """GW-33."""
    rig = Rig()
    socket = rig.connect()
    answer = rig.gateway._execute_operation(envelope())
    rig.host.advance(29.999)
    assert isinstance(answer, Pending)
    assert not answer.done
    rig.host.advance(0.001)
    assert lost(answer) == ("Client call timed out", NAME)
    assert socket.ready_state == 1


def test_forwarded_call_outlives_its_socket() -> None:
    """GW-34, GW-25: the answer may come over the next one."""
    rig = Rig()
    socket = rig.connect()
    rig.host.ids = ["id"]
    answer = rig.gateway._execute_operation(envelope())
    rig.drop(socket)
    rig.connect()
    rig.receive({"type": "incoming_call_response", "callId": "id", "success": True, "result": preprocess(7)})
    assert answer_of(answer) == 7


@pytest.mark.parametrize("version,shown", [(2, "2"), (None, "undefined"), ("1", "1")])
def test_other_envelope_versions_are_refused(version: Any, shown: str) -> None:
    """GW-26; T-GW 24."""
    error = answer_of(Rig().gateway._execute_operation(envelope(version=version)))
    assert str(error) == f"Unsupported RPC envelope version: {shown}"


def test_without_client_the_call_fails_at_once() -> None:
    """GW-27, GW-29; T-GW 25."""
    rig = Rig()
    assert lost(rig.gateway._execute_operation(envelope())) == ("Client is not connected", NAME)
    assert lost(rig.gateway._execute_operation(envelope(callee=None))) == ("Client is not connected", None)
    bare = Envelope(1, CHAIN, None, None)
    assert lost(rig.gateway._execute_operation(bare)) == ("Client is not connected", None)


def test_without_context_the_call_fails_where_it_would_be_forwarded() -> None:
    """GW-26."""
    rig = Rig()
    rig.connect()
    error = answer_of(rig.gateway._execute_operation(Envelope(1, CHAIN, None, None)))
    assert "callChain" in str(error)


def test_expired_token_fails_the_call_and_closes() -> None:
    """GW-31."""
    rig = Rig()
    rig.connect(exp=NOW_S - 1)
    assert lost(rig.gateway._execute_operation(envelope(callee=None))) == ("Client token expired", NAME)
    assert rig.ctx.wire[-1] == (1, "close", (4401, "Token expired"))


# Grace period.


def test_reconnect_within_the_grace_period_needs_no_new_subscription() -> None:
    """GW-3, GW-36; T-GW 26, 27."""
    rig = Rig()
    rig.drop(rig.connect())
    assert rig.ctx.storage.alarm_ms == rig.host.ms + 5000
    rig.connect()
    assert rig.last()["subscriptionRequired"] is False
    assert rig.ctx.storage.alarm_ms is None
    rig.drop(rig.ctx.get_web_sockets()[0])
    rig.gateway.alarm()
    assert rig.ctx.storage.alarm_ms is None
    rig.connect()
    assert rig.last()["subscriptionRequired"] is True


def test_call_in_the_grace_period_waits_for_the_client_and_overtakes_the_status_frame() -> None:
    """GW-28, GW-15; T-GW 29."""
    rig = Rig()
    rig.drop(rig.connect())
    first, second = (rig.gateway._execute_operation(envelope()) for _ in range(2))
    rig.host.ids = ["a", "b"]
    rig.connect()
    kinds = [json.loads(t)["type"] for t in rig.ctx.sent(2)]
    assert kinds == ["incoming_call", "incoming_call", "connection_status"]
    for call_id, value in (("b", 2), ("a", 1)):
        rig.receive({"type": "incoming_call_response", "callId": call_id, "success": True, "result": preprocess(value)})
    assert (answer_of(first), answer_of(second)) == (1, 2)


def test_call_in_the_grace_period_fails_when_it_ends() -> None:
    """GW-28, GW-38; T-GW 28."""
    rig = Rig()
    rig.drop(rig.connect())
    answer = rig.gateway._execute_operation(envelope())
    rig.gateway.alarm({"retryCount": 0})
    assert lost(answer) == ("Client did not reconnect within grace period", NAME)


def test_call_after_the_alarm_was_due_but_before_it_fired_fails() -> None:
    """GW-28."""
    rig = Rig()
    rig.drop(rig.connect())
    rig.host.ms += 5000
    assert lost(rig.gateway._execute_operation(envelope())) == ("Client grace period has expired", NAME)


def test_alarm_beyond_the_grace_period_means_disconnected() -> None:
    """Section 8.1."""
    rig = Rig()
    rig.ctx.storage.alarm_ms = rig.host.ms + 5001
    assert lost(rig.gateway._execute_operation(envelope()))[0] == "Client is not connected"


def test_waiting_call_meets_a_client_that_may_not_be_called() -> None:
    """GW-28, GW-31: what is settled at once is passed on as well."""
    rig = Rig()
    rig.drop(rig.connect())
    answer = rig.gateway._execute_operation(envelope())
    rig.connect(exp=1)
    assert lost(answer) == ("Client token expired", NAME)


def test_waiter_that_finds_no_socket_fails() -> None:
    """GW-28: for example because the hook of an earlier waiter has closed it."""

    class Closing(LumenizeClientGateway):
        def on_before_call_to_client(self, envelope: Envelope, connection_info: ConnectionInfo) -> None:
            self.ctx.get_web_sockets()[0].close(4403, "no")
            raise MeshError("no")

    rig = Rig(Closing)
    rig.drop(rig.connect())
    first, second = (rig.gateway._execute_operation(envelope()) for _ in range(2))
    rig.connect()
    assert len(rig.ctx.sent(2)) == 0, "no status frame after close()"
    assert str(answer_of(first)) == "no"
    assert lost(second) == ("Client did not reconnect in time", NAME)


@pytest.mark.parametrize(
    "env,period_ms",
    [
        ({}, 5000),
        ({"LUMENIZE_MESH_TEST_MODE": "true"}, 60_000),
        ({"LUMENIZE_MESH_TEST_MODE": "1"}, 5000),
        ({"LUMENIZE_MESH_TEST_MODE": "true", "LUMENIZE_MESH_GRACE_PERIOD_MS": "250"}, 250),
        ({"LUMENIZE_MESH_GRACE_PERIOD_MS": 0}, 0),
        ({"LUMENIZE_MESH_GRACE_PERIOD_MS": "-1"}, 5000),
        ({"LUMENIZE_MESH_GRACE_PERIOD_MS": "Infinity"}, 5000),
        ({"LUMENIZE_MESH_GRACE_PERIOD_MS": "soon"}, 5000),
    ],
)
def test_grace_period_is_configured_in_the_environment(env: dict[str, Any], period_ms: int) -> None:
    """GW-1."""
    rig = Rig(**env)
    rig.drop(rig.connect())
    assert rig.ctx.storage.alarm_ms == rig.host.ms + period_ms


def test_state_is_derived_after_hibernation() -> None:
    """GW-2: a new instance over the same sockets, attachments and alarm."""
    rig = Rig()
    rig.connect()
    rig.ctx.registry.hibernate()
    rig.gateway = rig.cls(rig.ctx, rig.env)
    rig.receive({"type": "call", "callId": "c", "binding": "WORKER", "chain": CHAIN})
    assert rig.worker.calls[0][1].call_context.origin_auth.sub == "alice"
    assert isinstance(rig.gateway._execute_operation(envelope()), Pending)


def test_socket_error_is_only_logged() -> None:
    """GW-37."""
    rig = Rig()
    rig.gateway.web_socket_error(rig.connect(), RuntimeError("x"))
    assert rig.logged("error") == ["WebSocket error"]
    assert rig.ctx.storage.alarm_ms is None


def test_storage_that_does_not_answer_at_once_is_the_users_mistake() -> None:
    rig = Rig()
    rig.ctx.storage.get_alarm = lambda: Pending()
    with pytest.raises(UsageError, match="sqlite"):
        rig.upgrade()
    rig.ctx.storage.get_alarm = lambda: Pending.failed(OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        rig.upgrade()


# Hooks.


class Hooked(LumenizeClientGateway):
    def on_before_accept(self, instance_name: str, sub: str, jwt_payload: Any) -> Any:
        if sub == "mallory":
            return Response(418, "no")
        return {"role": "editor", "exp": NOW_S + 10}

    def on_before_call_to_mesh(
        self, base_context: CallContext, connection_info: ConnectionInfo, call_id: str
    ) -> CallContext:
        if call_id == "bad":
            raise MeshError("not this one")
        base_context.state["by"] = connection_info.claims["role"]
        return base_context

    def on_before_call_to_client(self, envelope: Envelope, connection_info: ConnectionInfo) -> None:
        if envelope.call_context is not None and envelope.call_context.state.get("secret"):
            raise MeshError("not to this client")


def test_hooks_refuse_enrich_and_reject() -> None:
    """Section 8.6; T-GW 30 to 37.  The default identity check is gone with the override."""
    rig = Rig(Hooked)
    assert rig.upgrade(sub="mallory").status == 418
    rig.connect(name="no-dot", sub="bob")
    state = {"json": {"mine": 1}, "meta": {}}
    rig.receive({"type": "call", "callId": "c", "binding": "WORKER", "chain": CHAIN, "callContext": {"state": state}})
    context = rig.worker.calls[0][1].call_context
    assert context.state == {"mine": 1, "by": "editor"}
    assert context.origin_auth.claims == {"sub": "bob", "exp": NOW_S + 10, "role": "editor"}
    rig.receive({"type": "call", "callId": "bad", "binding": "WORKER", "chain": CHAIN})
    assert rig.last()["error"]["json"]["message"] == "not this one"
    assert str(answer_of(rig.gateway._execute_operation(envelope(state={"secret": 1})))) == "not to this client"
    assert isinstance(rig.gateway._execute_operation(envelope()), Pending)
    rig.host.ms += 11_000
    rig.receive("{}")
    assert rig.ctx.wire[-1][2] == (4401, "Token expired")


# Recorded conversations.

STACK = re.compile(r'("stack":")(?:[^"\\]|\\.)*"')


def without_stacks(text: str) -> str:
    return STACK.sub(r'\1"', text)


def answer_for(scenario: str, index: int, sent: str) -> Any:
    """What the mesh would have answered: the decoded result, or the encoded error, of the recorded reply."""
    frame = json.loads(sent)
    for _, direction, raw in RECORDED[scenario][index]["events"]:
        if direction == "gateway->client":
            reply = json.loads(raw)
            if reply["type"] == "call_response" and reply["callId"] == frame["callId"]:
                return Result(postprocess(reply["result"])) if reply["success"] else Failure(reply["error"])
    return None


@pytest.mark.parametrize(
    "scenario,index",
    [
        ("getting-started", 0),
        ("getting-started", 1),
        ("guard-rejects", 0),
        ("values", 0),
        ("errors", 0),
        ("calls-before-open", 0),
    ],
)
def test_recorded_client_frames_get_the_recorded_gateway_frames(scenario: str, index: int) -> None:
    """Section 10: byte for byte, replies and calls from the mesh alike."""
    talk = RECORDED[scenario][index]
    name = talk["url"].rsplit("/", 1)[1]
    rig = Rig(LUMENIZE_CLIENT_GATEWAY=None, **{b: fakes.FakeNamespace() for b in ("DOCUMENT_DO", "ECHO_DO")})
    rig.gateway.fetch(request(mint_hs256({"sub": name.split(".")[0]}, "k"), name, "LUMENIZE_CLIENT_GATEWAY"))
    expected: list[str] = []
    for _, direction, raw in talk["events"]:
        if direction == "client->gateway":
            rig.receive(raw)
            frame = json.loads(raw)
            namespace = rig.env.get(frame.get("binding"))
            if frame["type"] == "call" and namespace is not None:
                _, sent, pending = namespace.targets[frame["instance"]].calls[-1]
                assert sent.chain == frame["chain"]
                pending.settle(outcome.Value(answer_for(scenario, index, raw)))
        elif direction == "gateway->client":
            expected.append(raw)
            frame = json.loads(raw)
            if frame["type"] == "incoming_call":
                context = frame["callContext"]
                auth = context.get("originAuth")
                rig.host.ids = [frame["callId"]]
                rig.gateway._execute_operation(
                    Envelope(
                        1,
                        frame["chain"],
                        CallContext(
                            [NodeIdentity.from_wire(node) for node in context["callChain"]],
                            None if auth is None else OriginAuth.from_wire(auth),
                            postprocess(context["state"]),
                        ),
                        None,
                    )
                )
    assert [without_stacks(t) for t in rig.ctx.sent()] == [without_stacks(t) for t in expected]


def test_recorded_malformed_frames_leave_the_connection_usable() -> None:
    """Chains that are none go through to the object, which judges them."""
    (talk,) = RECORDED["malformed-frames"]
    rig = Rig(ECHO_DO=fakes.FakeNamespace())
    rig.connect()
    for _, direction, raw in talk["events"]:
        if direction == "client->gateway":
            rig.receive(b"\x01\x02\x03" if raw == "\x01\x02\x03" else raw)
    calls = rig.env["ECHO_DO"].targets["e1"].calls
    assert [sent.chain for _, sent, _ in calls] == [UNDEFINED, "str"]
    assert rig.ctx.get_web_sockets()[0].ready_state == 1


def test_recorded_upgrades_are_refused_with_the_recorded_bodies() -> None:
    """Those that the gateway itself judges; the others never reach it."""
    bodies = {t["client"]: (t["status"], t.get("refused")) for t in RECORDED["upgrade-refused"]}
    rig = Rig()
    for client, name in (("mismatch", "u2.t"), ("noTab", "u1")):
        response = rig.gateway.fetch(request(mint_hs256({"sub": "u1"}, "k"), name))
        assert (response.status, response.text) == bodies[client]


def test_recorded_expiry_closes_with_the_recorded_code_and_reason() -> None:
    (talk,) = RECORDED["token-expires-while-open"]
    rig = Rig(ECHO_DO=fakes.FakeNamespace())
    rig.connect(exp=NOW_S + 2)
    rig.host.ms += 3000
    rig.receive(talk["events"][1][2])
    assert list(rig.ctx.wire[-1][2]) == talk["events"][2][2]


def test_messages_know_both_status_frames() -> None:
    assert messages.connection_status(True) != messages.connection_status(False)


def test_a_real_service_binding_is_no_namespace() -> None:
    """GW-22: it answers to any method name, ``get_by_name`` among them, and is called without an instance name."""
    sent: list[Any] = []

    class Dispatcher:
        def call(self, stub: Any, method: str, args: tuple[Any, ...]) -> Pending[Any]:
            sent.append((stub.binding, method))
            return Pending("call")

    host = fakes.FakeHost()
    gateway = LumenizeClientGateway(fakes.FakeCtx(host, "alice.tab1"), {"CLERK": ServiceBinding(Dispatcher(), "CLERK")})
    gateway._stub("CLERK", None).call("_execute_operation")
    assert sent == [("CLERK", "_execute_operation")]
    with pytest.raises(MeshError, match="expected a DurableObjectNamespace"):
        gateway._stub("CLERK", "c1")

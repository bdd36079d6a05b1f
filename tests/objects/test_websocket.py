"""Web sockets as user code sees them (WS-*)."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.clone import RangeError
from lumenize_sim.errors import SimulatorError
from lumenize_sim.objects.hibernation import MAX_EVENT_TIMEOUT_MS, HibernationRegistry, WebSocketRequestResponsePair
from lumenize_sim.objects.refusal import Error, InvalidAccessError
from lumenize_sim.objects.socket_home import SocketRules, home_var
from lumenize_sim.objects.socket_record import TRANSITIONS, Acceptance, SocketRecord, SocketState
from lumenize_sim.objects.websocket import MAX_ATTACHMENT_BYTES, WebSocket, WebSocketPair

Sent = list[tuple[int, str, Any]]


class Machine:
    """Collects what leaves."""

    def __init__(self) -> None:
        self.sent: Sent = []
        self.rules = SocketRules()
        self.access = None
        self.registry = HibernationRegistry(self)

    def emit(self, record: SocketRecord, kind: str, payload: Any) -> None:
        self.sent.append((record.id, kind, payload))

    def accept(self, *tags: str) -> WebSocket:
        server: WebSocket = WebSocketPair()[1]
        self.registry.accept_web_socket(server, tags)
        return server


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def turn(machine: Machine) -> Iterator[None]:
    """Code runs in a turn of the machine's instance."""
    token = home_var.set(machine)
    yield
    home_var.reset(token)


# ------------------------------------------------------------------------------------------- accepting


def test_a_pair_is_two_ends_client_first() -> None:
    """WS-1."""
    pair = WebSocketPair()
    client, server = pair
    assert len(pair) == 2
    assert (pair[0], pair[1]) == (client, server)
    assert client.peer is server
    assert server.peer is client
    assert repr(server) == "<WebSocket 0 none open>"


def test_a_socket_is_accepted_once(machine: Machine) -> None:
    """WS-2."""
    ws = machine.accept()
    already = r"^Cannot call `acceptWebSocket\(\)` if the WebSocket was already accepted via `accept\(\)`$"
    with pytest.raises(Error, match=already):
        machine.registry.accept_web_socket(ws)
    with pytest.raises(TypeError, match=r"after enabling hibernation\.$"):
        ws.accept()


def test_a_socket_of_the_standard_api_cannot_become_hibernatable(machine: Machine, turn: None) -> None:
    """WS-2, WS-33: and the machine hears of it, since it prevents hibernation."""
    ws = WebSocketPair()[1]
    ws.accept()
    ws.accept()
    assert machine.sent == [(0, "accept", ws)]
    with pytest.raises(Error, match="already accepted via"):
        machine.registry.accept_web_socket(ws)


PAIR_USED = (
    r"^Cannot call `acceptWebSocket\(\)` on this WebSocket because its pair has already been accepted "
    r"or used in a Response\.$"
)


def test_a_socket_whose_pair_was_used_cannot_become_hibernatable(machine: Machine, turn: None) -> None:
    """WS-2."""
    for use in (WebSocket.accept, WebSocket.couple):
        client, server = WebSocketPair()
        use(client)
        with pytest.raises(Error, match=PAIR_USED):
            machine.registry.accept_web_socket(server)
    with pytest.raises(Error, match=PAIR_USED):
        machine.registry.accept_web_socket(client)


def test_an_end_is_used_in_one_response(turn: None) -> None:
    client, server = WebSocketPair()
    assert client.couple() is server
    assert client.record.acceptance is Acceptance.COUPLED
    with pytest.raises(TypeError, match="already used in a response"):
        client.couple()
    with pytest.raises(TypeError, match="already used in a response"):
        client.accept()
    server.accept()
    with pytest.raises(TypeError, match=r"after calling accept\(\)"):
        server.couple()


def test_tags_are_distinct_and_keep_their_order(machine: Machine) -> None:
    """WS-3, WS-6."""
    ws = machine.accept("b", "a", "b")
    assert machine.registry.get_tags(ws) == ["b", "a"]
    assert ws.record.tags == ("b", "a")


def test_limits_of_tags(machine: Machine) -> None:
    """WS-3: nothing has changed after a refusal."""
    ws = WebSocketPair()[1]
    registry = machine.registry
    with pytest.raises(Error, match=r"^a Hibernatable WebSocket cannot have more than 10 tags$"):
        registry.accept_web_socket(ws, [str(n) for n in range(11)])
    with pytest.raises(Error, match=r'^"x{257}" is longer than the max tag length \(256 characters\)\.$'):
        registry.accept_web_socket(ws, ["x" * 257])
    with pytest.raises(TypeError, match="must be texts"):
        registry.accept_web_socket(ws, [1])  # type: ignore[list-item]  # what is refused
    with pytest.raises(TypeError, match="not the text 'tag'"):
        registry.accept_web_socket(ws, "tag")
    assert (len(registry), ws.record.acceptance, ws.record.id) == (0, Acceptance.NONE, 0)
    registry.accept_web_socket(ws, ["x" * 256, *"abcdefghi", "a"])
    assert len(registry) == 1


def test_an_object_has_32768_sockets_at_most(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """WS-3."""
    monkeypatch.setattr("lumenize_sim.objects.hibernation.MAX_SOCKETS", 2)
    machine.accept()
    first = machine.accept()
    with pytest.raises(Error, match=r"^only 2 websockets can be accepted on a single Durable Object instance$"):
        machine.accept()
    machine.registry.remove(first.record)
    machine.accept()


def test_the_limit_is_the_platforms() -> None:
    """WS-3."""
    from lumenize_sim.objects.hibernation import MAX_SOCKETS

    assert MAX_SOCKETS == 32_768


def test_sockets_are_listed_newest_first_and_by_tag_oldest_first(machine: Machine) -> None:
    """WS-4, LT-90."""
    a, b, c = machine.accept("t"), machine.accept("t", "u"), machine.accept("t")
    registry = machine.registry
    assert registry.get_web_sockets() == [c, b, a]
    assert registry.get_web_sockets("t") == [a, b, c]
    assert registry.get_web_sockets("u") == [b]
    assert registry.get_web_sockets("v") == []
    assert registry.records() == [a.record, b.record, c.record]


def test_a_socket_is_listed_until_its_close_event_was_dispatched(machine: Machine) -> None:
    """WS-5."""
    a, b = machine.accept("t"), machine.accept("t", "u")
    registry = machine.registry
    b.close(4000)
    b.record.apply("peer close")
    assert registry.get_web_sockets() == [b, a]
    registry.remove(b.record)
    registry.remove(b.record)
    assert registry.get_web_sockets() == registry.get_web_sockets("t") == [a]
    assert registry.get_web_sockets("u") == []
    assert list(registry._tagged) == ["t"]  # a tag that nobody has leaves nothing behind


def test_tags_of_other_sockets_are_refused(machine: Machine) -> None:
    """WS-6."""
    with pytest.raises(Error, match="you must call 'acceptWebSocket"):
        machine.registry.get_tags(WebSocketPair()[1])


# ------------------------------------------------------------------------------------------- hibernation


def test_a_socket_is_the_same_object_in_one_incarnation_and_a_new_one_in_the_next(machine: Machine) -> None:
    """WS-7: tags, attachment and states stay; attributes set by user code do not."""
    ws = machine.accept("t")
    ws.note = "mine"  # type: ignore[attr-defined]  # user code may set what it likes
    registry = machine.registry
    assert registry.get_web_sockets() == [ws]
    registry.hibernate()
    (woken,) = registry.get_web_sockets()
    assert woken is not ws
    assert woken is registry.wrapper(ws.record)
    assert woken.record is ws.record
    assert not hasattr(woken, "note")
    assert registry.get_tags(woken) == ["t"]
    woken.send("hello")
    assert machine.sent == [(1, "message", "hello")]
    registry.hibernate()
    registry.wrapper(ws.record).send("again")
    assert machine.sent[-1] == (1, "message", "again")


def test_a_reset_cuts_all_sockets_and_forgets_the_settings(machine: Machine) -> None:
    """WS-22, WS-32."""
    a, b = machine.accept("t"), machine.accept()
    registry = machine.registry
    registry.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))
    registry.set_event_timeout(5)
    assert registry.disconnect() == [a.record, b.record]
    assert a.ready_state == b.ready_state == 3
    assert registry.get_web_sockets() == registry.get_web_sockets("t") == []
    assert registry.auto_response is registry.event_timeout_ms is None
    assert machine.sent == []


# ------------------------------------------------------------------------------------------- attachments


def test_an_attachment_is_a_copy_each_way(machine: Machine) -> None:
    """WS-8, WS-9, LT-81."""
    ws = machine.accept()
    assert ws.deserialize_attachment() is None
    value: dict[str, Any] = {"a": 1, "list": [1, 2]}
    ws.serialize_attachment(value)
    value["a"] = 2
    first, second = ws.deserialize_attachment(), ws.deserialize_attachment()
    assert first == second == {"a": 1, "list": [1, 2]}
    assert first is not second
    machine.registry.hibernate()
    assert machine.registry.wrapper(ws.record).deserialize_attachment() == first


def test_an_attachment_has_16384_bytes_at_most(machine: Machine) -> None:
    """WS-8, LT-82: measured as the platform serialises (header, tag, length, text); the one before stays."""
    ws = machine.accept()
    text_of_limit = "x" * (MAX_ATTACHMENT_BYTES - 5)
    ws.serialize_attachment(text_of_limit)
    assert ws.deserialize_attachment() == text_of_limit
    kept = ws.record.attachment
    text = r"^A WebSocket 'attachment' cannot be larger than 16384 bytes\.'attachment' was 16385 bytes\.$"
    with pytest.raises(Error, match=text):
        ws.serialize_attachment(text_of_limit + "x")
    assert ws.record.attachment is kept


# ------------------------------------------------------------------------------------------- sending


def test_a_message_is_copied_when_sent(machine: Machine) -> None:
    """WS-25."""
    ws = machine.accept()
    data = bytearray(b"abc")
    ws.send(data)
    ws.send(memoryview(data)[1:])
    ws.send("text")
    data[0] = 0
    assert machine.sent == [(1, "message", b"abc"), (1, "message", b"bc"), (1, "message", "text")]


def test_only_text_and_bytes_can_be_sent(machine: Machine) -> None:
    with pytest.raises(TypeError, match="takes str or bytes, not int"):
        machine.accept().send(5)  # type: ignore[arg-type]  # what is refused


def test_sending_after_own_close_is_an_error_and_after_the_peers_it_is_not(machine: Machine) -> None:
    """WS-26, WS-27."""
    ws = machine.accept()
    ws.record.apply("peer close")
    ws.send("last words")
    ws.close(1000)
    with pytest.raises(TypeError, match=r"^Can't call WebSocket send\(\) after close\(\)\.$"):
        ws.send("too late")
    assert machine.sent == [(1, "message", "last words"), (1, "close", (1000, ""))]


@pytest.mark.parametrize("end", ["lose", "release"])
def test_sending_to_nobody_is_ignored(machine: Machine, end: str) -> None:
    """WS-26."""
    ws = machine.accept()
    ws.record.apply(end)
    ws.send("x")
    ws.close(1000)
    assert machine.sent == []
    assert ws.ready_state == 3


def test_a_socket_must_be_accepted_before_it_can_be_used(turn: None) -> None:
    """WS-26."""
    client, server = WebSocketPair()
    client.couple()
    text = (
        r"^You must call one of accept\(\) or state\.acceptWebSocket\(\) on this WebSocket before sending messages\.$"
    )
    for ws in (client, server):
        with pytest.raises(TypeError, match=text):
            ws.send("x")
        with pytest.raises(TypeError, match=text):
            ws.close(1000)
        assert ws.ready_state == 1


def test_a_socket_outside_every_turn_says_so() -> None:
    server = Context().run(WebSocketPair)[1]
    with pytest.raises(SimulatorError, match="nowhere to send its 'accept'"):
        server.accept()


# ------------------------------------------------------------------------------------------- closing


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1014, 1016, 2999, 3000, 4999])
def test_codes_that_may_be_sent(machine: Machine, code: int) -> None:
    """WS-28."""
    machine.accept().close(code, "why")
    assert machine.sent == [(1, "close", (code, "why"))]


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 5000])
def test_codes_that_may_not(machine: Machine, code: int) -> None:
    """WS-28."""
    with pytest.raises(InvalidAccessError, match=rf"^Invalid WebSocket close code: {code}\.$"):
        machine.accept().close(code)
    assert machine.sent == []


@pytest.mark.parametrize("code, allowed", [(1000, True), (1001, False), (2999, False), (3000, True), (4999, True)])
def test_the_strict_flag_allows_fewer(machine: Machine, code: int, allowed: bool) -> None:
    """WS-28: the compatibility flag ``pedantic_wpt``."""
    machine.rules = SocketRules(strict_codes=True)
    ws = machine.accept()
    if allowed:
        ws.close(code)
    else:
        with pytest.raises(InvalidAccessError):
            ws.close(code)


def test_a_reason_needs_a_code_and_fits_123_bytes(machine: Machine) -> None:
    """WS-28: bytes, not characters."""
    ws = machine.accept()
    with pytest.raises(InvalidAccessError, match="you must also specify a code"):
        ws.close(None, "why")
    with pytest.raises(SyntaxError, match="must not be longer than 123 bytes when UTF-8 encoded"):
        ws.close(1000, "é" * 62)
    ws.close(1000, "é" * 61 + "x")
    assert len(machine.sent) == 1


def test_a_close_without_code_is_an_empty_frame(machine: Machine) -> None:
    """WS-28, WS-14."""
    machine.accept().close()
    assert machine.sent == [(1, "close", (None, ""))]


def test_a_good_second_close_is_ignored_and_a_bad_one_throws(machine: Machine) -> None:
    """WS-28."""
    ws = machine.accept()
    ws.close(4003, "srv")
    ws.close(4004)
    with pytest.raises(InvalidAccessError):
        ws.close(1005)
    assert machine.sent == [(1, "close", (4003, "srv"))]


@pytest.mark.parametrize(
    "events, ready",
    [
        ([], 1),
        (["close"], 2),
        (["peer close"], 2),
        (["lose"], 2),
        (["close", "peer close"], 3),
        (["peer close", "close"], 3),
        (["lose", "close"], 3),
        (["close", "lose"], 3),
        (["release"], 3),
    ],
)
def test_ready_state(events: list[str], ready: int) -> None:
    """WS-29."""
    record = SocketRecord()
    assert all(record.apply(event) for event in events)
    assert record.ready_state == ready


@given(st.lists(st.sampled_from(["close", "peer close", "lose", "release"]), max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_socket_terminates_at_most_once_and_never_reopens(events: list[str]) -> None:
    """WS-15, WS-29."""
    record = SocketRecord()
    terminations = 0
    for event in events:
        before, before_state = record.ready_state, record.state
        changed = record.apply(event)
        assert record.ready_state >= before
        # A peer may vanish after its close frame; that is told to nobody.
        terminations += changed and event in ("peer close", "lose") and before_state is not SocketState.CLOSE_RECEIVED
        assert record.writable is (record.state in (SocketState.OPEN, SocketState.CLOSE_RECEIVED))
    assert terminations <= 1


def test_a_released_socket_stays_released() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is SocketState.RELEASED]


# ------------------------------------------------------------------------------------------- auto-response


PING = WebSocketRequestResponsePair("ping", "pong")


def test_an_equal_text_is_answered_and_nothing_else(machine: Machine) -> None:
    """WS-20, WS-21, LT-79."""
    ws = machine.accept()
    registry = machine.registry
    assert registry.answer(ws.record, "ping", 5) is None
    registry.set_web_socket_auto_response(PING)
    assert registry.get_web_socket_auto_response() == PING
    assert registry.get_web_socket_auto_response_timestamp(ws) is None
    for other in ("ping ", "Ping", b"ping", ""):
        assert registry.answer(ws.record, other, 5) is None
    assert registry.answer(ws.record, "ping", 6) == "pong"
    registry.hibernate()
    woken = registry.wrapper(ws.record)
    assert registry.get_web_socket_auto_response_timestamp(woken) == 6
    assert registry.answer(ws.record, "ping", 7) == "pong"
    registry.set_web_socket_auto_response()
    assert registry.answer(ws.record, "ping", 8) is None
    assert machine.sent == []


def test_no_answer_after_the_object_closed(machine: Machine) -> None:
    """WS-23."""
    ws = machine.accept()
    machine.registry.set_web_socket_auto_response(PING)
    ws.close(1000)
    assert machine.registry.answer(ws.record, "ping", 5) is None


def test_both_texts_fit_2048_bytes(machine: Machine) -> None:
    """WS-20: the pair before stays."""
    registry = machine.registry
    registry.set_web_socket_auto_response(WebSocketRequestResponsePair("q" * 2048, "a" * 2048))
    before = registry.auto_response
    for pair, what in (
        (WebSocketRequestResponsePair("é" * 1025, "a"), "request"),
        (WebSocketRequestResponsePair("q", "a" * 2050), "response"),
    ):
        with pytest.raises(RangeError, match=rf"cannot be larger than 2048 bytes\. A {what} of size 2050 was provided"):
            registry.set_web_socket_auto_response(pair)
    assert registry.auto_response is before


def test_the_event_timeout_has_a_range_and_zero_clears_it(machine: Machine) -> None:
    """WS-17."""
    registry = machine.registry
    registry.set_event_timeout(MAX_EVENT_TIMEOUT_MS)
    assert registry.event_timeout_ms == MAX_EVENT_TIMEOUT_MS
    for bad in (-1, MAX_EVENT_TIMEOUT_MS + 1):
        with pytest.raises(RangeError, match="must be from 0 to 604800000"):
            registry.set_event_timeout(bad)
    registry.set_event_timeout(0)
    assert registry.event_timeout_ms is None
    registry.set_event_timeout(3)
    registry.set_event_timeout()
    assert registry.event_timeout_ms is None


# ------------------------------------------------------------------------------------------- listeners


def test_listeners_hear_the_standard_api_only(machine: Machine, turn: None) -> None:
    """WS-10, WS-34."""
    standard, hibernatable = WebSocketPair()[1], machine.accept()
    standard.accept()
    for ws in (standard, hibernatable):
        ws.add_event_listener("message", print)
        ws.add_event_listener("message", repr)
    assert standard.listeners("message") == (print, repr)
    assert standard.listeners("close") == ()
    assert hibernatable.listeners("message") == ()

"""The registry of hibernatable sockets against a naive model (WS-2 to WS-9, WS-20 to WS-23)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from lumenize_sim.objects import hibernation
from lumenize_sim.objects.hibernation import HibernationRegistry, WebSocketRequestResponsePair
from lumenize_sim.objects.refusal import Error
from lumenize_sim.objects.socket_home import SocketRules
from lumenize_sim.objects.socket_record import SocketRecord
from lumenize_sim.objects.websocket import WebSocket, WebSocketPair

TAGS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)


class Home:
    """Where frames go."""

    rules = SocketRules()
    access = None

    def emit(self, record: SocketRecord, kind: str, payload: Any) -> None: ...


class Registry(RuleBasedStateMachine):
    """The model is a list of sockets in order of acceptance, each a dictionary."""

    sockets = Bundle("sockets")

    def __init__(self) -> None:
        super().__init__()
        self.registry = HibernationRegistry(Home())
        self.model: list[dict[str, Any]] = []
        self.pair: tuple[str, str] | None = None
        self.now_ms = 0

    def _entry(self, ws: WebSocket) -> dict[str, Any] | None:
        return next((entry for entry in self.model if entry["record"] is ws.record), None)

    @rule(target=sockets, tags=TAGS)
    def accept(self, tags: list[str]) -> WebSocket:
        ws: WebSocket = WebSocketPair()[1]
        self.registry.accept_web_socket(ws, tags)
        self.model.append(
            {"record": ws.record, "tags": list(dict.fromkeys(tags)), "attachment": None, "ws": ws, "answered": None}
        )
        return ws

    @rule(ws=sockets)
    def accept_twice(self, ws: WebSocket) -> None:
        with pytest.raises(Error, match="already accepted"):
            self.registry.accept_web_socket(ws)

    @rule(ws=consumes(sockets))
    def remove(self, ws: WebSocket) -> None:
        for _ in range(2):
            self.registry.remove(ws.record)
        self.model = [entry for entry in self.model if entry["record"] is not ws.record]

    @rule(ws=sockets, value=st.one_of(st.none(), st.integers(), st.dictionaries(st.text(), st.integers(), max_size=2)))
    def attach(self, ws: WebSocket, value: Any) -> None:
        ws.serialize_attachment(value)
        entry = self._entry(ws)
        if entry is not None:
            entry["attachment"] = value

    @rule()
    def hibernate(self) -> None:
        self.registry.hibernate()
        for entry in self.model:
            entry["ws"] = None

    @rule(target=sockets)
    def disconnect(self) -> Any:
        assert self.registry.disconnect() == [entry["record"] for entry in self.model]
        self.model = []
        self.pair = None
        return multiple()

    @rule(request=st.sampled_from(["ping", "x"]), response=st.text(max_size=3))
    def set_pair(self, request: str, response: str) -> None:
        self.registry.set_web_socket_auto_response(WebSocketRequestResponsePair(request, response))
        self.pair = (request, response)

    @rule()
    def clear_pair(self) -> None:
        self.registry.set_web_socket_auto_response()
        self.pair = None

    @rule(ws=sockets, message=st.sampled_from(["ping", "x", "y", b"ping"]))
    def hear(self, ws: WebSocket, message: str | bytes) -> None:
        self.now_ms += 1
        entry = self._entry(ws)
        expected = None
        if self.pair is not None and message == self.pair[0] and entry is not None and ws.ready_state == 1:
            expected = self.pair[1]
            entry["answered"] = self.now_ms
        if entry is not None:
            assert self.registry.answer(ws.record, message, self.now_ms) == expected

    @rule(ws=sockets)
    def close(self, ws: WebSocket) -> None:
        if self._entry(ws) is not None:
            ws.close(1000)

    @invariant()
    def all_are_listed(self) -> None:
        records = [ws.record for ws in self.registry.get_web_sockets()]
        assert records == [entry["record"] for entry in reversed(self.model)]
        assert len(self.registry) == len(self.model)
        for tag in ("a", "b", "c", "d"):
            tagged = [ws.record for ws in self.registry.get_web_sockets(tag)]
            assert tagged == [entry["record"] for entry in self.model if tag in entry["tags"]]

    @invariant()
    def each_keeps_what_it_has(self) -> None:
        for entry in self.model:
            ws = self.registry.wrapper(entry["record"])
            assert ws is self.registry.wrapper(entry["record"])
            assert entry["ws"] in (None, ws), "identical within an incarnation (WS-7)"
            entry["ws"] = ws
            assert self.registry.get_tags(ws) == entry["tags"]
            assert ws.deserialize_attachment() == entry["attachment"]
            assert self.registry.get_web_socket_auto_response_timestamp(ws) == entry["answered"]

    @invariant()
    def the_pair_is_the_one_set_last(self) -> None:
        pair = self.registry.get_web_socket_auto_response()
        assert (None if pair is None else (pair.request, pair.response)) == self.pair


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_the_limits_are_the_platforms() -> None:
    """WS-3, WS-17, WS-20."""
    found = (
        hibernation.MAX_SOCKETS,
        hibernation.MAX_TAGS,
        hibernation.MAX_TAG_LENGTH,
        hibernation.MAX_AUTO_RESPONSE_BYTES,
        hibernation.MAX_EVENT_TIMEOUT_MS,
    )
    assert found == (32_768, 10, 256, 2_048, 604_800_000)

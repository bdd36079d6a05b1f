"""Frames: field order, absent fields, and what a malformed one is taken for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumenize_sim.clone import preprocess
from lumenize_sim.mesh import gateway_messages as g
from lumenize_sim.mesh.context import NodeIdentity, OriginAuth
from lumenize_sim.mesh.errors import MeshError

RECORDED = json.loads((Path(__file__).parent / "data" / "wire-frames.json").read_text(encoding="utf-8"))
TALKS = [(name, talk) for name, talks in RECORDED.items() for talk in talks]
WELL_FORMED = [
    raw
    for name, talk in TALKS
    if name not in ("malformed-frames", "token-expires-while-open")
    for _, direction, raw in talk["events"]
    if "->" in direction and raw.startswith("{")
]


def rebuilt(frame: dict[str, Any]) -> str:
    """The same frame from its parts."""
    kind = frame["type"]
    if kind == g.CONNECTION_STATUS:
        return g.connection_status(frame["subscriptionRequired"])
    if kind == g.CALL:
        context = frame["callContext"]
        return g.call_frame(
            frame["callId"],
            frame["binding"],
            frame.get("instance"),
            frame["chain"],
            context["callChain"],
            context["state"],
        )
    if kind == g.INCOMING_CALL:
        context = frame["callContext"]
        return g.incoming_call(
            frame["callId"],
            frame["chain"],
            g.identities_from_wire(context["callChain"]),
            g.origin_auth_from_wire(context.get("originAuth")),
            context["state"],
        )
    succeeded, failed = {
        g.CALL_RESPONSE: (g.call_succeeded, g.call_failed),
        g.INCOMING_CALL_RESPONSE: (g.incoming_call_succeeded, g.incoming_call_failed),
    }[kind]
    return succeeded(frame["callId"], frame["result"]) if frame["success"] else failed(frame["callId"], frame["error"])


@pytest.mark.parametrize("raw", sorted(set(WELL_FORMED)))
def test_recorded_frames_are_rebuilt_byte_for_byte(raw: str) -> None:
    """Section 10, WIRE-3, WIRE-4."""
    assert rebuilt(g.parse_frame(raw)) == raw


def test_every_type_of_frame_was_recorded() -> None:
    kinds = {json.loads(raw)["type"] for raw in WELL_FORMED}
    assert kinds == {g.CALL, g.CALL_RESPONSE, g.INCOMING_CALL, g.INCOMING_CALL_RESPONSE, g.CONNECTION_STATUS}


def test_absent_fields_are_left_out() -> None:
    """WIRE-4."""
    none = {"json": {}, "meta": {}}
    frame = json.loads(g.call_frame("c", "W", None, none, [], none))
    assert list(frame) == ["type", "callId", "binding", "chain", "callContext"]
    frame = json.loads(g.incoming_call("c", none, [NodeIdentity("LumenizeWorker")], OriginAuth("s"), none))
    context = {"callChain": [{"type": "LumenizeWorker"}], "originAuth": {"sub": "s"}, "state": none}
    assert frame["callContext"] == context


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20) | st.from_regex(r'[\[{]("type":)?.{0,9}[\]}]?', fullmatch=True))
def test_any_text_is_a_frame_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(g.parse_frame(text), dict)
    except ValueError:
        pass


@pytest.mark.parametrize("bad", [None, "x", {}, [1], [{}], [{"type": 5}]])
def test_call_chains_that_are_none_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="callChain"):
        g.identities_from_wire(bad)


def test_origin_auth_that_is_no_object_is_none() -> None:
    assert g.origin_auth_from_wire("root") is None
    assert g.origin_auth_from_wire({"claims": {}}) is None


def test_raised_values_become_errors_with_their_text() -> None:
    """RES-7."""
    error = ValueError("v")
    assert str(g.error_from_wire(preprocess(error))) == "v"
    for value, text in (([1, None], "1,"), ({"a": 1}, "[object Object]"), (True, "true")):
        raised = g.error_from_wire(preprocess(value))
        assert isinstance(raised, MeshError)
        assert str(raised) == text

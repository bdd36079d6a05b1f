"""What a hostile client sends in place of a chain fails with the words of the original (recorded: malformed-frames)."""

from __future__ import annotations

from typing import Any

import pytest

from lumenize_sim.clone import UNDEFINED, postprocess
from lumenize_sim.mesh.context import CallContext
from lumenize_sim.mesh.envelope import Envelope, Failure, execute_envelope


@pytest.mark.parametrize(
    "chain, name, message",
    [
        (UNDEFINED, "TypeError", "Cannot read properties of undefined (reading 'meta')"),
        (None, "TypeError", "Cannot read properties of null (reading 'meta')"),
        ("str", "Error", "Invalid operation chain: operations must be an array"),
        ({"json": "str", "meta": {}}, "Error", "Invalid operation chain: operations must be an array"),
    ],
)
def test_a_chain_that_is_none_fails_with_the_recorded_words(chain: Any, name: str, message: str) -> None:
    class Node:
        def on_before_call(self) -> None:
            """Lets everything pass."""

    response = execute_envelope(Envelope(1, chain, CallContext((), None, {})), Node(), "LumenizeDO")
    assert isinstance(response, Failure)
    assert (response.error_encoded["json"]["name"], response.error_encoded["json"]["message"]) == (name, message)
    assert isinstance(postprocess(response.error_encoded), Exception)

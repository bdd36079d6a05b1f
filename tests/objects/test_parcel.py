"""What crosses between nodes is a copy, in the simulator and on a real server alike (RPC-6, RPC-16, RPC-19)."""

from __future__ import annotations

from typing import Any

import httpx
import outcome
import pytest

from lumenize_sim.clone import UNDEFINED
from lumenize_sim.mesh.envelope import Failure, Result
from lumenize_sim.objects.http import Request, Response
from lumenize_sim.objects.parcel import Parcel, pack_outcome
from lumenize_sim.objects.parcel import snapshot as packed
from lumenize_sim.objects.pending import Outcome


def snapshot(value: object) -> Any:
    return packed(value, Parcel(None))


def snapshot_outcome(result: Outcome) -> Any:
    return pack_outcome(result, Parcel(None))


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "x", Failure({"json": 1})])
def test_what_nobody_can_change_crosses_as_it_is(value: object) -> None:
    """Immutable values and snapshots are not copied again."""
    assert snapshot(value) is value
    result = outcome.Value(value)
    assert snapshot_outcome(result).value is value


def test_requests_and_responses_are_copied() -> None:
    """RPC-6: their headers can be changed; the socket of an upgrade is the one thing that is handed over."""
    sent = Response(200, "x", {"A": "1"})
    copy = snapshot_outcome(outcome.Value(sent)).value
    sent.headers["A"] = "2"
    assert (copy.status, copy.text, copy.headers["a"]) == (200, "x", "1")
    request = snapshot(httpx.Request("PUT", "https://x", content=b"y"))
    assert isinstance(request, Request)
    assert (request.method, request.body) == ("PUT", b"y")


def test_the_receiver_does_not_see_later_changes() -> None:
    """RPC-6, also for a value inside a mesh response (RES-1)."""
    value = {"rows": [1]}
    plain, wrapped = snapshot(value), snapshot_outcome(outcome.Value(Result(value)))
    value["rows"].append(2)
    assert plain == {"rows": [1]}
    assert wrapped.value == Result({"rows": [1]})


def test_a_response_whose_value_needs_no_copy_is_not_wrapped_again() -> None:
    """Neither is one of undefined, which is no value that could be copied (RES-1)."""
    for value in (3, UNDEFINED):
        result = outcome.Value(Result(value))
        assert snapshot_outcome(result) is result


def test_an_error_crosses_as_it_is() -> None:
    """The callee has made the copy (RPC-19)."""
    result = outcome.Error(ValueError("no"))
    assert snapshot_outcome(result) is result


@pytest.mark.parametrize("wrap", [lambda value: value, Result])
def test_a_result_that_cannot_cross_becomes_an_error_with_the_mark_of_the_callee(wrap: object) -> None:
    """RPC-15, RPC-19; as an argument it is the sender's own failure."""
    result = snapshot_outcome(outcome.Value(wrap(object())))  # type: ignore[operator]  # either of the two above
    assert isinstance(result, outcome.Error)
    assert getattr(result.error, "remote", False) is True
    with pytest.raises(Exception, match="cannot be copied"):
        snapshot(object())

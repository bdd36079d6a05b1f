from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest

from lumenize_sim.errors import AppError
from lumenize_sim.trace.event import KINDS, TraceEvent, error_data


class OutOfStock(Exception):
    """Stands for an error of the app under test."""


def test_messages_of_interpreter_and_library_errors_stay_out() -> None:
    """Their wording changes between versions, and the digest must not."""
    assert error_data(ValueError("invalid literal")) == {"error": "ValueError"}
    assert error_data(json.JSONDecodeError("x", "y", 0)) == {"error": "JSONDecodeError"}
    assert error_data(cbor2.CBORDecodeError("x")) == {"error": "CBORDecodeError"}


def test_messages_of_the_apps_and_our_own_errors_stay_in() -> None:
    assert error_data(OutOfStock("2 left")) == {"error": "OutOfStock", "message": "2 left"}
    assert error_data(AppError("refused")) == {"error": "AppError", "message": "refused"}


def test_class_of_a_script_is_the_apps_own() -> None:
    """``__main__`` is among the standard library's module names."""
    kind: Any = type("Boom", (Exception,), {"__module__": "__main__"})
    assert error_data(kind("x")) == {"error": "Boom", "message": "x"}


def test_caller_may_overrule() -> None:
    assert error_data(ValueError("no such doc"), text=True) == {"error": "ValueError", "message": "no such doc"}
    assert error_data(OutOfStock("x"), text=False) == {"error": "OutOfStock"}


def test_entry_of_data_needs_a_dict() -> None:
    assert TraceEvent(0, 0, "read", "A", "x", data={"key": "k"}).get("key") == "k"
    assert TraceEvent(0, 0, "read", "A", "x", data=("key",)).get("key", 1) == 1
    assert TraceEvent(0, 0, "read", "A", "x").get("key") is None


def test_each_kind_has_a_meaning() -> None:
    assert all(meaning for meaning in KINDS.values())
    with pytest.raises(TypeError):
        KINDS["new"] = "x"  # type: ignore[index]  # the mistake under test

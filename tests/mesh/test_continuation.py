"""Recording calls (OC-1 … OC-12)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lumenize_sim.clone import preprocess
from lumenize_sim.errors import AppError
from lumenize_sim.mesh import (
    RESULT,
    Continuation,
    LumenizeDO,
    continuation_from_chain,
    get_operation_chain,
    is_nested_operation_marker,
    mesh,
    new_continuation,
)


class Counter(LumenizeDO):
    @mesh
    def add_up(self, first: int, second: int = 2, third: int = 3) -> int:
        return first + second + third

    @mesh(name="getURL")
    def get_url(self) -> str:
        return ""

    @mesh
    def only(self, *, flag: bool) -> bool:
        return flag


def chain(x: Any) -> Any:
    return get_operation_chain(x)


def test_a_call_is_a_get_and_an_apply_in_this_key_order() -> None:
    recorded = chain(new_continuation().check("hello", {"lang": "en"}))
    assert json.dumps(recorded) == (
        '[{"type": "get", "key": "check"}, {"type": "apply", "args": ["hello", {"lang": "en"}]}]'
    )


def test_the_empty_continuation_has_the_empty_chain() -> None:
    assert chain(new_continuation()) == []


def test_attributes_are_converted_and_items_are_not() -> None:
    c = new_continuation()
    assert chain(c.do_it) == [{"type": "get", "key": "doIt"}]
    assert chain(c["do_it"][0]) == [{"type": "get", "key": "do_it"}, {"type": "get", "key": 0}]


def test_the_class_table_overrides_the_conversion() -> None:
    c: Any = new_continuation(Counter)
    assert chain(c.get_url())[0] == {"type": "get", "key": "getURL"}
    assert chain(c.unknown_method())[0] == {"type": "get", "key": "unknownMethod"}


def test_steps_make_new_lists_around_the_same_operations() -> None:
    """OC-3."""
    first = new_continuation().a(1)
    before = list(chain(first))
    second = first.b()
    assert chain(first) == before
    assert chain(second)[:2] == before
    assert chain(second) is not chain(first)
    assert chain(second)[0] is chain(first)[0]


def test_direct_continuations_become_markers_that_share_the_list() -> None:
    """OC-7."""
    inner = new_continuation().inner()
    marker = chain(new_continuation().outer(inner, [inner]))[1]["args"][0]
    assert list(marker) == ["__isNestedOperation", "__operationChain"]
    assert marker["__operationChain"] is chain(inner)
    assert is_nested_operation_marker(marker)
    assert not is_nested_operation_marker(inner)
    assert chain(new_continuation().outer([inner]))[1]["args"][0] == [inner]  # OC-8: deeper ones stay


def test_sharing_shows_on_the_wire() -> None:
    """OC-9: the same continuation twice is one alias, a common prefix is another."""
    inner = new_continuation().add(1, 2)
    twice = preprocess(chain(new_continuation().both(inner, inner)))
    assert json.dumps(twice).count('"__operationChain": {"$ref": 0}') == 2
    prefix = new_continuation().a
    grown = preprocess(chain(new_continuation().both(prefix.b(), prefix.c())))
    assert '{"$ref": 0}, {"type": "get", "key": "b"}' in json.dumps(grown)


def test_result_is_the_marker_of_one_get() -> None:
    """OC-11."""
    args = chain(new_continuation().h(RESULT))[1]["args"]
    assert args == [{"__isNestedOperation": True, "__operationChain": [{"type": "get", "key": "$result"}]}]


def test_only_continuations_have_a_chain() -> None:
    """OC-5, OC-6."""
    raw = [{"type": "get", "key": "x"}]
    assert get_operation_chain(raw) is None
    assert chain(continuation_from_chain(raw)) is raw
    with pytest.raises(AppError, match="no operation chain"):
        continuation_from_chain("x")  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("name", ["_private", "__deepcopy__", "__len__"])
def test_underscore_names_are_no_attributes(name: str) -> None:
    for c in (new_continuation(), RESULT):
        with pytest.raises(AttributeError):
            getattr(c, name)


def test_names_of_the_language_of_the_original_are_recorded() -> None:
    """OC-4: then, constructor and toString are ordinary keys."""
    assert chain(new_continuation().then)[0]["key"] == "then"


@pytest.mark.trio
async def test_awaiting_a_continuation_says_what_to_do() -> None:
    with pytest.raises(AppError, match=r"hand it to self\.lmz\.call_raw"):
        await new_continuation().a(1)


def test_a_continuation_cannot_be_changed_or_iterated() -> None:
    c = new_continuation().a
    with pytest.raises(AppError, match="immutable"):
        c.x = 1
    with pytest.raises(AppError, match="immutable"):
        del c.x
    with pytest.raises(TypeError):
        iter(c)


@pytest.mark.parametrize("key", [1.5, None, True, ("a",)])
def test_item_keys_are_strings_or_whole_numbers(key: object) -> None:
    with pytest.raises(AppError, match="cannot be recorded"):
        new_continuation()[key]


@pytest.mark.parametrize("misuse", [lambda r: r.name, lambda r: r[0], lambda r: r()])
def test_taking_the_result_apart_is_refused(misuse: Any) -> None:
    with pytest.raises(AppError, match="inside the handler"):
        misuse(RESULT)


def test_keyword_arguments_become_positions_where_the_class_is_known() -> None:
    c = new_continuation(Counter)
    assert chain(c.add_up(first=1))[1]["args"] == [1]
    assert chain(c.add_up(1, third=5))[1]["args"] == [1, 2, 5]
    assert chain(c.add_up(1, 7, third=5))[1]["args"] == [1, 7, 5]


def test_keyword_arguments_are_refused_where_they_have_no_position() -> None:
    with pytest.raises(AppError, match="only positions do"):
        new_continuation().add_up(first=1)
    with pytest.raises(AppError, match="only positions travel"):
        new_continuation(Counter).only(flag=True)
    with pytest.raises(TypeError, match="unexpected keyword"):
        new_continuation(Counter).add_up(1, fourth=1)  # type: ignore[call-arg]  # one that the checker finds too


def test_data_that_looks_like_a_nested_operation_is_refused_as_an_argument() -> None:
    """The receiver could not tell it from a continuation and would run it under the sender's name."""
    smuggled = {"__isNestedOperation": True, "__operationChain": [{"type": "get", "key": "reset"}]}
    with pytest.raises(AppError, match="looks like a nested operation"):
        new_continuation().save(smuggled)
    assert chain(new_continuation().save([smuggled]))[1]["args"] == [[smuggled]]


def test_representations_read_like_the_call() -> None:
    assert repr(new_continuation().a("x")["b c"].d) == "<continuation ctn().a('x')['b c'].d>"
    assert repr(RESULT) == "RESULT"
    assert isinstance(RESULT, Continuation)

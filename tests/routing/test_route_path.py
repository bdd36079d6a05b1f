"""Paths and the bindings that they name (RT-2 to RT-7, RT-11)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumenize_sim.clone import dumps, parse, preprocess, stringify
from lumenize_sim.mesh.errors import MeshError
from lumenize_sim.objects.ids import id_from_name
from lumenize_sim.objects.namespace import DurableObjectNamespace, ServiceBinding
from lumenize_sim.routing import (
    MissingInstanceNameError,
    MultipleBindingsFoundError,
    binding_variants,
    find_binding,
    get_do_stub,
    is_do_namespace,
    is_durable_object_id,
    parse_pathname,
)
from lumenize_sim.routing.path import path_of
from lumenize_sim.routing.route import Route, find_route

DISPATCHER: Any = None
NAMESPACE = DurableObjectNamespace(DISPATCHER, "ROOM", "ROOM", bytes)
HEX = "8aa7a69131efa8902661702e701295f168aa5806045ec15d01a2f465bd5f3b99"


def names(pathname: str, prefix: str | None = None, **options: Any) -> tuple[str, str | None] | None:
    found = parse_pathname(pathname, prefix, **options)
    return None if found is None else (found.binding_segment, found.instance)


@pytest.mark.parametrize(
    "pathname, expected",
    [
        ("/my-do/instance", ("my-do", "instance")),
        ("/My-Do/Instance-A", ("My-Do", "Instance-A")),
        ("/my-do/550e8400-e29b-41d4-a716-446655440000/x", ("my-do", "550e8400-e29b-41d4-a716-446655440000")),
        (f"/my-do/{HEX}", ("my-do", HEX)),
        ("/my-do", ("my-do", None)),
        ("/my-do/", ("my-do", None)),
        ("//my-do///a//b", ("my-do", "a")),
        ("/a/b/c/d/e/f", ("a", "b")),
        ("", None),
        ("/", None),
        ("///", None),
    ],
)
def test_a_path_names_a_binding_and_an_instance(pathname: str, expected: tuple[str, str | None] | None) -> None:
    """RT-2: empty segments are ignored, case is kept, what follows belongs to the object.  RT-4."""
    assert names(pathname) == expected


@pytest.mark.parametrize("prefix", ["/api/v1", "api/v1", "api/v1/", "/api/v1/"])
def test_a_prefix_is_written_with_or_without_slashes(prefix: str) -> None:
    """RT-3."""
    assert names("/api/v1/my-do/a", prefix) == ("my-do", "a")
    assert names("/api/v1", prefix) is None
    assert names("/api/v1/", prefix) is None
    assert names("/api/v2/my-do/a", prefix) is None
    assert names("", prefix) is None


def test_no_prefix_is_needed_where_none_is_given() -> None:
    """RT-3: the empty string is no prefix."""
    assert names("/a/b", "") == names("/a/b", "/") == names("/a/b") == ("a", "b")


def test_a_prefix_ends_where_a_segment_does() -> None:
    """RT-3, mended: `/api` does not match `/apiary`; as in release 0.26 it does, and leaves the rest."""
    assert names("/apiary/room/a", "/api") is None
    assert names("/apiary/room/a", "/api", compat="0.26") == ("ary", "room")
    assert names("/api/room/a", "/api", compat="0.26") == ("room", "a")


@pytest.mark.parametrize(
    "url, path",
    [
        ("https://h/room/a%20b/?q=/x/y", "/room/a%20b/"),
        ("https://h/room/a%2Fb#f", "/room/a%2Fb"),
        ("https://h", "/"),
        ("wss://h/gateway/B/al@x.y", "/gateway/B/al@x.y"),
    ],
)
def test_names_are_not_percent_decoded(url: str, path: str) -> None:
    """RT-2."""
    assert path_of(url) == path


@pytest.mark.parametrize(
    "segment, variants",
    [
        ("my-do", ["my-do", "MY_DO", "my_do", "MyDo", "myDo", "MyDO"]),
        ("my-d-o", ["my-d-o", "MY_D_O", "my_d_o", "MyDO", "myDO", "MYDO"]),
        ("user-session", ["user-session", "USER_SESSION", "user_session", "UserSession", "userSession"]),
        ("room", ["room", "ROOM", "Room"]),
        ("api-v2", ["api-v2", "API_V2", "api_v2", "ApiV2", "apiV2"]),
        ("a", ["a", "A"]),
        ("123", ["123"]),
        ("MY_DO", ["MY_DO"]),
        ("my_do", ["my_do"]),
        ("MyDO", ["MyDO"]),
        ("my.do", ["my.do"]),
        ("", [""]),
    ],
)
def test_words_with_dashes_are_read_in_every_usual_spelling(segment: str, variants: list[str]) -> None:
    """RT-6; RT-5: anything else is exact."""
    assert binding_variants(segment) == variants


@pytest.mark.parametrize(
    "segment, bindings, found",
    [
        ("my-do", ["MY_DO"], "MY_DO"),
        ("my-do", ["MyDO"], "MyDO"),
        ("my-d-o", ["MyDO"], "MyDO"),
        ("user-session", ["UserSession"], "UserSession"),
        ("room-123", ["ROOM_123"], "ROOM_123"),
        ("MY_DO", ["MY_DO", "MyDO"], "MY_DO"),
        ("my_do", ["MY_DO"], None),
        ("My-Do", ["MY_DO"], None),
        ("userSession", ["USER_SESSION"], None),
        ("", ["MY_DO"], None),
        ("other", ["MY_DO"], None),
    ],
)
def test_a_segment_finds_its_binding(segment: str, bindings: list[str], found: str | None) -> None:
    """RT-4, RT-5."""
    assert find_binding(segment, bindings) == found


def test_several_bindings_are_refused_by_name() -> None:
    """RT-7: the matches in the order of the spellings, and a status for whoever answers."""
    with pytest.raises(MultipleBindingsFoundError) as caught:
        find_binding("my-do", ["MyDo", "OTHER", "MY_DO", "my_do"])
    error = caught.value
    assert str(error) == "Multiple Durable Object bindings found for path segment 'my-do': MY_DO, my_do, MyDo"
    assert (error.code, error.http_error_code) == ("MULTIPLE_BINDINGS_FOUND", 400)
    assert error.matched_bindings == error.available_bindings == ["MY_DO", "my_do", "MyDo"]


def test_errors_of_routing_keep_their_class_across_the_wire() -> None:
    """Their names are those of the original."""
    with pytest.raises(MultipleBindingsFoundError) as caught:
        find_binding("a", ["a", "A"])
    encoded = dumps(preprocess(caught.value)["json"])
    assert '"name":"MultipleBindingsFoundError"' in encoded
    assert '"matchedBindings":["a","A"]' in encoded
    back = parse(stringify(MissingInstanceNameError()))
    assert type(back) is MissingInstanceNameError
    assert str(back).startswith("doBindingName found but doInstanceNameOrId missing. Expected format: ")


def test_a_binding_without_instance_is_an_error_and_an_unknown_one_is_not() -> None:
    """RT-4."""
    assert find_route("https://h/nothing", ["ROOM"]) is None
    assert find_route("https://h/", ["ROOM"]) is None
    assert find_route("https://h/x/room/a", ["ROOM"], "x") == Route("ROOM", "room", "a")
    with pytest.raises(MissingInstanceNameError) as caught:
        find_route("https://h/room", ["ROOM"])
    assert (caught.value.code, caught.value.http_error_code) == ("MISSING_INSTANCE_NAME", 400)


def test_only_namespaces_of_objects_count_as_such() -> None:
    """RT-5, CALL-12: a service binding answers to every method name, so it is told by its `fetch`."""
    assert is_do_namespace(NAMESPACE)
    assert not is_do_namespace(ServiceBinding(DISPATCHER, "RATES"))
    assert not any(map(is_do_namespace, [None, "text", 7, {}]))


def test_sixty_four_hex_digits_are_an_id() -> None:
    """RT-11: lower case only."""
    stub = get_do_stub(NAMESPACE, id_from_name("ROOM", "a").hex)
    assert (stub.id, stub.name) == (id_from_name("ROOM", "a"), None)
    assert get_do_stub(NAMESPACE, "a").name == "a"
    assert is_durable_object_id(HEX)
    assert not any(map(is_durable_object_id, [HEX.upper(), HEX[1:], HEX + "0", "", HEX + "\n"]))
    with pytest.raises(MeshError, match="getDOStub expected a DurableObjectNamespace but received a binding"):
        get_do_stub(ServiceBinding(DISPATCHER, "RATES"), "a")


@given(st.text(alphabet="abAB01-_/%. é?#", max_size=20), st.none() | st.text(alphabet="ab/", max_size=5))
def test_any_path_is_parsed_or_does_not_match(pathname: str, prefix: str | None) -> None:
    """Nothing raises, and what is found is a part of what was given."""
    found = parse_pathname(pathname, prefix)
    if found is not None:
        assert found.binding_segment
        assert found.binding_segment in pathname
        assert found.instance is None or (found.instance and found.instance in pathname)
        assert find_binding(found.binding_segment, [found.binding_segment]) == found.binding_segment

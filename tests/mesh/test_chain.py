"""Running chains: order, results, nesting, limits (OC-13 … OC-36)."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from lumenize_sim.clone import UNDEFINED, RemoteError
from lumenize_sim.mesh import (
    RESULT,
    MeshError,
    execute_operation_chain,
    get_operation_chain,
    mesh,
    mesh_fn,
    new_continuation,
    replace_nested_operation_markers,
    validate_operation_chain,
)
from lumenize_sim.mesh.chain import Protected, is_awaitable, with_result
from lumenize_sim.mesh.errors import ClientDisconnectedError, LoginRequiredError
from lumenize_sim.objects.pending import Pending


def chain(x: Any) -> Any:
    found = get_operation_chain(x)
    assert found is not None
    return found


def ctn() -> Any:
    return new_continuation()


def run(x: Any, target: Any, **options: Any) -> Any:
    return execute_operation_chain(chain(x), target, **options)


def trusted(x: Any, target: Any, **options: Any) -> Any:
    return execute_operation_chain(chain(x), target, require_mesh_decorator=False, **options)


class Deep:
    def method(self, x: int = 0) -> str:
        return f"deep {x}"

    @mesh
    def open(self) -> str:
        return "open"


class Nested:
    def __init__(self) -> None:
        self.deep = Deep()


class Target:
    """A target like those of the original's own tests."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.value = 1
        self.nested = Nested()
        self.user_name = "ada"

    @mesh
    def add(self, a: int, b: int) -> int:
        self.log.append(("add", a, b))
        return a + b

    @mesh
    async def slow(self, x: int) -> int:
        self.log.append(("slow", x))
        return x

    @mesh
    def pending(self, x: int) -> Pending[int]:
        return Pending.of(x)

    @mesh
    async def twice(self, x: int) -> Any:
        return Pending.of(x)

    @mesh
    def set_value(self, value: int) -> Target:
        self.log.append("set")
        self.value = value
        return self

    @mesh
    async def later(self) -> Target:
        self.log.append("later")
        return self

    def get_value(self) -> int:
        self.log.append("get")
        return self.value

    @mesh
    def nothing(self) -> None:
        return None

    @mesh
    async def nothing_later(self) -> None:
        return None

    @mesh
    def nobody(self) -> str | None:
        return None

    @mesh
    def echo(self, *args: Any) -> list[Any]:
        return list(args)

    @mesh
    def fail(self) -> None:
        raise ValueError("no")

    def plain(self) -> str:
        return "plain"

    @mesh
    def data(self) -> dict[str, Any]:
        return {"list": [1, {"x": 2}], "7": "seven", "none": None}


@pytest.fixture
def target() -> Target:
    return Target()


def test_a_synchronous_call_gives_the_plain_value(target: Target) -> None:
    assert run(ctn().add(1, 2), target) == 3


def test_the_empty_chain_is_the_target(target: Target) -> None:
    """OC-19."""
    assert run(ctn(), target) is target


@pytest.mark.trio
@pytest.mark.parametrize("name", ["slow", "pending", "twice"])
async def test_an_awaitable_on_the_way_makes_an_awaitable(target: Target, name: str) -> None:
    result = run(ctn()[name](5), target)
    assert is_awaitable(result)
    assert await result == 5


@pytest.mark.trio
async def test_each_link_is_executed_once_and_async_links_go_on(target: Target) -> None:
    """OC-28, decided: the original runs earlier links again, and cannot follow an async one."""
    assert run(ctn().set_value(100).get_value(), target) == 100
    assert target.log == ["set", "get"]
    assert await run(ctn().later().set_value(3).get_value(), target) == 3
    assert target.log == ["set", "get", "later", "set", "get"]
    assert await run(ctn().later().later().slow(4), target) == 4


@pytest.mark.trio
async def test_nested_chains_run_left_to_right_before_the_call(target: Target) -> None:
    """OC-22, T-OC 11, 12, 19, 24."""
    assert run(ctn().add(ctn().add(1, 2), ctn().add(3, 4)), target) == 10
    assert target.log == [("add", 1, 2), ("add", 3, 4), ("add", 3, 7)]
    mixed = ctn().echo(0, ctn().slow(1), 2, ctn().slow(ctn().slow(3)), Pending, ctn().add(2, 2))
    assert await run(mixed, target) == [0, 1, 2, 3, Pending, 4]
    assert await run(ctn().twice(ctn().slow(8)), target) == 8
    assert run(ctn().data()["list"][ctn_key()], target) == 1


def ctn_key() -> int:
    return 0


@pytest.mark.trio
async def test_nothing_is_undefined_only_where_the_method_says_so(target: Target) -> None:
    assert run(ctn().nothing(), target) is UNDEFINED
    assert run(ctn().nobody(), target) is None
    assert await run(ctn().nothing_later(), target) is UNDEFINED
    assert await run(ctn().nothing_later(), target, local=True) is UNDEFINED


def test_undefined_needs_an_annotation_of_that_very_kind() -> None:
    real = type("Real", (), {"go": mesh_fn(lambda self: None)})
    assert run(ctn().go(), real()) is None
    real.go.__annotations__["return"] = type(None)  # type: ignore[attr-defined]  # of a class made at run time
    assert run(ctn().go(), real()) is UNDEFINED


def test_reading_from_nothing_fails_like_the_original(target: Target) -> None:
    """OC-20."""
    with pytest.raises(TypeError, match=r"^Cannot read properties of undefined \(reading 'deep'\)$"):
        run(ctn().nothing().deep(), target)
    with pytest.raises(TypeError, match=r"^Cannot read properties of null \(reading 'deep'\)$"):
        run(ctn().nobody().deep(), target)


@pytest.mark.parametrize(
    "value, text",
    [
        (UNDEFINED, "undefined"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (2.0, "2"),
        (2.5, "2.5"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ("abc", "abc"),
        ([1, None, [2]], "1,,2"),
        ({"a": 1}, "[object Object]"),
        (ValueError("x"), "ValueError: x"),
    ],
)
def test_calling_what_is_no_function_names_it_as_javascript_would(target: Target, value: Any, text: str) -> None:
    """OC-21."""
    target.held = value  # type: ignore[attr-defined]  # set by nobody but this test
    with pytest.raises(MeshError) as caught:
        trusted(ctn().held(), target)
    assert str(caught.value) == f"TypeError: {text} is not a function"


def test_a_missing_method_is_not_a_function(target: Target) -> None:
    with pytest.raises(MeshError, match=r"^TypeError: undefined is not a function$"):
        run(ctn().missing(), target)


def test_items_of_dicts_and_lists_are_read(target: Target) -> None:
    data = ctn().data()
    assert run(data["list"][1]["x"], target) == 2
    assert run(data["list"]["1"], target) == {"x": 2}
    assert run(data["7"], target) == "seven"
    assert run(data.missing, target) is UNDEFINED
    assert run(data[7], target) is UNDEFINED
    assert run(data["list"][9], target) is UNDEFINED
    assert run(data["list"][-1], target) is UNDEFINED


def test_unknown_operations_are_ignored(target: Target) -> None:
    """OC-19."""
    operations = [{"type": "await"}, *chain(ctn().add(1, 1)), {"type": "set", "key": "x"}]
    assert execute_operation_chain(operations, target) == 2


def test_bare_functions_can_be_targets() -> None:
    """T-OC 25."""
    leading = [{"type": "apply", "args": [3]}]
    assert execute_operation_chain(leading, lambda x: x + 1, require_mesh_decorator=False) == 4
    assert execute_operation_chain(leading, mesh_fn(lambda x: x + 1)) == 4
    with pytest.raises(MeshError, match="Method '<lambda>' is not mesh-callable"):
        execute_operation_chain(leading, lambda x: x + 1)


def test_arguments_without_markers_keep_identity_and_cycles_do_not_hang(target: Target) -> None:
    """OC-26, T-OC 23, 26."""
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    assert run(ctn().echo(cyclic, {"a": cyclic}), target)[0] is cyclic


def test_a_trusted_chain_reads_attributes_and_plain_methods(target: Target) -> None:
    assert trusted(ctn().nested.deep.method(2), target) == "deep 2"
    assert trusted(ctn().set_value(9).value, target) == 9
    assert trusted(ctn().user_name, target) == "ada"
    assert trusted(ctn().plain(), target) == "plain"
    assert trusted(ctn().plain, target)() == "plain"
    assert trusted(ctn().missing, target) is UNDEFINED


def test_a_local_chain_may_still_be_checked(target: Target) -> None:
    """OC-30: the function checked is the one selected, wherever it lives."""
    assert run(ctn().nested.deep.open(), target, local=True) == "open"
    with pytest.raises(MeshError, match="Method 'method' is not mesh-callable"):
        run(ctn().nested.deep.method(), target, local=True)


# The gate


class Guarded:
    def __init__(self) -> None:
        self.log: list[str] = []

    def check(self) -> None:
        self.log.append("guard")

    @mesh(check)
    def act(self, x: int) -> int:
        self.log.append(f"act {x}")
        return x

    @mesh
    def argument(self) -> int:
        self.log.append("argument")
        return 1

    @mesh(lambda node: node.refuse())
    def refused(self) -> int:
        raise AssertionError("the guard comes first")

    def refuse(self) -> None:
        raise PermissionError("admins only")

    async def wait(self) -> None:
        raise AssertionError("nobody awaits a guard")

    @mesh(lambda node: node.wait())
    def guarded_by_async(self) -> int:
        return 2

    @mesh(lambda node: Pending.of(None))
    def guarded_by_pending(self) -> int:
        return 3

    def plain(self) -> int:
        return 1


def test_a_method_without_the_mark_is_refused_with_the_fixed_text(target: Target) -> None:
    with pytest.raises(MeshError) as caught:
        run(ctn().plain(), target)
    assert str(caught.value) == ("Method 'plain' is not mesh-callable. Add the @mesh decorator to allow remote calls.")
    assert isinstance(caught.value, RemoteError)
    assert caught.value.name == "Error"


def test_the_guard_gets_the_target_before_arguments_are_resolved() -> None:
    """OC-22, OC-32."""
    target = Guarded()
    assert run(ctn().act(ctn().argument()), target) == 1
    assert target.log == ["guard", "argument", "act 1"]


def test_what_a_guard_raises_passes_unchanged() -> None:
    with pytest.raises(PermissionError, match="admins only"):
        run(ctn().refused(), Guarded())


def test_an_async_guard_is_not_awaited() -> None:
    """CALL-39."""
    assert run(ctn().guarded_by_async(), Guarded()) == 2
    assert run(ctn().guarded_by_pending(), Guarded()) == 3


def test_every_nested_chain_has_its_own_check_and_guard() -> None:
    """OC-24."""
    target = Guarded()
    with pytest.raises(MeshError, match="'plain' is not mesh-callable"):
        run(ctn().act(ctn().plain()), target)
    with pytest.raises(PermissionError):
        run(ctn().act(ctn().refused()), target)
    assert target.log == ["guard", "guard"]


def test_a_trusted_chain_runs_neither_check_nor_guard() -> None:
    """OC-36, CALL-25."""
    target = Guarded()
    assert trusted(ctn().act(5), target) == 5
    assert target.log == ["act 5"]


# Limits


def test_exactly_fifty_operations_and_a_hundred_arguments_pass(target: Target) -> None:
    """OC-18."""
    validate_operation_chain([{"type": "get", "key": "a"}] * 50)
    validate_operation_chain([{"type": "apply", "args": [0] * 100}])


@pytest.mark.parametrize(
    "operations, text",
    [
        ("x", "Invalid operation chain: operations must be an array"),
        ({"0": {}}, "Invalid operation chain: operations must be an array"),
        ([{"type": "get", "key": "a"}] * 51, "Operation chain too deep: 51 > 50"),
        ([{"type": "apply", "args": [0] * 101}], "Too many arguments: 101 > 100"),
        ([7], "Invalid operation chain: operation 0 must be an object"),
        ([{"type": "apply"}], "Invalid operation chain: the arguments of operation 0 must be an array"),
        ([{"type": "apply", "args": "ab"}], "Invalid operation chain: the arguments of operation 0 must be an array"),
    ],
)
def test_malformed_and_oversized_chains_are_refused(target: Target, operations: Any, text: str) -> None:
    with pytest.raises(MeshError) as caught:
        execute_operation_chain(operations, target)
    assert str(caught.value) == text


@pytest.mark.parametrize("key", [None, True, 1.5, [], {}, {"type": "get"}])
def test_keys_are_strings_or_numbers(target: Target, key: Any) -> None:
    with pytest.raises(MeshError, match="a key must be a string or a number"):
        execute_operation_chain([{"type": "get", "key": key}, {"type": "apply", "args": []}], target)


def test_limits_can_be_set(target: Target) -> None:
    """T-OC 17, 21."""
    with pytest.raises(MeshError, match="Operation chain too deep: 2 > 1"):
        run(ctn().add(1, 2), target, max_depth=1)
    with pytest.raises(MeshError, match="Too many arguments: 2 > 1"):
        run(ctn().add(1, 2), target, max_args=1)


@pytest.mark.trio
async def test_a_chain_nested_in_itself_ends(target: Target) -> None:
    """Aliases on the wire can make one."""
    for name in ("echo", "slow"):
        operations: list[dict[str, Any]] = [{"type": "get", "key": name}]
        operations.append({"type": "apply", "args": [{"__isNestedOperation": True, "__operationChain": operations}]})
        with pytest.raises(MeshError, match="Operation chain too deep: 51 > 50"):
            execute_operation_chain(operations, target)
    slow_first: list[dict[str, Any]] = [{"type": "get", "key": "echo"}]
    again = {"__isNestedOperation": True, "__operationChain": slow_first}
    slow = {"__isNestedOperation": True, "__operationChain": chain(ctn().slow(1))}
    slow_first.append({"type": "apply", "args": [slow, again]})
    with pytest.raises(MeshError, match="Operation chain too deep: 51 > 50"):
        await execute_operation_chain(slow_first, target)


def test_shared_nested_chains_cannot_stand_for_endless_work(target: Target) -> None:
    inner = chain(ctn().echo())
    for _ in range(3):
        marker = {"__isNestedOperation": True, "__operationChain": inner}
        inner = [{"type": "get", "key": "echo"}, {"type": "apply", "args": [marker] * 100}]
    with pytest.raises(MeshError, match="Too many nested operations: 5001 > 5000"):
        execute_operation_chain(inner, target)


def test_a_marker_without_a_chain_is_refused(target: Target) -> None:
    """OC-25."""
    operations: Any = [{"type": "get", "key": "echo"}, {"type": "apply", "args": [{"__isNestedOperation": True}]}]
    with pytest.raises(MeshError, match=r"^Invalid nested operation marker: missing __operationChain$"):
        execute_operation_chain(operations, target)
    operations[1] = {"type": "apply", "args": [{"__isNestedOperation": True, "__operationChain": "x"}]}
    with pytest.raises(MeshError, match="operations must be an array"):
        execute_operation_chain(operations, target)


# The result's place


def test_the_result_takes_the_place_of_every_direct_marker_of_the_last_call() -> None:
    """OC-13 … OC-16, with the table of the reference."""

    def last(c: Any, value: Any) -> Any:
        return replace_nested_operation_markers(chain(c), value)[-1]

    assert last(ctn().h("x"), 7)["args"] == ["x", 7]
    assert last(ctn().h(RESULT, "x", ctn().thing()), 7)["args"] == [7, "x", 7]
    unchanged = chain(ctn().h)
    assert replace_nested_operation_markers(unchanged, 7) is unchanged
    assert replace_nested_operation_markers([], 7) == []
    earlier = replace_nested_operation_markers(chain(ctn().a(RESULT).h()), 7)
    assert earlier[-1]["args"] == [7]
    assert earlier[1]["args"][0]["__isNestedOperation"] is True
    assert last(ctn().h([1]), 7) == {"type": "apply", "args": [[1], 7]}


def test_recording_is_not_changed_by_the_result() -> None:
    handler = chain(ctn().h("x", RESULT))
    before = [dict(operation) for operation in handler]
    replace_nested_operation_markers(handler, 7)
    assert handler == before


MARKER = {
    "__isNestedOperation": True,
    "__operationChain": [{"type": "get", "key": "fail"}, {"type": "apply", "args": []}],
}


@pytest.mark.parametrize("value", [MARKER, [MARKER], {"a": MARKER}, {"a": [MARKER]}])
@pytest.mark.parametrize("handler", [lambda: ctn().echo(RESULT), lambda: ctn().echo("x")])
def test_a_marker_smuggled_in_a_result_is_data(target: Target, handler: Any, value: Any) -> None:
    """OC-17, mended: the original would execute it, with the check off."""
    replaced = replace_nested_operation_markers(chain(handler()), value)
    result = execute_operation_chain(replaced, target, require_mesh_decorator=False)
    assert result[-1] is value


@pytest.mark.parametrize("value", [[MARKER], {"a": MARKER}, {"a": {"b": [MARKER]}}])
def test_a_marker_deep_inside_an_argument_is_data(target: Target, value: Any) -> None:
    """Continuations only ever leave direct markers (OC-7), so what lies deeper came with somebody's data."""
    assert run(ctn().echo(value), target) == [value]


def test_protected_values_stay_among_markers_that_run(target: Target) -> None:
    operations: Any = [
        {"type": "get", "key": "echo"},
        {
            "type": "apply",
            "args": [Protected(MARKER), {"__isNestedOperation": True, "__operationChain": chain(ctn().add(1, 1))}],
        },
    ]
    assert execute_operation_chain(operations, target) == [MARKER, 2]


class Handlers:
    def none(self) -> None: ...
    def one(self, value: Any) -> None: ...
    def many(self, *values: Any) -> None: ...

    @staticmethod
    def static() -> None: ...

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033  # a wrapper of the standard library, as apps use it
    def odd(self) -> None: ...


def test_an_appended_result_is_dropped_where_the_handler_has_no_room() -> None:
    """A JavaScript function ignores it; a Python one would raise."""
    node = Handlers()
    assert with_result(chain(ctn().none()), 7, node)[-1]["args"] == []
    assert with_result(chain(ctn().static()), 7, node)[-1]["args"] == []
    assert with_result(chain(ctn().one()), 7, node)[-1]["args"] == [7]
    assert with_result(chain(ctn().one(RESULT)), 7, node)[-1]["args"] == [7]
    assert with_result(chain(ctn().none(RESULT)), 7, node)[-1]["args"] == [7]
    assert with_result(chain(ctn().many(1)), 7, node)[-1]["args"] == [1, 7]
    assert with_result(chain(ctn().odd()), 7, node)[-1]["args"] == [7]
    assert with_result(chain(ctn().missing()), 7, node)[-1]["args"] == [7]
    assert with_result(chain(ctn().none), 7, node) == chain(ctn().none)


def test_errors_with_fixed_names_keep_their_fields() -> None:
    error = ClientDisconnectedError(client_instance_name="a.1")
    assert (str(error), error.client_instance_name) == ("Client is not connected", "a.1")
    assert ClientDisconnectedError("x").client_instance_name is None
    login = LoginRequiredError("log in", 4401, "expired")
    assert (str(login), login.code, login.reason) == ("log in", 4401, "expired")
    assert not hasattr(MeshError("x"), "value")
    assert MeshError("x", None).value is None
